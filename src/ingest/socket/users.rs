use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use super::Peer;
use super::serve::CONNECTIONS;

/// Connections of one user at once, so that none keeps the others out. Further ones are closed.
const CONNECTIONS_OF_ONE: usize = CONNECTIONS / 2;

/// How many connections each user has.
#[derive(Debug, Default)]
pub(super) struct Users(Mutex<HashMap<u32, usize>>);

/// A connection that is counted until this is dropped.
pub(super) struct User {
    pub(super) peer: Peer,
    users: Arc<Users>,
}

impl Users {
    /// `None` where this user has enough.
    pub(super) fn enter(self: &Arc<Self>, peer: Peer) -> Option<User> {
        let mut users = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let connections = users.entry(peer.uid).or_default();
        if *connections >= CONNECTIONS_OF_ONE {
            return None;
        }
        *connections += 1;
        Some(User { peer, users: self.clone() })
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let mut users = self.users.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut connections) = users.entry(self.peer.uid) {
            *connections.get_mut() -= 1;
            if *connections.get() == 0 {
                connections.remove();
            }
        }
    }
}
