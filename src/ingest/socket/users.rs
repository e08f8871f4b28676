use std::sync::Arc;

use tokio::sync::watch;

use super::serve::CONNECTIONS;
use crate::ingest::rules::Rules;
use crate::ingest::shares::{Share, Shares};

/// Connections of one user at once. Further ones are closed.
const OF_ONE: usize = CONNECTIONS / 2;

/// Connections of everybody together who may submit nothing: they may ask how the service is.
const STRANGERS: usize = 16;

/// Of one of them.
const OF_ONE_STRANGER: usize = 4;

/// How many connections each user may have.
#[derive(Debug)]
pub(super) struct Users {
    rules: watch::Receiver<Arc<Rules>>,
    own_uid: u32,
    known: Arc<Shares>,
    each_stranger: Arc<Shares>,
    /// All of them are one user here.
    strangers: Arc<Shares>,
}

/// A user's place, until it is dropped.
#[derive(Debug)]
pub(super) struct LetIn {
    _share: Share,
    _among_strangers: Option<Share>,
}

impl Users {
    /// By an allow-list. Root and `own_uid` are no strangers, whatever it says.
    pub(super) fn new(rules: watch::Receiver<Arc<Rules>>, own_uid: u32) -> Self {
        let (each_stranger, strangers) = (Shares::new(OF_ONE_STRANGER), Shares::new(STRANGERS));
        Self { rules, own_uid, known: Shares::new(OF_ONE), each_stranger, strangers }
    }

    /// Lets a user in; `None` where they, or such as they, have enough.
    pub(super) fn let_in(&self, uid: u32) -> Option<LetIn> {
        if uid == 0 || uid == self.own_uid || self.rules.borrow().knows(uid) {
            return Some(LetIn { _share: self.known.take(uid)?, _among_strangers: None });
        }
        let among_strangers = self.strangers.take(0)?;
        Some(LetIn { _share: self.each_stranger.take(uid)?, _among_strangers: Some(among_strangers) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(users: &Users, uid: u32) -> Vec<LetIn> {
        std::iter::from_fn(|| users.let_in(uid)).collect()
    }

    #[test]
    fn strangers_have_a_handful_of_places_and_keep_nobody_else_out() {
        let (_rules, seen) = watch::channel(Arc::new(Rules::of_owner(1000, None)));
        let users = Users::new(seen, 1000);
        let strangers: Vec<Vec<LetIn>> = (2001..=2005).map(|uid| taken(&users, uid)).collect();
        assert_eq!(strangers.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 4, 4, 0]);
        assert_eq!((taken(&users, 0).len(), taken(&users, 1000).len()), (OF_ONE, OF_ONE));
        drop(strangers);
        assert_eq!(taken(&users, 2005).len(), 4);
    }

    #[test]
    fn whoever_is_listed_at_run_time_is_no_stranger_any_more() {
        let (rules, seen) = watch::channel(Arc::new(Rules::new(Vec::new(), None).unwrap()));
        let users = Users::new(seen, 1000);
        assert_eq!(taken(&users, 2001).len(), OF_ONE_STRANGER);
        rules.send_replace(Arc::new(Rules::of_owner(2001, None)));
        assert_eq!(taken(&users, 2001).len(), OF_ONE);
        // Ours without being listed: whoever runs the service looks at it.
        assert_eq!(taken(&users, 1000).len(), OF_ONE);
    }
}
