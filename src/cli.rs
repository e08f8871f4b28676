//! The command line: the only place that prints, and the only one with exit codes.

mod apart;
mod args;
mod attest;
mod attestation;
mod audit;
mod completions;
mod config;
mod custody;
mod enqueue;
mod failure;
mod follow;
mod hardening;
mod import;
mod log;
mod maintenance;
mod metrics;
mod moment;
mod output;
mod published;
mod quorum;
mod reason;
mod receipt;
mod recorded;
mod relay;
mod run;
mod spool;
mod status;
mod stop;
mod support;
mod vault;
mod verify;
mod witness;
mod witness_socket;

use std::ffi::OsString;

use clap::CommandFactory as _;
use clap::error::ErrorKind;

use crate::config::Flags;
use args::{Cli, Command};
use failure::Failure;
use output::Output;
use recorded::Recorded;
use vault::Vault;

/// Runs the command line of this process, and ends it.
pub fn main() -> ! {
    hardening::apply();
    let arguments: Vec<OsString> = std::env::args_os().collect();
    hardening::end(match Cli::read(&arguments) {
        Ok(cli) => code(&run(cli), Output::new()),
        Err(e) => usage(&e, &arguments),
    })
}

fn run(cli: Cli) -> Result<u8, Failure> {
    let drop_in = cli.is_published;
    // Two threads serve a relay on two cores; the spool and each key have threads of their own beside them.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|e| Failure::software(format!("cannot start the runtime: {e}")))?;
    runtime.block_on(dispatch(cli)).map_err(|failure| if drop_in { failure.into_published() } else { failure })
}

async fn dispatch(cli: Cli) -> Result<u8, Failure> {
    let Cli { global, command, .. } = cli;
    let flags = command.flags(&global);
    let Some(recording) = command.recording() else {
        return perform(command, || Vault::load(&flags), &flags, &mut None).await;
    };
    let vault = Vault::load(&flags)?;
    let mut recorded = Recorded::begin(&vault, recording).await?;
    let done = perform(command, || Ok(vault), &flags, &mut recorded).await;
    if let Some(recorded) = recorded {
        recorded.end(&done);
    }
    done
}

async fn perform(
    command: Command,
    vault: impl FnOnce() -> Result<Vault, Failure>,
    flags: &Flags,
    recorded: &mut Option<Recorded>,
) -> Result<u8, Failure> {
    match command {
        Command::Attest(args) => attest::run(vault()?, args).await,
        Command::Attestation(command) => attestation::run(&vault()?, command).await,
        Command::Audit(command) => audit::run(vault, command).await,
        Command::Completions(args) => completions::run(args, Cli::command()),
        Command::Config(command) => config::run(command, flags),
        Command::Custody(command) => custody::run(&vault()?, command),
        Command::DrainLoop(args) => published::drain::run_loop(vault()?, args).await,
        Command::DrainOnce(args) => published::drain::run_once(vault()?, args).await,
        Command::Enqueue(args) => enqueue::run(&vault()?, args).await,
        Command::EnqueueJson(args) => published::enqueue::run(vault()?, args).await,
        Command::GenerateEncryptionKey => published::keys::encryption(),
        Command::GenerateSigningKey(args) => published::keys::signing(args),
        Command::Maintenance(command) => maintenance::run(&vault()?, command).await,
        Command::Metrics(args) => metrics::run(&vault()?, &args),
        Command::Quorum(command) => quorum::run(command),
        Command::Receipt(command) => receipt::run(&vault()?, command).await,
        Command::Relay(command) => relay::run(vault()?, command).await,
        Command::Run => run::run(vault()?, flags, recorded).await,
        Command::Spool(command) => spool::run(&vault()?, command).await,
        Command::Status(args) => status::run(&vault()?, &args).await,
        Command::SupportBundle(args) => support::run(vault(), flags, args).await,
        Command::Verify(args) => verify::run(vault, args).await,
        Command::Witness(command) => witness::run(&vault()?, command).await,
        Command::WitnessCheckpoint(args) => published::witness::checkpoint(vault()?, args).await,
        Command::WitnessCounts => published::witness::counts(&vault()?),
    }
}

fn code(done: &Result<u8, Failure>, output: Output) -> u8 {
    match done {
        Ok(code) => *code,
        Err(failure) => {
            output.failure(failure);
            failure.code()
        }
    }
}

/// A command line that does not parse: 2 where a published command was meant, as Python's argparse has it, and 64
/// from sysexits elsewhere.
fn usage(error: &clap::Error, arguments: &[OsString]) -> u8 {
    // Nobody is left to tell where standard error is gone.
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => 0,
        _ if args::is_published(arguments) => 2,
        _ => failure::USAGE,
    }
}
