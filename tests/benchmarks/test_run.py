"""What ``make bench`` and ``make bench-check`` make of findings."""

from __future__ import annotations

import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

_TOP = Path(__file__).parents[2]
sys.path.insert(0, str(_TOP / "benchmarks"))  # programs, and no package

import common  # noqa: E402
import run  # noqa: E402

FAST = common.Finding("reads", 900.0, 1000.0, "/s", 0.8)
SLOW = common.Finding("writes", 400.0, 1000.0, "/s", 0.5)
LATE = common.Finding("waits", 60.0, 50.0, "ms", 1, at_most=True)


class FindingTests(SynchronousTestCase):
    def test_goals(self) -> None:
        """A rate has to reach its part of the limit, a time must not pass it."""
        self.assertEqual([True, False, False], [one.met for one in (FAST, SLOW, LATE)])
        self.assertTrue(common.Finding("just", 500.0, 1000.0, "/s", 0.5).met)
        self.assertTrue(common.Finding("just", 50.0, 50.0, "ms", 1, at_most=True).met)

    def test_table(self) -> None:
        lines = run.report({"kernel": "6"}, [FAST, LATE], []).splitlines()
        self.assertEqual("kernel: 6", lines[0])
        self.assertEqual("| reads | 900 /s | 1,000 /s | 0.90 | ≥ 0.8 | met |", lines[4])
        self.assertEqual("| waits | 60 ms | 50 ms | 1.20 | ≤ 1 | missed |", lines[5])

    def test_failed_program_is_in_the_table(self) -> None:
        self.assertIn("Not measured: audit.py ovs.", run.report({}, [FAST], ["audit.py ovs"]))


class VerdictTests(SynchronousTestCase):
    def test_check(self) -> None:
        """A missed goal is named, and is a failure where that is asked for."""
        self.assertEqual((0, ""), run.verdict([FAST], [], True))
        self.assertEqual((1, "missed: writes\nmissed: waits"), run.verdict([FAST, SLOW, LATE], [], True))
        self.assertEqual((0, "missed: writes"), run.verdict([FAST, SLOW], [], False))

    def test_failed_program(self) -> None:
        """What was not measured is no success."""
        self.assertEqual((1, "failed: audit.py"), run.verdict([FAST], ["audit.py"], False))


class ReadmeTests(SynchronousTestCase):
    def test_place(self) -> None:
        """The table that was there goes, and nothing else."""
        readme = (_TOP / "README.md").read_text()
        once = run.into_readme(readme, "first\n")
        twice = run.into_readme(once, "second\n")
        self.assertIn(f"{run.BEGIN}\n\nsecond\n\n{run.END}\n", twice)
        self.assertNotIn("first\n", twice)
        self.assertEqual(once, run.into_readme(twice, "first\n"))

    def test_no_place(self) -> None:
        self.assertRaises(SystemExit, run.into_readme, "# quantumd\n", "table\n")
