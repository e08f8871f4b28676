use crate::custody::{CustodyError, KeyUse};
use crate::facts::{Digest, EventId, Timestamp};
use crate::protocol::audit::SignedHead;
use crate::protocol::json::{Object, Value};

/// Something that happened or is about to: names, numbers and hashes, and never a value. `docs/audit.md` lists them all.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    kind: &'static str,
    is_privileged: bool,
    object: Object,
}

/// How much an entry matters to whoever watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The course of things.
    Info,
    /// An operator did something, or keys changed.
    Notice,
    /// Something was refused or failed.
    Warning,
    /// Somebody has to look at it.
    Alert,
}

/// The kinds that the log itself reads.
pub(super) const BLOB_WRITTEN: &str = "BlobWritten";
pub(super) const FILE_BEGUN: &str = "FileBegun";
pub(super) const FILE_ENDED: &str = "FileEnded";
pub(super) const HEAD_SIGNED: &str = "HeadSigned";
pub(super) const LOG_BEGUN: &str = "LogBegun";
pub(super) const LOG_PRUNED: &str = "LogPruned";
/// A text that is longer is cut, so that no entry outgrows a line: what others name may be of any length.
const LONGEST_TEXT: usize = 1024;

/// Every kind of entry.
pub const KINDS: [&str; 26] = [
    "BlobWritten",
    "Checkpoint",
    "CommandBegun",
    "CommandEnded",
    "CommandFailed",
    "Delivered",
    "EpochDestroyed",
    "EpochRotated",
    "FileBegun",
    "FileEnded",
    "Fork",
    "HeadSigned",
    "Imported",
    "Incident",
    "KeyFailed",
    "KeyMade",
    "KeyUsed",
    "LogBegun",
    "LogPruned",
    "Parked",
    "PinRefused",
    "Receipted",
    "RecordsLost",
    "Refused",
    "Revoked",
    "TornLineCut",
];

/// How much an entry of this kind matters.
pub fn severity(kind: &str) -> Severity {
    match kind {
        "CommandBegun" | "CommandEnded" | "EpochDestroyed" | "EpochRotated" | "Imported" | "KeyMade" | LOG_BEGUN
        | LOG_PRUNED => Severity::Notice,
        "CommandFailed" | "KeyFailed" | "Parked" | "RecordsLost" | "Refused" | "TornLineCut" => Severity::Warning,
        "Fork" | "Incident" | "PinRefused" | "Revoked" => Severity::Alert,
        _ => Severity::Info,
    }
}

impl Event {
    /// A command that somebody gave: by its words, without its arguments. Everything after it with the same process
    /// number is its doing.
    pub fn command_begun(command: &str, uid: u32, login_uid: Option<u32>) -> Self {
        Self::routine("CommandBegun")
            .with("command", command)
            .with("uid", uid)
            .with("login_uid", login_uid)
            .with("version", env!("CARGO_PKG_VERSION"))
    }

    /// It ended with this exit code, and failed where that is another than 0; where a device or a key was why, with that.
    pub fn command_ended(command: &str, code: u8, cause: Option<&CustodyError>) -> Self {
        let kind = if code == 0 { "CommandEnded" } else { "CommandFailed" };
        let ended = Self::routine(kind).with("command", command).with("code", u32::from(code));
        match cause {
            None => ended,
            Some(cause) => ended
                .with("backend", cause.backend)
                .with("operation", cause.operation)
                .with("device_code", cause.code.clone())
                .with("why", cause.kind.name()),
        }
    }

