use std::hash::Hash;
use std::sync::Arc;

use super::serve::CONNECTIONS;
use super::shares::{Share, Shares};

/// Connections of one user at once. Further ones are closed.
const OF_ONE: usize = CONNECTIONS / 2;

/// Connections of everybody together who may submit nothing: they may ask how the service is.
const STRANGERS: usize = 16;

/// Of one of them.
const OF_ONE_STRANGER: usize = 4;

/// How many connections each user may have.
pub(super) struct Users<I: Eq + Hash, K> {
    knows: K,
    known: Arc<Shares<I>>,
    each_stranger: Arc<Shares<I>>,
    /// All of them are one user here.
    strangers: Arc<Shares<()>>,
}

/// A user's place, until it is dropped.
#[derive(Debug)]
pub(super) struct LetIn<I: Eq + Hash> {
    _share: Share<I>,
    _among_strangers: Option<Share<()>>,
}

impl<I: Eq + Hash + Copy, K: Fn(I) -> bool> Users<I, K> {
    /// By whom somebody knows.
    pub(super) fn new(knows: K) -> Self {
        let (each_stranger, strangers) = (Shares::new(OF_ONE_STRANGER), Shares::new(STRANGERS));
        Self { knows, known: Shares::new(OF_ONE), each_stranger, strangers }
    }

    /// Lets a user in; `None` where they, or such as they, have enough.
    pub(super) fn let_in(&self, user: I) -> Option<LetIn<I>> {
        if (self.knows)(user) {
            return Some(LetIn { _share: self.known.take(user)?, _among_strangers: None });
        }
        let among_strangers = self.strangers.take(())?;
        Some(LetIn { _share: self.each_stranger.take(user)?, _among_strangers: Some(among_strangers) })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn taken(users: &Users<u32, impl Fn(u32) -> bool>, uid: u32) -> Vec<LetIn<u32>> {
        std::iter::from_fn(|| users.let_in(uid)).collect()
    }

    #[test]
    fn strangers_have_a_handful_of_places_and_keep_nobody_else_out() {
        let users = Users::new(|uid| uid == 1000);
        let strangers: Vec<Vec<LetIn<u32>>> = (2001..=2005).map(|uid| taken(&users, uid)).collect();
        assert_eq!(strangers.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 4, 4, 0]);
        assert_eq!(taken(&users, 1000).len(), OF_ONE);
        drop(strangers);
        assert_eq!(taken(&users, 2005).len(), 4);
    }

    #[test]
    fn whoever_is_listed_at_run_time_is_no_stranger_any_more() {
        let listed = AtomicU32::new(0);
        let users = Users::new(|uid| uid == listed.load(Ordering::Relaxed));
        assert_eq!(taken(&users, 2001).len(), OF_ONE_STRANGER);
        listed.store(2001, Ordering::Relaxed);
        assert_eq!(taken(&users, 2001).len(), OF_ONE);
    }
}
