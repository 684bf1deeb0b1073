"""HTTP over a unix socket and TCP, and what is made of answers that are none of the API's."""

from __future__ import annotations

import http.client
import socket
import ssl
import tempfile
import threading
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from quantumd.cli.client import Client
from quantumd.cli.endpoint import parse_endpoint
from quantumd.cli.errors import Refused, Unreachable

from .case import NOWHERE, CliCase, ctl
from .fake import FakeApi


class TransportTests(SynchronousTestCase):
    """Everything works over TCP as it does over a unix socket."""

    def setUp(self) -> None:
        self.api = FakeApi(token="qd_geheim")
        self.addCleanup(self.api.stop)

    def test_token(self) -> None:
        """The token goes along as a bearer token: the option's, else the environment's."""
        environ = {"QUANTUMD_ENDPOINT": self.api.endpoint, "QUANTUMD_TOKEN": "qd_geheim"}
        self.assertEqual(ctl("network create blue", environ).status, 0)
        self.assertEqual(ctl("network list --token=qd_geheim", environ | {"QUANTUMD_TOKEN": "no"}).status, 0)
        refused = ctl("--token qd_falsch network list", environ)
        self.assertEqual((refused.status, refused.out), (1, ""))
        self.assertIn("Unauthorized: Send a bearer token.", refused.err)
        self.assertNotIn("qd_", refused.err)

    def test_hint(self) -> None:
        """Who sent no token is told how to."""
        refused = ctl("network list", {"QUANTUMD_ENDPOINT": self.api.endpoint})
        self.assertIn("$QUANTUMD_TOKEN", refused.err)

    def test_prefix(self) -> None:
        """A path of the endpoint stands before the API's own."""
        environ = {"QUANTUMD_ENDPOINT": f"{self.api.endpoint}/below", "QUANTUMD_TOKEN": "qd_geheim"}
        self.assertIn("NotFound", ctl("network list", environ).err)
        self.assertEqual(self.api.requests[-1].path, "/below/networks")

    def test_https_is_verified(self) -> None:
        """https means TLS with a certificate that is checked."""
        connection = Client(parse_endpoint("https://127.0.0.1:1"))
        self.patch(http.client.HTTPSConnection, "connect", lambda _self: None)
        inner = connection._connect(1)
        self.assertIsInstance(inner, http.client.HTTPSConnection)
        context = vars(inner)["_context"]
        self.assertEqual((context.verify_mode, context.check_hostname), (ssl.CERT_REQUIRED, True))


class FaultTests(CliCase):
    """A fault's name and detail go to stderr, and the status is 1."""

    def test_problem(self) -> None:
        """Name, detail, and all errors."""
        result = self.ctl(["network", "create", "a\x00b"])
        self.assertEqual((result.status, result.out), (1, ""))
        self.assertEqual(
            result.err.splitlines(),
            [
                "quantumctl: BadRequest: The body is not a network.",
                "  network.name: must have no control characters",
            ],
        )

    def test_both_kinds_of_numbers(self) -> None:
        """It is the body that names a fault, not the number of the answer."""
        network = self.api.network("blue")
        self.api.plug(network, "vif1")
        for standard in (False, True):
            self.api.standard = standard
            result = self.ctl("network delete blue")
            self.assertEqual(result.status, 1)
            self.assertIn("quantumctl: AttachmentsPlugged: Something is plugged", result.err)

    def test_harmless(self) -> None:
        """What a daemon says moves no cursor."""
        problem = b'{"type": "/faults/Bad\\u001b[2J", "detail": "a\\nb\\u0007"}'
        self.api.raw["/networks"] = (418, "application/problem+json", problem)
        result = self.ctl("network list")
        self.assertEqual(result.err, "quantumctl: Bad\\x1b[2J: a\\x0ab\\x07\n")

    def test_poor_problem(self) -> None:
        """A problem that says little is still a fault with a name."""
        for body, words in (
            (b'{"title": "Teapot"}', "Teapot: Teapot"),
            (b"{}", "HTTP 418: the daemon does not say why"),
            (b'{"type": "about:blank", "errors": 3}', "about:blank: the daemon"),
        ):
            self.api.raw["/networks"] = (418, "application/problem+json", body)
            self.assertIn(words, self.ctl("network list").err)

    def test_not_quantumd(self) -> None:
        """Answers of something else are said to be that."""
        for status, kind, body in (
            (200, "text/html", b"<html>Welcome</html>"),
            (502, "text/html", b"<html>Bad gateway</html>"),
            (404, "application/json", b'{"networks": []}'),
            (302, "text/html", b""),
            (200, "application/json", b"[]"),
            (200, "application/json", b'{"other": 1}'),
            (200, "application/json", b"\xff"),
            (400, "application/problem+json", b"nonsense"),
            (400, "application/problem+json", b"[]"),
        ):
            self.api.raw["/networks"] = (status, kind, body)
            result = self.ctl("network list")
            self.assertEqual((result.status, result.out), (1, ""))
            self.assertIn("is none of quantumd's; is the endpoint right?", result.err)
            self.assertEqual(len(result.err.splitlines()), 1)


