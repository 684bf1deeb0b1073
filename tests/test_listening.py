from __future__ import annotations

import shutil
import socket
import stat
import tempfile
from contextlib import ExitStack, closing
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory
from twisted.trial.unittest import TestCase

from quantumd.config import ConfigError
from quantumd.listening import ListenError, listen, make_endpoint, probe


class ListeningTests(TestCase):
    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="quantumd-listen-"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.socket = self.directory / "run" / "api.sock"

    async def listening(self, text: str) -> IListeningPort:
        port = await listen(reactor, text, Factory())
        self.addCleanup(port.stopListening)
        return port

    async def refusal(self, text: str) -> str:
        """What both the real attempt and the one before it say."""
        with self.assertRaises(ListenError) as caught:
            probe(text)
        with self.assertRaises(ListenError) as again:
            await listen(reactor, text, Factory())
        self.assertEqual(str(again.exception), str(caught.exception))
        self.assertIn(text, str(caught.exception))
        self.assertEqual(1, len(str(caught.exception).splitlines()))
        return str(caught.exception)

    def test_not_an_endpoint(self) -> None:
        for text in ("", "tcp", "tcp:", "tcp:x", "tcp:70000", "tcp:-1", "carrier:pigeon", "unix:", "unix:/x:mode=rw"):
            with self.assertRaises(ConfigError) as caught:
                make_endpoint(reactor, text)
            self.assertIn(f"[quantumd] listen = {text}", str(caught.exception))

    async def test_tcp(self) -> None:
        for family, host, text in (
            (socket.AF_INET, "127.0.0.1", "tcp:{}:interface=127.0.0.1"),
            (socket.AF_INET6, "::1", r"tcp:{}:interface=\:\:1"),
            (socket.AF_INET6, "::1", r"tcp6:port={}:interface=\:\:1"),
        ):
            with closing(socket.socket(family)) as holder:
                holder.bind((host, 0))
                holder.listen()
                taken = text.format(holder.getsockname()[1])
                self.assertIn("Address already in use", await self.refusal(taken))
            probe(taken)
            await self.listening(taken)

    async def test_many_at_once(self) -> None:
        """A crowd that comes while the reactor is busy is not refused; who wants a smaller one says so."""
        await self.listening(f"unix:{self.socket}")
        few = self.directory / "few.sock"
        await self.listening(f"unix:{few}:backlog=5")
        self.assertEqual(300, self.crowd(self.socket, 300))
        self.assertLess(self.crowd(few, 300), 10)

    def crowd(self, path: Path, count: int) -> int:
        """How many of so many that do not wait get a connection."""
        with ExitStack() as callers:
            for number in range(count):
                caller = callers.enter_context(closing(socket.socket(socket.AF_UNIX)))
                caller.setblocking(False)
                try:
                    caller.connect(str(path))
                except BlockingIOError:
                    return number
        return count

    async def test_address_of_another_host(self) -> None:
        self.assertIn("Cannot assign", await self.refusal("tcp:0:interface=192.0.2.1"))

    async def test_unix(self) -> None:
        """The directory is made; the mode is as asked for; what is taken is refused, and is not taken away."""
        text = f"unix:{self.socket}:mode=660"
        probe(text)
        await self.listening(text)
        self.assertEqual(0o660, stat.S_IMODE(self.socket.stat().st_mode))
        self.assertIn("another process listens there", await self.refusal(text))
        with closing(socket.socket(socket.AF_UNIX)) as caller:
            caller.connect(str(self.socket))

    async def test_left_by_the_dead(self) -> None:
        """A process that was killed leaves its socket, and a lock whose number may be somebody's by now."""
        self.socket.parent.mkdir()
        with closing(socket.socket(socket.AF_UNIX)) as dead:
            dead.bind(str(self.socket))
        self.socket.with_name("api.sock.lock").symlink_to("1")
        await self.listening(f"unix:{self.socket}:mode=660")

    async def test_no_socket(self) -> None:
        """A file that is not a socket is left alone."""
        self.socket.parent.mkdir()
        self.socket.write_text("precious")
        self.assertIn("is no socket", await self.refusal(f"unix:{self.socket}"))
        self.assertEqual("precious", self.socket.read_text())

    async def test_no_directory(self) -> None:
        (self.directory / "run").touch()
        self.assertIn("File exists", await self.refusal(f"unix:{self.socket}"))

    async def test_quoting(self) -> None:
        r"""A path may hold whatever Twisted's quoting with \ lets it hold."""
        path = self.directory / "a:b=c"
        port = await self.listening(f"unix:{path}".replace("a:b=c", r"a\:b\=c"))
        self.assertTrue(path.is_socket())
        self.assertIsNotNone(port)
