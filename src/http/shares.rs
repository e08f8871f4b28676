use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// How much of something each user has, so that none keeps the others out.
#[derive(Debug)]
pub struct Shares<K: Eq + Hash> {
    /// Of one user.
    most: usize,
    taken: Mutex<HashMap<K, usize>>,
}

/// What is counted until this is dropped.
#[derive(Debug)]
pub struct Share<K: Eq + Hash> {
    who: K,
    taken: usize,
    shares: Arc<Shares<K>>,
}

impl<K: Eq + Hash + Copy> Shares<K> {
    /// So many for each user.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, taken: Mutex::new(HashMap::new()) })
    }

    /// One more; `None` where this user has enough.
    pub fn take(self: &Arc<Self>, who: K) -> Option<Share<K>> {
        self.take_many(who, 1)
    }

    /// So many more; `None` where this user would have too many.
    pub fn take_many(self: &Arc<Self>, who: K, many: usize) -> Option<Share<K>> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let of_one = taken.get(&who).copied().unwrap_or_default();
        if many > self.most - of_one {
            return None;
        }
        taken.insert(who, of_one + many);
        Some(Share { who, taken: many, shares: self.clone() })
    }
}

impl<K: Eq + Hash> Drop for Share<K> {
    fn drop(&mut self) {
        let mut taken = self.shares.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_one) = taken.get_mut(&self.who) {
            *of_one -= self.taken;
            if *of_one == 0 {
                taken.remove(&self.who);
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
