//! The operational log: where it goes, from which level on, and how often a line may repeat. `docs/logs.md` lists every
//! line from info on.

mod fields;
mod kept;
mod limit;
mod repeats;

use std::io::{self, IsTerminal as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Layered, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry, reload};

use super::failure::Failure;
use crate::config::{LogFormat, LogLevel, LogSettings};
use fields::Fields;
use kept::Kept;
use limit::Limit;

/// What writes a line, behind the level.
type Writer = Box<dyn Layer<Layered<reload::Layer<LevelFilter, Registry>, Registry>> + Send + Sync>;

/// The log of this process. When it is dropped, it tells of the repeats that it left out.
#[derive(Debug)]
pub(super) struct Log {
    level: Level,
    limit: Limit,
    kept: Kept,
}

/// From which level on lines are written, which changes at run time.
#[derive(Debug, Clone)]
struct Level {
    handle: reload::Handle<LevelFilter, Registry>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Clone, Copy)]
struct State {
    configured: LevelFilter,
    now: LevelFilter,
}

impl Log {
    /// Starts the one log of this process.
    pub(super) fn start(settings: LogSettings) -> Result<Self, Failure> {
        let configured = filter(settings.level);
        let (level, handle) = reload::Layer::new(configured);
        let (limit, kept) = (Limit::new(), Kept::default());
        let keeper =
            tracing_subscriber::fmt::layer().with_ansi(false).fmt_fields(Fields::default()).with_writer(kept.clone());
        // What the level lets through, but for what names streams and keys.
        let keeper = settings.keeps_lines.then(|| keeper.with_filter(LevelFilter::INFO));
        let log = tracing_subscriber::registry().with(level).with(writer(settings.format)?);
        let started = log.with(keeper).with(limit.clone()).try_init();
        started.map_err(|e| Failure::software(format!("cannot start the log: {e}")))?;
        let state = Arc::new(Mutex::new(State { configured, now: configured }));
        Ok(Self { level: Level { handle, state }, limit, kept })
    }

    /// The last lines, where they are kept.
    pub(super) const fn kept(&self) -> &Kept {
        &self.kept
    }

    /// From now on this level is the configured one.
    pub(super) fn configure(&self, level: LogLevel) {
        let level = filter(level);
        if self.level.state().configured != level {
            self.level.change(|_| State { configured: level, now: level });
        }
    }

    /// From now on SIGUSR1 changes between the configured level and debug, and no longer kills.
    pub(super) fn change_on_signal(&self) -> Result<(), Failure> {
        let asked = signal(SignalKind::user_defined1());
        let mut asked = asked.map_err(|e| Failure::software(format!("cannot listen for signals: {e}")))?;
        let level = self.level.clone();
        tokio::spawn(async move {
            while asked.recv().await.is_some() {
                level.change(|State { configured, now }| {
                    let now = if now == configured { LevelFilter::DEBUG } else { configured };
                    State { configured, now }
                });
            }
        });
        Ok(())
    }
}

impl Level {
    fn change(&self, change: impl FnOnce(State) -> State) {
        let mut state = self.state();
        let before = state.now;
        *state = change(*state);
        let now = state.now;
        // Said while the more talkative of the two holds, so that it is seen whatever was configured.
        let say = || tracing::info!(%now, "the log level changed");
        if now < before {
            say();
        }
        // Where the log is gone, so is the process.
        let _ = self.handle.reload(now);
        if now >= before {
            say();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.limit.tell_all();
    }
}

const fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

fn writer(asked: Option<LogFormat>) -> Result<Writer, Failure> {
    let lines = || tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let text = || lines().with_ansi(io::stderr().is_terminal()).boxed();
    Ok(match format(asked, is_the_journal()) {
        LogFormat::Text => text(),
        // One span is enough: none of ours lies in another.
        LogFormat::Json => lines().json().with_span_list(false).boxed(),
        LogFormat::Journald => match tracing_journald::layer() {
            Ok(journal) => journal.boxed(),
            // Standard error ends there too.
            Err(_) if asked.is_none() => text(),
            Err(e) => {
                let advice = "Is systemd-journald there? Else set log.format to text or json.";
                return Err(Failure::unavailable(format!("cannot reach the journal: {e}"), advice));
            }
        },
    })
}

/// What was asked for; else the journal takes fields, and everybody else text.
fn format(asked: Option<LogFormat>, is_the_journal: bool) -> LogFormat {
    asked.unwrap_or(if is_the_journal { LogFormat::Journald } else { LogFormat::Text })
}

/// Whether systemd has connected standard error with the journal (systemd.exec(5), `$JOURNAL_STREAM`).
fn is_the_journal() -> bool {
    let Ok(stderr) = rustix::fs::fstat(io::stderr()) else { return false };
    std::env::var("JOURNAL_STREAM").is_ok_and(|stream| names(&stream, stderr.st_dev, stderr.st_ino))
}

/// A variable that was handed down to a child whose standard error is elsewhere names another file.
fn names(stream: &str, device: u64, inode: u64) -> bool {
    stream == format!("{device}:{inode}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_is_chosen_where_it_reads_standard_error_and_nothing_else_was_asked_for() {
        assert_eq!(format(None, true), LogFormat::Journald);
        assert_eq!(format(None, false), LogFormat::Text);
        for asked in [LogFormat::Text, LogFormat::Json, LogFormat::Journald] {
            assert_eq!((format(Some(asked), true), format(Some(asked), false)), (asked, asked));
        }
    }

    #[test]
    fn the_variable_counts_only_for_the_file_that_it_names() {
        assert!(names("8:12345", 8, 12345));
        for other in ["", "8", "8:1234", "9:12345", "8:123456", "8:12345 ", "08:12345"] {
            assert!(!names(other, 8, 12345), "{other}");
        }
    }
}
