//! Ed25519: a seed that the TPM released, against one from a file.

use std::sync::Arc;

use local_vault::custody::SigningKey as _;
use local_vault::custody::file::FileKey;
use local_vault::custody::tpm::Tpm;
use local_vault::protocol::Algorithm;

use crate::{SLICES, median, preimage, rate};

pub(crate) fn run(tpm: &Arc<Tpm>) {
    let (sealed, file, message) =
        (tpm.generate("bench-ed25519", Algorithm::Ed25519).unwrap(), FileKey::from_seed([7; 32]), preimage());
    // Released once.
    sealed.sign(&message).unwrap();
    let (mut rates, mut ratios) = (Vec::new(), Vec::new());
    for _ in 0..SLICES {
        let bare = rate(|| _ = file.sign(&message).unwrap());
        let ours = rate(|| _ = sealed.sign(&message).unwrap());
        rates.push(ours);
        ratios.push(ours / bare);
    }
    println!("Ed25519 released by the TPM, /s                  {:8.0}", median(rates));
    println!("Ed25519 released / from a file                   {:8.2}", median(ratios));
}
