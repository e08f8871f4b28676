//! Sends spooled events to the receiver, and believes nothing but a matching receipt.
//!
//! The transport is the only part that touches the network: one request a call, to one pinned receiver (I6), with
//! no redirect, no retry and no setting taken from the environment. `judge` and `retry` are pure: what an answer
//! means, and when to try again. [`Drain`] ties them to the spool.
//!
//! What a witness signs goes the same way from an [`Outbox`], a spool of its own with a drain of its own, as it is and
//! without an envelope. [`Feed`] asks for what the witness is to sign.
//! [`Heads`] asks other witnesses what they have witnessed.

mod ahead;
mod answer;
mod client;
mod delivery;
mod drain;
mod endpoint;
mod error;
mod exchange;
mod feed;
mod halt;
mod heads;
mod identity;
mod judge;
mod log;
mod metrics;
mod outbox;
mod outcome;
mod posted;
mod proxy;
mod retry;
mod trust;

pub use answer::{Answer, MAX_RETRY_AFTER, RetryAfter};
pub use client::{Client, ClientConfig, ClientError, MAX_ANSWER_BYTES, TIMEOUT};
pub use drain::{Drain, DrainConfig, Step};
pub use endpoint::{Endpoint, EndpointError};
pub use error::{CertificateProblem, TransportError};
pub use exchange::{KEY_AWAY, UNRECORDED};
pub use feed::{Feed, FeedError, MAX_PAGE_BYTES};
pub use heads::{Heads, HeadsError};
pub use identity::Identity;
pub use outbox::Outbox;
pub use outcome::Outcome;
pub use proxy::{Proxy, ProxyError};
pub use trust::{Trust, TrustError};
