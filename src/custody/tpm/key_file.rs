//! The file of a key that only its TPM opens: PEM of the kind "TSS2 PRIVATE KEY", which tpm2-openssl, openssl_tpm2_engine
//! and ssh-tpm-agent read too. Source: draft-bottomley-tpm2-keys, "ASN.1 Specification for TPM 2.0 Key Files".

use pkcs8::ObjectIdentifier;
use pkcs8::der::asn1::{Any, AnyRef, OctetStringRef};
use pkcs8::der::pem::{self, LineEnding};
use pkcs8::der::{self, Decode as _, Encode as _, Reader, SliceReader, Tag, TagNumber, Tagged as _};
use thiserror::Error;

const LABEL: &str = "TSS2 PRIVATE KEY";

/// An object that a TPM gave, encrypted to its parent key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyFile {
    pub(super) kind: Kind,
    /// Whether it is used without an authorization value. One that names a policy needs that besides.
    pub(super) empty_auth: bool,
    /// The handle of a persistent key; or of a hierarchy, whose primary key has the usual template (ECC P-256).
    pub(super) parent: u32,
    /// TPM2B_PUBLIC, with its size.
    pub(super) public: Vec<u8>,
    /// TPM2B_PRIVATE, with its size.
    pub(super) private: Vec<u8>,
}

/// What TPM2_Load makes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A key.
    Loadable,
    /// Data, for TPM2_Unseal.
    Sealed,
}

/// Why a key file is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum KeyFileError {
    /// It does not read.
    #[error("it is damaged, or no file of the kind \"{LABEL}\"")]
    Damaged,
    /// It reads, and we cannot do what it asks for.
    #[error("it has {0}, which is not supported here")]
    Unsupported(&'static str),
}

impl KeyFile {
    /// Writes the file. Panics where it holds more than a TPM gives, whose sizes have two bytes.
    pub(super) fn to_pem(&self) -> String {
        let der = self.to_der().expect("DER has room for two times 64 KiB");
        pem::encode_string(LABEL, LineEnding::LF, &der).expect("the label is ASCII, and the text has room in memory")
    }

    /// Reads a file that anybody wrote. What would change how the key is used is refused unless it is understood.
    pub(super) fn from_pem(text: &str) -> Result<Self, KeyFileError> {
        let (label, der) = pem::decode_vec(text.as_bytes()).map_err(|_| KeyFileError::Damaged)?;
        if label != LABEL {
            return Err(KeyFileError::Damaged);
        }
        let mut reader = SliceReader::new(&der)?;
        let file = reader.sequence(Self::read)?;
        reader.finish()?;
        Ok(file)
    }

    fn read<'a>(reader: &mut impl Reader<'a>) -> Result<Self, KeyFileError> {
        Ok(Self {
            kind: Kind::from_oid(reader.decode()?)?,
            empty_auth: read_options(reader)?,
            parent: read_parent(reader)?,
            public: read_sized(reader)?,
            private: read_sized(reader)?,
        })
    }

    fn to_der(&self) -> Result<Vec<u8>, der::Error> {
        let mut members = Vec::new();
        self.kind.oid().encode_to_vec(&mut members)?;
        if self.empty_auth {
            let explicit = TagNumber(0).context_specific(true);
            Any::new(explicit, true.to_der()?)?.encode_to_vec(&mut members)?;
        }
        self.parent.encode_to_vec(&mut members)?;
        OctetStringRef::new(&self.public)?.encode_to_vec(&mut members)?;
        OctetStringRef::new(&self.private)?.encode_to_vec(&mut members)?;
        Any::new(Tag::Sequence, members)?.to_der()
    }
}

impl Kind {
    /// id-loadablekey and id-sealedkey.
    const fn oid(self) -> ObjectIdentifier {
        match self {
            Self::Loadable => ObjectIdentifier::new_unwrap("2.23.133.10.1.3"),
            Self::Sealed => ObjectIdentifier::new_unwrap("2.23.133.10.1.5"),
        }
    }

