"""witness-checkpoint and witness-counts: sequences of checkpoints, and everything that was signed about them."""

import json

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from attesto_local_vault.crypto import canonical_json_bytes, domain_hash
from attesto_local_vault.witness import DOMAIN_FORK, DOMAIN_WITNESS
from twins import Said, Side, Twins, Workshop

A, B, C, D = (letter * 64 for letter in "abcd")

# (case, number, hash, previous hash), one stream, in this order.
SEQUENCE = [
    ("first contact at number 5", "5", A, B),
    ("the same again", "5", A, B),
    ("the same with another previous hash", "5", A, C),
    ("the next", "6", B, A),
    ("an old one again", "5", A, None),
    ("a gap", "9", C, B),
    ("a fork at the head", "9", D, B),
    ("the same fork again", "9", D, B),
    ("a fork behind the head", "6", D, A),
    ("a number that was skipped", "7", D, B),
    ("an older number", "1", D, None),
    ("a previous hash that is not the head's", "10", D, A),
    ("no previous hash", "10", D, None),
    ("the largest number", str(2**63 - 1), D, C),
    ("beyond the largest", str(2**63), D, D),
    ("zero", "0", D, C),
    ("negative", "-5", D, C),
    ("minus zero", "-0", D, C),
    ("huge", "1" + "0" * 40, D, C),
    ("more than 4300 digits", "1" * 4301, D, C),
    ("a plus in front", f"+{2**63 - 1}", D, C),
    ("blanks around it", f" {2**63 - 1} ", D, C),
    ("underscores within", "9_223_372_036_854_775_807", D, C),
    ("a misplaced underscore", "_9", D, C),
    ("a fraction", "5.0", D, C),
    ("hex", "0x5", D, C),
    ("empty number", "", D, C),
    ("a word", "five", D, C),
    ("leading zeros", "00005", A, None),
    ("an upper-case hash", "10", D.upper(), C),
    ("a short hash", "10", D[1:], C),
    ("a hash that is not hex", "10", "g" * 64, C),
    ("an empty hash", "10", "", C),
    ("an upper-case previous hash", "10", D, C.upper()),
    ("an empty previous hash", "10", D, ""),
]

# What changes from one run to the next: ids, times and what hangs on them. The signatures are verified first.
VOLATILE = {"accepted_at", "created_at", "statement_hash", "evidence_hash", "canonical_json_hex", "signature_hex"}


def run(workshop: Workshop) -> None:
    sequence(workshop)
    streams(workshop)
    settings(workshop)
    command_lines(workshop)


def checkpoint(number: str, hash_: str, previous: str | None, **ids: str) -> list[str]:
    ids = {"tenant_id": "t", "stream_id": "s", "checkpoint_id": f"cp {number}"} | ids
    line = ["witness-checkpoint", "--checkpoint-seq-no", number, "--checkpoint-hash", hash_]
    for name, value in ids.items():
        line += [f"--{name.replace('_', '-')}", value]
    return line if previous is None else [*line, "--previous-checkpoint-hash", previous]


def submit(twins: Twins, case: str, *line: str, settings: dict[str, str | None] | None = None) -> None:
    said = twins.both(lambda side: verified(side, case, side.raw(*line, settings=settings)))
    twins.ledger.compare(twins.section, case, *said)


def verified(side: Side, case: str, done) -> Said:
    """What was printed with what changes replaced, once all of it was found right."""
    if not done.stdout:
        return Said(done.returncode, "")
    line = json.loads(done.stdout)
    if done.stdout.decode() != json.dumps(line, sort_keys=True) + "\n":
        return Said(done.returncode, f"NOT AS PYTHON WRITES IT: {done.stdout!r}")
    for signed in filter(None, (line.get("receipt"), line.get("forkEvidence"))):
        wrong = flaw(signed)
        if wrong:
            return Said(done.returncode, f"{wrong}: {done.stdout!r}")
    return Said(done.returncode, json.dumps(replaced(side, case, line), sort_keys=True))


def flaw(signed: dict) -> str | None:
    """What is wrong with a receipt or evidence by the package's own functions."""
    receipt = "statement" in signed
    domain, content = (DOMAIN_WITNESS, signed["statement"]) if receipt else (DOMAIN_FORK, signed["evidence"])
    if domain_hash(domain, content) != signed["statement_hash" if receipt else "evidence_hash"]:
        return "THE HASH IS WRONG"
    if receipt and canonical_json_bytes(content).hex() != signed["canonical_json_hex"]:
        return "THE CANONICAL FORM IS WRONG"
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(signed["public_key"]["public_key_hex"]))
    message = domain.encode() + b"\0" + canonical_json_bytes(content)
    try:
        key.verify(bytes.fromhex(signed["signature"]["signature_hex"]), message)
    except InvalidSignature:
        return "THE SIGNATURE IS WRONG"
    return None


