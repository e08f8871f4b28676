//! No bytes make the reader of the audit log's lines panic, and what follows on an entry is the one form of what it says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use local_vault::protocol::audit::{Entry, START, entry_hash, write_line};

fuzz_target!(|bytes: &[u8]| {
    let _ = Entry::read(bytes);
    // With the hash that it must have, so that what is behind it is reached.
    let line = [b"{\"entry\":", bytes, b",\"hash\":\"", entry_hash(&START, bytes).to_string().as_bytes(), b"\"}"].concat();
    if let Ok(entry) = Entry::read(&line) {
        let followed = Entry::follow(&line, &START, entry.seq).expect("it has its hash and its number");
        assert_eq!(followed, entry);
        let mut written = Vec::new();
        let hash = write_line(&mut written, &START, &entry.object);
        let again = Entry::follow(written.strip_suffix(b"\n").expect("a line ends"), &START, entry.seq);
        let again = again.expect("what is written follows");
        assert_eq!((again.hash, again.object), (hash, entry.object));
    }
});
