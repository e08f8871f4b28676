"""generate-encryption-key and generate-signing-key, and the forms in which keys are read."""

import base64
import json
import stat
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from twins import ENCRYPTION_KEY, SEED, Said, Side, Twins, Workshop

STANDARD = base64.b64encode(bytes([251, 239, 190] * 10 + [255, 255])).decode()
URL_SAFE = STANDARD.replace("+", "-").replace("/", "_")

ENCRYPTION_KEYS = {
    "url-safe": URL_SAFE,
    "standard": STANDARD,
    "both alphabets": STANDARD.replace("+", "-"),
    "a newline behind it": URL_SAFE + "\n",
    "blanks around it": f" {URL_SAFE} ",
    "a newline within": URL_SAFE[:20] + "\n" + URL_SAFE[20:],
    "without padding": URL_SAFE.rstrip("="),
    "31 bytes": base64.b64encode(bytes(31)).decode(),
    "33 bytes": base64.b64encode(bytes(33)).decode(),
    "hex": "00" * 32,
    "not ASCII": "ä" * 43 + "=",
    "bits to spare": URL_SAFE[:42] + "9=",
    "empty": "",
}

SIGNING_KEYS = {
    "hex": SEED.hex(),
    "upper hex": SEED.hex().upper(),
    "hex with blanks around it": f"\t {SEED.hex()}\r\n",
    "63 digits": SEED.hex()[1:],
    "66 digits": SEED.hex() + "00",
    "64 characters that are not hex": "g" * 64,
    "hex with blanks within": " ".join(["00"] * 21) + "00",
    "base64": base64.b64encode(SEED).decode(),
    "base64 with a newline": base64.b64encode(SEED).decode() + "\n",
    "base64 without padding": base64.b64encode(SEED).decode().rstrip("="),
    "url-safe base64": base64.urlsafe_b64encode(bytes([251, 255] * 16)).decode(),
    "standard base64": base64.b64encode(bytes([251, 255] * 16)).decode(),
    "31 bytes": base64.b64encode(bytes(31)).decode(),
    "33 bytes": base64.b64encode(bytes(33)).decode(),
    "blank": "  ",
    "empty": "",
}


def run(workshop: Workshop) -> None:
    generate(workshop)
    read_encryption_keys(workshop)
    read_signing_keys(workshop)


def generate(workshop: Workshop) -> None:
    twins = workshop.twins("generate keys")
    shapes = twins.both(lambda side: shape(side.raw("generate-encryption-key")))
    twins.ledger.compare(twins.section, "an encryption key", *shapes)
    twins.step("with an argument too many", "generate-encryption-key", "x")

    files = {
        "a signing key": ["--private-key-file", "key"],
        "a file that is there": ["--private-key-file", "key"],
        "a key id": ["--private-key-file=key2", "--key-id", "schlüssel \U0001f511"],
        "a folder that is not there": ["--private-key-file", "new/folder/key"],
        "a folder in place of a file": ["--private-key-file", "new"],
        "a path in a roundabout way": ["--private-key-file", ".//new/./../key3"],
        "no file": [],
        "an unknown flag": ["--private-key-file", "key4", "--frobnicate"],
        "an abbreviated flag": ["--private", "key5"],
        "a flag twice": ["--private-key-file", "key6", "--private-key-file", "key7"],
    }
    for case, arguments in files.items():
        said = twins.both(lambda side: generated(side, arguments))
        twins.ledger.compare(twins.section, case, *said)
    for side in (twins.published, twins.ours):
        made = side.folder / "new"
        twins.ledger.check(twins.section, "nothing beside the keys", [f.name for f in made.iterdir()] == ["folder"])


def shape(done) -> tuple:
    line = done.stdout.decode()
    return done.returncode, len(line), line[-1], len(base64.urlsafe_b64decode(line))


def generated(side: Side, arguments: list[str]) -> tuple:
    """What it said, without the public key; the file's mode and length; and whether the two belong together."""
    done = side.raw("generate-signing-key", *arguments)
    if done.returncode:
        return Said(done.returncode, done.stdout.decode())
    line = json.loads(done.stdout)
    path = Path(side.folder, line["privateKeyFile"])
    seed = bytes.fromhex(path.read_text())
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw().hex()
    text = done.stdout.decode().replace(public, "PUBLIC")
    return Said(0, text), stat.S_IMODE(path.stat().st_mode), path.stat().st_size, path.read_bytes()[-1:]


def read_encryption_keys(workshop: Workshop) -> None:
    for form, key in ENCRYPTION_KEYS.items():
        twins = workshop.twins("ENCRYPTION_KEY")
        twins.write("payload.json", "{}")
        enqueue(twins, form, key)
    for form in ("standard", "a newline behind it"):
        # The same key in another form opens the same spool.
        twins = workshop.twins("ENCRYPTION_KEY")
        twins.write("payload.json", "{}")
        enqueue(twins, f"{form}, spooled", ENCRYPTION_KEYS[form])
        enqueue(twins, f"{form}, and found again", URL_SAFE)
    twins.step("not set", *ENQUEUE, settings={"ENCRYPTION_KEY": None})
    twins.step("another key on the same spool", *ENQUEUE, settings={"ENCRYPTION_KEY": ENCRYPTION_KEY})


ENQUEUE = ["enqueue-json", "--stream-id", "s", "--source-ref", "r", "--payload-file", "payload.json"]


def enqueue(twins: Twins, case: str, key: str) -> None:
    # A process that only enqueues has no other setting.
    alone = dict.fromkeys(["SIGNING_KEY", "KEY_ID", "INSTALLATION_ID", "WITNESS_ID", "RELAY_URL"])
    twins.step(case, *ENQUEUE, settings=alone | {"ENCRYPTION_KEY": key})


def read_signing_keys(workshop: Workshop) -> None:
    twins = workshop.twins("SIGNING_KEY")
    for form, key in SIGNING_KEYS.items():
        said = twins.both(lambda side: public_key(side, form, key))
        twins.ledger.compare(twins.section, form, *said)


def public_key(side: Side, stream: str, key: str) -> tuple[int, str]:
    done = side.raw(
        *["witness-checkpoint", "--tenant-id", "t", "--stream-id", stream, "--checkpoint-id", "c"],
        *["--checkpoint-seq-no", "1", "--checkpoint-hash", "0" * 64],
        settings={"SIGNING_KEY": key},
    )
    receipt = json.loads(done.stdout)["receipt"] if done.stdout else {}
    return done.returncode, receipt.get("public_key", {}).get("public_key_hex", "")
