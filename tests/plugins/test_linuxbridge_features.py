"""What the plugin finds out about a kernel, and says where it cannot work."""

from __future__ import annotations

import errno
from collections.abc import Sequence

from twisted.trial.unittest import SynchronousTestCase

from quantumd.host.netlink.rtnl import Rtnl
from quantumd.host.netlink.wire import Reply, Request
from quantumd.plugins.linuxbridge.features import CannotRun, probe
from quantumd.testing.lab import Lab


class Kernel(Rtnl):
    """A kernel that answers each request with the errno that its bytes are given here, else EINVAL."""

    def __init__(self, **errnos: int) -> None:
        self._errnos = errnos

    def batch(self, requests: Sequence[Request]) -> list[Reply]:
        return [Reply(self._answer(request)) for request in requests]

    def _answer(self, request: Request) -> int:
        found = [code for word, code in self._errnos.items() if word.encode() in request.body]
        return found[0] if found else errno.EINVAL


class FeatureTests(SynchronousTestCase):
    def test_this_kernel(self) -> None:
        """Asking makes nothing, and this kernel has what the tests use."""
        with Lab() as lab:
            host = lab.namespace()
            rtnl = host.inside(Rtnl)
            self.addCleanup(rtnl.close)
            before = rtnl.all_links()
            features = host.inside(probe, rtnl)
            self.assertEqual(before, rtnl.all_links())
        self.assertTrue(features.vxlan and features.veth and not features.no_tap and features.altnames, features)

    def test_lacking(self) -> None:
        """What the kernel says it does not know is lacking; what it refuses for another reason is there."""
        features = probe(Kernel(vlan=errno.EOPNOTSUPP, quantum=errno.EINVAL))
        self.assertEqual((False, True, True), (features.vlan, features.veth, features.altnames))
        old = probe(Kernel(**{"quantum-probe": errno.EOPNOTSUPP}))
        self.assertFalse(old.altnames)

    def test_cannot_run(self) -> None:
        """Without bridges, or the right to make them, it says what to do."""
        error = self.assertRaises(CannotRun, probe, Kernel(bridge=errno.EOPNOTSUPP))
        self.assertIn("modprobe bridge", str(error))
        error = self.assertRaises(CannotRun, probe, Kernel(bridge=errno.EPERM))
        self.assertIn("CAP_NET_ADMIN", str(error))
