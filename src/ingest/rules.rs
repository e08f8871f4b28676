use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::refusal::Refusal;
use super::submission::Submission;
use crate::http::Quota;

/// A local user who may submit events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Producer {
    /// Who.
    pub uid: u32,
    /// Into which streams: names, or with a `*` at the end beginnings of names.
    pub streams: Vec<String>,
    /// What its source_refs begin with; all of them where the list is empty.
    pub source_refs: Vec<String>,
    /// How many events, where that is limited.
    pub events_per_second: Option<u32>,
    /// Whether it may have a hash attested without its content.
    pub may_claim: bool,
    /// Whether it may have source_refs in common with others that say so too.
    pub shared: bool,
}

/// Who may submit what over the local socket.
#[derive(Debug)]
pub struct Rules {
    producers: HashMap<u32, Listed>,
    /// The stream of the audit log's heads, into which nobody else may write.
    reserved: Option<String>,
}

#[derive(Debug)]
struct Listed {
    producer: Producer,
    quota: Option<Quota>,
}

/// Why an allow-list is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// Two producers may use the same source_refs. The receiver has one event to a source_ref whatever its stream, so
    /// either could take the other's.
    #[error(
        "producers {one} and {other} may use the same source_refs, and so could take each other's: give each its own \
         source_refs, or say shared = true for both"
    )]
    Overlap {
        /// A user.
        one: u32,
        /// Another user.
        other: u32,
    },
    /// A user is listed twice.
    #[error("producer {0} is there twice")]
    Twice(u32),
}

impl Rules {
    /// What an allow-list says. `reserved` is the stream of the audit log's heads, where there is one.
    pub fn new(producers: Vec<Producer>, reserved: Option<String>) -> Result<Self, RulesError> {
        check(&producers)?;
        let now = Instant::now();
        let listed = |producer: Producer| {
            let quota = producer.events_per_second.map(|per_second| Quota::new(per_second, now));
            (producer.uid, Listed { producer, quota })
        };
        Ok(Self { producers: producers.into_iter().map(listed).collect(), reserved })
    }

    /// Without an allow-list: root and our own user may submit anything, and nobody else.
    pub fn of_owner(own_uid: u32, reserved: Option<String>) -> Self {
        let anything = |uid| Producer {
            uid,
            streams: vec!["*".into()],
            source_refs: Vec::new(),
            events_per_second: None,
            may_claim: true,
            shared: true,
        };
        let listed = |uid| (uid, Listed { producer: anything(uid), quota: None });
        Self { producers: [0, own_uid].into_iter().map(listed).collect(), reserved }
    }

    /// Whether this user may submit anything at all.
    pub fn knows(&self, uid: u32) -> bool {
        self.producers.contains_key(&uid)
    }

    /// What this user submits, where it is an event and they may submit it. Nothing is looked up for it.
    pub fn admit(&self, uid: u32, bytes: &[u8]) -> Result<Submission, Refusal> {
        let submission = Submission::read(bytes)?;
        let may = self.allows(uid, &submission.stream_id, &submission.source_ref)
            && (!submission.is_claimed() || self.may_claim(uid));
        if may { Ok(submission) } else { Err(Refusal::not_allowed()) }
    }

    /// Whether this user may use this reference.
    pub(super) fn allows(&self, uid: u32, stream_id: &str, source_ref: &str) -> bool {
        self.reserved.as_deref() != Some(stream_id)
            && self.producers.get(&uid).is_some_and(|listed| listed.producer.allows(stream_id, source_ref))
    }

    /// Whether this user may have a hash attested without its content.
    fn may_claim(&self, uid: u32) -> bool {
        self.producers.get(&uid).is_some_and(|listed| listed.producer.may_claim)
    }

    /// Takes one event of this user's quota; where there is none left, says after what time there is.
    pub(super) fn take(&self, uid: u32) -> Result<(), Duration> {
        match self.producers.get(&uid).and_then(|listed| listed.quota.as_ref()) {
            Some(quota) => quota.take(Instant::now()),
            None => Ok(()),
        }
    }
}

impl Producer {
    fn allows(&self, stream_id: &str, source_ref: &str) -> bool {
        let named = |name: &String| match name.strip_suffix('*') {
            Some(beginning) => stream_id.starts_with(beginning),
            None => stream_id == name,
        };
        self.streams.iter().any(named) && self.beginnings().any(|beginning| source_ref.starts_with(beginning))
    }

