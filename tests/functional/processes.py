"""Real daemons in processes of their own, each in a directory of its own, all gone when the test ends."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parent.parent.parent
TWISTD = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()"]
#: Seconds after which a test gives up on something that should come at once.
PATIENCE = 20.0


class Answer(NamedTuple):
    """What came of a request."""

    status: int
    headers: Mapping[str, str]
    body: Any


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=PATIENCE * 4)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def eventually(condition: Callable[[], bool], what: str) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {PATIENCE} s: {what}")
        time.sleep(0.01)


class DaemonCase(SynchronousTestCase):
    """A test with a directory, and daemons in it."""

    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="quantumd-daemon-"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.state = self.directory / "state" / "quantumd.sqlite"
        self.socket = self.directory / "run" / "api.sock"
        self.config = self.directory / "quantumd.conf"
        self.log = self.directory / "quantumd.log"
        self.configure()

    def configure(self, *, more: str = "", **memory: Any) -> None:
        """Write the configuration: the memory plugin with these settings, and more sections."""
        settings = "\n".join(f"{key} = {value}" for key, value in memory.items())
        self.config.write_text(
            f"[quantumd]\nplugin = memory\nstate = {self.state}\nlisten = unix:{self.socket}:mode=660\n"
            f"[plugin:memory]\n{settings}\n{more}"
        )

    def command(self, *words: str, twistd: Sequence[str] = ("--nodaemon", "--pidfile=")) -> list[str]:
        return [*TWISTD, *twistd, "quantumd", "--config", str(self.config), *words]

    def start(self, *words: str, within: Sequence[str] = (), health: int = 200) -> subprocess.Popen[str]:
        """Start a daemon in the foreground, in ``within`` (unshare, say), and wait until its health is that."""
        process = self.spawn(*words, within=within, health=health)
        self.assertIsNone(process.poll(), self.log.read_text())
        return process

    def spawn(self, *words: str, within: Sequence[str] = (), health: int = 200) -> subprocess.Popen[str]:
        """Start a daemon likewise, and wait until its health is that, or it has ended."""
        process = self.launch(*words, within=within)
        eventually(lambda: self.answers(health) or process.poll() is not None, "the daemon answers")
        return process

    def launch(self, *words: str, within: Sequence[str] = ()) -> subprocess.Popen[str]:
        """Start a daemon likewise, and wait for nothing."""
        with self.log.open("a") as log:
            process = subprocess.Popen(
                [*within, *self.command(*words)],
                cwd=self.directory,
                env=self.environ(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
            )
        self.addCleanup(self.end, process)
        return process

    def end(self, process: subprocess.Popen[str]) -> None:
        if process.poll() is None:
            process.kill()
        process.wait()

    def terminate(self, process: subprocess.Popen[str]) -> float:
        """Ask it to stop; returns how many seconds that took."""
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)
        return time.monotonic() - began

    def environ(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(ROOT)}

    def answers(self, status: int = 200, path: str = "/health") -> bool:
        try:
            return self.call("GET", path).status == status
        except OSError:
            return False

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        port: int | None = None,
    ) -> Answer:
        """Ask the daemon, over its unix socket or that TCP port."""
        connection = _UnixConnection(self.socket) if port is None else http.client.HTTPConnection("127.0.0.1", port)
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {"Content-Type": "application/json", **(headers or {})})
            response = connection.getresponse()
            text = response.read()
            parsed = json.loads(text) if "json" in (response.getheader("Content-Type") or "") else text
            return Answer(response.status, dict(response.getheaders()), parsed)
        finally:
            connection.close()
