"""A process that is killed in the middle of its work has lost nothing that it was answered."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from quantumd.core.transaction import check
from quantumd.store.database import Database

ROOT = Path(__file__).parent.parent.parent


class KillTests(SynchronousTestCase):
    def test_killed_at_any_moment(self) -> None:
        directory = Path(tempfile.mkdtemp(prefix="quantumd-kill-"))
        self.addCleanup(shutil.rmtree, directory)
        path = directory / "quantumd.sqlite"
        choose = random.Random(1)
        networks: set[str] = set()
        serials: set[int] = set()
        for round_ in range(8):
            said = self.killed(path, f"r{round_}", choose.uniform(0.01, 0.3))
            made = [line.split() for line in said if line.startswith("+")]
            gone = {line.split()[1] for line in said if line.startswith("-")}
            self.assertTrue(made, "it was killed while it worked")
            networks |= {name for _, name, _ in made} - gone
            # Of what goes at "-5", the removal may be stored and not answered.
            sure = {name for name in networks if not name.endswith("5")}
            numbers = {int(serial) for _, _, serial in made}
            self.assertFalse(serials & numbers, "no number is given twice")
            serials |= numbers
            database = Database(path, "this boot")
            loaded = database.open()
            database.close()
            self.assertLessEqual(sure, set(loaded.state.networks))
            self.assertFalse(gone & set(loaded.state.networks))
            self.assertEqual([], check(loaded.state))
            told = [event.seq for event in loaded.events]
            self.assertEqual(told, sorted(set(told)))

    def killed(self, path: Path, name: str, seconds: float) -> list[str]:
        """Let a process write, and kill it that long after its first answer; what it said."""
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.store.writer", str(path), name],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            first = process.stdout.readline()
            time.sleep(seconds)  # the moment of the kill is what the test varies
        finally:
            process.kill()
        rest, _ = process.communicate()
        return [first.strip(), *rest.splitlines()]
