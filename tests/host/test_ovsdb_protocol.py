"""One JSON-RPC connection: answers, notifications, echoes, and what ends it."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock, Cooperator
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from quantumd.host.ovsdb.errors import ConnectionBroke, NotConnected, ProtocolError, RemoteError
from quantumd.host.ovsdb.protocol import JsonRpc


class JsonRpcTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.protocol = JsonRpc(self.clock, Cooperator(scheduler=lambda call: self.clock.callLater(0, call)))
        self.transport = StringTransport()
        self.protocol.makeConnection(self.transport)

    def sent(self) -> list[Any]:
        decoder, text, found, at = json.JSONDecoder(), self.transport.value().decode(), [], 0
        while at < len(text):
            message, at = decoder.raw_decode(text, at)
            found.append(message)
        self.transport.clear()
        return found

    def say(self, *messages: Any) -> None:
        for message in messages:
            self.protocol.dataReceived(json.dumps(message).encode())
        self.settle()

    def settle(self) -> None:
        for _ in range(200):
            self.clock.advance(0)

    def lose(self) -> None:
        self.protocol.connectionLost(Failure(ConnectionDone()))

    def test_requests(self) -> None:
        """Answers find their requests, in whatever order they come."""
        one, two = self.protocol.request("a", [1]), self.protocol.request("b", [])
        first, second = self.sent()
        self.assertEqual([("a", [1]), ("b", [])], [(m["method"], m["params"]) for m in (first, second)])
        self.say({"id": second["id"], "result": 2, "error": None})
        self.assertEqual(2, self.successResultOf(two))
        self.assertNoResult(one)
        self.say({"id": first["id"], "result": None, "error": "no such method"})
        self.assertIn("no such method", str(self.failureResultOf(one, RemoteError).value))

    def test_error_object(self) -> None:
        """An error with details is told with them."""
        asked = self.protocol.request("a", [])
        self.say({"id": self.sent()[0]["id"], "result": None, "error": {"error": "unknown database", "details": "X"}})
        self.assertEqual("unknown database: X", str(self.failureResultOf(asked, RemoteError).value))

    def test_echo(self) -> None:
        """The server's echo is answered."""
        self.say({"id": "echo", "method": "echo", "params": [7]})
        self.assertEqual([{"id": "echo", "result": [7], "error": None}], self.sent())

    def test_keep_alive(self) -> None:
        """A quiet server is asked for an echo, and lives on if it answers."""
        for _ in range(5):
            self.clock.pump([1.0] * 2)
            (echo,) = self.sent()
            self.assertEqual("echo", echo["method"])
            self.say({"id": echo["id"], "result": [], "error": None})
        self.assertFalse(self.transport.disconnecting)

    def test_a_long_sleep(self) -> None:
        """Who did nothing for an hour, as in a machine that was suspended, reads the answer before giving up."""
        self.clock.advance(1.5)
        (echo,) = self.sent()
        self.clock.advance(3600)
        self.say({"id": echo["id"], "result": [], "error": None})
        self.assertFalse(self.transport.disconnecting)

    def test_silence(self) -> None:
        """A server that says nothing is given up within 5 s."""
        self.clock.pump([0.5] * 10)
        self.assertTrue(self.transport.disconnecting)
        self.lose()
        self.assertIn("not said anything", str(self.successResultOf(self.protocol.lost)))

    def test_lost(self) -> None:
        """What was asked fails when the connection ends; what is asked later was not sent."""
        asked = self.protocol.request("a", [])
        self.lose()
        self.failureResultOf(asked, ConnectionBroke)
        self.failureResultOf(self.protocol.request("a", []), NotConnected)
        self.successResultOf(self.protocol.lost)
        self.assertEqual([], self.clock.getDelayedCalls(), "nothing ticks on")

    def test_order(self) -> None:
        """What comes after something that takes many slices waits for it."""
        heard: list[Any] = []

        def slowly(_method: str, params: Any) -> Generator[None, None, None]:
            for _ in range(50):
                yield
            heard.append(params)

        def work(result: Any) -> Generator[None, None, Any]:
            for _ in range(50):
                yield
            heard.append(result)
            return result * 2

        self.protocol.notified = slowly
        asked = self.protocol.send("a", "[]", work)
        ident = self.sent()[0]["id"]
        update = {"method": "update2", "id": None}
        self.say({**update, "params": 1}, {"id": ident, "result": 2, "error": None}, {**update, "params": 3})
        self.assertEqual([1, 2, 3], heard)
        self.assertEqual(4, self.successResultOf(asked))

    def test_backpressure(self) -> None:
        """A server that says more than can be worked through is kept waiting."""
        big = {"method": "x", "id": None, "params": "y" * (5 << 20)}
        self.protocol.dataReceived(json.dumps(big).encode())
        self.assertEqual("paused", self.transport.producerState)
        self.settle()
        self.assertEqual("producing", self.transport.producerState)

    def test_nonsense(self) -> None:
        """A server that does not speak the protocol is let go of, and it is told why."""
        for bad in (b"HTTP/1.1 200 OK", b'{"id":99,"result":1,"error":null}', b'{"a":}', b'{"a":"\xff"}'):
            self.setUp()
            self.protocol.dataReceived(bad)
            self.settle()
            self.assertTrue(self.transport.disconnecting, bad)
            self.lose()
            self.assertIsInstance(self.successResultOf(self.protocol.lost), ProtocolError)

    def test_bug(self) -> None:
        """A bug of ours in a notification is logged, and the replica that it left behind is not gone on with."""

        def buggy(_method: str, _params: Any) -> Generator[None, None, None]:
            yield
            raise ZeroDivisionError

        self.protocol.notified = buggy
        self.say({"method": "update2", "id": None, "params": []})
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))
        self.assertTrue(self.transport.disconnecting)

    def test_failing_work(self) -> None:
        """Where the result of a request cannot be worked through, the request fails, and the connection ends."""

        def work(_result: Any) -> Generator[None, None, Any]:
            yield
            raise ProtocolError("no snapshot")

        asked = self.protocol.send("a", "[]", work)
        self.say({"id": self.sent()[0]["id"], "result": {}, "error": None})
        self.failureResultOf(asked, ProtocolError)
        self.assertTrue(self.transport.disconnecting)
