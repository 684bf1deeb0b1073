"""A disk that fails at every write and every synchronisation in turn: memory and disk always agree."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from quantumd.core.model import Key, Record
from quantumd.store.database import Database
from quantumd.store.errors import StoreError
from quantumd.store.grouping import Batch
from tests.store.faulty import FULL, READ_ONLY, Disk, faulty_disk
from tests.store.records import NETWORK
from tests.tally import tell

WRITES = 6


def batch(number: int) -> Batch:
    """A new network, and a change of the first one."""
    records: dict[Key, Record | None] = {}
    for one in {1, number}:
        record = evolve(NETWORK, serial=one, id=f"{one:08d}", name=f"{one} as of {number}", data={})
        records[record.key] = record
    return Batch(records=records, events=(), next_serial=100, next_event=1, durable=number % 3 > 0, oldest_event=0)


class FaultTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="quantumd-faults-", dir="/dev/shm"))
        self.addCleanup(shutil.rmtree, self.directory)

    def found(self, disk: Disk, path: Path) -> set[str]:
        """What a process finds that begins now, in a copy of what is on the disk."""
        copy = Path(tempfile.mkdtemp(dir=self.directory)) / path.name
        for suffix in ("", "-wal"):
            shutil.copyfile(path.with_name(path.name + suffix), copy.with_name(copy.name + suffix))
        disk.works = True
        database = Database(copy, "this boot")
        names = {network.name for network in database.open().state.networks.values()}
        database.close()
        disk.works = False
        return names

    def run_once(self, first: int, more: int, code: int | None) -> tuple[int, int]:
        """Write with these failures; returns how many failures there were, and how many writes were refused."""
        path = Path(tempfile.mkdtemp(dir=self.directory)) / "quantumd.sqlite"
        with faulty_disk() as disk:
            database = Database(path, "this boot")
            database.open()
            disk.fail(first, more, code)
            accepted: dict[int, str] = {}
            refused = 0
            for number in range(1, WRITES + 1):
                try:
                    database.write(batch(number))
                except StoreError:
                    refused += 1
                    if more == 0:
                        self.assertEqual(
                            set(accepted.values()), self.found(disk, path), f"refused {number}, at {first}"
                        )
                else:
                    accepted[1] = f"1 as of {number}"
                    accepted[number] = f"{number} as of {number}"
            if more == 0:
                self.assertEqual(set(accepted.values()), self.found(disk, path), f"failed at {first}")
            failed = disk.failed
            disk.fail(-1)
            database.write(batch(WRITES + 1))
            accepted[1], accepted[WRITES + 1] = f"1 as of {WRITES + 1}", f"{WRITES + 1} as of {WRITES + 1}"
            self.assertEqual(set(accepted.values()), self.found(disk, path), f"after failures from {first} on")
            database.close()
        return failed, refused

    def test_every_operation(self) -> None:
        """What failed is refused and not there, now or after a crash; what comes when the disk works again is."""
        failures = refusals = points = 0
        for code in (None, FULL, READ_ONLY):
            for more in (0, 3):
                first, failed = 0, 1
                while failed:
                    failed, refused = self.run_once(first, more, code)
                    failures, refusals, points, first = failures + failed, refusals + refused, points + 1, first + 1
        self.assertGreater(refusals, 40)
        tell("storage faults", points=points, failures=failures, refused=refusals, lost=0, resurrected=0)
