use super::given::Given;
use crate::cli::failure::Failure;
use crate::cli::output::{Output, printable};
use crate::protocol::json::{Object, Value};
use crate::protocol::quorum::{Checkpoint, EvidenceStanding, Policy, Report, Standing, Verdict};
use crate::protocol::witness::fork_evidence_for_verifiers;

/// Tells how each thing stands, and the verdict at the end.
pub(super) fn tell(policy: &Policy, given: &Given, report: &Report, json: bool) -> Result<(), Failure> {
    let tell = |line: Line<'_>| if json { line.for_machines() } else { line.for_people() };
    for ((name, _), standing) in given.statements.iter().zip(&report.statements) {
        tell(statement(name, standing))?;
    }
    for ((name, _), standing) in given.evidence.iter().zip(&report.evidence) {
        tell(evidence(name, standing))?;
    }
    for split in &report.splits {
        let shown = Some(split.for_verifiers(policy.policy_id()));
        tell(Line { name: "statements", word: "REFUSES", detail: split.to_string(), shown })?;
    }
    let output = Output::new();
    if json {
        return output.json(&verdict(policy, report));
    }
    if let Some(Checkpoint { tenant_id, stream_id, seq_no, hash }) = &report.checkpoint {
        output.line(&printable(&format!("checkpoint  number {seq_no} of {stream_id} of {tenant_id}, hash {hash}")))?;
    }
    output.line(&report.to_string())
}

/// The end: a failure where the checkpoint is not to be relied on.
pub(super) fn end(report: &Report) -> Result<u8, Failure> {
    let message = format!("{report}");
    match &report.verdict {
        Verdict::Reached => Ok(0),
        Verdict::NotReached => Err(Failure::data(message, "Each statement is named above with why it does not count.")),
        Verdict::Refused(_) if report.is_a_fork() => {
            Err(Failure::data(message, "Rely on nothing of this stream. Keep these files: they are the proof."))
        }
        Verdict::Refused(_) => Err(Failure::data(message, "Say which one with --checkpoint HASH.")),
    }
}

/// How one thing stands.
struct Line<'a> {
    /// Where it was found.
    name: &'a str,
    word: &'static str,
    detail: String,
    /// Ambiguous history as the platform's verifiers show it.
    shown: Option<Object>,
}

impl Line<'_> {
    fn for_people(self) -> Result<(), Failure> {
        let output = Output::new();
        output.line(&format!("{:11}  {}  {}", self.word, printable(self.name), printable(&self.detail)))?;
        self.shown.map_or(Ok(()), |shown| output.json(&shown))
    }

    fn for_machines(self) -> Result<(), Failure> {
        let object = Object::new().with("name", self.name).with("standing", self.word.to_lowercase());
        let object = object.with("detail", self.detail);
        Output::new().json(&self.shown.into_iter().fold(object, |object, shown| object.with("evidence", shown)))
    }
}

fn statement<'a>(name: &'a str, standing: &Standing) -> Line<'a> {
    let word = if matches!(standing, Standing::Counted(_)) { "counted" } else { "not counted" };
    Line { name, word, detail: standing.to_string(), shown: None }
}

fn evidence<'a>(name: &'a str, standing: &EvidenceStanding) -> Line<'a> {
    let (word, shown) = match standing {
        EvidenceStanding::Refuses { evidence, .. } => ("REFUSES", Some(fork_evidence_for_verifiers(evidence))),
        EvidenceStanding::OtherStream { .. } | EvidenceStanding::PassedOver(_) => ("passed over", None),
    };
    Line { name, word, detail: standing.to_string(), shown }
}

fn verdict(policy: &Policy, report: &Report) -> Object {
    let word = match &report.verdict {
        Verdict::NotReached => "not-reached",
        Verdict::Reached => "reached",
        Verdict::Refused(_) => "refused",
    };
    let checkpoint = report.checkpoint.as_ref().map(|checkpoint| {
        Object::new()
            .with("tenantId", checkpoint.tenant_id.as_str())
            .with("streamId", checkpoint.stream_id.as_str())
            .with("checkpointSeqNo", checkpoint.seq_no)
            .with("checkpointHash", checkpoint.hash.as_str())
    });
    let witnesses: Vec<Value> = report.counted.iter().map(|name| name.as_str().into()).collect();
    Object::new()
        .with("verdict", word)
        .with("detail", report.to_string())
        .with("policyId", policy.policy_id())
        .with("checkpoint", checkpoint)
        .with("required", report.required)
        .with("of", report.of)
        .with("witnesses", witnesses)
}
