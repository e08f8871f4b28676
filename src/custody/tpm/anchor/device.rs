use tss_esapi::Context;
use tss_esapi::constants::response_code::Tss2ResponseCodeKind as Code;
use tss_esapi::handles::NvIndexHandle;
use tss_esapi::interface_types::resource_handles::NvAuth;
use tss_esapi::interface_types::session_handles::{AuthSession, PolicySession};
use tss_esapi::structures::MaxNvBuffer;
use zeroize::Zeroizing;

use super::broken;
use super::index::{Indices, Role};
use super::record::{Record, Standing};
use crate::custody::tpm::derive;
use crate::custody::tpm::error;
use crate::custody::tpm::fault::{Fault, at};
use crate::custody::tpm::link::Link;
use crate::custody::{ErrorKind, Floor};
use crate::facts::LockedKey;

const AUTH: &[u8] = b"local-vault.tpm.anchor.auth.v1";
const MAC: &[u8] = b"local-vault.tpm.anchor.mac.v1";

/// An anchor's indices, opened for as long as one step takes. What is asked and what is answered is authenticated with
/// their secret, which does not pass: who stands in between can neither write nor tell of another value.
pub(super) struct Device<'a> {
    link: &'a mut Link,
    session: PolicySession,
    counter: NvIndexHandle,
    floor: NvIndexHandle,
    mac_key: Zeroizing<[u8; 32]>,
}

/// Makes both indices, in place of what an earlier try of this left, with their first floor.
pub(super) fn make(link: &mut Link, indices: Indices, secret: &LockedKey, floor: &Floor) -> Result<(), Fault> {
    indices.destroy(link)?;
    let auth = derive(secret.expose(), AUTH);
    Role::Counter.define(link, indices.counter, &auth)?;
    Role::Floor.define(link, indices.floor, &auth)?;
    Device::with(link, indices, secret, false, |device| {
        // A counter has no value before (Part 3, TPM2_NV_Increment).
        device.increment()?;
        let counter = device.count()?;
        device.write(&Record { floor: *floor, counter })
    })?;
    // As it will be found.
    let found = Device::with(link, indices, secret, true, |device| device.settle())?;
    if found.floor == *floor { Ok(()) } else { Err(broken("the TPM keeps another floor than was written").into()) }
}

/// Where it stands.
pub(super) fn read(link: &mut Link, indices: Indices, secret: &LockedKey) -> Result<Floor, Fault> {
    Device::with(link, indices, secret, true, |device| Ok(device.settle()?.floor))
}

/// Raises the floor; where this is the very same one, nothing is written. May be done again where its answer was lost.
pub(super) fn advance(link: &mut Link, indices: Indices, secret: &LockedKey, floor: &Floor) -> Result<(), Fault> {
    Device::with(link, indices, secret, true, |device| {
        let there = device.settle()?;
        if there.floor == *floor {
            return Ok(());
        }
        if floor.count <= there.floor.count {
            return Err(not_larger(floor, &there.floor).into());
        }
        let counter = there.counter.checked_add(1).ok_or_else(|| broken("the counter is at its end"))?;
        device.write(&Record { floor: *floor, counter })?;
        device.increment()
    })
}

impl Device<'_> {
    fn with<T>(
        link: &mut Link,
        indices: Indices,
        secret: &LockedKey,
        is_written: bool,
        work: impl FnOnce(&mut Device<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let [auth, mac_key] = [AUTH, MAC].map(|label| derive(secret.expose(), label));
        let counter = Role::Counter.open(link, indices.counter, is_written, &auth)?;
        let done = Role::Floor.open(link, indices.floor, is_written, &auth).and_then(|floor| {
            let done =
                link.over_policy_session(|link, session| work(&mut Device { link, session, counter, floor, mac_key }));
            let closed = link.context.tr_close(&mut floor.into()).map_err(at("TPM2_NV_Read"));
            done.and_then(|done| closed.map(|()| done))
        });
        let closed = link.context.tr_close(&mut counter.into()).map_err(at("TPM2_NV_Read"));
        done.and_then(|done| closed.map(|()| done))
    }

    /// The record that is there, made final: before the counter is incremented, an earlier content of the index would
    /// still pass for the last one, so that nothing may be told of this one.
    fn settle(&mut self) -> Result<Record, Fault> {
        let (counter, record) = (self.count()?, self.record()?);
        match record.stands(counter) {
            Standing::Final => Ok(record),
            Standing::Unfinished => self.increment().map(|()| record),
            Standing::SetBack => Err(broken("the anchor was set back, or made anew by somebody else").into()),
        }
    }

    fn count(&mut self) -> Result<u64, Fault> {
        let index = self.counter;
        let read = |context: &mut Context| context.nv_read(NvAuth::NvIndex(index), index, Role::Counter.size(), 0);
        let value = self.authorized("TPM2_NV_Read", read)?;
        let value = value.value().try_into().map_err(|_| broken("the counter has another length"))?;
        Ok(u64::from_be_bytes(value))
    }

    fn record(&mut self) -> Result<Record, Fault> {
        let index = self.floor;
        let read = |context: &mut Context| context.nv_read(NvAuth::NvIndex(index), index, Role::Floor.size(), 0);
        let content = self.authorized("TPM2_NV_Read", read)?;
        let record = Record::from_bytes(content.value(), &self.mac_key);
        Ok(record.ok_or_else(|| broken("what the anchor holds is not what was written"))?)
    }

    fn write(&mut self, record: &Record) -> Result<(), Fault> {
        let index = self.floor;
        let content = MaxNvBuffer::try_from(record.to_bytes(&self.mac_key)).map_err(at("TPM2_NV_Write"))?;
        self.authorized("TPM2_NV_Write", |context| context.nv_write(NvAuth::NvIndex(index), index, content, 0))
    }

    fn increment(&mut self) -> Result<(), Fault> {
        let index = self.counter;
        self.authorized("TPM2_NV_Increment", |context| context.nv_increment(NvAuth::NvIndex(index), index))
    }

    /// One command that is authorized by the indices' secret. The TPM forgets what a session asserts with each.
    fn authorized<T>(
        &mut self,
        operation: &'static str,
        command: impl FnOnce(&mut Context) -> Result<T, tss_esapi::Error>,
    ) -> Result<T, Fault> {
        self.link.context.policy_auth_value(self.session).map_err(at("TPM2_PolicyAuthValue"))?;
        let session = Some(AuthSession::PolicySession(self.session));
        self.link.context.execute_with_session(session, command).map_err(at(operation)).map_err(|fault| {
            if !fault.is(&[Code::AuthFail, Code::BadAuth]) {
                return fault;
            }
            let broken = broken("an NV index of the anchor was made anew by somebody else");
            fault.or(broken.kind, broken.message, broken.advice).into()
        })
    }
}

fn not_larger(floor: &Floor, there: &Floor) -> crate::custody::CustodyError {
    let message = format!("the anchor stands at {}, and was to be set to {}", there.count, floor.count);
    let advice = "It only ever rises. Nothing was written. Is this an older state, or does another process use it?";
    error(ErrorKind::Refused, "advance", message, advice)
}
