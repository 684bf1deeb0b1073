"""What audits cost that find nothing to do: the daemon's processor time, as a part of the time that passed.

    python benchmarks/audit.py [memory] [linuxbridge] [ovs] [--ports 10000] [--networks 20] [--seconds 62] [--json]

The ports have taps that quantumd made; with ``ovs`` there is a real ovsdb-server, and ``standin.py`` in the place of
ovs-vswitchd. Time passes with nobody asking anything, over two periods of the audit. Runs on a scratch machine; the
host's own network is not touched.
"""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from blocked import listener
from common import Finding, arguments, finish, metrics
from ten_thousand import Place

from quantumd.testing.scratch import enter

#: The goal: so much of one core.
_SHARE = 0.05
_PLUGINS = ("memory", "linuxbridge", "ovs")


def processor(pid: int) -> float:
    """Seconds that a process has used (proc(5): utime and stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measured(plugin: str, networks: int, ports: int, seconds: float) -> Finding:
    """Seconds of processor time, and seconds that passed meanwhile."""
    with ExitStack() as stack:
        place = Place(plugin, plugin[:5], Path(stack.enter_context(tempfile.TemporaryDirectory())), stack)
        stack.enter_context(place.running())
        place.fill(networks, ports)
        time.sleep(3)
        pid, audits = listener(place.api), metrics(place.api)["quantumd_audits_total"]
        used, began = processor(pid), time.perf_counter()
        time.sleep(seconds)
        used, passed = processor(pid) - used, time.perf_counter() - began
        audits = metrics(place.api)["quantumd_audits_total"] - audits
    question = f"{audits:.0f} audits of {ports:,} unchanged ports, {plugin}: processor time"
    return Finding(question, used, passed, "s", _SHARE, at_most=True)


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__)
    parser.add_argument("plugins", nargs="*", default=_PLUGINS, help="all of them, if none is named")
    parser.add_argument("--ports", type=int, default=10_000)
    parser.add_argument("--networks", type=int, default=20, help="a Linux bridge takes 1,023 ports")
    parser.add_argument("--seconds", type=float, default=62.0, help="how long to look on: two periods of 30 s")
    asked = parser.parse_args()
    enter()
    finish([measured(plugin, asked.networks, asked.ports, asked.seconds) for plugin in asked.plugins])


if __name__ == "__main__":
    main()
