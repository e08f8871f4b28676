use super::approved::policy_key_name;
use super::fault::Fault;
use super::link::Link;
use super::pcr::Value;
use super::policy::{self, Reference};
use super::policy_folder::parent_name;

/// The policy of an object that is made now: signed with the configured key, and asking for the PIN where there is one.
pub(super) fn wanted(link: &mut Link, reference: Reference) -> Result<Value, Fault> {
    Ok(with_pin(signed(link, reference)?, link.config.pin.is_some()))
}

/// Why an object cannot be used under our policies, in words that follow its name; nothing where it has the wanted one.
pub(super) fn fault_of(link: &mut Link, found: &[u8], reference: Reference) -> Result<Option<&'static str>, Fault> {
    let signed = signed(link, reference)?;
    let asks = link.config.pin.is_some();
    if found == with_pin(signed, asks) {
        return Ok(None);
    }
    if found == with_pin(signed, !asks) {
        return Ok(Some(if asks {
            "was made without a PIN, and one is configured"
        } else {
            "was made with a PIN, and none is configured"
        }));
    }
    Ok(Some("has another policy than that of the configured policy key"))
}

/// The policy that the configured key signs for this box.
pub(super) fn signed(link: &mut Link, reference: Reference) -> Result<Value, Fault> {
    let key_name = policy_key_name(link)?;
    Ok(policy::authorize(&key_name, reference, parent_name(&link.config)?))
}

fn with_pin(policy: Value, asks: bool) -> Value {
    if asks { policy::auth_value(&policy) } else { policy }
}
