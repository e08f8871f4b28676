use std::env;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// How long a hook may take.
const LIMIT: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Starts a program with `input` on its standard input, in a process group of its own, and waits for it. It gets no
/// arguments, and of the environment the search path alone: what else is there may be secret. After its time it is
/// killed, with all that it started.
pub(super) fn run(hook: &Path, input: &[u8]) {
    match start(hook, input).and_then(|child| wait(child, LIMIT)) {
        Ok(Some(status)) if status.success() => tracing::info!("the fork hook is done"),
        Ok(Some(status)) => tracing::warn!(status = status.to_string(), "the fork hook failed"),
        Ok(None) => tracing::warn!("the fork hook was ended, since it took too long"),
        Err(error) => tracing::error!(error = error.kind().to_string(), "the fork hook was not started"),
    }
}

fn start(hook: &Path, input: &[u8]) -> io::Result<Child> {
    let mut command = Command::new(hook);
    command.env_clear().envs(env::var_os("PATH").map(|path| ("PATH", path)));
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        let input = input.to_owned();
        // One that does not read ends without: then the pipe breaks.
        thread::Builder::new().name("hook".into()).spawn(move || stdin.write_all(&input))?;
    }
    Ok(child)
}

/// How it ended; `None` where it took too long.
fn wait(mut child: Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if begun.elapsed() >= limit {
            // The group has the number of its first process.
            if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                let _ = kill_process_group(group, Signal::KILL);
            }
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(LOOK_AGAIN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hook");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        (folder, path)
    }

    #[test]
    fn a_hook_reads_what_it_is_told_and_knows_nothing_else() {
        let (folder, path) = sh("cd \"${0%/*}\" && cat >seen && echo \"$#\" >>seen && env | grep -c CARGO >>seen");
        let status = wait(start(&path, b"{}\n").unwrap(), LIMIT).unwrap().unwrap();
        // grep finds nothing, and says so.
        assert_eq!(status.code(), Some(1));
        assert_eq!(std::fs::read_to_string(folder.path().join("seen")).unwrap(), "{}\n0\n0\n");
    }

    #[test]
    fn one_that_takes_too_long_is_ended_with_all_that_it_started() {
        let (folder, path) = sh("cd \"${0%/*}\"; sleep 600 & echo $! >child; wait");
        let child = start(&path, &vec![b' '; 1 << 20]).unwrap();
        let file = folder.path().join("child");
        while !std::fs::read_to_string(&file).is_ok_and(|text| text.ends_with('\n')) {
            thread::yield_now();
        }
        assert_eq!(wait(child, Duration::ZERO).unwrap(), None);
        let sleeping: i32 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
        // Killed, whoever reaps it: it runs no more.
        let stat = || std::fs::read_to_string(format!("/proc/{sleeping}/stat")).unwrap_or_default();
        while !(stat().is_empty() || stat().contains(" Z ")) {
            thread::yield_now();
        }
    }
}
