"""Moving from the published package to ours, with the databases that are there."""

import hashlib
import json
import shutil
import sqlite3
from pathlib import Path

from attesto_local_vault.spool import LocalVaultSpool
from receiver import Sandbox
from spooling import PAYLOADS, enqueue
from twins import ENCRYPTION_KEY, Side, Twins, Workshop
from witness import A, B, C, D, checkpoint, submit

SPOOL = "local-vault-spool.sqlite3"
WITNESS = "local-vault-witness.sqlite3"
OTHER_KEY = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

# source_ref -> (stream, payload, status in the published spool)
EVENTS = {
    "delivered": ("s", "unicode", "delivered"),
    "dead": ("s", "floats", "dead"),
    "inflight": ("s", "empty", "inflight"),
    "retried": ("s2", "integers", "queued"),
    "fresh \U0001f511": ("grün", "escapes", "queued"),
    "last": ("s", "100 kB", "queued"),
}
PENDING = {"inflight": 2, "retried": 3, "fresh \U0001f511": 1, "last": 1}


def run(workshop: Workshop) -> None:
    at_first_open(workshop)
    by_command(workshop)
    with_a_wal(workshop)
    refused(workshop)
    witness(workshop)


def published_spool(workshop: Workshop) -> Side:
    """A spool with an event in every state, written by the package."""
    side = workshop.published(workshop.folder() / "published")
    spool = LocalVaultSpool(side.folder / SPOOL, encryption_key=ENCRYPTION_KEY)
    ids = {}
    for ref, (stream, payload, _) in EVENTS.items():
        side.write(f"{payload}.json", PAYLOADS[payload])
        ids[ref] = json.loads(side.raw(*enqueue(stream, ref, f"{payload}.json")).stdout)["eventId"]
    with Sandbox(workshop) as sandbox:
        assert json.loads(side.raw("drain-once", settings=sandbox.settings()).stdout)["sent"]
    spool.fail(ids["dead"], error="http-422", max_attempts=1)
    spool.fail(ids["retried"], error="URLError")
    spool.fail(ids["retried"], error="http-503")
    assert spool.dequeue().event.source_ref == "inflight"
    with sqlite3.connect(side.folder / SPOOL) as db:
        states = dict(db.execute("SELECT source_ref, status FROM spool_events"))
    assert states == {ref: status for ref, (_, _, status) in EVENTS.items()}, states
    return side


def moved(workshop: Workshop, section: str, side: Side, *, name: str = "ours") -> tuple[Twins, dict[str, str]]:
    """Twins that begin with the same databases, and the hashes of ours."""
    ours = workshop.ours(workshop.folder() / name)
    shutil.copytree(side.folder, ours.folder, dirs_exist_ok=True)
    return Twins(section, workshop.ledger, side, ours), hashes(ours)


