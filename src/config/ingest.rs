use std::fs;
use std::path::{Path, PathBuf};

use super::reader::Section;
use crate::facts::with_suffix;
use crate::http::socket::MODE;
use crate::ingest::{LONGEST_ID, Producer, Rules};

/// The local socket, and who may submit what over it.
#[derive(Debug, Clone)]
pub struct IngestSettings {
    /// Where it lies: beside the spool where nothing is said.
    pub socket: PathBuf,
    /// Its mode.
    pub mode: u32,
    /// Who may submit what. Without a list, root and our own user may submit anything.
    pub producers: Option<Vec<Producer>>,
}

/// `[ingest]` of a config file.
#[derive(Debug, Default)]
pub(super) struct FileIngest {
    socket: Option<PathBuf>,
    mode: Option<u32>,
    producers: Option<Vec<Producer>>,
}

/// The most events a second that a quota may have.
const MOST_EVENTS: usize = 1_000_000;
/// Where the names of local users are. Others are named by their number.
const USERS: &str = "/etc/passwd";

/// Reads `[ingest]`.
pub(super) fn read(mut section: Section<'_>, folder: &Path) -> FileIngest {
    let socket = section.path("socket", folder);
    let mode = section.parsed("mode", "an octal mode, such as \"0660\"", mode);
    let producers = section.sections("producers").map(|listed| listed.into_iter().filter_map(producer).collect());
    if let Some(Err(error)) = producers.clone().map(|producers: Vec<Producer>| Rules::new(producers, None)) {
        section.problem(&format!("is refused: {error}"));
    }
    section.end();
    FileIngest { socket, mode, producers }
}

impl FileIngest {
    pub(super) fn settle(self, spool: &Path) -> IngestSettings {
        IngestSettings {
            socket: self.socket.unwrap_or_else(|| with_suffix(spool, ".sock")),
            mode: self.mode.unwrap_or(MODE),
            producers: self.producers,
        }
    }
}

/// Reads one of `[[ingest.producers]]`; `None` where it does not say who.
fn producer(mut section: Section<'_>) -> Option<Producer> {
    if section.has("user") == section.has("uid") {
        section.problem("needs one of user and uid");
    }
    if !section.has("streams") {
        section.problem("needs streams");
    }
    let uid = user(&mut section);
    let streams = section.list("streams", "a list of names, each with a * at its end or none", |name| {
        let is_name = !name.is_empty() && name.len() <= LONGEST_ID;
        (is_name && !name.trim_end_matches('*').contains('*') && !name.ends_with("**")).then(|| name.to_owned())
    });
    let source_refs = section.list("source_refs", "a list of what source_refs begin with", |text| {
        (!text.is_empty() && text.len() <= LONGEST_ID).then(|| text.to_owned())
    });
    let per_second = section.count("events_per_second", MOST_EVENTS);
    let (may_claim, shared) = (section.flag("may_claim").is_some(), section.flag("shared").is_some());
    section.end();
    Some(Producer {
        uid: uid?,
        streams: streams.unwrap_or_default(),
        source_refs: source_refs.unwrap_or_default(),
        events_per_second: per_second.and_then(|number| u32::try_from(number).ok()),
        may_claim,
        shared,
    })
}

/// A local user, by name or number.
pub(super) fn user(section: &mut Section<'_>) -> Option<u32> {
    let user = section.parsed("user", "a user of /etc/passwd; others are named by uid", |name| {
        fs::read_to_string(USERS).ok().and_then(|users| uid_of(name, &users))
    });
    let number = section.number("uid", 0..=u64::from(u32::MAX) - 1).and_then(|uid| u32::try_from(uid).ok());
    user.or(number)
}

fn mode(text: &str) -> Option<u32> {
    u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777)
}

/// The number of a user in the text of passwd(5).
fn uid_of(name: &str, users: &str) -> Option<u32> {
    let fields = |line: &str| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
    };
    users.lines().find_map(fields)
}

