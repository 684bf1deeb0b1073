"""What the C library keeps of freed memory."""

from __future__ import annotations

import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

#: Prints how many arenas there are beside the main one after three threads took memory: glibc sets 64 MiB of addresses
#: aside for each, most of which nobody may touch.
_ARENAS = """
import threading
from pathlib import Path
from quantumd.heap import keep_little

if {little}:
    keep_little()
together = threading.Barrier(3)

def take():
    together.wait()
    kept = [bytes(5000) for _ in range(1000)]
    together.wait()

threads = [threading.Thread(target=take) for _ in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
lines = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
sizes = [[int(end, 16) for end in line[0].split("-")] for line in lines if line[1] == "---p"]
print(sum(32 << 20 < end - start <= 64 << 20 for start, end in sizes))
"""


class HeapTests(SynchronousTestCase):
    def arenas(self, little: bool) -> int:
        words = [sys.executable, "-c", _ARENAS.format(little=little)]
        return int(subprocess.run(words, stdout=subprocess.PIPE, check=True, timeout=60).stdout)

    def test_one_arena(self) -> None:
        """Threads have none of their own, as they have by default."""
        self.assertGreater(self.arenas(False), 0)
        self.assertEqual(0, self.arenas(True))