def hashes(side: Side) -> dict[str, str]:
    """Every file of the published package, its WAL with it; not what is ours."""
    ours = (".local-vault", ".audit")
    names = [f for f in side.folder.iterdir() if f.name.startswith((SPOOL, WITNESS))]
    files = [f for f in names if not any(part in f.name for part in ours)]
    return {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def rows(side: Side) -> dict[str, sqlite3.Row]:
    # Through a copy: to look at a WAL is to touch it.
    copy = side.folder / "look"
    copy.mkdir(exist_ok=True)
    for file in side.folder.glob(f"{SPOOL}*"):
        if file.is_file() and ".local-vault" not in file.name and not file.name.endswith("-shm"):
            shutil.copy(file, copy / file.name)
    with sqlite3.connect(copy / SPOOL) as db:
        db.row_factory = sqlite3.Row
        found = {row["source_ref"]: row for row in db.execute("SELECT * FROM spool_events")}
    db.close()
    shutil.rmtree(copy)
    return found


def lines(stderr: bytes) -> list[bytes]:
    return stderr.splitlines()


def at_first_open(workshop: Workshop) -> None:
    section = "import at first open"
    twins, before = moved(workshop, section, published_spool(workshop))
    check, ours = workshop.ledger.check, twins.ours
    twins.write("new.json", '{"new":true}')
    first = ours.raw(*enqueue("s", "new", "new.json"))
    check(section, "an event is spooled", first.returncode == 0 and b'"queued"' in first.stdout, first)
    said = b"4 queued, 1 delivered, 1 dead" in first.stderr
    check(section, "one line on standard error tells of it", len(lines(first.stderr)) == 1 and said, first)
    twins.published.raw(*enqueue("s", "new", "new.json"))
    ours.names = {row["id"]: f"<{ref}>" for ref, row in rows(ours).items()}
    twins.published.names = dict(ours.names)
    for ref, (stream, payload, _) in EVENTS.items():
        if ref != "inflight":
            twins.step(f"{ref}, spooled again", *enqueue(stream, ref, f"{payload}.json"))
        twins.step(f"{ref}, with other content", *enqueue(stream, ref, "new.json"))
    twins.step("inflight, spooled again", *enqueue("s", "inflight", "empty.json"))
    second = ours.raw("enqueue-json", "--stream-id", "s", "--source-ref", "new", "--payload-file", "new.json")
    check(section, "the next open is quiet", second.stdout == first.stdout and not second.stderr, second)
    check(section, "the source is untouched", hashes(ours) == before, ours.folder)
    delivered(workshop, section, ours, PENDING | {"new": 1}, json.loads(first.stdout)["eventId"])
    check(section, "the source is untouched at the end", hashes(ours) == before, ours.folder)
    for file in before:
        (ours.folder / file).unlink()
    again = ours.raw(*enqueue("s", "delivered", "unicode.json"))
    check(section, "without the source ours goes on", b'"delivered"' in again.stdout and not again.stderr, again)


def delivered(workshop: Workshop, section: str, side: Side, pending: dict[str, int], new_id: str | None = None) -> None:
    """Drains what was pending, and looks at what the receiver got."""
    originals = rows(side)
    with Sandbox(workshop) as sandbox:
        loop = ["drain-loop", "--idle-sleep-seconds", "0", "--max-iterations", str(len(pending) + 1)]
        done = side.raw(*loop, settings=sandbox.settings())
        requests = sandbox.events()
    check = workshop.ledger.check
    sent = [line for line in map(json.loads, done.stdout.splitlines()) if line["sent"]]
    check(section, "everything pending is delivered, and nothing else", len(sent) == len(pending), done)
    envelopes = {e["source_ref"]: e for e in (json.loads(request["body"])["envelope"] for request in requests)}
    check(section, "each of them once", len(requests) == len(pending) and envelopes.keys() == pending.keys(), envelopes)
    for ref, attempt in pending.items():
        envelope, row = envelopes[ref], originals.get(ref)
        check(section, f"{ref}: the attempt goes on from there", envelope["attempt"] == attempt, envelope)
        if row is None:
            check(section, f"{ref}: the id that was printed", envelope["event_id"] == new_id, envelope)
            continue
        check(section, f"{ref}: the same id", envelope["event_id"] == row["id"], envelope)
        check(section, f"{ref}: the same content", envelope["payload_sha256"] == row["payload_sha256"], envelope)
        same_time = envelope["created_at"] == milliseconds(row["created_at"])
        check(section, f"{ref}: the same time", same_time, (envelope["created_at"], row["created_at"]))


def milliseconds(time: str) -> str:
    whole, _, fraction = time.removesuffix("Z").partition(".")
    return f"{whole}.{fraction[:3]:0<3}Z"


def by_command(workshop: Workshop) -> None:
    section = "spool import"
    twins, before = moved(workshop, section, published_spool(workshop))
    check, ours = workshop.ledger.check, twins.ours
    elsewhere = ["--spool-db", "ours.sqlite3", "spool", "import", SPOOL]
    first, again = ours.raw(*elsewhere), ours.raw(*elsewhere)
    check(section, "a spool elsewhere takes it over", first.returncode == 0 and len(lines(first.stderr)) == 1, first)
    check(section, "and nothing twice", again.returncode == 0 and not again.stderr, again)
    stats = json.loads(ours.raw("--spool-db", "ours.sqlite3", "spool", "stats", "--json").stdout)["states"]
    counts = {state: stats[state]["events"] for state in stats}
    expected = {"queued": 4, "relaying": 0, "receipted": 1, "conflict": 0, "dead": 1}
    check(section, "everything is there", counts == expected, counts)
    dead = ours.raw("--spool-db", "ours.sqlite3", "spool", "list", "--state", "dead", "--json")
    check(section, "the dead letter with its reason", json.loads(dead.stdout)["lastError"] == "http-422", dead)
    in_place = ours.raw("spool", "import")
    told = f"{SPOOL}.local-vault".encode() in in_place.stdout
    check(section, "in place", in_place.returncode == 0 and told, in_place)
    check(section, "the source is untouched", hashes(ours) == before, ours.folder)
    delivered(workshop, section, ours, PENDING)


def with_a_wal(workshop: Workshop) -> None:
    """A process of the published package has the spool open, and what it wrote last is in the WAL alone."""
    section = "import beside a writer"
    ours = workshop.ours(workshop.folder() / "ours")
    check = workshop.ledger.check
    for payload in ("empty", "unicode"):
        ours.write(f"{payload}.json", PAYLOADS[payload])
    spool = LocalVaultSpool(ours.folder / SPOOL, encryption_key=ENCRYPTION_KEY)
    holder = sqlite3.connect(ours.folder / SPOOL)
    holder.execute("SELECT count(*) FROM spool_events").fetchall()
    first_id = spool.enqueue(stream_id="s", source_ref="a", payload={}).id
    before = hashes(ours)
    check(section, "there is a WAL", Path(ours.folder, f"{SPOOL}-wal").stat().st_size > 0, before)
    first = ours.raw(*enqueue("s", "a", "empty.json"))
    known = json.loads(first.stdout or b"{}").get("eventId") == first_id
    check(section, "what is in the WAL is imported", known and len(lines(first.stderr)) == 1, first)
    check(section, "and the WAL is untouched", hashes(ours) == before, before)
    later_id = spool.enqueue(stream_id="s", source_ref="b", payload=json.loads(PAYLOADS["unicode"])).id
    second = ours.raw(*enqueue("s", "b", "unicode.json"))
    known = json.loads(second.stdout or b"{}").get("eventId") == later_id
    check(section, "what comes later is imported later", known and len(lines(second.stderr)) == 1, second)
    third = ours.raw(*enqueue("s", "b", "unicode.json"))
    check(section, "and then it is quiet", third.stdout == second.stdout and not third.stderr, third)
    holder.close()
    delivered(workshop, section, ours, {"a": 1, "b": 1})


def refused(workshop: Workshop) -> None:
    """What is not imported is refused with its name, and never opened as empty."""
    section = "import refused"
    source = published_spool(workshop)
    twins, before = moved(workshop, section, source)
    check, ours = workshop.ledger.check, twins.ours
    fresh = enqueue("s", "fresh", "empty.json")
    for command in (fresh, ["drain-once"], ["spool", "import"]):
        done = ours.raw(*command, settings={"ENCRYPTION_KEY": OTHER_KEY})
        told = SPOOL.encode() in done.stderr or b"lv_" in done.stderr
        check(section, f"{command[0]} under another key", done.returncode != 0 and not done.stdout and told, done)
    check(section, "and no spool is made under it", not (ours.folder / f"{SPOOL}.local-vault").exists(), ours.folder)
    done = ours.raw(*fresh)
    imported = b"4 queued, 1 delivered, 1 dead" in done.stderr
    check(section, "under the right key it is all there", done.returncode == 0 and imported, done)
    check(section, "the source is untouched", hashes(ours) == before, ours.folder)

    changes = {
        "a damaged payload": "UPDATE spool_events SET encrypted_payload = 'x' WHERE source_ref = 'retried'",
        "another hash": "UPDATE spool_events SET payload_sha256 = 'x' WHERE source_ref = 'dead'",
        "an unknown status": "UPDATE spool_events SET status = 'lost' WHERE source_ref = 'last'",
        "an id of another form": "UPDATE spool_events SET id = 'x' WHERE source_ref = 'last'",
        "a time that is none": "UPDATE spool_events SET created_at = 'now' WHERE source_ref = 'last'",
        "a column that is missing": "ALTER TABLE spool_events DROP COLUMN last_error",
    }
    for case, sql in changes.items():
        twins, _ = moved(workshop, section, source)
        with sqlite3.connect(twins.ours.folder / SPOOL) as db:
            db.execute(sql)
        db.close()
        before = hashes(twins.ours)
        for _ in range(2):
            done = twins.ours.raw(*fresh)
            check(section, case, done.returncode == 1 and not done.stdout and bool(done.stderr), done)
        check(section, f"{case}, and the source is untouched", hashes(twins.ours) == before, before)


def witness(workshop: Workshop) -> None:
    section = "witness import"
    side = workshop.published(workshop.folder() / "published")
    said = [side.raw(*line).stdout for line in (checkpoint("5", A, None), checkpoint("6", B, A))]
    side.raw(*checkpoint("6", C, A))
    side.raw(*checkpoint("1", A, None, stream_id="s2"))
    twins, before = moved(workshop, section, side)
    check, ours = workshop.ledger.check, twins.ours
    # To count takes no key, and to take over takes the witness's.
    twins.step("the counts", "witness-counts")
    for line, printed in zip((checkpoint("5", A, None), checkpoint("6", B, A)), said):
        replay = ours.raw(*line)
        same = replay.stdout == printed.replace(b'"replayed": false', b'"replayed": true')
        told = has_import(replay.stderr) == (line == checkpoint("5", A, None))
        check(section, "a replay gives the very same receipt, and the first one tells of the import", same and told, replay)
    for case, *submission in [
        ("a fork at the imported head", "6", D, A),
        ("a step that leaves the head out", "7", D, A),
        ("the next", "7", D, B),
        ("the one after it", "9", A, D),
        ("an old one", "5", A, None),
        ("a fork behind the head", "5", B, None),
    ]:
        submit(twins, case, *checkpoint(*submission))
    submit(twins, "the other stream goes on", *checkpoint("2", B, A, stream_id="s2"))
    submit(twins, "a new stream", *checkpoint("1", B, A, stream_id="s3"))
    twins.step("the counts at the end", "witness-counts")
    check(section, "the source is untouched", hashes(ours) == before, before)
    for file in before:
        (ours.folder / file).unlink()
    twins.step("without the source ours goes on", "witness-counts")

    for case, sql in {
        "a changed receipt": "UPDATE witness_receipts SET receipt_json = replace(receipt_json, 'ins_1', 'ins_2')",
        "changed evidence": "UPDATE witness_fork_evidence SET evidence_json = replace(evidence_json, 'ins_1', 'ins_2')",
        "a head without a receipt": "UPDATE witness_stream_state SET checkpoint_seq_no = 99",
    }.items():
        damaged, _ = moved(workshop, section, side)
        (damaged.ours.folder / WITNESS).unlink()
        shutil.copy(side.folder / WITNESS, damaged.ours.folder / WITNESS)
        with sqlite3.connect(damaged.ours.folder / WITNESS) as db:
            db.execute(sql)
        db.close()
        done = damaged.ours.raw(*checkpoint("50", A, B))
        check(section, f"{case} is refused", done.returncode == 1 and not done.stdout and bool(done.stderr), done)

    spool = published_spool(workshop)
    for option, command in (("--witness-db", ["witness-counts"]), ("--spool-db", ["drain-once"])):
        database = SPOOL if option == "--witness-db" else WITNESS
        source = spool if option == "--witness-db" else side
        done = workshop.ours(workshop.folder() / "ours").raw(option, str(source.folder / database), *command)
        told = database.encode() in done.stderr
        check(section, f"{database} as {option}", done.returncode == 1 and not done.stdout and told, done)


def has_import(stderr: bytes) -> bool:
    return b"Imported" in stderr
