"""Run all benchmarks and write ``benchmarks/results/latest.md`` and ``latest.json``.

    python benchmarks/run.py [--check]

With ``--check`` it ends with status 1 where a goal is missed, and names it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from common import Finding, table

HERE = Path(__file__).resolve().parent


def program(name: str) -> Any:
    """What one program measures."""
    print(f"{name} ...", file=sys.stderr, flush=True)
    words = [sys.executable, str(HERE / name), "--json"]
    done = subprocess.run(words, cwd=HERE.parent, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        print(f"{name} failed; what it said is above", file=sys.stderr)
        sys.exit(1)
    return json.loads(done.stdout)


def findings() -> list[Finding]:
    """Everything."""
    programs = ("http_requests.py", "attaching.py", "audit.py")
    found = [Finding(**one) for name in programs for one in program(name)]
    veths, switch = program("attachments.py"), program("openvswitch.py")
    return [
        *found,
        Finding("1,000 veths asked for → Attached/UP: ip -batch", veths["converged"], veths["ip_batch"], "/s", 0.5),
        Finding("1,000 veths unplugged: ip link del", veths["removed"], veths["ip_link_del"], "/s", 10),
        Finding("1,000 devices → plugged, ovs: one transaction", switch["converged"], switch["switch"], "/s", 0.5),
        Finding("resident, ovs, a database with 10,000 ports", switch["resident"], 200, "MB", 1, True),
    ]


def main() -> None:
    """Run, write and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="end with status 1 where a goal is missed")
    asked = parser.parse_args()
    found = findings()
    machine = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[2], 1),
    }
    text = f"{', '.join(f'{name} {value}' for name, value in machine.items())}\n\n{table(found)}\n"
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    (results / "latest.md").write_text(text)
    (results / "latest.json").write_text(
        json.dumps({"machine": machine, "findings": [{**asdict(one), "met": one.met} for one in found]}, indent=1)
        + "\n"
    )
    print(text)
    missed = [one.question for one in found if not one.met]
    if missed and asked.check:
        print("missed: " + "; ".join(missed), file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
