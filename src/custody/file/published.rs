use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine as _, alphabet};
use zeroize::Zeroizing;

/// Reads an Ed25519 seed as SIGNING_KEY has it: 64 hex digits of either case, or 32 bytes in padded standard base64.
pub(super) fn seed(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    if text.len() != 64 {
        return key(text, &STANDARD);
    }
    let mut seed = Zeroizing::new([0; 32]);
    hex::decode_to_slice(text, seed.as_mut()).ok()?;
    Some(seed)
}

/// Reads a key as ENCRYPTION_KEY has it: 32 bytes in padded base64, of the URL-safe or the standard alphabet.
pub(super) fn root_key(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    key(text, if text.contains(['+', '/']) { &STANDARD } else { &URL_SAFE })
}

/// The last character of 32 bytes has two bits to spare. Python does not look at them, so keys that people typed by
/// hand work with the published package, and do here.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

fn key(text: &str, base64: &GeneralPurpose) -> Option<Zeroizing<[u8; 32]>> {
    // Three bytes for four characters: the decoder asks for one more than it writes.
    let mut bytes = Zeroizing::new([0; 33]);
    let length = base64.decode_slice(text, bytes.as_mut()).ok()?;
    let key: &[u8; 32] = bytes[..length].try_into().ok()?;
    Some(Zeroizing::new(*key))
}
