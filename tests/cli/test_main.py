"""The process: start-up, streams, signals."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time

from twisted.trial.unittest import SynchronousTestCase

from .case import CliCase

COMMAND = [sys.executable, "-m", "quantumd.cli"]


class StartTests(SynchronousTestCase):
    """What is loaded before anything is done."""

    def test_help_is_light(self) -> None:
        """``--help`` imports nothing that it does not need: that is what keeps it fast."""
        result = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "quantumd.cli", "--help"],
            capture_output=True,
            text=True,
            check=True,
        )
        imported = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}
        self.assertIn("argparse", imported)
        for heavy in (
            "twisted",
            "asyncio",
            "ssl",
            "email",
            "http",
            "http.client",
            "socket",
            "attr",
            "zope",
            "inspect",
            "json.tool",
        ):
            self.assertNotIn(heavy, imported)
        own = {name for name in imported if name.startswith("quantumd.")}
        self.assertEqual(
            own, {f"quantumd.cli{name}" for name in ("", ".main", ".parser", ".forms", ".errors", ".terms")}
        )

    def test_help_is_fast(self) -> None:
        """Under 150 ms, at the best of several tries: the machine may be busy with other things."""
        best = min(self.timed() for _try in range(8))
        self.assertLess(best, 0.15)

    def timed(self) -> float:
        began = time.monotonic()
        subprocess.run([*COMMAND, "--help"], capture_output=True, check=True)
        return time.monotonic() - began

    def test_standard_library_only(self) -> None:
        """All of it together imports the standard library and itself."""
        code = (
            "import pkgutil, importlib, sys, quantumd.cli as cli\n"
            "for m in pkgutil.walk_packages(cli.__path__, 'quantumd.cli.'):\n"
            "    m.name.endswith('__main__') or importlib.import_module(m.name)\n"
            "print(*{name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names))\n"
            "own = {name for name in sys.modules if name.startswith('quantumd.')}\n"
            "print(*(name for name in own if not name.startswith('quantumd.cli')))"
        )
        result = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True)
        foreign, elsewhere = result.stdout.split("\n")[:2]
        self.assertEqual(set(foreign.split()) - {"__main__"}, {"quantumd"})
        self.assertEqual(elsewhere, "")


class StreamTests(CliCase):
    """Terminals, pipes and signals, as a process of its own."""

    def start(self, *words: str, **options: object) -> subprocess.Popen[bytes]:
        environ = os.environ | self.environ
        return subprocess.Popen([*COMMAND, *words], env=environ, **options)  # type: ignore[call-overload,no-any-return]

    def test_exit_status(self) -> None:
        """The process's own."""
        for words, status in ((["network", "list"], 0), (["network", "show", "x"], 1), (["network"], 2)):
            process = self.start(*words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.assertEqual(process.wait(20), status)

    def test_terminal(self) -> None:
        """On a real terminal there are colours."""
        self.api.network("blue")
        ours, theirs = pty.openpty()
        try:
            self.patch(os, "environ", {key: os.environ[key] for key in os.environ if key not in ("NO_COLOR", "TERM")})
            process = self.start("network", "list", stdout=theirs, stderr=theirs)
            self.assertEqual(process.wait(20), 0)
            self.assertIn(b"\x1b[32mActive\x1b[0m", os.read(ours, 4096))
        finally:
            os.close(ours)
            os.close(theirs)

    def test_reader_leaves(self) -> None:
        """A reader that has seen enough is no reason for a traceback."""
        for number in range(2000):
            self.api.network(f"net{number}")
        process = self.start("network", "list", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        self.assertEqual(process.stderr.read(), b"")
        process.stderr.close()
        self.assertEqual(process.wait(20), 1)

    def test_interrupted(self) -> None:
        """Ctrl-C ends a wait quietly."""
        self.api.streams = [": hello\n\n"]
        # Whoever runs the tests in the background ignores the signal, and a child inherits that, unlike a handler.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            process = self.start("events", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        finally:
            signal.signal(signal.SIGINT, before)
        deadline = time.monotonic() + 20
        while not self.api.requests and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
        self.assertEqual((process.returncode, out, err), (130, b"", b""))

    def test_poor_terminal(self) -> None:
        """A locale without the characters of a name is no fault."""
        self.api.network("網路")
        environ = os.environ | self.environ | {"PYTHONIOENCODING": "ascii"}
        result = subprocess.run([*COMMAND, "network", "list"], env=environ, capture_output=True, check=True)
        self.assertIn(rb"\u7db2\u8def", result.stdout)
