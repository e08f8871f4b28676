use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::Ipv6Addr;

use crate::config::{EXAMPLE, leaves};

/// Names of values that are secrets, or where one is written by mistake.
const SECRET: [&str; 7] = ["auth", "encryption_key", "passphrase", "password", "pin_", "recovery_key", "secret"];

/// Values that are public keys and hashes, and look like secrets.
const PUBLIC: [&str; 6] = ["id", "key_id", "parent_name", "policy_key", "public_key", "spki_pins"];

const LEFT_OUT: &str = "(left out)";

/// Values that are addresses, whatever is written there.
const ADDRESS: [&str; 3] = ["endpoint", "proxy", "url"];

/// Folders of the system: a path below one is no key in base64, which may hold slashes too.
const FOLDERS: [&str; 10] = ["/dev/", "/etc/", "/home/", "/lib/", "/mnt/", "/opt/", "/run/", "/srv/", "/usr/", "/var/"];

/// A config file as it may be shown: known keys alone, no file's content, and no address that may hold a password.
pub(super) fn redacted(text: &str) -> String {
    let Some(leaves) = leaves(text) else { return "It is no TOML, and left out.\n".into() };
    let known = known();
    let mut shown = String::new();
    for (name, value) in &leaves {
        // Writing to a String cannot fail.
        let _ = if known.contains(&without_places(name)) {
            writeln!(shown, "{name} = {}", shown_value(name, value))
        } else if name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_.[]".contains(c)) {
            writeln!(shown, "{name} = (unknown key, left out)")
        } else {
            writeln!(shown, "(a key that is none of ours, left out)")
        };
    }
    shown
}

/// The name of a value in a list of tables without the places in it. One that stands at the end is kept: a plain value is
/// expected there, and none of ours is a list of lists.
fn without_places(name: &str) -> String {
    let mut parts: Vec<&str> = name.split('.').collect();
    let last = parts.pop().unwrap_or_default();
    let plain = |part: &str| match part.split_once('[') {
        Some((name, place)) if place.trim_end_matches(']').chars().all(|c| c.is_ascii_digit()) => name.to_owned(),
        _ => part.to_owned(),
    };
    parts.into_iter().map(|part| plain(part) + ".").collect::<String>() + last
}

fn shown_value(name: &str, value: &str) -> String {
    let last = name.rsplit('.').next().unwrap_or(name);
    let is_secret = SECRET.iter().any(|word| last.contains(word)) || value.contains('@');
    let is_address = ADDRESS.contains(&last) || value.contains("://");
    let is_key = !PUBLIC.contains(&last) && looks_like_a_key(value);
    if is_secret || is_key || (is_address && !is_plain_address(value)) { LEFT_OUT.into() } else { value.to_owned() }
}

/// Whether anything in it could be 16 bytes or more in hex or base64. Names have other letters in them, or are shorter;
/// so are the parts of a path below a folder of the system.
fn looks_like_a_key(value: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '_' | '=');
    let hex = |word: &str| word.len() >= 32 && word.chars().all(|c| c.is_ascii_hexdigit());
    let mixed = |word: &str| {
        word.len() >= 22
            && word.chars().any(|c| c.is_ascii_digit())
            && word.chars().any(|c| c.is_ascii_uppercase())
            && word.chars().any(|c| c.is_ascii_lowercase())
    };
    let mut words = value.split(|c| !is_part(c));
    let mut paths = value.split(|c| c != '/' && !is_part(c));
    words.any(|word| hex(word) || mixed(word))
        || paths.any(|path| mixed(path) && !FOLDERS.iter().any(|folder| path.starts_with(folder)))
}

/// Whether it is `http(s)://host[:port][/path]` and nothing besides. Whatever else there is may be a password.
fn is_plain_address(value: &str) -> bool {
    let text = value.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or_default();
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let Some(rest) = rest else { return false };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (authority, "0"),
    };
    let is_name = !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'));
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_host = is_name || address.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    let is_path = path.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | '~'));
    is_host && port.parse::<u16>().is_ok() && is_path
}

/// Every key of the example: what is said there, commented out or not, is all that there is.
fn known() -> BTreeSet<String> {
    let (mut section, mut known) = (String::new(), BTreeSet::new());
    for line in EXAMPLE.lines() {
        let line = line.trim_start_matches(['#', ' ']);
        if let Some((name, _)) = line.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            section = name.trim_start_matches('[').to_owned();
        } else if let Some((key, _)) = line.split_once(" = ").filter(|(key, _)| is_key(key)) {
            known.insert(format!("{section}.{key}"));
        }
    }
    // Said beside another one there.
    known.insert("ingest.producers.user".to_owned());
    // One section stands for all of its kind there.
    for purpose in ["relay", "source", "witness", "record"] {
        ["file", "kid", "label", "id", "public_key"].iter().for_each(|key| {
            known.insert(format!("custody.keys.{purpose}.{key}"));
        });
    }
    known
}

