//! The cases of `custody::conformance` over each backend and each kind of key. A failed test lists each failed case.

use std::collections::BTreeSet;

use local_vault::custody::conformance::{KeyKind, Outcome, cases};

use super::{BACKENDS, ED25519, ES256, RELEASED, RESIDENT};

macro_rules! keeps_to_every_case {
    ($($backend:ident),*) => {$(
        mod $backend {
            #[test]
            fn ed25519() {
                super::run(stringify!($backend), super::ED25519);
            }

            #[test]
            fn es256() {
                super::run(stringify!($backend), super::ES256);
            }

            #[test]
            fn released() {
                super::run(stringify!($backend), super::RELEASED);
            }

            #[test]
            fn resident() {
                super::run(stringify!($backend), super::RESIDENT);
            }
        }
    )*};
}

keeps_to_every_case!(file);
#[cfg(feature = "pkcs11")]
keeps_to_every_case!(softhsm, named);
#[cfg(feature = "tpm")]
keeps_to_every_case!(swtpm);

fn run(backend: &str, kind: KeyKind) {
    let backend = BACKENDS.iter().find(|b| b.name == backend).unwrap();
    let Some(subject) = (backend.subject)() else { return };
    let (mut failed, mut not_offered) = (Vec::new(), BTreeSet::new());
    for case in cases().iter().filter(|case| case.with == kind) {
        match case.run(&*subject) {
            Outcome::Passed => {}
            Outcome::NotOffered(what) if !backend.must.contains(&kind) => {
                not_offered.insert(what);
            }
            Outcome::NotOffered(what) | Outcome::Failed(what) => failed.push(format!("{}: {what}", case.name)),
        }
    }
    for what in not_offered {
        eprintln!("{} does not offer {}: {what}", backend.name, kind.name());
    }
    assert!(failed.is_empty(), "{} {}:\n{}", backend.name, kind.name(), failed.join("\n"));
}

#[test]
fn there_are_cases_of_every_kind() {
    for kind in [ED25519, ES256, RELEASED, RESIDENT] {
        assert!(cases().iter().filter(|case| case.with == kind).count() > 5, "{}", kind.name());
    }
}
