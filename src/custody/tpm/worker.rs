use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::config::TpmConfig;
use super::error;
use super::fault::{Fault, Remedy};
use super::link::Link;
use super::memory::Memory;
use crate::custody::{CustodyError, ErrorKind};

/// A TPM, whether it is there or not. It is connected to when it is first asked for something, and again when it was
/// away. One thread speaks with it.
pub struct Tpm {
    config: Arc<TpmConfig>,
    jobs: Mutex<Option<Sender<Job>>>,
    worker: Mutex<Option<JoinHandle<()>>>,
}

type Job = Box<dyn FnOnce(&mut Worker) + Send>;

/// So long a caller waits. A TPM may take seconds to make a key.
const PATIENCE: Duration = Duration::from_secs(60);

/// Without a resource manager in between, others wait until we are gone: when nothing was asked for so long, and at the
/// latest after so long.
const IDLE: Duration = Duration::from_millis(20);
const HELD: Duration = Duration::from_secs(2);

/// Then somebody who waits is faster than we are.
const YIELD: Duration = Duration::from_millis(1);

/// For so long nobody looks again for a TPM that was not there, so that a queue of requests does not wait for each of
/// them in turn.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How often something is done again that the TPM asks to be done again, and the first pause, which doubles.
const TRIES: u32 = 8;
const PAUSE: Duration = Duration::from_millis(5);

impl Tpm {
    /// The TPM of this configuration. Touches nothing.
    /// Panics where the system has no thread left to give.
    pub fn new(config: TpmConfig) -> Arc<Self> {
        let config = Arc::new(config);
        let (jobs, queue) = mpsc::channel();
        let worker =
            Worker { config: config.clone(), memory: Arc::default(), link: None, since: Instant::now(), missed: None };
        let thread = thread::Builder::new().name("tpm".into());
        let worker = thread.spawn(move || worker.serve(&queue)).expect("a thread for the TPM");
        Arc::new(Self { config, jobs: Mutex::new(Some(jobs)), worker: Mutex::new(Some(worker)) })
    }

    /// As it was configured.
    pub fn config(&self) -> &TpmConfig {
        &self.config
    }

    /// Works with the TPM on its thread. Blocks. What is asked may be done more than once: over a new connection where
    /// the old one broke, with a fresh session where a PCR changed, and where the TPM says that it is busy.
    pub(super) fn run<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut Link) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, CustodyError> {
        let (say, said) = mpsc::channel();
        let given_up = Arc::new(AtomicBool::new(false));
        // What the TPM warns of belongs to what it was asked for.
        let (is_given_up, span) = (given_up.clone(), tracing::Span::current());
        let job: Job = Box::new(move |worker| {
            // For a caller that gave up nothing is begun, and it is told nothing.
            if !is_given_up.load(Ordering::Acquire) {
                let _ = say.send(span.in_scope(|| worker.run(work)));
            }
        });
        let queue = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = queue.as_ref().is_some_and(|queue| queue.send(job).is_ok());
        drop(queue);
        let silent = |why| error(ErrorKind::Away, "connect", format!("the TPM does not answer: {why}"), LOOK);
        if !sent {
            return Err(silent("its thread has ended"));
        }
        said.recv_timeout(PATIENCE).map_err(|_| {
            given_up.store(true, Ordering::Release);
            silent("it took longer than a minute; is another program using it?")
        })?
    }
}

const LOOK: &str = "Nothing was signed. It is looked for again by itself.";

/// What runs on the thread.
struct Worker {
    config: Arc<TpmConfig>,
    memory: Arc<Memory>,
    link: Option<Link>,
    /// When the link was opened.
    since: Instant,
    /// When the TPM was last looked for in vain, and why.
    missed: Option<(Instant, CustodyError)>,
}

impl Worker {
    fn serve(mut self, jobs: &Receiver<Job>) {
        loop {
            let exclusive = self.link.is_some() && self.config.tcti.is_exclusive();
            let job = if exclusive { jobs.recv_timeout(IDLE) } else { jobs.recv().map_err(Into::into) };
            match job {
                Ok(job) => job(&mut self),
                Err(RecvTimeoutError::Timeout) => self.link = None,
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if exclusive && self.since.elapsed() > HELD {
                self.link = None;
                thread::sleep(YIELD);
            }
        }
    }

    fn run<T>(&mut self, mut work: impl FnMut(&mut Link) -> Result<T, Fault>) -> Result<T, CustodyError> {
        let mut relinked = false;
        let mut pause = PAUSE;
        for _ in 0..TRIES {
            let link = self.link()?;
            let fault = match work(link) {
                Ok(done) => return Ok(done),
                Err(fault) => fault,
            };
            match fault.remedy() {
                Remedy::None => return Err(fault.told()),
                Remedy::Relink if relinked => return Err(fault.told()),
                Remedy::Relink => {
                    tracing::debug!(tpm = %self.config.tcti, fault = ?fault, "connecting to the TPM anew");
                    self.link = None;
                    relinked = true;
                }
                Remedy::FreshSession => {}
                Remedy::Wait => {
                    thread::sleep(pause);
                    pause *= 2;
                }
            }
        }
        let advice = "Nothing was done. Try again; if it stays so, look at the TPM and at what extends its PCRs.";
        Err(error(ErrorKind::Away, "retry", format!("the TPM asked {TRIES} times to be asked again"), advice))
    }

    fn link(&mut self) -> Result<&mut Link, CustodyError> {
        if self.link.is_none() {
            if let Some((when, why)) = &self.missed
                && when.elapsed() < LOOK_AGAIN
            {
                return Err(why.clone());
            }
            let opened = Link::open(&self.config, &self.memory);
            let gone = opened.as_ref().err().filter(|e| e.kind == ErrorKind::Away).cloned();
            self.missed = gone.map(|why| (Instant::now(), why));
            self.link = Some(opened?);
            self.since = Instant::now();
        }
        Ok(self.link.as_mut().expect("a link that was just opened"))
    }
}

impl Drop for Tpm {
    /// Waits until what is loaded is flushed: without a resource manager nobody else would do it.
    fn drop(&mut self) {
        *self.jobs.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner).take();
        let deadline = Instant::now() + Duration::from_secs(2);
        // A TPM that hangs keeps nobody from ending.
        while worker.as_ref().is_some_and(|worker| !worker.is_finished()) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl fmt::Debug for Tpm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tpm({})", self.config.tcti)
    }
}
