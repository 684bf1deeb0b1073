"""Taps, made in a namespace of their own."""

from __future__ import annotations

import fcntl
import os
import struct

from twisted.trial.unittest import SynchronousTestCase

from quantumd.host import tun
from quantumd.host.netlink import parse
from quantumd.host.netlink.rtnl import Rtnl
from quantumd.testing.lab import Lab


class TapTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.lab = Lab()
        self.addCleanup(self.lab.close)
        self.host = self.lab.namespace()
        self.rtnl = self.host.inside(Rtnl)
        self.addCleanup(self.rtnl.close)

    def make(self, name: str, persist: bool = True, multi_queue: bool = False, uid: int | None = None) -> None:
        def job() -> None:
            with tun.create_tap(name, multi_queue=multi_queue) as tap:
                tap.own(uid, None if uid is None else uid + 1)
                if persist:
                    tap.persist()

        self.host.inside(job)

    def detail(self, name: str) -> parse.TunDetail:
        (found,) = self.rtnl.links([name])
        assert found is not None
        assert isinstance(found.detail, parse.TunDetail)
        return found.detail

    def test_what_can_be_made(self) -> None:
        """Where there are none, it is said why: the kernel has none, or nobody lets us."""
        self.assertEqual("", tun.features().why_none)
        self.patch(tun, "_DEVICE", "/nonexistent/tun")
        self.assertIn("modprobe tun", tun.features().why_none)

        def refuse(*_: object) -> int:
            raise PermissionError(13, "Permission denied")

        self.patch(os, "open", refuse)
        self.assertIn("quantumd may not open /nonexistent/tun", tun.features().why_none)

    def test_owned(self) -> None:
        """A tap belongs to whom it was made for, and outlives its maker."""
        self.make("tap0", uid=1234)
        self.assertEqual(self.detail("tap0"), parse.TunDetail(1234, 1235, True, True, False))

    def test_nobodys(self) -> None:
        """Without an owner it is for those with CAP_NET_ADMIN."""
        self.make("tap0", multi_queue=True)
        self.assertEqual(self.detail("tap0"), parse.TunDetail(None, None, True, True, True))

    def test_not_persistent_yet(self) -> None:
        """Until the last step nothing is left behind by a crash."""
        self.make("tap0", persist=False)
        self.assertEqual(self.rtnl.links(["tap0"]), [None])

    def test_taken(self) -> None:
        """A stranger's device is never seized, tap or not."""
        self.make("tap0", uid=77)
        self.assertRaises(FileExistsError, self.make, "tap0", uid=88)
        self.assertEqual(self.detail("tap0").owner, 77)
        self.host.ip("link add br0 type bridge")
        self.assertRaises(FileExistsError, self.make, "br0")

    def test_attached_to_as_a_hypervisor_does(self) -> None:
        """Whoever opens it later gets its frames, with or without a virtio header."""
        self.make("tap0")
        for flags in (0x1002, 0x5002):

            def attach(flags: int = flags) -> bool:
                descriptor = os.open("/dev/net/tun", os.O_RDWR)
                try:
                    fcntl.ioctl(descriptor, 0x400454CA, struct.pack("=16sH22x", b"tap0", flags))
                    self.host.ip("link set tap0 up")
                    (found,) = self.rtnl.links(["tap0"])
                    return found is not None and found.running
                finally:
                    os.close(descriptor)

            self.assertTrue(self.host.inside(attach))
