use local_vault::custody::file::{Encryption, RootKey, generate_root_key, generate_seed_hex};
use local_vault::custody::{ErrorKind, SigningKey as _, WrappingKey as _};

use super::{ROOT, SEED_HEX, SEED_PUBLIC, file, folder, load, refusal, root, setting, shows_no_secret, works, write};

/// Python's `base64.b64encode` of the seed.
const SEED_BASE64: &str = "YGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6e3x9fn8=";

#[test]
fn a_seed_reads_from_hex_of_either_case_and_from_padded_base64() {
    for text in [SEED_HEX.to_owned(), SEED_HEX.to_uppercase(), SEED_BASE64.to_owned()] {
        let (key, encryption) = works(load(&setting(&text)));
        assert_eq!((key.public_key().to_hex().as_str(), encryption), (SEED_PUBLIC, Encryption::None));
    }
}

#[test]
fn white_space_around_a_seed_is_ignored_as_the_published_package_does() {
    for text in [format!("{SEED_HEX}\n"), format!(" \t{SEED_HEX}\r\n"), format!("\n{SEED_BASE64}  ")] {
        assert_eq!(works(load(&setting(&text))).0.public_key().to_hex(), SEED_PUBLIC);
    }
}

#[test]
fn a_seed_of_another_form_is_refused() {
    let inner_space = format!("{} {}", &SEED_HEX[..32], &SEED_HEX[33..]);
    let mut unpadded = SEED_BASE64.to_owned();
    unpadded.pop();
    for text in [
        "",
        " \n",
        &SEED_HEX[1..],
        &SEED_HEX[2..],
        &format!("{SEED_HEX}00"),
        &format!("0x{SEED_HEX}"),
        &format!("{}g", &SEED_HEX[..63]),
        &inner_space,
        &unpadded,
        // 31 and 33 bytes, and the URL-safe alphabet, which the published package refuses here.
        "YGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6e3x9fg==",
        "YGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6e3x9fn9g",
        "-__7__v_-__7__v_-__7__v_-__7__v_-__7__v_-_8=",
    ] {
        assert_eq!(refusal(load(&setting(text))).kind, ErrorKind::Misconfigured, "{text:?}");
    }
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let folder = folder();
    let raw = write(&folder, "raw", [0xff; 32], 0o600);
    assert_eq!(refusal(load(&file(&raw))).kind, ErrorKind::Misconfigured);
    assert_eq!(refusal(RootKey::load(&file(&raw))).kind, ErrorKind::Misconfigured);
}

#[test]
fn an_encryption_key_reads_from_either_alphabet_with_white_space_around_it() {
    let url_safe = "-__7__v_-__7__v_-__7__v_-__7__v_-__7__v_-_8=";
    let standard = "+//7//v/+//7//v/+//7//v/+//7//v/+//7//v/+/8=";
    let id = RootKey::load(&setting(url_safe)).unwrap().key_id().to_owned();
    for text in [standard.to_owned(), format!("{url_safe}\n"), format!(" {standard} \r\n")] {
        assert_eq!(RootKey::load(&setting(&text)).unwrap().key_id(), id);
    }
}

#[test]
fn bits_behind_the_last_byte_are_ignored_as_python_does() {
    let typed_by_hand = ROOT.replace("h8=", "h9=");
    assert_eq!(RootKey::load(&setting(&typed_by_hand)).unwrap().key_id(), root().key_id());
}

#[test]
fn an_encryption_key_of_another_form_is_refused() {
    for text in ["", "\n", &ROOT[..43], &ROOT[..40], &format!("{ROOT}{ROOT}"), SEED_HEX, "AA EC=", "-+8="] {
        assert_eq!(refusal(RootKey::load(&setting(text))).kind, ErrorKind::Misconfigured, "{text:?}");
    }
}

#[test]
fn a_generated_key_loads_and_is_another_one_each_time() {
    let seeds = [generate_seed_hex(), generate_seed_hex()];
    let keys = seeds.each_ref().map(|seed| works(load(&setting(seed))).0.public_key().to_hex());
    assert_ne!(keys[0], keys[1]);
    let roots = [generate_root_key(), generate_root_key()].map(|text| RootKey::load(&setting(&text)).unwrap());
    assert_ne!(roots[0].key_id(), roots[1].key_id());
}

#[test]
fn sources_and_keys_show_no_secret() {
    shows_no_secret(&format!("{:?} {:?} {:?}", setting(SEED_HEX), setting(ROOT), root()));
    assert_eq!(setting(SEED_HEX).name(), "SIGNING_KEY");
}
