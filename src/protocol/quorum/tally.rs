use std::collections::BTreeSet;

use super::known::Known;
use super::{Checkpoint, MissingRole, Policy, Reason, Scope, Standing};
use crate::facts::Timestamp;

/// How far a witness's clock may be ahead of ours.
const AHEAD_MILLIS: i64 = 60_000;

/// Counts witnesses, one statement after another.
pub(super) struct Tally<'a> {
    policy: &'a Policy,
    scope: &'a Scope,
    now: Timestamp,
    witnesses: BTreeSet<usize>,
}

impl<'a> Tally<'a> {
    pub(super) const fn new(policy: &'a Policy, scope: &'a Scope, now: Timestamp) -> Self {
        Self { policy, scope, now, witnesses: BTreeSet::new() }
    }

    /// Counts a statement's witness, unless something speaks against it.
    pub(super) fn stand(&mut self, read: Result<Known, Reason>) -> Standing {
        let known = match read {
            Ok(known) => known,
            Err(reason) => return Standing::NotCounted { witness: None, reason },
        };
        let name = self.policy.witnesses[known.witness].name.clone();
        match self.objection(&known) {
            Some(reason) => Standing::NotCounted { witness: Some(name), reason },
            // Last, so that an old statement of a witness takes no place from its new one.
            None if !self.witnesses.insert(known.witness) => {
                Standing::NotCounted { witness: Some(name), reason: Reason::Again }
            }
            None => Standing::Counted(name),
        }
    }

    /// Who counted, by name.
    pub(super) fn counted(&self) -> Vec<String> {
        self.witnesses.iter().map(|&at| self.policy.witnesses[at].name.clone()).collect()
    }

    /// The roles of which too few counted.
    pub(super) fn missing(&self) -> Vec<MissingRole> {
        let of = |role| self.witnesses.iter().filter(|&&at| self.policy.witnesses[at].role == Some(role)).count();
        let required = self.policy.required_roles.iter();
        let roles = required.map(|(&role, &required)| MissingRole { role, counted: of(role), required });
        roles.filter(|role| role.counted < role.required).collect()
    }

    fn objection(&self, Known { witness, statement }: &Known) -> Option<Reason> {
        let about = Checkpoint::from(&statement.submission);
        if let Some(reason) = self.elsewhere(&about) {
            return Some(reason);
        }
        let witness_id = &statement.submission.witness_id;
        if self.policy.witnesses[*witness].witness_id.as_ref().is_some_and(|id| id != witness_id) {
            return Some(Reason::OtherWitnessId(witness_id.clone()));
        }
        let accepted_at = statement.accepted_at;
        if accepted_at > self.now.plus_millis(AHEAD_MILLIS) {
            return Some(Reason::FromTheFuture(accepted_at));
        }
        let max_age = self.policy.max_age_seconds.map(|seconds| seconds.saturating_mul(1000));
        let is_old = max_age.is_some_and(|millis| accepted_at.plus_millis(millis) < self.now);
        is_old.then_some(Reason::TooOld(accepted_at))
    }

    /// Why a statement is not about the checkpoint in question.
    fn elsewhere(&self, about: &Checkpoint) -> Option<Reason> {
        let Checkpoint { tenant_id, stream_id, seq_no: number, hash } = about.clone();
        match self.scope.one() {
            Some(one) if one == about => None,
            Some(one) if (&one.tenant_id, &one.stream_id) != (&tenant_id, &stream_id) => {
                Some(Reason::OtherStream { tenant_id, stream_id })
            }
            None if self.scope.candidates.contains(about) => Some(Reason::OneOfSeveral { stream_id, number, hash }),
            _ => Some(Reason::OtherHash { number, hash }),
        }
    }
}
