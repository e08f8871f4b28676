use std::fs;
use std::path::PathBuf;

use crate::cli::failure::Failure;
use crate::cli::output::{Output, printable};
use crate::cli::vault::Vault;
use crate::spool::import::ImportError;

pub(super) async fn run(vault: &Vault, source: Option<PathBuf>) -> Result<u8, Failure> {
    if let Some(other) = source.as_ref().filter(|path| fs::metadata(path).is_ok_and(|meta| !meta.is_file())) {
        return Err(ImportError::NotPublished(other.clone()).into()); // a folder, most likely
    }
    let (spool, witness) = match &source {
        Some(source) => {
            let witness = vault.is_published_witness(source)?;
            ((!witness).then(|| source.clone()), witness)
        }
        None => (vault.published_spool()?, vault.takes_over_a_witness()?),
    };
    if source.is_none() && spool.is_none() && !witness {
        return Err(ImportError::NotPublished(vault.spool_path()?).into());
    }
    if let Some(spool) = spool {
        vault.import_spool(&spool).await?;
        Output::new().line(&format!("the spool is {}", printable(&vault.spool_path()?.to_string_lossy())))?;
    }
    if witness {
        let mut opened = vault.witness().await?;
        if let Some(source) = &source {
            vault.import_witness(&mut opened, source)?;
        }
        let path = vault.witness_path()?;
        Output::new().line(&format!("the witness database is {}", printable(&path.to_string_lossy())))?;
    }
    Ok(0)
}
