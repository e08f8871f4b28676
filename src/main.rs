//! The `local-vault` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    local_vault::cli::main()
}
