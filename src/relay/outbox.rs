use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use super::{Client, Drain, DrainConfig};
use crate::facts::{Clock, Digest};
use crate::protocol::json::Object;
use crate::spool::{ContentId, NewEvent, Spool, SpoolError};

/// The stream in which a witness's answers are posted, one after the other.
const STREAM: &str = "witness";

/// What a witness signed for the items of a feed, on its way to the receiver, in a spool of its own. Its relay and that
/// of the events have nothing in common: neither stops the other.
#[derive(Debug, Clone)]
pub struct Outbox {
    spool: Arc<Spool>,
    path: PathBuf,
}

impl Outbox {
    /// Takes the spool at `path` for an outbox. One that holds events is refused.
    pub async fn new(path: &Path, spool: Arc<Spool>) -> Result<Self, SpoolError> {
        spool.make_outbox().await?;
        Ok(Self { spool, path: path.to_owned() })
    }

    /// The number of the last item that was read: its line is spooled, or it was refused for good. 0 at first.
    pub async fn position(&self) -> Result<i64, SpoolError> {
        Ok(self.spool.feed_position().await?.unwrap_or_default())
    }

    /// Spools what was signed, each line with the number of its item, and keeps `position`, the number of the last item
    /// that was read; both are durable when this returns, or neither. Items up to there without a line were refused for
    /// good.
    ///
    /// A line is what `witness-checkpoint` prints (section 6). For an item that has one already, that one stays.
    pub async fn read_up_to(&self, position: i64, lines: Vec<(i64, Object)>) -> Result<(), SpoolError> {
        let event = |(n, line): (i64, Object)| {
            let payload = Zeroizing::new(line.to_canonical());
            NewEvent {
                stream_id: STREAM.to_owned(),
                source_ref: format!("feed:{n}"),
                content: ContentId::payload(Digest::of(&payload)),
                payload,
                allow_ref_reuse: false,
            }
        };
        self.spool.read_up_to(position, lines.into_iter().map(event).collect()).await
    }

    /// The relay of this outbox: posts each line as it is to the endpoint of `client`, until a 200 or 201. What counts
    /// against a line, what parks the receiver and how long each waits is as it is for events (section 5), but a
    /// revocation only parks. As [`Drain::start`], it takes the relay's role.
    pub async fn drain(&self, client: Client, clock: Arc<dyn Clock>, config: DrainConfig) -> Result<Drain, SpoolError> {
        Drain::start_outbox(&self.path, self.spool.clone(), client, clock, config).await
    }
}
