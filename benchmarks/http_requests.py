"""How many requests a second, against the smallest klein app that answers as much, in the same run.

    python benchmarks/http_requests.py [--seconds 2] [--json]

Every write is on stable storage before it is answered; the app that is the limit has no disk. The plugin is ``memory``.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from common import Finding, arguments, finish, in_turns, median, request, send, smallest

from quantumd.testing.scratch import daemon, enter


def fsync(work: Path) -> float:
    """Seconds of one append and fsync on that file system, at the median."""
    waits, body = [], b"x" * 4096
    with (work / "fsync").open("wb") as file:
        for _ in range(200):
            began = time.perf_counter()
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
            waits.append(time.perf_counter() - began)
    return median(waits)


def measure(work: Path, seconds: float) -> list[Finding]:
    """All of it, on one daemon."""
    config = work / "quantumd.conf"
    config.write_text("[limits]\nnetworks = 10000000\n")
    findings = []
    with daemon("memory", work, ["--config", str(config)]) as client:
        api = work / "api.sock"
        made = client.request("POST", "/networks", {"network": {"name": "one"}}).json["network"]["id"]
        for number in range(999):
            client.request("POST", "/networks", {"network": {"name": f"n{number}"}})
        constant = request("GET", "/")

        def against(question: str, ask: Callable[[int], bytes], connections: int, status: int, goal: float) -> None:
            size = send(api, ask, 1, 0.2, status).size
            limited = constant if status == 200 else request("POST", "/", {"network": {"name": "n-0"}})
            with smallest(work, status, size) as limit:
                ours, most = in_turns(
                    lambda: send(api, ask, connections, seconds, status).rate,
                    lambda: send(limit, lambda _: limited, connections, seconds, status).rate,
                )
            findings.append(Finding(question, ours, most, "/s", goal))

        one, listing = request("GET", f"/networks/{made}"), request("GET", "/networks")
        against("GET one network, 16 connections", lambda _: one, 16, 200, 0.8)
        against("list 1,000 networks, 16 connections", lambda _: listing, 16, 200, 0.6)

        def post(number: int) -> bytes:
            return request("POST", "/networks", {"network": {"name": f"n-{number}"}})

        against("POST network, durable, 16 connections", post, 16, 202, 0.5)
        against("POST network, durable, 64 connections", post, 64, 202, 0.5)
        alone, sync = in_turns(lambda: median(send(api, post, 1, seconds / 2, 202).waits), lambda: fsync(work))
        limit = (sync + 0.0015) * 1000
        findings.append(Finding("POST network, 1 connection: fsync + 1.5 ms", alone * 1000, limit, "ms", 1, True))
    return findings


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__)
    parser.add_argument("--seconds", type=float, default=2, help="of each of the rounds")
    asked = parser.parse_args()
    enter()
    with tempfile.TemporaryDirectory(prefix="quantumd-bench-") as work:
        finish(measure(Path(work), asked.seconds))


if __name__ == "__main__":
    main()
