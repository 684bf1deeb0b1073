"""The tests that every :class:`~quantumd.interfaces.INetworkPlugin` passes, ours and anybody else's.

::

    class MyHost(PluginHost):
        ...

    MyPluginTests = make_network_plugin_tests(MyHost)

The tests hold the plugin against its interface's docstrings, without a daemon: they accept requests into a state, let
the plugin judge, discover and apply, and look at the host through :class:`PluginHost`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import TypeVar

from attrs import evolve
from jsonschema_rs import meta
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from quantumd.core import intent
from quantumd.core.changes import Attach, Blocked, Change, Detach, Done, EnsureNetwork, Failed, Outcome, Waiting
from quantumd.core.model import Attachment, AttachmentStatus, Device, Form, Key, Network, Port, Status, Tunnel
from quantumd.core.outcome import settle
from quantumd.core.plan import Plan, closure, make_plan
from quantumd.core.state import State
from quantumd.core.transaction import Transaction
from quantumd.interfaces import INetworkPlugin

T = TypeVar("T")
_NOW = "2000-01-01T00:00:00.000Z"


class PluginHost(ABC):
    """A scratch host for one test: what the plugin works on, and what its world does without asking it."""

    @abstractmethod
    def make_plugin(self) -> INetworkPlugin:
        """Make a new plugin object on this host. The second one of a test is the first one's daemon restarted."""

    @abstractmethod
    def close(self) -> None:
        """Take the whole host down; the plugins have been stopped."""

    @abstractmethod
    def inventory(self) -> Collection[str]:
        """Everything that is on the host, ours and others', in words that tell one thing from another."""

    @abstractmethod
    def add_device(self, name: str) -> None:
        """Somebody makes a device that can be plugged, by that name."""

    @abstractmethod
    def remove_device(self, name: str) -> None:
        """Its owner takes it away."""

    @abstractmethod
    def add_namespace(self) -> str:
        """Somebody makes a network namespace; returns what a form's ``netns`` calls it."""

    @abstractmethod
    def hopeless_form(self) -> Form:
        """A form that can be accepted, but that no try will ever plug: its device is in somebody's use, say."""

    def relent(self) -> None:  # noqa: B027  # most hosts have nothing to do here
        """Let go of what made :meth:`hopeless_form` hopeless, if the plugin could not take it back otherwise."""

    @abstractmethod
    def disturb(self, attachment: Attachment) -> None:
        """Somebody unplugs the attachment's device by hand: it is no longer on its network."""

    @property
    def waits_for_devices(self) -> bool:
        """Whether a device has to be there to be plugged; false for a host where every device exists."""
        return True


class Bench:
    """A state, and a plugin that carries it out, without a loop and without a store."""

    def __init__(self, plugin: INetworkPlugin) -> None:
        self.plugin = plugin
        self.state = State()
        self.notified: list[Collection[Key] | None] = []
        self.limits = intent.Limits(networks=100, ports_per_network=5000, fixed_ports=plugin.fixed_ports)

    def notify(self, keys: Iterable[Key] | None) -> None:
        """What the plugin is given to call."""
        self.notified.append(None if keys is None else list(keys))

    def accept(self, transform: Callable[[Transaction], T]) -> T:
        """Carry a request into the state."""
        tx = Transaction(self.state, _NOW)
        result = transform(tx)
        self.state = tx.state
        return result

    def network(self, name: str = "blue", ident: str | None = None) -> Network:
        """Accept a network."""
        body = {"name": name, "id": ident}
        return self.accept(lambda tx: intent.create_network(tx, self.plugin.judge, self.limits, body, "default"))

    def plug(self, network: Network, form: Form) -> Attachment:
        """Accept an attachment."""
        return self.accept(lambda tx: intent.plug_anywhere(tx, self.plugin.judge, self.limits, network.id, form))

    def unplug(self, attachment: Attachment) -> Attachment:
        """Accept that it goes."""
        home = attachment.network_id, attachment.port_id
        return self.accept(lambda tx: intent.unplug(tx, self.plugin.judge, *home, intent.matching(None)))

    def delete(self, network: Network) -> Network:
        """Accept that it goes."""
        return self.accept(lambda tx: intent.delete_network(tx, self.plugin.judge, network.id, intent.matching(None)))

    def now(self, attachment: Attachment) -> Attachment:
        """The attachment as the state has it now."""
        return self.state.attachments[attachment.serial]

    async def plan(self, keys: Iterable[Key] | None = None) -> Plan:
        """What the plugin would be told to do."""
        wanted = None if keys is None else closure(self.state, keys)
        observed = await self.plugin.discover(self.state, wanted)
        return make_plan(self.state, observed, list(self.state.every_key()) if keys is None else keys)

    async def once(self, keys: Iterable[Key] | None = None) -> list[tuple[Change, Outcome]]:
        """Discover, plan, apply, record."""
        plan = await self.plan(keys)
        outcomes = await self.plugin.apply(plan.changes)
        assert len(outcomes) == len(plan.changes)
        done = list(zip(plan.changes, outcomes, strict=True))
        news = {**plan.settled, **{change.key: outcome for change, outcome in done if hasattr(change, "key")}}

        def record(tx: Transaction) -> None:
            for key, outcome in news.items():
                there = self.state.get(key)
                if there is not None:
                    settle(tx, key, there.revision, outcome)

        self.accept(record)
        return done

    async def converge(self) -> None:
        """Go on until nothing is left to do, or nothing more works."""
        for _ in range(5):
            done = await self.once()
            if not any(isinstance(outcome, Done) for _, outcome in done):
                return
        raise AssertionError(f"does not come to rest: {done}")


