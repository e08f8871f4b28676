use aes_gcm::aes::Aes128;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use cbc::Decryptor;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt as _, KeyIvInit as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

const VERSION: u8 = 0x80;

/// Version, time stamp and IV, in bytes.
const HEAD: usize = 1 + 8 + 16;

/// Opens a token of the Fernet format, version 0x80: `version || time || IV || AES-128-CBC || HMAC-SHA256`, in
/// URL-safe base64. The first half of `key` authenticates, the second one decrypts.
///
/// The time stamp is not judged, nor does the published package judge it: a box that once had a wrong clock keeps
/// its events. (The crate for this format refuses such tokens, and leaves copies of the key in freed memory.)
pub(super) fn open(key: &[u8; 32], token: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let token = URL_SAFE.decode(token).ok()?;
    let (signed, tag) = token.split_last_chunk::<32>()?;
    let (authenticates, decrypts) = key.split_at(16);
    let mut mac = Hmac::<Sha256>::new_from_slice(authenticates).ok()?;
    mac.update(signed);
    mac.verify_slice(tag).ok()?;

    let (head, ciphertext) = signed.split_first_chunk::<HEAD>()?;
    if head[0] != VERSION {
        return None;
    }
    let cipher = Decryptor::<Aes128>::new_from_slices(decrypts, &head[9..]).ok()?;
    let mut plaintext = Zeroizing::new(ciphertext.to_vec());
    let length = cipher.decrypt_padded::<Pkcs7>(&mut plaintext).ok()?.len();
    plaintext.truncate(length);
    Some(plaintext)
}