#[cfg(test)]
mod tests {
    use super::super::reader::Problems;
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let problems = Problems::default();
        let mut whole = Section::whole(text, &problems);
        read(whole.section("ingest"), Path::new("/etc"));
        whole.end();
        problems.into_inner().into_iter().map(|(line, what)| format!("{line}: {what}")).collect()
    }

    #[test]
    fn a_producer_is_read_as_it_is_written() {
        let text = r#"
            [ingest]
            socket = "in.sock"
            mode = "0600"
            [[ingest.producers]]
            user = "root"
            streams = ["invoices", "plant-*"]
            source_refs = ["inv-"]
            events_per_second = 500
            may_claim = true
            [[ingest.producers]]
            uid = 1001
            streams = ["*"]
            source_refs = ["x-"]
        "#;
        let found = Problems::default();
        let ingest = read(Section::whole(text, &found).section("ingest"), Path::new("/etc"));
        assert_eq!(found.into_inner(), []);
        let settings = ingest.settle(Path::new("spool"));
        assert_eq!((settings.socket, settings.mode), (PathBuf::from("/etc/in.sock"), 0o600));
        let [root, other] = settings.producers.unwrap().try_into().unwrap();
        assert_eq!((root.uid, root.events_per_second, root.may_claim, root.shared), (0, Some(500), true, false));
        assert_eq!(root.streams, ["invoices", "plant-*"]);
        assert_eq!((other.uid, other.source_refs, other.may_claim), (1001, vec!["x-".to_owned()], false));
    }

    #[test]
    fn nothing_said_is_a_socket_beside_the_spool_for_us_alone() {
        let settings = FileIngest::default().settle(Path::new("/var/spool.sqlite3"));
        assert_eq!(settings.socket, Path::new("/var/spool.sqlite3.sock"));
        assert_eq!((settings.mode, settings.producers), (0o660, None));
    }

    #[test]
    fn what_is_wrong_with_a_producer_is_told_with_its_line() {
        let one = |members: &str| problems(&format!("[ingest]\n[[ingest.producers]]\n{members}\n"));
        assert_eq!(one("streams = ['a']"), ["2: ingest.producers needs one of user and uid"]);
        assert_eq!(one("uid = 1"), ["2: ingest.producers needs streams"]);
        assert!(one("uid = 1\nuser = 'root'\nstreams = ['a']")[0].contains("needs one of"));
        assert!(one("user = 'no-such-user-here'\nstreams = ['a']")[0].starts_with("3: ingest.producers.user must be"));
        assert!(one("uid = -1\nstreams = ['a']")[0].starts_with("3: ingest.producers.uid must be"));
        assert!(one("uid = 1\nstreams = ['a*b']")[0].starts_with("4: ingest.producers.streams must be"));
        assert!(one("uid = 1\nstreams = ['a**']")[0].starts_with("4: ingest.producers.streams must be"));
        assert!(one("uid = 1\nstreams = ['a']\nsource_refs = ['']")[0].contains("source_refs must be"));
        assert!(one("uid = 1\nstreams = ['a']\nevents_per_second = 0")[0].contains("events_per_second must be"));
        assert_eq!(one("uid = 1\nstreams = ['a']\nsurprise = 1"), ["5: unknown key ingest.producers.surprise"]);
        assert_eq!(problems("[ingest]\nproducers = [1]"), ["2: ingest.producers must be a list of tables"]);
        assert!(problems("[ingest]\nmode = '0999'")[0].contains("octal"));
        let two = "[ingest]\n[[ingest.producers]]\nuid = 1\nstreams = ['a']\n\
                   [[ingest.producers]]\nuid = 2\nstreams = ['b']";
        assert!(problems(two)[0].contains("producers 1 and 2 may use the same source_refs"), "{:?}", problems(two));
    }

    #[test]
    fn a_user_is_found_by_the_whole_name() {
        let users = "root:x:0:0::/root:/bin/sh\nappx:x:7:7::/:\napp:x:1001:1001::/:/bin/false\n";
        assert_eq!(uid_of("app", users), Some(1001));
        assert_eq!(uid_of("ap", users), None);
        assert_eq!(uid_of("", users), None);
    }
}
