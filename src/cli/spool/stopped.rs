use crate::cli::output::printable;
use crate::protocol::json::Object;
use crate::spool::Stopped;

/// Streams of which nothing is sent, for a machine.
pub(in crate::cli) fn objects(stopped: &[Stopped]) -> Vec<Object> {
    let object = |stopped: &Stopped| {
        Object::new()
            .with("streamId", stopped.stream_id.as_str())
            .with("since", stopped.since.to_string())
            .with("reason", stopped.reason.as_str())
    };
    stopped.iter().map(object).collect()
}

/// The same for a person, with the way out.
pub(in crate::cli) fn lines(stopped: &[Stopped]) -> impl Iterator<Item = String> {
    stopped.iter().map(|Stopped { stream_id, since, reason }| {
        let (stream, reason) = (printable(stream_id), printable(reason));
        format!("stopped       {stream} since {since}: {reason}; once you know why: spool release STREAM --reason TEXT")
    })
}
