//! Shows how the witness stands to its anchor and its peers, and lets it go on after an incident.

mod show;

use clap::Args;

use crate::cli::failure::Failure;
use crate::cli::output::{Output, printable};
use crate::cli::reason;
use crate::cli::vault::{Asked, Vault};
use crate::protocol::json::Object;
use crate::witness::{Allowed, Change, What};
use show::Survey;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  local-vault witness reconcile                      how state, anchor and peers stand
  local-vault witness reconcile --accept rollback-detected --allowed-by alice \\
    --reason \"restored after the disk failed, ticket 4711\"

Without --accept nothing is allowed and nothing is signed. Ends with 0 where the witness may sign, and with 77 where it
may not: docs/witness-recovery.md says what to do after each incident.")]
pub(in crate::cli) struct ReconcileArgs {
    /// Go on after this incident, by its name. No other one is allowed by it
    #[arg(long, value_name = "INCIDENT", value_parser = incident, requires_all = ["allowed_by", "reason"])]
    accept: Option<What>,
    /// Who allows it
    #[arg(long, value_name = "WHO", value_parser = reason::parse, requires = "accept")]
    allowed_by: Option<String>,
    /// Why. It is kept in the witness's records
    #[arg(long, value_name = "TEXT", value_parser = reason::parse, requires = "accept")]
    reason: Option<String>,
    /// Go on although too few peers tell what this witness has signed. What they do not tell may be signed twice
    #[arg(long, requires = "accept")]
    without_peers: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl ReconcileArgs {
    /// Whether it lets the witness go on.
    pub(in crate::cli) const fn accepts(&self) -> bool {
        self.accept.is_some()
    }
}

fn incident(name: &str) -> Result<What, String> {
    What::from_name(name).ok_or_else(|| format!("one of: {}", What::ALL.map(What::name).join(", ")))
}

pub(super) async fn run(vault: &Vault, args: ReconcileArgs) -> Result<u8, Failure> {
    let asked = vault.ask_peers().await?;
    let survey = Survey::of(vault, &asked)?;
    // The parser gives all three or none.
    let (Some(what), Some(by), Some(reason)) = (args.accept, args.allowed_by, args.reason) else {
        if args.json {
            Output::new().json(&survey.to_object())?
        } else {
            survey.print()?
        }
        return Ok(survey.code());
    };
    refuse_another(vault, &survey, what)?;
    let reason = with_what_peers_told(reason, &asked, args.without_peers)?;
    let witness_id = vault.witness_id()?.to_owned();
    let raise = Change::Raise { heads: asked.floors(), unknown_as: Some(witness_id) };
    accept(vault, &survey, Allowed { what, by: by.clone(), reason: reason.clone(), changes: vec![raise] }).await?;
    if args.json {
        let raised: Vec<Object> = survey.ahead.iter().map(show::difference).collect();
        let accepted = Object::new().with("accepted", what.name()).with("allowedBy", by).with("reason", reason);
        Output::new().json(&accepted.with("raised", raised))?;
    } else {
        Output::new().line(&format!("accepted {}, allowed by {}", what.name(), printable(&by)))?;
        survey.ahead.iter().try_for_each(|raised| Output::new().line(&format!("raised {}", show::in_words(raised))))?;
    }
    Ok(0)
}

/// Only what is wrong can be allowed, so that nobody allows tomorrow's incident today.
fn refuse_another(vault: &Vault, survey: &Survey, what: What) -> Result<(), Failure> {
    if what == What::StateDamaged {
        let path = vault.witness_path()?;
        return Err(Failure::refused(
            "a damaged state is never signed on, whoever allows it",
            format!(
                "Stop the service, move {} and what lies beside it away, and keep it. Then the state is lost: \
                 `witness reconcile` tells how it stands.",
                path.display()
            ),
        ));
    }
    match survey.what() {
        Some(there) if there == what => Ok(()),
        Some(there) => Err(Failure::refused(
            format!("the incident is {}, and not {}", there.name(), what.name()),
            "Nothing was changed. `local-vault witness reconcile` tells how it stands.",
        )),
        // Nothing here tells whether there was one; the peers may.
        None if what == What::StateLost && survey.is_gone() && vault.relies_on_peers() => Ok(()),
        None => Err(Failure::usage("there is no incident", "Nothing was changed. Leave out --accept.")),
    }
}

/// What is kept as the reason. Too few answers must be accepted in so many words, which stand in it then.
fn with_what_peers_told(reason: String, asked: &Asked, without_peers: bool) -> Result<String, Failure> {
    match (asked.is_enough(), without_peers) {
        (true, _) => Ok(reason),
        (false, true) => Ok(format!("{reason} (without peers: {})", asked.in_words())),
        (false, false) => Err(asked.too_few().advising(
            "Nothing was changed. See to the peers; --without-peers goes on all the same, and what they do not tell may \
             be signed twice.",
        )),
    }
}

/// Floors come first wherever a crash in between would let it sign without them.
async fn accept(vault: &Vault, survey: &Survey, allowed: Allowed) -> Result<(), Failure> {
    if !survey.is_stopped() {
        return vault.open_witness(Some(allowed)).await.map(drop);
    }
    let Allowed { what, by, reason, changes } = allowed;
    let mut witness = vault.open_witness(None).await?;
    changes.iter().try_for_each(|change| witness.change(change))?;
    Ok(witness.change(&Change::Accept { what, allowed_by: by, reason })?)
}
