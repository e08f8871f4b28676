use clap::{Args, Command};
use clap_complete::Shell;

use super::failure::Failure;
use super::output::Output;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  local-vault completions bash > /etc/bash_completion.d/local-vault
  local-vault completions zsh > ~/.zfunc/_local-vault
  local-vault completions fish > ~/.config/fish/completions/local-vault.fish")]
pub(super) struct CompletionsArgs {
    /// For which shell
    shell: Shell,
}

pub(super) fn run(args: CompletionsArgs, mut command: Command) -> Result<u8, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "local-vault", &mut script);
    let script = String::from_utf8(script).map_err(|_| Failure::software("a completion script is not UTF-8"))?;
    Output::new().line(script.trim_end())?;
    Ok(0)
}
