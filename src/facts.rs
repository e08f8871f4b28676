//! What every room may know: identifiers, digests, the clock, secret bytes, framed bytes, names of paths.

mod clock;
mod digest;
mod framed;
mod id;
mod path;
mod secret;

pub use clock::{Clock, SystemClock, Timestamp, TimestampError};
pub use digest::{Digest, DigestError};
pub use framed::Framed;
pub use id::{EventId, IdError, random_id};
pub use path::{folder_of, with_suffix};
pub use secret::{LockedKey, SecretBytes};
