"""What the plugin tells of the host: what others did, while it works as well, and not what it did itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from unittest.mock import patch

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from quantumd.core.model import Device, Form, Key, Tunnel
from quantumd.core.names import MARK
from quantumd.host.netlink.monitor import Event, LinkChanged, LinkMonitor, Overrun, open_monitor_socket
from quantumd.host.netlink.rtnl import Rtnl
from quantumd.host.netlink.thread import NetlinkThread
from quantumd.plugins.linuxbridge import LinuxBridgePlugin, plugin
from quantumd.plugins.linuxbridge.marks import MAKING
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

    async def test_new_devices_are_not_asked_for(self) -> None:
        """Of what the kernel told nothing, there is nothing, and their bridge is as it told; of what is plugged it has
        told. What was there once is looked for."""
        network = self.bench.network()
        await self.bench.once([network.key])
        asked: list[Any] = []
        links = Rtnl.links

        def asking(rtnl: Rtnl, names: Iterable[Any]) -> Any:
            names = list(names)
            asked.extend(names)
            return links(rtnl, names)

        veth = Form(id="v", device=Device(create="veth", netns=self.guest.name, ifname="e"))
        with patch.object(Rtnl, "links", asking):
            one = self.bench.plug(network, veth)
            await self.bench.once([one.key])
            plugged = self.bench.now(one)
            self.assertEqual("Attached/UP", plugged.status)
            self.assertEqual([], asked)
            self.host.ip(f"link del {plugged.plugin['device']}")
            await self.bench.once([one.key])
            own = {plugged.plugin["device"], MARK + plugged.port_id, plugged.plugin["bridge"]}
            self.assertEqual(own, own.intersection(asked))
        self.assertEqual("Attached/UP", self.bench.now(one).status)

    async def test_few_new_devices_are_looked_at_at_once(self) -> None:
        """The netlink thread looks where the kernel is asked, and where there is much to look at."""
        network = self.bench.network()
        await self.bench.once([network.key])
        jobs: list[str] = []
        call = NetlinkThread.call

        def calling(thread: NetlinkThread, job: Any, *args: Any) -> Any:
            jobs.append(job.__name__)
            return call(thread, job, *args)

        with patch.object(NetlinkThread, "call", calling):
            few = self.bench.plug(
                network, Form(id="v", device=Device(create="veth", netns=self.guest.name, ifname="e"))
            )
            nowhere = self.bench.plug(network, Form(id="w", device=Device(create="veth", netns="no", ifname="e")))
            await self.bench.once([few.key, nowhere.key])
            self.assertNotIn("observe", jobs)
            many = [self.bench.plug(network, Form(id=f"tap{n}", device=Device(create="tap"))).key for n in range(60)]
            await self.bench.once(many)
            self.assertEqual(1, jobs.count("observe"))
            await self.bench.once([few.key])
            self.assertEqual(2, jobs.count("observe"))
        self.assertEqual("Attached/UP", self.bench.now(few).status)
        self.assertEqual("InProgress", self.bench.now(nowhere).status)
        self.assertEqual({"Attached/DOWN"}, {self.bench.state.attachments[int(key.ident)].status for key in many})

    async def test_a_bridge_that_went_unheard(self) -> None:
        """Nothing is plugged into it, and it is made anew."""
        network = self.bench.network()
        await self.bench.once([network.key])
        bridge = self.bench.state.networks[network.id].plugin["bridge"]
        one = self.bench.plug(network, Form(id="tap", device=Device(create="tap", name="mine")))
        two = self.bench.plug(network, Form(id="v", device=Device(create="veth", netns=self.guest.name, ifname="e")))
        with patch.object(LinkMonitor, "doRead", lambda _: None), patch.object(LinkMonitor, "read", lambda _: 0):
            self.host.ip(f"link del {bridge}")
            await self.bench.once([one.key, two.key])
        for key in (one, two):
            fault = self.bench.now(key).fault
            assert fault is not None
            self.assertIn("has gone meanwhile", fault.message)
        self.assertNotIn("mine", self.host.links())
        await self.bench.once([network.key, one.key, two.key])
        self.assertEqual("Attached/UP", self.bench.now(two).status)
        self.assertIn(bridge, self.host.links())

    async def test_a_bridge_that_was_changed(self) -> None:
        """A bridge that is not as it should be, as the kernel told, is put right by the round that plugs into it."""
        network = self.bench.network()
        await self.bench.once([network.key])
        bridge = self.bench.state.networks[network.id].plugin["bridge"]
        self.host.ip(f"link set {bridge} down")
        await deferLater(reactor, _QUIET)
        one = self.bench.plug(network, Form(id="tap", device=Device(create="tap")))
        await self.bench.once([one.key])
        self.assertIn("UP", self.host.ip(f"-o link show dev {bridge}").partition("<")[2].partition(">")[0].split(","))

    async def test_what_was_plugged_unheard(self) -> None:
        """What it is, the kernel is asked where it told nothing, or more than could be read."""
        network = self.bench.network()
        self.host.ip("link add near type veth peer name far")
        self.host.ip("link set far up")
        await deferLater(reactor, _QUIET)
        await self.bench.once([network.key])
        forms = [
            Form(id="v", device=Device(create="veth", netns=self.guest.name, ifname="e")),
            Form(id="near", device=Device(name="near")),
        ]
        made, somebodys = [self.bench.plug(network, form) for form in forms]
        with (
            patch.object(LinkMonitor, "doRead", lambda _: None),
            patch.object(LinkMonitor, "read", lambda _: 0),
            patch.object(LinuxBridgePlugin, "_resync", lambda _: None),
        ):
            self.bench.plugin._told([Overrun()])
            await self.bench.once([made.key, somebodys.key])
        self.assertEqual("Attached/UP", self.bench.now(made).status)
        self.assertEqual("Attached/UP", self.bench.now(somebodys).status)

    async def test_names_that_were_taken_unheard(self) -> None:
        """An altname of a device that is down is in no notice: whose it is, is found out and said."""
        network = self.bench.network()
        await self.bench.once([network.key])
        self.host.ip("link add stranger type bridge")
        self.host.ip("link property add dev stranger altname mine")
        one = self.bench.plug(network, Form(id="tap", device=Device(create="tap", name="mine")))
        await self.bench.once([one.key])
        fault = self.bench.now(one).fault
        assert fault is not None
        self.assertIn("The name mine is held by the bridge device stranger", fault.message)
        self.host.ip("link property del dev stranger altname mine")
        await self.bench.once([one.key])
        self.assertEqual("Attached/DOWN", self.bench.now(one).status)

    async def test_half_made_unheard(self) -> None:
        """What a batch that broke off has left, which nobody is told of, is made anew with the second try."""
        network = self.bench.network()
        await self.bench.once([network.key])
        one = self.bench.plug(
            network, Form(id="v", device=Device(create="veth", name="mine", netns=self.guest.name, ifname="e"))
        )
        self.host.ip(f"link add mine group {MAKING} type veth peer name other")
        self.host.ip(f"link property add dev mine altname {MARK}{one.port_id}")
        before = self.host.links()["mine"]
        await self.bench.once([one.key])
        self.assertEqual("Failed", self.bench.now(one).status)
        await self.bench.once([one.key])
        self.assertEqual("Attached/UP", self.bench.now(one).status)
        self.assertNotEqual(before, self.host.links()["mine"])

    async def test_never_up_outside(self) -> None:
        """A device of ours is in its bridge before it is set up: the host has it to itself at no time."""
        network = self.bench.network()
        await self.bench.once([network.key])
        told: list[Event] = []
        opened = self.host.inside(open_monitor_socket, Rtnl(), 0x7FFFFFFF)
        self.addCleanup(opened.close)
        forms = [
            Form(id="tap", device=Device(create="tap")),
            Form(id="v", device=Device(create="veth", netns=self.guest.name, ifname="e")),
            Form(id="x", type="tunnel", tunnel=Tunnel(kind="vxlan", vni=7, remote="192.0.2.1")),
            Form(id="near", device=Device(name="near")),
        ]
        self.host.ip("link add near type veth peer name far")
        keys = [self.bench.plug(network, form).key for form in forms]
        await self.bench.once(keys)
        LinkMonitor(reactor, opened, told.extend).read()
        up = [event.link for event in told if isinstance(event, LinkChanged) and event.link.up]
        bridge = self.host.links()[self.bench.state.networks[network.id].plugin["bridge"]]
        outside = {link.name for link in up if link.master != bridge and link.index != bridge}
        self.assertEqual(set(), outside)
        self.assertEqual(4, len({link.name for link in up if link.master == bridge}))

    async def test_what_somebody_does_afterwards(self) -> None:
        keys = await self.plugged()
        device = self.bench.state.attachments[int(keys[0].ident)].plugin["device"]
        self.host.ip(f"link set {device} nomaster")
        await deferLater(reactor, _QUIET)
        self.assertEqual({keys[0]}, self.told())

    async def test_what_somebody_does_meanwhile(self) -> None:
        carry_out: Callable[..., Any] = plugin.carry_out
        reading = []

        def disturbed(*arguments: Any) -> Any:
            done = carry_out(*arguments)
            reading.extend(one for one in reactor.getReaders() if isinstance(one, LinkMonitor))  # type: ignore[attr-defined]
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
        self.assertEqual([], reading, "what is told of what is under way is read when it is done")
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
