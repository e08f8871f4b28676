use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};

use rusqlite::Connection;

use super::exposition::Exposition;
use super::support::{Sandbox, wait_until};
use super::vault::{INSTALLATION, STREAM, Vault, public_key};

const LISTEN: &str = "[metrics]\nlisten = \"127.0.0.1:0\"";
const FILE: &str = "[metrics]\nfile = \"node/local-vault.prom\"";

/// A vault with these settings, and a sandbox that answers so.
fn relaying(behave: &[&str], settings: &str) -> (Vault, Sandbox) {
    let vault = Vault::new();
    let trust = format!("{INSTALLATION}={}", public_key("relay"));
    let behave = behave.iter().flat_map(|mode| ["--behave", mode]);
    let sandbox = Sandbox::start(&["--trust", &trust].into_iter().chain(behave).collect::<Vec<_>>());
    let relay = format!("[relay]\nendpoint = \"{}\"\nca_file = {:?}\n", sandbox.url(), sandbox.ca_file());
    vault.configure(&format!("{relay}\n{settings}"));
    fs::create_dir(vault.path("node")).unwrap();
    (vault, sandbox)
}

fn attest(vault: &Vault, file: &str) -> String {
    vault.write(file, file);
    vault.json(&["attest", file, "--json"])[0].get_str("eventId").unwrap().to_owned()
}

fn written(vault: &Vault) -> Exposition {
    Exposition::parse(&fs::read_to_string(vault.path("node/local-vault.prom")).unwrap())
}

/// A `drain-loop` that tells where it listens, and ends with the test.
struct Loop {
    child: Child,
    address: String,
}

