from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from quantumd.readiness import Readiness

UNIT = Path(__file__).parent.parent / "data" / "quantumd.service"


class ReadinessTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="quantumd-ready-"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.clock = Clock()
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.manager.close)
        self.path = str(self.directory / "notify")
        self.manager.bind(self.path)
        self.manager.setblocking(False)

    def told(self) -> list[bytes]:
        found = []
        while True:
            try:
                found.append(self.manager.recv(100))
            except BlockingIOError:
                return found

    def test_life(self) -> None:
        """Ready once, alive twice as often as asked, and stopping."""
        readiness = Readiness(self.clock, {"NOTIFY_SOCKET": self.path, "WATCHDOG_USEC": "30000000"})
        self.clock.advance(100)
        self.assertEqual(self.told(), [], "nothing before it is ready")
        readiness.ready()
        self.assertEqual(self.told(), [b"READY=1", b"WATCHDOG=1"])
        self.clock.pump([5] * 9)
        self.assertEqual(self.told(), [b"WATCHDOG=1"] * 3)
        readiness.stopping()
        self.assertEqual(self.told(), [b"STOPPING=1"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nobody_listens(self) -> None:
        for environ in ({}, {"NOTIFY_SOCKET": f"{self.path}.gone", "WATCHDOG_USEC": "x"}):
            readiness = Readiness(self.clock, environ)
            readiness.ready()
            readiness.stopping()
        self.assertEqual(self.told(), [])

    def test_abstract(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(f"\0{self.path}")
            Readiness(self.clock, {"NOTIFY_SOCKET": f"@{self.path}"}).ready()
            self.assertEqual(manager.recv(100), b"READY=1")


class UnitTests(SynchronousTestCase):
    def test_exposure(self) -> None:
        """systemd's own score of the unit, on which 10 is bare."""
        done = subprocess.run(
            ["systemd-analyze", "security", "--offline=true", "--threshold=30", "--no-pager", str(UNIT)],
            capture_output=True,
            text=True,
            check=False,
        )
        print(done.stdout.splitlines()[-1])
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
