"""Verifies a record with what the published package 2.0.1 has to verify one: `python judge.py FILE PUBLIC_KEY_HEX`."""

import base64
import sys

from attesto_local_vault.attestation import (
    ATTESTATION_SIGNATURE_DOMAIN,
    _quote_pcr_digest,
    measurement_digest,
    parse_signature_scheme,
    read_attestation_file,
)
from attesto_local_vault.crypto import domain_framed_bytes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def main():
    path, key = sys.argv[1:]
    # Refuses a reference that is not the record's.
    file = read_attestation_file(path)
    record = file["record"]
    framed = domain_framed_bytes(ATTESTATION_SIGNATURE_DOMAIN, record)
    Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(bytes.fromhex(file["signature"]), framed)
    assert record["measurement_digest"] == measurement_digest(record["measurement"])
    assert record["measurement"]["signing_public_key_hex"] == key
    message, signature = (base64.b64decode(record[name], validate=True)
                          for name in ("quote_message_b64", "quote_signature_b64"))
    extra = bytes.fromhex(record["measurement_digest"])
    digest = _quote_pcr_digest(message, expected_selection=record["pcr_selection"], expected_extra=extra)
    assert digest == record["pcr_digest"]
    assert parse_signature_scheme(signature) == record["signature_scheme"]


main()