fn is_key(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        redacted(text)
    }

    #[test]
    fn what_is_known_and_no_secret_is_shown() {
        assert_eq!(shown("[relay]\nparallel = 8\n"), "relay.parallel = 8\n");
        assert_eq!(shown("[custody.keys.relay]\nfile = \"relay.pem\"\n"), "custody.keys.relay.file = \"relay.pem\"\n");
        let pins = format!("[relay]\nspki_pins = [\"{}\"]\n", "ab".repeat(32));
        assert!(shown(&pins).contains(&"ab".repeat(32)));
        assert_eq!(shown("[log]\nlevel = \"info\"\n"), "log.level = \"info\"\n");
    }

    #[test]
    fn unknown_keys_and_secrets_are_left_out() {
        for (text, secret) in [
            ("[relay]\nsurprise = \"s3cret\"", "s3cret"),
            ("pin = \"s3cret\"", "s3cret"),
            ("[custody.pkcs11]\npin_file = \"123456\"", "123456"),
            ("[custody.pkcs11]\npin_command = [\"echo\", \"123456\"]", "123456"),
            ("[custody.pkcs11]\npin_env = \"123456\"", "123456"),
            ("[custody.file]\nencryption_key_file = \"s3cret\"", "s3cret"),
            ("[custody.keys.relay]\npassphrase_file = \"s3cret\"", "s3cret"),
            (
                "[custody.keys.relay]\nfile = \"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\"",
                "0011",
            ),
            ("[spool]\npath = \"Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm8=\"", "Zm9v"),
            ("relay = [", "["),
        ] {
            assert!(!shown(text).contains(secret), "{text}: {}", shown(text));
        }
    }

    #[test]
    fn an_address_that_is_more_than_one_is_left_out() {
        let address = |key: &str, url: &str| shown(&format!("[relay]\n{key} = \"{url}\"\n"));
        for url in ["http://proxy.example:3128", "https://[::1]:8443/a/b", "https://r.example/v2/ins_0a/events"] {
            assert_eq!(address("proxy", url), format!("relay.proxy = \"{url}\"\n"));
        }
        for url in [
            "http://user:s3cret@proxy:1",
            "http://user:s3@cret@proxy:1/",
            "http://user:hunt#er2-s3cret@proxy",
            "http://user:s3cret",
            "http://proxy/?key=s3cret",
            "http://proxy/#s3cret",
            "http://proxy/;s3cret",
            "http://user:a/s3cret@proxy",
            "user:s3cret@proxy:3128",
            "user:s3cret",
            "s3cret",
        ] {
            for key in ["proxy", "endpoint"] {
                assert_eq!(address(key, url), format!("relay.{key} = (left out)\n"), "{url}");
            }
        }
        assert_eq!(address("ca_file", "user:s3cret@proxy"), "relay.ca_file = (left out)\n");
        assert_eq!(shown("[relay]\nproxy = [\"http://s3cret\"]"), "relay.proxy = (left out)\n");
    }

    #[test]
    fn what_is_in_a_list_of_tables_is_shown_by_the_same_rules() {
        let text = "[[ingest.producers]]\nuid = 1001\nstreams = [\"a\", \"b\"]\npassword = \"s3cret\"\n\
                    [[ingest.producers]]\nuser = \"app\"\n[ingest.producers.deeper]\nsurprise = \"s3cret\"\n";
        assert_eq!(
            shown(text),
            "ingest.producers[0].password = (unknown key, left out)\n\
             ingest.producers[0].streams = [\"a\", \"b\"]\n\
             ingest.producers[0].uid = 1001\n\
             ingest.producers[1].deeper.surprise = (unknown key, left out)\n\
             ingest.producers[1].user = \"app\"\n"
        );
        for text in [
            "ingest = { producers = [{ uid = [{ other = \"s3cret\" }] }] }",
            "relay = { spki_pins = [[\"s3cret\"]] }",
            "[ingest]\nproducers = [\"s3cret\"]",
            "[relay]\n\"my-S3cret\" = 1",
            "[relay]\n\"proxy = 1\\nS3cret\" = 1",
        ] {
            assert!(!shown(text).to_lowercase().contains("s3cret"), "{text}: {}", shown(text));
        }
    }

    #[test]
    fn a_key_with_slashes_is_left_out_and_a_path_is_not() {
        let path = |path: &str| shown(&format!("[spool]\npath = \"{path}\"\n"));
        assert_eq!(path("Zm9v/mFyZm/vYmFyZ/9vYmF/Zm9vY/FyZm8="), "spool.path = (left out)\n");
        for told in ["/usr/lib64/Vendor/libCryptoki2_64.so", "/var/lib/attesto/spool.sqlite3", "spool.sqlite3"] {
            assert_eq!(path(told), format!("spool.path = \"{told}\"\n"));
        }
    }

    #[test]
    fn every_section_of_the_example_is_known() {
        let known = known();
        for name in
            ["spool.path", "relay.endpoint", "custody.pkcs11.module", "custody.tpm.tcti", "ingest.producers.uid"]
        {
            assert!(known.contains(name), "{name}");
        }
        assert!(!known.contains("ingest.producers"), "a section is no value");
    }
}
