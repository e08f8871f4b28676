use local_vault::relay::{ClientConfig, Proxy, TransportError, Trust};

use crate::receiver::{Authority, Receiver, Script, Then};
use crate::{config, post_once};

fn address_of(receiver: &Receiver) -> Proxy {
    Proxy::parse(&format!("http://{}", receiver.address)).unwrap()
}

#[tokio::test]
async fn a_configured_proxy_carries_tls_and_sees_only_the_address() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("ours");
    let receiver = Receiver::start(Some(&authority.certify("127.0.0.1")), Script::ok()).await;
    let tunnel = Script::new("HTTP/1.1 200 OK\r\n\r\n", Then::Tunnel(receiver.address));
    let proxy = Receiver::start(None, tunnel).await;

    let trust = Trust { ca_file: Some(authority.ca_file(folder.path())), spki_pins: vec![] };
    let config = ClientConfig { trust, proxy: Some(address_of(&proxy)), ..config(&receiver.url()) };
    assert_eq!(post_once(&config).await.unwrap().status, 200);

    let requests = proxy.requests();
    assert_eq!(requests.len(), 1);
    assert!(requests[0].starts_with(&format!("CONNECT {} HTTP/1.1\r\n", receiver.address)), "{}", requests[0]);
    assert!(!requests[0].to_lowercase().contains("attesto"), "{}", requests[0]);
    assert_eq!(receiver.requests().len(), 1);
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named() {
    let proxy = Receiver::start(None, Script::answer("403 Forbidden", "", "")).await;
    let config = ClientConfig { proxy: Some(address_of(&proxy)), ..config("https://receiver.example/") };
    let error = post_once(&config).await.unwrap_err();
    assert_eq!((error, error.published_name()), (TransportError::Proxy, "URLError"));
}

#[tokio::test]
async fn plain_http_never_leaves_through_a_proxy() {
    let receiver = Receiver::start(None, Script::ok()).await;
    let proxy = Receiver::start(None, Script::ok()).await;
    let config = ClientConfig { proxy: Some(address_of(&proxy)), ..config(&receiver.url()) };
    assert_eq!(post_once(&config).await.unwrap().status, 200);
    assert_eq!(proxy.connections(), 0);
}
