"""Datagrams that are received many at once."""

from __future__ import annotations

import errno
import socket
import struct

from twisted.trial.unittest import SynchronousTestCase

from quantumd.host.netlink.receiving import Receiver


class ReceiverTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.near, self.far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.near.close)
        self.addCleanup(self.far.close)
        self.near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", 0, 20_000))
        self.far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self.receiver = Receiver(self.near)

    def test_all_that_are_there(self) -> None:
        """In their order, each with its own length."""
        sent = [bytes([n]) * (n * 100 + 1) for n in range(8)]
        for datagram in sent:
            self.far.send(datagram)
        self.assertEqual(sent, list(self.receiver.receive()))

    def test_again(self) -> None:
        """What was received before is not seen again in a shorter one."""
        self.far.send(b"long " * 100)
        self.assertEqual([b"long " * 100], list(self.receiver.receive()))
        self.far.send(b"short")
        self.assertEqual([b"short"], list(self.receiver.receive()))

    def test_none(self) -> None:
        """It waits no longer than the socket does."""
        with self.assertRaises(OSError) as refused:
            list(self.receiver.receive())
        self.assertEqual(errno.EAGAIN, refused.exception.errno)

    def test_too_long(self) -> None:
        """Half of one is an error and no answer."""
        self.far.send(bytes((1 << 18) + 1))
        with self.assertRaises(OSError) as refused:
            list(self.receiver.receive())
        self.assertEqual(errno.EMSGSIZE, refused.exception.errno)
