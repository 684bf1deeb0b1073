"""Slow, silent and many clients."""

from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from quantumd.api.connections import ASKING, AtOnce, Connections
from quantumd.api.events import STALLED
from quantumd.api.settings import ApiSettings
from quantumd.core.access import Caller, Role
from quantumd.service.tokens import token_hash
from tests.api.support import NO_ID, OPEN, ApiTestCase, Connection, request_bytes


class _Client:
    cuts = 0

    def cut(self) -> None:
        self.cuts += 1


class BoundTests(SynchronousTestCase):
    def test_the_longest_silent_makes_room(self) -> None:
        connections = Connections(3)
        busy, silent, quiet, new = clients = [_Client() for _ in range(4)]
        connections.opened(busy)
        connections.asked(busy)
        connections.opened(silent)
        connections.opened(quiet)
        connections.opened(new)
        self.assertEqual([one.cuts for one in clients], [0, 1, 0, 0])
        connections.closed(silent)
        self.assertEqual(len(connections), 3)

    def test_all_busy(self) -> None:
        connections = Connections(1)
        busy, new = _Client(), _Client()
        connections.opened(busy)
        connections.asked(busy)
        connections.opened(new)
        self.assertEqual((busy.cuts, new.cuts), (0, 1))
        connections.closed(new)
        connections.answered(busy)
        connections.opened(new)
        self.assertEqual((busy.cuts, new.cuts), (1, 1))

    def test_at_once(self) -> None:
        bound = AtOnce(2)
        member, admin = Caller("m", "acme", Role.MEMBER), Caller("a", "default", Role.ADMIN)
        self.assertEqual([bound.begin(member) for _ in range(3)], [True, True, False])
        self.assertEqual({bound.begin(admin) for _ in range(9)}, {True})
        bound.end(member)
        self.assertTrue(bound.begin(member))
        self.assertEqual({AtOnce(0).begin(member) for _ in range(9)}, {True})


class IdleTests(ApiTestCase):
    def test_to_listen_wakes_nobody(self) -> None:
        """While nobody asks anything, the edge has nothing to do."""
        before = list(self.clock.getDelayedCalls())
        self.site.doStart()
        self.assertEqual(before, self.clock.getDelayedCalls())
        self.assertEqual(200, self.get("/networks").status)
        self.site.doStop()


class SlowTests(ApiTestCase):
    def gone(self, connection: Connection) -> bool:
        return bool(connection.transport.disconnecting or connection.transport.disconnected)

    def test_dripping(self) -> None:
        """However steadily it drips: a request is there within its time, or the connection is not."""
        for start in (b"", b"GET / HTTP/1.1\r\nX: ", b"POST /networks HTTP/1.1\r\nContent-Length: 99\r\n\r\n"):
            connection = self.connect()
            connection.send(start)
            for _ in range(int(ASKING) + 2):
                if not self.gone(connection):
                    connection.send(b"x")
                self.clock.advance(1)
            self.assertTrue(self.gone(connection), start)

    def test_keep_alive(self) -> None:
        """Each request has its own time."""
        connection = self.connect()
        self.addCleanup(connection.hang_up)
        for _ in range(5):
            connection.send(b"GET /health HTTP/1.1\r\n")
            self.clock.advance(ASKING - 1)
            connection.send(b"Host: x\r\n\r\n")
            self.clock.advance(2)
        self.assertEqual([one.status for one in connection.responses()], [200] * 5)

    def test_silent(self) -> None:
        connection = self.connect()
        self.clock.advance(61)
        self.assertTrue(self.gone(connection))

    def test_waiting_is_not_slow(self) -> None:
        connection = self.connect()
        self.addCleanup(connection.hang_up)
        connection.send(request_bytes("GET", "/events"))
        for _ in range(20):
            self.clock.advance(ASKING)
        self.assertFalse(self.gone(connection))

    def test_a_stream_that_nobody_reads(self) -> None:
        connection = self.connect()
        connection.send(request_bytes("GET", "/events"))
        connection.transport.producer.pauseProducing()
        for _ in range(int(STALLED / 15) + 1):
            self.clock.advance(15)
        self.assertTrue(connection.received.endswith(b"0\r\n\r\n"))
        connection.hang_up()

    def test_pipelined(self) -> None:
        """Answered in order, however many are sent at once."""
        connection = self.connect()
        self.addCleanup(connection.hang_up)
        connection.send(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" * 200)
        self.assertEqual([one.status for one in connection.responses()], [200] * 200)


class ManyTests(ApiTestCase):
    settings = evolve(OPEN, connections=3)

    def test_room_is_made(self) -> None:
        silent = [self.connect() for _ in range(10)]
        self.assertEqual(self.get("/health").status, 200)
        self.assertIn(b"quantumd_connections 3.0", self.get("/metrics").body)
        for one in silent:
            one.hang_up()


class AtOnceTests(ApiTestCase):
    settings = ApiSettings(admin_token_hash=token_hash("right"), at_once=2)

    def test_streams(self) -> None:
        self.put_token(NO_ID, "acme", "reader", "read")
        header = {"Authorization": "Bearer read"}
        streams = [self.connect() for _ in range(2)]
        for one in streams:
            one.send(request_bytes("GET", "/events", b"", header))
        refused = self.get("/networks", **header)
        self.assertEqual((refused.status, refused.fault), (429, "TooManyRequests"))
        self.assertEqual(refused.headers["retry-after"], "1")
        self.assertEqual(self.get("/networks", Authorization="Bearer right").status, 200)
        streams[0].hang_up()
        self.assertEqual([self.get("/networks", **header).status for _ in range(3)], [200, 200, 200])
        streams[1].hang_up()
