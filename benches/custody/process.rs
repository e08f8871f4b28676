//! What a token adds to a process that starts, signs once and ends, as a cron job does.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::hsm::{LABEL, MODULE, SoftHsm};
use crate::median;

const STARTS: usize = 15;

pub(crate) fn run(hsm: &SoftHsm) {
    let config = hsm.folder().join("local-vault.toml");
    let mut text = format!(
        "[installation]\nid = \"ins_bench\"\nstream_id = \"str_bench\"\n[spool]\npath = \"spool.sqlite3\"\n\
         [custody]\nbackend = \"pkcs11\"\n[custody.pkcs11]\nmodule = {MODULE:?}\ntoken_label = {LABEL:?}\n\
         pin_file = {:?}\n",
        hsm.pin_file()
    );
    for purpose in ["wrapping", "record", "source"] {
        fs::write(&config, &text).unwrap();
        let made = command(&config, &["custody", "generate", purpose]).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        text += &String::from_utf8(made.stdout).unwrap();
    }
    fs::write(&config, &text).unwrap();
    attest(&config, 0);
    println!("a process from start to end, keys in the token");
    println!("  custody selftest, three keys: {:.0} ms", median((0..STARTS).map(|_| selftest(&config)).collect()));
    println!("  attest of a new file: {:.0} ms", median((1..=STARTS).map(|n| attest(&config, n)).collect()));
}

/// Logs in, checks every key, and signs twice with each.
fn selftest(config: &Path) -> f64 {
    millis(&mut command(config, &["custody", "selftest"]))
}

/// Logs in, opens the spool, signs and commits.
fn attest(config: &Path, n: usize) -> f64 {
    let file = config.with_file_name(format!("{n}.txt"));
    fs::write(&file, n.to_string()).unwrap();
    millis(command(config, &["attest"]).arg(file))
}

fn millis(command: &mut Command) -> f64 {
    let start = Instant::now();
    let done = command.output().unwrap();
    let time = start.elapsed();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    time.as_secs_f64() * 1e3
}

fn command(config: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_local-vault"));
    command.arg("--config").arg(config).args(arguments);
    command
}
