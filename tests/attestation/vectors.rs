//! What the published package and tpm2-tools made; `tests/data/README.md` says how.

use local_vault::protocol::PublicKey;
use local_vault::protocol::attestation::{Holder, SignedRecord, TokenIdentity};
use local_vault::protocol::json::{self, Object};
use local_vault::protocol::tpm::{PcrValues, Quote};

pub(crate) const L1: &[u8] = include_bytes!("../data/attestation/l1.json");
pub(crate) const RSA: &[u8] = include_bytes!("../data/attestation/l2-rsa.json");
pub(crate) const ECC: &[u8] = include_bytes!("../data/attestation/l2-ecc.json");
const RSAPSS: &[u8] = include_bytes!("../data/attestation/rsapss.json");
const CERTIFIED: &[u8] = include_bytes!("../data/attestation/certified.json");
const PCRS: &[u8] = include_bytes!("../data/attestation/pcrs.json");

/// The key that signed the records: its seed is 32 bytes of 0x11.
pub(crate) fn key() -> PublicKey {
    PublicKey::from_hex("d04ab232742bb4ab3a1368bd4615e4e6d0224ab71a016baf8520a332c9778737").unwrap()
}

pub(crate) fn signed(file: &[u8]) -> SignedRecord {
    SignedRecord::from_object(&json::parse(file).unwrap()).unwrap()
}

/// A token that no record here is of.
pub(crate) fn luna() -> Holder {
    Holder::Token(TokenIdentity { manufacturer: "SafeNet".into(), model: "Luna G7".into() })
}

/// The quote of a record, and what it is over.
pub(crate) fn quote(file: &[u8]) -> (Quote, Vec<u8>) {
    let record = signed(file).record;
    (record.holder.quote().unwrap().clone(), record.measurement.digest().as_bytes().to_vec())
}

/// Every quote there is: of an RSA key with either padding, and of a key on P-256.
pub(crate) fn quotes() -> [(Quote, Vec<u8>); 3] {
    let pss = json::parse(RSAPSS).unwrap();
    let selection = pss.get_str("selection").unwrap().parse().unwrap();
    let salted = Quote::new(bytes(&pss, "message"), bytes(&pss, "signature"), bytes(&pss, "ak_public"), selection);
    [quote(RSA), quote(ECC), (salted.unwrap(), bytes(&pss, "qualifying"))]
}

/// A certified key, and who certified it.
pub(crate) fn certified() -> Object {
    json::parse(CERTIFIED).unwrap()
}

/// The values that the PCRs had.
pub(crate) fn values() -> PcrValues {
    let values = json::parse(PCRS).unwrap();
    values.iter().map(|(index, value)| (index.parse().unwrap(), value.as_str().unwrap().parse().unwrap())).collect()
}

pub(crate) fn bytes(object: &Object, member: &str) -> Vec<u8> {
    hex::decode(object.get_str(member).unwrap()).unwrap()
}
