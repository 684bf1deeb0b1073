"""Run all benchmarks; write ``benchmarks/results/latest.md`` and ``latest.json``, and the table in the README.

    python benchmarks/run.py [--check]

With ``--check`` it ends with status 1 where a goal is missed, and names it. A program that fails is named, too, and the
status is 1 in any case; the others' figures are written all the same.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import platform
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from common import Finding, median, table

HERE = Path(__file__).resolve().parent
#: The README's part that is written here is between these lines.
BEGIN, END = "<!-- the table of make bench begins -->", "<!-- the table of make bench ends -->"

PROGRAMS = (
    ("http_requests.py",),
    ("tokens.py",),
    ("attaching.py",),
    ("attachments.py",),
    ("openvswitch.py",),
    ("ten_thousand.py", "linuxbridge"),
    ("ten_thousand.py", "ovs"),
    ("audit.py", "linuxbridge", "ovs"),
)


def measure(program: Sequence[str]) -> list[Finding] | None:
    """What one program measures; None: it failed, and said why."""
    print(f"{' '.join(program)} ...", file=sys.stderr, flush=True)
    words = [sys.executable, str(HERE / program[0]), *program[1:], "--json"]
    done = subprocess.run(words, cwd=HERE.parent, stdout=subprocess.PIPE, text=True, check=False)
    return None if done.returncode else [Finding(**one) for one in json.loads(done.stdout)]


def resting() -> float:
    """Microseconds that it takes to reach 100 pages of memory that nobody touched for 0.3 s.

    Where a host takes memory away from its guests, that is some milliseconds. Then all that rests is slow to begin, the
    more there is of it: the same code has another ratio there, and this says so.
    """
    size, page = 400 << 20, mmap.PAGESIZE
    with mmap.mmap(-1, size) as memory:
        memory.madvise(mmap.MADV_NOHUGEPAGE)
        for place in range(0, size, page):
            memory[place] = 1
        places = random.sample(range(0, size, page), 100)
        took = []
        for _ in range(9):
            time.sleep(0.3)
            for some in (places[:1] * 100, places):  # at first, the interpreter itself has rested
                began = time.perf_counter()
                for place in some:
                    memory[place]
                lasted = time.perf_counter() - began
            took.append(lasted)
    return median(took) * 1e6


def machine() -> dict[str, str]:
    """What the figures were taken on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": f"{os.cpu_count()} x {names[0] if names else platform.machine()}",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load average before": f"{os.getloadavg()[1]:.1f}",
    }


def report(where: dict[str, str], found: Sequence[Finding], failed: Sequence[str]) -> str:
    """All of it in Markdown."""
    lines = [", ".join(f"{name}: {value}" for name, value in where.items()), "", table(list(found))]
    if failed:
        lines += ["", f"Not measured: {', '.join(failed)}."]
    return "\n".join(lines) + "\n"


def into_readme(readme: str, text: str) -> str:
    """The README with this table in the place of the one that is there."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"README.md has no place for the table: it is between {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n\n{text}\n{END}{after}"


def verdict(found: Sequence[Finding], failed: Sequence[str], check: bool) -> tuple[int, str]:
    """The exit status, and what there is to be said."""
    missed = [one.question for one in found if not one.met]
    said = [f"failed: {name}" for name in failed] + [f"missed: {question}" for question in missed]
    return int(bool(failed or (check and missed))), "\n".join(said)


def main() -> None:
    """Run, write and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="end with status 1 where a goal is missed")
    check: bool = parser.parse_args().check
    where, rested = machine(), resting()
    measured = {" ".join(program): measure(program) for program in PROGRAMS}
    found = [one for some in measured.values() for one in some or ()]
    failed = [name for name, some in measured.items() if some is None]
    where["100 pages after a rest of 0.3 s"] = f"{rested:.0f} us before, {resting():.0f} us in the end"
    text = report(where, found, failed)
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    (results / "latest.md").write_text(text)
    findings = [{**asdict(one), "met": one.met} for one in found]
    (results / "latest.json").write_text(
        json.dumps({"machine": where, "findings": findings, "failed": failed}, indent=1) + "\n"
    )
    readme = HERE.parent / "README.md"
    readme.write_text(into_readme(readme.read_text(), text))
    print(text)
    status, said = verdict(found, failed, check)
    print(said, file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    main()
