use std::collections::HashSet;
use std::time::Duration;

use local_vault::facts::Timestamp;
use local_vault::relay::{Client, ClientConfig, TransportError, Trust};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket};

use crate::receiver::{Authority, Receiver, Script, Then};
use crate::{HASTY, config, post, post_once};

const HALF_A_BODY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"a\":";

/// What comes of a receiver that says this over plain http, and the name that the published package prints for it.
async fn failure(says: &str, then: Then) -> (TransportError, &'static str) {
    let receiver = Receiver::start(None, Script::new(says, then)).await;
    let timeout = if then == Then::Stall { HASTY } else { crate::PATIENT };
    let error = post_once(&ClientConfig { timeout, ..config(&receiver.url()) }).await.unwrap_err();
    (error, error.published_name())
}

#[tokio::test]
async fn the_request_is_that_of_the_contract() {
    let receiver = Receiver::start(None, Script::ok()).await;
    post_once(&config(&receiver.url())).await.unwrap();

    let requests = receiver.requests();
    let (head, body) = requests[0].split_once("\r\n\r\n").unwrap();
    let mut head: Vec<_> = head.lines().collect();
    assert_eq!(head.remove(0), "POST /v2/local-vault/installations/inst-1/events HTTP/1.1");
    head.sort_unstable();
    let user_agent = format!("user-agent: local-vault/{}", env!("CARGO_PKG_VERSION"));
    let expected = [
        "accept: */*",
        "content-length: 7",
        "content-type: application/json",
        &format!("host: {}", receiver.address),
        &user_agent,
        "x-attesto-local-vault-envelope-hash: 4c503ca67761e5c4aaecfe996244c25d8c0b40902d1085c85b4468bd567548c6",
        "x-attesto-local-vault-public-key: 8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c",
        &format!("x-attesto-local-vault-signature: {}", "07".repeat(64)),
    ];
    assert_eq!(head, expected);
    assert_eq!(body, "{\"a\":1}");
}

#[tokio::test]
async fn an_answer_is_handed_back_whatever_its_status() {
    let script = Script::answer("503 Busy", "Retry-After: 120\r\n", "{\"error\":{}}");
    let receiver = Receiver::start(None, script).await;
    let answer = post_once(&config(&receiver.url())).await.unwrap();
    assert_eq!((answer.status, answer.is_success()), (503, false));
    assert_eq!(answer.body, b"{\"error\":{}}");
    assert!(answer.object().unwrap().get("error").is_some());
    let wait = answer.retry_after.map(|after| after.wait(Timestamp::from_millis(0)));
    assert_eq!(wait, Some(Duration::from_secs(120)));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let second = Receiver::start(None, Script::ok()).await;
    for status in ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"] {
        let script = Script::answer(status, &format!("Location: {}\r\n", second.url()), "");
        let first = Receiver::start(None, script).await;
        let answer = post_once(&config(&first.url())).await.unwrap();
        assert_eq!(answer.status.to_string(), status[..3]);
    }
    assert_eq!(second.connections(), 0);
}

#[tokio::test]
async fn connections_are_kept_unless_a_fresh_one_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("ours");
    let receiver = Receiver::start(Some(&authority.certify("127.0.0.1")), Script::ok()).await;
    let trust = Trust { ca_file: Some(authority.ca_file(folder.path())), spki_pins: vec![] };
    let client = Client::new(&ClientConfig { trust, ..config(&receiver.url()) }).unwrap();
    for _ in 0..20 {
        post(&client).await.unwrap();
    }
    let kept = receiver.connection_of_each();
    assert!(distinct(&kept) < 20, "{kept:?}");

    let fresh = client.fresh();
    post(&fresh).await.unwrap();
    post(&fresh).await.unwrap();
    let all = receiver.connection_of_each();
    assert_eq!(distinct(&all), distinct(&kept) + 2, "{all:?}");
}

fn distinct(connections: &[usize]) -> usize {
    connections.iter().collect::<HashSet<_>>().len()
}

#[tokio::test]
async fn a_receiver_that_says_nothing_times_out() {
    assert_eq!(failure("", Then::Stall).await, (TransportError::Timeout, "TimeoutError"));
}

#[tokio::test]
async fn the_deadline_covers_the_body() {
    assert_eq!(failure(HALF_A_BODY, Then::Stall).await, (TransportError::Timeout, "TimeoutError"));
}

