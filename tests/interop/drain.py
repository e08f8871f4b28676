"""drain-once and drain-loop: without a receiver, and against the sandbox in all its moods."""

import signal
from contextlib import ExitStack

from receiver import Sandbox
from spooling import PAYLOADS, enqueue
from twins import Side, Twins, Workshop

MODES = [
    "ok", "reject", "conflict", "unavailable", "unavailable-later", "too-many", "forbidden", "unauthorized",
    "not-found", "html", "empty", "garbage", "close", "half-body", "redirect", "revoke", "stall", "not-accepted",
    "missing-receipt", "lie-envelope-hash", "lie-event-id", "lie-receipt", "lie-stream",
]

SENDABLE = ["empty", "nested", "keys out of order", "unicode", "escapes", "floats", "integers", "4300 digits", "100 kB"]


class Stage:
    """Twins with a sandbox each."""

    def __init__(self, workshop: Workshop, section: str, stack: ExitStack, *modes: str, tls: bool = False) -> None:
        self.twins = workshop.twins(section)
        sandboxes = [stack.enter_context(Sandbox(workshop, *modes, tls=tls)) for _ in range(2)]
        self.sandboxes = dict(zip((self.twins.published, self.twins.ours), sandboxes))

    def step(self, case: str, *arguments: str) -> None:
        said = self.twins.both(lambda side: side.say(case, *arguments, settings=self.sandboxes[side].settings()))
        self.twins.ledger.compare(self.twins.section, case, *said)

    def enqueue(self, *refs: str, stream: str = "s") -> None:
        self.twins.write("payload.json", '{"a":1}')
        for ref in refs:
            self.step(f"event {ref} is spooled", *enqueue(stream, ref))


def run(workshop: Workshop) -> None:
    settings(workshop)
    alone(workshop)
    endpoints(workshop)
    for mode in MODES:
        one_event(workshop, mode)
    for mode in ("ok", "reject", "html", "close"):
        one_event(workshop, mode, tls=True)
    untrusted(workshop)
    everything(workshop)
    sequences(workshop)
    ends_on_a_signal(workshop)


def settings(workshop: Workshop) -> None:
    twins = workshop.twins("drain settings")
    for command in ("drain-once", "drain-loop"):
        line = [command] if command == "drain-once" else [command, "--max-iterations", "1"]
        for name in ("ENCRYPTION_KEY", "SIGNING_KEY", "KEY_ID", "INSTALLATION_ID", "RELAY_URL"):
            twins.step(f"{command} without {name}", *line, settings={name: None})
            twins.step(f"{command} with an empty {name}", *line, settings={name: ""})
        flags = ["--installation-id", "ins_1", "--endpoint-url", "https://localhost/x", "--key-id", "k"]
        bare = dict.fromkeys(["KEY_ID", "INSTALLATION_ID", "RELAY_URL"])
        twins.step(f"{command} with flags", *line, *flags, settings=bare)
        twins.step(f"{command} with empty flags", *line, *(flag if flag.startswith("--") else "" for flag in flags))
        short = ["--ins=ins_1", "--e", "https://localhost/x", "--k", "k"]
        twins.step(f"{command} with abbreviated flags", *line, *short, settings=bare)
        twins.step(f"{command} with an argument too many", *line, "x")
        twins.step(f"{command} with a bad signing key", *line, settings={"SIGNING_KEY": "x"})
    twins.step("--i, which is one flag of drain-once", "drain-once", "--i", "ins_1")
    twins.step("--i, which is two of drain-loop", "drain-loop", "--i", "ins_1")


