use std::path::Path;
use std::thread::{self, JoinHandle};

use prometheus::Registry;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::metrics::Metrics;
use super::{StoreError, doubt};

/// Requests that one transaction takes at most.
const BATCH: usize = 512;
/// Requests that wait at most; beyond that, callers wait.
const QUEUE: usize = 1024;

/// The one thread of this process that writes to a store: it takes what is waiting, commits it in one transaction,
/// and answers each request after the fsync. No timer: while it syncs, the next batch gathers.
///
/// Other processes may write too, so a request reads what it relies on inside its transaction.
#[derive(Debug)]
pub struct Writer {
    queue: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
    metrics: Metrics,
}

impl Writer {
    /// Takes the connection over. Panics where the system has no thread left to give.
    pub fn spawn(db: Connection, path: &Path) -> Self {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let path = path.to_owned();
        let metrics = Metrics::default();
        let measured = metrics.clone();
        let thread = thread::Builder::new().name("store".into()).spawn(move || serve(&db, jobs, &path, &measured));
        Self { queue: Some(queue), thread: Some(thread.expect("a thread to write on")), metrics }
    }

    /// Lets `registry` gather what this store measures. One store a registry.
    pub fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        self.metrics.register(registry)
    }

    /// Runs `work` in a transaction and answers after it is on the disk. Where `work` fails, its changes alone are
    /// undone. Where the commit fails, nothing that `work` gave or refused can be relied on, and its error is the
    /// answer.
    ///
    /// `work` may run a second time, after SQLite has undone the first because of another request.
    pub async fn run<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: FnMut(&Connection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Request { work, done: None, reply });
        let queue = self.queue.as_ref().ok_or(StoreError::Stopped)?;
        queue.send(job).await.map_err(|_| StoreError::Stopped)?;
        answer.await.unwrap_or_else(|_| Err(StoreError::Stopped.into()))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A panic there was reported by the panic hook already.
            let _ = thread.join();
        }
    }
}

/// A request whose types the thread does not know.
trait Job: Send {
    /// Does the work inside the open transaction; false where it failed and is to be undone.
    fn run(&mut self, db: &Connection) -> bool;
    /// Answers the caller, with the store's error where there is one.
    fn answer(self: Box<Self>, outcome: Result<(), StoreError>);
}

struct Request<T, E, F> {
    work: F,
    done: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
}

impl<T, E, F> Job for Request<T, E, F>
where
    F: FnMut(&Connection) -> Result<T, E> + Send,
    T: Send,
    E: From<StoreError> + Send,
{
    fn run(&mut self, db: &Connection) -> bool {
        let done = (self.work)(db);
        let succeeded = done.is_ok();
        self.done = Some(done);
        succeeded
    }

    fn answer(self: Box<Self>, outcome: Result<(), StoreError>) {
        let Self { work, done, reply } = *self;
        // What it holds is let go before its caller goes on: a snapshot's folder, say.
        drop(work);
        let answer = match outcome {
            Ok(()) => done.unwrap_or_else(|| Err(StoreError::Stopped.into())),
            // Also over a refusal: it may rest on a request before it, which did not happen either.
            Err(e) => Err(e.into()),
        };
        // A caller that went away has lost its answer, not its work.
        let _ = reply.send(answer);
    }
}

fn serve(db: &Connection, mut jobs: mpsc::Receiver<Box<dyn Job>>, path: &Path, metrics: &Metrics) {
    let mut batch = Vec::with_capacity(BATCH);
    while jobs.blocking_recv_many(&mut batch, BATCH) > 0 {
        while !batch.is_empty() {
            let outcome = match transact(db, &mut batch, metrics) {
                Ok(Transaction::Committed) => Ok(()),
                Ok(Transaction::GivenUp { at }) => {
                    batch.remove(at).answer(Ok(()));
                    continue;
                }
                Err(e) => Err(StoreError::sort(&e, path)),
            };
            let stop = outcome.as_ref().is_err_and(|e| !e.is_clean());
            for job in batch.drain(..) {
                job.answer(outcome.clone());
            }
            if stop {
                doubt::note(path);
                // What waits in the queue is answered by the closing channel.
                return;
            }
        }
    }
}

enum Transaction {
    /// All of it is on the disk.
    Committed,
    /// Nothing of it happened. SQLite undid the whole when the request at this place failed: no room, or the disk.
    /// That one has its own error; the others can run again without it.
    GivenUp { at: usize },
}

/// One transaction for the whole batch, with a savepoint for each request.
fn transact(db: &Connection, batch: &mut [Box<dyn Job>], metrics: &Metrics) -> rusqlite::Result<Transaction> {
    let before = db.total_changes();
    let run = |sql| db.prepare_cached(sql)?.execute([]).map(drop);
    run("BEGIN IMMEDIATE")?;
    let done = (|| {
        for (at, job) in batch.iter_mut().enumerate() {
            run("SAVEPOINT request")?;
            let succeeded = job.run(db);
            if !succeeded && db.is_autocommit() {
                return Ok(Transaction::GivenUp { at });
            }
            if !succeeded {
                run("ROLLBACK TO request")?;
            }
            run("RELEASE request")?;
        }
        // One that writes nothing syncs nothing, and says nothing of the disk.
        if db.total_changes() == before {
            run("COMMIT")?;
        } else {
            metrics.commit.observe_closure_duration(|| run("COMMIT"))?;
        }
        Ok(Transaction::Committed)
    })();
    if done.is_err() && !db.is_autocommit() {
        // The first error is the one to report.
        let _ = run("ROLLBACK");
    }
    done
}
