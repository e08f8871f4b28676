"""Our sandbox receiver, in a process of its own."""

import json
import subprocess
import time
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from twins import DEADLINE, INSTALLATION, SEED, Workshop

PUBLIC_KEY = Ed25519PrivateKey.from_private_bytes(SEED).public_key().public_bytes_raw().hex()


class Sandbox:
    def __init__(self, workshop: Workshop, *modes: str, tls: bool = False) -> None:
        self.folder = workshop.folder()
        ready = self.folder / "ready.json"
        command = [str(workshop.binaries / "local-vault-sandbox"), "serve", "--ready-file", str(ready)]
        command += ["--trust", f"{INSTALLATION}={PUBLIC_KEY}", "--record", str(self.folder / "record.jsonl")]
        command += [] if tls else ["--plain-http"]
        for mode in modes:
            command += ["--behave", mode]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + DEADLINE
        while not ready.exists():
            # A process tells nobody when it has got somewhere.
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the sandbox does not start")
            time.sleep(0.01)
        self.ready = json.loads(ready.read_text())

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *_) -> None:
        self.process.terminate()
        self.process.wait()

    def settings(self) -> dict[str, str | None]:
        """What a client needs to reach it."""
        ca = self.ready["ca_file"]
        return {"RELAY_URL": self.ready["url"]} | ({"SSL_CERT_FILE": ca} if ca else {})

    def events(self) -> list[dict]:
        """The requests to the events endpoint, in order."""
        lines = Path(self.folder, "record.jsonl").read_bytes().splitlines()
        return [request for request in map(json.loads, lines) if request["path"].endswith("/events")]
