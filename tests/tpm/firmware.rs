//! Where a log of firmware can be read, a refusal says what is new in it.

use sha2::{Digest as _, Sha256};

use super::place::Place;

const EV_IPL: u32 = 0xd;
const EV_NO_ACTION: u32 = 3;

/// A boot that measures these texts, in a log as firmware writes it (see src/custody/tpm/event_log.rs), and into the TPM.
fn boot(place: &Place, measured: &[(u32, &str)]) {
    place.swtpm.stop();
    place.swtpm.start();
    place.write("measurements", log(measured));
    measured.iter().for_each(|(pcr, text)| place.swtpm.extend(*pcr, text));
}

fn log(measured: &[(u32, &str)]) -> Vec<u8> {
    let numbers = |numbers: &[u32]| numbers.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>();
    // One algorithm, SHA-256, with digests of 32 bytes.
    let id =
        [b"Spec ID Event03\0".as_slice(), &[0, 0, 0, 0, 0, 2, 0, 2], &numbers(&[1]), &[0x0b, 0, 32, 0], &[0]].concat();
    let size = |data: &[u8]| numbers(&[u32::try_from(data.len()).unwrap()]);
    let mut log = [numbers(&[0, EV_NO_ACTION]), vec![0; 20], size(&id), id].concat();
    for (pcr, text) in measured {
        log.extend(numbers(&[*pcr, EV_IPL, 1]));
        log.extend([&[0x0b, 0], Sha256::digest(text).as_slice(), &size(text.as_bytes()), text.as_bytes()].concat());
    }
    log
}

/// A box that is bound to secure boot and to what GRUB measures, and was provisioned after this boot.
fn provisioned_after(measured: &[(u32, &str)]) -> Place {
    let place = Place::unprovisioned("pcrs = \"sha256:7,8,9\"\nevent_log = \"measurements\"\n");
    boot(&place, measured);
    place.provision(&[]);
    ["source", "record", "wrapping"].iter().for_each(|key| place.generate(key));
    place.attest("a");
    place
}

const BEFORE: [(u32, &str); 3] = [(7, "SecureBoot"), (8, "grub_cmd: linux /vmlinuz-1"), (9, "/vmlinuz-1")];

const ADVICE: &str = "Was the firmware, the boot loader, the kernel or a key of secure boot changed? If that was meant, \
    have this state signed: local-vault custody policy sign; if not, start what ran before.";

#[test]
fn what_is_new_in_the_log_is_named() {
    let place = provisioned_after(&BEFORE);
    boot(&place, &[(7, "SecureBoot"), (8, "grub_cmd: linux /vmlinuz-2"), (9, "/vmlinuz-2")]);
    let says =
        "The log of firmware says: PCR 8: new is EV_IPL grub_cmd: linux /vmlinuz-2; PCR 9: new is EV_IPL /vmlinuz-2.";
    let what = "PCRs 8 and 9 are not what any signed policy allows (tpm: TPM2_PolicyPCR)";
    place.try_attest("b").fails(77, what, &format!("{ADVICE} {says}"));
    boot(&place, &BEFORE);
    place.attest("b");
}

#[test]
fn a_measurement_that_is_missing_is_told_of() {
    let place = provisioned_after(&[BEFORE.as_slice(), &[(9, "/initrd-1")]].concat());
    boot(&place, &BEFORE);
    let says =
        "The log of firmware says: PCR 9: something that was measured before is missing, or came in another order.";
    let what = "PCR 9 is not what any signed policy allows (tpm: TPM2_PolicyPCR)";
    place.try_attest("b").fails(77, what, &format!("{ADVICE} {says}"));
}

#[test]
fn a_log_that_does_not_explain_a_pcr_says_nothing_about_it() {
    let place = provisioned_after(&BEFORE);
    boot(&place, &BEFORE);
    place.swtpm.extend(9, "what nobody noted");
    let what = "PCR 9 is not what any signed policy allows (tpm: TPM2_PolicyPCR)";
    place.try_attest("b").fails(77, what, ADVICE);
    // Nor does one that is no log, or is not there.
    place.write("measurements", "no log");
    place.try_attest("b").fails(77, what, ADVICE);
    std::fs::remove_file(place.path("measurements")).unwrap();
    place.try_attest("b").fails(77, what, ADVICE);
}
