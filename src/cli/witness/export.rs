use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::failure::Failure;
use crate::cli::output::{Output, progress};
use crate::cli::vault::Vault;
use crate::facts::folder_of;
use crate::witness::WitnessReader;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  local-vault witness export -o witnessed.jsonl
  local-vault witness export | local-vault verify - --public-key witness=HEX

One JSON object a line: the rollovers from one key to the next, then the receipts, then fork evidence with all that it
takes to judge it. Needs no key.")]
pub(in crate::cli) struct ExportArgs {
    /// To a new file, which others may not read [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn run(vault: &Vault, args: &ExportArgs) -> Result<u8, Failure> {
    let reader = vault.witness_reader()?;
    let lines = match &args.output {
        None => {
            let failed = |e| Failure::io("standard output", &e);
            let mut out = Output::new().stream();
            let lines = write(&reader, &mut out, failed)?;
            out.flush().map_err(failed)?;
            lines
        }
        Some(path) => {
            let failed = |e| failed(path, &e);
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
            let mut file = BufWriter::with_capacity(64 * 1024, file.map_err(failed)?);
            let lines = write(&reader, &mut file, failed)?;
            settle(file, path).map_err(failed)?;
            lines
        }
    };
    Output::new().note(&format!("{lines} lines exported."));
    Ok(0)
}

fn write(reader: &WitnessReader, to: &mut impl Write, failed: impl Fn(io::Error) -> Failure) -> Result<u64, Failure> {
    let counts = reader.counts()?;
    let bar = progress(counts.receipts + counts.forks, "exporting");
    let mut lines = 0;
    reader.export(|object| {
        let mut line = object.to_canonical();
        line.push(b'\n');
        to.write_all(&line).map_err(&failed)?;
        lines += 1;
        bar.inc(1);
        Ok::<_, Failure>(())
    })?;
    bar.finish_and_clear();
    Ok(lines)
}

/// What was exported may be relied on next: it is on the disk before this is said to be done.
fn settle(file: BufWriter<File>, path: &Path) -> io::Result<()> {
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    File::open(folder_of(path))?.sync_all()
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::AlreadyExists {
        let advice = "Nothing was overwritten. Name another file.";
        return Failure::usage(format!("{} is there already", path.display()), advice);
    }
    Failure::io(&format!("cannot write {}", path.display()), error)
}