    fn from_oid(oid: ObjectIdentifier) -> Result<Self, KeyFileError> {
        let known = [Self::Loadable, Self::Sealed].into_iter().find(|kind| kind.oid() == oid);
        known.ok_or(KeyFileError::Unsupported("another type than a loadable key or sealed data"))
    }
}

/// Reads the optional members, and gives whether the authorization value is empty.
fn read_options<'a>(reader: &mut impl Reader<'a>) -> Result<bool, KeyFileError> {
    let (mut empty_auth, mut next) = (false, 0);
    while Tag::peek(reader)?.is_context_specific() {
        let member = AnyRef::decode(reader)?;
        let number = member.tag().number().value();
        if number < next || !member.tag().is_constructed() {
            return Err(KeyFileError::Damaged);
        }
        next = number + 1;
        let value = AnyRef::from_der(member.value())?;
        match number {
            0 => empty_auth = boolean(value)?,
            // A sequence of policy commands, which asks for nothing where it is empty.
            1 if value.tag() == Tag::Sequence && value.value().is_empty() => (),
            1 => return Err(KeyFileError::Unsupported("a policy")),
            2 => return Err(KeyFileError::Unsupported("a secret for its import")),
            3 => return Err(KeyFileError::Unsupported("signed policies")),
            // A description is for people.
            4 => (),
            5 if !boolean(value)? => (),
            5 => return Err(KeyFileError::Unsupported("an RSA parent")),
            _ => return Err(KeyFileError::Unsupported("a member that we do not know")),
        }
    }
    Ok(empty_auth)
}

/// Reads BER's boolean: tpm2-openssl and tpm2-tools write 1 where DER has 255.
fn boolean(value: AnyRef<'_>) -> Result<bool, KeyFileError> {
    match (value.tag(), value.value()) {
        (Tag::Boolean, [byte]) => Ok(*byte != 0),
        _ => Err(KeyFileError::Damaged),
    }
}

fn read_parent<'a>(reader: &mut impl Reader<'a>) -> Result<u32, KeyFileError> {
    match reader.decode()? {
        // Owner, null, endorsement and platform hierarchy; persistent objects (TPM 2.0 Library part 2, section 7).
        parent @ (0x4000_0001 | 0x4000_0007 | 0x4000_000b | 0x4000_000c | 0x8100_0000..=0x81ff_ffff) => Ok(parent),
        _ => Err(KeyFileError::Unsupported("a parent that is neither a hierarchy nor persistent")),
    }
}

/// Reads a TPM2B, whose first two bytes must be the size of the rest.
fn read_sized<'a>(reader: &mut impl Reader<'a>) -> Result<Vec<u8>, KeyFileError> {
    let bytes = <&OctetStringRef>::decode(reader)?.as_bytes();
    let whole =
        bytes.split_first_chunk().is_some_and(|(size, rest)| usize::from(u16::from_be_bytes(*size)) == rest.len());
    if whole { Ok(bytes.to_vec()) } else { Err(KeyFileError::Damaged) }
}

impl From<der::Error> for KeyFileError {
    fn from(_: der::Error) -> Self {
        Self::Damaged
    }
}