def replaced(side: Side, case: str, value, key: str = ""):
    if isinstance(value, dict):
        return {name: replaced(side, case, member, name) for name, member in value.items()}
    if key in VOLATILE:
        return f"{len(value)} characters"
    if key in ("witness_receipt_id", "fork_evidence_id"):
        # The same id again is the same statement again.
        return side.names.setdefault(value, f"{value[:4]}{len(value)} of <{case}>")
    return value


def sequence(workshop: Workshop) -> None:
    twins = workshop.twins("witness-checkpoint")
    twins.step("counts before anything", "witness-counts")
    for case, number, hash_, previous in SEQUENCE:
        submit(twins, case, *checkpoint(number, hash_, previous))
    twins.step("counts", "witness-counts")
    submit(twins, "the same under another key", *checkpoint("5", A, B), settings={"SIGNING_KEY": "42" * 32})
    other = {"SIGNING_KEY": "42" * 32, "KEY_ID": "local-vault-2"}
    submit(twins, "a fork under another key", *checkpoint("5", C, B), settings=other)
    twins.step("counts at the end", "witness-counts")


def streams(workshop: Workshop) -> None:
    twins = workshop.twins("witness streams")
    for case, ids in {
        "a stream": {},
        "another stream": {"stream_id": "s2"},
        "another tenant": {"tenant_id": "t2"},
        "another witness": {"witness_id": "ins_2"},
        "unicode": {"tenant_id": "grün", "stream_id": "漢字", "checkpoint_id": "\U0001f511\n\""},
        "empty ids": {"tenant_id": "", "stream_id": "", "checkpoint_id": ""},
        "an empty witness, which is none": {"witness_id": ""},
        "long ids": {"tenant_id": "t" * 2000, "stream_id": "s" * 2000, "checkpoint_id": "c" * 2000},
        "negative ids": {"tenant_id": "-1", "stream_id": "-2", "checkpoint_id": "-3"},
    }.items():
        submit(twins, case, *checkpoint("1", A, None, **ids))
        submit(twins, f"{case}, forked", *checkpoint("1", B, None, **ids))
    submit(twins, "another key id", *checkpoint("2", B, A, key_id="k\u00e9y"))
    twins.step("counts", "witness-counts")


def settings(workshop: Workshop) -> None:
    twins = workshop.twins("witness settings")
    for name in ("WITNESS_ID", "KEY_ID", "SIGNING_KEY"):
        for how, value in {"missing": None, "empty": ""}.items():
            submit(twins, f"{name} {how}", *checkpoint("1", A, None), settings={name: value})
    submit(twins, "no ENCRYPTION_KEY", *checkpoint("1", A, None), settings={"ENCRYPTION_KEY": None})
    submit(twins, "flags in place of settings", *checkpoint("2", B, A, witness_id="ins_1", key_id="k"),
           settings={"WITNESS_ID": None, "KEY_ID": None})
    submit(twins, "a database from the environment", *checkpoint("1", A, None), settings={"WITNESS_DB": "e.sqlite3"})
    twins.step("counts without any setting", "witness-counts", settings=dict.fromkeys(
        ["ENCRYPTION_KEY", "SIGNING_KEY", "KEY_ID", "INSTALLATION_ID", "WITNESS_ID", "RELAY_URL"]))
    twins.step("counts of that database", "--witness-db", "e.sqlite3", "witness-counts")
    twins.step("counts of a database in a new folder", "--witness-db=new/w.sqlite3", "witness-counts")
    twins.write("text.txt", "This is no database, and long enough to be one. " * 50)
    twins.step("counts of a text", "--witness-db", "text.txt", "witness-counts")


def command_lines(workshop: Workshop) -> None:
    twins = workshop.twins("witness command line")
    whole = checkpoint("1", A, None)
    for flag in ("--checkpoint-seq-no", "--checkpoint-hash", "--tenant-id", "--stream-id", "--checkpoint-id"):
        at = whole.index(flag)
        submit(twins, f"without {flag}", *whole[:at], *whole[at + 2 :])
    short = ["--t", "t", "--st", "s", "--checkpoint-i", "c", "--checkpoint-s", "1", "--checkpoint-h", A]
    submit(twins, "abbreviated flags", "witness-checkpoint", *short)
    # With a number that is refused, so that the line shows how far the command came.
    zero = checkpoint("0", A, None)
    submit(twins, "--w for --witness-id", *zero, "--w", "ins_2")
    submit(twins, "--s for --stream-id", *zero, "--s", "s")
    submit(twins, "--witness-i for --witness-id", *whole, "--witness-i", "ins_2")
    submit(twins, "--p for --previous-checkpoint-hash", *whole, "--p", B)
    submit(twins, "an ambiguous abbreviation", *whole, "--c", "1")
    submit(twins, "values behind =", "witness-checkpoint", "--tenant-id=t", "--stream-id=s=", "--checkpoint-id=",
           "--checkpoint-seq-no=-1", f"--checkpoint-hash={A}")
    submit(twins, "the database in front", "--witness-db", "a.sqlite3", *whole)
    submit(twins, "the database in front, abbreviated", "--w", "b.sqlite3", *whole)
    twins.step("an argument too many", "witness-counts", "x")
