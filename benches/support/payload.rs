//! A payload such as a source sends.

use local_vault::protocol::json::Object;

/// About `size` bytes long.
pub(crate) fn payload(size: usize) -> Vec<u8> {
    let mut object = Object::new()
        .with("event_type", "document.version")
        .with("document", "contracts/2026/0815.pdf")
        .with("version", 17_u32)
        .with("author", "a.müller")
        .with("labels", vec!["confidential", "q3", "signed"]);
    let mut n = 0_u32;
    while object.to_canonical().len() + 40 < size {
        object = object.with(&format!("field_{n:03}"), format!("value {n:08x}"));
        n += 1;
    }
    object.to_canonical()
}
