use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

/// How much of something each user has, so that none keeps the others out.
#[derive(Debug)]
pub(super) struct Shares {
    /// Of one user.
    most: usize,
    taken: Mutex<HashMap<u32, usize>>,
}

/// What is counted until this is dropped.
#[derive(Debug)]
pub(super) struct Share {
    uid: u32,
    taken: usize,
    shares: Arc<Shares>,
}

impl Shares {
    /// So many for each user.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, taken: Mutex::default() })
    }

    /// One more; `None` where this user has enough.
    pub(super) fn take(self: &Arc<Self>, uid: u32) -> Option<Share> {
        self.take_many(uid, 1)
    }

    /// So many more; `None` where this user would have too many.
    pub(super) fn take_many(self: &Arc<Self>, uid: u32, many: usize) -> Option<Share> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let of_one = taken.get(&uid).copied().unwrap_or_default();
        if many > self.most - of_one {
            return None;
        }
        taken.insert(uid, of_one + many);
        Some(Share { uid, taken: many, shares: self.clone() })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.shares.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut of_one) = taken.entry(self.uid) {
            *of_one.get_mut() -= self.taken;
            if *of_one.get() == 0 {
                of_one.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_user_has_a_share_and_gets_it_back() {
        let shares = Shares::new(2);
        let first = shares.take(1).unwrap();
        let _second = shares.take(1).unwrap();
        assert!(shares.take(1).is_none());
        assert!(shares.take(2).is_some());
        drop(first);
        assert!(shares.take(1).is_some());
        assert_eq!(shares.taken.lock().unwrap().keys().collect::<Vec<_>>(), [&1]);
    }

    #[test]
    fn what_is_taken_together_comes_back_together() {
        let shares = Shares::new(10);
        let most = shares.take_many(1, 7).unwrap();
        assert!(shares.take_many(1, 4).is_none() && shares.take_many(2, 11).is_none());
        let _rest = shares.take_many(1, 3).unwrap();
        assert!(shares.take(1).is_none());
        drop(most);
        assert!(shares.take_many(1, 8).is_none() && shares.take_many(1, 7).is_some());
    }
}