    /// A key is about to be used.
    pub fn key_used(used: &KeyUse<'_>) -> Self {
        match used {
            KeyUse::Sign { purpose, domain, kid, hash, request } => Self::routine("KeyUsed")
                .with("operation", "sign")
                .with("purpose", purpose.name())
                .with("domain", domain.name())
                .with("kid", *kid)
                .with("hash", hash.to_string())
                .with("request", *request),
            KeyUse::MakeDataKey { key_id, scheme, context } => Self::data_key("make-data-key", key_id, scheme, context),
            KeyUse::OpenDataKey { key_id, scheme, context } => Self::data_key("open-data-key", key_id, scheme, context),
            KeyUse::DestroyDataKey { key_id, wrapped } => Self::routine("KeyUsed")
                .with("operation", "destroy-data-key")
                .with("purpose", "wrapping")
                .with("key_id", *key_id)
                .with("wrapped_sha256", wrapped.to_string()),
        }
    }

    fn data_key(operation: &'static str, key_id: &str, scheme: &str, context: &Digest) -> Self {
        Self::routine("KeyUsed")
            .with("operation", operation)
            .with("purpose", "wrapping")
            .with("key_id", key_id)
            .with("scheme", scheme)
            .with("context_sha256", context.to_string())
    }

    /// A key did not do what it was asked for. A refused PIN, passphrase or password has a kind of its own.
    pub fn key_failed(key: &str, request: Option<&str>, error: &CustodyError) -> Self {
        let kind = if error.is_a_refused_secret() { "PinRefused" } else { "KeyFailed" };
        Self::routine(kind)
            .with("key", key)
            .with("backend", error.backend)
            .with("operation", error.operation)
            .with("device_code", error.code.clone())
            .with("why", error.kind.name())
            .with("request", request)
    }

    /// A key was made.
    pub fn key_made(purpose: &str, backend: &str, public_key: Option<String>) -> Self {
        Self::privileged("KeyMade").with("purpose", purpose).with("backend", backend).with("public_key_hex", public_key)
    }

    /// So many events were sealed under an epoch and are on the disk, from the first to the last.
    pub fn blobs_written(request: &str, epoch: u32, blobs: usize, first: EventId, last: EventId) -> Self {
        Self::routine(BLOB_WRITTEN)
            .with("epoch", epoch)
            .with("blobs", blobs)
            .with("first", first.to_string())
            .with("last", last.to_string())
            .with("request", request)
    }

    /// A spool seals under a new epoch from now on.
    pub fn epoch_rotated(epoch: u32) -> Self {
        Self::privileged("EpochRotated").with("epoch", epoch)
    }

    /// The device keeps nothing any more of the data key that was wrapped so: no copy of it opens.
    pub(super) fn epoch_destroyed(key_id: &str, wrapped: &Digest) -> Self {
        Self::privileged("EpochDestroyed").with("key_id", key_id).with("wrapped_sha256", wrapped.to_string())
    }

    /// The receiver acknowledged an event with a matching receipt.
    pub fn receipted(request: &str, status: Option<u16>) -> Self {
        Self::routine("Receipted").with("request", request).with("status", status.map(u32::from))
    }

    /// The receiver took what a witness had signed.
    pub fn delivered(request: &str, status: Option<u16>) -> Self {
        Self::routine("Delivered").with("request", request).with("status", status.map(u32::from))
    }

    /// An event was refused: by the receiver (`conflict`, `dead`, `queued` where it is tried again), or by us.
    pub fn refused(request: &str, state: &str, error: &str, status: Option<u16>) -> Self {
        Self::routine("Refused")
            .with("request", request)
            .with("state", state)
            .with("error", error)
            .with("status", status.map(u32::from))
    }

    /// The receiver was not reached, or did not judge: nothing but a probe is sent until then.
    pub fn parked(request: &str, error: &str, until: Timestamp) -> Self {
        Self::routine("Parked").with("request", request).with("error", error).with("until", until.to_string())
    }

    /// The receiver has revoked the installation, and said so twice.
    pub fn revoked(request: &str, installation_id: &str) -> Self {
        Self::privileged("Revoked").with("request", request).with("installation_id", installation_id)
    }

