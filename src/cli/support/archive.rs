use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use tar::{Builder, Header};

use super::told;
use crate::cli::failure::Failure;

/// A file of the bundle.
pub(super) struct Part {
    name: &'static str,
    what: &'static str,
    content: Result<String, Failure>,
}

impl Part {
    /// `what`: a line that says what it is for. Where the content failed, the file says why.
    pub(super) const fn new(name: &'static str, what: &'static str, content: Result<String, Failure>) -> Self {
        Self { name, what, content }
    }
}

/// Writes a new file that only its owner may read.
pub(super) fn write(path: &Path, parts: &[Part], stamp: &str) -> Result<(), Failure> {
    let failed = |e: io::Error| Failure::io(&format!("cannot write {}", path.display()), &e);
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    let folder = format!("local-vault-support-{stamp}");
    let mut bundle = Builder::new(file);
    let mut all = || -> io::Result<()> {
        append(&mut bundle, &format!("{folder}/README.txt"), &readme(parts))?;
        for part in parts {
            let content = part.content.as_ref().map_or_else(told, Clone::clone);
            append(&mut bundle, &format!("{folder}/{}", part.name), &content)?;
        }
        bundle.finish()
    };
    all().map_err(failed)
}

fn readme(parts: &[Part]) -> String {
    let head = "A support bundle of local-vault. It holds no key, PIN, passphrase, payload or password. It names hosts,\n\
                files, keys, stopped streams and the installation. A file whose content failed says why.\n\n";
    let line = |part: &Part| {
        let failed = if part.content.is_err() { " (failed)" } else { "" };
        format!("{:13} {}{failed}\n", part.name, part.what)
    };
    head.to_owned() + &parts.iter().map(line).collect::<String>()
}

fn append(bundle: &mut Builder<impl io::Write>, path: &str, content: &str) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_mode(0o600);
    header.set_size(content.len() as u64);
    bundle.append_data(&mut header, path, content.as_bytes())
}
