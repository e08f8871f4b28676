"""Two sides, the published package and ours, that are told the same in folders of their own."""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from ledger import Ledger

PREFIX = "ATTESTO_LOCAL_VAULT_"
ENCRYPTION_KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
SEED = bytes(range(32))
INSTALLATION = "ins_1"

# What a full set of published settings is; a case changes what it is about.
SETTINGS = {
    "ENCRYPTION_KEY": ENCRYPTION_KEY,
    "SIGNING_KEY": SEED.hex(),
    "KEY_ID": "local-vault-1",
    "INSTALLATION_ID": INSTALLATION,
    "WITNESS_ID": INSTALLATION,
    "RELAY_URL": f"http://127.0.0.1:9/v2/local-vault/installations/{INSTALLATION}/events",
}

DEADLINE = 120
EVENT_ID = re.compile(r"lv_[0-9a-f]{32}")


class Said(NamedTuple):
    """A command's exit code and standard output, with event ids named after the case that first showed them."""

    code: int
    out: str


class Side:
    def __init__(self, command: list[str], folder: Path) -> None:
        self.command = command
        self.folder = folder
        self.names: dict[str, str] = {}
        folder.mkdir(parents=True)

    def environment(self, settings: dict[str, str | None]) -> dict[str, str]:
        """The settings with these changes; None takes one away. SSL_CERT_FILE has no prefix."""
        merged = SETTINGS | settings
        named = {key if key.startswith("SSL_") else PREFIX + key: value for key, value in merged.items()}
        base = {"HOME": str(self.folder), "LANG": "C.UTF-8", "PATH": os.defpath}
        return base | {key: value for key, value in named.items() if value is not None}

    def raw(self, *arguments: str, settings: dict[str, str | None] | None = None) -> subprocess.CompletedProcess:
        return subprocess.run(
            [*self.command, *arguments],
            cwd=self.folder,
            env=self.environment(settings or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=DEADLINE,
        )

    def start(self, *arguments: str, settings: dict[str, str | None] | None = None) -> subprocess.Popen:
        return subprocess.Popen(
            [*self.command, *arguments],
            cwd=self.folder,
            env=self.environment(settings or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def say(self, case: str, *arguments: str, settings: dict[str, str | None] | None = None) -> Said:
        done = self.raw(*arguments, settings=settings)
        return Said(done.returncode, self.named(case, done.stdout.decode()))

    def named(self, case: str, text: str) -> str:
        return EVENT_ID.sub(lambda found: self.names.setdefault(found[0], f"<{case}>"), text)

    def write(self, name: str, content: str | bytes) -> None:
        data = content.encode() if isinstance(content, str) else content
        (self.folder / name).write_bytes(data)


class Twins:
    """A pair of sides, in which each step happens on both."""

    def __init__(self, section: str, ledger: Ledger, published: Side, ours: Side) -> None:
        self.section = section
        self.ledger = ledger
        self.published = published
        self.ours = ours

    def both(self, do):
        """Does something on both sides at once; gives both results."""
        with ThreadPoolExecutor(2) as pool:
            return tuple(pool.map(do, (self.published, self.ours)))

    def step(self, case: str, *arguments: str, settings: dict[str, str | None] | None = None) -> tuple[Said, Said]:
        """Runs a command on both sides, and compares."""
        said = self.both(lambda side: side.say(case, *arguments, settings=settings))
        self.ledger.compare(self.section, case, *said)
        return said

    def write(self, name: str, content: str | bytes) -> None:
        self.both(lambda side: side.write(name, content))


class Workshop:
    def __init__(self, binaries: Path, work: Path, ledger: Ledger) -> None:
        self.binaries = binaries
        self.work = work
        self.ledger = ledger
        self.made = 0

    def folder(self) -> Path:
        self.made += 1
        folder = self.work / str(self.made)
        folder.mkdir()
        return folder

    def published(self, folder: Path) -> Side:
        return Side([sys.executable, "-m", "attesto_local_vault.cli"], folder)

    def ours(self, folder: Path) -> Side:
        return Side([str(self.binaries / "local-vault")], folder)

    def twins(self, section: str) -> Twins:
        folder = self.folder()
        return Twins(section, self.ledger, self.published(folder / "published"), self.ours(folder / "ours"))
