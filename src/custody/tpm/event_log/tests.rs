use std::fs;
use std::process::Command;

use proptest::prelude::*;

use super::*;

/// Writes a log.
struct Writer(Vec<u8>);

const SHA1: u16 = 4;
const SHA256_SIZE: u16 = 32;

impl Writer {
    /// A log with digests of SHA-1 and SHA-256.
    fn new() -> Self {
        Self::with(&[(SHA1, 20), (SHA256, SHA256_SIZE)])
    }

    fn with(algorithms: &[Algorithm]) -> Self {
        let mut id = SIGNATURE.to_vec();
        id.extend([0, 0, 0, 0, 0, 2, 0, 2]);
        id.extend(u32::try_from(algorithms.len()).unwrap().to_le_bytes());
        for (algorithm, size) in algorithms {
            id.extend([algorithm.to_le_bytes(), size.to_le_bytes()].concat());
        }
        id.push(0);
        let mut log = Self(Vec::new());
        log.numbers(&[0, EV_NO_ACTION]);
        log.0.extend([0; 20]);
        log.data(&id);
        log
    }

    /// An event whose digest is that of its data, or of nothing where it extends nothing.
    fn event(mut self, pcr: u32, kind: u32, data: &[u8]) -> Self {
        let digest = if kind == EV_NO_ACTION { [0; 32] } else { Sha256::digest(data).into() };
        self.numbers(&[pcr, kind, 2]);
        self.0.extend([&SHA1.to_le_bytes()[..], &[0; 20], &SHA256.to_le_bytes(), &digest].concat());
        self.data(data);
        self
    }

    fn numbers(&mut self, numbers: &[u32]) {
        self.0.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    }

    fn data(&mut self, data: &[u8]) {
        self.numbers(&[u32::try_from(data.len()).unwrap()]);
        self.0.extend(data);
    }
}

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// UEFI_VARIABLE_DATA of a variable with one byte.
fn variable(name: &str) -> Vec<u8> {
    let sizes = [name.len() as u64, 1].map(u64::to_le_bytes).concat();
    [&[0x61; 16][..], &sizes, &wide(name), &[1]].concat()
}

/// UEFI_IMAGE_LOAD_EVENT of a file on a disk.
fn image(file: &str) -> Vec<u8> {
    let file = wide(&format!("{file}\0"));
    let length = u16::try_from(file.len() + 4).unwrap().to_le_bytes();
    // PCI root, file, end.
    let path =
        [&[2, 1, 12, 0, 0xd0, 0x41, 3, 0x0a, 0, 0, 0, 0, 4, 4][..], &length, &file, &[0x7f, 0xff, 4, 0]].concat();
    [&[0x10, 0x20, 0x40].map(u64::to_le_bytes).concat()[..], &(path.len() as u64).to_le_bytes(), &path].concat()
}

fn tagged(text: &str) -> Vec<u8> {
    let size = u32::try_from(text.len()).unwrap().to_le_bytes();
    [&0x8f3b_22ed_u32.to_le_bytes()[..], &size, text.as_bytes()].concat()
}

/// A boot as a PC with shim, GRUB and Linux notes it.
fn boot() -> Vec<u8> {
    boot_after(Writer::new().event(0, EV_NO_ACTION, b"StartupLocality\0\x03"))
}

fn boot_after(start: Writer) -> Vec<u8> {
    start
        .event(0, 0x8, &wide("1.02\0"))
        .event(0, 0x8000_0008, &[0x20; 16])
        .event(7, 0x8000_0001, &variable("SecureBoot"))
        .event(7, 0x4, &[0; 4])
        .event(7, 0x8000_00e0, &variable("db"))
        .event(4, 0x8000_0007, b"Calling EFI Application from Boot Option")
        .event(4, 0x8000_0003, &image("\\EFI\\debian\\shimx64.efi"))
        .event(14, 0xd, b"MokList\0")
        .event(8, 0xd, b"grub_cmd: linux /vmlinuz root=/dev/vda1\0")
        .event(11, 0xd, &wide(".linux\0"))
        .event(9, 0x6, &tagged("Linux initrd"))
        .event(5, 0x8000_0007, b"Exit Boot Services Returned with Success")
        .0
}

