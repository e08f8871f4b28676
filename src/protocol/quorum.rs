//! Whether enough witnesses agree on a checkpoint (section 6): a policy, the statements that witnesses signed, fork
//! evidence, and a verdict that tells of each why it counts or not. With public keys alone.

mod known;
mod policy;
mod presented;
mod report;
mod role;
mod split;
mod tally;

pub use policy::{Policy, PolicyError};
pub use presented::Presented;
pub use report::{Checkpoint, EvidenceStanding, MissingRole, Reason, Refusal, Report, Standing, Verdict};
pub use role::Role;
pub use split::{Branch, SplitView};

use std::collections::BTreeSet;

use super::json::Object;
use super::witness::Submission;
use crate::facts::{Digest, Timestamp};
use known::Known;
use tally::Tally;

/// Judges receipts of witnesses about one checkpoint: the one whose hash is `asked`, or the one that all of them are
/// about. A witness counts once, whichever of its keys signed and however often.
///
/// Refused, however many agree, where `evidence` holds fork evidence about the stream that a key of the policy signed,
/// or where such keys signed two hashes for one number of it. What other keys signed, or nobody, is told of and changes
/// nothing: anybody can make such.
///
/// ```
/// use local_vault::facts::Timestamp;
/// use local_vault::protocol::quorum::{Policy, Verdict, verify};
/// use local_vault::protocol::{PublicKey, json};
///
/// let policy = json::parse(br#"{"policy_id": "p", "required": 1, "witnesses": ["customer-local-vault"]}"#).unwrap();
/// let key = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8";
/// let keys = [("customer-local-vault".to_owned(), PublicKey::from_hex(key).unwrap())];
/// let policy = Policy::from_object(&policy, &keys).unwrap();
///
/// let stranger = json::parse(br#"{"witness_receipt_id": "lwr_1"}"#).unwrap();
/// let report = verify(&policy, None, &[stranger], &[], Timestamp::from_millis(1_800_000_000_000));
/// assert_eq!(report.verdict, Verdict::NotReached);
/// assert_eq!(report.to_string(), "quorum not reached: 0 of 1 witnesses, required 1");
/// assert_eq!(
///     report.statements[0].to_string(),
///     "the member `public_key.public_key_hex` is not as the contract has it"
/// );
/// ```
pub fn verify(
    policy: &Policy,
    asked: Option<&Digest>,
    statements: &[Object],
    evidence: &[Object],
    now: Timestamp,
) -> Report {
    let read: Vec<_> = statements.iter().map(|receipt| known::statement(policy, receipt)).collect();
    let known: Vec<&Known> = read.iter().flatten().collect();
    let scope = Scope::of(&known, asked);
    let inside: Vec<&Known> = known.into_iter().filter(|known| scope.holds(&known.statement.submission)).collect();
    let splits = split::splits(policy, &inside);
    let evidence: Vec<_> = evidence.iter().map(|sealed| weigh(policy, &scope, sealed)).collect();
    let mut tally = Tally::new(policy, &scope, now);
    let statements = read.into_iter().map(|read| tally.stand(read)).collect();
    let (counted, missing) = (tally.counted(), tally.missing());

    let mut refusals = Vec::new();
    if evidence.iter().any(|standing| matches!(standing, EvidenceStanding::Refuses { .. })) {
        refusals.push(Refusal::ForkEvidence);
    }
    if !splits.is_empty() {
        refusals.push(Refusal::SplitView);
    }
    if refusals.is_empty() && scope.candidates.len() > 1 {
        refusals.push(Refusal::SeveralCheckpoints);
    }
    let verdict = match () {
        () if !refusals.is_empty() => Verdict::Refused(refusals),
        () if counted.len() >= policy.required && missing.is_empty() => Verdict::Reached,
        () => Verdict::NotReached,
    };
    Report {
        verdict,
        checkpoint: scope.one().cloned(),
        required: policy.required,
        of: policy.witnesses.len(),
        counted,
        missing,
        splits,
        statements,
        evidence,
    }
}

/// The checkpoints that a verdict may be about. There should be one.
struct Scope {
    candidates: BTreeSet<Checkpoint>,
}

impl Scope {
    /// Statements of keys that the policy does not know have no say in it.
    fn of(known: &[&Known], asked: Option<&Digest>) -> Self {
        let asked = asked.map(Digest::to_string);
        let is_meant = |checkpoint: &Checkpoint| asked.as_ref().is_none_or(|asked| checkpoint.hash == *asked);
        let checkpoints = known.iter().map(|known| Checkpoint::from(&known.statement.submission));
        Self { candidates: checkpoints.filter(is_meant).collect() }
    }

    fn one(&self) -> Option<&Checkpoint> {
        self.candidates.first().filter(|_| self.candidates.len() == 1)
    }

    /// Whether something is about a stream in question. Where nobody knows which stream is, each one may be.
    fn holds(&self, other: &Submission) -> bool {
        let is_of_it =
            |candidate: &Checkpoint| candidate.tenant_id == other.tenant_id && candidate.stream_id == other.stream_id;
        self.candidates.is_empty() || self.candidates.iter().any(is_of_it)
    }
}

fn weigh(policy: &Policy, scope: &Scope, sealed: &Object) -> EvidenceStanding {
    match known::evidence(policy, sealed) {
        Err(reason) => EvidenceStanding::PassedOver(reason),
        Ok((at, evidence)) => {
            let witness = policy.witnesses[at].name.clone();
            if scope.holds(&evidence.submission) {
                EvidenceStanding::Refuses { witness, evidence }
            } else {
                EvidenceStanding::OtherStream { witness, evidence }
            }
        }
    }
}

impl From<&Submission> for Checkpoint {
    fn from(submission: &Submission) -> Self {
        Self {
            tenant_id: submission.tenant_id.clone(),
            stream_id: submission.stream_id.clone(),
            seq_no: submission.checkpoint_seq_no,
            hash: submission.checkpoint_hash.clone(),
        }
    }
}
