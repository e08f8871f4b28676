use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::vault::Vault;
use crate::custody::tpm::{PolicyKey, Predicted, Tpm, TpmConfig};
use crate::protocol::json::Object;

#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) enum PolicyCommand {
    /// Sign a policy for the state of now, or for one that is to come
    Sign(SignArgs),
    /// Take a signed policy into use, besides those that are
    #[command(after_help = EXAMPLES)]
    Apply {
        /// What `custody policy sign` wrote
        file: PathBuf,
    },
}

const EXAMPLES: &str = "\
Examples:
  local-vault custody policy sign --policy-key policy.pem --output now.json
  local-vault custody policy sign --policy-key policy.pem --predict 11=$(cat pcr11.hex) --output after-update.json
  local-vault custody policy apply after-update.json

Where every PCR is predicted, no TPM is needed: the policy key may then stay on a machine of its own, with a copy of the
config file and of the folder of policies. A policy that was applied counts until the next `custody reseal`.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct SignArgs {
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    state: StateArgs,
    /// Where the signed policy goes, which must not be there yet [default: standard output]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  local-vault custody reseal --policy-key policy.pem --predict 11=$(cat pcr11.hex)    before an update
  local-vault custody reseal --policy-key policy.pem                                  after it

With --predict the state of now counts besides, so that the machine may still start what it runs; the second re-seal
takes it back. Resident keys and the halves of epochs cannot be sealed anew: every policy that was ever signed counts
for them, as long as somebody keeps it.")]
pub(in crate::cli) struct ResealArgs {
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    state: StateArgs,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct KeyArgs {
    /// The operator's private key, P-256 in PKCS#8
    #[arg(long, value_name = "FILE")]
    policy_key: PathBuf,
    /// What opens it, where it is encrypted
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl KeyArgs {
    fn load(&self) -> Result<PolicyKey, Failure> {
        Ok(PolicyKey::load(&self.policy_key, self.passphrase_file.as_deref())?)
    }
}

#[derive(Debug, Args)]
struct StateArgs {
    /// A PCR that will hold something else, as PCR=HEX; may be repeated
    #[arg(long, value_name = "PCR=HEX", value_parser = pcr_value)]
    predict: Vec<(u8, [u8; 32])>,
    /// The executable that will run, where what runs is measured [default: this one]
    #[arg(long, value_name = "FILE")]
    executable: Option<PathBuf>,
}

impl StateArgs {
    /// A mistyped number would be found after the reboot.
    fn predicted(self, tpm: &Tpm) -> Result<Predicted, Failure> {
        let TpmConfig { pcrs: bound, application_pcr, .. } = tpm.config();
        let mut pcrs = BTreeMap::new();
        for (pcr, value) in self.predict {
            if !bound.indices().chain(*application_pcr).any(|bound| bound == pcr) {
                let advice = format!("Policies are about {bound}.");
                return Err(Failure::usage(format!("PCR {pcr} is predicted, and no policy is about it"), advice));
            }
            if pcrs.insert(pcr, value).is_some() {
                return Err(Failure::usage(format!("PCR {pcr} is predicted twice"), "It has one value."));
            }
        }
        Ok(Predicted { pcrs, executable: self.executable })
    }
}

pub(super) fn run(vault: &Vault, command: PolicyCommand) -> Result<u8, Failure> {
    let output = Output::new();
    match command {
        PolicyCommand::Sign(args) => {
            let tpm = vault.tpm()?;
            let policy = tpm.sign_policy(args.key.load()?, args.state.predicted(&tpm)?)?;
            match args.output {
                Some(path) => write_new(&path, &policy.to_object().to_canonical())?,
                None => output.json(&policy.to_object())?,
            }
        }
        PolicyCommand::Apply { file } => {
            let path = vault.tpm()?.apply_policy(&file)?;
            output.line(&format!("{} is in use", path.display()))?;
        }
    }
    Ok(0)
}

pub(super) fn reseal(vault: &Vault, args: ResealArgs) -> Result<u8, Failure> {
    let (tpm, key) = (vault.tpm()?, args.key.load()?);
    let predicted = args.state.predicted(&tpm)?;
    let is_predicted = !predicted.pcrs.is_empty() || predicted.executable.is_some();
    let states = if is_predicted { vec![Predicted::default(), predicted] } else { vec![predicted] };
    let labels: Vec<String> = tpm.sealed()?.into_iter().map(|sealed| sealed.label).collect();
    let bar = crate::cli::output::progress(labels.len() as u64, "sealing");
    let moving = bar.clone();
    let generation = tpm.reseal(key, states, move |_| moving.inc(1))?;
    bar.finish_and_clear();
    let output = Output::new();
    if args.json {
        output.json(&Object::new().with("generation", generation).with("sealed", labels))?;
    } else {
        output.line(&format!("{} secrets are sealed for generation {generation} of policies", labels.len()))?;
    }
    Ok(0)
}

fn pcr_value(text: &str) -> Result<(u8, [u8; 32]), String> {
    let read = || {
        let (pcr, value) = text.split_once('=')?;
        let pcr = pcr.parse().ok().filter(|&pcr: &u8| pcr < 24)?;
        Some((pcr, hex::decode(value).ok()?.try_into().ok()?))
    };
    read().ok_or_else(|| "expected a PCR from 0 to 23 and 64 hex digits, as 7=e3b0…".to_owned())
}

fn write_new(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let failed = |e| Failure::io(&format!("cannot write {}", path.display()), &e);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path).map_err(failed)?;
    file.write_all(content).and_then(|()| file.write_all(b"\n")).and_then(|()| file.sync_all()).map_err(failed)
}
