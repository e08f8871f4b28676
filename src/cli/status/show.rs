use crate::cli::failure::Failure;
use crate::cli::output::{Output, printable};
use crate::protocol::json::{Object, Value};

/// For people, a line a fact. What was not told is left out: others than root and the service's user hear the state
/// alone.
pub(super) fn print(status: &Object) -> Result<(), Failure> {
    let output = Output::new();
    if let Some(why) = status.get_str("no_service") {
        output.note(&format!("From the spool alone: {why}."));
    }
    lines(status).into_iter().try_for_each(|(name, text)| output.line(&format!("{name:13} {}", printable(&text))))
}

/// One line, for systemd. Any user of the machine may ask for it: it has no reason, which may name files and devices.
pub(in crate::cli) fn summary(status: &Object) -> String {
    let mut parts = vec![status.get_str("state").unwrap_or("-").to_owned()];
    if let Some(spool) = status.get_object("spool") {
        parts.push(format!("{} unsettled", number(spool, "unsettled").unwrap_or(0)));
        parts.extend(number(spool, "oldest_unsettled_seconds").map(|age| format!("the oldest for {}", span(age))));
    }
    let receipt = status.get_object("spool").and_then(|spool| spool.get_str("last_receipt_at"));
    parts.extend(receipt.map(|at| format!("last receipt {at}")));
    printable(&parts.join(", "))
}

fn lines(status: &Object) -> Vec<(&'static str, String)> {
    let mut lines = vec![("state", state(status))];
    let mut add = |name, text: Option<String>| lines.extend(text.map(|text| (name, text)));
    let service = status.get_object("service");
    add("version", status.get_str("version").map(str::to_owned));
    add(
        "service",
        service.map(|service| {
            let up = number(service, "uptime_seconds").map_or_else(String::new, span);
            format!("pid {}, up {up}", number(service, "pid").unwrap_or(0))
        }),
    );
    add("installation", status.get_str("installation_id").map(str::to_owned));
    if let Some(spool) = status.get_object("spool") {
        add("spool", spool.get_object("states").map(states));
        let age = number(spool, "oldest_unsettled_seconds");
        add("full", number(spool, "full_percent").map(|full| format!("{full} %")));
        add("last receipt", Some(spool.get_str("last_receipt_at").unwrap_or("none yet").to_owned()));
        add("oldest", Some(age.map_or_else(|| "nothing waits".into(), |age| format!("waits for {}", span(age)))));
    }
    if let Some(parked) = status.get_object("relay").and_then(|relay| relay.get_object("parked")) {
        let (since, probe) = (parked.get_str("since").unwrap_or("-"), parked.get_str("probe_at").unwrap_or("-"));
        add("parked", Some(format!("since {since}, next probe at {probe}")));
    }
    if let Some(service) = service {
        let up = |name, down: &str| {
            service.get(name).and_then(Value::as_bool).map(|up| if up { "up".into() } else { down.to_owned() })
        };
        add("custody", up("custody_up", "away"));
        add("audit log", up("audit_up", "takes no entry"));
        add(
            "last error",
            service.get_object("last_error").map(|error| {
                format!("{} at {}", error.get_str("error").unwrap_or("-"), error.get_str("at").unwrap_or("-"))
            }),
        );
        let reloaded = service.get_str("reloaded_at").map(|at| format!(", reloaded at {at}"));
        add("config file", service.get_str("config_file").map(|file| file.to_owned() + &reloaded.unwrap_or_default()));
    }
    let alarms = status.get("alarms").and_then(Value::as_array).unwrap_or_default();
    alarms.iter().filter_map(Value::as_str).for_each(|alarm| add("alarm", Some(alarm.to_owned())));
    lines
}

fn state(status: &Object) -> String {
    let state = status.get_str("state").unwrap_or("-");
    status.get_str("reason").map_or_else(|| state.to_owned(), |reason| format!("{state}: {reason}"))
}

/// In the order of an event's life.
fn states(states: &Object) -> String {
    let state = |name: &str| {
        let totals = states.get_object(name)?;
        Some(format!("{name} {} ({} bytes)", number(totals, "events")?, number(totals, "bytes")?))
    };
    let names = ["queued", "relaying", "receipted", "conflict", "dead"];
    names.into_iter().filter_map(state).collect::<Vec<_>>().join(", ")
}

fn number(object: &Object, name: &str) -> Option<i64> {
    object.get(name)?.as_i64()
}

/// A span of time in its two largest units.
fn span(seconds: i64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match seconds {
        ..60 => format!("{seconds} s"),
        60..3600 => format!("{minutes} min {} s", seconds % 60),
        3600..86_400 => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_time_are_told_in_two_units() {
        let told = [0, 59, 60, 3599, 3600, 86_399, 86_400, 694_800].map(span);
        let expected = ["0 s", "59 s", "1 min 0 s", "59 min 59 s", "1 h 0 min", "23 h 59 min", "1 d 0 h", "8 d 1 h"];
        assert_eq!(told, expected);
    }
}
