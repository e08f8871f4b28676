"""Makes the databases beside it with the published package: `python make.py FOLDER` where attesto-local-vault 0.2.0 is."""

import gc
import shutil
import sqlite3
import sys
from pathlib import Path

from attesto_local_vault.spool import LocalVaultSpool

KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


def enqueue(spool, number, stream):
    payload = {"n": number, "text": "schön \u2028 ü", "ratio": number / 4}
    return spool.enqueue(stream_id=stream, source_ref=f"ref-{number}", payload=payload, event_id=f"lv_{number:032x}")


def fill(path):
    """Events 1 to 6, of every status. The queue is in the order of arrival, whatever the stream."""
    spool = LocalVaultSpool(path, encryption_key=KEY)
    for number in range(1, 7):
        enqueue(spool, number, "b" if number % 3 == 0 else "a")
    assert spool.dequeue().event.source_ref == "ref-1"
    spool.ack(f"lv_{1:032x}")
    spool.dequeue()
    for _ in range(8):
        spool.fail(f"lv_{2:032x}", error="http-503")
    spool.dequeue()
    spool.fail(f"lv_{3:032x}", error="URLError")
    assert spool.dequeue().event.source_ref == "ref-4"
    return spool


def main(folder):
    fill(folder / "closed.sqlite3")
    # One that is in use: the first six events in the file, the seventh in the WAL alone.
    path = folder / "in-use.tmp"
    spool = fill(path)
    gc.collect()  # closes the connections that the package leaves behind
    holder = sqlite3.connect(path)
    holder.execute("SELECT count(*) FROM spool_events").fetchone()
    enqueue(spool, 7, "b")
    shutil.copy(path, folder / "live.sqlite3")
    shutil.copy(f"{path}-wal", folder / "live.sqlite3-wal")
    holder.close()
    gc.collect()
    path.unlink()


main(Path(sys.argv[1]))
