"""Makes the records beside it with the published package and tpm2-tools: `python make.py FOLDER`, where
attesto-local-vault 2.0.1 is, with a fresh swtpm that TPM2TOOLS_TCTI names."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

from attesto_local_vault.attestation import (
    MeasurementInputs,
    Tpm2Attestation,
    build_measurement,
    measurement_digest,
    pkcs11_record,
    signed_attestation,
    tpm2_record,
    write_attestation_file,
)
from attesto_local_vault.signing import SoftwareEd25519Provider

SELECTION = "sha256:0,1,2,3,7"
# What the record states of a token is the vault's own word: no token is needed to state it.
TOKEN = {
    "manufacturer_id": "SoftHSM project",
    "model": "SoftHSM v2",
    "key_type": "EC_EDWARDS",
    "extractable": False,
    "sensitive": True,
    "private": True,
}


def tool(*words, folder):
    done = subprocess.run(words, cwd=folder, check=True, capture_output=True)
    subprocess.run(["tpm2_flushcontext", "-t"], check=True, capture_output=True)
    return done.stdout.decode()


def measured(provider):
    inputs = MeasurementInputs("2.0.1", hashlib.sha256(b"edge core").hexdigest(), hashlib.sha256(b"{}").hexdigest())
    return build_measurement(inputs, signing_key_id=provider.key_id, signing_public_key_hex=provider.public_key_hex())


def quoted(provider, algorithm, handle):
    measurement = measured(provider)
    tpm = Tpm2Attestation(pcr_selection=SELECTION, ak_handle=handle, ak_algorithm=algorithm)
    return tpm2_record(TOKEN, measurement, tpm.quote(bytes.fromhex(measurement_digest(measurement))))


def salted(folder):
    """A quote with RSA-PSS, which the published package reads and never makes."""
    tool("tpm2_createek", "-c", "ek.ctx", "-G", "rsa", folder=folder)
    tool("tpm2_createak", "-C", "ek.ctx", "-c", "ak.ctx", "-G", "rsa", "-g", "sha256", "-s", "rsapss", "-u", "ak.pub",
         folder=folder)
    qualifying = hashlib.sha256(b"pss").hexdigest()
    tool("tpm2_quote", "-c", "ak.ctx", "--scheme", "rsapss", "-l", SELECTION, "-q", qualifying, "-g", "sha256",
         "-m", "quote.msg", "-s", "quote.sig", folder=folder)
    return {"qualifying": qualifying, "selection": SELECTION, **read(folder, ak_public="ak.pub", message="quote.msg",
                                                                     signature="quote.sig")}


def certified(folder, handle):
    """A key in the owner's hierarchy, certified by the ECC attestation key over what tpm2_certify always asks for."""
    tool("tpm2_createprimary", "-C", "o", "-G", "ecc", "-c", "parent.ctx", folder=folder)
    attributes = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign"
    tool("tpm2_create", "-C", "parent.ctx", "-G", "ecc256:ecdsa-sha256:null", "-a", attributes, "-u", "key.pub",
         "-r", "key.priv", "-c", "key.ctx", folder=folder)
    tool("tpm2_certify", "-c", "key.ctx", "-C", handle, "-g", "sha256", "-o", "certify.msg", "-s", "certify.sig",
         "-f", "tss", folder=folder)
    tool("tpm2_readpublic", "-c", handle, "-o", "certifier.pub", folder=folder)
    return {"qualifying": "00ff55aa", **read(folder, ak_public="certifier.pub", public="key.pub",
                                             message="certify.msg", signature="certify.sig")}


def read(folder, **files):
    return {name: (folder / file).read_bytes().hex() for name, file in files.items()}


def values(folder):
    tool("tpm2_pcrread", SELECTION, "-o", "pcrs.bin", folder=folder)
    raw = (folder / "pcrs.bin").read_bytes()
    numbers = SELECTION.split(":")[1].split(",")
    return {number: raw[32 * i : 32 * i + 32].hex() for i, number in enumerate(numbers)}


def write(path, content):
    path.write_text(json.dumps(content, indent=2) + "\n")


def main():
    folder = Path(sys.argv[1])
    work = folder / "work"
    work.mkdir()
    for number in (0, 7):
        tool("tpm2_pcrextend", f"{number}:sha256={hashlib.sha256(b'pcr').hexdigest()}", folder=work)
    provider = SoftwareEd25519Provider.from_hex("11" * 32, key_id="edge-07")
    write_attestation_file(folder / "l1.json", signed_attestation(provider, pkcs11_record(TOKEN, measured(provider))))
    for algorithm, handle in (("rsa", "0x81010002"), ("ecc", "0x81010003")):
        record = quoted(provider, algorithm, handle)
        write_attestation_file(folder / f"l2-{algorithm}.json", signed_attestation(provider, record))
    write(folder / "rsapss.json", salted(work))
    write(folder / "certified.json", certified(work, "0x81010003"))
    write(folder / "pcrs.json", values(work))


main()