fn named(log: &Writer) -> String {
    read(&log.0).unwrap().pop().unwrap().what
}

#[test]
fn each_event_is_named() {
    let events = read(&boot()).unwrap();
    let named: Vec<(u32, &str)> = events.iter().map(|event| (event.pcr, event.what.as_str())).collect();
    assert_eq!(
        named,
        [
            (0, "EV_NO_ACTION Spec ID Event03"),
            (0, "EV_NO_ACTION StartupLocality"),
            (0, "EV_S_CRTM_VERSION 1.02"),
            (0, "EV_EFI_PLATFORM_FIRMWARE_BLOB"),
            (7, "EV_EFI_VARIABLE_DRIVER_CONFIG SecureBoot"),
            (7, "EV_SEPARATOR"),
            (7, "EV_EFI_VARIABLE_AUTHORITY db"),
            (4, "EV_EFI_ACTION Calling EFI Application from Boot Option"),
            (4, "EV_EFI_BOOT_SERVICES_APPLICATION \\EFI\\debian\\shimx64.efi"),
            (14, "EV_IPL MokList"),
            (8, "EV_IPL grub_cmd: linux /vmlinuz root=/dev/vda1"),
            (11, "EV_IPL .linux"),
            (9, "EV_EVENT_TAG Linux initrd"),
            (5, "EV_EFI_ACTION Exit Boot Services Returned with Success"),
        ]
    );
}

#[test]
fn a_name_is_short_and_printable_or_left_out() {
    let ipl = |data: &[u8]| named(&Writer::new().event(8, 0xd, data));
    assert_eq!(ipl(&[b'a'; 65]), format!("EV_IPL {}...", "a".repeat(64)));
    for data in [b"\x1b[2J".as_slice(), b"", b"\0", b"a\nb", b"\xff\xfe", &wide("a\u{202e}bc"), &[0x61, 0xd8, 0, 0xd8]]
    {
        assert_eq!(ipl(data), "EV_IPL", "{data:?}");
    }
    assert_eq!(named(&Writer::new().event(1, 0x8000_1234, b"abc")), "event 0x80001234");
    assert_eq!(named(&Writer::new().event(7, 0x8000_0001, &[0xff; 40])), "EV_EFI_VARIABLE_DRIVER_CONFIG");
}

#[test]
fn an_event_that_extends_nothing_has_no_digest() {
    let events = read(&boot()).unwrap();
    assert!(events.iter().all(|event| event.sha256.is_none() == (event.kind == EV_NO_ACTION)));
}

#[test]
fn a_log_without_sha256_has_no_digest_of_it() {
    let mut log = Writer::with(&[(SHA1, 20)]);
    log.numbers(&[7, 4, 1]);
    log.0.extend([&SHA1.to_le_bytes()[..], &[9; 20]].concat());
    log.data(&[0; 4]);
    let events = read(&log.0).unwrap();
    assert_eq!((events.len(), events[1].sha256), (2, None));
}

#[test]
fn pcrs_begin_as_the_specification_has_it() {
    assert_eq!(replay(&[], 0), [0; 32]);
    assert_eq!(replay(&[], 17), [0xff; 32]);
    let events = read(&Writer::new().event(0, EV_NO_ACTION, b"StartupLocality\0\x03").0).unwrap();
    assert_eq!(replay(&events, 0)[31], 3);
    assert_eq!(replay(&events, 1), [0; 32]);
}

#[test]
fn a_start_from_locality_3_gives_what_a_tpm_has() {
    // Read from a swtpm 0.7.1 that was started from there and extended with this separator.
    let value = "50bd7d88f0414b40608f8ffc56fd4f3201b5ed0644e36b8128d33624ebe0f053";
    let log = Writer::new().event(0, EV_NO_ACTION, b"StartupLocality\0\x03").event(0, 4, &[0; 4]).0;
    assert_eq!(hex::encode(replay(&read(&log).unwrap(), 0)), value);
}

