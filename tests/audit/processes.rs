//! Several processes with one log: this test binary, which starts itself.

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use local_vault::audit::Event;

use super::log::Lines;
use super::support::{Place, SHORT, files, open, record_key, verified};

const LOG: &str = "LOCAL_VAULT_TEST_AUDIT";
const NAME: &str = "LOCAL_VAULT_TEST_AUDIT_NAME";
const ENTRIES: &str = "LOCAL_VAULT_TEST_AUDIT_ENTRIES";

/// Starts a process that records `entries` entries one after the other, and prints the request of each that the log
/// took.
pub(crate) fn recording(log: &Path, name: &str, entries: usize) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "processes::as_the_other_process", "--nocapture", "--quiet"]);
    child.env(LOG, log).env(NAME, name).env(ENTRIES, entries.to_string());
    child.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// What [`recording`] runs; among the other tests it has nothing to do.
#[test]
fn as_the_other_process() {
    let Some(log) = std::env::var_os(LOG) else { return };
    let name = std::env::var(NAME).unwrap();
    let audit = open(Path::new(&log), SHORT, Some(record_key(1))).unwrap();
    let mut out = std::io::stdout();
    for n in 0..std::env::var(ENTRIES).unwrap().parse().unwrap() {
        let request = format!("{name}.{n}");
        // Behind some a head is signed.
        let event = if n % 16 == 15 { Event::incident("a test", &request) } else { Event::receipted(&request, None) };
        audit.record_blocking(vec![event]).unwrap();
        writeln!(out, "took {request}").unwrap();
    }
}

/// What a child says that the log took, as it says it.
pub(crate) fn took(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // A line that a kill cut off says nothing.
    lines.map_while(Result::ok).filter_map(|line| Some(line.strip_prefix("took ")?.to_owned()))
}

/// The requests that are in the log. Each once.
pub(crate) fn requests(log: &Path) -> HashSet<String> {
    let mut requests = HashSet::new();
    for entry in Lines::read(log).entries() {
        let request = entry.object.get_str("request").or(entry.object.get_str("about"));
        if let Some(request) = request {
            assert!(requests.insert(request.to_owned()), "{request} twice");
        }
    }
    requests
}

#[test]
fn several_that_append_at_once_over_many_files_write_one_chain() {
    const EACH: usize = 100;
    let place = Place::new();
    let mut children: Vec<_> = (0..4).map(|n| recording(&place.log(), &format!("p{n}"), EACH)).collect();
    let took: HashSet<String> = children.iter_mut().flat_map(|child| took(child).collect::<Vec<_>>()).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(took.len(), 4 * EACH);
    assert_eq!(requests(&place.log()), took);
    assert!(files(&place.log()).len() > EACH / 2);
    verified(&place.log());
}
