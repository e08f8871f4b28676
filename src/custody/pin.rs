mod prompt;

use std::ffi::OsStr;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::file::{read_credential_file, read_secret_file};
use super::{CustodyError, ErrorKind};
use crate::facts::SecretBytes;

/// Where a PIN comes from. A source that cannot be read is an error, and never an empty PIN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PinSource {
    /// What a program prints, as one line. It is run without a shell.
    Command(Vec<String>),
    /// A file in the folder that systemd names in `$CREDENTIALS_DIRECTORY` (`LoadCredential=`).
    Credential(String),
    /// A variable of the environment.
    Environment(String),
    /// A file of mode 0600.
    File(PathBuf),
    /// A person at the terminal.
    Prompt,
}

/// No PIN is longer, in bytes.
const LONGEST: usize = 4096;

/// So long a program may take to print one.
const PATIENCE: Duration = Duration::from_secs(30);

impl PinSource {
    /// Names the source, never its content.
    pub fn name(&self) -> String {
        match self {
            Self::Command(words) => format!("the command {}", words.first().map_or("", String::as_str)),
            Self::Credential(name) => format!("the credential {name}"),
            Self::Environment(name) => format!("the variable {name}"),
            Self::File(path) => path.display().to_string(),
            Self::Prompt => "the prompt".into(),
        }
    }

    /// Reads the PIN, without the end of its line. Blocks on the file, the program or the person. `device` is what a
    /// person is asked about.
    pub(in crate::custody) fn read(&self, device: &str) -> Result<SecretBytes, CustodyError> {
        let read = match self {
            Self::Command(words) => run(words)?,
            Self::Credential(name) => read_credential(name)?,
            Self::Environment(name) => {
                let value = std::env::var_os(name).ok_or_else(|| self.unreadable("it is not set"))?;
                SecretBytes::new(value.into_encoded_bytes())
            }
            Self::File(path) => read_secret_file(path)?,
            Self::Prompt => {
                let typed = prompt::ask(&format!("PIN of {device}: "), LONGEST);
                let mut typed = typed.map_err(|e| self.unreadable(&e.to_string()))?;
                SecretBytes::new(std::mem::take(&mut *typed))
            }
        };
        let pin = SecretBytes::new(read.expose_line().to_vec());
        if pin.expose().is_empty() {
            return Err(self.unreadable("it holds no PIN"));
        }
        if pin.expose().contains(&b'\n') {
            return Err(self.unreadable("it holds more than one line"));
        }
        Ok(pin)
    }

    pub(super) fn unreadable(&self, why: &str) -> CustodyError {
        let message = format!("the PIN cannot be read from {}: {why}", self.name());
        let advice = "No PIN was tried. Mend the source, or name another one.";
        CustodyError::new(ErrorKind::Misconfigured, "custody", "pin", message, advice)
    }
}

fn read_credential(name: &str) -> Result<SecretBytes, CustodyError> {
    let source = PinSource::Credential(name.to_owned());
    let folder = std::env::var_os("CREDENTIALS_DIRECTORY");
    let folder = folder.ok_or_else(|| source.unreadable("CREDENTIALS_DIRECTORY is not set"))?;
    read_credential_file(&Path::new(&folder).join(name))
}

fn run(words: &[String]) -> Result<SecretBytes, CustodyError> {
    let source = PinSource::Command(words.to_vec());
    let unreadable = |why: &str| source.unreadable(why);
    let program = words.first().ok_or_else(|| unreadable("it names no program"))?;
    let mut command = Command::new(program);
    command.args(words[1..].iter().map(OsStr::new)).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|e| unreadable(&e.to_string()))?;
    let out = child.stdout.take().ok_or_else(|| unreadable("it has no output"))?;
    let (say, said) = mpsc::channel();
    let reader = thread::Builder::new().name("pin".into()).spawn(move || say.send(read_all(out)));
    reader.map_err(|e| unreadable(&e.to_string()))?;
    let deadline = Instant::now() + PATIENCE;
    let read = said.recv_timeout(PATIENCE);
    let status = ended(&mut child, deadline).map_err(|e| unreadable(&e.to_string()))?;
    let status = status.ok_or_else(|| unreadable("it did not end in 30 seconds, and was stopped"))?;
    let mut said = read.map_err(|e| unreadable(&e.to_string()))?.map_err(|e| unreadable(&e.to_string()))?;
    if !status.success() {
        return Err(unreadable(&format!("it ended with {status}")));
    }
    if said.len() > LONGEST {
        return Err(unreadable("it printed more than a PIN"));
    }
    Ok(SecretBytes::new(std::mem::take(&mut *said)))
}

fn read_all(out: ChildStdout) -> io::Result<Zeroizing<Vec<u8>>> {
    // Room for everything, so that no half-read copy stays behind when the vector grows.
    let mut said = Zeroizing::new(Vec::with_capacity(LONGEST + 2));
    out.take(LONGEST as u64 + 1).read_to_end(&mut said)?;
    Ok(said)
}

/// How a program ended, or nothing where it had to be stopped.
fn ended(child: &mut Child, deadline: Instant) -> io::Result<Option<ExitStatus>> {
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        thread::sleep(Duration::from_millis(5));
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(words: &[&str]) -> Result<Vec<u8>, CustodyError> {
        let source = PinSource::Command(words.iter().map(|&word| word.to_owned()).collect());
        source.read("token").map(|pin| pin.expose().to_vec())
    }

    #[test]
    fn a_command_prints_the_pin_as_one_line() {
        assert_eq!(said(&["printf", "1234\\r\\n"]).unwrap(), b"1234");
        assert_eq!(said(&["printf", " 12 34 "]).unwrap(), b" 12 34 ");
    }

    #[test]
    fn a_source_that_gives_no_pin_is_an_error_and_names_no_part_of_it() {
        let cases: [(&[&str], &str); 5] = [
            (&["true"], "holds no PIN"),
            (&["printf", "1234\\n5678"], "more than one line"),
            (&["sh", "-c", "echo 1234; exit 3"], "exit status: 3"),
            (&["/nowhere/pin"], "No such file"),
            (&["head", "-c", "5000", "/dev/zero"], "more than a PIN"),
        ];
        for (words, why) in cases {
            let error = said(words).unwrap_err();
            assert!(error.message.contains(why), "{error}");
            assert!(!format!("{error:?}").contains("1234"));
        }
        let unset = PinSource::Environment("LOCAL_VAULT_NO_SUCH_VARIABLE".into()).read("token").unwrap_err();
        assert!(unset.message.contains("is not set"), "{unset}");
    }
}
