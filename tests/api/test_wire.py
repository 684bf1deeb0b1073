"""What is not said in good HTTP, and what a connection may do in the middle of things."""

from __future__ import annotations

from unittest.mock import patch

from attrs import evolve

from tests.api.support import OPEN, ApiTestCase, request_bytes

GOOD = b'{"network": {"name": "a"}}'


class WireTests(ApiTestCase):
    """Bytes."""

    settings = evolve(OPEN, body_bytes=1000)

    def raw(self, data: bytes) -> bytes:
        connection = self.connect()
        connection.send(data)
        return connection.received

    def test_no_http(self) -> None:
        """It is answered with a problem too, and the connection ends."""
        for data in (
            b"nonsense\r\n\r\n",
            b"GET /\r\n\r\n",
            b"GET / HTTP/2.0\r\n\r\n",
            b"GET  / HTTP/1.1\r\n\r\n",
            b"GET /\x01 HTTP/1.1\r\n\r\n",
            b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n",
            b"G\xc3\xa9T / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
            b"GET / HTTP/1.1\r\nbad name: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nx: a\x00b\r\n\r\n",
            b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            b"GET / HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
            b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
            b"POST /networks HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx",
            b"POST /networks HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\nx",
            b"POST /networks HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"GET / HTTP/1.1\r\nx: " + b"a" * 20000 + b"\r\n\r\n",
            b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 4000 + b"\r\n",
        ):
            connection = self.connect()
            connection.send(data)
            (response,) = connection.responses()
            self.assertEqual((response.status, response.fault), (400, "BadRequest"), data[:60])
            self.assertEqual(response.headers["connection"], "close")
            self.assertFalse(connection.transport.connected)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_body_sizes(self) -> None:
        """Counted as it comes, whatever was announced; nothing of one that is too long is kept."""
        exact = GOOD.ljust(1000)
        self.assertEqual(self.ask("POST", "/networks", exact).status, 202)
        self.assertEqual(self.ask("POST", "/networks", exact + b" ").fault, "OverLimit")
        for size, status in ((1000, 202), (1001, 413)):
            connection = self.connect()
            connection.send(b"POST /networks HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
            body = GOOD.ljust(size)
            for start in range(0, size, 100):
                piece = body[start : start + 100]
                connection.send(b"%x\r\n%s\r\n" % (len(piece), piece))
            connection.send(b"0\r\n\r\n")
            self.assertEqual([response.status for response in connection.responses()], [status])
        connection = self.connect()
        connection.send(b"POST /networks HTTP/1.1\r\nContent-Length: 100000000\r\n\r\n")
        for _ in range(100):
            connection.send(b"x" * 1_000_000)
        (request,) = connection.channel.requests or [None]
        self.assertIsNone(request)
        self.assertEqual([response.status for response in connection.responses()], [413])

    def test_a_long_body_costs_nothing(self) -> None:
        connection = self.connect()
        connection.send(b"POST /networks HTTP/1.1\r\nContent-Length: 100000000\r\n\r\n" + b"x" * 10_000_000)
        (request,) = connection.channel.requests
        self.assertEqual(request.content.getbuffer().nbytes, 0)

    def test_one_connection(self) -> None:
        """Requests in a row, also after faults, and sent before the answers."""
        connection = self.connect()
        connection.send(
            request_bytes("POST", "/networks", GOOD)
            + request_bytes("POST", "/networks", GOOD.ljust(1001))
            + request_bytes("GET", "/nonsense")
            + request_bytes("GET", "/networks")
        )
        responses = connection.responses()
        self.assertEqual([response.status for response in responses], [202, 413, 404, 200])
        self.assertEqual(len(responses[-1].json["networks"]), 1)

    def test_forms_of_a_target(self) -> None:
        for target in (
            "http://any.example/networks?limit=5",
            "HTTPS://[::1]:9696/networks/",
            "/networks?",
            "http://h/networks",
        ):
            self.assertIn("networks", self.get(target).json, target)
        for target in ("http://any.example", "http://any.example?", "http://any.example/"):
            self.assertEqual(self.get(target).json["service"], "quantumd", target)
        for target in ("ftp://any.example/networks", "networks", "*"):
            self.assertEqual(self.get(target).fault, "NotFound", target)
        self.assertEqual(self.ask("CONNECT", "any.example:80").status, 404)

    def test_odd_hosts(self) -> None:
        """What the client calls this host does not matter, nor whether it calls it anything."""
        for host in ("", "é", "a" * 300, "a..b", ":", "[", "xn--", "\xff", "a b", "localhost:x"):
            self.assertEqual(self.get("/networks", Host=host).status, 200, host)
        self.assertIn(b"200 OK", self.raw(b"GET /networks HTTP/1.0\r\n\r\n"))

    def test_odd_headers(self) -> None:
        odd = "\xff\xfe\x80"
        for name in (
            "Accept",
            "Content-Type",
            "Prefer",
            "If-Match",
            "Authorization",
            "Last-Event-ID",
            "Cookie",
            "Range",
        ):
            response = self.ask("PUT", "/networks/x", GOOD, {name: odd})
            self.assertEqual(response.fault, "NetworkNotFound", name)
        path = f"/networks/{self.network()}"
        statuses = {
            name: self.ask("PUT", path, GOOD, {name: odd}).status
            for name in ("Accept", "Content-Type", "Prefer", "If-Match", "Last-Event-ID", "X-Odd")
        }
        self.assertEqual(
            statuses,
            {"Accept": 202, "Content-Type": 415, "Prefer": 202, "If-Match": 412, "Last-Event-ID": 202, "X-Odd": 202},
        )

    def test_every_answer(self) -> None:
        for target in ("/", "/networks", "/nonsense", "/networks?x=1", "/health"):
            headers = self.get(target).headers
            self.assertTrue(headers["server"].startswith("quantumd/"))
            self.assertEqual(headers["cache-control"], "no-store")
            self.assertIn("date", headers)
            self.assertNotIn("set-cookie", headers)
        before = self.get("/networks").headers["etag"]
        self.assertRegex(before, '^"[^"]+"$')
        self.assertEqual(self.get("/networks", If_None_Match=before).status, 200)
        self.network()
        self.assertNotEqual(self.get("/networks").headers["etag"], before)

    def test_split_headers(self) -> None:
        """No value of a header begins another one, wherever it comes from."""
        for end in ("\r", "\n", "\r\n"):
            with patch("quantumd.api.operations.location", lambda _, end=end: f"/a{end}Set-Cookie: b"):
                response = self.post("/networks", {"network": {"name": "a"}})
            self.assertEqual((response.status, response.json["type"]), (500, "/faults/InternalError"))
            self.assertNotIn("set-cookie", response.headers)
            (logged,) = self.flushLoggedErrors(ValueError)
            self.assertIn("cannot be in a header", logged.getErrorMessage())

    def test_hang_up_in_the_middle(self) -> None:
        """At any byte of a request; and nothing of it is in the log."""
        data = request_bytes("POST", "/networks", GOOD, {"Prefer": "wait=60"})
        for length in range(0, len(data), 7):
            connection = self.connect()
            connection.send(data[:length])
            connection.hang_up()
        self.assertEqual(self.get("/networks").json, {"networks": []})
        connection = self.connect()
        connection.send(data)
        connection.hang_up()
        self.assertEqual(len(self.get("/networks").json["networks"]), 1)
        self.settle()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_idle(self) -> None:
        """A connection on which nothing comes is closed; one that waits for its answer is not."""
        idle, waiting = self.connect(), self.connect()
        half = self.connect()
        half.send(request_bytes("POST", "/networks", GOOD)[:-5])
        waiting.send(request_bytes("GET", "/events"))
        self.clock.pump([1] * 61)
        self.assertFalse(idle.transport.connected)
        self.assertFalse(half.transport.connected)
        self.assertTrue(waiting.transport.connected)
