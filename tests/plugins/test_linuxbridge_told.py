"""What the plugin tells of the host: what others did, while it works as well, and not what it did itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from quantumd.core.model import Device, Form, Key
from quantumd.plugins.linuxbridge import LinuxBridgePlugin, plugin
from quantumd.testing.lab import Lab
from quantumd.testing.network_plugins import Bench

#: Seconds in which whatever the kernel has to tell is told, and more.
_QUIET = 0.3


class TellingTests(TestCase):
    """A plugin on a namespace, and somebody else with ``ip`` on the same."""

    def setUp(self) -> Deferred[None]:
        self.lab = Lab()
        self.addCleanup(self.lab.close)
        self.host, self.guest = self.lab.namespace(), self.lab.namespace()
        self.bench = Bench(LinuxBridgePlugin(reactor, netns=self.host.path))
        self.addCleanup(self.bench.plugin.stop)
        return self.bench.plugin.start(self.bench.notify)

    def told(self) -> set[Key]:
        """The keys of which it told since this was asked last."""
        keys = {key for some in self.bench.notified for key in some or ()}
        self.bench.notified.clear()
        return keys

    async def plugged(self) -> list[Key]:
        """Some veths and taps, made and in a bridge."""
        network = self.bench.network()
        await self.bench.once([network.key])
        forms = [
            *(Form(id=f"tap{n}", device=Device(create="tap")) for n in range(3)),
            *(Form(id=f"v{n}", device=Device(create="veth", netns=self.guest.name, ifname=f"e{n}")) for n in range(3)),
        ]
        keys = [self.bench.plug(network, form).key for form in forms]
        await deferLater(reactor, _QUIET)
        self.told()
        await self.bench.once(keys)
        return keys

    async def test_its_own_doing(self) -> None:
        keys = await self.plugged()
        await deferLater(reactor, _QUIET)
        self.assertEqual(set(), self.told())
        for key in keys:
            self.bench.unplug(self.bench.state.attachments[int(key.ident)])
        await self.bench.once(keys)
        await deferLater(reactor, _QUIET)
        self.assertEqual(set(), self.told())

    async def test_what_somebody_does_afterwards(self) -> None:
        keys = await self.plugged()
        device = self.bench.state.attachments[int(keys[0].ident)].plugin["device"]
        self.host.ip(f"link set {device} nomaster")
        await deferLater(reactor, _QUIET)
        self.assertEqual({keys[0]}, self.told())

    async def test_what_somebody_does_meanwhile(self) -> None:
        carry_out: Callable[..., Any] = plugin.carry_out

        def disturbed(*arguments: Any) -> Any:
            done = carry_out(*arguments)
            device = next(name for name in self.host.links() if name.startswith("qt"))
            self.host.ip(f"link set {device} down")
            return done

        network = self.bench.network()
        await self.bench.once([network.key])
        key = self.bench.plug(network, Form(id="tap", device=Device(create="tap"))).key
        await deferLater(reactor, _QUIET)
        self.told()
        with patch.object(plugin, "carry_out", disturbed):
            await self.bench.once([key])
        await deferLater(reactor, _QUIET)
        self.assertEqual({key}, self.told())

    async def test_a_bridge_whose_ports_change(self) -> None:
        await self.plugged()
        self.told()
        (bridge,) = [name for name in self.host.links() if name.startswith("q-")]
        self.host.ip("link add near type veth peer name far")
        self.host.ip(f"link set near address 02:00:00:00:00:02 master {bridge} up")
        await deferLater(reactor, _QUIET)
        self.assertEqual(set(), self.told())
        self.host.ip(f"link set {bridge} down")
        await deferLater(reactor, _QUIET)
        self.assertEqual(7, len(self.told()), "the network, and all that is in its bridge")
