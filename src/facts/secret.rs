// Locked memory needs raw pages; this is the only file that touches them.
#![allow(unsafe_code)]

use std::fmt;
use std::ptr::NonNull;

use zeroize::{Zeroize, Zeroizing};

/// Secret bytes of any length: wiped on drop, and without a `Debug` that shows them.
#[derive(Clone, Default)]
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// Takes the bytes over; the caller's vector becomes the secret and is not copied.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for the moment of their use.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The bytes of a secret that is a line, without the end of it.
    pub fn expose_line(&self) -> &[u8] {
        match self.0.strip_suffix(b"\n") {
            Some(line) => line.strip_suffix(b"\r").unwrap_or(line),
            None => &self.0,
        }
    }

    /// The bytes as text, where they are UTF-8.
    pub fn expose_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(…)")
    }
}

/// A 32-byte key on pages of its own: locked against swapping, left out of core dumps, with guard pages around
/// it, and wiped on drop.
///
/// Where the process may lock no more memory the key is still guarded, left out of dumps and wiped.
pub struct LockedKey(NonNull<[u8; 32]>);

// SAFETY: the pages belong to this value alone, and it hands out shared references only.
unsafe impl Send for LockedKey {}
// SAFETY: as above.
unsafe impl Sync for LockedKey {}

impl LockedKey {
    /// Moves `key` to locked pages and wipes the caller's copy.
    /// Panics where the system has no page left to give.
    pub fn new(key: &mut [u8; 32]) -> Self {
        // SAFETY: `malloc` gives 32 bytes that are written once already, or None.
        let mut pages = unsafe { memsec::malloc::<[u8; 32]>() }.expect("memory for a key");
        // SAFETY: `pages` was just allocated for exactly this type and is not shared yet. The bytes are copied from
        // place to place, so that no third copy lies on the stack.
        unsafe { pages.as_mut() }.copy_from_slice(key);
        key.zeroize();
        Self(pages)
    }

    /// The key, for the moment of its use.
    pub fn expose(&self) -> &[u8; 32] {
        // SAFETY: the pages live and stay readable until `drop`.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for LockedKey {
    fn drop(&mut self) {
        // SAFETY: allocated by `memsec::malloc` above and freed once; `free` wipes it.
        unsafe { memsec::free(self.0) }
    }
}

impl fmt::Debug for LockedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LockedKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locked_key_takes_the_bytes_and_wipes_the_callers() {
        let mut bytes = [7; 32];
        let key = LockedKey::new(&mut bytes);
        assert_eq!(key.expose(), &[7; 32]);
        assert_eq!(bytes, [0; 32]);
    }

    #[test]
    fn debug_shows_no_secret_byte() {
        let secret = SecretBytes::new(b"hunter2".to_vec());
        let text = format!("{secret:?} {:?}", LockedKey::new(&mut [0x41; 32]));
        assert_eq!(text, "SecretBytes(…) LockedKey(…)");
    }
}
