use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use tokio::task::{JoinHandle, spawn_blocking};

use super::failure::Failure;
use super::output::{Output, progress};
use super::vault::{Vault, required};
use crate::facts::Digest;
use crate::ingest::{Attestor, Ingest, IngestError, Prepared, Request, Subject, check_id, hash_file};
use crate::protocol::json::Object;
use crate::protocol::source::{PayloadHashOf, file_source_ref};
use crate::spool::Enqueued;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  local-vault attest report.pdf --stream-id str_reports
  local-vault attest docs/ src/ --json

A file is attested by the SHA-256 of its bytes under the reference PATH@HASH, with the path as it was given. The same
file again is the same event, and nothing is signed for it; an edited file is a new event. Inside a folder links are
not followed, and pipes, sockets and devices are passed over; how many is said on standard error.")]
pub(super) struct AttestArgs {
    /// Files, and folders with everything in them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The stream they belong to [default: installation.stream_id of the config file]
    #[arg(long)]
    stream_id: Option<String>,
    /// One JSON object a file
    #[arg(long)]
    json: bool,
}

/// Files that are hashed and signed at once, and spooled in one transaction: few enough to hold in memory.
const AT_ONCE: usize = 64;

/// A file by its content.
struct Hashed {
    path: String,
    hash: Digest,
    source_ref: String,
}

type Signed = (Hashed, Prepared);

pub(super) async fn run(vault: Vault, args: AttestArgs) -> Result<u8, Failure> {
    let stream_id = args.stream_id.or_else(|| vault.settings.stream_id.clone());
    let stream_id: Arc<str> = required(stream_id.as_deref(), "stream", "STREAM_ID", "installation.stream_id")?.into();
    check_id("stream_id", &stream_id)?;
    vault.check_stream(&stream_id)?;
    check_id("installation_id", vault.installation_id()?)?;
    let Found { files, skipped } = Found::at(&args.paths)?;
    let attestor = Arc::new(vault.attestor()?);
    let ingest = Ingest::new(vault.spool().await?, vault.audit()?);

    let bar = progress(files.len() as u64, "attesting");
    let (mut new, mut known) = (0_u64, 0_u64);
    for files in files.chunks(AT_ONCE) {
        let sign =
            |file: &PathBuf| tokio::spawn(sign(ingest.clone(), attestor.clone(), stream_id.clone(), file.clone()));
        let (signed, mut failed) = in_order(files.iter().map(sign).collect()).await;
        let (hashed, attested): (Vec<_>, Vec<_>) = signed.into_iter().unzip();
        for (file, enqueued) in hashed.iter().zip(ingest.spool_all(attested).await?) {
            let enqueued = match enqueued {
                Ok(enqueued) => enqueued,
                Err(refused) => {
                    failed = Some(Failure::from(refused).about(&file.path));
                    continue;
                }
            };
            *(if enqueued.known { &mut known } else { &mut new }) += 1;
            bar.inc(1);
            if args.json {
                bar.suspend(|| Output::new().json(&object(file, &enqueued)))?;
            }
        }
        // What is spooled stays, and the same command again goes on once the file is mended or left out.
        if let Some(failure) = failed {
            return Err(failure);
        }
    }
    bar.finish_and_clear();
    if skipped > 0 {
        Output::new().note(&format!("Passed over {skipped} in folders: links, pipes, sockets or devices."));
    }
    if !args.json {
        Output::new().line(&format!("attested {new} new, {known} known before"))?;
    }
    Ok(0)
}

/// The files in order, whichever was ready first, up to the first that failed.
async fn in_order(signing: Vec<JoinHandle<Result<Signed, Failure>>>) -> (Vec<Signed>, Option<Failure>) {
    let mut done = Vec::with_capacity(signing.len());
    for file in signing {
        match file.await.unwrap_or_else(|_| Err(Failure::software("attesting a file broke off"))) {
            Ok(signed) => done.push(signed),
            Err(failure) => return (done, Some(failure)),
        }
    }
    (done, None)
}

async fn sign(ingest: Ingest, attestor: Arc<Attestor>, stream_id: Arc<str>, file: PathBuf) -> Result<Signed, Failure> {
    let path = text(&file)?.to_owned();
    let read = move || hash_file(&file).map_err(|e| unreadable(&file, &e));
    let hash = spawn_blocking(read).await.map_err(|_| Failure::software("hashing broke off"))??;
    let source_ref = file_source_ref(&path, &hash);
    let subject = Subject {
        stream_id: stream_id.to_string(),
        source_ref: source_ref.clone(),
        payload_hash: hash,
        payload_hash_of: PayloadHashOf::Bytes,
        producer_uid: None,
        claimed: false,
    };
    let attested = ingest.attest(&attestor, subject, Request::new()).await.map_err(|e| match e {
        IngestError::Id { .. } => Failure::usage(format!("{path}: {e}"), "Give a shorter path."),
        e => Failure::from(e).about(&path),
    })?;
    Ok((Hashed { path, hash, source_ref }, attested))
}

fn object(file: &Hashed, enqueued: &Enqueued) -> Object {
    Object::new()
        .with("path", file.path.as_str())
        .with("payloadHash", file.hash.to_string())
        .with("sourceRef", file.source_ref.as_str())
        .with("eventId", enqueued.event_id.to_string())
        .with("status", enqueued.state.map(|state| state.name()))
        .with("known", enqueued.known)
}

/// What there is to attest.
#[derive(Default)]
struct Found {
    /// The files that were named and those in the folders that were, each folder's in order of their names. One that
    /// was named twice comes once.
    files: Vec<PathBuf>,
    /// What lies in the folders and is neither a file nor a folder.
    skipped: usize,
}

impl Found {
    fn at(paths: &[PathBuf]) -> Result<Self, Failure> {
        let mut found = Self::default();
        for path in paths {
            match fs::metadata(path) {
                Ok(meta) if meta.is_dir() => found.walk(path)?,
                Ok(meta) if meta.is_file() => found.files.push(path.clone()),
                // A pipe or a device has no content that could be looked at again.
                Ok(_) => return Err(unreadable(path, &io::Error::other("not a file and not a folder"))),
                Err(e) => return Err(unreadable(path, &e)),
            }
        }
        let mut seen = HashSet::new();
        found.files.retain(|file| seen.insert(file.clone()));
        Ok(found)
    }

    fn walk(&mut self, folder: &Path) -> Result<(), Failure> {
        let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let mut entries = entries.map_err(|e| unreadable(folder, &e))?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let kind = entry.file_type().map_err(|e| unreadable(&entry.path(), &e))?;
            if kind.is_dir() {
                self.walk(&entry.path())?;
            } else if kind.is_file() {
                self.files.push(entry.path());
            } else {
                self.skipped += 1;
            }
        }
        Ok(())
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::io(&format!("cannot read {}", path.display()), error)
}

/// A path as a reference can hold it.
fn text(path: &Path) -> Result<&str, Failure> {
    path.to_str().ok_or_else(|| {
        Failure::usage(format!("{} is not UTF-8", path.display()), "A source_ref is text; rename the file.")
    })
}
