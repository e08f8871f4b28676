//! HTTP/1.1 for the services: who may connect, who is at the other end, and how long anybody is waited for. Over a local
//! socket, whose peers the kernel knows, or mTLS, where they prove their key; what a request gets is a handler's.

mod path;
mod quota;
mod refused;
mod reply;
mod serve;
mod shares;
mod timed;
mod users;

pub mod mutual;
pub mod socket;

use std::io;

use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Bytes;

pub use path::percent_decoded;
pub use quota::Quota;
pub use refused::pass_over;
pub use reply::{JSON, respond};
pub use serve::Patience;
pub use shares::{Share, Shares};

/// The body of an answer. Its error breaks the connection, so that nobody takes half an answer for a whole one.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;
