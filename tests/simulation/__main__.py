"""``python -m tests.simulation``: run seeds, and say of one that fails how to see it again.

Needs ``PYTHONHASHSEED=0``, so that sets are walked through in the same order each time.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import time
import traceback
from pathlib import Path

from attrs import asdict
from twisted.logger import globalLogBeginner

from tests.simulation.flaws import FLAWS
from tests.simulation.simulation import Simulation
from tests.simulation.world import Counts


def main() -> int:
    """Run seeds ``--first``, ``--first + --step`` … until there were ``--seeds`` or the ``--seconds`` are over."""
    options = argparse.ArgumentParser(prog="python -m tests.simulation", description=main.__doc__)
    options.add_argument("--seeds", type=int, default=100)
    options.add_argument("--first", type=int, default=0)
    options.add_argument("--step", type=int, default=1)
    options.add_argument("--seconds", type=float, default=float("inf"))
    options.add_argument("--trace", action="store_true", help="print everything that happens")
    options.add_argument("--flaw", choices=sorted(FLAWS), help="give the daemon a flaw, which is to be found")
    given = options.parse_args()
    if os.environ.get("PYTHONHASHSEED") != "0":
        options.error("set PYTHONHASHSEED=0, without which a seed is not the same run each time")
    if given.flaw is not None:
        FLAWS[given.flaw]()
    # Nobody reads what the daemon's log says of failures that are made up.
    globalLogBeginner.beginLoggingTo([], redirectStandardIO=False, discardBuffer=True)
    gc.freeze()
    gc.disable()
    counts, began, ran, digest = Counts(), time.monotonic(), 0, 0
    for seed in range(given.first, given.first + given.seeds * given.step, given.step):
        simulation = Simulation(seed, keep_trace=given.trace)
        try:
            counts.add(simulation.run())
        except Exception:
            traceback.print_exc()
            print(
                f"seed {seed} failed; to see it again: PYTHONHASHSEED=0 python -m tests.simulation --first {seed} "
                "--seeds 1 --trace",
                file=sys.stderr,
            )
            return 1
        finally:
            if given.trace:
                print(*simulation.world.trace or (), sep="\n")
        ran, digest = ran + 1, (digest * 31 + simulation.world.digest) % 2**32
        if ran % 20 == 0:
            gc.collect()
        if time.monotonic() - began > given.seconds:
            break
    print(json.dumps({"seeds": ran, "digest": digest, "MiB": _most(), **asdict(counts)}))
    return 0


def _most() -> int:
    """The most memory that this process had, in MiB. (What getrusage(2) says begins with that of whoever forked it.)"""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) >> 10


sys.exit(main())
