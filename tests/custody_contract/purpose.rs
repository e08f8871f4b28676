use std::sync::Arc;

use local_vault::custody::{
    CustodyError, ErrorKind, Protection, Purpose, PurposeKey, SharedKey, SharedSigningKey, SigningKey,
    one_key_one_purpose,
};
use local_vault::protocol::{Algorithm, Domain, Preimage, PublicKey, Signature};

use super::{DOMAINS, backends, preimage};

const PURPOSES: [(Purpose, &[Domain]); 4] = [
    (Purpose::Record, &[Domain::Epoch, Domain::SelfTest]),
    (Purpose::Relay, &[Domain::Relay, Domain::SelfTest]),
    (Purpose::Source, &[Domain::Source, Domain::SelfTest]),
    (Purpose::Witness, &[Domain::Witness, Domain::Fork, Domain::SelfTest]),
];

#[test]
fn a_purpose_key_signs_its_own_domains_and_refuses_every_other() {
    for backend in backends() {
        let Some(ed25519) = backend.ed25519() else { continue };
        for (purpose, own) in PURPOSES {
            let key = PurposeKey::bind(purpose, "k1", ed25519.clone()).unwrap();
            for domain in DOMAINS {
                let preimage = preimage(domain, "a");
                match key.sign(&preimage) {
                    Ok(signature) => {
                        assert!(own.contains(&domain), "{}: {purpose:?} signed {domain:?}", backend.name);
                        assert_eq!(key.public_key().verify(&preimage, &signature), Ok(()));
                    }
                    Err(e) => {
                        assert!(!own.contains(&domain), "{}: {purpose:?} refused {domain:?}", backend.name);
                        assert_eq!(e.kind, ErrorKind::Unsupported);
                    }
                }
            }
        }
    }
}

#[test]
fn relay_and_witness_refuse_a_p256_key_and_the_others_take_it() {
    for backend in backends() {
        let Some(p256) = backend.signing(Algorithm::Es256) else { continue };
        for purpose in [Purpose::Relay, Purpose::Witness] {
            let refused = PurposeKey::bind(purpose, "k1", p256.clone()).unwrap_err();
            assert_eq!(refused.kind, ErrorKind::Unsupported, "{}", backend.name);
        }
        for (purpose, domain) in [(Purpose::Record, Domain::Epoch), (Purpose::Source, Domain::Source)] {
            let key = PurposeKey::bind(purpose, "k1", p256.clone()).unwrap();
            assert!(key.sign(&preimage(domain, "a")).is_ok(), "{}", backend.name);
        }
    }
}

#[test]
fn one_key_under_two_purposes_is_refused_wherever_it_stands() {
    for backend in backends() {
        let (Some(shared), Some(other)) = (backend.ed25519(), backend.ed25519()) else { continue };
        let relay = PurposeKey::bind(Purpose::Relay, "a", shared.clone()).unwrap();
        let record = PurposeKey::bind(Purpose::Record, "b", other).unwrap();
        let witness = PurposeKey::bind(Purpose::Witness, "c", shared).unwrap();
        let refused = SharedKey { first: Purpose::Relay, second: Purpose::Witness };
        assert_eq!(one_key_one_purpose(&[&relay, &record, &witness]), Err(refused), "{}", backend.name);
        assert_eq!(one_key_one_purpose(&[&relay, &record]), Ok(()));
        assert_eq!(one_key_one_purpose(&[&relay, &relay]), Ok(()), "one purpose may name a key twice");
        assert_eq!(one_key_one_purpose(&[]), Ok(()));
    }
}

/// A device that signs something else than it was asked for. No real key does, so only a mock can.
#[derive(Debug)]
pub(super) struct Liar(pub(super) SharedSigningKey);

impl SigningKey for Liar {
    fn public_key(&self) -> &PublicKey {
        self.0.public_key()
    }

    fn protection(&self) -> Protection {
        Protection::DeviceResident
    }

    fn sign(&self, asked: &Preimage) -> Result<Signature, CustodyError> {
        self.0.sign(&preimage(asked.domain(), "what nobody asked for"))
    }
}

#[test]
fn a_signature_that_a_device_made_wrongly_is_refused() {
    for backend in backends() {
        for honest in [Algorithm::Ed25519, Algorithm::Es256].into_iter().filter_map(|a| backend.signing(a)) {
            let key = PurposeKey::bind(Purpose::Source, "k1", Arc::new(Liar(honest))).unwrap();
            let refused = key.sign(&preimage(Domain::Source, "a")).unwrap_err();
            assert_eq!((refused.kind, refused.operation), (ErrorKind::Broken, "verify"), "{}", backend.name);
        }
    }
}
