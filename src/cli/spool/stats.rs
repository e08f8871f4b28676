use super::{stopped_lines, stopped_objects};
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::vault::Vault;
use crate::facts::Timestamp;
use crate::protocol::json::Object;
use crate::spool::{Limits, SpoolReader, Stopped, Totals, Usage};

/// What is told of a spool.
struct Stats {
    totals: Vec<Totals>,
    epoch: u32,
    epochs: u32,
    oldest: Option<Timestamp>,
    last_receipt: Option<Timestamp>,
    usage: Usage,
    limits: Limits,
    stopped: Vec<Stopped>,
}

pub(super) fn run(vault: &Vault, as_json: bool) -> Result<u8, Failure> {
    let stats = Stats::read(&vault.reader()?, vault.settings.bounds.limits)?;
    let output = Output::new();
    if as_json {
        output.json(&stats.object())?;
        return Ok(0);
    }
    let row =
        |t: &Totals| vec![t.state.name().into(), t.events.to_string(), t.bytes.to_string(), t.contents.to_string()];
    let rows: Vec<_> = stats.totals.iter().map(row).collect();
    output.table(&["STATE", "EVENTS", "BYTES", "CONTENTS KEPT"], &rows)?;
    stats.lines().iter().try_for_each(|line| output.line(line))?;
    Ok(0)
}

/// The same as an object.
pub(in crate::cli) fn object_of(vault: &Vault) -> Result<Object, Failure> {
    Ok(Stats::read(&vault.reader()?, vault.settings.bounds.limits)?.object())
}

impl Stats {
    fn read(reader: &SpoolReader, limits: Limits) -> Result<Self, Failure> {
        let (epoch, epochs) = reader.epochs()?;
        Ok(Self {
            totals: reader.totals()?,
            epoch,
            epochs,
            oldest: reader.oldest_pending()?,
            last_receipt: reader.last_receipt()?,
            usage: reader.usage()?,
            limits,
            stopped: reader.stopped()?,
        })
    }

    fn object(&self) -> Object {
        let states = self.totals.iter().fold(Object::new(), |states, t| {
            let totals = Object::new().with("events", t.events).with("bytes", t.bytes).with("contents", t.contents);
            states.with(t.state.name(), totals)
        });
        let limits = Object::new()
            .with("fileBytes", self.limits.bytes)
            .with("events", self.limits.events)
            .with("diskReserveBytes", self.limits.reserve(self.usage.disk));
        let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
        Object::new()
            .with("states", states)
            .with("epoch", self.epoch)
            .with("epochs", self.epochs)
            .with("oldestPending", time(self.oldest))
            .with("lastReceipt", time(self.last_receipt))
            .with("fileBytes", self.usage.bytes)
            .with("diskFreeBytes", self.usage.free)
            .with("limits", limits)
            .with("fullPercent", self.percent())
            .with("full", self.limits.reached(&self.usage).map(|limit| limit.what()))
            .with("stopped", stopped_objects(&self.stopped))
    }

    fn lines(&self) -> Vec<String> {
        let time = |time: Option<Timestamp>| time.map_or_else(|| "-".into(), |time| time.to_string());
        let of = |limit: Option<u64>| limit.map_or_else(|| "no limit".into(), |limit| format!("of {limit}"));
        let Usage { bytes, events, free, disk } = self.usage;
        let full = match self.limits.reached(&self.usage) {
            Some(limit) => format!("yes: {}. Nothing new is taken; what waits is sent", limit.what()),
            None => format!("{} %", self.percent()),
        };
        let mut lines = vec![
            format!("oldest unsettled {}", time(self.oldest)),
            format!("last receipt  {}", time(self.last_receipt)),
            format!("waiting       {events}, {}", of(self.limits.events)),
            format!("file          {bytes} bytes in use, {}", of(self.limits.bytes)),
            format!("disk          {free} bytes free, of which {} stay so", self.limits.reserve(disk)),
            format!("full          {full}"),
        ];
        lines.extend(stopped_lines(&self.stopped));
        lines.push(format!("epoch {} of {}", self.epoch, self.epochs));
        lines
    }

    /// How full it is, from 0 to 100.
    fn percent(&self) -> u32 {
        // From 0 to 1.
        (self.limits.fullness(&self.usage) * 100.0) as u32
    }
}