#[tokio::test]
async fn a_handshake_that_stalls_is_a_connection_that_was_not_made() {
    let receiver = Receiver::start(None, Script::new("", Then::Stall)).await;
    let trust = Trust { ca_file: None, spki_pins: vec![] };
    let url = receiver.url().replace("http:", "https:");
    let error = post_once(&ClientConfig { trust, timeout: HASTY, ..config(&url) }).await.unwrap_err();
    assert_eq!((error, error.published_name()), (TransportError::ConnectTimeout, "URLError"));
}

#[tokio::test]
async fn half_a_body_is_no_answer() {
    let incomplete = (TransportError::Incomplete, "IncompleteRead");
    let chunked = |rest| format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{rest}");
    assert_eq!(failure(HALF_A_BODY, Then::Close).await, incomplete);
    assert_eq!(failure(&chunked("40\r\n{\"a\":"), Then::Close).await, incomplete);
    assert_eq!(failure(&chunked("2\r\n{}\r\n"), Then::Close).await, incomplete, "the last chunk is missing");
    assert_eq!(failure(&chunked("zz\r\n{}\r\n0\r\n\r\n"), Then::Close).await, incomplete);
}

#[tokio::test]
async fn a_tls_connection_that_ends_without_a_farewell_may_have_been_cut() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("ours");
    let identity = authority.certify("127.0.0.1");
    let trust = Trust { ca_file: Some(authority.ca_file(folder.path())), spki_pins: vec![] };
    for (says, expected) in [("", TransportError::Closed), ("HTTP/1.1 200 OK\r\n\r\n{}", TransportError::Incomplete)] {
        let receiver = Receiver::start(Some(&identity), Script::new(says, Then::Close)).await;
        let config = ClientConfig { trust: trust.clone(), ..config(&receiver.url()) };
        assert_eq!(post_once(&config).await, Err(expected), "{says:?}");
    }
}

#[tokio::test]
async fn a_connection_closed_at_once_is_no_answer() {
    assert_eq!(failure("", Then::Close).await, (TransportError::Closed, "RemoteDisconnected"));
}

#[tokio::test]
async fn a_connection_that_breaks_is_no_answer() {
    assert_eq!(failure("", Then::Reset).await, (TransportError::Reset, "ConnectionResetError"));
    assert_eq!(failure(HALF_A_BODY, Then::Reset).await, (TransportError::Reset, "ConnectionResetError"));
}

#[tokio::test]
async fn what_is_not_http_is_named_without_repeating_it() {
    let (error, name) = failure("s3cret\r\n\r\n", Then::Close).await;
    assert_eq!((error, name), (TransportError::NotHttp, "BadStatusLine"));
    assert_eq!(format!("{error} {error:?}"), "the answer is not HTTP NotHttp");
    assert_eq!(failure("HTTP/1.1 abc OK\r\n\r\n", Then::Close).await, (TransportError::NotHttp, "BadStatusLine"));
}

#[tokio::test]
async fn two_gigabytes_are_not_read() {
    let announced = "HTTP/1.1 200 OK\r\nContent-Length: 2000000000\r\n\r\n";
    let endless = "HTTP/1.1 200 OK\r\n\r\n";
    for says in [announced, endless] {
        let mut receiver = Receiver::start(None, Script::new(says, Then::Flood)).await;
        assert_eq!(post_once(&config(&receiver.url())).await, Err(TransportError::TooLarge));
        let written = receiver.flooded().await;
        // What the kernel buffers on both sides, and not what was announced.
        assert!(written < 100_000_000, "{written} bytes were taken");
    }
}

#[tokio::test]
async fn a_refused_connection_is_named() {
    // Bound and not listening: nobody else can take the port meanwhile.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}/", socket.local_addr().unwrap());
    let error = post_once(&config(&url)).await.unwrap_err();
    assert_eq!(error, TransportError::Connect(std::io::ErrorKind::ConnectionRefused));
    assert_eq!((error.to_string().as_str(), error.published_name()), ("no connection: connection refused", "URLError"));
}

#[tokio::test]
async fn a_portal_that_answers_the_handshake_in_http_is_a_tls_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let portal = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 302 Log in\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        stream
    });
    let error = post_once(&config(&url)).await.unwrap_err();
    assert_eq!((error, error.published_name()), (TransportError::Tls, "URLError"));
    portal.await.unwrap();
}
