use std::fs;

use local_vault::custody::{Anchor as _, ErrorKind};

use super::{LABEL, OTHER, floor, is_broken};
use crate::place::Place;
use crate::tpm_proxy::NV_READ;

impl Place {
    /// What a thief of the sealed secret authorizes himself with.
    fn stolen_auth(&self, label: &str) -> String {
        let [secret, ..] = self.stolen(label);
        let mut auth = [0; 32];
        let hkdf = hkdf::Hkdf::<sha2::Sha256>::new(None, &secret);
        hkdf.expand(b"local-vault.tpm.anchor.auth.v1", &mut auth).unwrap();
        hex::encode(auth)
    }

    /// Undefines an index and defines it as it was, with this secret.
    fn make_anew(&self, index: &str, kind: &str, auth: &str) {
        self.tool_ok(&format!("tpm2_nvundefine {index} -C o"));
        self.tool_ok("tpm2_startauthsession -S trial.session");
        self.tool_ok("tpm2_policyauthvalue -S trial.session -L auth.policy");
        self.tool_ok("tpm2_flushcontext trial.session");
        self.tool_ok(&format!(
            "tpm2_nvdefine {index} -C o {kind} -a {kind_of}policywrite|policyread|ownerread|no_da -L auth.policy -p {auth}",
            kind_of = if kind == "-s 8" { "nt=counter|" } else { "" },
        ));
    }

    /// Runs a tool with a session that has asserted that its user knows the index's secret.
    fn knowing(&self, line: &str, auth: &str) -> Result<String, String> {
        self.tool_ok("tpm2_startauthsession --policy-session -S auth.session");
        self.tool_ok("tpm2_policyauthvalue -S auth.session");
        let done = self.tool(&format!("{line} -P session:auth.session{auth}"));
        let _ = self.tool("tpm2_flushcontext -l");
        let _ = self.tool("tpm2_flushcontext -s");
        done
    }
}

#[test]
fn nobody_else_writes_to_it() {
    let (place, anchor) = Place::anchored("");
    let [counter, floor_at] = [place.counter_index(LABEL), place.floor_index(LABEL)];
    place.for_tools("zeros", &[0; 81]);
    let before = [place.held(&counter), place.held(&floor_at)];
    let commands = [format!("tpm2_nvincrement {counter}"), format!("tpm2_nvwrite {floor_at} -i zeros")];
    for (command, index) in commands.iter().zip([&counter, &floor_at]) {
        for by in ["-C o".to_owned(), "-C p".to_owned(), format!("-C {index}"), format!("-C {index} -P guess")] {
            place.tool(&format!("{command} {by}")).unwrap_err();
        }
        // The policy alone is no secret: it asks for one.
        for auth in ["", "+guess"] {
            place.knowing(&format!("{command} -C {index}"), auth).unwrap_err();
        }
        place.tool(&format!("tpm2_nvread {index} -C {index}")).unwrap_err();
    }
    assert_eq!([place.held(&counter), place.held(&floor_at)], before);
    assert_eq!((anchor.read().unwrap(), place.lockout_counter()), (Some(floor(1)), 0));
    // And a guesser's command is one that does work for who knows.
    let auth = format!("+hex:{}", place.stolen_auth(LABEL));
    place.knowing(&format!("tpm2_nvincrement {counter} -C {counter}"), &auth).unwrap();
    is_broken(anchor.read(), "set back, or made anew");
}

#[test]
fn an_old_floor_that_is_put_back_shows_even_where_the_secret_is_known() {
    let (place, anchor) = Place::anchored("");
    let index = place.floor_index(LABEL);
    let old = place.held(&index);
    anchor.advance(&floor(2)).unwrap();
    place.for_tools("old", &old);
    let write = format!("tpm2_nvwrite {index} -C {index} -i old");
    // By whoever owns the TPM.
    place.make_anew(&index, "-s 81", "guess");
    is_broken(anchor.read(), "is not as the anchor made it");
    place.knowing(&write, "+guess").unwrap();
    is_broken(anchor.read(), "was made anew by somebody else");
    assert_eq!(anchor.advance(&floor(3)).unwrap_err().kind, ErrorKind::Broken);
    // By whoever was released the secret, too.
    let auth = format!("hex:{}", place.stolen_auth(LABEL));
    place.make_anew(&index, "-s 81", &auth);
    place.knowing(&write, &format!("+{auth}")).unwrap();
    is_broken(anchor.read(), "set back, or made anew");
    assert_eq!(anchor.advance(&floor(3)).unwrap_err().kind, ErrorKind::Broken);
    // What nobody wrote with its key is not read.
    place.for_tools("old", &[&[1; 80][..], &[0]].concat());
    place.knowing(&write, &format!("+{auth}")).unwrap();
    is_broken(anchor.read(), "not what was written");
}

