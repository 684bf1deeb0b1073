"""Endpoints, and which of them is taken."""

from __future__ import annotations

import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from quantumd.cli import endpoint as module
from quantumd.cli.endpoint import Endpoint, choose_endpoint, parse_endpoint
from quantumd.cli.errors import WrongUsage


class ParseTests(SynchronousTestCase):
    """The three forms."""

    def test_forms(self) -> None:
        """What each form means."""
        for text, scheme, address, port, prefix in (
            ("unix:/run/x.sock", "unix", "/run/x.sock", None, ""),
            ("unix:x:y=z.sock", "unix", "x:y=z.sock", None, ""),
            ("http://127.0.0.1:9696", "http", "127.0.0.1", 9696, ""),
            ("http://[::1]:9696/", "http", "::1", 9696, ""),
            ("http://net.example", "http", "net.example", 80, ""),
            ("https://net.example/quantum/", "https", "net.example", 443, "/quantum"),
        ):
            self.assertEqual(parse_endpoint(text), Endpoint(scheme, address, port, prefix, text))

    def test_refused(self) -> None:
        """All else is refused, with what would be taken."""
        for text in (
            "",
            "unix:",
            "/run/x.sock",
            "localhost:9696",
            "http:",
            "http://",
            "http:9696",
            "http://h:port",
            "http://h:99999",
            "http://h?x=1",
            "http://[::1",
            "http://a..b",
            "ftp://h",
        ):
            error = self.assertRaises(WrongUsage, parse_endpoint, text)
            self.assertIn("--endpoint: ", str(error))

    def test_no_credentials(self) -> None:
        """A password in a URL would be printed sooner or later."""
        error = self.assertRaises(WrongUsage, parse_endpoint, "http://me:geheim@h:1")
        self.assertIn("--token", str(error))
        self.assertNotIn("geheim", str(error))


class ChooseTests(SynchronousTestCase):
    """Given, else the environment's, else the socket, else loopback."""

    def test_order(self) -> None:
        """The first that there is wins."""
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        path = Path(directory.name, "api.sock")
        self.patch(module, "DEFAULT_SOCKET", str(path))
        environ = {"QUANTUMD_ENDPOINT": "http://env:1"}
        self.assertEqual(choose_endpoint("http://arg:2", environ).text, "http://arg:2")
        self.assertEqual(choose_endpoint(None, environ).text, "http://env:1")
        self.assertEqual(choose_endpoint(None, {"QUANTUMD_ENDPOINT": ""}).text, "http://127.0.0.1:9696")
        path.touch()
        self.assertEqual(choose_endpoint(None, {}).text, f"unix:{path}")
