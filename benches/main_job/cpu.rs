//! Processor time of other processes, as proc(5) tells it.

use std::fs;

/// Microseconds of a tick: the kernel shows a hundred a second, whatever it counts in.
pub(crate) const TICK_US: f64 = 10_000.0;

/// Ticks of all children that were waited for.
pub(crate) fn ticks_of_children() -> f64 {
    ticks("self", 13)
}

/// Ticks of a process until now.
pub(crate) fn ticks_of(process: u32) -> f64 {
    ticks(&process.to_string(), 11)
}

/// User and system time, where `from` is the place of the first behind the process's name.
fn ticks(process: &str, from: usize) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let behind_the_name = stat.rsplit_once(") ").unwrap().1;
    behind_the_name.split(' ').skip(from).take(2).map(|ticks| ticks.parse::<f64>().unwrap()).sum()
}
