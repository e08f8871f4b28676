//! A swtpm that quotes through tpm2-tools, judged by ours and by `tpm2_checkquote`.

use std::fs;

use local_vault::facts::Digest;
use local_vault::protocol::tpm::{PcrValues, Quote, TpmError};

use super::swtpm::Swtpm;

const SELECTION: &str = "sha256:0,1,2,3,7";

/// Makes the attestation key `ak.ctx` of this kind, as the published package does.
fn make_key(tpm: &Swtpm, algorithm: &str, scheme: &str) {
    let tool = |program, words: &str| {
        tpm.tool(program, &words.split(' ').collect::<Vec<_>>());
        tpm.flush();
    };
    tool("tpm2_createek", "-c ek.ctx -G rsa");
    tool("tpm2_createak", &format!("-C ek.ctx -c ak.ctx -G {algorithm} -g sha256 -s {scheme} -u ak.pub"));
    tool("tpm2_readpublic", "-c ak.ctx -f pem -o ak.pem");
}

fn quote(tpm: &Swtpm, scheme: &str, qualifying: &Digest) -> Quote {
    let words = ["-c", "ak.ctx", "--scheme", scheme, "-l", SELECTION, "-g", "sha256"];
    let files = ["-m", "quote.msg", "-s", "quote.sig", "-o", "quote.pcrs", "-q", &qualifying.to_string()];
    tpm.tool("tpm2_quote", &[words.as_slice(), &files].concat());
    tpm.flush();
    let [message, signature, ak_public] =
        ["quote.msg", "quote.sig", "ak.pub"].map(|name| fs::read(tpm.folder().join(name)).unwrap());
    Quote::new(message, signature, ak_public, SELECTION.parse().unwrap()).unwrap()
}

/// What tpm2-tools say of the files that `quote` left.
fn check_quote(tpm: &Swtpm, qualifying: &Digest) -> Result<String, String> {
    let words = ["-u", "ak.pem", "-m", "quote.msg", "-s", "quote.sig", "-f", "quote.pcrs", "-g", "sha256", "-q"];
    tpm.try_tool("tpm2_checkquote", &[words.as_slice(), &[&qualifying.to_string()]].concat())
}

fn values(tpm: &Swtpm) -> PcrValues {
    [0, 1, 2, 3, 7].into_iter().map(|index| (index, tpm.pcr(index.into()).parse().unwrap())).collect()
}

#[test]
fn ours_and_tpm2_checkquote_take_and_refuse_the_same() {
    for (algorithm, scheme) in [("rsa", "rsassa"), ("ecc", "ecdsa")] {
        let tpm = Swtpm::new();
        tpm.extend(7, "firmware");
        make_key(&tpm, algorithm, scheme);
        let (measured, other) = (Digest::of(b"measurement"), Digest::of(b"another"));
        let quoted = quote(&tpm, scheme, &measured);
        check_quote(&tpm, &measured).unwrap();
        let verified = quoted.verify(measured.as_bytes()).unwrap();
        assert_eq!(verified.had(&values(&tpm)), Ok(true));

        check_quote(&tpm, &other).unwrap_err();
        assert_eq!(quoted.verify(other.as_bytes()), Err(TpmError::Qualifying));

        tpm.extend(7, "other firmware");
        assert_eq!(verified.had(&values(&tpm)), Ok(false), "the machine is another one now");
    }
}

#[test]
fn the_counts_of_a_quote_tell_of_a_restart() {
    let tpm = Swtpm::new();
    make_key(&tpm, "ecc", "ecdsa");
    let measured = Digest::of(b"measurement");
    let before = quote(&tpm, "ecdsa", &measured).verify(measured.as_bytes()).unwrap();
    tpm.stop();
    tpm.start();
    // The key's context does not outlive the TPM's memory.
    make_key(&tpm, "ecc", "ecdsa");
    let after = quote(&tpm, "ecdsa", &measured).verify(measured.as_bytes()).unwrap();
    assert_eq!(after.clock.reset_count, before.clock.reset_count + 1);
}
