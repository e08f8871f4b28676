"""Each side's signatures in the other's hands: requests, answers, witness statements."""

import json
import urllib.request

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from attesto_local_vault.crypto import DOMAIN_RELAY, LocalVaultSigner, canonical_json_bytes, domain_hash, sha256_hex
from drain import SENDABLE
from receiver import PUBLIC_KEY, Sandbox
from spooling import PAYLOADS, enqueue
from twins import SEED, SETTINGS, Side, Workshop
from witness import SEQUENCE, checkpoint, flaw

STREAMS = ["grün", "s", "s2"]
# RFC 8032 section 7.1, test 1.
OTHER_KEY = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"


def run(workshop: Workshop) -> None:
    relayed(workshop, workshop.published(workshop.folder() / "published"))
    relayed(workshop, workshop.ours(workshop.folder() / "ours"))
    witnessed(workshop)


def relayed(workshop: Workshop, side: Side) -> None:
    """A spool of its own, drained into the sandbox; then the requests, by the package's functions."""
    ledger, section = workshop.ledger, f"{side.folder.name} relays"
    sent = {}
    for number, case in enumerate(SENDABLE):
        side.write(f"{number}.json", PAYLOADS[case])
        for stream in STREAMS:
            done = side.raw(*enqueue(stream, f"{stream}/{case}", f"{number}.json"))
            sent[json.loads(done.stdout)["eventId"]] = json.loads(PAYLOADS[case])
    with Sandbox(workshop) as sandbox:
        loop = ["drain-loop", "--idle-sleep-seconds", "0", "--max-iterations", str(len(sent))]
        lines = side.raw(*loop, settings=sandbox.settings()).stdout.splitlines()
        outcomes = {line["eventId"]: line for line in map(json.loads, lines)}
        requests = sandbox.events()
        with urllib.request.urlopen(f"{sandbox.ready['base_url']}/sandbox/stats") as answer:
            stats = json.load(answer)
    ledger.check(section, "every event is sent", outcomes.keys() == sent.keys(), lines)
    accepted = all(line["sent"] and line["error"] is None and line["statusCode"] == 201 for line in outcomes.values())
    ledger.check(section, "every event is receipted", accepted, lines)
    ledger.check(section, "the receiver recorded each once", stats["events"] == len(sent), stats)
    ledger.check(section, "one request an event", len(requests) == len(sent), len(requests))
    for request in requests:
        wrong = request_flaw(request, sent)
        ledger.check(section, f"the request verifies: {wrong}", wrong is None, request)


def request_flaw(request: dict, sent: dict[str, dict]) -> str | None:
    headers, body = request["headers"], json.loads(request["body"])
    envelope, payload = body["envelope"], body["payload"]
    canonical = canonical_json_bytes(payload)
    signed = LocalVaultSigner.from_hex(SEED.hex(), key_id=SETTINGS["KEY_ID"]).sign_envelope(envelope)
    signature = bytes.fromhex(headers["x-attesto-local-vault-signature"])
    try:
        message = DOMAIN_RELAY.encode() + b"\0" + canonical_json_bytes(envelope)
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(PUBLIC_KEY)).verify(signature, message)
    except InvalidSignature:
        return "the signature"
    expected = {
        "the members": (body.keys(), {"envelope", "payload"}),
        "the content type": (headers["content-type"], "application/json"),
        "the envelope's hash": (headers["x-attesto-local-vault-envelope-hash"], domain_hash(DOMAIN_RELAY, envelope)),
        # Ed25519 is deterministic: the package's own signature over this envelope is the same.
        "the signature's bytes": (signature.hex(), signed.signature_hex),
        "the public key": (headers["x-attesto-local-vault-public-key"], signed.public_key_hex),
        "the payload": (payload, sent.get(envelope["event_id"])),
        "the payload's hash": (envelope["payload_sha256"], sha256_hex(canonical)),
        "the payload's size": (envelope["payload_size"], len(canonical)),
        "the installation": (envelope["installation_id"], SETTINGS["INSTALLATION_ID"]),
        "the attempt": (envelope["attempt"], 1),
        "the protocol": ((envelope["protocol"], envelope["protocol_version"]), ("ATTESTO-LOCAL-VAULT-001", "0.1")),
        "the envelope's members": (len(envelope), 11),
    }
    return next((what for what, (is_, should) in expected.items() if is_ != should), None)


def witnessed(workshop: Workshop) -> None:
    twins = workshop.twins("witness proofs")
    lines = twins.both(checkpoints)
    for line in lines[1]:
        signed = line["receipt"] or line["forkEvidence"]
        twins.ledger.check("witness proofs", "ours verifies with the package", flaw(signed) is None, line)
    trusted = ["--public-key", f"witness={PUBLIC_KEY}"]
    for name, side_lines in zip(("the package's", "ours"), lines):
        twins.ours.write("lines.jsonl", "".join(json.dumps(line) + "\n" for line in side_lines))
        bare = [line["receipt"] or line["forkEvidence"] for line in side_lines]
        twins.ours.write("bare.jsonl", "".join(json.dumps(signed) + "\n" for signed in bare))
        for file in ("lines.jsonl", "bare.jsonl"):
            done = twins.ours.raw("verify", file, *trusted)
            whole = done.returncode == 0 and done.stdout.endswith(f"{len(side_lines)} verified\n".encode())
            twins.ledger.check("witness proofs", f"{name} {file} verify with ours", whole, done)
        for number, line in enumerate(side_lines):
            twins.ours.write("changed.jsonl", json.dumps(line).replace('"tenant_id": "t"', '"tenant_id": "u"'))
            done = twins.ours.raw("verify", "changed.jsonl", *trusted)
            refused = done.returncode == 65
            twins.ledger.check("witness proofs", f"{name} line {number}, changed, does not", refused, done)
        done = twins.ours.raw("verify", "lines.jsonl", "--public-key", f"witness={OTHER_KEY}")
        twins.ledger.check("witness proofs", f"{name} do not verify under another key", done.returncode == 65, done)


def checkpoints(side: Side) -> list[dict]:
    done = [side.raw(*checkpoint(number, hash_, previous)) for _, number, hash_, previous in SEQUENCE[:13]]
    return [json.loads(each.stdout) for each in done]
