use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Bytes, Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};

use super::body::{NDJSON, SMALL, pass_over};
use super::reply::Reply;
use super::{Place, Shared, refused};
use crate::http::Body;
use crate::http::socket::Peer;
use crate::ingest::group::Group;
use crate::ingest::lines::{Line, Lines};
use crate::ingest::refusal::{Code, Refusal};
use crate::ingest::submission::Submission;

/// Answers that wait for the client to take them, by group. A client that sends all of a batch before it reads has room
/// for so many groups; beyond that, it is read no further.
const ANSWERS: usize = 128;

/// A batch that is being read. Each line is answered after its commit, while further ones come.
pub(super) struct Batch {
    shared: Arc<Shared>,
    peer: Peer,
    body: Incoming,
    lines: Lines,
    group: Group,
    answers: mpsc::Sender<Option<Bytes>>,
    _place: Place,
}

/// Why a batch ends before its body does: its client has gone, or nothing more is looked at.
enum End {
    Gone,
    Cut,
}

/// What came.
enum Came {
    Bytes(Bytes),
    End,
    /// Nothing for now, and lines wait.
    Nothing,
    /// Nothing, and nothing more is taken.
    Closed,
}

impl Batch {
    /// Begins to read, in a task of its own. It ends with the connection.
    pub(super) fn start(shared: Arc<Shared>, peer: Peer, body: Incoming, place: Place) -> Response<Body> {
        let (answers, taken) = mpsc::channel(ANSWERS);
        let (lines, group) = (Lines::default(), Group::default());
        let batch = Self { shared, peer, body, lines, group, answers, _place: place };
        tokio::spawn(batch.run());
        let mut response = Response::new(Answers { taken, is_whole: false }.boxed_unsync());
        *response.status_mut() = StatusCode::OK;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(NDJSON));
        response
    }

    async fn run(mut self) {
        match self.read().await {
            Ok(()) => {}
            Err(End::Gone) => return,
            Err(End::Cut) => pass_over(&mut self.body, &self.shared).await,
        }
        // Where nobody takes it any more, nobody misses it.
        let _ = self.answers.send(None).await;
    }

    /// Reads every line. What is left of the group when this fails was not looked at.
    async fn read(&mut self) -> Result<(), End> {
        let mut deadline = Instant::now() + self.shared.patience;
        loop {
            // Blank lines are nothing that was waited for.
            if self.take_lines().await? {
                deadline = Instant::now() + self.shared.patience;
            }
            match timeout_at(deadline, self.next()).await {
                Ok(came) => match came? {
                    Came::Bytes(bytes) => self.lines.push(&bytes),
                    Came::Nothing => self.commit().await?,
                    Came::Closed => return self.cut(Refusal::stopping()).await,
                    Came::End => {
                        self.take_last().await?;
                        return self.commit().await;
                    }
                },
                Err(_) => {
                    self.commit().await?;
                    let late = Refusal::new(Code::BodyTimeout, "the next line did not come in time");
                    return self.cut(late).await;
                }
            }
        }
    }

    async fn next(&mut self) -> Result<Came, End> {
        let came = tokio::select! {
            biased;
            frame = self.body.frame() => frame,
            () = std::future::ready(()), if !self.group.is_empty() => return Ok(Came::Nothing),
            () = self.shared.closed() => return Ok(Came::Closed),
        };
        match came {
            None => Ok(Came::End),
            Some(Ok(frame)) => Ok(Came::Bytes(frame.into_data().unwrap_or_default())),
            Some(Err(_)) => Err(End::Gone),
        }
    }

    /// Takes every whole line there is, each after its part of the quota and before it is parsed. Whether there was one
    /// that is not blank.
    async fn take_lines(&mut self) -> Result<bool, End> {
        let mut is_any = false;
        while self.lines.has_line() {
            self.wait_for_quota().await?;
            if let Some(line) = self.lines.next_unless_blank() {
                let line = read(&self.shared, self.peer, line).await;
                self.take(line).await?;
                is_any = true;
            }
        }
        Ok(is_any)
    }

    async fn take_last(&mut self) -> Result<(), End> {
        if !self.lines.has_rest() {
            return Ok(());
        }
        self.wait_for_quota().await?;
        if let Some(line) = self.lines.last_line() {
            let line = read(&self.shared, self.peer, line).await;
            self.take(line).await?;
        }
        Ok(())
    }

    async fn take(&mut self, (number, bytes, line): Taken) -> Result<(), End> {
        self.group.push(number, bytes, line);
        if self.group.is_full() { self.commit().await } else { Ok(()) }
    }

    /// In a batch a quota slows down and refuses nothing.
    async fn wait_for_quota(&mut self) -> Result<(), End> {
        while let Err(wait) = self.shared.rules().take(self.peer.uid) {
            self.commit().await?;
            if self.answers.is_closed() {
                return Err(End::Gone);
            }
            sleep(wait).await;
        }
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), End> {
        if self.group.is_empty() {
            return Ok(());
        }
        let desk = match self.shared.desk() {
            Ok(desk) => desk,
            Err(away) => return self.cut(away).await,
        };
        let settled = self.group.commit(&desk, Some(self.peer.uid)).await;
        let mut answers = Vec::with_capacity(settled.lines.len() * 192);
        for (number, line) in settled.lines {
            let reply = match line {
                Ok(placed) => Reply::event(&placed.stream_id, &placed.source_ref, &placed.enqueued),
                Err(refusal) => refused(self.peer, refusal),
            };
            reply.write_line(number, &mut answers);
        }
        self.answer(answers).await?;
        if settled.is_cut { Err(End::Cut) } else { Ok(()) }
    }

    /// Ends the batch at the first line that has no answer yet.
    async fn cut(&mut self, refusal: Refusal) -> Result<(), End> {
        let mut answer = Vec::new();
        let number = self.group.first().unwrap_or(self.lines.number() + 1);
        refused(self.peer, refusal).write_line(number, &mut answer);
        self.answer(answer).await?;
        Err(End::Cut)
    }

    async fn answer(&self, lines: Vec<u8>) -> Result<(), End> {
        self.answers.send(Some(lines.into())).await.map_err(|_| End::Gone)
    }
}

/// A line with its number and length, and what was submitted on it.
type Taken = (u64, usize, Result<Submission, Refusal>);

async fn read(shared: &Shared, peer: Peer, line: Line<'_>) -> Taken {
    let submission = match line.bytes {
        None => Err(Refusal::too_large()),
        Some(bytes) if bytes.len() > SMALL => shared.admit_apart(peer, Bytes::copy_from_slice(bytes)).await,
        Some(bytes) => shared.rules().admit(peer.uid, bytes),
    };
    (line.number, line.bytes.map_or(0, <[u8]>::len), submission)
}

/// The answers as they come. Where the batch breaks off, so does the connection: what has no answer is not to be taken
/// for done.
struct Answers {
    taken: mpsc::Receiver<Option<Bytes>>,
    is_whole: bool,
}

impl HttpBody for Answers {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.is_whole {
            return Poll::Ready(None);
        }
        self.taken.poll_recv(cx).map(|answer| match answer {
            Some(Some(lines)) => Some(Ok(Frame::data(lines))),
            Some(None) => {
                self.is_whole = true;
                None
            }
            None => Some(Err(io::ErrorKind::BrokenPipe.into())),
        })
    }
}
