//! Key files of others, and others with our key files, over a real TPM.

#[path = "../../../../tests/support/swtpm.rs"]
mod swtpm;

use std::fs;

use self::swtpm::Swtpm;
use super::{KeyFile, Kind};

/// What tools expect behind the owner hierarchy: the storage key that needs no template of ours. A test's key is used
/// without a policy, which tools would not know.
const PARENT: &str = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt";
const OWNER: u32 = 0x4000_0001;

/// A TPM with a key below the owner's storage key: `key.pub` and `key.priv` in its folder.
fn tpm_with_a_key() -> Swtpm {
    let tpm = Swtpm::new();
    tpm.tool("tpm2_createprimary", &["-C", "o", "-G", "ecc", "-a", PARENT, "-c", "parent.ctx"]);
    tpm.tool("tpm2_create", &["-C", "parent.ctx", "-G", "ecc:ecdsa", "-u", "key.pub", "-r", "key.priv"]);
    tpm.flush();
    tpm
}

/// The key's file as we write it, and its public half as tpm2-tools print it.
fn ours(tpm: &Swtpm) -> (KeyFile, String) {
    let read = |name: &str| fs::read(tpm.folder().join(name)).unwrap();
    let (public, private) = (read("key.pub"), read("key.priv"));
    let point = tpm.tool("tpm2_print", &["-t", "TPM2B_PUBLIC", "-f", "pem", "key.pub"]);
    (KeyFile { kind: Kind::Loadable, empty_auth: true, parent: OWNER, public, private }, point)
}

fn public_half(tpm: &Swtpm, pem: &str) -> String {
    fs::write(tpm.folder().join("key.pem"), pem).unwrap();
    let provider = ["-provider", "tpm2", "-provider", "default"];
    tpm.tool("openssl", &[&["pkey"], provider.as_slice(), &["-in", "key.pem", "-pubout"]].concat())
}

#[test]
fn openssl_opens_our_file() {
    let tpm = tpm_with_a_key();
    let (file, point) = ours(&tpm);
    assert_eq!(public_half(&tpm, &file.to_pem()), point);
}

#[test]
fn openssl_signs_with_our_file() {
    let tpm = tpm_with_a_key();
    let (file, point) = ours(&tpm);
    fs::write(tpm.folder().join("key.pem"), file.to_pem()).unwrap();
    fs::write(tpm.folder().join("public.pem"), point).unwrap();
    fs::write(tpm.folder().join("text"), "a text").unwrap();
    let sign =
        "pkeyutl -provider tpm2 -provider default -sign -rawin -digest sha256 -inkey key.pem -in text -out signature";
    tpm.tool("openssl", &sign.split(' ').collect::<Vec<_>>());
    let verify = "dgst -sha256 -verify public.pem -signature signature text";
    assert_eq!(tpm.tool("openssl", &verify.split(' ').collect::<Vec<_>>()), "Verified OK\n");
}

#[test]
fn we_read_what_openssl_writes() {
    let tpm = Swtpm::new();
    let make = "genpkey -provider tpm2 -provider default -algorithm EC -pkeyopt group:P-256 -out key.pem";
    tpm.tool("openssl", &make.split(' ').collect::<Vec<_>>());
    let theirs = fs::read_to_string(tpm.folder().join("key.pem")).unwrap();
    let file = KeyFile::from_pem(&theirs).unwrap();
    assert_eq!((file.kind, file.empty_auth, file.parent), (Kind::Loadable, true, OWNER));
    // And again as we write it: the same key.
    assert_eq!(public_half(&tpm, &file.to_pem()), public_half(&tpm, &theirs));
}

#[test]
fn we_read_what_tpm2_tools_write() {
    let tpm = tpm_with_a_key();
    // tpm2-tools 5.4 write the opposite of what the draft says: with --key-auth the authorization value is empty.
    for (option, empty_auth) in [(None, false), (Some("--key-auth"), true)] {
        let encode = ["-C", "0x40000001", "-u", "key.pub", "-r", "key.priv", "-o", "theirs.pem"];
        tpm.tool("tpm2_encodeobject", &[encode.as_slice(), option.as_slice()].concat());
        let theirs = fs::read_to_string(tpm.folder().join("theirs.pem")).unwrap();
        assert_eq!(KeyFile::from_pem(&theirs), Ok(KeyFile { empty_auth, ..ours(&tpm).0 }));
    }
}
