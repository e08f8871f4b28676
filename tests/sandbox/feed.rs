use local_vault::protocol::json::{self, Object, Value};

use super::support::Sandbox;

async fn get(sandbox: &Sandbox, query: &str) -> (u16, Object) {
    let response = sandbox.client().get(sandbox.at(&format!("/witness/v1/feed{query}"))).send().await.unwrap();
    (response.status().as_u16(), json::parse(&response.bytes().await.unwrap()).unwrap())
}

async fn order(sandbox: &Sandbox, path: &str, body: &str) -> u16 {
    sandbox.client().post(sandbox.at(path)).body(body.to_owned()).send().await.unwrap().status().as_u16()
}

fn start() -> Sandbox {
    Sandbox::start::<&str>(&[])
}

#[tokio::test]
async fn what_was_put_in_comes_out_numbered_and_a_hundred_at_a_time() {
    let sandbox = start();
    let one = Object::new().with("checkpoint_id", "chk_1");
    assert_eq!(order(&sandbox, "/sandbox/feed", &String::from_utf8(one.to_canonical()).unwrap()).await, 200);
    sandbox.feed((2..=101_i64).map(|n| Object::new().with("checkpoint_id", n).into()).collect()).await;

    let (status, page) = get(&sandbox, "?after=0").await;
    let items = page.get("items").and_then(Value::as_array).unwrap();
    assert_eq!((status, items.len(), page.get("next")), (200, 100, Some(&Value::from(100_i64))));
    assert_eq!(items[0], Object::new().with("n", 1_i64).with("submission", one).into());
    let (_, page) = get(&sandbox, "?after=100").await;
    assert_eq!(page.get("items").and_then(Value::as_array).map(<[Value]>::len), Some(1));
    let nothing: Vec<Value> = Vec::new();
    assert_eq!(get(&sandbox, "?after=101").await.1, Object::new().with("items", nothing).with("next", 101_i64));
    assert_eq!(sandbox.count("fed").await, 101);
}

#[tokio::test]
async fn a_query_that_names_no_number_is_refused() {
    let sandbox = start();
    for query in ["", "?", "?after=", "?after=-1", "?after=x", "?after=1&more=2", "?before=1"] {
        assert_eq!(get(&sandbox, query).await.0, 400, "{query}");
    }
    assert_eq!(sandbox.count("rejected").await, 7);
    assert_eq!(order(&sandbox, "/sandbox/feed", r#"{"submissions":1}"#).await, 400);
}

#[tokio::test]
async fn each_path_misbehaves_when_it_is_told_to_and_no_other_does() {
    let sandbox = start();
    sandbox.behave_on("feed", "unavailable", Some(1)).await;
    let events = sandbox.at("/v2/local-vault/installations/ins_1/events");
    let elsewhere = sandbox.client().post(events).body("{}").send().await.unwrap();
    assert_eq!(elsewhere.status(), 404, "an installation that nobody trusts");
    assert_eq!([get(&sandbox, "?after=0").await.0, get(&sandbox, "?after=0").await.0], [503, 200]);
    for (mode, status) in [("reject", 422), ("conflict", 409)] {
        sandbox.behave_on("feed", mode, Some(1)).await;
        let (answered, body) = get(&sandbox, "?after=0").await;
        assert!(answered == status && body.get_object("error").is_some(), "{mode}");
    }
    assert_eq!(sandbox.count("misbehaved").await, 3);
}

#[tokio::test]
async fn a_path_that_is_none_and_a_mode_of_receipts_elsewhere_are_refused() {
    let sandbox = start();
    for body in
        [r#"{"mode":"html","on":"health"}"#, r#"{"mode":"html","on":1}"#, r#"{"mode":"revoke","on":"checkpoints"}"#]
    {
        assert_eq!(order(&sandbox, "/sandbox/behave", body).await, 400, "{body}");
    }
}
