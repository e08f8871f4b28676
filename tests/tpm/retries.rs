//! What a TPM asks to be done again is done again, and what it refuses is not.

use local_vault::custody::ErrorKind;

use super::place::{Place, sign};
use super::tpm_proxy::{NV_READ, SIGN, UNSEAL};

/// A response that is this code alone (part 2, section 6.6).
fn answer(code: u16) -> impl FnOnce(&mut Vec<u8>) + Send + 'static {
    move |response| *response = [&[0x80, 0x01, 0, 0, 0, 10, 0, 0], code.to_be_bytes().as_slice()].concat()
}

#[test]
fn a_tpm_that_is_busy_is_asked_again() {
    // TPM_RC_RETRY, _YIELDED, _TESTING, _NV_RATE, _PCR_CHANGED, _SESSION_MEMORY, _OBJECT_MEMORY, _SESSION_HANDLES and
    // _CONTEXT_GAP.
    for code in [0x922, 0x908, 0x90a, 0x920, 0x128, 0x903, 0x902, 0x905, 0x901] {
        let place = Place::new(&["source", "relay"]);
        let key = place.resident();
        sign(&key, "before").unwrap();
        place.proxy.tamper(SIGN, answer(code));
        sign(&key, "x").unwrap_or_else(|e| panic!("0x{code:x}: {e:?}"));
        assert!(place.proxy.has_tampered(), "0x{code:x}");
        for command in [UNSEAL, NV_READ] {
            place.proxy.tamper(command, answer(code));
            sign(&place.released(), "x").unwrap_or_else(|e| panic!("0x{code:x}: {e:?}"));
            assert!(place.proxy.has_tampered(), "0x{code:x}");
        }
    }
}

#[test]
fn a_lockout_and_a_refused_authorization_are_not_tried_again() {
    for (code, kind, message) in
        [(0x921, ErrorKind::Away, "the TPM is in lockout"), (0x98e, ErrorKind::Refused, "the TPM refused the PIN")]
    {
        let place = Place::new(&["source"]);
        let key = place.resident();
        sign(&key, "before").unwrap();
        place.proxy.tamper(SIGN, answer(code));
        // A second try would reach the TPM, which would sign.
        let error = sign(&key, "x").unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), (kind, message), "{error:?}");
        sign(&key, "after").unwrap();
    }
}
