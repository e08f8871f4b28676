use super::{Submission, SubmitterSignature};
use crate::protocol::json::{Object, Value};
use crate::protocol::member::{self, MemberError};

/// A checkpoint as it is posted to a witness: as it is, or with more around it.
#[derive(Debug, Clone, PartialEq)]
pub struct Posted {
    /// The checkpoint.
    pub submission: Submission,
    /// The submitter's signature over it.
    pub signature: Option<SubmitterSignature>,
    /// Receipts of its stream that the submitter holds.
    pub known_receipts: Vec<Object>,
}

impl Posted {
    /// Reads either form strictly: the checkpoint's members, or `{"checkpoint", "submitter_signature"?,
    /// "known_receipts"?}`. Who witnesses may be left out: `witness_id` then.
    pub fn from_object(object: &Object, witness_id: &str) -> Result<Self, MemberError> {
        let Some(checkpoint) = object.get_object("checkpoint") else {
            let submission = Submission::from_object(object, witness_id)?;
            return Ok(Self { submission, signature: None, known_receipts: Vec::new() });
        };
        if let Some((more, _)) = object.iter().find(|(name, _)| !MEMBERS.contains(&name.as_str())) {
            return Err(MemberError::new(more));
        }
        let signature = match object.get("submitter_signature") {
            None | Some(Value::Null) => None,
            Some(_) => Some(member::within("submitter_signature", object, SubmitterSignature::from_object)?),
        };
        let known_receipts = match object.get("known_receipts") {
            None => Some(Vec::new()),
            Some(known) => known.as_array().and_then(|all| all.iter().map(|one| one.as_object().cloned()).collect()),
        };
        Ok(Self {
            submission: Submission::from_object(checkpoint, witness_id)?,
            signature,
            known_receipts: known_receipts.ok_or_else(|| MemberError::new("known_receipts"))?,
        })
    }
}

const MEMBERS: [&str; 3] = ["checkpoint", "submitter_signature", "known_receipts"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::witness::tests::submission;

    #[test]
    fn a_checkpoint_alone_is_one() {
        let posted = Posted::from_object(&submission().to_object(), "other").unwrap();
        assert_eq!(posted, Posted { submission: submission(), signature: None, known_receipts: Vec::new() });
    }

    #[test]
    fn what_stands_around_it_is_read_and_nothing_else_may() {
        let around = Object::new().with("checkpoint", submission().to_object());
        let known = Object::new().with("witness_receipt_id", "lwr_1");
        let object =
            around.clone().with("known_receipts", vec![known.clone()]).with("submitter_signature", Value::Null);
        let posted = Posted::from_object(&object, "ins_1").unwrap();
        assert_eq!((posted.signature, posted.known_receipts), (None, vec![known]));
        for (member, value) in
            [("surprise", Value::Null), ("known_receipts", Value::Null), ("submitter_signature", Value::Bool(true))]
        {
            let error = Posted::from_object(&around.clone().with(member, value), "ins_1");
            assert_eq!(error, Err(MemberError::new(member)));
        }
    }
}