    /// What its source_refs begin with. Every text begins with the empty one.
    fn beginnings(&self) -> impl Iterator<Item = &str> {
        let any = self.source_refs.is_empty().then_some("");
        self.source_refs.iter().map(String::as_str).chain(any)
    }

    fn overlaps(&self, other: &Self) -> bool {
        let meets = |mine: &str| other.beginnings().any(|its| mine.starts_with(its) || its.starts_with(mine));
        self.beginnings().any(meets)
    }
}

/// Refuses a list with which one producer could take another's source_refs. The streams do not matter: see
/// [`RulesError::Overlap`].
fn check(producers: &[Producer]) -> Result<(), RulesError> {
    for (at, one) in producers.iter().enumerate() {
        for other in &producers[at + 1..] {
            if one.uid == other.uid {
                return Err(RulesError::Twice(one.uid));
            }
            if !(one.shared && other.shared) && one.overlaps(other) {
                return Err(RulesError::Overlap { one: one.uid, other: other.uid });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn producer(uid: u32, streams: &[&str], source_refs: &[&str]) -> Producer {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Producer {
            uid,
            streams: owned(streams),
            source_refs: owned(source_refs),
            events_per_second: None,
            may_claim: false,
            shared: false,
        }
    }

    #[test]
    fn a_producer_has_its_streams_and_its_source_refs_and_no_others() {
        let listed = producer(1001, &["invoices", "plant-*"], &["inv-", "p/"]);
        let rules = Rules::new(vec![listed], Some("plant-audit".into())).unwrap();
        for (stream_id, source_ref) in [("invoices", "inv-1"), ("plant-7", "p/1"), ("plant-", "inv-")] {
            assert!(rules.allows(1001, stream_id, source_ref), "{stream_id} {source_ref}");
        }
        for (stream_id, source_ref) in [
            ("invoices2", "inv-1"),
            ("invoice", "inv-1"),
            ("Invoices", "inv-1"),
            ("plant", "inv-1"),
            ("invoices", "in"),
            ("invoices", "INV-1"),
            ("invoices", "x-inv-1"),
            ("plant-audit", "inv-1"),
        ] {
            assert!(!rules.allows(1001, stream_id, source_ref), "{stream_id} {source_ref}");
        }
        assert!(!rules.allows(1002, "invoices", "inv-1"));
        assert!(rules.knows(1001) && !rules.knows(1002) && !rules.knows(0));
    }

    #[test]
    fn without_a_list_root_and_we_ourselves_may_submit_anything() {
        let rules = Rules::of_owner(1000, Some("audit".into()));
        assert!(rules.allows(0, "s", "r") && rules.allows(1000, "s", "r") && rules.may_claim(1000));
        assert!(!rules.allows(1001, "s", "r") && !rules.may_claim(1001) && !rules.knows(1001));
        assert!(!rules.allows(0, "audit", "r"));
    }

    #[test]
    fn producers_who_could_take_each_others_source_refs_are_refused() {
        let overlaps = |one: Producer, other: Producer| Rules::new(vec![one, other], None).map(drop);
        let overlap = Err(RulesError::Overlap { one: 1, other: 2 });
        // In other streams too: the receiver knows one event by a source_ref.
        assert_eq!(overlaps(producer(1, &["a"], &[]), producer(2, &["b"], &[])), overlap);
        assert_eq!(overlaps(producer(1, &["a"], &["x-"]), producer(2, &["a"], &["x-1"])), overlap);
        assert_eq!(overlaps(producer(1, &["a"], &["x-1", "y"]), producer(2, &["a"], &["z", "x-"])), overlap);
        assert_eq!(overlaps(producer(1, &["a"], &["x"]), producer(2, &["a"], &[])), overlap);
        assert_eq!(overlaps(producer(1, &["a"], &["x-"]), producer(2, &["a"], &["y-"])), Ok(()));

        let shared = |producer| Producer { shared: true, ..producer };
        assert_eq!(overlaps(shared(producer(1, &["a"], &[])), shared(producer(2, &["a"], &[]))), Ok(()));
        assert_eq!(overlaps(shared(producer(1, &["a"], &[])), producer(2, &["a"], &[])), overlap);
        assert_eq!(overlaps(producer(1, &["a"], &["x"]), producer(1, &["a"], &["y"])), Err(RulesError::Twice(1)));
    }
}
