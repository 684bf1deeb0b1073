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
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import count, takewhile
from pathlib import Path
from typing import Any

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


def drive(
    path: Path, items: Iterable[bytes], connections: int, status: int, keep: dict[int, bytes] | None = None
) -> Load:
    """Send requests, one at a time on each connection. Ends the program at an answer of another status.

    By hand, and looked into afterwards: a client that takes longer for a request than the daemon does would be what
    is measured, and it is on the same processors. ``keep`` takes the bodies of the answers, by the requests' places.
    """
    waits: list[float] = []
    size = 0
    sent: dict[socket.socket, tuple[int, float]] = {}
    pieces: dict[socket.socket, bytes] = {}
    coming = enumerate(items)
    expected = f"HTTP/1.1 {status} ".encode()
    with selectors.DefaultSelector() as selector:
        began = time.perf_counter()

        def send_next(connection: socket.socket) -> None:
            following = next(coming, None)
            if following is None:
                selector.unregister(connection)
                connection.close()
                return
            pieces[connection], sent[connection] = b"", (following[0], time.perf_counter())
            connection.sendall(following[1])

        for _ in range(connections):
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(str(path))
            selector.register(connection, selectors.EVENT_READ)
            send_next(connection)
        while selector.get_map():
            for ready, _ in selector.select(1):
                connection = ready.fileobj  # type: ignore[assignment]  # nothing but sockets was registered
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
                number, at = sent[connection]
                waits.append(time.perf_counter() - at)
                size = len(body)
                if keep is not None:
                    keep[number] = body
                send_next(connection)
        took = time.perf_counter() - began
    return Load(len(waits) / took, waits, size)


def send(path: Path, make: Callable[[int], bytes], connections: int, seconds: float, status: int) -> Load:
    """Send requests for so long; ``make`` makes the first, the second and so on."""
    until = time.perf_counter() + seconds
    return drive(path, map(make, takewhile(lambda _: time.perf_counter() < until, count())), connections, status)


def ask(path: Path, status: int, *items: bytes, connections: int = 8) -> list[Any]:
    """Send just these requests; the answers' bodies, read, in the same order."""
    bodies: dict[int, bytes] = {}
    drive(path, items, min(connections, len(items)), status, bodies)
    return [json.loads(bodies[place]) for place in range(len(items))]


def _length(head: bytes) -> int:
    return int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])


def request(method: str, path: str, body: object = None, wait: int = 0) -> bytes:
    """A request's bytes; ``wait``: prefer an answer when it is done, within so many seconds."""
    content = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
    if wait:
        head += f"Prefer: wait={wait}\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content


def metrics(path: Path) -> dict[str, float]:
    """What the daemon counts, by the metrics' names with their labels."""
    page: dict[int, bytes] = {}
    drive(path, [request("GET", "/metrics")], 1, 200, page)
    lines = [line.rpartition(" ") for line in page[0].decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


def settled(path: Path) -> None:
    """Wait until the daemon has nothing left to do."""
    while metrics(path)["quantumd_backlog"]:
        time.sleep(0.02)


def in_turns(*measures: Callable[[], float], rounds: int = 3) -> list[float]:
    """The medians of figures that are taken in turns, so that a noisy machine is noisy for all of them."""
    taken = [[measure() for measure in measures] for _ in range(rounds)]
    return [statistics.median(column) for column in zip(*taken, strict=True)]


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
            f"| {one.question} | {_figure(one.ours)} {one.unit} | {_figure(one.limit)} {one.unit} | {one.ratio:.2f} "
            f"| {sign} {one.goal:g} | {'met' if one.met else 'missed'} |"
        )
    return "\n".join(lines)


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def arguments(text: str | None) -> argparse.ArgumentParser:
    """The parser of a benchmark, with the option that all of them have."""
    parser = argparse.ArgumentParser(description=text)
    parser.add_argument("--json", action="store_true", help="print JSON for a program")
    return parser
