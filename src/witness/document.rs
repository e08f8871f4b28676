use super::WitnessError;
use crate::custody::Signer;
use crate::protocol::json::Object;
use crate::protocol::witness::{document_preimage, signed_document};

/// Signs something that the witness says of itself.
pub async fn sign(signer: &Signer, document: &Object) -> Result<Object, WitnessError> {
    let preimage = document_preimage(document);
    let request = document.get_str("kind").unwrap_or_default();
    let (_, signature) = signer.sign(preimage, request).await?;
    Ok(signed_document(document, signer.kid(), signer.public_key(), &signature))
}