def alone(workshop: Workshop) -> None:
    """An empty spool and the loop's own flags."""
    twins = workshop.twins("drain-loop flags")
    for case, flags in {
        "three idle looks": ["--max-iterations", "3", "--idle-sleep-seconds", "0.01"],
        "a sleep of zero": ["--max-iterations", "2", "--idle-sleep-seconds", "0"],
        "a sleep in exponent form": ["--max-iterations", "2", "--idle-sleep-seconds", "1e-3"],
        "no sleep behind the last": ["--max-iterations", "1", "--idle-sleep-seconds", "3600"],
        "a negative sleep": ["--idle-sleep-seconds", "-1"],
        "a negative sleep behind =": ["--idle-sleep-seconds=-0.5"],
        "minus zero": ["--max-iterations", "2", "--idle-sleep-seconds", "-0.0"],
        "no number": ["--idle-sleep-seconds", "soon"],
        "an empty sleep": ["--idle-sleep-seconds", ""],
        "zero iterations": ["--max-iterations", "0"],
        "negative iterations": ["--max-iterations", "-1"],
        "a fraction of iterations": ["--max-iterations", "1.5"],
        "iterations that are no number": ["--max-iterations", "abc"],
        "blanks around the iterations": ["--max-iterations", " 1 "],
        "an underscore in the iterations": ["--max-iterations", "0_1"],
        "no iterations": ["--max-iterations", ""],
        "both wrong": ["--max-iterations", "0", "--idle-sleep-seconds", "-1"],
        "idle is no error": ["--max-iterations", "2", "--idle-sleep-seconds", "0", "--stop-on-error"],
        "abbreviated flags": ["--max=1", "--idle=0", "--stop"],
        "--s for --stop-on-error": ["--max=1", "--idle=0", "--s"],
        "a flag with a value too many": ["--max=1", "--stop-on-error=yes"],
        "a flag twice": ["--max-iterations", "5", "--max-iterations", "1", "--stop-on-error", "--stop-on-error"],
        "a sleep that is no number, computed": ["--max-iterations", "1", "--idle-sleep-seconds", "nan"],
        "a sleep without end": ["--max-iterations", "1", "--idle-sleep-seconds", "inf"],
    }.items():
        twins.step(case, "drain-loop", *flags)
    quick = ["drain-loop", "--max-iterations", "2"]
    for case, value in {"0.01": "0.01", "blanks": " 0.01 ", "empty": "", "negative": "-1", "a word": "x"}.items():
        line = quick if case != "empty" else [*quick[:-1], "1"]
        twins.step(f"the environment's sleep: {case}", *line, settings={"IDLE_SLEEP_SECONDS": value})
    twins.step("the flag wins", *quick, "--idle-sleep-seconds", "0", settings={"IDLE_SLEEP_SECONDS": "3600"})
    twins.step("drain-once on nothing", "drain-once")


def endpoints(workshop: Workshop) -> None:
    twins = workshop.twins("endpoint")
    path = "/v2/local-vault/installations/ins_1/events"
    for case, url in {
        "https": f"https://localhost{path}",
        "https in upper case": f"HTTPS://LOCALHOST{path}",
        "https with a port": f"https://localhost:8443{path}",
        "http to this machine": f"http://127.0.0.1:9{path}",
        "http to this machine, IPv6": f"http://[::1]:9{path}",
        "http to localhost": f"http://localhost:9{path}",
        "http to localhost in upper case": f"http://LocalHost:9{path}",
        "http elsewhere": f"http://192.0.2.1{path}",
        "http to a short form of this machine": f"http://127.1{path}",
        "http to another name of this machine": f"http://127.0.0.2{path}",
        "another scheme": f"ftp://localhost{path}",
        "no scheme": f"localhost{path}",
        "a user": f"https://user@localhost{path}",
        "a user and a password": f"https://user:secret@localhost{path}",
        "a query": f"https://localhost{path}?x=1",
        "a fragment": f"https://localhost{path}#x",
        "no host": f"https://{path}",
        "no path": "https://localhost",
        "a file": "file:///etc/passwd",
        "a word": "x",
    }.items():
        twins.step(case, "drain-once", settings={"RELAY_URL": url})


def one_event(workshop: Workshop, mode: str, *, tls: bool = False) -> None:
    with ExitStack() as stack:
        stage = Stage(workshop, f"{'https' if tls else 'http'} {mode}", stack, mode, tls=tls)
        stage.step("nothing to send", "drain-once")
        stage.enqueue("a")
        stage.step("a send", "drain-once")
        stage.step("and another look", "drain-once")
        stage.step("spooled again", *enqueue("s", "a"))
        answered = stage.twins.both(lambda side: [request["answered"] for request in stage.sandboxes[side].events()])
        stage.twins.ledger.compare(stage.twins.section, "what the receiver answered", *answered)


