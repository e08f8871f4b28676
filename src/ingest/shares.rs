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

/// One that is counted until this is dropped.
#[derive(Debug)]
pub(super) struct Share {
    uid: u32,
    shares: Arc<Shares>,
}

impl Shares {
    /// So many for each user.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, taken: Mutex::default() })
    }

    /// One more; `None` where this user has enough.
    pub(super) fn take(self: &Arc<Self>, uid: u32) -> Option<Share> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let of_one = taken.entry(uid).or_default();
        if *of_one >= self.most {
            return None;
        }
        *of_one += 1;
        Some(Share { uid, shares: self.clone() })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.shares.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut of_one) = taken.entry(self.uid) {
            *of_one.get_mut() -= 1;
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
}
