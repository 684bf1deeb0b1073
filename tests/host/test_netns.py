"""Namespaces by path, and the watch on their names."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from twisted.internet import defer, reactor
from twisted.trial.unittest import SynchronousTestCase, TestCase

from quantumd.host import netns
from quantumd.host.netns_watch import NamespaceWatch
from quantumd.testing.lab import Lab


class NetnsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.lab = Lab()
        self.addCleanup(self.lab.close)

    def test_identity(self) -> None:
        """Two paths to one namespace are one; two namespaces are two."""
        one, two = self.lab.namespace(), self.lab.namespace()
        sleeper = self.lab.process(one, "sleep", "60")
        identities = []
        for path in (one.path, f"/proc/{sleeper.pid}/ns/net", two.path):
            with netns.opened(path) as descriptor:
                identities.append(netns.identity(descriptor))
        # nsenter may not have entered yet when it was started: ask again.
        while identities[1] != identities[0]:
            with netns.opened(f"/proc/{sleeper.pid}/ns/net") as descriptor:
                identities[1] = netns.identity(descriptor)
        self.assertNotEqual(identities[0], identities[2])

    def test_what_is_no_namespace(self) -> None:
        """A file, a FIFO and another kind of namespace are refused without waiting; so is nothing at all."""
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        (folder / "file").touch()
        os.mkfifo(folder / "fifo")
        for path in (str(folder / "file"), str(folder / "fifo"), "/proc/self/ns/mnt", "/dev/null"):
            self.assertRaises(netns.NotANamespace, netns.open_netns, path)
        self.assertRaises(FileNotFoundError, netns.open_netns, str(folder / "none"))

    def test_visiting(self) -> None:
        """A visit ends where it began, whatever happens inside."""
        there = self.lab.namespace()

        def inode() -> int:
            return Path("/proc/thread-self/ns/net").stat().st_ino

        home = inode()
        with netns.opened(there.path) as descriptor:
            with self.assertRaises(ZeroDivisionError), netns.visiting(descriptor):
                self.assertEqual(inode(), netns.identity(descriptor).inode)
                1 // 0  # noqa: B018
            self.assertEqual(inode(), home)

    def test_process_start(self) -> None:
        """A process is told from a later one with its pid."""
        mine = netns.process_start(os.getpid())
        self.assertEqual(mine, netns.process_start(os.getpid()))
        self.assertNotEqual(mine, netns.process_start(1))
        self.assertIsNone(netns.process_start(2**22 + 1))


class WatchTests(TestCase):
    def told(self, directory: str) -> defer.DeferredQueue[str]:
        queue: defer.DeferredQueue[str] = defer.DeferredQueue()
        watch = NamespaceWatch(reactor, queue.put, directory)
        watch.start()
        self.addCleanup(watch.stop)
        return queue

    @defer.inlineCallbacks
    def test_come_and_gone(self):  # type: ignore[no-untyped-def]
        """A name is told once it leads to a namespace, and when it is taken away."""
        lab = Lab()
        self.addCleanup(lab.close)
        lab.namespace()
        queue = self.told(netns.RUN_NETNS)
        name = lab.unique()
        made = lab.namespace(name)
        while (yield queue.get().addTimeout(5, reactor)) != name:
            pass
        made.delete()
        while (yield queue.get().addTimeout(5, reactor)) != name:
            pass

    @defer.inlineCallbacks
    def test_a_directory_that_comes_later(self):  # type: ignore[no-untyped-def]
        """The first ``ip netns add`` on a machine makes /run/netns too; a file alone is no namespace."""
        parent = Path(self.mktemp())
        parent.mkdir(parents=True)
        directory = parent.absolute() / "netns"
        queue = self.told(str(directory))
        directory.mkdir()
        (directory / "no-namespace").touch()
        # The same file name that mounting gives, with something behind it that is a namespace.
        (directory / "there").symlink_to(f"/proc/{os.getpid()}/task/{threading.get_native_id()}/ns/net")
        self.assertEqual((yield queue.get().addTimeout(5, reactor)), "there")
        directory.rename(parent / "moved")
        (parent / "moved" / "there").unlink()
