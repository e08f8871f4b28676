//! A box that starts: a process that opens its spool with keys under a policy, and leaves an event in it.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Instant;

use tempfile::TempDir;

use crate::median;
use crate::swtpm::Swtpm;

const STARTS: usize = 11;

pub(crate) fn run(swtpm: &Swtpm, folder: &TempDir) {
    let folder = folder.path().join("box");
    fs::create_dir(&folder).unwrap();
    let config = folder.join("local-vault.toml");
    let text = format!(
        "[installation]\nid = \"ins_bench\"\nstream_id = \"bench\"\n[spool]\npath = \"spool.sqlite3\"\n\
         [custody]\nbackend = \"tpm\"\n[custody.tpm]\ntcti = \"{}\"\n",
        swtpm.tcti()
    );
    fs::write(&config, text).unwrap();
    let run = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_local-vault"));
        command.env_clear().current_dir(&folder).args(["--config", "local-vault.toml"]).args(words);
        let done = command.stdin(Stdio::null()).output().unwrap();
        assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
        done.stdout
    };
    let append = |words: &[&str]| {
        let mut text = fs::read(&config).unwrap();
        text.extend(run(words));
        fs::write(&config, text).unwrap();
    };
    append(&["custody", "tpm", "provision", "--policy-key", "policy.pem"]);
    for key in ["relay", "source", "record", "wrapping"] {
        append(&["custody", "generate", key]);
    }
    let mut times = Vec::new();
    for number in 0..STARTS {
        let file = folder.join(format!("{number}.txt"));
        fs::write(&file, number.to_string()).unwrap();
        let start = Instant::now();
        run(&["attest", file.to_str().unwrap()]);
        times.push(start.elapsed().as_secs_f64() * 1_000.0);
    }
    println!("start on a sealed box to an attested event, ms   {:8.0}", median(times));
}
