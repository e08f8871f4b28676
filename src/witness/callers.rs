use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use crate::facts::Digest;
use crate::http::Quota;

/// Who may ask the witness for what. Whoever is not known is a stranger.
#[derive(Debug)]
pub struct Callers {
    own_uid: u32,
    operator: Arc<Caller>,
    by_uid: HashMap<u32, Arc<Caller>>,
    by_key: HashMap<Digest, Arc<Caller>>,
}

/// Whoever is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Over mTLS: the SHA-256 of the public key of their certificate.
    Key(Digest),
    /// Over the local socket.
    Uid(u32),
}

/// Somebody who submits.
#[derive(Debug, Clone)]
pub struct Submitter {
    /// What streams are pinned to.
    pub name: String,
    /// For whom they speak.
    pub tenants: BTreeSet<String>,
    /// Over the local socket.
    pub uid: Option<u32>,
    /// Over mTLS.
    pub key: Option<Digest>,
    /// How many requests; `None`: [`PER_SECOND`].
    pub per_second: Option<u32>,
}

/// How many requests a submitter may make in a second where nobody says otherwise: more than one witness answers.
pub const PER_SECOND: u32 = 10_000;

/// What an operator is called as a submitter.
pub const OPERATOR: &str = "operator";

/// Somebody who is known.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) name: String,
    /// `None`: all of them.
    pub(super) tenants: Option<BTreeSet<String>>,
    /// `None`: as many as they like.
    pub(super) quota: Option<Quota>,
}

impl Callers {
    /// These, beside root and `own_uid` over the local socket, who are the operator.
    pub fn new(submitters: Vec<Submitter>, own_uid: u32) -> Self {
        let operator = Arc::new(Caller { name: OPERATOR.to_owned(), tenants: None, quota: None });
        let mut callers = Self { own_uid, operator, by_uid: HashMap::new(), by_key: HashMap::new() };
        let now = Instant::now();
        for Submitter { name, tenants, uid, key, per_second } in submitters {
            let quota = Some(Quota::new(per_second.unwrap_or(PER_SECOND), now));
            let caller = Arc::new(Caller { name, tenants: Some(tenants), quota });
            callers.by_uid.extend(uid.map(|uid| (uid, caller.clone())));
            callers.by_key.extend(key.map(|key| (key, caller.clone())));
        }
        callers
    }

    /// Whether somebody over the local socket is known.
    pub fn knows(&self, uid: u32) -> bool {
        self.find(Peer::Uid(uid)).is_some()
    }

    /// Whether somebody over mTLS is known.
    pub fn knows_key(&self, key: Digest) -> bool {
        self.find(Peer::Key(key)).is_some()
    }

    /// Whether somebody is the operator, whatever they are called as a submitter.
    pub(super) fn is_operator(&self, peer: Peer) -> bool {
        matches!(peer, Peer::Uid(uid) if uid == 0 || uid == self.own_uid)
    }

    /// Whoever is listed is who the list says, root and ourselves too.
    pub(super) fn find(&self, peer: Peer) -> Option<&Arc<Caller>> {
        let listed = match peer {
            Peer::Key(key) => self.by_key.get(&key),
            Peer::Uid(uid) => self.by_uid.get(&uid),
        };
        listed.or_else(|| self.is_operator(peer).then_some(&self.operator))
    }
}

impl Caller {
    pub(super) fn speaks_for(&self, tenant: &str) -> bool {
        self.tenants.as_ref().is_none_or(|tenants| tenants.contains(tenant))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(name: &str, uid: Option<u32>, key: Option<Digest>) -> Submitter {
        Submitter { name: name.into(), tenants: ["ten_1".to_owned()].into(), uid, key, per_second: None }
    }

    fn name(callers: &Callers, peer: Peer) -> Option<&str> {
        callers.find(peer).map(|caller| caller.name.as_str())
    }

    #[test]
    fn somebody_is_known_by_their_uid_or_their_key() {
        let key = Digest::of(b"key");
        let callers = Callers::new(vec![listed("a", Some(1001), None), listed("b", None, Some(key))], 1000);
        assert_eq!(name(&callers, Peer::Uid(1001)), Some("a"));
        assert_eq!(name(&callers, Peer::Key(key)), Some("b"));
        assert_eq!(name(&callers, Peer::Uid(1002)), None);
        assert_eq!(name(&callers, Peer::Key(Digest::of(b"other"))), None);
        let caller = callers.find(Peer::Uid(1001)).unwrap();
        assert!(caller.speaks_for("ten_1") && !caller.speaks_for("ten_2"));
    }

    #[test]
    fn root_and_ourselves_are_the_operator_under_the_name_that_the_list_gives_them() {
        let callers = Callers::new(vec![listed("a", Some(1000), None)], 1000);
        assert_eq!(name(&callers, Peer::Uid(0)), Some(OPERATOR));
        assert_eq!(name(&callers, Peer::Uid(1000)), Some("a"));
        assert!(callers.is_operator(Peer::Uid(0)) && callers.is_operator(Peer::Uid(1000)));
        assert!(!callers.is_operator(Peer::Uid(1001)) && !callers.is_operator(Peer::Key(Digest::of(b"key"))));
        assert!(callers.find(Peer::Uid(0)).unwrap().speaks_for("any"));
        assert!(!callers.find(Peer::Uid(1000)).unwrap().speaks_for("any"));
    }
}
