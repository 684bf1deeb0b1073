"""The whole daemon above plugin and store, on a simulated host and disk, through thousands of seeds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.simulation.flaws import FLAWS
from tests.tally import tell

#: How many seeds are run; ``make simulate`` runs more. Where to begin, so that a night does not repeat the day.
SEEDS = int(os.environ.get("QUANTUMD_SEEDS", "2000"))
FIRST = int(os.environ.get("QUANTUMD_FIRST_SEED", "0"))
#: How many at once.
WORKERS = min(4, os.cpu_count() or 1)
#: MiB of memory that a process takes at most, however many seeds it runs: of a killed daemon nothing is kept.
MOST = 150
#: Within how many seeds a flaw is found.
SOON = 1500


def start(*options: str) -> subprocess.Popen[str]:
    """Run seeds in a process of its own, whose sets are walked through in the same order each time."""
    words = [sys.executable, "-m", "tests.simulation", *options]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    return subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


class SimulationTests(SynchronousTestCase):
    def finish(self, process: subprocess.Popen[str]) -> tuple[int, str, str]:
        """Wait for its end: status, output, complaints."""
        output, complaints = process.communicate()
        return process.returncode, output, complaints

    def counts(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        """What a process that found nothing wrong went through."""
        status, output, complaints = self.finish(process)
        self.assertEqual(0, status, complaints[-5000:])
        counts: dict[str, Any] = json.loads(output.splitlines()[-1])
        return counts

    def test_seeds(self) -> None:
        """Whatever goes wrong, nothing accepted is lost, nothing refused is done, nothing is left on the host."""
        share = SEEDS // WORKERS
        running = [
            start("--first", str(FIRST + worker), "--step", str(WORKERS), "--seeds", str(share))
            for worker in range(WORKERS)
        ]
        found = [self.counts(process) for process in running]
        self.assertLess(max(counts["MiB"] for counts in found), MOST)
        total = {name: sum(counts[name] for counts in found) for name in found[0] if name not in ("digest", "MiB")}
        self.assertEqual(share * WORKERS, total["seeds"])
        if SEEDS >= 500:
            for name in ("accepted", "refused", "unanswered", "crashes", "reboots", "restarts", "repairs"):
                self.assertGreater(total[name], 100, f"{name}: the simulation does not simulate")
        tell("simulation", **total, lost=0, leaked=0)

    def test_replay(self) -> None:
        """A seed is the same run each time, step by step."""
        one, other = (self.counts(start("--first", "100", "--seeds", "20")) for _ in range(2))
        self.assertEqual({**one, "MiB": 0}, {**other, "MiB": 0})

    def test_finds_flaws(self) -> None:
        """A daemon that breaks a promise is found out, and told how to be seen again."""
        for flaw in FLAWS:
            status, _, complaints = self.finish(start("--seeds", str(SOON), "--flaw", flaw))
            self.assertEqual(1, status, f"{flaw} is not found within {SOON} seeds")
            self.assertRegex(complaints, "seed [0-9]+ failed; to see it again")
        tell("simulation", flaws_built_in=len(FLAWS), flaws_found=len(FLAWS))