    /// A witness decided about a checkpoint: `accepted`, `replayed` or `forked`.
    pub fn checkpoint(verdict: &str, tenant_id: &str, stream_id: &str, seq_no: i64) -> Self {
        let event = if verdict == "forked" { Self::privileged("Fork") } else { Self::routine("Checkpoint") };
        let event = event.with("verdict", verdict).with("tenant_id", tenant_id);
        event.with("stream_id", stream_id).with("checkpoint_seq_no", seq_no)
    }

    /// A database of the published package was taken over.
    pub fn imported(what: &str) -> Self {
        Self::privileged("Imported").with("what", what)
    }

    /// Something that should not be: a damaged record, an epoch that is not trusted.
    pub fn incident(what: &str, about: &str) -> Self {
        Self::privileged("Incident").with("what", what).with("about", about)
    }

    pub(super) fn log_begun(log_id: &str, after: Option<Object>) -> Self {
        Self::routine(LOG_BEGUN).with("log_id", log_id).with("format", 1_u32).with("after", after)
    }

    /// The first entry of a file: says what it follows on, so that it can be verified without the file before.
    pub(super) fn file_begun(log_id: &str, file: u32, previous: &Digest) -> Self {
        let event = Self::routine(FILE_BEGUN).with("log_id", log_id).with("file", file);
        event.with("previous_hash", previous.to_string())
    }

    pub(super) fn file_ended(next: u32) -> Self {
        Self::routine(FILE_ENDED).with("next", next)
    }

    pub(super) fn head_signed(head: &SignedHead) -> Self {
        Self { kind: HEAD_SIGNED, is_privileged: false, object: head.to_object() }
    }

    pub(super) fn pruned(through: u64, hash: &Digest) -> Self {
        Self::privileged(LOG_PRUNED).with("through", through).with("hash", hash.to_string())
    }

    pub(super) fn records_lost(lost: u64) -> Self {
        Self::privileged("RecordsLost").with("lost", lost)
    }

    pub(super) fn torn_line_cut(bytes: u64) -> Self {
        Self::routine("TornLineCut").with("bytes", bytes)
    }

    /// Whether a signed head follows it at once. What comes before a device is asked is not: signing asks the device too,
    /// and would spend a try of a wrong PIN.
    pub(super) const fn is_privileged(&self) -> bool {
        self.is_privileged
    }

    /// Whether it is a signed head, which needs none itself.
    pub(super) fn is_head(&self) -> bool {
        self.kind == HEAD_SIGNED
    }

    /// Takes in what was written behind this, where both are told best as one.
    pub(super) fn absorb(&mut self, next: &Self) -> bool {
        let same = |member| self.object.get(member) == next.object.get(member);
        if self.kind != BLOB_WRITTEN || next.kind != BLOB_WRITTEN || !same("epoch") || !same("request") {
            return false;
        }
        let blobs = |event: &Self| event.object.get("blobs").and_then(Value::as_i64).unwrap_or(0);
        let last = next.object.get("last").cloned();
        let all = blobs(self) + blobs(next);
        self.object.insert("blobs".into(), all.into());
        self.object.insert("last".into(), last.into());
        true
    }

    /// The entry, as it goes into the log.
    pub(super) fn entry(self, seq: u64, now: &str, pid: u32) -> Object {
        self.object.with("kind", self.kind).with("seq", seq).with("time", now).with("pid", pid)
    }

    fn routine(kind: &'static str) -> Self {
        Self { kind, is_privileged: false, object: Object::new() }
    }

    fn privileged(kind: &'static str) -> Self {
        Self { kind, is_privileged: true, object: Object::new() }
    }

    fn with(self, member: &str, value: impl Into<Value>) -> Self {
        let value = match value.into() {
            Value::String(text) => Value::String(cut(text)),
            value => value,
        };
        Self { object: self.object.with(member, value), ..self }
    }
}

/// What an entry may hold of a text.
pub(super) fn cut(mut text: String) -> String {
    if text.len() > LONGEST_TEXT {
        text.truncate(text.floor_char_boundary(LONGEST_TEXT));
        text.push('…');
    }
    text
}
