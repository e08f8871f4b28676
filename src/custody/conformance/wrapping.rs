use std::sync::Arc;

use super::{Flaw, Fresh, Named, ensure};
use crate::custody::{DataKey, ErrorKind, WrappedKey, WrappingKey};

pub(super) const CASES: &[Named] = &[
    ("an unwrapped key opens what the made one sealed", unwraps),
    ("another context does not unwrap", other_context),
    ("another wrapping key does not unwrap", other_key),
    ("a wrapped key with any bit flipped does not unwrap", no_bit_is_spare),
    ("a wrapped key of any other length does not unwrap", other_length),
    ("each data key is another one", each_is_another_one),
    ("the key id names the key in few harmless characters", key_id),
];

const CONTEXT: &[u8] = b"epoch 7";

type Made = (Arc<dyn WrappingKey>, WrappedKey, Arc<dyn DataKey>);

fn made(fresh: &Fresh<'_>) -> Result<Made, Flaw> {
    let key = fresh.wrapping()?;
    let (wrapped, data_key) = key.generate_data_key(CONTEXT)?;
    Ok((key, wrapped, data_key))
}

/// It must be refused as changed, and not for another reason.
fn refused(key: &dyn WrappingKey, wrapped: &[u8], context: &[u8], what: impl Fn() -> String) -> Result<(), Flaw> {
    match key.unwrap_data_key(&WrappedKey(wrapped.to_vec()), context) {
        Ok(_) => Err(Flaw::Seen(format!("it unwraps with {}", what()))),
        Err(e) => ensure(e.kind == ErrorKind::Broken, || format!("with {} it says: {e}", what())),
    }
}

fn unwraps(fresh: &Fresh<'_>) -> Result<(), Flaw> {
    let (key, wrapped, made) = made(fresh)?;
    let sealed = made.seal(b"aad", b"record")?;
    let opened = key.unwrap_data_key(&wrapped, CONTEXT)?.open(b"aad", &sealed)?;
    ensure(opened.as_slice() == b"record", || "it opens as something else".into())?;
    ensure(made.residence().name() == fresh.kind.name(), || format!("it is {}", made.residence().name()))
}

fn other_context(fresh: &Fresh<'_>) -> Result<(), Flaw> {
    let (key, wrapped, _) = made(fresh)?;
    let others = [b"epoch 8".as_slice(), b"", b"epoch 77"];
    others.iter().try_for_each(|context| refused(&*key, &wrapped.0, context, || format!("context {context:?}")))
}

fn other_key(fresh: &Fresh<'_>) -> Result<(), Flaw> {
    let (_, wrapped, _) = made(fresh)?;
    refused(&*fresh.wrapping()?, &wrapped.0, CONTEXT, || "another key".into())
}

fn no_bit_is_spare(fresh: &Fresh<'_>) -> Result<(), Flaw> {
    let (key, wrapped, _) = made(fresh)?;
    (0..wrapped.0.len() * 8).try_for_each(|bit| {
        let mut flipped = wrapped.0.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        refused(&*key, &flipped, CONTEXT, || format!("bit {bit} flipped"))
    })
}

fn other_length(fresh: &Fresh<'_>) -> Result<(), Flaw> {
    let (key, wrapped, _) = made(fresh)?;
    let cut = |length: usize| refused(&*key, &wrapped.0[..length], CONTEXT, || format!("{length} bytes"));
    (0..wrapped.0.len()).try_for_each(cut)?;
    refused(&*key, &[wrapped.0.as_slice(), &[0]].concat(), CONTEXT, || "a byte more".into())
}

fn each_is_another_one(fresh: &Fresh<'_>) -> Result<(), Flaw> {
    let (key, wrapped, first) = made(fresh)?;
    let (second_wrapped, second) = key.generate_data_key(CONTEXT)?;
    ensure(wrapped != second_wrapped, || "two wrapped keys are equal".into())?;
    let sealed = first.seal(b"", b"record")?;
    ensure(second.open(b"", &sealed).is_err(), || "one opens what another sealed".into())
}

fn key_id(fresh: &Fresh<'_>) -> Result<(), Flaw> {
    let [first, second] = [fresh.wrapping()?, fresh.wrapping()?];
    ensure(first.key_id() != second.key_id(), || "two keys have one id".into())?;
    ensure(first.scheme() == second.scheme(), || "two keys have two schemes".into())?;
    let plain = first.key_id().bytes().all(|c| c.is_ascii_graphic() && c != b'|');
    ensure(plain && first.key_id().len() <= 64, || format!("it is {:?}", first.key_id()))
}
