"""What the benchmarks share: a load of HTTP requests, the smallest klein app to hold a figure against, and findings."""

from __future__ import annotations

import argparse
import json
import selectors
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

#: What the limit's app runs. It is given the socket, the status and the length of the body.
_SMALLEST = """
import sys
from klein import Klein
from twisted.internet import endpoints, reactor
from twisted.web.server import Site
path, status, body = sys.argv[1], int(sys.argv[2]), b"x" * int(sys.argv[3])
app = Klein()
@app.route("/", methods=["GET", "POST"])
def answer(request):
    request.content.read()
    request.setResponseCode(status)
    request.setHeader("Content-Type", "application/json")
    request.setHeader("Content-Length", str(len(body)))
    return body
class Quiet(Site):
    def log(self, request):
        pass
endpoints.UNIXServerEndpoint(reactor, path).listen(Quiet(app.resource()))
reactor.run()
"""


@dataclass
class Finding:
    """One figure, the limit that was measured in the same run, and the goal: at least (or at most) so many limits."""

    question: str
    ours: float
    limit: float
    unit: str
    goal: float
    at_most: bool = False

    @property
    def ratio(self) -> float:
        """Ours as a part of the limit."""
        return self.ours / self.limit if self.limit else float("inf")

    @property
    def met(self) -> bool:
        """Whether the goal is reached."""
        return self.ratio <= self.goal if self.at_most else self.ratio >= self.goal


@dataclass
class Load:
    """What came of a load: answers a second, the seconds that each took, and the length of the last body."""

    rate: float
    waits: list[float]
    size: int


def send(path: Path, make: Callable[[int], bytes], connections: int, seconds: float, status: int) -> Load:
    """Send requests for so long, one at a time on each connection. Ends the program at an answer of another status."""
    waits: list[float] = []
    sent: dict[socket.socket, float] = {}
    pieces: dict[socket.socket, bytes] = {}
    number, size = 0, 0
    expected = f"HTTP/1.1 {status} ".encode()
    with selectors.DefaultSelector() as selector:
        began = time.perf_counter()
        for _ in range(connections):
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(str(path))
            selector.register(connection, selectors.EVENT_READ)
            pieces[connection] = b""
            sent[connection] = time.perf_counter()
            connection.sendall(make(number))
            number += 1
        while (now := time.perf_counter()) - began < seconds:
            for ready, _ in selector.select(1):
                connection = ready.fileobj  # type: ignore[assignment]
                piece = connection.recv(1 << 20)
                if not piece:
                    raise SystemExit("the daemon closed a connection")
                got = pieces[connection] + piece
                head, end, body = got.partition(b"\r\n\r\n")
                if not end or len(body) < _length(head):
                    pieces[connection] = got
                    continue
                if not got.startswith(expected):
                    raise SystemExit(f"not {status}: {got[:300]!r}")
                pieces[connection], size = b"", len(body)
                now = time.perf_counter()
                waits.append(now - sent[connection])
                sent[connection] = now
                connection.sendall(make(number))
                number += 1
        for connection in pieces:
            connection.close()
    return Load(len(waits) / (now - began), waits, size)


def _length(head: bytes) -> int:
    return int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])


def request(method: str, path: str, body: object = None) -> bytes:
    """A request's bytes."""
    content = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content


@contextmanager
def smallest(work: Path, status: int, size: int) -> Iterator[Path]:
    """The smallest klein app that answers so; gives its socket."""
    path = work / "limit.sock"
    path.unlink(missing_ok=True)
    words = [sys.executable, "-c", _SMALLEST, str(path), str(status), str(size)]
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    try:
        while not path.exists():
            time.sleep(0.02)
        yield path
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def median(values: list[float]) -> float:
    """Their median."""
    return statistics.median(values)


def finish(findings: list[Finding]) -> None:
    """Print them: a table for people, with ``--json`` for a program."""
    if "--json" in sys.argv:
        json.dump([asdict(finding) for finding in findings], sys.stdout)
    else:
        print(table(findings))


def table(findings: list[Finding]) -> str:
    """A table in Markdown."""
    lines = ["| question | quantumd | limit | ratio | goal | |", "|---|---|---|---|---|---|"]
    for one in findings:
        sign = "≤" if one.at_most else "≥"
        lines.append(
            f"| {one.question} | {one.ours:.4g} {one.unit} | {one.limit:.4g} {one.unit} | {one.ratio:.2f} "
            f"| {sign} {one.goal:g} | {'met' if one.met else 'missed'} |"
        )
    return "\n".join(lines)


def arguments(text: str | None) -> argparse.ArgumentParser:
    """The parser of a benchmark, with the option that all of them have."""
    parser = argparse.ArgumentParser(description=text)
    parser.add_argument("--json", action="store_true", help="print JSON for a program")
    return parser
