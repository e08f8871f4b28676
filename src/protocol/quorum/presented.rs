use crate::protocol::json::Object;

/// What a witness gave, as it was found in one of its forms. Nothing of it is verified.
#[derive(Debug, Clone, PartialEq)]
pub enum Presented {
    /// Fork evidence in its sealed form.
    Evidence(Object),
    /// A receipt.
    Statement(Object),
}

/// Members in which `witness-checkpoint` and the HTTP API answer.
const ANSWERS: [&str; 2] = ["receipt", "forkEvidence"];

/// Members in which a bundle has its evidence. What stands beside it is about the fork: a receipt there is of an earlier
/// checkpoint, and no statement for a quorum.
const BUNDLED: [&str; 2] = ["fork_evidence", "evidence"];

impl Presented {
    /// A receipt, sealed fork evidence, or what an object around them holds, which may be both. Empty where it is none
    /// of what a witness gives.
    pub fn all_in(object: &Object) -> Vec<Self> {
        if let Some(itself) = Self::itself(object) {
            return vec![itself];
        }
        let among = |names: [&str; 2]| -> Vec<Self> {
            names.iter().filter_map(|name| Self::itself(object.get_object(name)?)).collect()
        };
        Some(among(BUNDLED)).filter(|bundled| !bundled.is_empty()).unwrap_or_else(|| among(ANSWERS))
    }

    fn itself(object: &Object) -> Option<Self> {
        if object.get("witness_receipt_id").is_some() {
            return Some(Self::Statement(object.clone()));
        }
        object.get("fork_evidence_id").is_some().then(|| Self::Evidence(object.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::json::Value;

    #[test]
    fn every_form_of_a_witness_is_found() {
        let receipt = Object::new().with("witness_receipt_id", "lwr_1");
        let sealed = Object::new().with("fork_evidence_id", "lwf_1").with("evidence", Object::new());
        let statement = [Presented::Statement(receipt.clone())];
        let evidence = [Presented::Evidence(sealed.clone())];
        let line = Object::new().with("accepted", true);
        assert_eq!(Presented::all_in(&receipt), statement);
        assert_eq!(Presented::all_in(&sealed), evidence);
        let accepted = line.clone().with("receipt", receipt.clone()).with("forkEvidence", Value::Null);
        assert_eq!(Presented::all_in(&accepted), statement);
        for member in ["forkEvidence", "fork_evidence", "evidence"] {
            assert_eq!(Presented::all_in(&line.clone().with(member, sealed.clone())), evidence);
        }
        let both = line.with("receipt", receipt).with("forkEvidence", sealed.clone());
        assert_eq!(Presented::all_in(&both), [statement, evidence.clone()].concat());
        let bundle = both.with("fork_evidence", sealed);
        assert_eq!(Presented::all_in(&bundle), evidence);
    }

    #[test]
    fn what_no_witness_gives_is_nothing() {
        let line = Object::new().with("accepted", false).with("receipt", Value::Null).with("forkEvidence", Value::Null);
        for other in [Object::new(), line, Object::new().with("evidence", Object::new())] {
            assert_eq!(Presented::all_in(&other), []);
        }
    }
}