class UnreachableTests(SynchronousTestCase):
    """Nobody there: one line, which says what was tried and what to do."""

    def assertSays(self, endpoint: str, *words: str) -> None:
        result = ctl(["--endpoint", endpoint, "network", "list"])
        self.assertEqual((result.status, result.out), (1, ""))
        self.assertEqual(len(result.err.splitlines()), 1, result.err)
        for word in (endpoint, *words):
            self.assertIn(word, result.err)

    def test_no_socket(self) -> None:
        """No such file."""
        path = NOWHERE
        self.assertSays(path, "cannot reach quantumd at", "No such file", "twistd -n quantumd", "--endpoint")

    def test_path_too_long(self) -> None:
        """A path that no socket can have."""
        self.assertSays(f"unix:/{'x' * 200}", "cannot reach", "too long")

    def test_nobody_listens(self) -> None:
        """A port that nobody has."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        self.assertSays(f"http://127.0.0.1:{port}", "Connection refused", "twistd -n quantumd")

    def test_not_allowed(self) -> None:
        """A socket that this user may not use: another hint."""

        def denied(_self: object) -> None:
            raise PermissionError(13, "Permission denied")

        self.patch(http.client.HTTPConnection, "connect", denied)
        self.assertSays("http://127.0.0.1:9", "Permission denied", "become root")

    def serve(self, *answers: bytes) -> str:
        """A server that reads something, answers with raw bytes, and hangs up."""
        server = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(server.close)

        def talk() -> None:
            for answer in answers:
                peer, _address = server.accept()
                with peer:
                    peer.recv(65536)
                    peer.sendall(answer)

        thread = threading.Thread(target=talk, daemon=True)
        thread.start()
        self.addCleanup(thread.join, 5)
        return f"http://127.0.0.1:{server.getsockname()[1]}"

    def test_hangs_up(self) -> None:
        """An answer that does not come, breaks off, or is no HTTP."""
        for answer in (b"", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", b"SSH-2.0-OpenSSH_9.2\r\n\r\n"):
            self.assertSays(self.serve(answer), "broke off")

    def test_closes_after_each(self) -> None:
        """A server that closes after each answer is connected to again."""
        answer = b'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 15\r\n\r\n{"networks":[]}'
        api = Client(parse_endpoint(self.serve(answer, answer)))
        for _turn in range(2):
            self.assertEqual(api.get("/networks").part("networks"), [])
        api.close()

    def test_silence(self) -> None:
        """A server that says nothing is given up after a while."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            api = Client(parse_endpoint(f"http://127.0.0.1:{silent.getsockname()[1]}"), timeout=0.05)
            error = self.assertRaises(Unreachable, api.get, "/")
            self.assertIn("did not answer in time", error.detail)

    def test_stream_refused(self) -> None:
        """A stream that is refused is a fault like any other."""
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        api = FakeApi(Path(directory.name, "api.sock"))
        self.addCleanup(api.stop)
        api.raw["/events"] = (401, "application/problem+json", b'{"type": "/faults/Unauthorized", "detail": "No."}')
        client = Client(parse_endpoint(api.endpoint))
        self.addCleanup(client.close)
        error = self.assertRaises(Refused, client.lines, "/events", {})
        self.assertEqual(error.name, "Unauthorized")