#[test]
fn a_counter_that_is_made_anew_starts_above_and_shows() {
    let (place, anchor) = Place::anchored("");
    let (index, before) = (place.counter_index(LABEL), place.counted(LABEL));
    let auth = format!("hex:{}", place.stolen_auth(LABEL));
    place.make_anew(&index, "-s 8", "guess");
    is_broken(anchor.read(), "is not as the anchor made it");
    place.knowing(&format!("tpm2_nvincrement {index} -C {index}"), "+guess").unwrap();
    is_broken(anchor.read(), "was made anew by somebody else");
    place.make_anew(&index, "-s 8", &auth);
    place.knowing(&format!("tpm2_nvincrement {index} -C {index}"), &format!("+{auth}")).unwrap();
    assert!(place.counted(LABEL) > before);
    is_broken(anchor.read(), "set back, or made anew");
}

#[test]
fn one_that_is_gone_is_not_one_that_never_was() {
    for index in [Place::counter_index, Place::floor_index] {
        let (place, anchor) = Place::anchored("");
        place.tool_ok(&format!("tpm2_nvundefine {} -C o", index(&place, LABEL)));
        is_broken(anchor.read(), "of the anchor is gone");
        assert_eq!(anchor.advance(&floor(2)).unwrap_err().kind, ErrorKind::Broken);
        assert_eq!(anchor.begin(&floor(2)).unwrap_err().kind, ErrorKind::Refused);
        place.ok(&["custody", "tpm", "evict", LABEL, "--yes"]);
        assert_eq!(anchor.read().unwrap(), None);
        anchor.begin(&floor(7)).unwrap();
        assert_eq!(anchor.read().unwrap(), Some(floor(7)));
    }
    let (place, anchor) = Place::anchored("");
    place.write(format!("tpm/{LABEL}.sealed.json"), "{}");
    is_broken(anchor.read(), "does not read");
    place.swtpm.wipe();
    assert_eq!(place.anchor(OTHER).begin(&floor(1)).unwrap_err().operation, "parent");
}

#[test]
fn a_tpm_that_is_restored_from_a_copy_gives_the_older_floor() {
    let (place, anchor) = Place::anchored("");
    drop(anchor);
    place.swtpm.stop();
    let state = place.swtpm.folder().join("state/tpm2-00.permall");
    let copy = fs::read(&state).unwrap();
    place.swtpm.start();
    place.anchor(LABEL).advance(&floor(2)).unwrap();
    place.swtpm.stop();
    fs::write(&state, copy).unwrap();
    place.swtpm.start();
    // Nothing within the machine tells: this is what `vtpm` says of an anchor.
    assert_eq!(place.anchor(LABEL).read().unwrap(), Some(floor(1)));
}

#[test]
fn its_secret_does_not_pass_and_an_altered_answer_is_not_believed() {
    let (place, anchor) = Place::anchored("");
    // The value of the counter, behind a header and two sizes.
    for byte in 16..24 {
        place.proxy.tamper(NV_READ, move |response| response[byte] ^= 1);
        assert_eq!(anchor.read().unwrap(), Some(floor(1)));
        assert!(place.proxy.has_tampered());
    }
    anchor.advance(&floor(2)).unwrap();
    let [secret, ..] = place.stolen(LABEL);
    let auth = hex::decode(place.stolen_auth(LABEL)).unwrap();
    assert!(!place.proxy.has_seen(&secret) && !place.proxy.has_seen(&auth));
}
