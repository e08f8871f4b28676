use super::{Flaw, Fresh, Named, ensure, preimage};
use crate::protocol::{Algorithm, Domain, PublicKey, Signature};

pub(super) const OF_EACH: &[Named] = &[
    ("each key is another one, of the algorithm that was asked for", each_is_another_one),
    ("a signature verifies under the public key that others read", verifies),
    ("a second signature in a row verifies too", verifies_twice),
    ("a signature verifies for no other payload, domain or key", verifies_for_nothing_else),
    ("a signature with any bit flipped does not verify", no_bit_is_spare),
    ("a long message is signed as a whole", long_messages),
    ("debug shows the public half alone", debug_is_public),
];

pub(super) const OF_ED25519: &[Named] = &[("the same message gives the same signature", deterministic)];

pub(super) const OF_ES256: &[Named] = &[("every signature has a low s", low_s)];

fn each_is_another_one(fresh: &Fresh<'_>) -> Result<(), Flaw> {
    let [first, second] = [fresh.signing()?, fresh.signing()?];
    ensure(first.algorithm().name() == fresh.kind.name(), || format!("it is {}", first.algorithm().name()))?;
    ensure(first.public_key() != second.public_key(), || "two keys have one public half".into())
}

fn verifies(fresh: &Fresh<'_>) -> Result<(), Flaw> {
    let key = fresh.signing()?;
    let message = preimage(Domain::Source, "a");
    let signature = key.sign(&message)?;
    let public = PublicKey::from_hex(&key.public_key().to_hex()).map_err(|e| Flaw::Seen(e.to_string()))?;
    ensure(public.verify(&message, &signature).is_ok(), || "it does not verify".into())
}

fn verifies_twice(fresh: &Fresh<'_>) -> Result<(), Flaw> {
    let key = fresh.signing()?;
    for text in ["first", "second", "third"] {
        let message = preimage(Domain::Source, text);
        let signature = key.sign(&message)?;
        ensure(key.public_key().verify(&message, &signature).is_ok(), || format!("the {text} does not verify"))?;
    }
    Ok(())
}

fn verifies_for_nothing_else(fresh: &Fresh<'_>) -> Result<(), Flaw> {
    let (key, other) = (fresh.signing()?, fresh.signing()?);
    let message = preimage(Domain::Source, "a");
    let signature = key.sign(&message)?;
    for wrong in [preimage(Domain::Source, "b"), preimage(Domain::SelfTest, "a"), preimage(Domain::Epoch, "a")] {
        ensure(key.public_key().verify(&wrong, &signature).is_err(), || format!("it verifies for {wrong:?}"))?;
    }
    ensure(other.public_key().verify(&message, &signature).is_err(), || "it verifies under another key".into())
}

fn no_bit_is_spare(fresh: &Fresh<'_>) -> Result<(), Flaw> {
    let key = fresh.signing()?;
    let message = preimage(Domain::Source, "a");
    let signature = *key.sign(&message)?.as_bytes();
    for bit in 0..512 {
        let mut flipped = signature;
        flipped[bit / 8] ^= 1 << (bit % 8);
        let verdict = key.public_key().verify(&message, &Signature::from_bytes(flipped));
        ensure(verdict.is_err(), || format!("it verifies with bit {bit} flipped"))?;
    }
    Ok(())
}

fn long_messages(fresh: &Fresh<'_>) -> Result<(), Flaw> {
    let key = fresh.signing()?;
    for length in [1, 1_000, 20_000] {
        let message = preimage(Domain::Source, &"x".repeat(length));
        let signature = key.sign(&message)?;
        ensure(key.public_key().verify(&message, &signature).is_ok(), || format!("not with {length} bytes"))?;
    }
    Ok(())
}

fn debug_is_public(fresh: &Fresh<'_>) -> Result<(), Flaw> {
    let key = fresh.signing()?;
    let (shown, public) = (format!("{key:?}"), key.public_key().to_hex());
    ensure(shown.contains(&public) && shown.len() < public.len() + 32, || format!("it shows {shown}"))
}

fn deterministic(fresh: &Fresh<'_>) -> Result<(), Flaw> {
    let key = fresh.signing()?;
    let message = preimage(Domain::Source, "a");
    ensure(key.sign(&message)? == key.sign(&message)?, || "two signatures differ".into())
}

fn low_s(fresh: &Fresh<'_>) -> Result<(), Flaw> {
    let key = fresh.signing()?;
    debug_assert_eq!(key.algorithm(), Algorithm::Es256);
    // Half of all raw signatures have a high s, so 64 low ones are no accident.
    for i in 0..64 {
        let signature = key.sign(&preimage(Domain::Source, &i.to_string()))?;
        let parsed = p256::ecdsa::Signature::from_slice(signature.as_bytes());
        ensure(parsed.is_ok_and(|parsed| parsed.normalize_s() == parsed), || format!("not the one over {i}"))?;
    }
    Ok(())
}
