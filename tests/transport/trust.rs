use std::path::Path;

use local_vault::facts::Digest;
use local_vault::relay::{CertificateProblem, Client, ClientConfig, ClientError, TransportError, Trust, TrustError};

use crate::receiver::{Authority, Identity, Receiver, Script};
use crate::{config, post_once};

/// Posts to a receiver that shows `identity`; `authority` is the one that the client trusts.
async fn post_to(identity: &Identity, authority: &Authority, pins: &[Digest]) -> Result<u16, TransportError> {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(Some(identity), Script::ok()).await;
    let trust = Trust { ca_file: Some(authority.ca_file(folder.path())), spki_pins: pins.to_vec() };
    let result = post_once(&ClientConfig { trust, ..config(&receiver.url()) }).await;
    assert_eq!(result.is_ok(), receiver.requests().len() == 1, "a refused receiver is told nothing");
    result.map(|answer| answer.status)
}

const fn refused(problem: CertificateProblem) -> Result<u16, TransportError> {
    Err(TransportError::Certificate(problem))
}

#[tokio::test]
async fn a_receiver_under_the_given_authority_is_believed() {
    let authority = Authority::new("ours");
    assert_eq!(post_to(&authority.certify("127.0.0.1"), &authority, &[]).await, Ok(200));
}

#[tokio::test]
async fn a_receiver_under_another_authority_is_refused() {
    let stranger = Authority::new("stranger").certify("127.0.0.1");
    assert_eq!(post_to(&stranger, &Authority::new("ours"), &[]).await, refused(CertificateProblem::UnknownIssuer));
}

#[tokio::test]
async fn an_authority_that_borrows_the_name_of_the_given_one_is_refused() {
    let stranger = Authority::new("ours").certify("127.0.0.1");
    assert_eq!(post_to(&stranger, &Authority::new("ours"), &[]).await, refused(CertificateProblem::Other));
}

#[tokio::test]
async fn a_certificate_for_another_host_is_refused() {
    let authority = Authority::new("ours");
    let other = authority.certify("receiver.example");
    assert_eq!(post_to(&other, &authority, &[]).await, refused(CertificateProblem::OtherHost));
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let authority = Authority::new("ours");
    let expired = authority.certify_with("127.0.0.1", |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    assert_eq!(post_to(&expired, &authority, &[]).await, refused(CertificateProblem::Expired));
}

#[tokio::test]
async fn a_certificate_of_the_future_is_refused() {
    let authority = Authority::new("ours");
    let early = authority.certify_with("127.0.0.1", |params| params.not_before = rcgen::date_time_ymd(4000, 1, 1));
    assert_eq!(post_to(&early, &authority, &[]).await, refused(CertificateProblem::NotValidYet));
}

#[tokio::test]
async fn one_of_the_pins_must_be_the_receivers_key() {
    let authority = Authority::new("ours");
    let identity = authority.certify("127.0.0.1");
    let other = Digest::of(b"another key");
    assert_eq!(post_to(&identity, &authority, &[other, identity.pin]).await, Ok(200));
    assert_eq!(post_to(&identity, &authority, &[other]).await, refused(CertificateProblem::UnpinnedKey));
}

#[tokio::test]
async fn a_pin_does_not_replace_the_chain() {
    let stranger = Authority::new("stranger").certify("127.0.0.1");
    let result = post_to(&stranger, &Authority::new("ours"), &[stranger.pin]).await;
    assert_eq!(result, refused(CertificateProblem::UnknownIssuer));
}

#[test]
fn a_ca_file_that_gives_no_trust_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| std::fs::write(folder.path().join(name), content).unwrap();
    write("empty.pem", "no certificate here\n");
    write("malformed.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");

    let refusal = |name: &str| trust_error(&folder.path().join(name));
    assert!(matches!(refusal("empty.pem"), TrustError::CaFileEmpty { .. }));
    assert!(matches!(refusal("malformed.pem"), TrustError::CaFileMalformed { .. }));
    assert!(matches!(refusal("missing.pem"), TrustError::CaFileUnreadable { .. }));
}

fn trust_error(ca_file: &Path) -> TrustError {
    let trust = Trust { ca_file: Some(ca_file.to_owned()), spki_pins: vec![] };
    let result = Client::new(&ClientConfig { trust, ..config("https://receiver.example/") });
    let Err(ClientError::Trust(error)) = result else { panic!("{result:?}") };
    assert!(error.to_string().contains(ca_file.to_str().unwrap()), "{error}");
    error
}
