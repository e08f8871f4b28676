"""enqueue-json: every payload, id and form of the command line, and the canonical bytes that were spooled."""

import json
import sqlite3

from twins import Side, Twins, Workshop

# Each is spooled under its own name as source_ref. What is accepted must have the same canonical hash on both sides.
PAYLOADS = {
    "empty": b"{}",
    "nested": b'{"b":[1,{"d":null,"c":true}],"a":{"z":[],"y":{}}}',
    "white space": b' \r\n\t{ "a" : [ 1 , 2 ] }\n',
    "keys out of order": '{"z":1,"B":2,"a":3,"\U0001f511":4,"\uffff":5,"\\u00e9":6,"":7}'.encode(),
    "unicode": '{"text":"grün 漢字 \U0001f511 \u2028 \x7f"}'.encode(),
    "escapes": rb'{"text":"\u0000\u001f\b\f\n\r\t\"\\\/\u00e9\ud83d\udd11"}',
    "floats": b'{"n":[1.0,-0.0,1e2,1e16,1e15,1e-5,0.0001,1.5e300,5e-324,0.1,123456789012345678.0,1E+2]}',
    "integers": b'{"n":[0,-0,9007199254740993,123456789012345678901234567890,-18446744073709551616]}',
    "4300 digits": b'{"n":' + b"9" * 4300 + b"}",
    "4301 digits": b'{"n":' + b"9" * 4301 + b"}",
    "overflow": b'{"n":1e400}',
    "underflow": b'{"n":1e-400}',
    "NaN": b'{"n":NaN}',
    "Infinity": b'{"n":-Infinity}',
    "lone surrogate": rb'{"s":"\ud800"}',
    "lone surrogate as a key": rb'{"\udc00":1}',
    "repeated key": b'{"a":1,"a":2}',
    "repeated key, nested": rb'{"a":[{"x":1,"\u0078":1}]}',
    "400 levels": b'{"a":' + b"[" * 399 + b"]" * 399 + b"}",
    "600 levels": b'{"a":' + b"[" * 599 + b"]" * 599 + b"}",
    "100,000 levels": b'{"a":' + b"[" * 99999 + b"]" * 99999 + b"}",
    "100 kB": json.dumps({"text": "x" * 100_000}).encode(),
    "17 MiB": json.dumps({"text": "x" * (17 << 20)}).encode(),
    "a list": b"[1]",
    "text": b'"x"',
    "a number": b"1",
    "null": b"null",
    "no JSON": b"hello",
    "nothing": b"",
    "half an object": b'{"a":',
    "more behind it": b"{} {}",
    "a trailing comma": b'{"a":1,}',
    "a comment": b'{"a":1} // x',
    "single quotes": b"{'a':1}",
    "a leading zero": b'{"a":01}',
    "a leading plus": b'{"a":+1}',
    "a bare point": b'{"a":1.}',
    "a control character": b'{"a":"\x01"}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "not UTF-8": b'{"a":"\xff"}',
    "an overlong form": b'{"a":"\xc0\xaf"}',
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "a NUL behind it": b"{}\x00",
}

IDS = {
    "empty": ("", ""),
    "unicode": ("straße", "漢字 \U0001f511"),
    "decomposed": ("straße", "e\u0301"),
    "composed": ("straße", "\u00e9"),
    "blanks": (" s ", " r "),
    "control characters": ("a\nb", "\x01\x7f"),
    "quotes": ("'\"\\", "{}%s"),
    "long": ("s" * 2000, "r" * 3000),
    "a number": ("5", "7"),
    "a negative number": ("-5", "-1.5"),
    "a dash": ("-", "-"),
    "a flag": ("--x", "r"),
}


def run(workshop: Workshop) -> None:
    payloads(workshop)
    ids(workshop)
    again(workshop)
    command_lines(workshop)


def enqueue(stream: str, ref: str, file: str = "payload.json") -> list[str]:
    return ["enqueue-json", "--stream-id", stream, "--source-ref", ref, "--payload-file", file]


def payloads(workshop: Workshop) -> None:
    twins = workshop.twins("enqueue-json payload")
    for number, (case, payload) in enumerate(PAYLOADS.items()):
        twins.write(f"{number}.json", payload)
        twins.step(case, *enqueue("s", case, f"{number}.json"))
    published, ours = stored_by_package(twins.published), stored_by_us(twins.ours)
    for case in published.keys() & ours.keys():
        twins.ledger.compare("canonical payload", case, published[case], ours[case])
    for case, file in {"a missing file": "none.json", "a folder": ".", "standard input's name": "-"}.items():
        twins.step(case, *enqueue("s", case, file))


def stored_by_package(side: Side) -> dict[str, str]:
    with sqlite3.connect(side.folder / "local-vault-spool.sqlite3") as db:
        return dict(db.execute("SELECT source_ref, payload_sha256 FROM spool_events"))


