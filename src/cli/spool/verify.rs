use clap::Args;

use super::counted;
use crate::audit;
use crate::cli::failure::Failure;
use crate::cli::output::{Output, printable, progress};
use crate::cli::vault::Vault;
use crate::protocol::json::Object;
use crate::spool::{Damaged, Spool};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  local-vault spool verify
  local-vault spool verify --pages --json > verified.jsonl
  local-vault spool verify --quarantine

Works beside a relay that runs. Ends with 65 where anything is damaged. Needs the encryption key.")]
pub(in crate::cli) struct VerifyArgs {
    /// Every page of the file too, which takes seconds for each gigabyte
    #[arg(long)]
    pages: bool,
    /// Set aside what is damaged and waits, with a signed record in the place of each; the rest of its stream flows
    #[arg(long)]
    quarantine: bool,
    /// One JSON object for each damaged event, and one for the whole
    #[arg(long)]
    json: bool,
}

/// Events that are looked at between two steps of the bar.
const AT_ONCE: usize = 200;

/// What was found.
#[derive(Default)]
struct Found {
    events: u64,
    damaged: u64,
    /// Damaged ones that wait and were set aside.
    set_aside: u64,
    /// Damaged ones that wait still.
    waiting: u64,
    /// What does not agree.
    whole: Vec<String>,
}

pub(super) async fn run(vault: &Vault, args: &VerifyArgs) -> Result<u8, Failure> {
    let spool = vault.spool().await?;
    // Only for the bar: a total that does not read is told of in the end.
    let totals = vault.reader()?.totals().unwrap_or_default();
    let bar = progress(totals.iter().map(|totals| totals.events).fold(0, u64::saturating_add), "verifying");
    let mut found = Found::default();
    let mut check = spool.start_check()?;
    while let Some(checked) = check.next(AT_ONCE)? {
        found.events += checked.events;
        for damaged in checked.damaged {
            let is_set_aside = args.quarantine && set_aside(vault, &spool, &damaged).await?;
            found.add(&damaged, is_set_aside);
            bar.suspend(|| tell(&damaged, is_set_aside, args.json))?;
        }
        bar.inc(checked.events);
    }
    found.whole = check.finish(args.pages)?;
    bar.finish_and_clear();
    found.tell(args.json)?;
    found.verdict()
}

async fn set_aside(vault: &Vault, spool: &Spool, damaged: &Damaged) -> Result<bool, Failure> {
    let id = damaged.event.event_id;
    let is_set_aside = spool.quarantine(damaged.event.seq).await?;
    if is_set_aside {
        vault.audit()?.note(audit::Event::incident("a damaged record was set aside", &id.to_string()));
    }
    Ok(is_set_aside)
}

fn tell(Damaged { event, what }: &Damaged, is_set_aside: bool, json: bool) -> Result<(), Failure> {
    let output = Output::new();
    if json {
        let object = super::object(event).with("damaged", *what).with("setAside", is_set_aside);
        return output.json(&object);
    }
    let then = if is_set_aside { "; set aside" } else { "" };
    let (id, state, seq) = (event.event_id, event.state.name(), event.seq);
    output.line(&format!("damaged  seq {seq}, {id}, {state}: {what}{then}"))
}

impl Found {
    fn add(&mut self, damaged: &Damaged, is_set_aside: bool) {
        self.damaged += 1;
        if is_set_aside {
            self.set_aside += 1;
        } else if !damaged.event.state.is_settled() {
            self.waiting += 1;
        }
    }

    fn tell(&self, json: bool) -> Result<(), Failure> {
        let Self { events, damaged, set_aside, whole, .. } = self;
        let output = Output::new();
        if json {
            let object = Object::new()
                .with("verified", self.is_whole())
                .with("events", *events)
                .with("damaged", *damaged)
                .with("setAside", *set_aside)
                .with("whole", whole.clone());
            return output.json(&object);
        }
        whole.iter().try_for_each(|what| output.line(&format!("damaged  {}", printable(what))))?;
        output.line(&format!("{} verified, {damaged} damaged, {set_aside} set aside", counted(*events)))
    }

    fn is_whole(&self) -> bool {
        self.damaged == 0 && self.whole.is_empty()
    }

    fn verdict(&self) -> Result<u8, Failure> {
        if self.is_whole() {
            return Ok(0);
        }
        let advice = if self.waiting > 0 {
            "Look at the disk, and at who may write there. `local-vault spool verify --quarantine` sets aside what waits \
             and does not open, with a signed record in its place."
        } else {
            "Look at the disk, and at who may write there; docs/operations.md says what each means."
        };
        Err(Failure::data("the spool is damaged", advice))
    }
}
