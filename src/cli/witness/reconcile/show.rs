use crate::cli::failure::{Failure, REFUSED, UNAVAILABLE};
use crate::cli::output::{Output, printable};
use crate::cli::vault::{Asked, Stands, Vault};
use crate::custody::{AnchorKind, Floor};
use crate::protocol::json::Object;
use crate::witness::{Difference, Incident, Stream, What, contradicts, is_ahead};

/// How the witness stands.
pub(super) struct Survey {
    witness_id: String,
    state: Option<Floor>,
    anchor: Option<AnchorKind>,
    anchored: Option<Floor>,
    incident: Option<Incident>,
    /// An incident that it was stopped by while it ran.
    stopped: Option<What>,
    peers: Vec<Peer>,
    /// What is wrong with the answers where nothing but the peers can tell what was signed.
    too_few: Option<String>,
    /// What becomes a floor.
    pub(super) ahead: Vec<Difference>,
    contradicts: Vec<Difference>,
}

struct Peer {
    name: String,
    /// Of how many streams it has told, or why it has not.
    told: Result<usize, String>,
}

impl Survey {
    /// Opens the state and compares it with its anchor, and with what the peers answered. Blocks.
    pub(super) fn of(vault: &Vault, asked: &Asked) -> Result<Self, Failure> {
        let witness_id = vault.witness_id()?.to_owned();
        let anchor = vault.witness_anchor_kind()?;
        let looked = vault.look_at_witness()?;
        let (state, anchored, incident, stopped) = match looked {
            None => (None, None, None, None),
            Some(Ok(Stands { floor, stopped })) => (Some(floor), anchor.map(|_| floor), None, stopped),
            Some(Err(incident)) => (incident.state, incident.anchor, Some(incident), None),
        };
        let stopped = stopped.as_deref().and_then(What::from_name);
        // What was lost may be any stream, and whatever a peer has of ours is one.
        let makes_streams = incident.is_some()
            || stopped.is_some()
            || state.is_none()
            || (vault.relies_on_peers() && vault.settings.witness.first_use);
        let own = own_streams(vault);
        let unknown_as = makes_streams.then_some(witness_id.as_str());
        let answered = asked.answers.iter().map(|peer| (&peer.peer, Ok(peer.heads.len())));
        let silent = asked.silent.iter().map(|(peer, why)| (peer, Err(why.clone())));
        let too_few = (vault.relies_on_peers() && !asked.is_enough()).then(|| asked.in_words());
        Ok(Self {
            ahead: is_ahead(&own, &asked.floors(), unknown_as),
            contradicts: contradicts(&own, &asked.answers),
            peers: answered.chain(silent).map(|(name, told)| Peer { name: name.clone(), told }).collect(),
            witness_id,
            state,
            anchor,
            anchored,
            incident,
            stopped,
            too_few,
        })
    }

    /// The incident that keeps it from signing.
    pub(super) fn what(&self) -> Option<What> {
        self.incident.as_ref().map(|incident| incident.what).or(self.stopped)
    }

    /// Whether an incident stopped it while it ran, and the state itself is whole.
    pub(super) const fn is_stopped(&self) -> bool {
        self.stopped.is_some()
    }

    /// Whether there is no state.
    pub(super) const fn is_gone(&self) -> bool {
        self.state.is_none() && self.incident.is_none()
    }

    /// The exit code that tells whether it may sign.
    pub(super) fn code(&self) -> u8 {
        match (self.what(), &self.too_few) {
            (Some(_), _) => REFUSED,
            (None, Some(_)) => UNAVAILABLE,
            (None, None) => 0,
        }
    }

    pub(super) fn to_object(&self) -> Object {
        let peers: Vec<Object> = self
            .peers
            .iter()
            .map(|peer| {
                let (streams, error) = (peer.told.as_ref().ok().copied(), peer.told.as_ref().err().cloned());
                Object::new()
                    .with("name", peer.name.as_str())
                    .with("streams", streams.map(|n| n as u64))
                    .with("error", error)
            })
            .collect();
        let list = |differences: &[Difference]| differences.iter().map(difference).collect::<Vec<Object>>();
        Object::new()
            .with("witnessId", self.witness_id.as_str())
            .with("maySign", self.code() == 0)
            .with("incident", self.what().map(What::name))
            .with("detail", self.incident.as_ref().map(ToString::to_string))
            .with("state", self.state.as_ref().map(floor))
            .with("anchorType", self.anchor.map_or("none", AnchorKind::name))
            .with("anchor", self.anchored.as_ref().map(floor))
            .with("peers", peers)
            .with("tooFewPeers", self.too_few.clone())
            .with("ahead", list(&self.ahead))
            .with("contradicts", list(&self.contradicts))
    }

    pub(super) fn print(&self) -> Result<(), Failure> {
        let out = Output::new();
        let count = |floor: &Option<Floor>| floor.map_or_else(|| "none".to_owned(), |floor| floor.count.to_string());
        out.line(&format!("witness   {}", printable(&self.witness_id)))?;
        out.line(&format!("state     {}", count(&self.state)))?;
        match self.anchor {
            Some(kind) => out.line(&format!("anchor    {} ({})", count(&self.anchored), kind.name()))?,
            None => out.line("anchor    none")?,
        }
        match (&self.incident, self.stopped) {
            (Some(incident), _) => out.line(&format!("incident  {}: {incident}", incident.what.name()))?,
            (None, Some(stopped)) => out.line(&format!("incident  {}", stopped.name()))?,
            (None, None) => out.line("incident  none")?,
        }
        for Peer { name, told } in &self.peers {
            match told {
                Ok(streams) => out.line(&format!("peer      {}: {streams} streams", printable(name)))?,
                Err(why) => out.line(&format!("peer      {}: {}", printable(name), printable(why)))?,
            }
        }
        if let Some(too_few) = &self.too_few {
            out.line(&format!("refused   {too_few}"))?;
        }
        self.ahead.iter().try_for_each(|ahead| out.line(&format!("ahead     {}", in_words(ahead))))?;
        self.contradicts.iter().try_for_each(|other| out.line(&format!("another   {}", in_words(other))))
    }
}

/// As the state says it, whether that is authenticated or not: it is shown, and nothing is decided by it.
fn own_streams(vault: &Vault) -> Vec<Stream> {
    let mut own = Vec::new();
    if let Ok(reader) = vault.witness_reader() {
        // What does not read is an incident, which is told beside it.
        let _ = reader.streams(|stream| own.push(stream));
    }
    own
}

pub(super) fn difference(difference: &Difference) -> Object {
    let submission = &difference.statement.submission;
    Object::new()
        .with("tenantId", difference.stream.tenant_id.as_str())
        .with("streamId", difference.stream.stream_id.as_str())
        .with("own", difference.own)
        .with("peer", difference.peer.as_str())
        .with("checkpointSeqNo", submission.checkpoint_seq_no)
        .with("checkpointHash", submission.checkpoint_hash.as_str())
}

pub(super) fn in_words(difference: &Difference) -> String {
    let own = difference.own.map_or_else(|| "none".to_owned(), |own| own.to_string());
    let (tenant, stream) = (printable(&difference.stream.tenant_id), printable(&difference.stream.stream_id));
    let number = difference.statement.submission.checkpoint_seq_no;
    format!("{tenant} {stream}: ours {own}, {} has {number}", printable(&difference.peer))
}

fn floor(floor: &Floor) -> Object {
    Object::new().with("count", floor.count).with("root", floor.root.to_string())
}
