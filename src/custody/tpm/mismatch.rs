use super::firmware_log::{self, Events};
use super::pcr::Values;
use super::policy::Reference;
use super::signed_policy::SignedPolicy;
use crate::custody::{CustodyError, ErrorKind};

/// That no signed policy holds, and in which PCRs the nearest one differs.
pub(super) fn nothing_holds(
    policies: &[SignedPolicy],
    reference: Reference,
    now: &Values,
    events: &Events,
) -> CustodyError {
    let refused = |message: String, advice: String| super::error(ErrorKind::Refused, "TPM2_PolicyPCR", message, advice);
    let differs = |policy: &SignedPolicy| -> Vec<u8> {
        let wanted = policy.values(reference);
        wanted.iter().filter(|(pcr, value)| now.get(pcr) != Some(value)).map(|(pcr, _)| *pcr).collect()
    };
    let Some(nearest) = policies.iter().min_by_key(|policy| differs(policy).len()) else {
        let message = match reference {
            Reference::Sealed { generation } => format!("there is no signed policy of generation {generation}"),
            Reference::Standing => "there is no signed policy".to_owned(),
        };
        return refused(message, "Put the operator's policy there: local-vault custody policy apply FILE".to_owned());
    };
    let pcrs = differs(nearest);
    let application = nearest.application.as_ref().map(|application| application.pcr);
    if pcrs.len() == 1 && pcrs.first().copied() == application {
        return capped(pcrs[0]);
    }
    let (named, verb) = (named(&pcrs), if pcrs.len() == 1 { "is" } else { "are" });
    let told: Vec<String> = pcrs.iter().filter_map(|&pcr| firmware_log::news(events, &nearest.events, pcr)).collect();
    let told = if told.is_empty() { String::new() } else { format!(" The log of firmware says: {}.", told.join("; ")) };
    refused(
        format!("{named} {verb} not what any signed policy allows"),
        format!(
            "Was the firmware, the boot loader, the kernel or a key of secure boot changed? If that was meant, have this \
             state signed: local-vault custody policy sign; if not, start what ran before.{told}"
        ),
    )
}

/// That the application's PCR is past the point where secrets are released.
pub(super) fn capped(pcr: u8) -> CustodyError {
    super::error(
        ErrorKind::Refused,
        "TPM2_PolicyPCR",
        format!("PCR {pcr} was extended since the boot by another program, or by another start of this one"),
        "Secrets are released once a boot, to the first process that asks. Restart the machine, and start one process \
         that needs them.",
    )
}

fn named(pcrs: &[u8]) -> String {
    let numbers: Vec<String> = pcrs.iter().map(u8::to_string).collect();
    match numbers.split_last() {
        Some((last, [])) => format!("PCR {last}"),
        Some((last, first)) => format!("PCRs {} and {last}", first.join(", ")),
        None => "nothing".to_owned(),
    }
}
