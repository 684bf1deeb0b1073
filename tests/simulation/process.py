"""One run of the daemon: the real application and the real edge, over the simulated store and plugin."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry
from twisted.internet.defer import Deferred

from quantumd.api.connections import Connections
from quantumd.api.gate import Gate
from quantumd.api.site import ApiSite, make_site
from quantumd.core.intent import Limits
from quantumd.service.convergence import Convergence
from quantumd.service.quantum import Quantum
from quantumd.service.waiting import Waiters
from tests.api.support import OPEN, Connection, Response, request_bytes
from tests.simulation.host import Host, SimulatedPlugin
from tests.simulation.world import Disk, ProcessClock, SimulatedStore, World

LIMITS = Limits(networks=100, ports_per_network=100)

#: The one process that there is at a time, and the site, which is the same for all of them: its routes take long to
#: make, and it keeps nothing but its event streams and its connections, which end with a process.
_running: dict[str, Process] = {}
_sites: list[ApiSite] = []


class _Now:
    """Stands for a part of the process that runs now."""

    def __init__(self, part: str) -> None:
        self._part = part

    def __getattr__(self, name: str) -> Any:
        return getattr(getattr(_running["now"], self._part), name)


def _site(process: Process) -> ApiSite:
    _running["now"] = process
    if not _sites:
        parts: list[Any] = [_Now(part) for part in ("quantum", "waiters", "store", "plugin")]
        clock: Any = _Now("clock")
        gate = Gate()
        gate.open()
        _sites.append(make_site(*parts, OPEN, clock, CollectorRegistry(), gate))
    else:
        _sites[0].connections = Connections(OPEN.connections)
        streams = _sites[0]._streams
        streams._streams.clear()
        process.store.listen(streams._committed)
    return _sites[0]


class Process:
    """The daemon from its start to its end, whichever end that is."""

    def __init__(self, world: World, disk: Disk, host: Host, boot: int) -> None:
        self._world = world
        self.clock = ProcessClock(world)
        self.store = SimulatedStore(world, self.clock, disk, boot)
        self.plugin = SimulatedPlugin(world, self.clock, host)
        self.plugin.store = self.store
        self.convergence = self.plugin.loop = Convergence(self.store, self.plugin, self.clock)
        self.waiters = Waiters(self.store, self.clock)
        self.quantum = Quantum(self.store, self.plugin, LIMITS, self.convergence.wake)
        self.site = _site(self)
        self.listening = False
        self.calls: dict[Exchange, None] = {}
        self.store.listen(lambda _keys, events: self._count(events))
        Deferred.fromCoroutine(self._start())

    async def _start(self) -> None:
        await self.store.start()
        await self.convergence.start()
        self.listening = True
        self._world.note("process: ready")

    def kill(self) -> None:
        """End it as ``kill -9`` does."""
        self.listening = False
        self.clock.kill()
        for call in list(self.calls):
            call.lost()

    async def stop(self) -> None:
        """End it as SIGTERM does, in the order of :class:`quantumd.daemon.Daemon`."""
        self.listening = False
        self.site.stopFactory()
        self.waiters.release()
        await self.convergence.stop()
        await self.store.stop()
        await self.clock.pause(0.05)
        self.kill()

    def ask(self, method: str, path: str, body: object = None, wait: int = 0) -> Response:
        """A request that is answered from memory, at once."""
        answers: list[Response | None] = []
        Exchange(self, answers.append, method, path, body, {"Prefer": f"wait={wait}"} if wait else {})
        assert answers and answers[0] is not None, f"{method} {path} is not answered at once"
        return answers[0]

    def _count(self, events: Any) -> None:
        self._world.counts.repairs += sum(event.action == "repaired" for event in events)


class Exchange:
    """A request on a connection of its own; ``done`` is called with the answer, or None where there was none."""

    def __init__(
        self,
        process: Process,
        done: Callable[[Response | None], None],
        method: str,
        path: str,
        body: object = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        self._done = done
        self._process = process
        self._connection = Connection(process.site)
        self._over = False
        process.calls[self] = None
        write = self._connection.transport.write

        def written(data: bytes) -> None:
            write(data)
            self._look()

        self._connection.transport.write = written  # type: ignore[method-assign]
        content = b"" if body is None else json.dumps(body).encode()
        self._connection.send(request_bytes(method, path, content, headers))

    def hang_up(self) -> None:
        """The client goes away; it will not know what came of its request."""
        if not self._over:
            self.lost()
            self._connection.hang_up()

    def lost(self) -> None:
        """There will be no answer."""
        self._end(None)

    def _look(self) -> None:
        data = self._connection.received
        head, gap, rest = data.partition(b"\r\n\r\n")
        if not gap or self._over:
            return
        length = next((line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), None)
        if length is not None and len(rest) >= int(length.split(b":")[1]):
            self._end(self._connection.responses()[0])

    def _end(self, response: Response | None) -> None:
        if not self._over:
            self._over = True
            self._process.calls.pop(self, None)
            if response is not None:
                self._process.clock.callLater(0, self._connection.hang_up)
            self._done(response)


class Follower:
    """Follows ``/events`` over every restart, and holds what it is told against the rules."""

    def __init__(self) -> None:
        self.last: int | None = None
        self.resets = 0
        self.told: list[tuple[int, str, dict[str, Any]]] = []
        self._connection: Connection | None = None
        self._taken = 0

    def follow(self, process: Process) -> None:
        """Begin, or go on where it was."""
        self._connection = Connection(process.site)
        self._taken = 0
        if self.last is None and process.store.state.next_event > 1:
            self.resets += 1  # it does not know what it has missed
        headers = {} if self.last is None else {"Last-Event-ID": str(self.last)}
        self._connection.send(request_bytes("GET", "/events", headers=headers))

    def read(self) -> list[str]:
        """Take what came; returns what is wrong with it."""
        if self._connection is None:
            return []
        data = self._connection.received[self._taken :]
        whole, gap, _ = data.rpartition(b"\n\n")
        self._taken += len(whole) + len(gap)
        wrong = []
        for block in whole.split(b"\n\n"):
            start = block.find(b"id: ")
            if start < 0:
                continue
            fields = dict(line.split(": ", 1) for line in block[start:].decode().split("\n") if ": " in line)
            seq = int(fields["id"].split()[0])
            if fields["event"] == "reset":
                self.resets += 1
            else:
                if self.last is not None and seq <= self.last:
                    wrong.append(f"event {seq} came after {self.last}")
                self.told.append((seq, fields["event"], json.loads(fields["data"])))
            self.last = seq
        return wrong
