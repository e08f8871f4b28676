use std::path::Path;
use std::sync::Arc;

use super::{Vault, required};
use crate::audit::Event;
use crate::cli::failure::Failure;
use crate::cli::import;
use crate::config::AnchorSetting;
use crate::custody::{Anchor, Purpose, PurposeKey, Signer};
use crate::facts::with_suffix;
use crate::protocol::witness::Rules;
use crate::store::StoreError;
use crate::witness::{
    Allowed, Counts, FloorFile, GuardedClock, Incident, Setup, SignedFloor, What, Witness, WitnessError, WitnessReader,
    published_counts, sign_document,
};

impl Vault {
    /// Who witnesses: the installation.
    pub(in crate::cli) fn witness_id(&self) -> Result<&str, Failure> {
        required(self.settings.witness_id.as_deref(), "witness id", "WITNESS_ID", "installation.id")
    }

    /// The witness's state, which was found to be what it was. A published one at its path is imported first.
    pub(in crate::cli) async fn witness(&self) -> Result<Witness, Failure> {
        self.open_witness(None).await
    }

    /// The same, where an operator allows it to go on after an incident.
    pub(in crate::cli) async fn open_witness(&self, allowed: Option<Allowed>) -> Result<Witness, Failure> {
        self.try_witness(allowed, &mut None).await
    }

    /// The same; `found` says which incident it was, for who goes on without.
    pub(in crate::cli) async fn try_witness(
        &self,
        allowed: Option<Allowed>,
        found: &mut Option<What>,
    ) -> Result<Witness, Failure> {
        self.refuse_unsaid_rollback()?;
        let resolved = self.resolve_witness()?;
        self.make_folder(&resolved.path)?;
        let setup = self.witness_setup(allowed)?;
        let signer = setup.signers.first().cloned();
        let mut witness = match Witness::open(&resolved.path, setup) {
            Err(WitnessError::Incident(incident)) => {
                *found = Some(incident.what);
                return Err(self.tell_incident(&incident, signer.as_ref()).await);
            }
            opened => opened?,
        };
        if let Some(published) = resolved.published {
            import::witness(&mut witness, &resolved.path, &published, &*self.audit()?)?;
        }
        Ok(witness)
    }

    /// How much the witness has signed; nothing where it has not begun. What it takes over when it is opened next counts.
    pub(in crate::cli) fn witness_counts(&self) -> Result<Counts, Failure> {
        let resolved = self.resolve_witness()?;
        match (WitnessReader::open(&resolved.path), resolved.published) {
            (Ok(reader), _) => Ok(reader.counts()?),
            (Err(WitnessError::Store(StoreError::Missing(_))), Some(published)) => {
                Ok(published_counts(&published, &resolved.path)?)
            }
            (Err(WitnessError::Store(StoreError::Missing(_))), None) => Ok(Counts::default()),
            (Err(e), _) => Err(e.into()),
        }
    }

    /// The witness's database for looking only, without keys.
    pub(in crate::cli) fn witness_reader(&self) -> Result<WitnessReader, Failure> {
        Ok(WitnessReader::open(&self.witness_path()?)?)
    }

    /// Imports the published witness database at `source` into the open one.
    pub(in crate::cli) fn import_witness(&self, witness: &mut Witness, source: &Path) -> Result<(), Failure> {
        import::witness(witness, &self.witness_path()?, source, &*self.audit()?)
    }

    /// Signs an incident, keeps it beside the database, and gives the failure that tells of it.
    pub(in crate::cli) async fn tell_incident(&self, incident: &Incident, signer: Option<&Signer>) -> Failure {
        let what = incident.what.name();
        if let Ok(audit) = self.audit() {
            audit.note(Event::incident("witness", what));
        }
        tracing::error!(incident = what, "the witness signs nothing");
        let kept = self.keep_incident(incident, signer).await;
        let advice = match kept {
            Ok(path) => {
                format!("Nothing was signed. The signed incident is {path}; docs/witness.md says what to do about it.")
            }
            Err(failure) => format!(
                "Nothing was signed, and the incident neither: {}. docs/witness.md says what to do about it.",
                failure.message()
            ),
        };
        Failure::refused(incident.to_string(), advice)
    }

    async fn keep_incident(&self, incident: &Incident, signer: Option<&Signer>) -> Result<String, Failure> {
        let signer = signer.ok_or_else(|| Failure::config("no key signs it", "Configure the witness's key."))?;
        let now = self.clock.now();
        let signed = sign_document(signer, &incident.to_object(self.witness_id()?, now)).await?;
        let path = with_suffix(&self.witness_path()?, &format!(".incident-{}.json", now.as_millis()));
        let written = std::fs::write(&path, signed.to_canonical());
        written.map_err(|e| Failure::io(&format!("cannot write {}", path.display()), &e))?;
        Ok(path.display().to_string())
    }

    /// What holds beyond the published rules.
    pub(in crate::cli) fn witness_rules(&self) -> Rules {
        let settings = &self.settings.witness;
        Rules { first_use: settings.first_use, longest_jump: settings.longest_jump }
    }

    fn witness_setup(&self, allowed: Option<Allowed>) -> Result<Setup, Failure> {
        let settings = &self.settings.witness;
        let keys = self.keys_for(Purpose::Witness)?;
        let signers = keys.iter().map(|key| self.signer_of(key.clone())).collect::<Result<_, _>>()?;
        let purpose_keys: Vec<PurposeKey> = keys.into_iter().map(|loaded| loaded.key).collect();
        Ok(Setup {
            signers,
            wrapping: if self.has_wrapping_key() { Some(self.recorded_wrapping_key()?) } else { None },
            anchor: self.witness_anchor(purpose_keys)?,
            anchor_interval: settings.anchor_interval,
            rules: self.witness_rules(),
            times: Arc::new(GuardedClock(self.clock.clone())),
            adopts_keys: self.settings.config_file.is_none(),
            allowed,
        })
    }

    fn witness_anchor(&self, keys: Vec<PurposeKey>) -> Result<Option<Arc<dyn Anchor>>, Failure> {
        let witness_id = self.witness_id()?;
        Ok(match &self.settings.witness.anchor {
            AnchorSetting::None => None,
            AnchorSetting::File(path) => {
                Some(Arc::new(SignedFloor::new(Box::new(FloorFile(path.clone())), witness_id, keys)))
            }
            #[cfg(feature = "pkcs11")]
            AnchorSetting::Object(_) => return Err(Failure::config("a floor in a data object is not built yet", "")),
            #[cfg(feature = "tpm")]
            AnchorSetting::Tpm => return Err(Failure::config("a TPM anchor is not built yet", "")),
        })
    }

    /// A restored copy of the state is signed on where nothing outside it can tell: that must have been said.
    fn refuse_unsaid_rollback(&self) -> Result<(), Failure> {
        let settings = &self.settings.witness;
        if settings.anchor != AnchorSetting::None || !settings.peers.is_empty() || settings.accepts_rollback {
            return Ok(());
        }
        Err(Failure::config(
            "the witness has no anchor and no peers, so that a restored copy of its state would be signed on",
            "Set witness.anchor, name [[witness.peers]], or write witness.rollback = \"accepted\" in the config file.",
        ))
    }
}