class _NetworkPluginTests(TestCase):
    """See :func:`make_network_plugin_tests`."""

    timeout = 60
    make_host: Callable[[], PluginHost]

    async def setUp(self) -> None:  # type: ignore[override]  # trial takes coroutines, unittest does not
        self.host = type(self).make_host()
        self.addCleanup(self.host.close)
        self.bench = Bench(await self.started())
        self.before = set(self.host.inventory())

    async def started(self, notify: Callable[[Iterable[Key] | None], None] | None = None) -> INetworkPlugin:
        plugin = self.host.make_plugin()
        await plugin.start(notify or (lambda keys: self.bench.notify(keys)))
        self.addCleanup(plugin.stop)
        return plugin

    async def eventually(self, condition: Callable[[], bool], what: str) -> None:
        for _ in range(500):
            if condition():
                return
            await deferLater(reactor, 0.01)
        raise AssertionError(f"not within 5 s: {what}")

    async def gone(self, what: str) -> None:
        """Nothing is there but what was there before the test."""
        await self.eventually(lambda: set(self.host.inventory()) == self.before, f"{what}: {self.host.inventory()}")

    def forms(self) -> list[Form]:
        """One of each form that the plugin says it takes, and that this kind of test can prepare."""
        takes = self.bench.plugin.capabilities
        forms = [Form(id="by-name", device=Device(name="own0")), Form(id="late0")]
        for name in ("own0", "late0", "up0"):
            self.host.add_device(name)
        if "tap" in takes.devices:
            forms.append(Form(id="a-tap", device=Device(create="tap")))
        if "veth" in takes.devices:
            netns = self.host.add_namespace()
            forms.append(Form(id="a-veth", device=Device(create="veth", netns=netns, ifname="eth0")))
        if "bridge" in takes.attachment_types:
            forms.append(Form(id="uplink", type="bridge", device=Device(name="up0")))
        if "tunnel" in takes.attachment_types:
            tunnel = Tunnel(kind="vxlan", remote="192.0.2.1", vni=77)
            forms.append(Form(id="far", type="tunnel", tunnel=tunnel))
        return forms

    def test_interface(self) -> None:
        """It provides INetworkPlugin, and its option schemas are JSON Schemas of objects with nothing unknown."""
        plugin = self.bench.plugin
        verifyObject(INetworkPlugin, plugin)
        self.assertIsNone(plugin.unavailable)
        for schema in (plugin.capabilities.network_options, plugin.capabilities.port_options):
            meta.validate(dict(schema))
            self.assertEqual("object", schema["type"])
            self.assertIs(False, schema["additionalProperties"])

    async def test_life(self) -> None:
        """Networks, ports and every form come, are found in order by a restarted plugin, and go without a trace."""
        network = self.bench.network()
        plugs = [self.bench.plug(network, form) for form in self.forms()]
        with_devices = set(self.host.inventory())
        await self.bench.converge()
        self.assertEqual(Status.ACTIVE, self.bench.state.networks[network.id].status)
        self.assertIn("bridge", self.bench.state.networks[network.id].plugin)
        for plugged in plugs:
            after = self.bench.now(plugged)
            self.assertIn(after.status, (AttachmentStatus.UP, AttachmentStatus.DOWN), after)
            self.assertLessEqual({"device", "bridge"}, set(after.plugin))
        self.bench.plugin = await self.started()
        self.assertEqual((), (await self.bench.plan()).changes, "a restart finds everything in order")
        for plugged in plugs:
            self.bench.unplug(plugged)
        self.bench.delete(network)
        await self.bench.converge()
        self.assertEqual([], list(self.bench.state.every_key()))
        self.before |= with_devices
        await self.gone("everything of ours is gone, and everything of others' is there")

    async def test_idempotent(self) -> None:
        """A batch that is applied again, by a plugin that knows nothing of the first time, changes nothing."""
        network = self.bench.network()
        for form in self.forms():
            self.bench.plug(network, form)
        plan = await self.bench.plan()
        first = await self.bench.plugin.apply(plan.changes)
        there = set(self.host.inventory())
        again = await (await self.started()).apply(plan.changes)
        for change, outcome in zip(plan.changes * 2, [*first, *again], strict=True):
            self.assertIsInstance(outcome, Done, change)
        self.assertEqual(there, set(self.host.inventory()))

    async def test_removal_is_idempotent(self) -> None:
        """Removing what is not there is done."""
        network = self.bench.network()
        plugs = [self.bench.plug(network, form) for form in self.forms()]
        port = self.bench.state.ports
        changes: list[Change] = [Detach(plugged, port[plugged.port_id], network) for plugged in plugs]
        for outcome in await self.bench.plugin.apply(changes):
            self.assertIsInstance(outcome, Done)

    async def test_bad_one(self) -> None:
        """A change that cannot work has a fault that says why, and does not keep the others from working."""
        network = self.bench.network()
        bad = self.bench.plug(network, self.host.hopeless_form())
        good = [self.bench.plug(network, form) for form in self.forms()]
        outcomes = {change.key: outcome for change, outcome in await self.bench.once() if hasattr(change, "key")}
        self.assertIsInstance(outcomes[bad.key], Failed)
        self.assertEqual(AttachmentStatus.FAILED, self.bench.now(bad).status)
        for plugged in good:
            self.assertIsInstance(outcomes[plugged.key], Done)
        self.assertIsInstance((await self.bench.once([bad.key]))[-1][1], Failed)
        self.host.relent()
        self.bench.unplug(bad)
        await self.bench.converge()
        self.assertNotIn(bad.serial, self.bench.state.attachments)

    async def test_move(self) -> None:
        """A device goes from one network to another: the two changes come in two batches, and it ends in the second."""
        red, blue = self.bench.network("red"), self.bench.network("blue")
        self.host.add_device("own0")
        form = Form(id="vm", device=Device(name="own0"))
        old = self.bench.plug(red, form)
        await self.bench.converge()
        self.bench.unplug(old)
        new = self.bench.plug(blue, form)
        await self.bench.converge()
        self.assertNotIn(old.serial, self.bench.state.attachments)
        self.assertEqual(self.bench.state.networks[blue.id].plugin["bridge"], self.bench.now(new).plugin["bridge"])
        self.assertEqual((), (await self.bench.plan()).changes)

    async def test_drift(self) -> None:
        """What somebody undid by hand is noticed, told in words, and done again."""
        network = self.bench.network()
        self.host.add_device("own0")
        plugged = self.bench.plug(network, Form(id="vm", device=Device(name="own0")))
        await self.bench.converge()
        self.bench.notified.clear()
        self.host.disturb(self.bench.now(plugged))
        changes = (await self.bench.plan()).changes
        self.assertEqual([plugged.key], [change.key for change in changes if isinstance(change, Attach)])
        self.assertTrue(all(change.found for change in changes if isinstance(change, Attach)), changes)
        await self.bench.converge()
        self.assertEqual((), (await self.bench.plan()).changes)

    async def test_leftovers(self) -> None:
        """What bears our mark and has no record is found when everything is looked at, and removed; nothing else is."""
        self.host.add_device("stranger0")
        strangers = set(self.host.inventory())
        network = self.bench.network()
        self.bench.plug(network, Form(id="a-tap", device=Device(create="tap")))
        await self.bench.converge()
        kept, self.bench.state = self.bench.state, State()
        plan = await self.bench.plan()
        self.assertTrue(plan.changes)
        for outcome in await self.bench.plugin.apply(plan.changes):
            self.assertIsInstance(outcome, Done)
        self.before = strangers
        await self.gone("leftovers are removed")
        self.bench.state = kept
        await self.bench.converge()
        self.assertEqual((), (await self.bench.plan()).changes, "and all is made again where a record comes back")

    async def test_one_id_for_both(self) -> None:
        """A network and a port may have the same id: ids are unique among their own kind."""
        ident = "11111111-1111-4111-8111-111111111111"
        network = self.bench.network(ident=ident)
        port = Port(serial=0, id=ident, network_id=ident, created_at=_NOW, updated_at=_NOW)
        self.bench.accept(partial(_put, port))
        plugged = self.bench.plug(network, Form(id="a-tap", device=Device(create="tap")))
        self.assertEqual(ident, plugged.port_id)
        await self.bench.converge()
        self.assertIn(self.bench.now(plugged).status, (AttachmentStatus.UP, AttachmentStatus.DOWN))
        self.assertEqual((), (await self.bench.plan()).changes)
        self.bench.unplug(plugged)
        await self.bench.converge()
        self.assertEqual((), (await self.bench.plan()).changes)
        self.bench.delete(network)
        await self.bench.converge()
        await self.gone("both are gone")

    async def test_unknown_parent(self) -> None:
        """An attachment whose network fails in the same batch is blocked: it has no fault of its own."""
        network = self.bench.network()
        plugged = self.bench.plug(network, Form(id="a-tap", device=Device(create="tap")))
        port = self.bench.state.ports[plugged.port_id]
        outcomes = await self.bench.plugin.apply([Attach(plugged, port, network)])
        self.assertIsInstance(outcomes[0], Done | Failed | Blocked)
        done = await self.bench.plugin.apply([EnsureNetwork(network), Attach(plugged, port, network)])
        self.assertEqual([Done, Done], [type(outcome) for outcome in done])

    def test_distinct_names(self) -> None:
        """Ids that begin alike get names of their own, none longer than the kernel takes."""
        names = []
        for last in range(20):
            ident = f"11111111-1111-4111-8111-1111111111{last:02x}"
            network = self.bench.network(ident=ident)
            form = Form(id=f"vif{last}", device=Device(create="tap"))
            port = Port(serial=0, id=ident, network_id=network.id, created_at=_NOW, updated_at=_NOW)
            self.bench.accept(partial(_put, port))
            names.append(self.bench.plug(network, form).device_name or "")
            names.append(str(network.data.get("bridge", f"none {ident}")))
        self.assertEqual(len(names), len(set(names)), names)
        self.assertTrue(all(len(name.encode()) <= 15 for name in names if not name.startswith("none")), names)


