use local_vault::protocol::envelope::Envelope;
use local_vault::protocol::json::{self, Object};

use super::support::Sandbox;
use super::vault::{Answer, PAYLOAD, Vault, envelope};

async fn enroll(sandbox: &Sandbox, request: &Object) -> Answer {
    let url = sandbox.at("/v2/local-vault/enroll");
    Answer::of(sandbox.client().post(url).body(request.to_canonical()).send().await.unwrap()).await
}

fn request(vault: &Vault) -> Object {
    let key = vault.public_key().to_hex();
    Object::new().with("enrollmentToken", "token-1").with("keyId", "local-vault-1").with("publicKeyHex", key)
}

#[tokio::test]
async fn a_token_enrols_one_installation_whose_key_is_trusted_from_then_on() {
    let sandbox = Sandbox::start(&["--enrollment-token", "token-1"]);
    let vault = Vault::new(9);
    let enrolled = enroll(&sandbox, &request(&vault)).await;
    assert_eq!(enrolled.status, 200);
    let enrolled = enrolled.object();
    let installation = enrolled.get_str("installationId").unwrap();
    assert!(installation.len() == 36 && installation.starts_with("ins_"), "{installation}");
    assert!(enrolled.get_str("streamId").is_some() && enrolled.get_str("label").is_some());

    let url = sandbox.at(enrolled.get_str("endpointPath").unwrap());
    let envelope = Envelope { installation_id: installation.into(), ..envelope() };
    let sent = vault.request(&sandbox.client(), &url, &envelope, PAYLOAD).send().await.unwrap();
    assert!(Answer::of(sent).await.check(&envelope).is_ok());

    let again = enroll(&sandbox, &request(&vault)).await;
    assert_eq!(again.refusal(), (404, "enrollment_token_unknown".into()));
}

#[tokio::test]
async fn a_request_that_is_wrong_does_not_use_its_token_up() {
    let sandbox = Sandbox::start(&["--enrollment-token", "token-1"]);
    let right = request(&Vault::new(9));
    let unknown = enroll(&sandbox, &right.clone().with("enrollmentToken", "token-2")).await;
    assert_eq!(unknown.status, 404);
    let wrong = [right.clone().with("publicKeyHex", "00".repeat(32)), right.clone().with("keyId", ""), Object::new()];
    for request in wrong {
        assert_eq!(enroll(&sandbox, &request).await.refusal(), (400, "request_invalid".into()));
    }
    assert_eq!(enroll(&sandbox, &right).await.status, 200);
    assert_eq!(sandbox.count("enrollments").await, 1);
}

#[tokio::test]
async fn health_answers_with_the_date() {
    let sandbox = Sandbox::start(&["--plain-http"]);
    let response = sandbox.client().get(sandbox.at("/health")).send().await.unwrap();
    assert!(response.headers().get("date").unwrap().to_str().unwrap().ends_with(" GMT"));
    let body = json::parse(&response.bytes().await.unwrap()).unwrap();
    assert_eq!(body, Object::new().with("status", "ok"));
}
