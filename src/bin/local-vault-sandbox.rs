//! A receiver for tests, demos and development. It checks what it is sent, and misbehaves when it is told to.
//!
//! Exit codes are those of sysexits: 64 usage, 69 the address cannot be listened on, 70 a defect, 74 a file cannot be
//! written, 78 configuration.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use local_vault::sandbox::{Config, Mode, Sandbox, StartError, Step, Trust};
use tokio::signal::unix::{SignalKind, signal};

const USAGE: u8 = 64;
const UNAVAILABLE: u8 = 69;
const SOFTWARE: u8 = 70;
const IO: u8 = 74;
const CONFIG: u8 = 78;

#[derive(Parser)]
#[command(name = "local-vault-sandbox", version, about = "A receiver for tests, demos and development")]
#[command(after_help = EXAMPLES)]
enum Command {
    /// Listen until SIGTERM or SIGINT, over TLS with a certificate made at the start
    Serve(Serve),
}

const EXAMPLES: &str = "\
Examples:
  local-vault-sandbox serve --trust ins_demo=PUBLIC_KEY_HEX --ready-file ready.json
  local-vault-sandbox serve --plain-http --ready-file ready.json --behave unavailable:3 --behave html:1";

#[derive(clap::Args)]
#[command(after_help = format!("{EXAMPLES}\n\nModes of --behave: {}.", Mode::names()))]
struct Serve {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Trust this installation and its Ed25519 key; may be repeated
    #[arg(long, value_name = "INSTALLATION_ID=PUBLIC_KEY_HEX")]
    trust: Vec<Trust>,
    /// Trust what this installation witnessed by this key, where it is another; may be repeated
    #[arg(long = "trust-witness", value_name = "INSTALLATION_ID=PUBLIC_KEY_HEX")]
    trust_witnesses: Vec<Trust>,
    /// A token with which one installation may enrol; may be repeated
    #[arg(long = "enrollment-token", value_name = "TOKEN")]
    enrollment_tokens: Vec<String>,
    /// Answer events so, for ever or so many times; may be repeated, and is taken in order
    #[arg(long = "behave", value_name = "MODE[:TIMES]")]
    behaviour: Vec<Step>,
    /// HTTP without TLS
    #[arg(long)]
    plain_http: bool,
    /// Write {"url","ca_file",...} to this file as soon as it listens
    #[arg(long, value_name = "FILE")]
    ready_file: PathBuf,
    /// Append a line of JSON to this file for each request
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

impl From<Serve> for Config {
    fn from(serve: Serve) -> Self {
        let Serve { listen, trust, trust_witnesses, enrollment_tokens, behaviour, plain_http, ready_file, record } =
            serve;
        Self { listen, trust, trust_witnesses, enrollment_tokens, behaviour, plain_http, ready_file, record }
    }
}

fn main() -> ExitCode {
    let serve = match Command::try_parse() {
        Ok(Command::Serve(serve)) => serve,
        Err(error) => {
            // Help and version are no errors. Where nobody reads, there is nobody to tell.
            let _ = error.print();
            return if error.use_stderr() { USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    match run(serve.into()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let (code, advice) = error.consequence();
            say(&format!("Error: {error}.\n{advice}"));
            code.into()
        }
    }
}

fn run(config: Config) -> Result<(), Failure> {
    let runtime = tokio::runtime::Runtime::new()?;
    let outcome = runtime.block_on(serve(config));
    // Connections end with the process.
    runtime.shutdown_background();
    outcome
}

async fn serve(config: Config) -> Result<(), Failure> {
    // From here on a signal is waited for, also one that comes before the sandbox is ready.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let sandbox = Sandbox::start(config).await?;
    say(&format!("The sandbox listens on {}.", sandbox.base_url()));
    tokio::select! {
        () = sandbox.serve() => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the system refused: {0}")]
    Runtime(#[from] io::Error),
    #[error(transparent)]
    Start(#[from] StartError),
}

impl Failure {
    /// The exit code, and what to do.
    const fn consequence(&self) -> (u8, &'static str) {
        match self {
            Self::Runtime(_) | Self::Start(StartError::Certificate(_)) => {
                (SOFTWARE, "This is a defect in local-vault-sandbox; please report it.")
            }
            Self::Start(StartError::File { .. }) => (IO, "Check the path, its permissions and the space on the disk."),
            Self::Start(StartError::Listen { .. }) => (UNAVAILABLE, "Name another address; port 0 takes a free one."),
            Self::Start(StartError::TrustedTwice(_)) => (CONFIG, "Name each installation in one --trust alone."),
        }
    }
}

fn say(line: &str) {
    // Where nobody reads, there is nobody to tell.
    let _ = writeln!(io::stderr(), "{line}");
}