/// Without the startup event: tpm2-tools 5.4 extend PCR 0 with its digest of zeros, and take no locality from it.
#[test]
fn tpm2_eventlog_finds_the_same_values_and_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let log = boot_after(Writer::new());
    fs::write(&path, &log).unwrap();
    let done = Command::new("tpm2_eventlog").arg(&path).output();
    let done = done.unwrap_or_else(|e| panic!("tpm2_eventlog: {e}: run ci/setup"));
    assert!(done.status.success(), "{done:?}");
    let said = String::from_utf8(done.stdout).unwrap();

    let events = read(&log).unwrap();
    let names = said.lines().filter_map(|line| line.trim().strip_prefix("EventType: "));
    let ours = events.iter().map(|event| event.what.split(' ').next().unwrap());
    assert_eq!(ours.collect::<Vec<_>>(), names.collect::<Vec<_>>());

    let (_, values) = said.split_once("\n  sha256:\n").unwrap();
    let values = values.lines().map_while(|line| line.split_once(": 0x"));
    let values: Vec<(u32, String)> =
        values.map(|(pcr, value)| (pcr.trim().parse().unwrap(), value.to_owned())).collect();
    assert_eq!(values.iter().map(|(pcr, _)| *pcr).collect::<Vec<_>>(), [0, 4, 5, 7, 8, 9, 11, 14]);
    for (pcr, value) in values {
        assert_eq!(hex::encode(replay(&events, pcr)), value, "PCR {pcr}");
    }
}

#[test]
fn a_log_that_was_cut_off_gives_the_whole_events_before() {
    let (log, whole) = (boot(), read(&boot()).unwrap());
    let header = Writer::new().0.len();
    let mut most = 0;
    for end in 0..=log.len() {
        match read(&log[..end]) {
            None => assert!(end < header, "{end}"),
            Some(events) => {
                assert!(end >= header && events.len() >= most, "{end}");
                assert_eq!(events, whole[..events.len()], "{end}");
                most = events.len();
            }
        }
    }
    assert_eq!(most, whole.len());
}

#[test]
fn damage_and_padding_end_a_log() {
    let first = Writer::new().event(7, 4, &[0; 4]).0;
    let whole = read(&first).unwrap();
    let unknown_algorithm = [7u32, 4, 1, 0xffff].map(u32::to_le_bytes).concat();
    let endless = [7u32, 4, u32::MAX].map(u32::to_le_bytes).concat();
    for tail in [vec![0; 200], vec![0xff; 200], unknown_algorithm, endless] {
        assert_eq!(read(&[first.clone(), tail].concat()), Some(whole.clone()));
    }
}

#[test]
fn what_is_no_such_log_is_none() {
    assert_eq!(read(b""), None);
    let log = boot();
    let other = [&log[..32], b"Spec ID Event02", &log[47..]].concat();
    assert_eq!(read(&other), None);
    let many_algorithms = [&log[..56], &[0xff; 4], &log[60..]].concat();
    assert_eq!(read(&many_algorithms), None);
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = read(&bytes);
        // And where the header is right.
        let events = read(&[Writer::new().0, bytes].concat()).unwrap();
        prop_assert!(events.iter().all(|event| event.what.bytes().all(|byte| (b' '..=b'~').contains(&byte))));
    }

    #[test]
    fn any_event_is_read(kind: u32, small in 0_u32..0x14, efi: bool, data in prop::collection::vec(any::<u8>(), 0..100)) {
        for kind in [kind, small + if efi { 0x8000_0000 } else { 0 }, 0x8000_00e0] {
            let events = read(&Writer::new().event(3, kind, &data).0).unwrap();
            prop_assert_eq!(events.len(), 2);
            prop_assert!(events[1].what.len() <= 64 + 40);
        }
    }

    #[test]
    fn a_log_that_was_changed_is_read_or_refused(at in 0..boot().len(), byte: u8) {
        let mut log = boot();
        log[at] = byte;
        let _ = read(&log);
    }
}
