use local_vault::relay::{Endpoint, EndpointError};

#[test]
fn https_is_taken_and_kept_letter_by_letter() {
    for url in [
        "https://receiver.example/v2/local-vault/installations/inst-1/events",
        "HTTPS://Receiver.Example:443/a/../events",
        "https://[2001:db8::1]:8443/events",
        "https://10.0.0.7",
    ] {
        assert_eq!(Endpoint::parse(url, None).unwrap().as_str(), url);
    }
}

#[test]
fn plain_http_is_taken_to_this_machine_alone() {
    for url in ["http://127.0.0.1:8080/events", "http://[::1]/events", "http://LOCALHOST:1/events"] {
        assert!(Endpoint::parse(url, None).is_ok(), "{url}");
    }
    for host in ["receiver.example", "127.0.0.2", "10.0.0.7", "[::2]", "localhost.example", "localhost.", "0.0.0.0"] {
        let url = format!("http://{host}/events");
        assert_eq!(Endpoint::parse(&url, None), Err(EndpointError::PlainHttp), "{url}");
    }
}

#[test]
fn every_other_url_is_refused_with_its_reason() {
    for (url, reason) in [
        ("https://user@h/events", EndpointError::UserInfo),
        ("https://user:s3cret@h/events", EndpointError::UserInfo),
        ("https://:s3cret@h/events", EndpointError::UserInfo),
        ("https://h/events?a=1", EndpointError::Query),
        ("https://h/events?", EndpointError::Query),
        ("https://h/events#a", EndpointError::Fragment),
        ("ftp://h/events", EndpointError::Scheme),
        ("file:///events", EndpointError::Malformed),
        ("https:h/events", EndpointError::Malformed),
        ("https:///events", EndpointError::Malformed),
        ("https://", EndpointError::Malformed),
        ("h/events", EndpointError::Malformed),
        ("", EndpointError::Malformed),
        (" https://h/events", EndpointError::Malformed),
        ("https://h/ev ents", EndpointError::Malformed),
        ("https://h/ev\nents", EndpointError::Malformed),
        ("https://h\\@other/events", EndpointError::Malformed),
        ("https://h:99999/events", EndpointError::Malformed),
        ("https://a..b/events", EndpointError::Malformed),
        ("https://é.example/events", EndpointError::Malformed),
    ] {
        assert_eq!(Endpoint::parse(url, None), Err(reason), "{url:?}");
        assert!(!reason.to_string().contains("s3cret"));
    }
}

#[test]
fn an_endpoint_of_another_installation_is_refused() {
    let parse = |path, id| Endpoint::parse(&format!("https://h{path}"), Some(id)).map(|_| ());
    assert_eq!(parse("/v2/local-vault/installations/inst-1/events", "inst-1"), Ok(()));
    assert_eq!(parse("/base/installations/a%20b/events", "a b"), Ok(()));
    for (path, id) in [
        ("/v2/local-vault/installations/inst-1/events", "inst-2"),
        ("/v2/local-vault/installations/inst-11/events", "inst-1"),
        ("/v2/local-vault/installations/xinst-1/events", "inst-1"),
        ("/v2/local-vault/installations/inst-1/events/", "inst-1"),
        ("/v2/local-vault/installations/inst-1", "inst-1"),
        ("/v2/local-vault/installations//events", ""),
        ("/events", "inst-1"),
    ] {
        assert_eq!(parse(path, id), Err(EndpointError::OtherInstallation), "{path} {id}");
    }
}
