use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::config::{EXAMPLE, leaves};

/// Names of values that are secrets, or where one is written by mistake.
const SECRET: [&str; 7] = ["auth", "encryption_key", "passphrase", "password", "pin_", "recovery_key", "secret"];

/// Values that are public keys and hashes, and look like secrets.
const PUBLIC: [&str; 6] = ["id", "key_id", "parent_name", "policy_key", "public_key", "spki_pins"];

const LEFT_OUT: &str = "(left out)";

/// A config file as it may be shown: known keys alone, no file's content, no user and no password in a URL.
pub(super) fn redacted(text: &str) -> String {
    let Some(leaves) = leaves(text) else { return "It is no TOML, and left out.\n".into() };
    let known = known();
    let mut shown = String::new();
    for (name, value) in &leaves {
        let value = if known.contains(name) { shown_value(name, value) } else { "(unknown key, left out)".into() };
        // Writing to a String cannot fail.
        let _ = writeln!(shown, "{name} = {value}");
    }
    shown
}

fn shown_value(name: &str, value: &str) -> String {
    let last = name.rsplit('.').next().unwrap_or(name);
    let is_secret = SECRET.iter().any(|word| last.contains(word));
    if is_secret || (!PUBLIC.contains(&last) && looks_like_a_key(value)) {
        return LEFT_OUT.into();
    }
    if value.contains("://") { address(value) } else { value.to_owned() }
}

/// Whether anything in it could be 16 bytes or more in hex or base64. Paths and names have other letters in them, or are
/// shorter.
fn looks_like_a_key(value: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '_' | '=');
    value.split(|c| !is_part(c)).any(|word| {
        let hex = word.len() >= 32 && word.chars().all(|c| c.is_ascii_hexdigit());
        let mixed = word.len() >= 22
            && word.chars().any(|c| c.is_ascii_digit())
            && word.chars().any(|c| c.is_ascii_uppercase())
            && word.chars().any(|c| c.is_ascii_lowercase());
        hex || mixed
    })
}

/// A URL without user, password, query and fragment.
fn address(value: &str) -> String {
    let text = value.trim_matches('"');
    let Some((scheme, rest)) = text.split_once("://") else { return LEFT_OUT.into() };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) =
        rest.split_once('/').map_or((rest, String::new()), |(host, path)| (host, format!("/{path}")));
    // Whatever an @ stands in may be a password.
    if path.contains('@') {
        return LEFT_OUT.into();
    }
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("\"{scheme}://{host}{path}\"")
}

/// Every key of the example: what is said there, commented out or not, is all that there is.
fn known() -> BTreeSet<String> {
    let (mut section, mut known) = (String::new(), BTreeSet::new());
    for line in EXAMPLE.lines() {
        let line = line.trim_start_matches(['#', ' ']);
        if let Some((name, _)) = line.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            section = name.trim_start_matches('[').to_owned();
            known.insert(section.clone());
        } else if let Some((key, _)) = line.split_once(" = ").filter(|(key, _)| is_key(key)) {
            known.insert(format!("{section}.{key}"));
        }
    }
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
    fn a_url_loses_user_password_and_query() {
        let address = |url: &str| shown(&format!("[relay]\nproxy = \"{url}\"\n"));
        assert_eq!(address("http://proxy.example:3128"), "relay.proxy = \"http://proxy.example:3128\"\n");
        for url in [
            "http://user:s3cret@proxy:1",
            "http://user:s3@cret@proxy:1/",
            "http://proxy/?key=s3cret",
            "http://proxy/#s3cret",
            "http://user:a/s3cret@proxy",
        ] {
            assert!(!address(url).contains("s3cret") && !address(url).contains("cret"), "{}", address(url));
        }
    }

    #[test]
    fn every_section_of_the_example_is_known() {
        let known = known();
        for name in ["spool.path", "relay.endpoint", "custody.pkcs11.module", "custody.tpm.tcti", "ingest.socket"] {
            assert!(known.contains(name), "{name}");
        }
        assert!(known.contains("ingest.producers"));
    }
}