#[cfg(test)]
mod live;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file() -> KeyFile {
        let (public, private) = (vec![0, 3, 1, 2, 3], vec![0, 2, 8, 9]);
        KeyFile { kind: Kind::Loadable, empty_auth: true, parent: 0x8100_0001, public, private }
    }

    /// A file with these members between type and parent.
    fn with(members: &str) -> Result<KeyFile, KeyFileError> {
        let der = hex::encode(KeyFile { empty_auth: false, ..file() }.to_der().unwrap());
        let at = der.find("0205").unwrap();
        let members = format!("{}{members}{}", &der[4..at], &der[at..]);
        let sequence = Any::new(Tag::Sequence, hex::decode(members).unwrap()).unwrap();
        KeyFile::from_pem(&pem::encode_string(LABEL, LineEnding::LF, &sequence.to_der().unwrap()).unwrap())
    }

    #[test]
    fn a_file_is_what_the_draft_says() {
        let der = hex::encode(file().to_der().unwrap());
        assert_eq!(der, "302106066781050a0103a0030101ff0205008100000104050003010203040400020809");
        assert!(file().to_pem().starts_with("-----BEGIN TSS2 PRIVATE KEY-----\n"));
    }

    #[test]
    fn what_is_written_is_read() {
        for kind in [Kind::Loadable, Kind::Sealed] {
            for empty_auth in [false, true] {
                for parent in [0x4000_0001, 0x81ff_ffff] {
                    let file = KeyFile { kind, empty_auth, parent, ..file() };
                    assert_eq!(KeyFile::from_pem(&file.to_pem()), Ok(file));
                }
            }
        }
    }

    #[test]
    fn options_that_change_nothing_are_passed_over() {
        assert!(!with("").unwrap().empty_auth);
        assert!(!with("a003010100").unwrap().empty_auth);
        for truth in ["a003010101", "a0030101ff"] {
            assert!(with(truth).unwrap().empty_auth);
        }
        // An empty policy, a description, and a parent that is not RSA.
        assert!(with("a1023000a4040c026f6ba503010100").is_ok());
    }

    #[test]
    fn options_that_change_how_the_key_is_used_are_refused() {
        for (option, what) in [
            ("a10430023000", "a policy"),
            ("a20304010a", "a secret for its import"),
            ("a3023000", "signed policies"),
            ("a5030101ff", "an RSA parent"),
            ("a603010100", "a member that we do not know"),
        ] {
            assert_eq!(with(option), Err(KeyFileError::Unsupported(what)), "{option}");
        }
    }

    #[test]
    fn options_out_of_order_or_twice_are_damage() {
        for options in
            ["a503010100a003010100", "a003010100a003010100", "8003010100", "a00402020001", "a0020100", "a000"]
        {
            assert_eq!(with(options), Err(KeyFileError::Damaged), "{options}");
        }
    }

    #[test]
    fn a_type_or_a_parent_that_we_cannot_use_is_refused() {
        let der = hex::encode(file().to_der().unwrap());
        let read = |der: String| {
            let der = hex::decode(der).unwrap();
            KeyFile::from_pem(&pem::encode_string(LABEL, LineEnding::LF, &der).unwrap()).unwrap_err()
        };
        assert!(read(der.replace("0a0103", "0a0104")).to_string().contains("another type"));
        assert!(read(der.replace("0081000001", "0080000001")).to_string().contains("a parent that is neither"));
        assert!(read(der.replace("0081000001", "00ffffffff")).to_string().contains("a parent that is neither"));
        assert_eq!(read(der.replace("0003010203", "0004010203")), KeyFileError::Damaged);
    }

    #[test]
    fn another_kind_of_pem_is_refused() {
        let pem = file().to_pem().replace(LABEL, "PRIVATE KEY");
        assert_eq!(KeyFile::from_pem(&pem), Err(KeyFileError::Damaged));
        assert_eq!(KeyFile::from_pem(""), Err(KeyFileError::Damaged));
    }

    #[test]
    fn what_ends_early_or_late_is_damaged() {
        let der = file().to_der().unwrap();
        let read = |der: &[u8]| KeyFile::from_pem(&pem::encode_string(LABEL, LineEnding::LF, der).unwrap());
        for end in 0..der.len() {
            assert_eq!(read(&der[..end]), Err(KeyFileError::Damaged), "{end}");
        }
        assert_eq!(read(&[&der[..], &[0]].concat()), Err(KeyFileError::Damaged));
    }

    proptest! {
        #[test]
        fn a_file_that_was_changed_is_read_or_refused(at in 0_usize..35, byte: u8) {
            let mut der = file().to_der().unwrap();
            der[at] = byte;
            let _ = KeyFile::from_pem(&pem::encode_string(LABEL, LineEnding::LF, &der).unwrap());
        }
    }
}
