"""Every difference that is meant, with its reason. What is not here must be the same to the byte."""

from typing import NamedTuple


class Difference(NamedTuple):
    reason: str
    published: object
    ours: object


IDLE = '{"error": null, "eventId": null, "sent": false, "statusCode": null}\n'
REVOKED = '{"error": "installation-revoked", "eventId": null, "sent": false, "statusCode": null}\n'
SUSPECT = '{"error": "receiver-ahead-of-spool", "eventId": null, "sent": false, "statusCode": null}\n'


def failed(ref: str, error: str, status: int | None) -> str:
    status = "null" if status is None else status
    return f'{{"error": "{error}", "eventId": "<event {ref} is spooled>", "sent": false, "statusCode": {status}}}\n'


def sent(ref: str) -> str:
    return f'{{"error": null, "eventId": "<event {ref} is spooled>", "sent": true, "statusCode": 201}}\n'


def spooled(case: str, status: str = "queued") -> str:
    return f'{{"eventId": "<{case}>", "status": "{status}"}}\n'


REFUSED = (1, "")
USAGE = (2, "")

ONE_READING = "what Python's base64 skips or mixes is refused: a key has one way to be written"
AMBIGUOUS = "a payload that other readers read otherwise is refused at the door"
BOUNDED = "memory and stack are bounded: 16 MiB and 500 levels"
SYSEXITS = "no published command was asked for: sysexits, as everywhere in ours"
GLOBAL = "ours takes its global flags behind the command too; an abbreviation that they make ambiguous is refused"
PARKED = "an outage parks the destination: one probe at a time, and the other events wait for it"
ORDERED = "an event is not sent before the one in front of it in its stream is settled"
SETTLED = "a conflict is settled at once, with its evidence; the published package sends it seven times more"
AHEAD = "a conflict over what was never sent before says that the spool was restored: nothing more is sent until somebody looks"

DIFFERENCES = {
    "ENCRYPTION_KEY: both alphabets": Difference(ONE_READING, (0, spooled("both alphabets")), REFUSED),
    "ENCRYPTION_KEY: a newline within": Difference(ONE_READING, (0, spooled("a newline within")), REFUSED),
    "ENCRYPTION_KEY: another key on the same spool": Difference(
        "a spool is opened with its own key alone; the published one finds out when it sends",
        (0, spooled("a newline behind it, spooled")),
        REFUSED,
    ),
    "enqueue-json payload: repeated key": Difference(AMBIGUOUS, (0, spooled("repeated key")), REFUSED),
    "enqueue-json payload: repeated key, nested": Difference(AMBIGUOUS, (0, spooled("repeated key, nested")), REFUSED),
    "enqueue-json payload: 600 levels": Difference(BOUNDED, (0, spooled("600 levels")), REFUSED),
    "enqueue-json payload: 17 MiB": Difference(BOUNDED, (0, spooled("17 MiB")), REFUSED),
    "command line: no command": Difference(SYSEXITS, USAGE, (64, "")),
    "command line: an unknown command": Difference(SYSEXITS, USAGE, (64, "")),
    "command line: a command in the wrong case": Difference(SYSEXITS, USAGE, (64, "")),
    "command line: the spool behind the command": Difference(
        GLOBAL, USAGE, (0, spooled("the spool behind the command"))
    ),
    "command line: an id of words with a dash in front": Difference(
        "a value that looks like a flag needs =, as in --stream-id='-a b'",
        (0, spooled("an id of words with a dash in front")),
        USAGE,
    ),
    "command line: bytes that are not text": Difference("refused one step earlier, as usage", REFUSED, USAGE),
    "command line: a key with a bad idle sleep": Difference(
        "a new key does not depend on settings of the relay", (1, 0), (0, 45)
    ),
    "drain-loop flags: --s for --stop-on-error": Difference(GLOBAL, (0, IDLE), USAGE),
    "drain-loop flags: a sleep that is no number, computed": Difference(
        "refused before anything is sent; the published loop breaks off at its first sleep", (0, IDLE), REFUSED
    ),
    "drain-loop flags: a sleep without end": Difference(
        "refused before anything is sent; the published loop breaks off at its first sleep", (0, IDLE), REFUSED
    ),
    "endpoint: http to a short form of this machine": Difference(
        "127.1 is 127.0.0.1 in every reader of URLs that connects", REFUSED, (0, IDLE)
    ),
    "http conflict: and another look": Difference(AHEAD, (0, IDLE), (0, SUSPECT)),
    "http conflict: spooled again": Difference(
        SETTLED, (0, spooled("event a is spooled")), (0, spooled("event a is spooled", "dead"))
    ),
    "http redirect: a send": Difference(
        "a redirect is never followed",
        (0, failed("a", "ack-missing-local-vault-ack", 200)),
        (0, failed("a", "http-302", 302)),
    ),
    "http revoke: and another look": Difference("after a revocation nothing is sent", (0, IDLE), (0, REVOKED)),
    "http revoke: what the receiver answered": Difference(
        "a revocation is believed when a second connection says so too", [403], [403, 403]
    ),
    "conflict first of two: both": Difference(
        AHEAD,
        (0, failed("a", "http-409", 409) + sent("b")),
        (0, failed("a", "http-409", 409) + SUSPECT),
    ),
    "rejected first of three: the rest": Difference(
        ORDERED,
        (0, failed("a", "http-422", 422) + sent("b") + sent("c") + IDLE),
        (0, failed("a", "http-422", 422) + IDLE + IDLE + IDLE),
    ),
    "outage with three: three sends": Difference(
        PARKED,
        (0, "".join(failed(ref, "http-503", 503) for ref in "abc")),
        (0, failed("a", "http-503", 503) + IDLE + IDLE),
    ),
    "import at first open: inflight, spooled again": Difference(
        "what was in flight at the import is sent again", (0, spooled("inflight", "inflight")), (0, spooled("inflight"))
    ),
    "signals: a second relay on the spool": Difference(
        "one relay a spool, so that no event is sent twice at once", (0, IDLE.encode()), (1, b"")
    ),
    "witness command line: --w for --witness-id": Difference(GLOBAL, REFUSED, USAGE),
    "witness command line: --s for --stream-id": Difference(GLOBAL, REFUSED, USAGE),
}
