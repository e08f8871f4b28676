use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::Policy;
use super::known::Known;
use crate::protocol::json::Object;
use crate::protocol::witness::ambiguous_history;

/// One number of a stream for which witnesses of the policy signed several hashes. Their statements are the proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitView {
    /// Whose stream.
    pub tenant_id: String,
    /// Which stream.
    pub stream_id: String,
    /// The number.
    pub seq_no: i64,
    /// What was signed, one of each hash.
    pub branches: Vec<Branch>,
}

/// One of several checkpoints of a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Branch {
    /// The submitter's name for it, as the statement has it; the first one where they differ.
    pub checkpoint_id: String,
    /// Its hash.
    pub hash: String,
    /// Whose statements it has, by name.
    pub witnesses: Vec<String>,
}

impl SplitView {
    /// The form in which a verifier shows it, as fork evidence is shown. It is unsigned: the statements are what
    /// proves it.
    pub fn for_verifiers(&self, detected_by: &str) -> Object {
        let checkpoints = self.branches.iter().map(|branch| (branch.checkpoint_id.as_str(), branch.hash.as_str()));
        ambiguous_history(&self.stream_id, checkpoints, detected_by)
    }
}

/// Who signed what. A witness that stands in two places contradicts itself.
impl fmt::Display for SplitView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "number {} of {} has {} hashes:", self.seq_no, self.stream_id, self.branches.len())?;
        for (at, branch) in self.branches.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma} {} by {}", branch.hash, branch.witnesses.join(" and "))?;
        }
        Ok(())
    }
}

/// The numbers with several hashes among statements that verified, old ones too: what was signed once stays signed.
/// In an order that does not depend on theirs.
pub(super) fn splits(policy: &Policy, known: &[&Known]) -> Vec<SplitView> {
    let mut numbers: BTreeMap<_, BTreeMap<&str, Signed<'_>>> = BTreeMap::new();
    for known in known {
        let submission = &known.statement.submission;
        let number = (&submission.tenant_id, &submission.stream_id, submission.checkpoint_seq_no);
        let signed = numbers.entry(number).or_default().entry(&submission.checkpoint_hash).or_default();
        signed.ids.insert(&submission.checkpoint_id);
        signed.witnesses.insert(known.witness);
    }
    let several = numbers.into_iter().filter(|(_, hashes)| hashes.len() > 1);
    let split = several.map(|((tenant_id, stream_id, seq_no), hashes)| SplitView {
        tenant_id: tenant_id.clone(),
        stream_id: stream_id.clone(),
        seq_no,
        branches: hashes.into_iter().map(|(hash, signed)| signed.branch(hash, policy)).collect(),
    });
    split.collect()
}

/// What is signed for one hash of a number.
#[derive(Default)]
struct Signed<'a> {
    ids: BTreeSet<&'a str>,
    witnesses: BTreeSet<usize>,
}

impl Signed<'_> {
    fn branch(&self, hash: &str, policy: &Policy) -> Branch {
        Branch {
            checkpoint_id: self.ids.first().copied().unwrap_or_default().to_owned(),
            hash: hash.to_owned(),
            witnesses: self.witnesses.iter().map(|&at| policy.witnesses[at].name.clone()).collect(),
        }
    }
}