class _DeviceTests(_NetworkPluginTests):
    """For hosts where a device has to be there to be plugged."""

    async def test_late(self) -> None:
        """A device that is not there is waited for; the plugin notifies when it appears, and again when it goes."""
        network = self.bench.network()
        late = self.bench.plug(network, Form(id="late0"))
        await self.bench.converge()
        self.assertEqual(AttachmentStatus.IN_PROGRESS, self.bench.now(late).status)
        self.assertIsNone(self.bench.now(late).fault)
        self.bench.notified.clear()
        self.host.add_device("late0")
        await self.eventually(lambda: self.told(late), "the plugin tells that late0 is there")
        await self.bench.converge()
        self.assertIn(self.bench.now(late).status, (AttachmentStatus.UP, AttachmentStatus.DOWN))
        self.bench.notified.clear()
        self.host.remove_device("late0")
        await self.eventually(lambda: self.told(late), "the plugin tells that late0 is gone")
        await self.bench.converge()
        self.assertEqual(AttachmentStatus.DOWN, self.bench.now(late).status)
        self.assertEqual(Waiting, type((await self.bench.plan()).settled[late.key]))

    async def test_drift_is_told(self) -> None:
        """Nobody needs to ask: a device that is unplugged by hand is notified of."""
        network = self.bench.network()
        self.host.add_device("own0")
        plugged = self.bench.plug(network, Form(id="vm", device=Device(name="own0")))
        await self.bench.converge()
        self.bench.notified.clear()
        self.host.disturb(self.bench.now(plugged))
        await self.eventually(lambda: self.told(plugged), "the plugin tells of the drift")

    def told(self, attachment: Attachment) -> bool:
        return any(keys is None or attachment.key in keys for keys in self.bench.notified)


def make_network_plugin_tests(make_host: Callable[[], PluginHost]) -> type[TestCase]:
    """Tests for the plugin that ``make_host()`` makes plugins of; called once for each test."""
    probe = make_host()
    try:
        base = _DeviceTests if probe.waits_for_devices else _NetworkPluginTests
    finally:
        probe.close()
    return type("NetworkPluginTests", (base,), {"make_host": staticmethod(make_host)})


def _put(port: Port, tx: Transaction) -> None:
    tx.put(evolve(port, serial=tx.serial()))
