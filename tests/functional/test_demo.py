"""The demo plays to its end, on each real plugin and without root, and the benchmark of a thousand leaves nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

_TOP = Path(__file__).parents[2]


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": str(_TOP)}
    return subprocess.run(words, env=environ, cwd=_TOP, capture_output=True, text=True, check=False, timeout=120)


class DemoTests(SynchronousTestCase):
    """``make demo``."""

    demo = (sys.executable, "-m", "quantumd.testing.demo")

    def assertPlayed(self, *words: str) -> None:
        done = _run(*words)
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        for chapter in range(1, 6):
            self.assertIn(f"\n{chapter}. ", done.stdout)
        self.assertEqual(4, done.stdout.count("as it should"), done.stdout)
        self.assertIn("not one device is left", done.stdout)

    def test_linuxbridge(self) -> None:
        self.assertPlayed(*self.demo)

    def test_ovs(self) -> None:
        self.assertPlayed(*self.demo, "--plugin", "ovs")

    def test_ordinary_user(self) -> None:
        """A user that is not root in its namespace, as everybody is on a host that allows user namespaces."""
        self.assertPlayed("unshare", "--user", "--map-user=1000", "--map-group=1000", *self.demo)

    def test_missing_tool(self) -> None:
        """What is missing is named, with the package that has it."""
        done = _run("env", "PATH=/nonexistent", *self.demo)
        self.assertEqual(1, done.returncode)
        self.assertIn("ip (apt install iproute2)", done.stderr)
        self.assertIn("ping (apt install iputils-ping)", done.stderr)
        self.assertNotIn("Traceback", done.stderr)


class ThousandTests(SynchronousTestCase):
    def test_thousand_attachments(self) -> None:
        """1,000 on 50 networks come and go; the program fails if a device is left."""
        done = _run(sys.executable, "benchmarks/attachments.py", "--json", "--rounds", "1")
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        together, alone, unplugged = json.loads(done.stdout)
        for plugged in (together, alone):
            self.assertIn("1,000 veths", plugged["question"])
            self.assertGreater(plugged["ours"], 0)
        self.assertGreater(unplugged["ours"], 0)
