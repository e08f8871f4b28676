//! The audit log through its public face: what may happen to it, and what is found of that.

#![allow(clippy::unwrap_used)]

mod change;
mod custody;
mod disk;
mod forge;
mod heads;
mod kill;
mod log;
mod model;
mod names;
mod open;
mod processes;
mod prune;
mod read;
mod recover;
mod support;
mod torn;
