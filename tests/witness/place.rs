use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use local_vault::protocol::json::{self, Object};
use local_vault::protocol::witness::Submission;
use tempfile::TempDir;

/// The real binary in a folder of its own, with a config file for a witness alone.
pub(crate) struct Place {
    folder: TempDir,
}

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

const CONFIG: &str = r#"
installation.id = "ins_1"
spool.path = "spool.sqlite3"
custody.file.encryption_key_file = "encryption.key"

[custody.keys.witness]
file = "witness.key"
kid = "witness-1"

[witness]
path = "witness.sqlite3"
first_use = "accept"
"#;

const STATE: &str = "witness.sqlite3";

impl Place {
    /// With these lines under `[witness]`.
    pub(crate) fn new(witness: &str) -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        place.configure(witness);
        for (name, content) in
            [("encryption.key", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="), ("witness.key", &"11".repeat(32))]
        {
            fs::write(place.path(name), content).unwrap();
            fs::set_permissions(place.path(name), Permissions::from_mode(0o600)).unwrap();
        }
        place
    }

    pub(crate) fn configure(&self, witness: &str) {
        fs::write(self.path("local-vault.toml"), format!("{CONFIG}{witness}\n")).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_local-vault"));
        command.args(["--config", "local-vault.toml"]).args(arguments).current_dir(self.folder.path());
        let done = command.env_clear().stdin(Stdio::null()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Said { code: done.status.code(), out: text(done.stdout), err: text(done.stderr) }
    }

    pub(crate) fn submit(&self, checkpoint: &Submission) -> Said {
        let number = checkpoint.checkpoint_seq_no.to_string();
        let mut arguments = vec!["witness-checkpoint", "--tenant-id", &checkpoint.tenant_id];
        arguments.extend(["--stream-id", &checkpoint.stream_id, "--checkpoint-id", &checkpoint.checkpoint_id]);
        arguments.extend(["--checkpoint-seq-no", &number, "--checkpoint-hash", &checkpoint.checkpoint_hash]);
        if let Some(previous) = &checkpoint.previous_checkpoint_hash {
            arguments.extend(["--previous-checkpoint-hash", previous]);
        }
        self.run(&arguments)
    }

    /// Submits what must be accepted.
    pub(crate) fn accepts(&self, checkpoint: &Submission) {
        let said = self.submit(checkpoint);
        assert!(said.out.contains("\"accepted\": true"), "{said:?}");
    }

    pub(crate) fn reconcile(&self, arguments: &[&str]) -> Said {
        self.run(&[&["witness", "reconcile"], arguments].concat())
    }

    pub(crate) fn accept(&self, incident: &str, more: &[&str]) -> Said {
        let allowed = ["--accept", incident, "--allowed-by", "alice", "--reason", "a disk failed"];
        self.reconcile(&[&allowed, more].concat())
    }

    /// How many of both kinds were signed, as the command prints it.
    pub(crate) fn counts(&self) -> String {
        self.run(&["witness-counts"]).out
    }

    /// The state as it is now, for [`restore`](Self::restore). No command runs: all of it is in one file.
    pub(crate) fn copy(&self) -> Vec<u8> {
        fs::read(self.path(STATE)).unwrap()
    }

    pub(crate) fn restore(&self, copy: &[u8]) {
        self.lose();
        fs::write(self.path(STATE), copy).unwrap();
    }

    /// Takes the state away, with what SQLite keeps beside it.
    pub(crate) fn lose(&self) {
        for suffix in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(self.path(&format!("{STATE}{suffix}")));
        }
    }
}

impl Said {
    pub(crate) fn object(&self) -> Object {
        json::parse(self.out.as_bytes()).unwrap()
    }
}
