use crate::cli::failure::Failure;
use crate::cli::output::{Output, printable};
use crate::cli::vault::Vault;
use crate::custody::tpm::{Lockout, PolicyState, SealedKind, SealedState, Tpm, TpmFacts};
use crate::protocol::json::{Object, Value};

pub(super) fn run(vault: &Vault, json: bool) -> Result<u8, Failure> {
    let tpm = vault.tpm()?;
    let status = Status::of(&tpm)?;
    let output = Output::new();
    if json {
        output.json(&status.object(&tpm))?;
    } else {
        status.lines(&tpm).iter().try_for_each(|line| output.line(line))?;
    }
    let config = tpm.config();
    match &config.parent_name {
        Some(pinned) if *pinned != status.facts.parent_name => Err(Failure::config(
            "this is not the TPM that was provisioned",
            format!("Pinned is the Name {pinned}. Was the TPM cleared, or the board replaced?"),
        )),
        Some(_) if !status.holds() => Err(Failure::refused(
            "no signed policy holds now",
            "Have this state signed (`local-vault custody policy sign`), or start what ran before.",
        )),
        _ => Ok(0),
    }
}

struct Status {
    facts: TpmFacts,
    policies: Vec<PolicyState>,
    sealed: Vec<SealedState>,
    /// Halves of ours that no file names: those of epochs, and what a kill left behind.
    others: Vec<u32>,
}

impl Status {
    fn of(tpm: &Tpm) -> Result<Self, Failure> {
        let facts = tpm.facts()?;
        let sealed = tpm.sealed()?;
        let is_provisioned = tpm.config().policy_key.is_some();
        let policies = if is_provisioned { tpm.policies()? } else { Vec::new() };
        let others = if is_provisioned { tpm.other_halves()? } else { Vec::new() };
        Ok(Self { facts, policies, sealed, others })
    }

    /// Whether a policy of the newest generation holds, the only one that sealed keys go by.
    fn holds(&self) -> bool {
        let newest = self.policies.iter().map(|policy| policy.generation).max();
        self.policies.iter().any(|policy| Some(policy.generation) == newest && policy.differs.is_empty())
    }

    fn lines(&self, tpm: &Tpm) -> Vec<String> {
        let mut all = lines(&self.facts);
        all.push(format!("TCTI         {}", tpm.config().tcti));
        let pinned = match &tpm.config().parent_name {
            None => "not pinned: run custody tpm provision",
            Some(name) if *name == self.facts.parent_name => "as pinned",
            Some(_) => "NOT AS PINNED",
        };
        all.push(format!("parent       {} ({}, {pinned})", self.facts.parent_name, tpm.config().parent));
        all.push(format!("lockout      {}", told(self.facts.lockout)));
        for policy in &self.policies {
            let measured = policy.application_pcr.map_or_else(String::new, |pcr| format!(", measured into PCR {pcr}"));
            let holds = match (policy.differs.is_empty(), policy.is_spent) {
                (true, false) => "holds".to_owned(),
                (true, true) => "holds; what is sealed was released since the boot, and is not again".to_owned(),
                (false, _) => format!("PCR {} differs", numbers(&policy.differs)),
            };
            all.push(format!(
                "policy       {} (generation {}{measured}): {holds}",
                policy.file.display(),
                policy.generation
            ));
        }
        for SealedState { label, kind, generation, nv_index } in &self.sealed {
            let kind = match kind {
                SealedKind::Anchor { counter, floor, is_made } => {
                    let begun = if *is_made { "" } else { ", NOT BEGUN IN FULL" };
                    format!("anchor{begun}, counter NV 0x{counter:08x}, floor NV 0x{floor:08x}")
                }
                SealedKind::Seed => "Ed25519 seed".to_owned(),
                SealedKind::Wrapping => "wrapping secret".to_owned(),
            };
            all.push(format!(
                "sealed       {} ({kind}, generation {generation}, NV 0x{nv_index:08x})",
                printable(label)
            ));
        }
        let others: Vec<String> = self.others.iter().map(|index| format!("0x{index:08x}")).collect();
        let others = if others.is_empty() { "none".to_owned() } else { others.join(", ") };
        all.push(format!("epochs       NV {others}"));
        all
    }

    fn object(&self, tpm: &Tpm) -> Object {
        let policies: Vec<Value> = self.policies.iter().map(policy_object).collect();
        let sealed: Vec<Value> = self.sealed.iter().map(sealed_object).collect();
        let others: Vec<String> = self.others.iter().map(|index| format!("0x{index:08x}")).collect();
        object(&self.facts)
            .with("tcti", tpm.config().tcti.to_string())
            .with("pinned", tpm.config().parent_name.clone())
            .with("policies", policies)
            .with("sealed", sealed)
            .with("epochNvIndices", others)
    }
}

fn policy_object(policy: &PolicyState) -> Value {
    let differs: Vec<Value> = policy.differs.iter().map(|&pcr| u32::from(pcr).into()).collect();
    Object::new()
        .with("file", policy.file.display().to_string())
        .with("generation", policy.generation)
        .with("applicationPcr", policy.application_pcr.map(u32::from))
        .with("spent", policy.is_spent)
        .with("differs", differs)
        .into()
}

fn sealed_object(sealed: &SealedState) -> Value {
    let index = |index: u32| format!("0x{index:08x}");
    let object = Object::new().with("label", sealed.label.as_str());
    let object = match sealed.kind {
        SealedKind::Anchor { counter, floor, is_made } => object
            .with("kind", "anchor")
            .with("begun", is_made)
            .with("counterNvIndex", index(counter))
            .with("floorNvIndex", index(floor)),
        SealedKind::Seed => object.with("kind", "ed25519-seed"),
        SealedKind::Wrapping => object.with("kind", "wrapping"),
    };
    object.with("generation", sealed.generation).with("nvIndex", index(sealed.nv_index)).into()
}

/// The TPM, for people.
pub(in crate::cli::custody) fn lines(facts: &TpmFacts) -> Vec<String> {
    let maker = &facts.maker;
    vec![
        format!("TPM          {} {}, firmware {}", printable(&maker.name), printable(&facts.model), facts.firmware),
        format!("kind         {} ({})", maker.kind.name(), maker.provenance),
    ]
}

/// The TPM, for machines.
pub(in crate::cli::custody) fn object(facts: &TpmFacts) -> Object {
    let Lockout { locked, count, most, forgets_after } = facts.lockout;
    Object::new()
        .with("manufacturer", facts.manufacturer.as_str())
        .with("model", facts.model.as_str())
        .with("firmware", facts.firmware.as_str())
        .with("kind", facts.maker.kind.name())
        .with("parentName", facts.parent_name.as_str())
        .with(
            "lockout",
            Object::new()
                .with("locked", locked)
                .with("count", count)
                .with("most", most)
                .with("forgetsAfterSeconds", forgets_after),
        )
}

fn told(lockout: Lockout) -> String {
    let counted = format!("{} of {} wrong authorizations", lockout.count, lockout.most);
    match lockout.ends_within() {
        Some(seconds) => format!("LOCKED, for up to {seconds} s ({counted}); keys of local-vault go on"),
        None if lockout.locked => format!("LOCKED, until the owner resets it ({counted}); keys of local-vault go on"),
        None => format!("no ({counted})"),
    }
}

fn numbers(pcrs: &[u8]) -> String {
    pcrs.iter().map(u8::to_string).collect::<Vec<_>>().join(", ")
}
