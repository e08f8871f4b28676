//! A process that is killed at any point leaves a log that opens, verifies, and has all that it answered for.

#![allow(clippy::print_stdout)] // how many, and what brings them back

use std::collections::HashSet;
use std::env;

use super::processes::{recording, requests, took};
use super::support::{Place, receipted, verified};

/// Numbers that a printed seed brings back (xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

fn setting(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap())
}

#[test]
fn a_log_whose_writers_are_killed_keeps_all_that_was_answered_for() {
    let rounds = setting("LOCAL_VAULT_KILL_ROUNDS").unwrap_or(50);
    let seed = setting("LOCAL_VAULT_KILL_SEED").unwrap_or_else(|| u64::from(std::process::id()) * 0x9e37_79b9 + 1);
    println!("{rounds} kills with LOCAL_VAULT_KILL_SEED={seed}");
    let mut random = Random(seed);
    let mut place = Place::new();
    let mut answered = HashSet::new();
    for round in 0..rounds {
        if round % 50 == 49 {
            // Each log is read as a whole in each round.
            (place, answered) = (Place::new(), HashSet::new());
        }
        // Every other round, another process appends at the same time and is not killed.
        let beside = (round % 2 == 1).then(|| recording(&place.log(), &format!("b{round}"), 20));
        let mut child = recording(&place.log(), &format!("k{round}"), usize::MAX);
        let mut lines = took(&mut child);
        let before = usize::try_from(random.below(40)).unwrap();
        answered.extend(lines.by_ref().take(before));
        child.kill().unwrap();
        child.wait().unwrap();
        // What it could still say.
        answered.extend(lines);
        if let Some(mut beside) = beside {
            let expected = took(&mut beside).collect::<Vec<_>>();
            assert!(beside.wait().unwrap().success());
            assert_eq!(expected.len(), 20);
            answered.extend(expected);
        }

        place.open().record_blocking(vec![receipted(usize::try_from(round).unwrap())]).unwrap();
        verified(&place.log());
        let there = requests(&place.log());
        let missing: Vec<_> = answered.difference(&there).collect();
        assert!(missing.is_empty(), "round {round}: {missing:?}");
    }
}
