//! `verify --attestation`, with no configuration, no token and no TPM.

use std::fs;
use std::process::Command;

use local_vault::protocol::json;
use tempfile::TempDir;

use super::place::Done;
use super::vectors::{ECC, L1, RSA, key, signed, values};

struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Verifies this file, with more words on the command line.
    fn verify(&self, file: &[u8], more: &[String]) -> Done {
        fs::write(self.0.path().join("record.json"), file).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_local-vault"));
        command.env_clear().current_dir(self.0.path()).env("HOME", self.0.path());
        command.args(["verify", "--attestation", "record.json", "--public-key", &key().to_hex()]).args(more);
        Done::of(&mut command)
    }
}

/// `--pcr` for each golden value but one, which is as the closure makes it.
fn pcrs(change: impl Fn(u8, String) -> Option<String>) -> Vec<String> {
    let given = values().into_iter().filter_map(|(number, value)| Some((number, change(number, value.to_string())?)));
    given.flat_map(|(number, value)| ["--pcr".to_owned(), format!("{number}={value}")]).collect()
}

const ADVICE: &str = "Believe nothing of what this record says.";

#[test]
fn a_record_is_verified_as_it_was_kept_and_as_it_was_posted() {
    let desk = Desk::new();
    for (file, level) in [(L1, "L1 (pkcs11-key-custody)"), (RSA, "L2 (tpm2-quote)"), (ECC, "L2 (tpm2-quote)")] {
        for form in [file.to_vec(), signed(file).to_posted().to_canonical()] {
            let said = desk.verify(&form, &[]).ok();
            assert!(said.starts_with(&format!("level        {level}\n")) && said.ends_with("\nverified\n"), "{said}");
            assert!(said.contains("device       SoftHSM project SoftHSM v2\n"), "{said}");
        }
    }
    let said = desk.verify(ECC, &[]).ok();
    let name = hex::encode(&signed(ECC).record.holder.quote().unwrap().ak_name);
    assert!(said.contains(&format!("AK name      {name}\n")), "{said}");
    assert!(said.contains("TPM counts   1 resets, 0 restarts\n"), "{said}");
}

#[test]
fn golden_values_are_compared() {
    let desk = Desk::new();
    let done = desk.verify(RSA, &pcrs(|_, value| Some(value)));
    assert!(done.err.contains("Compare the AK name with your own note"), "{done:?}");
    let said = done.ok();
    assert!(said.contains("golden       the PCRs had the values given\n"), "{said}");
    let one_wrong = pcrs(|number, value| Some(if number == 7 { "00".repeat(32) } else { value }));
    desk.verify(RSA, &one_wrong).fails(65, "record.json: the PCRs did not have the values given", ADVICE);
    let one_less = pcrs(|number, value| (number != 7).then_some(value));
    desk.verify(RSA, &one_less).fails(65, "record.json: PCR 7 was quoted, and its value is not given", ADVICE);
    let why = "record.json: the record has no quote, so that no PCR can be checked";
    desk.verify(L1, &pcrs(|_, value| Some(value))).fails(65, why, ADVICE);
}

#[test]
fn json_says_the_same() {
    let more: Vec<String> = pcrs(|_, value| Some(value)).into_iter().chain(["--json".to_owned()]).collect();
    let object = json::parse(Desk::new().verify(ECC, &more).ok().as_bytes()).unwrap();
    assert_eq!((object.get_str("assurance"), object.get_str("kind")), (Some("L2"), Some("tpm2-quote")));
    let quote = object.get_object("quote").unwrap();
    assert_eq!(quote.get_str("pcrSelection"), Some("sha256:0,1,2,3,7"));
    assert_eq!(quote.get("resetCount").unwrap().as_i64(), Some(1));
    assert_eq!(object.get("goldenValues").unwrap().as_bool(), Some(true));
}

#[test]
fn what_does_not_hold_is_named() {
    let desk = Desk::new();
    let mut other = signed(RSA);
    other.record.holder = signed(ECC).record.holder;
    desk.verify(&other.to_posted().to_canonical(), &[]).fails(65, "record.json: the signature does not verify", ADVICE);
    let mut renamed = json::parse(L1).unwrap();
    renamed.remove("signature");
    desk.verify(&renamed.to_canonical(), &[]).fails(
        65,
        "record.json: the member `signature` is not as the contract has it",
        "Name a record as it was kept, or as it was posted.",
    );
    desk.verify(b"{", &[]).fails(
        65,
        "record.json: expected a key at byte 1",
        "Name a record as it was kept, or as it was posted.",
    );
}
