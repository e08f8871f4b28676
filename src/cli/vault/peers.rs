use std::time::Duration;

use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;

use super::Vault;
use crate::cli::failure::Failure;
use crate::config::{AnchorSetting, PeerSettings};
use crate::protocol::witness::Statement;
use crate::relay::{Client, ClientConfig, Endpoint, Heads, Identity, Proxy, TIMEOUT, Trust};
use crate::witness::{Change, HeadsPage, PeerHeads, Witness, floors, is_ahead, needed};

/// What the peers of the witness answered.
#[derive(Debug)]
pub(in crate::cli) struct Asked {
    /// Those that answered, whole and verified.
    pub(in crate::cli) answers: Vec<PeerHeads>,
    /// How many of them were stopped: what they told is a floor, and may be less than they witnessed.
    pub(in crate::cli) stopped: usize,
    /// Those that did not, and why.
    pub(in crate::cli) silent: Vec<(String, String)>,
    /// So many have to answer.
    pub(in crate::cli) needed: usize,
}

/// A peer that names ever more pages is not followed for ever: this many of 256 heads are streams enough.
const MOST_PAGES: usize = 10_000;
/// Nor is one waited for at a start that takes as long as it may for each of them: the others have answered by then.
const LONGEST: Duration = Duration::from_secs(300);

impl Asked {
    /// Whether enough answered to rely on.
    pub(in crate::cli) fn is_enough(&self) -> bool {
        self.answers.len() - self.stopped >= self.needed
    }

    /// How many answered, in words.
    pub(in crate::cli) fn in_words(&self) -> String {
        let (all, sound) = (self.answers.len() + self.silent.len(), self.answers.len() - self.stopped);
        let stopped =
            if self.stopped > 0 { format!(", {} were stopped themselves", self.stopped) } else { String::new() };
        format!("{sound} of {all} peers answered{stopped}, and {} must", self.needed)
    }

    /// What becomes a floor.
    pub(in crate::cli) fn floors(&self) -> Vec<(String, Statement)> {
        floors(&self.answers)
    }

    /// The refusal to go on without them.
    pub(in crate::cli) fn too_few(&self) -> Failure {
        let silent: Vec<_> = self.silent.iter().map(|(peer, why)| format!("{peer}: {why}")).collect();
        Failure::unavailable(
            format!("what this witness has signed cannot be told: {} ({})", self.in_words(), silent.join("; ")),
            "Nothing was signed. It is asked again with the next start; see to the peers, or set an anchor.",
        )
    }
}

impl Vault {
    /// Whether nothing but its peers knows how far the witness has come.
    pub(in crate::cli) fn relies_on_peers(&self) -> bool {
        let settings = &self.settings.witness;
        settings.anchor == AnchorSetting::None && !settings.peers.is_empty()
    }

    /// Asks every peer for all of its heads, all at once. None at all where none is configured.
    pub(in crate::cli) async fn ask_peers(&self) -> Result<Asked, Failure> {
        let settings = &self.settings.witness;
        let identity = settings
            .listen
            .as_ref()
            .map(|listen| Identity { certificate: listen.certificate.clone(), key: listen.key.clone() });
        let proxy = self.proxy()?;
        let ask = |peer: &PeerSettings| (peer.name.clone(), ask(peer.clone(), identity.clone(), proxy.clone()));
        let asking: Vec<(String, JoinHandle<_>)> =
            settings.peers.iter().map(ask).map(|(name, asking)| (name, tokio::spawn(asking))).collect();
        let needed = if settings.peers.is_empty() { 0 } else { needed(settings.quorum) };
        let mut asked = Asked { answers: Vec::new(), stopped: 0, silent: Vec::new(), needed };
        for (peer, asking) in asking {
            match asking.await.unwrap_or_else(|_| Err(Failure::software("asking a peer broke off"))) {
                Ok(Ok((heads, is_stopped))) => {
                    if is_stopped {
                        tracing::warn!(peer, "a peer was stopped, and does not count");
                        asked.stopped += 1;
                    }
                    asked.answers.push(PeerHeads { peer, heads });
                }
                Ok(Err(why)) => {
                    tracing::warn!(peer, why, "a peer did not tell what it has witnessed");
                    asked.silent.push((peer, why));
                }
                Err(failure) => return Err(failure.about(&format!("witness.peers, {peer}"))),
            }
        }
        Ok(asked)
    }

    /// What peers have witnessed becomes the floor of a state that nothing else tells whether it was set back (I7).
    /// Streams that it does not know are made of them where anybody might else begin them.
    pub(super) fn raise_floors(&self, witness: &mut Witness, asked: &Asked) -> Result<(), Failure> {
        let unknown_as = if self.settings.witness.first_use { Some(self.witness_id()?.to_owned()) } else { None };
        let heads = asked.floors();
        let mut own = Vec::new();
        witness.streams(|stream| own.push(stream))?;
        let raised = is_ahead(&own, &heads, unknown_as.as_deref());
        if !raised.is_empty() {
            tracing::warn!(
                streams = raised.len(),
                "peers have witnessed more than this witness: their heads are its floors"
            );
            witness.change(&Change::Raise { heads, unknown_as })?;
        }
        Ok(())
    }
}

/// All heads of a peer, and whether it was stopped; the inner error says why there are none. The outer one is one of the configuration.
async fn ask(
    peer: PeerSettings,
    identity: Option<Identity>,
    proxy: Option<Proxy>,
) -> Result<Result<(Vec<Statement>, bool), String>, Failure> {
    let endpoint = Endpoint::parse(&format!("{}/heads", peer.url), None);
    let endpoint = endpoint.map_err(|e| Failure::config(e.to_string(), "Mend the peer's url."))?;
    let trust = Trust { ca_file: peer.ca_file.clone(), spki_pins: Vec::new() };
    let config = ClientConfig { endpoint, trust, proxy, timeout: TIMEOUT };
    let client = spawn_blocking(move || match identity {
        Some(identity) => Client::identified(&config, &identity),
        None => Client::new(&config),
    });
    let client = client.await.map_err(|_| Failure::software("reading certificates broke off"))?;
    let client = client.map_err(|e| {
        Failure::config(e.to_string(), "Check the peer's ca_file, and certificate and key of [witness.listen].")
    })?;
    Ok(within(LONGEST, pages(&Heads::new(client), &peer)).await)
}

async fn within<T>(longest: Duration, asking: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let late = |_| Err(format!("it has not told all of its heads in {} s", longest.as_secs()));
    timeout(longest, asking).await.unwrap_or_else(late)
}

async fn pages(heads: &Heads, peer: &PeerSettings) -> Result<(Vec<Statement>, bool), String> {
    let (mut all, mut after, mut is_stopped) = (Vec::new(), 0, false);
    for _ in 0..MOST_PAGES {
        let page = heads.after(after).await.map_err(|e| e.to_string())?;
        let page = HeadsPage::read(&page, &peer.public_keys, after).map_err(|e| e.to_string())?;
        all.extend(page.heads);
        is_stopped |= page.is_stopped;
        match page.next {
            Some(next) => after = next,
            None => return Ok((all, is_stopped)),
        }
    }
    Err("its heads do not end".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_peer_that_never_comes_to_an_end_is_one_that_did_not_answer() {
        let never = std::future::pending::<Result<(), String>>();
        assert_eq!(within(Duration::ZERO, never).await, Err("it has not told all of its heads in 0 s".into()));
        assert_eq!(within(LONGEST, async { Ok(7) }).await, Ok(7));
    }
}
