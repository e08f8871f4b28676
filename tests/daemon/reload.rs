//! A config file that is read again while the service runs.

use local_vault::protocol::json::Value;
use rustix::process::Signal;

use super::service::{Service, service};
use super::vault::Vault;

fn with_logs(more: &str) -> (Vault, super::support::Sandbox) {
    let (vault, sandbox) = Vault::with_sandbox();
    vault.configure(&format!("parallel = 2\n\n[log]\nlevel = \"info\"\n\n{more}"));
    (vault, sandbox)
}

fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn producer(stream: &str) -> String {
    format!("[[ingest.producers]]\nuid = {}\nstreams = [\"{stream}\"]\n", own_uid())
}

#[test]
fn producers_limits_level_and_parallel_change_without_a_restart() {
    let (vault, _sandbox) = with_logs(&producer("s"));
    let running = Service::of(&vault);
    running.until_state("ok");
    assert_eq!(running.submit("r-1").status, 201);
    assert_eq!(service(&running.status(), "reloaded_at"), &Value::Null);

    vault.reconfigure("streams = [\"s\"]", "streams = [\"t\"]");
    vault.reconfigure("level = \"info\"", "level = \"debug\"");
    vault.reconfigure("parallel = 2", "parallel = 3");
    vault.reconfigure("spool.path", "spool.max_events = 1000\nspool.path");
    running.signal(Signal::HUP);
    let status = running.until(|status| service(status, "reloaded_at") != &Value::Null);
    let limits = status.get_object("spool").and_then(|spool| spool.get_object("limits")).unwrap();
    assert_eq!(limits.get("events"), Some(&Value::from(1000_i64)));
    running.submit("r-2").is(403, "not_allowed");
    assert_eq!(running.client().payload("t", "r-3", "{}").status, 201);
    running.until_events("receipted", 2);
    let said = running.end();
    assert!(said.contains("the config file was read again changed=4"), "{said}");
    assert!(said.contains("the log level changed now=debug"), "{said}");
    assert!(!said.contains("needs a restart"), "{said}");
}

#[test]
fn a_limit_that_comes_with_a_reload_holds_at_the_door() {
    let (vault, _sandbox) = with_logs("");
    let running = Service::of(&vault);
    running.until_state("ok");
    vault.ok(&["relay", "pause"]);
    assert_eq!(running.submit("r-1").status, 201);
    vault.reconfigure("spool.path", "spool.max_events = 1\nspool.path");
    running.signal(Signal::HUP);
    running.until_state("full");
    running.submit("r-2").is(507, "spool_full");
    assert_eq!(vault.run(&["status"]).code, Some(75));
    running.end();
}

#[test]
fn what_needs_a_restart_is_named_and_the_rest_is_taken_over() {
    let (vault, _sandbox) = with_logs("");
    let running = Service::of(&vault);
    running.until_state("ok");
    vault.reconfigure("installation.stream_id = \"str_1\"", "installation.stream_id = \"str_2\"");
    vault.configure("[metrics]\nlisten = \"127.0.0.1:1\"");
    vault.reconfigure("level = \"info\"", "level = \"debug\"");
    for times in 1..=2 {
        running.signal(Signal::HUP);
        let named = "needs a restart settings=\"installation.stream_id, metrics.listen\"";
        super::support::wait_until(|| (running.said().matches(named).count() == times).then_some(()));
    }
    assert!(running.said().contains("the log level changed now=debug"));
    assert_eq!(running.status().get_str("state"), Some("ok"));
    running.end();
}

#[test]
fn a_right_that_is_taken_back_is_gone_although_something_else_needs_a_restart() {
    let (vault, _sandbox) = with_logs(&producer("s"));
    let running = Service::of(&vault);
    running.until_state("ok");
    vault.reconfigure("installation.stream_id = \"str_1\"", "installation.stream_id = \"str_2\"");
    vault.reconfigure("streams = [\"s\"]", "streams = [\"s\", \"t\"]");
    running.signal(Signal::HUP);
    super::support::wait_until(|| (running.client().payload("t", "r-1", "{}").status == 201).then_some(()));
    // As it was when the service began, and as nothing else is.
    vault.reconfigure("streams = [\"s\", \"t\"]", "streams = [\"s\"]");
    running.signal(Signal::HUP);
    super::support::wait_until(|| (running.said().matches("needs a restart").count() == 2).then_some(()));
    running.client().payload("t", "r-2", "{}").is(403, "not_allowed");
    assert_eq!(running.submit("r-3").status, 201);
    running.end();
}

#[test]
fn a_config_file_that_is_wrong_is_refused_with_all_that_is_wrong_and_the_old_one_holds() {
    let (vault, _sandbox) = with_logs(&producer("s"));
    let running = Service::of(&vault);
    running.until_state("ok");
    vault.reconfigure("streams = [\"s\"]", "streams = [\"t\"]");
    vault.reconfigure("parallel = 2", "parallel = 0");
    vault.configure("[surprise]\nkey = \"s3cret-value\"");
    running.signal(Signal::HUP);
    running.until_said("relay.parallel must be");
    running.until_said("unknown key surprise");
    assert!(!running.said().contains("s3cret-value"));
    assert_eq!(service(&running.status(), "reloaded_at"), &Value::Null);
    assert_eq!(running.submit("r").status, 201);
    running.until_events("receipted", 1);
    running.end();
}