impl Loop {
    fn start(vault: &Vault) -> Self {
        let mut command: Command = vault.command(&["--log", "info", "drain-loop", "--idle-sleep-seconds", "0.05"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let address = loop {
            let mut line = String::new();
            assert_ne!(said.read_line(&mut line).unwrap(), 0, "it does not say where it listens");
            if let Some((_, rest)) = line.split_once("http://127.0.0.1:") {
                break format!("127.0.0.1:{}", rest.split_once("/metrics").unwrap().0);
            }
        };
        // What it says from here on has somewhere to go.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        Self { child, address }
    }

    /// Sends a request, and gives the head and the body of the answer.
    fn ask(&self, method: &str, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "{method} {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.address).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }

    fn text(&self) -> String {
        self.ask("GET", "/metrics").1
    }

    fn scrape(&self) -> Exposition {
        Exposition::parse(&self.text())
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_relay_tells_what_it_does_while_it_does_it() {
    let (vault, _sandbox) = relaying(&["reject:1"], LISTEN);
    attest(&vault, "a");
    let relay = Loop::start(&vault);
    // The rooms are there from the first commit on.
    let begun =
        wait_until(|| Some(relay.scrape()).filter(|told| told.families.contains_key("local_vault_settled_total")));
    for state in ["conflict", "dead"] {
        assert_eq!(begun.value("local_vault_settled_total", &[("state", state)]), 0.0);
    }
    attest(&vault, "b");
    attest(&vault, "c");
    let receipted = ("state", "receipted");
    let told =
        wait_until(|| Some(relay.scrape()).filter(|told| told.value("local_vault_settled_total", &[receipted]) == 3.0));
    assert_eq!(told.value("local_vault_retries_total", &[("cause", "judged")]), 1.0);
    assert_eq!(told.value("local_vault_retries_total", &[("cause", "unreachable")]), 0.0);
    assert_eq!(told.value("local_vault_send_seconds_count", &[("outcome", "receipted")]), 3.0);
    assert_eq!(told.value("local_vault_send_seconds_count", &[("outcome", "judged")]), 1.0);
    assert_eq!(told.value("local_vault_sign_seconds_count", &[("purpose", "relay")]), 4.0);
    assert!(told.value("local_vault_sign_seconds_sum", &[("purpose", "relay")]) > 0.0);
    // Two for each send: the attempt, and what came of it. Some of them go together.
    assert!(told.value("local_vault_commit_seconds_count", &[]) >= 4.0);
    assert_eq!(told.value("local_vault_enqueue_seconds_count", &[]), 0.0, "others enqueued");
    assert_eq!(told.value("local_vault_spool_events", &[receipted]), 3.0);
    assert!(told.value("local_vault_spool_bytes", &[receipted]) > 0.0);
    assert_eq!(told.value("local_vault_spool_oldest_seconds", &[]), 0.0);
    assert_eq!((told.value("local_vault_epoch", &[]), told.value("local_vault_epochs", &[])), (1.0, 1.0));
    assert_eq!((told.value("local_vault_custody_up", &[]), told.value("local_vault_parked_seconds", &[])), (1.0, 0.0));
    assert_eq!(told.value("local_vault_build_info", &[("version", env!("CARGO_PKG_VERSION"))]), 1.0);
    assert!(told.value("local_vault_start_time_seconds", &[]) > 1.6e9);
    assert!(!told.families.contains_key("local_vault_custody_pin"), "there is no token");
}

#[test]
fn nothing_that_is_attested_is_named() {
    let (vault, _sandbox) = relaying(&["conflict:1"], LISTEN);
    let id = attest(&vault, "a-telling-name");
    let relay = Loop::start(&vault);
    let text = wait_until(|| Some(relay.text()).filter(|text| text.contains("settled_total{state=\"conflict\"} 1")));
    for word in [STREAM, INSTALLATION, "a-telling-name", &id[3..], "relay-1", "127.0.0.1", "spool.sqlite3"] {
        assert!(!text.contains(word), "{word}: {text}");
    }
}

#[test]
fn metrics_is_all_there_is_to_get() {
    let (vault, _sandbox) = relaying(&[], LISTEN);
    let relay = Loop::start(&vault);
    let (head, body) = relay.ask("GET", "/metrics");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{head}");
    assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
    assert!(relay.ask("GET", "/").0.starts_with("HTTP/1.1 404 "));
    assert!(relay.ask("POST", "/").0.starts_with("HTTP/1.1 404 "));
    for method in ["POST", "HEAD", "DELETE"] {
        let (head, _) = relay.ask(method, "/metrics");
        assert!(head.starts_with("HTTP/1.1 405 ") && head.contains("allow: GET"), "{method}: {head}");
    }
}

#[test]
fn whoever_asks_and_says_nothing_keeps_nobody_else_out() {
    let (vault, _sandbox) = relaying(&[], LISTEN);
    let relay = Loop::start(&vault);
    let _silent = [(); 4].map(|()| TcpStream::connect(&relay.address).unwrap());
    assert!(relay.scrape().families.contains_key("local_vault_build_info"));
}

#[test]
fn the_file_is_replaced_as_a_whole_and_others_may_read_it() {
    let (vault, _sandbox) = relaying(&[], FILE);
    attest(&vault, "a");
    let before = "what was there before";
    vault.write("node/local-vault.prom", before);
    let mut held = File::open(vault.path("node/local-vault.prom")).unwrap();
    vault.ok(&["relay", "drain"]);
    let told = written(&vault);
    assert_eq!(told.value("local_vault_settled_total", &[("state", "receipted")]), 1.0, "as it ended");
    assert_eq!(fs::metadata(vault.path("node/local-vault.prom")).unwrap().permissions().mode() & 0o7777, 0o644);
    let mut old = String::new();
    held.read_to_string(&mut old).unwrap();
    assert_eq!(old, before, "it was written over");
    assert_eq!(fs::read_dir(vault.path("node")).unwrap().count(), 1, "a draft is left");
}

#[test]
fn a_receiver_that_is_away_or_has_revoked_shows() {
    let (vault, _sandbox) = relaying(&["unavailable-later:1", "revoke"], FILE);
    attest(&vault, "a");
    let states = |holds: &str| {
        ["open", "parked", "paused", "revoked", "suspect"].map(|state| (state, f64::from(state == holds)))
    };
    let sorted = |mut states: [(&'static str, f64); 5]| {
        states.sort_by_key(|(name, _)| *name);
        states
    };
    assert_eq!(vault.run(&["relay", "drain"]).code, Some(69));
    let told = written(&vault);
    assert_eq!(told.states("local_vault_relay_state"), sorted(states("parked")));
    assert_eq!(told.value("local_vault_retries_total", &[("cause", "http_5xx")]), 1.0);
    assert_eq!(told.value("local_vault_send_seconds_count", &[("outcome", "no_verdict")]), 1.0);
    assert_eq!(told.value("local_vault_custody_up", &[]), 1.0, "a receiver is no key");

    vault.ok(&["relay", "resume"]);
    assert_eq!(vault.run(&["relay", "drain"]).code, Some(77));
    let told = written(&vault);
    assert_eq!(told.states("local_vault_relay_state"), sorted(states("revoked")));
    assert_eq!(told.value("local_vault_send_seconds_count", &[("outcome", "revoked")]), 1.0);
    assert_eq!(told.value("local_vault_spool_events", &[("state", "queued")]), 1.0);
}

#[test]
fn the_command_needs_no_key_and_tells_how_old_things_are() {
    let vault = Vault::with_an_event();
    vault.ok(&["relay", "pause"]);
    ["encryption.key", "relay.key", "source.key"].iter().for_each(|key| fs::remove_file(vault.path(key)).unwrap());
    let told = Exposition::parse(&vault.ok(&["metrics"]));
    assert_eq!(told.value("local_vault_relay_state", &[("state", "paused")]), 1.0);
    assert_eq!(told.value("local_vault_spool_events", &[("state", "queued")]), 1.0);
    assert!(!told.families.contains_key("local_vault_start_time_seconds"), "it is no service");

    let db = Connection::open(vault.path("spool.sqlite3")).unwrap();
    db.execute_batch(
        "UPDATE events SET created_at = created_at - 7200000;
         UPDATE destination SET paused_at = NULL, parked_at = 1000, probe_at = 9000000000000, park_reason = 'x';",
    )
    .unwrap();
    vault.ok(&["metrics", "--file", "local-vault.prom"]);
    let told = Exposition::parse(&fs::read_to_string(vault.path("local-vault.prom")).unwrap());
    assert!(told.value("local_vault_spool_oldest_seconds", &[]) >= 7200.0);
    assert_eq!(told.value("local_vault_relay_state", &[("state", "parked")]), 1.0);
    assert!(told.value("local_vault_parked_seconds", &[]) > 1e9);
}

#[test]
fn what_is_not_there_to_be_told_of_is_an_error_of_the_command() {
    let vault = Vault::new();
    assert_eq!(vault.run(&["metrics"]).code, Some(78));
    let vault = Vault::with_an_event();
    let done = vault.run(&["metrics", "--file", "gone/x.prom"]);
    assert_eq!(done.code, Some(74));
    assert!(done.err.starts_with("Error: cannot write gone/x.prom: "), "{done:?}");
}

#[test]
fn only_this_machine_may_ask() {
    for listen in ["0.0.0.0:9464", "192.168.0.1:9464", "[::]:9464", "localhost:9464", "9464", ""] {
        let vault = Vault::new();
        vault.configure(&format!("[metrics]\nlisten = \"{listen}\""));
        let done = vault.run(&["config", "check"]);
        let expected = "metrics.listen must be a loopback address with a port, such as \"127.0.0.1:9464\"";
        assert!(done.code == Some(78) && done.err.contains(expected), "{listen}: {done:?}");
    }
    for listen in ["127.0.0.1:9464", "127.1.2.3:1", "[::1]:9464"] {
        let vault = Vault::new();
        vault.configure(&format!("[metrics]\nlisten = \"{listen}\""));
        vault.ok(&["config", "check"]);
    }
}

#[test]
fn a_place_that_cannot_be_used_stops_the_start() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let (vault, sandbox) = relaying(&[], &format!("[metrics]\nlisten = \"{address}\""));
    attest(&vault, "a");
    let done = vault.run(&["relay", "drain"]);
    assert_eq!(done.code, Some(69), "{done:?}");
    assert!(done.err.starts_with(&format!("Error: cannot listen on {address}: ")), "{done:?}");
    assert!(done.err.contains("Name another port as metrics.listen, or end what listens there."), "{done:?}");

    vault.reconfigure(&format!("listen = \"{address}\""), "file = \"gone/local-vault.prom\"");
    assert_eq!(vault.run(&["relay", "drain"]).code, Some(74));
    assert!(sandbox.recorded_events().is_empty(), "nothing is sent unseen");
}
