//! A feed of submissions, which a witness asks for (section 6, ours): `GET /witness/v1/feed?after=N` gives
//! `{"items":[{"n","submission"}…],"next":N}`.

use super::{Submission, SubmissionError};
use crate::protocol::json::{Object, Value};
use crate::protocol::member::{self, MemberError};

/// A page of a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// What is submitted, by rising numbers.
    pub items: Vec<Item>,
    /// What to ask for the next page with: nothing up to this number is left to be given. Not to be kept: a feed that
    /// says too much here then loses nothing that a restart does not bring.
    pub next: i64,
}

/// One item of a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its number in the feed, from 1.
    pub n: i64,
    /// What is submitted, or why it is no checkpoint: one bad item does not stop a feed.
    pub submission: Result<Submission, Malformed>,
}

/// Why an item holds no checkpoint. It never will: the item is passed over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It is not in the form of a submission.
    #[error(transparent)]
    Form(#[from] MemberError),
    /// A number or a hash in it cannot be one.
    #[error(transparent)]
    Submission(#[from] SubmissionError),
}

/// Why a page is refused, whole: whoever made it does not speak this protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// Something around the submissions is missing, too many or of another type.
    #[error(transparent)]
    Form(#[from] MemberError),
    /// The next page would begin before the end of this one.
    #[error("`next` is {next}, and the page goes to {last}")]
    Next {
        /// What `next` is.
        next: i64,
        /// The last number that is known.
        last: i64,
    },
    /// The numbers of the items do not rise from what was asked for.
    #[error("item {n} does not come behind {last}")]
    Order {
        /// The number of the item.
        n: i64,
        /// The number before it.
        last: i64,
    },
}

impl Page {
    /// Reads the answer to a request for what comes after `after`. A submission that names no witness is for
    /// `witness_id`; whether one that does names the right one is for the witness to say.
    pub fn from_object(object: &Object, after: i64, witness_id: &str) -> Result<Self, PageError> {
        only(object, &["items", "next"])?;
        let items = object.get("items").and_then(Value::as_array).ok_or_else(|| MemberError::new("items"))?;
        let mut last = after;
        let items = items.iter().map(|item| {
            let item = read_item(item, witness_id)?;
            if item.n <= last {
                return Err(PageError::Order { n: item.n, last });
            }
            last = item.n;
            Ok(item)
        });
        let items = items.collect::<Result<Vec<_>, _>>()?;
        let next = member::number(object, "next")?;
        if next < last {
            return Err(PageError::Next { next, last });
        }
        Ok(Self { items, next })
    }
}

fn read_item(item: &Value, witness_id: &str) -> Result<Item, MemberError> {
    let item = item.as_object().ok_or_else(|| MemberError::new("items"))?;
    only(item, &["n", "submission"])?;
    let n = member::number(item, "n")?;
    let submission = match item.get("submission") {
        None => return Err(MemberError::new("submission")),
        Some(Value::Object(submission)) => read_submission(submission, witness_id),
        Some(_) => Err(MemberError::new("submission").into()),
    };
    Ok(Item { n, submission })
}

fn read_submission(object: &Object, witness_id: &str) -> Result<Submission, Malformed> {
    let submission = Submission::from_object(object, witness_id)?;
    submission.check()?;
    Ok(submission)
}

/// Refuses a member that is none of these.
fn only(object: &Object, names: &[&str]) -> Result<(), MemberError> {
    let stranger = object.iter().find(|(name, _)| !names.contains(&name.as_str()));
    stranger.map_or(Ok(()), |(name, _)| Err(MemberError::new(name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::json;
    use crate::protocol::witness::tests::submission;

    fn posted() -> Object {
        Object::new()
            .with("tenant_id", "ten_1")
            .with("stream_id", "str_1")
            .with("checkpoint_id", "chk_2")
            .with("checkpoint_seq_no", 2_i64)
            .with("checkpoint_hash", "2b".repeat(32))
            .with("previous_checkpoint_hash", "1a".repeat(32))
    }

    fn item(n: i64, submission: impl Into<Value>) -> Object {
        Object::new().with("n", n).with("submission", submission)
    }

    fn page(items: Vec<Object>, next: i64) -> Object {
        Object::new().with("items", items).with("next", next)
    }

    fn read(object: &Object, after: i64) -> Result<Page, PageError> {
        Page::from_object(object, after, "ins_1")
    }

    fn refused(text: &str) -> PageError {
        read(&json::parse(text.as_bytes()).unwrap(), 0).unwrap_err()
    }

    #[test]
    fn a_page_gives_its_items_and_where_to_go_on() {
        let items = read(&page(vec![item(4, posted()), item(9, posted())], 12), 3).unwrap();
        assert_eq!(items.next, 12);
        let numbers: Vec<_> = items.items.iter().map(|item| item.n).collect();
        assert_eq!(numbers, [4, 9]);
        assert!(items.items.iter().all(|item| item.submission == Ok(submission())));
        assert_eq!(read(&page(Vec::new(), 3), 3), Ok(Page { items: Vec::new(), next: 3 }));
    }

    #[test]
    fn a_submission_names_its_witness_or_is_for_the_one_that_asks() {
        let named = posted().with("witness_id", "ins_2");
        assert_eq!(read_submission(&named, "ins_1").unwrap().witness_id, "ins_2");
        let unnamed = posted().with("witness_id", Value::Null);
        assert_eq!(read_submission(&unnamed, "ins_1").unwrap().witness_id, "ins_1");
    }

    #[test]
    fn a_first_checkpoint_may_leave_its_predecessor_out() {
        let first = r#"{"tenant_id":"t","stream_id":"s","checkpoint_id":"c","checkpoint_seq_no":1,"checkpoint_hash":"#;
        let first = json::parse(format!("{first}\"{}\"}}", "1a".repeat(32)).as_bytes()).unwrap();
        assert_eq!(read_submission(&first, "ins_1").unwrap().previous_checkpoint_hash, None);
    }

    #[test]
    fn one_bad_item_is_named_and_stops_no_other() {
        let bad: [Value; 6] = [
            Value::Null,
            Object::new().into(),
            posted().with("surprise", true).into(),
            posted().with("checkpoint_seq_no", "2").into(),
            posted().with("checkpoint_seq_no", 0_i64).into(),
            posted().with("checkpoint_hash", "2B".repeat(32)).into(),
        ];
        for bad in bad {
            let items = read(&page(vec![item(1, bad), item(2, posted())], 2), 0).unwrap().items;
            assert!(items[0].n == 1 && items[0].submission.is_err(), "{items:?}");
            assert_eq!(items[1], Item { n: 2, submission: Ok(submission()) });
        }
    }

    #[test]
    fn numbers_that_do_not_rise_refuse_the_page() {
        let order = |numbers: &[i64], after| {
            let items = numbers.iter().map(|n| item(*n, posted())).collect();
            read(&page(items, 99), after).unwrap_err()
        };
        assert_eq!(order(&[4, 4], 3), PageError::Order { n: 4, last: 4 });
        assert_eq!(order(&[5, 4], 3), PageError::Order { n: 4, last: 5 });
        assert_eq!(order(&[3], 3), PageError::Order { n: 3, last: 3 });
    }

    #[test]
    fn a_next_that_goes_back_refuses_the_page() {
        assert_eq!(read(&page(vec![item(4, posted())], 3), 0), Err(PageError::Next { next: 3, last: 4 }));
        assert_eq!(read(&page(Vec::new(), 2), 3), Err(PageError::Next { next: 2, last: 3 }));
    }

    #[test]
    fn whatever_else_is_wrong_around_the_submissions_refuses_the_page() {
        for (text, member) in [
            (r#"{"next":1}"#, "items"),
            (r#"{"items":{},"next":1}"#, "items"),
            (r#"{"items":[1],"next":1}"#, "items"),
            (r#"{"items":[]}"#, "next"),
            (r#"{"items":[],"next":"1"}"#, "next"),
            (r#"{"items":[],"next":1.0}"#, "next"),
            (r#"{"items":[],"next":1,"more":true}"#, "more"),
            (r#"{"items":[{"submission":{}}],"next":1}"#, "n"),
            (r#"{"items":[{"n":1}],"next":1}"#, "submission"),
            (r#"{"items":[{"n":1,"submission":{},"x":0}],"next":1}"#, "x"),
        ] {
            assert_eq!(refused(text), PageError::Form(MemberError::new(member)), "{text}");
        }
    }
}
