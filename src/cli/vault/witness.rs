use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::{Vault, required};
use crate::audit::Event;
use crate::cli::failure::Failure;
use crate::cli::import;
use crate::config::AnchorSetting;
#[cfg(feature = "pkcs11")]
use crate::custody::pkcs11::DataObject;
#[cfg(feature = "tpm")]
use crate::custody::tpm::TpmAnchor;
use crate::custody::{Anchor, AnchorKind, Floor, Purpose, PurposeKey, Signer};
use crate::facts::{Digest, Timestamp, with_suffix};
use crate::protocol::witness::Rules;
use crate::relay::{Client, Drain, DrainConfig, Endpoint, Outbox};
use crate::store::{FileKind, StoreError, file_kind};
use crate::witness::{
    Allowed, Counts, FloorFile, GuardedClock, Incident, SCHEMA, Setup, SignedFloor, What, Witness, WitnessError,
    WitnessReader, published_counts, sign_document,
};

/// The label of the anchor, as `custody tpm status` shows it and `custody tpm evict` takes it away.
#[cfg(feature = "tpm")]
const ANCHOR: &str = "local-vault-witness-anchor";

/// How a state stands that may be signed on.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Stands {
    pub(in crate::cli) floor: Floor,
    /// The incident that stopped it.
    pub(in crate::cli) stopped: Option<String>,
}

impl Vault {
    /// Who witnesses: the installation.
    pub(in crate::cli) fn witness_id(&self) -> Result<&str, Failure> {
        required(self.settings.witness_id.as_deref(), "witness id", "WITNESS_ID", "installation.id")
    }

    /// The witness's state, which was found to be what it was. A published one at its path is imported first. Where
    /// nothing but its peers can tell whether it was set back, enough of them have told: also at a start that looks
    /// clean, since so does a restored copy.
    pub(in crate::cli) async fn witness(&self) -> Result<Witness, Failure> {
        self.checked_witness(&mut None).await
    }

    /// The same; `found` says which incident it was, for who goes on without.
    pub(in crate::cli) async fn checked_witness(&self, found: &mut Option<What>) -> Result<Witness, Failure> {
        self.refuse_unsaid_rollback()?;
        let asked = if self.relies_on_peers() { Some(self.ask_peers().await?) } else { None };
        if let Some(asked) = asked.as_ref().filter(|asked| !asked.is_enough()) {
            return Err(asked.too_few());
        }
        let mut witness = self.try_witness(None, found).await?;
        if let Some(asked) = asked {
            self.raise_floors(&mut witness, &asked)?;
        }
        Ok(witness)
    }

    /// The state alone, where an operator may allow it to go on after an incident. Peers are not asked.
    pub(in crate::cli) async fn open_witness(&self, allowed: Option<Allowed>) -> Result<Witness, Failure> {
        self.try_witness(allowed, &mut None).await
    }

