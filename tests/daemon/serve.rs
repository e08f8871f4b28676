//! One service, from its start to what it tells.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use local_vault::protocol::json::{self, Value};

use super::service::{Service, service};
use super::support::wait_until;
use super::vault::{Done, INSTALLATION, Vault};

/// Somebody else: nobody.
const OTHER: u32 = 65534;

#[test]
fn an_event_goes_from_the_socket_to_the_receiver_and_status_tells_of_it() {
    let (vault, sandbox) = Vault::with_sandbox();
    let running = Service::of(&vault);
    running.until_state("ok");
    let answer = running.submit("r-1");
    assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
    let attested = running.client().event(r#"{"stream_id":"s","source_ref":"r-2","content":"YWxwaGE="}"#);
    assert_eq!(attested.status, 201, "{}", String::from_utf8_lossy(&attested.body));
    let status = running.until_events("receipted", 2);
    assert_eq!(sandbox.recorded_events().len(), 2);

    let relay = status.get_object("relay").unwrap();
    assert_eq!((status.get_str("state"), relay.get_str("state")), (Some("ok"), Some("open")));
    assert_eq!((status.get("reason"), status.get_str("installation_id")), (Some(&Value::Null), Some(INSTALLATION)));
    assert_eq!(service(&status, "custody_up"), &Value::from(true));
    assert_eq!(service(&status, "audit_up"), &Value::from(true));
    assert_eq!(service(&status, "last_error"), &Value::Null);
    assert_eq!(service(&status, "config_file"), &Value::from(vault.shown("local-vault.toml")));
    let spool = status.get_object("spool").unwrap();
    assert!(spool.get_str("last_receipt_at").is_some(), "{}", status.to_python_line());
    assert_eq!(
        (spool.get("unsettled"), spool.get("oldest_unsettled_at")),
        (Some(&Value::from(0_i64)), Some(&Value::Null))
    );

    let told = vault.json(&["status", "--json"]);
    assert_eq!((told[0].get_str("state"), service(&told[0], "pid")), (Some("ok"), service(&status, "pid")));
    let text = vault.ok(&["status"]);
    for line in ["state         ok\n", "custody       up\n", "audit log     up\n", "oldest        nothing waits\n"] {
        assert!(text.contains(line), "{text}");
    }
    assert!(text.contains("receipted 2 ("), "{text}");
    running.end();
}

#[test]
fn a_second_service_is_75_and_the_first_goes_on() {
    let (vault, _sandbox) = Vault::with_sandbox();
    let running = Service::of(&vault);
    running.until_state("ok");
    let socket = vault.shown("spool.sqlite3.sock");
    vault.run(&["run"]).fails(
        75,
        &[&format!("Error: {socket} is in use by another process."), "Stop the other process, or name another socket."],
    );
    assert_eq!(running.submit("r").status, 201);
    running.until_events("receipted", 1);
    running.end();
}

#[test]
fn where_no_service_runs_status_reads_the_spool_and_says_so() {
    let vault = Vault::with_an_event();
    let told = vault.run(&["status"]);
    assert_eq!((told.code, told.err.as_str()), (Some(0), "From the spool alone: no service listens there.\n"));
    assert!(told.out.contains("queued 1 (") && !told.out.contains("custody"), "{told:?}");
    let json = vault.json(&["status", "--json"]);
    assert_eq!((json[0].get("service"), json[0].get_str("state")), (Some(&Value::Null), Some("ok")));
    assert_eq!(json[0].get_str("no_service"), Some("no service listens there"));
    let nothing = Vault::new().run(&["status"]);
    assert_eq!(nothing.code, Some(78), "{nothing:?}");
}

#[test]
fn status_goes_on_telling_where_it_is_watched() {
    let vault = Vault::with_an_event();
    let out = vault.path("watched");
    let mut command = vault.command(&["status", "--watch", "1", "--json"]);
    let mut watching = command.stdout(fs::File::create(&out).unwrap()).spawn().unwrap();
    wait_until(|| (fs::read_to_string(&out).unwrap().lines().count() >= 2).then_some(()));
    let pid = rustix::process::Pid::from_child(&watching);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(watching.wait().unwrap().code(), Some(0));
    for line in fs::read_to_string(&out).unwrap().lines() {
        assert_eq!(json::parse(line.as_bytes()).unwrap().get_str("state"), Some("ok"));
    }
}

#[test]
fn others_hear_the_state_alone_and_no_log() {
    if !rustix::process::geteuid().is_root() {
        println!("not run: only root starts programs as somebody else");
        return;
    }
    let (vault, _sandbox) = Vault::with_sandbox();
    vault.configure("[ingest]\nmode = \"0666\"");
    fs::set_permissions(vault.path(""), Permissions::from_mode(0o755)).unwrap();
    let running = Service::of(&vault);
    running.until_state("ok");
    let ask = |path: &str| {
        let mut curl = Command::new("curl");
        curl.args(["-s", "--unix-socket", &vault.shown("spool.sqlite3.sock"), &format!("http://localhost{path}")]);
        Done::of(curl.uid(OTHER).gid(OTHER).current_dir("/")).ok()
    };
    assert_eq!(ask("/v1/status"), r#"{"state":"ok"}"#);
    assert!(ask("/v1/logs").contains("not_allowed"));
    running.end();
}

#[test]
fn the_last_lines_of_the_log_are_served_and_unknown_paths_are_not() {
    let (vault, _sandbox) = Vault::with_sandbox();
    vault.configure("[log]\nlevel = \"debug\"");
    let running = Service::of(&vault);
    running.until_state("ok");
    assert_eq!(running.submit("reference-of-theirs").status, 201);
    running.until_events("receipted", 1);
    let log = String::from_utf8(running.client().get("/v1/logs").body).unwrap();
    assert!(log.contains("spooled") && log.contains("receipted"), "{log}");
    assert!(!log.contains("DEBUG") && !log.contains("reference-of-theirs"), "{log}");
    // A span's fields stand there once.
    let spooled = log.lines().find(|line| line.ends_with(": spooled")).unwrap();
    assert_eq!(spooled.matches("event=").count(), 1, "{spooled}");
    running.client().get("/v1/nothing").is(404, "not_found");
    running.client().request("DELETE", "/v1/status").is(405, "method_not_allowed");
    running.end();
}

#[test]
fn what_is_configured_wrong_ends_the_service_with_78() {
    let vault = Vault::new();
    let done = vault.run(&["run"]);
    assert_eq!(done.code, Some(78), "{done:?}");
    assert!(done.err.contains("no relay endpoint is configured"), "{done:?}");
}
