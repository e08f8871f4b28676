"""Makes drop-in-* with the published package: `python make_drop_in.py FOLDER` where attesto-local-vault 0.2.0 is."""

import json
import sys
from pathlib import Path

from attesto_local_vault.crypto import LocalVaultSigner
from attesto_local_vault.spool import LocalVaultSpool
from attesto_local_vault.witness import LocalWitnessStore

ENCRYPTION_KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
EVENTS = [
    ("invoices", "delivered", {"n": 1}),
    ("invoices", "dead", {"n": 2.5}),
    ("invoices", "inflight", {"text": "grün \U0001f511"}),
    ("orders", "retried", {"n": 4}),
    ("orders", "queued", {"n": 5}),
]


def make_spool(path):
    spool = LocalVaultSpool(path, encryption_key=ENCRYPTION_KEY)
    ids = [f"lv_{number:032x}" for number in range(1, 6)]
    for event_id, (stream, ref, payload) in zip(ids, EVENTS):
        spool.enqueue(stream_id=stream, source_ref=ref, payload=payload, event_id=event_id)
    delivered, dead, inflight, retried, _ = ids
    assert spool.dequeue().event.id == delivered
    spool.ack(delivered)
    spool.fail(dead, error="http-422", max_attempts=1)
    spool.fail(retried, error="URLError")
    spool.fail(retried, error="http-503")
    assert spool.dequeue().event.id == inflight


def make_witness(path):
    """Gives the receipt of number 6."""
    witness = LocalWitnessStore(path)
    signer = LocalVaultSigner.from_hex(bytes(range(32)).hex(), key_id="local-vault-1")

    def submit(stream, number, letter, previous):
        return witness.accept_checkpoint(
            witness_id="ins_1",
            tenant_id="t",
            stream_id=stream,
            checkpoint_id=f"cp{number}",
            checkpoint_seq_no=number,
            checkpoint_hash=letter * 64,
            previous_checkpoint_hash=previous and previous * 64,
            signer=signer,
        )

    submit("s", 5, "a", None)
    result = submit("s", 6, "b", "a")
    submit("s", 6, "c", "a")
    submit("s2", 1, "a", None)
    return result.receipt


def main(folder):
    make_spool(folder / "drop-in-spool.sqlite3")
    receipt = make_witness(folder / "drop-in-witness.sqlite3")
    (folder / "drop-in-receipt.json").write_text(json.dumps(receipt, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