    async fn try_witness(&self, allowed: Option<Allowed>, found: &mut Option<What>) -> Result<Witness, Failure> {
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

    /// How the state stands, without a word to anybody: its floor and what stopped it, or the incident. `None` where
    /// none was begun. What a crash left to do is done, as with any start.
    pub(in crate::cli) fn look_at_witness(&self) -> Result<Option<Result<Stands, Incident>>, Failure> {
        let path = self.witness_path()?;
        let setup = self.witness_setup(None)?;
        let is_begun = file_kind(&path, &SCHEMA)? != FileKind::Nothing;
        let is_anchored = || setup.anchor.as_ref().map_or(Ok(None), |anchor| anchor.read());
        if !is_begun && is_anchored()?.is_none() {
            return Ok(None);
        }
        match Witness::open(&path, setup) {
            Err(WitnessError::Incident(incident)) => Ok(Some(Err(*incident))),
            opened => opened
                .map(|witness| {
                    let stopped = witness.stopped().map(str::to_owned);
                    Some(Ok(Stands { floor: witness.floor(), stopped }))
                })
                .map_err(Failure::from),
        }
    }

    /// What the witness's anchor is worth. Asks its device.
    pub(in crate::cli) fn witness_anchor_kind(&self) -> Result<Option<AnchorKind>, Failure> {
        let anchor = self.witness_setup(None)?.anchor;
        Ok(anchor.map(|anchor| anchor.kind()).transpose()?)
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

    /// What the witness's anchor is worth, and where it stands; `None` where there is none. Opens no state.
    pub(in crate::cli) fn look_at_anchor(&self) -> Result<Option<(AnchorKind, Option<Floor>)>, Failure> {
        if self.settings.witness.anchor == AnchorSetting::None {
            return Ok(None);
        }
        let keys = self.keys_for(Purpose::Witness)?.into_iter().map(|loaded| loaded.key).collect();
        let anchor = self.witness_anchor(keys)?;
        anchor.map(|anchor| Ok((anchor.kind()?, anchor.read()?))).transpose()
    }

    /// Imports the published witness database at `source` into the open one.
    pub(in crate::cli) fn import_witness(&self, witness: &mut Witness, source: &Path) -> Result<(), Failure> {
        import::witness(witness, &self.witness_path()?, source, &*self.audit()?)
    }

    /// Signs an incident, keeps it beside the database, and gives the failure that tells of it.
    pub(in crate::cli) async fn tell_incident(&self, incident: &Incident, signer: Option<&Signer>) -> Failure {
        let what = incident.what.name();
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
        let timeless = incident.to_object(self.witness_id()?, Timestamp::from_millis(0));
        let which = &Digest::of(&timeless.to_canonical()).to_string()[..8];
        let path = with_suffix(&self.witness_path()?, &format!(".incident-{}-{which}.json", incident.what.name()));
        // Whoever tries again each minute finds it again, and neither fills the disk nor wears out the key.
        if !path.exists() {
            self.audit()?.note(Event::incident("witness", incident.what.name()));
            let signer = signer.ok_or_else(|| Failure::config("no key signs it", "Configure the witness's key."))?;
            let signed = sign_document(signer, &incident.to_object(self.witness_id()?, self.clock.now())).await?;
            let draft = with_suffix(&path, ".draft");
            let written = fs::write(&draft, signed.to_canonical()).and_then(|()| fs::rename(&draft, &path));
            written.map_err(|e| Failure::io(&format!("cannot write {}", path.display()), &e))?;
        }
        Ok(path.display().to_string())
    }

    /// What holds beyond the published rules.
    pub(in crate::cli) fn witness_rules(&self) -> Rules {
        let settings = &self.settings.witness;
        let evidence_each_time = self.settings.config_file.is_none();
        Rules { first_use: settings.first_use, longest_jump: settings.longest_jump, evidence_each_time }
    }

    fn witness_setup(&self, allowed: Option<Allowed>) -> Result<Setup, Failure> {
        let settings = &self.settings.witness;
        let keys = self.keys_for(Purpose::Witness)?;
        let signers = keys.iter().map(|key| self.signer_of(key.clone())).collect::<Result<_, _>>()?;
        let purpose_keys: Vec<PurposeKey> = keys.into_iter().map(|loaded| loaded.key).collect();
        // The published commands witness with and without the encryption key, on the same state.
        let is_sealed = self.settings.config_file.is_some() && self.has_wrapping_key();
        Ok(Setup {
            signers,
            wrapping: if is_sealed { Some(self.recorded_wrapping_key()?) } else { None },
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
            AnchorSetting::Object(label) => {
                let object = DataObject::new(self.token()?, label);
                Some(Arc::new(SignedFloor::new(Box::new(object), witness_id, keys)))
            }
            #[cfg(feature = "tpm")]
            AnchorSetting::Tpm => Some(Arc::new(TpmAnchor::new(self.tpm()?, ANCHOR))),
        })
    }

    /// The way to the feed of submissions.
    pub(in crate::cli) fn feed_client(&self) -> Result<Client, Failure> {
        let feed = self.settings.witness.feed.as_deref();
        let feed = feed.ok_or_else(|| {
            Failure::config("no feed is configured", "Set feed under [witness.follow] in the config file.")
        })?;
        self.client_of(Endpoint::parse(feed, None)?)
    }

    /// The spool of what the witness posts, beside its database.
    pub(in crate::cli) async fn outbox(&self) -> Result<Outbox, Failure> {
        let path = with_suffix(&self.witness_path()?, ".outbox");
        let spool = Arc::new(self.spool_at(&path)?);
        Ok(Outbox::new(&path, spool).await?)
    }

    /// The relay of that spool, to the platform's checkpoints beside its events.
    pub(in crate::cli) async fn outbox_drain(&self, outbox: &Outbox) -> Result<Drain, Failure> {
        let installation_id = self.installation_id()?.to_owned();
        let events = self.endpoint(Some(&installation_id))?;
        let checkpoints = events.as_str().strip_suffix("/events").map(|base| format!("{base}/witness/checkpoints"));
        let checkpoints = checkpoints.ok_or_else(|| {
            Failure::config("relay.endpoint does not end in /events", "What a witness posts goes beside the events.")
        })?;
        // It is this installation's, as that of the events is.
        let client = self.client_of(Endpoint::parse(&checkpoints, None)?)?;
        let audit = self.audit()?;
        let config = DrainConfig { installation_id, parallel: 1, count_every_failure: false, audit };
        Ok(outbox.drain(client, self.clock.clone(), config).await?)
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
