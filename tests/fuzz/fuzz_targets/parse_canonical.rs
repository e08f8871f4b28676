//! Whatever the reader accepts has one canonical form, which reads back as the same object.
#![no_main]

use libfuzzer_sys::fuzz_target;
use local_vault::protocol::json::parse;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(object) = parse(bytes) {
        let canonical = object.to_canonical();
        let read = parse(&canonical).expect("the canonical form is JSON");
        assert_eq!(read, object);
        assert_eq!(read.to_canonical(), canonical);
    }
});
