use std::collections::HashSet;
use std::sync::Arc;

use super::{Flaw, Fresh, Named, ensure};
use crate::custody::{DataKey, ErrorKind, Sealed};

pub(super) const CASES: &[Named] = &[
    ("what is sealed opens at any length", any_length),
    ("other associated data does not open", other_aad),
    ("a record with any byte changed does not open", no_byte_is_spare),
    ("a record that was cut or lengthened does not open", other_length),
    ("no nonce comes twice and equal records do not look equal", nonces),
];

fn data_key(fresh: &Fresh<'_>) -> Result<Arc<dyn DataKey>, Flaw> {
    Ok(fresh.wrapping()?.generate_data_key(b"")?.1)
}

/// It must be refused as changed, and not for another reason.
fn refused(
    key: &dyn DataKey,
    aad: &[u8],
    nonce: &[u8],
    ciphertext: &[u8],
    what: impl Fn() -> String,
) -> Result<(), Flaw> {
    let sealed = Sealed { nonce: nonce.to_vec(), ciphertext: ciphertext.to_vec() };
    match key.open(aad, &sealed) {
        Ok(_) => Err(Flaw::Seen(format!("it opens with {}", what()))),
        Err(e) => ensure(e.kind == ErrorKind::Broken, || format!("with {} it says: {e}", what())),
    }
}

fn any_length(fresh: &Fresh<'_>) -> Result<(), Flaw> {
    let key = data_key(fresh)?;
    for length in [0, 1, 15, 16, 17, 1_000, 65_536, 1 << 20] {
        let record = vec![0xa5; length];
        let sealed = key.seal(b"aad", &record)?;
        let opened = key.open(b"aad", &sealed)?;
        ensure(opened.as_slice() == record, || format!("not {length} bytes"))?;
    }
    Ok(())
}

fn other_aad(fresh: &Fresh<'_>) -> Result<(), Flaw> {
    let key = data_key(fresh)?;
    let Sealed { nonce, ciphertext } = key.seal(b"spool 1", b"record")?;
    let others = [b"spool 2".as_slice(), b"", b"spool 11"];
    others.iter().try_for_each(|aad| refused(&*key, aad, &nonce, &ciphertext, || format!("{aad:?}")))
}

fn no_byte_is_spare(fresh: &Fresh<'_>) -> Result<(), Flaw> {
    let key = data_key(fresh)?;
    let Sealed { nonce, ciphertext } = key.seal(b"aad", b"a record of some length")?;
    for at in 0..ciphertext.len() {
        let mut flipped = ciphertext.clone();
        flipped[at] ^= 0x80;
        refused(&*key, b"aad", &nonce, &flipped, || format!("byte {at} changed"))?;
    }
    for at in 0..nonce.len() {
        let mut flipped = nonce.clone();
        flipped[at] ^= 0x01;
        refused(&*key, b"aad", &flipped, &ciphertext, || format!("byte {at} of the nonce changed"))?;
    }
    Ok(())
}

fn other_length(fresh: &Fresh<'_>) -> Result<(), Flaw> {
    let key = data_key(fresh)?;
    let Sealed { nonce, ciphertext } = key.seal(b"aad", b"record")?;
    for length in 0..ciphertext.len() {
        refused(&*key, b"aad", &nonce, &ciphertext[..length], || format!("{length} bytes"))?;
    }
    for length in 0..nonce.len() {
        refused(&*key, b"aad", &nonce[..length], &ciphertext, || format!("a nonce of {length} bytes"))?;
    }
    refused(&*key, b"aad", &nonce, &[ciphertext.as_slice(), &[0]].concat(), || "a byte more".into())
}

fn nonces(fresh: &Fresh<'_>) -> Result<(), Flaw> {
    let key = data_key(fresh)?;
    let sealed: Vec<Sealed> = (0..1_000).map(|_| key.seal(b"", b"record")).collect::<Result<_, _>>()?;
    let nonces: HashSet<&[u8]> = sealed.iter().map(|s| s.nonce.as_slice()).collect();
    let ciphertexts: HashSet<&[u8]> = sealed.iter().map(|s| s.ciphertext.as_slice()).collect();
    ensure((nonces.len(), ciphertexts.len()) == (1_000, 1_000), || "one came twice".into())
}
