/// What does not hold about something that a TPM is said to have signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TpmError {
    /// Anything else could be signed with that key too.
    #[error("the attestation key is not a restricted signing key that is fixed to its TPM")]
    AkAttributes,
    /// The name is not the hash of the public area.
    #[error("the attestation key's name is not that of its public area")]
    AkName,
    /// These bytes are no such structure, or more than one.
    #[error("the {0} is malformed")]
    Form(&'static str),
    /// The key may leave its TPM, or was made elsewhere.
    #[error("the certified key is not fixed to its TPM")]
    KeyAttributes,
    /// The certification names another key.
    #[error("the certification is of another key")]
    KeyName,
    /// A TPM did not make the message, or made it about something else.
    #[error("the message is no {0} of a TPM")]
    Kind(&'static str),
    /// The digest over the PCRs is another one in the message.
    #[error("the PCR digest is not the one that was quoted")]
    PcrDigest,
    /// Other PCRs were quoted.
    #[error("the quote is of other PCRs")]
    PcrSelection,
    /// It was made for another occasion.
    #[error("the message does not carry the measurement digest")]
    Qualifying,
    /// The key, the signature and the record do not name one scheme.
    #[error("the signature's scheme is not that of the attestation key")]
    Scheme,
    /// The attestation key did not sign this message.
    #[error("the attestation key's signature does not verify")]
    Signature,
    /// A kind of key, curve or hash that is not known here.
    #[error("the {0} is not supported")]
    Unsupported(&'static str),
}
