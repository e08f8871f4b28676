//! What is derived from one ENCRYPTION_KEY, as literal bytes: a release that derived something else could open no
//! spool of the one before. All values were made with Python's `cryptography` (HKDF, AESGCM, Fernet), not by us.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use local_vault::custody::file::RootKey;
use local_vault::custody::{DataKey as _, ErrorKind, ReleasedDataKey, SigningKey as _, WrappedKey, WrappingKey as _};

use super::{refusal, root, shows_no_secret};

#[test]
fn the_key_id_never_changes() {
    assert_eq!(root().key_id(), "file-d8db7e1c36ef70b6");
}

#[test]
fn the_record_key_never_changes() {
    let expected = "98250a5d72c7efbc833a378322cf0dc9bf063f7ea03371811299b975f116e9d7";
    assert_eq!(root().record_key().public_key().to_hex(), expected);
}

#[test]
fn the_wrapping_of_a_data_key_never_changes() {
    let wrapped = "000102030405060708090a0bba03380c93a8bf449dd50e641771242e\
                   186858cc88a8b900292f3b2ae72453bb6b98e9b38d665390014e3d44c3ec7ef7";
    let unwrapped = root().unwrap_data_key(&WrappedKey(hex::decode(wrapped).unwrap()), b"epoch 7").unwrap();
    let sealed = ReleasedDataKey::new(&mut [0x42; 32]).seal(b"", b"record").unwrap();
    assert_eq!(unwrapped.open(b"", &sealed).unwrap().as_slice(), b"record");
    assert_eq!(root().scheme(), "file-aes-256-gcm");
}

/// Tokens of `{"amount":1}` with the IV 00..0f, made in 2025, 1985 and 2106.
const TOKENS: [&str; 3] = [
    "gAAAAABo53gAAAECAwQFBgcICQoLDA0OD6iVEsyMCoy-n--tSiESpFGk7u-xFrhV_bviwUybHZYgoL46n8YlGXwqXL4f7vVbsg==",
    "gAAAAAAcN0qAAAECAwQFBgcICQoLDA0OD6iVEsyMCoy-n--tSiESpFG0ZZCOpHfRuNaF65e3plaF3tkHtAvXmSYW61ykLUOPjg==",
    "gAAAAAEAAAAAAAECAwQFBgcICQoLDA0OD6iVEsyMCoy-n--tSiESpFHB3mdaUjdAA9IdV5CDS1OIXElL1NEsQ6RQV2y427Ju9w==",
];

#[test]
fn a_published_row_opens_whatever_its_time_stamp_says() {
    for token in TOKENS {
        assert_eq!(root().open_published(token.as_bytes()).unwrap().as_slice(), br#"{"amount":1}"#);
    }
}

#[test]
fn an_empty_published_row_opens() {
    let token = "gAAAAABo53gAAAECAwQFBgcICQoLDA0OD7eteCFsVWnW2hqrh_bbxWGDeEpo4hgf-vwbd3KIOpmwQB9ijkxSeDcLIJkiDPtu_g==";
    assert_eq!(root().open_published(token.as_bytes()).unwrap().as_slice(), b"");
}

#[test]
fn a_published_row_that_was_changed_cut_or_written_under_another_key_does_not_open() {
    let raw = URL_SAFE.decode(TOKENS[0]).unwrap();
    for bit in 0..raw.len() * 8 {
        let mut flipped = raw.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let refused = refusal(root().open_published(URL_SAFE.encode(flipped).as_bytes()));
        assert_eq!(refused.kind, ErrorKind::Broken, "bit {bit}");
    }
    for length in 0..raw.len() {
        refusal(root().open_published(URL_SAFE.encode(&raw[..length]).as_bytes()));
    }
    for no_token in [b"".as_slice(), b"{\"amount\":1}", b"\xff\xfe", TOKENS[0].trim_end_matches('=').as_bytes()] {
        refusal(root().open_published(no_token));
    }
    refusal(RootKey::new(&mut [7; 32]).open_published(TOKENS[0].as_bytes()));
}

#[test]
fn nothing_derived_shows_a_secret() {
    let (wrapped, data_key) = root().generate_data_key(b"").unwrap();
    shows_no_secret(&format!("{:?} {:?} {wrapped:?} {data_key:?}", root(), root().record_key()));
}
