"""What audits cost that find nothing to do: the daemon's processor time, as a part of the time that passed.

    python benchmarks/audit.py [--memory 10000] [--devices 3000] [--seconds 62] [--json]

On the memory plugin, and with taps of its own on the linuxbridge plugin. Time passes with nobody asking anything, over
two periods of the audit. Runs on a scratch machine; the host's own network is not touched.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

from attachments import requests
from common import Finding, arguments, finish

from quantumd.cli.client import Client
from quantumd.testing.scratch import daemon, enter

#: The goal: so much of one core.
_SHARE = 0.05
#: What a Linux bridge takes is 1,023.
_PER_NETWORK = 500


def processor(pid: int) -> float:
    """Seconds that a process has used (proc(5): utime and stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def at_rest(client: Client) -> bool:
    """Whether everything is plugged."""
    found: list[Any] = client.request("GET", "/attachments").json["attachments"]
    return all(one["status"].startswith("Attached/") for one in found)


def child() -> int:
    """The daemon, which is our only child."""
    (pid,) = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return int(pid)


def measured(plugin: str, ports: int, seconds: float) -> tuple[float, float]:
    """Seconds of processor time, and seconds that passed meanwhile."""
    with tempfile.TemporaryDirectory(prefix="quantumd-bench-") as work, daemon(plugin, Path(work)) as client:
        names = [("POST", "/networks", {"network": {"name": f"n{n}"}}) for n in range(-(-ports // _PER_NETWORK))]
        ids = [answer["network"]["id"] for answer in requests(Path(work), names)]
        made = [
            (
                "POST",
                f"/networks/{ids[n // _PER_NETWORK]}/attachments",
                {"attachment": {"id": f"vif{n}", "device": {"create": "tap"}}},
            )
            for n in range(ports)
        ]
        requests(Path(work), made)
        while not at_rest(client):
            time.sleep(1)
        time.sleep(3)
        pid = child()
        used, began = processor(pid), time.perf_counter()
        time.sleep(seconds)
        return processor(pid) - used, time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__)
    parser.add_argument("--memory", type=int, default=10_000, help="ports on the memory plugin")
    parser.add_argument("--devices", type=int, default=3_000, help="taps on the linuxbridge plugin")
    parser.add_argument("--seconds", type=float, default=62.0, help="how long to look on: two periods of 30 s")
    asked = parser.parse_args()
    enter()
    findings = []
    for plugin, ports in (("memory", asked.memory), ("linuxbridge", asked.devices)):
        used, passed = measured(plugin, ports, asked.seconds)
        question = f"audits of {ports:,} unchanged ports, {plugin}: processor time"
        findings.append(Finding(question, used, passed, "s", _SHARE, at_most=True))
    finish(findings)


if __name__ == "__main__":
    main()