def untrusted(workshop: Workshop) -> None:
    """A certificate that nobody vouches for, a port where nobody listens, a name that does not resolve."""
    with ExitStack() as stack:
        stage = Stage(workshop, "no way", stack, tls=True)
        stage.enqueue("a")
        url = stage.sandboxes[stage.twins.ours].ready["url"]
        stage.twins.step("an unknown authority", "drain-once", settings={"RELAY_URL": url})
    for case, url in {"nobody listens": "http://127.0.0.1:9/x", "no such host": "https://nowhere.invalid/x"}.items():
        twins = workshop.twins("no way")
        twins.write("payload.json", '{"a":1}')
        twins.step(f"{case}, spooled", *enqueue("s", "a"))
        twins.step(f"{case}, sent", "drain-once", settings={"RELAY_URL": url})
        twins.step(f"{case}, spooled again", *enqueue("s", "a"))
        twins = workshop.twins("no way")
        twins.write("payload.json", '{"a":1}')
        twins.step(f"{case}, spooled for the loop", *enqueue("s", "a"))
        loop = ["drain-loop", "--max-iterations", "5", "--idle-sleep-seconds", "0"]
        twins.step(f"{case}, stop on error", *loop, "--stop-on-error", settings={"RELAY_URL": url})


def everything(workshop: Workshop) -> None:
    """Every payload that both take, delivered by both over TLS."""
    with ExitStack() as stack:
        stage = Stage(workshop, "everything delivered", stack, tls=True)
        for number, case in enumerate(SENDABLE):
            stage.twins.write(f"{number}.json", PAYLOADS[case])
            stage.step(case, *enqueue("grün", f"{case} \U0001f511", f"{number}.json"))
        stage.step("drained", "drain-loop", "--max-iterations", str(len(SENDABLE) + 1), "--idle-sleep-seconds", "0")
        answered = stage.twins.both(lambda side: [request["answered"] for request in stage.sandboxes[side].events()])
        stage.twins.ledger.compare(stage.twins.section, "every one is new there", *answered)
        stage.step("one more time", *enqueue("grün", f"{SENDABLE[0]} \U0001f511", "0.json"))


def sequences(workshop: Workshop) -> None:
    loop = ["drain-loop", "--idle-sleep-seconds", "0", "--max-iterations"]
    with ExitStack() as stack:
        stage = Stage(workshop, "rejected once", stack, "reject:1")
        stage.enqueue("a")
        # The first retry is due after 2 seconds, in ours after 2.5 at most.
        stage.step("and delivered then", "drain-loop", "--idle-sleep-seconds", "2.6", "--max-iterations", "2")
    with ExitStack() as stack:
        stage = Stage(workshop, "rejected first of three", stack, "reject:1")
        stage.enqueue("a", "b", "c")
        stage.step("the rest", *loop, "4")
    with ExitStack() as stack:
        stage = Stage(workshop, "outage with three", stack, "unavailable")
        stage.enqueue("a", "b", "c")
        stage.step("three sends", *loop, "3")
    with ExitStack() as stack:
        stage = Stage(workshop, "stop on error", stack, "ok:1", "reject")
        stage.enqueue("a", "b", "c")
        stage.step("after one", *loop, "9", "--stop-on-error")
    with ExitStack() as stack:
        stage = Stage(workshop, "conflict first of two", stack, "conflict:1")
        stage.enqueue("a", "b")
        stage.step("both", *loop, "2")
    with ExitStack() as stack:
        stage = Stage(workshop, "one source_ref in two streams", stack)
        stage.enqueue("a")
        stage.twins.write("payload.json", '{"a":1}')
        stage.step("spooled in the other", *enqueue("s2", "a"))
        stage.step("both", *loop, "1")
        stage.step("the other", *loop, "1")


def ends_on_a_signal(workshop: Workshop) -> None:
    twins = workshop.twins("signals")
    twins.ledger.compare("signals", "a second relay on the spool", *twins.both(second_relay))
    for name in ("SIGTERM", "SIGINT"):
        said = twins.both(lambda side: interrupted(side, signal.Signals[name]))
        twins.ledger.compare(twins.section, name, *said)


def second_relay(side: Side) -> tuple[int, bytes]:
    first = side.start("drain-loop", "--idle-sleep-seconds", "0.05")
    first.stdout.readline()
    second = side.raw("drain-once")
    first.terminate()
    first.communicate(timeout=60)
    return second.returncode, second.stdout


def interrupted(side: Side, number: signal.Signals) -> tuple[int, bytes, set[bytes]]:
    """The exit code, the first line, and what other lines there were."""
    process = side.start("drain-loop", "--idle-sleep-seconds", "0.05")
    first = process.stdout.readline()
    process.send_signal(number)
    rest, _ = process.communicate(timeout=60)
    return process.returncode, first, set(rest.splitlines(keepends=True)) - {first}
