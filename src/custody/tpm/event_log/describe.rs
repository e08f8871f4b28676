use super::fields::Fields;

/// No more characters than these are shown of what was measured.
const LONGEST: usize = 64;

/// The name of an event's type, and what was measured, where that has a name or is a text.
pub(super) fn describe(kind: u32, data: &[u8]) -> String {
    let name = name(kind).map_or_else(|| format!("event 0x{kind:08x}"), str::to_owned);
    match subject(kind, data) {
        Some(subject) => format!("{name} {subject}"),
        None => name,
    }
}

/// TCG_EVENTTYPE (section 10.4.1).
fn name(kind: u32) -> Option<&'static str> {
    Some(match kind {
        0x0000_0000 => "EV_PREBOOT_CERT",
        0x0000_0001 => "EV_POST_CODE",
        0x0000_0002 => "EV_UNUSED",
        0x0000_0003 => "EV_NO_ACTION",
        0x0000_0004 => "EV_SEPARATOR",
        0x0000_0005 => "EV_ACTION",
        0x0000_0006 => "EV_EVENT_TAG",
        0x0000_0007 => "EV_S_CRTM_CONTENTS",
        0x0000_0008 => "EV_S_CRTM_VERSION",
        0x0000_0009 => "EV_CPU_MICROCODE",
        0x0000_000a => "EV_PLATFORM_CONFIG_FLAGS",
        0x0000_000b => "EV_TABLE_OF_DEVICES",
        0x0000_000c => "EV_COMPACT_HASH",
        0x0000_000d => "EV_IPL",
        0x0000_000e => "EV_IPL_PARTITION_DATA",
        0x0000_000f => "EV_NONHOST_CODE",
        0x0000_0010 => "EV_NONHOST_CONFIG",
        0x0000_0011 => "EV_NONHOST_INFO",
        0x0000_0012 => "EV_OMIT_BOOT_DEVICE_EVENTS",
        0x0000_0013 => "EV_POST_CODE2",
        0x8000_0001 => "EV_EFI_VARIABLE_DRIVER_CONFIG",
        0x8000_0002 => "EV_EFI_VARIABLE_BOOT",
        0x8000_0003 => "EV_EFI_BOOT_SERVICES_APPLICATION",
        0x8000_0004 => "EV_EFI_BOOT_SERVICES_DRIVER",
        0x8000_0005 => "EV_EFI_RUNTIME_SERVICES_DRIVER",
        0x8000_0006 => "EV_EFI_GPT_EVENT",
        0x8000_0007 => "EV_EFI_ACTION",
        0x8000_0008 => "EV_EFI_PLATFORM_FIRMWARE_BLOB",
        0x8000_0009 => "EV_EFI_HANDOFF_TABLES",
        0x8000_000a => "EV_EFI_PLATFORM_FIRMWARE_BLOB2",
        0x8000_000b => "EV_EFI_HANDOFF_TABLES2",
        0x8000_000c => "EV_EFI_VARIABLE_BOOT2",
        0x8000_000d => "EV_EFI_GPT_EVENT2",
        0x8000_0010 => "EV_EFI_HCRTM_EVENT",
        0x8000_00e0 => "EV_EFI_VARIABLE_AUTHORITY",
        0x8000_00e1 => "EV_EFI_SPDM_FIRMWARE_BLOB",
        0x8000_00e2 => "EV_EFI_SPDM_FIRMWARE_CONFIG",
        0x8000_00e3 => "EV_EFI_SPDM_DEVICE_POLICY",
        0x8000_00e4 => "EV_EFI_SPDM_DEVICE_AUTHORITY",
        _ => return None,
    })
}

fn subject(kind: u32, data: &[u8]) -> Option<String> {
    match kind {
        // The signature, where the data begins with one.
        0x0000_0003 => text(data.get(..16)?),
        0x0000_0001 | 0x0000_0005 | 0x0000_0008 | 0x0000_000d | 0x8000_0007 => text(data),
        0x0000_0006 => tagged(data),
        0x8000_0001 | 0x8000_0002 | 0x8000_000c | 0x8000_00e0 => variable(data),
        0x8000_0003..=0x8000_0005 => image(data),
        _ => None,
    }
}

/// The data of a PCClientTaggedEvent, which Linux writes for its command line and its initial file system.
fn tagged(data: &[u8]) -> Option<String> {
    let mut fields = Fields(data);
    fields.u32()?;
    text(fields.sized()?)
}

/// The name in a UEFI_VARIABLE_DATA.
fn variable(data: &[u8]) -> Option<String> {
    let mut fields = Fields(data);
    let _vendor = fields.take(16)?;
    let (characters, _size) = (fields.u64()?, fields.u64()?);
    utf16(fields.take(usize::try_from(characters).ok()?.checked_mul(2)?)?)
}

/// The last file in the device path of a UEFI_IMAGE_LOAD_EVENT.
fn image(data: &[u8]) -> Option<String> {
    let mut fields = Fields(data);
    let (_location, _length, _link_time) = (fields.u64()?, fields.u64()?, fields.u64()?);
    let size = usize::try_from(fields.u64()?).ok()?;
    let mut path = Fields(fields.take(size)?);
    let nodes = std::iter::from_fn(|| node(&mut path));
    nodes.filter(|(kind, _)| *kind == [4, 4]).last().and_then(|(_, name)| utf16(name))
}

/// Type and subtype of a node of a device path, and what it holds (UEFI, section 10.3). A file has 4 and 4.
fn node<'a>(path: &mut Fields<'a>) -> Option<([u8; 2], &'a [u8])> {
    let kind = path.take(2)?.try_into().ok()?;
    let length = usize::from(path.u16()?).checked_sub(4)?;
    Some((kind, path.take(length)?))
}

/// A text of ASCII, as GRUB writes it, or of UTF-16, as systemd-stub does.
fn text(bytes: &[u8]) -> Option<String> {
    match bytes {
        [_, 0, ..] if bytes.len() > 2 => utf16(bytes),
        _ => shown(bytes.iter().map(|byte| char::from(*byte))),
    }
}

fn utf16(bytes: &[u8]) -> Option<String> {
    let units = bytes.as_chunks::<2>().0.iter().map(|unit| u16::from_le_bytes(*unit));
    shown(char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)))
}

/// What stands before the first zero, cut to a length. `None` where that is nothing, or holds anything but printable
/// ASCII: then it is no text, or one that would do things to a terminal.
fn shown(characters: impl Iterator<Item = char>) -> Option<String> {
    let whole: String = characters.take_while(|character| *character != '\0').collect();
    if whole.is_empty() || !whole.chars().all(|character| matches!(character, ' '..='~')) {
        return None;
    }
    let cut = whole.len() > LONGEST;
    Some(if cut { format!("{}...", &whole[..LONGEST]) } else { whole })
}
