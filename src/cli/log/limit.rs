use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::repeats::{LeftOut, Repeats, Seen};

/// Leaves out what repeats too often, from warnings on: a device that fails a thousand times a second says so a few
/// times, and how often. Lines at info tell of one event each and are all written.
#[derive(Debug, Clone)]
pub(super) struct Limit(Arc<Mutex<Repeats<Identifier, Line>>>);

/// A line as it is told of: its level, and its fixed words.
#[derive(Debug)]
struct Line {
    level: Level,
    message: String,
}

impl Limit {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Repeats::new())))
    }

    /// Tells of everything that was left out and not told yet.
    pub(super) fn tell_all(&self) {
        let left_out = self.repeats().take_all();
        left_out.iter().for_each(tell);
    }

    /// Tells of it when its window ends. Where there is no thread for that, the end of the command tells.
    fn tell_after(&self, line: Identifier, wait: Duration) {
        let limit = self.clone();
        let _ = thread::Builder::new().name("log-repeats".into()).spawn(move || {
            thread::sleep(wait);
            let left_out = limit.repeats().take(&line);
            left_out.iter().for_each(tell);
        });
    }

    fn repeats(&self) -> MutexGuard<'_, Repeats<Identifier, Line>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// At the level of what was left out, so that it is seen wherever that would have been.
fn tell(left_out: &LeftOut<Line>) {
    let LeftOut { line: Line { level, message }, times } = left_out;
    if *level == Level::ERROR {
        tracing::error!(line = message, times, "a line came too often and was left out");
    } else {
        tracing::warn!(line = message, times, "a line came too often and was left out");
    }
}

fn is_limited(line: &Metadata<'_>) -> bool {
    *line.level() <= Level::WARN && line.target() != module_path!()
}

impl<S: Subscriber> Layer<S> for Limit {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        if !is_limited(metadata) {
            return true;
        }
        let line = || {
            let mut message = Message(String::new());
            event.record(&mut message);
            Line { level: *metadata.level(), message: message.0 }
        };
        let seen = self.repeats().see(metadata.callsite(), Instant::now(), line);
        if let Seen::BeginLeavingOut(wait) = seen {
            self.tell_after(metadata.callsite(), wait);
        }
        seen == Seen::Write
    }
}

/// The words of a line, without its fields.
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}