def stored_by_us(side: Side) -> dict[str, str]:
    lines = side.raw("spool", "list", "--json", "--limit", "1000").stdout.splitlines()
    return {event["sourceRef"]: event["payloadSha256"] for event in map(json.loads, lines)}


def ids(workshop: Workshop) -> None:
    twins = workshop.twins("enqueue-json ids")
    twins.write("payload.json", "{}")
    for case, (stream, ref) in IDS.items():
        twins.step(case, *enqueue(stream, ref))
    twins.step("one source_ref in two streams", *enqueue("another", "7"))
    published, ours = stored_by_package(twins.published), stored_by_us(twins.ours)
    twins.ledger.compare(twins.section, "as they were stored", published, ours)


def again(workshop: Workshop) -> None:
    twins = workshop.twins("enqueue-json again")
    contents = {
        "a new event": '{"a":1,"b":2.0}',
        "the same": '{"a":1,"b":2.0}',
        "the same in another order": '{ "b": 2.0, "a": 1 }',
        "the same number in another form": '{"a":1,"b":0.2e1}',
        "an integer in place of a float": '{"a":1,"b":2}',
        "other content": '{"a":2}',
        "the first content again": '{"a":1,"b":2.0}',
    }
    for case, content in contents.items():
        twins.write("payload.json", content)
        twins.step(case, *enqueue("s", "r"))


def command_lines(workshop: Workshop) -> None:
    twins = workshop.twins("command line")
    twins.write("payload.json", "{}")
    twins.write("text.txt", "This is no database, and long enough to be one. " * 50)
    given = ["--source-ref", "r", "--payload-file", "payload.json"]
    lines = {
        "no command": [],
        "an unknown command": ["enqueue"],
        "a command in the wrong case": ["Enqueue-Json", "--stream-id", "s", *given],
        "a flag is missing": ["enqueue-json", *given],
        "a value is missing": ["enqueue-json", *given, "--stream-id"],
        "an unknown flag": ["enqueue-json", "--stream-id", "s", *given, "--frobnicate"],
        "an argument too many": ["enqueue-json", "--stream-id", "s", *given, "x"],
        "values behind =": ["enqueue-json", "--stream-id=s=1", "--source-ref=", "--payload-file=payload.json"],
        "a flag twice": ["enqueue-json", "--stream-id", "s", "--stream-id", "t", *given],
        "abbreviated flags": ["enqueue-json", "--st", "u", "--so", "r", "--p", "payload.json"],
        "an abbreviation behind =": ["enqueue-json", "--st=v", "--so=r", "--p=payload.json"],
        "an ambiguous abbreviation": ["enqueue-json", "--s", "s", *given],
        "the spool in front": ["--spool-db", "a.sqlite3", "enqueue-json", "--stream-id", "s", *given],
        "the spool in front, abbreviated": ["--sp=b.sqlite3", "enqueue-json", "--stream-id", "s", *given],
        "the spool behind the command": ["enqueue-json", "--stream-id", "s", *given, "--spool-db", "behind.sqlite3"],
        "a spool in a new folder": ["--spool-db", "new/folder/d.sqlite3", "enqueue-json", "--stream-id", "s", *given],
        "a spool that is text": ["--spool-db", "text.txt", "enqueue-json", "--stream-id", "s", *given],
        "a spool that is a folder": ["--spool-db", ".", "enqueue-json", "--stream-id", "s", *given],
        "an id of words with a dash in front": ["enqueue-json", "--stream-id", "-a b", *given],
        "bytes that are not text": ["enqueue-json", "--stream-id", "\udcff", *given],
    }
    for case, line in lines.items():
        twins.step(case, *line)
    new = ["enqueue-json", "--stream-id", "new", *given]
    settings = {
        "the spool from the environment": {"SPOOL_DB": "e.sqlite3"},
        "an idle sleep that is no number": {"IDLE_SLEEP_SECONDS": "soon"},
        "a negative idle sleep": {"IDLE_SLEEP_SECONDS": "-1"},
        "an empty idle sleep": {"IDLE_SLEEP_SECONDS": ""},
        "an endpoint that is none": {"RELAY_URL": "nowhere"},
    }
    for case, setting in settings.items():
        twins.step(case, *new, settings=setting)
    said = twins.both(lambda side: side.raw("generate-encryption-key", settings={"IDLE_SLEEP_SECONDS": "x"}))
    twins.ledger.compare(twins.section, "a key with a bad idle sleep", *((d.returncode, len(d.stdout)) for d in said))
    twins.step("the flag before the environment", "--spool-db", "f.sqlite3", *new, settings={"SPOOL_DB": "e.sqlite3"})
    found = twins.both(lambda side: sorted(f.name for f in side.folder.rglob("?.sqlite3")))
    twins.ledger.compare(twins.section, "the spools that were made", *found)
