//! Witnesses checkpoints: signs what extends a stream, and fork evidence for what contradicts it (section 6).
//!
//! What is decided is committed before it is signed (I1), and a signature that a crash prevented is made when the
//! same checkpoint comes again, over the same bytes.

mod accept;
mod import;
mod schema;

pub use accept::{Counts, Verdict, Witness, WitnessError};
pub use import::{ImportError, Imported, is_published_witness};
pub use schema::SCHEMA;
