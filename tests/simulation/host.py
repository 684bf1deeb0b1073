"""A host that outlives processes, and a plugin on it that works step by step, is slow, and fails as the seed says."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from attrs import define, evolve, field
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from quantumd.core.changes import (
    Attach,
    Blocked,
    Change,
    Detach,
    Done,
    EnsureNetwork,
    EnsurePort,
    Failed,
    Leftover,
    Outcome,
    RemoveLeftover,
    RemoveNetwork,
    RemovePort,
    Waiting,
)
from quantumd.core.errors import ServiceUnavailable
from quantumd.core.model import Attachment, Json, Key, Network, Port
from quantumd.core.plan import Observed, Seen
from quantumd.core.state import State
from quantumd.interfaces import INetworkPlugin, IStateStore, Notify
from quantumd.plugins.memory import SETTINGS, MemoryPlugin
from quantumd.service.convergence import Convergence
from tests.simulation.world import Injected, ProcessClock, World

THEIRS = "somebody's bridge"
#: Serials of attachments that no state has.
LOST = 1_000_000


@define
class Bridge:
    """A bridge of ours; complete when it has its mark and all that it should have."""

    network_id: str
    mtu: int | None = None
    complete: bool = False


@define
class NetDev:
    """A device: made by us or by a stranger; ``mark`` is the serial of the attachment that it is plugged for."""

    made: bool
    mark: int | None = None
    bridge: str | None = None
    form: object = None


@define
class Host:
    """Everything that is there."""

    bridges: dict[str, Bridge] = field(factory=dict)
    devices: dict[str, NetDev] = field(factory=dict)
    away: bool = False
    fault_rate: float = 0.0

    def reboot(self) -> None:
        """Devices and bridges of ours are gone with the kernel; strangers' come back as they are by themselves."""
        self.bridges.clear()
        self.devices = {name: NetDev(made=False) for name, device in self.devices.items() if not device.made}

    def leave_behind(self, number: int) -> str:
        """Have something there that a state which is lost knew of; returns its name."""
        name = f"left{number}"
        self.devices[name] = NetDev(made=True, mark=LOST + number)
        return name

    def ours(self) -> list[str]:
        """What is there on our account, in words."""
        marked = [f"{name} for {device.mark}" for name, device in self.devices.items() if device.mark is not None]
        return sorted([f"bridge {name}" for name in self.bridges] + marked)


@implementer(INetworkPlugin)
class SimulatedPlugin(MemoryPlugin):
    """Judges as the memory plugin does; sees and changes a :class:`Host`, one step at a time.

    ``batches``, delays and failures are the seed's.
    """

    name = "simulated"
    loop: Convergence
    store: IStateStore

    def __init__(self, world: World, clock: ProcessClock, host: Host) -> None:
        super().__init__(clock, SETTINGS)
        self._world = world
        self._process = clock
        self._machine = host
        self._latest = State()
        self._notify: Notify = lambda _: None  # until it is started
        self.batches = world.random.choice((1, 1, 2, 5))
        self.slow = world.random.choice((0.001, 0.02, 0.3))
        self.applied: list[Change] = []

    @property
    def unavailable(self) -> str | None:
        """See INetworkPlugin."""
        return "the simulated switch does not answer" if self._machine.away else None

    def start(self, notify: Notify) -> Deferred[None]:
        """See INetworkPlugin."""
        self._notify = notify
        return succeed(None)

    def stop(self) -> Deferred[None]:
        """See INetworkPlugin."""
        return succeed(None)

    def tell(self, names: Iterable[str] | None) -> None:
        """The host tells, a little later, that something became of these devices or bridges (None: of anything)."""
        if names is not None and self._world.chance(0.1):
            return  # the kernel had too much to tell; the audit finds it
        wanted = None if names is None else set(names)

        def told() -> None:
            if wanted is None:
                self._notify(None)
                return
            state = self._latest
            keys = [a.key for a in state.attachments.values() if a.device_name in wanted]
            keys += [n.key for n in state.networks.values() if n.data["bridge"] in wanted]
            if keys:
                self._notify(sorted(keys, key=str))

        self._process.callLater(self._world.random.random() * 0.05, told)

    # --- looking

    def discover(self, state: State, keys: Collection[Key] | None) -> Deferred[Observed]:
        """See INetworkPlugin."""
        return Deferred.fromCoroutine(self._discover(state, keys))

    async def _discover(self, state: State, keys: Collection[Key] | None) -> Observed:
        self._latest = state
        await self._process.pause(self.slow)
        self._check_backend()
        wanted = list(state.every_key()) if keys is None else list(keys)
        records = [record for key in wanted if (record := state.get(key)) is not None]
        seen = {record.key: self._see(state, record) for record in records}
        leftovers = self._leftovers(state) if keys is None else ()
        await self._process.pause(self.slow)
        self._check_backend()
        return Observed(seen, leftovers)

    def _check_backend(self) -> None:
        if self._machine.away:
            raise ServiceUnavailable("the simulated switch does not answer")
        if self._world.chance(self._machine.fault_rate / 10):
            self._world.counts.backend_faults += 1
            raise Injected("a bug of the plugin")

    def _see(self, state: State, record: Network | Port | Attachment) -> Seen:
        if isinstance(record, Port):
            return Seen(not record.going)
        if isinstance(record, Network):
            bridge = self._machine.bridges.get(record.data["bridge"])
            if bridge is None:
                return Seen(False, ("its bridge is gone",) if record.plugin else ())
            wrong = () if bridge.complete and bridge.mtu == record.options.get("mtu") else ("its bridge is amiss",)
            return Seen(True, wrong, plugin={"bridge": record.data["bridge"]})
        return self._see_plug(record, state.networks[record.network_id].data["bridge"])

    def _see_plug(self, record: Attachment, bridge: str) -> Seen:
        name = _device(record)
        device = self._machine.devices.get(name)
        report = {"bridge": bridge, "device": name}
        gone = ("its device is gone",) if record.was_plugged else ()
        if record.form.managed:
            if device is None or device.mark != record.serial:
                return Seen(False, gone, None, report, up=False)
        elif device is None:
            return Seen(False, gone, f"device {name}", report, up=False)
        inside = device.bridge == bridge
        mine = device.mark == record.serial
        wrong = [] if inside else [f"it is in {device.bridge}"]
        if not mine:
            wrong.append("its mark is missing")
        return Seen((mine or inside) if not record.form.managed else True, tuple(wrong), None, report)

    def _leftovers(self, state: State) -> tuple[Leftover, ...]:
        found = [
            Leftover(f"device {name}", {"device": name, "mark": device.mark})
            for name, device in self._machine.devices.items()
            if device.mark is not None and device.mark not in state.attachments
        ]
        found += [
            Leftover(f"bridge {name}", {"bridge": name, "mark": bridge.network_id})
            for name, bridge in self._machine.bridges.items()
            if bridge.network_id not in state.networks
        ]
        return tuple(found)

    # --- changing

    def apply(self, changes: Sequence[Change]) -> Deferred[Sequence[Outcome]]:
        """See INetworkPlugin."""
        return Deferred.fromCoroutine(self._work(changes))

    async def _work(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        failed: set[Key] = set()
        outcomes = []
        for change in changes:
            await self._process.pause(self.slow)
            if self._machine.away:
                raise ServiceUnavailable("the simulated switch does not answer")
            outcome = await self._one(change, failed)
            if isinstance(outcome, Failed | Blocked) and not isinstance(change, RemoveLeftover):
                failed.add(change.key)
            outcomes.append(outcome)
        await self._process.pause(self.slow)
        if self._world.chance(self._machine.fault_rate / 5):
            self._world.counts.backend_faults += 1
            raise ServiceUnavailable("the reply of the simulated switch was lost")
        return outcomes

    async def _one(self, change: Change, failed: set[Key]) -> Outcome:
        self.applied.append(change)
        if isinstance(change, EnsurePort | Attach) and change.network.key in failed:
            return Blocked()
        if isinstance(change, Attach) and change.port.key in failed:
            return Blocked()
        doomed = self._world.chance(self._machine.fault_rate)
        if doomed:
            self._world.counts.change_faults += 1
        if doomed and self._world.chance(0.5):
            return Failed("the simulated kernel refuses; try again")
        outcome = await self._do(change)
        return Failed("the simulated kernel refuses half-way; try again") if doomed else outcome

    async def _do(self, change: Change) -> Outcome:
        match change:
            case EnsureNetwork(network):
                return await self._make_bridge(network)
            case RemoveNetwork(network):
                self._remove_bridge(network.data["bridge"], network.id)
            case Attach(attachment, _, network):
                make = self._make if attachment.form.managed else self._take
                return await make(attachment, network.data["bridge"])
            case Detach(attachment, _, _):
                self._let_go(_device(attachment), attachment.serial)
            case RemoveLeftover(leftover):
                self._remove_leftover(leftover.handle)
            case EnsurePort() | RemovePort():
                pass
        return Done()

    async def _make_bridge(self, network: Network) -> Outcome:
        name = network.data["bridge"]
        bridge = self._machine.bridges.get(name)
        if bridge is None:
            bridge = self._machine.bridges[name] = Bridge(network.id)
            self.tell([name])
            await self._process.pause(self.slow)
        elif bridge.network_id != network.id:
            return Failed(f"the name {name} is held by the bridge of another network")
        bridge.mtu, bridge.complete = network.options.get("mtu"), True
        return Done({"bridge": name})

    def _remove_bridge(self, name: str, network_id: str) -> None:
        bridge = self._machine.bridges.get(name)
        if bridge is not None and bridge.network_id == network_id:
            self._must_be_going(self.store.state.networks.get(network_id), name)
            del self._machine.bridges[name]
            for device in self._machine.devices.values():
                if device.bridge == name:
                    device.bridge = None
            self.tell([name])

    async def _make(self, attachment: Attachment, bridge: str) -> Outcome:
        name = _device(attachment)
        device = self._machine.devices.get(name)
        if device is not None and device.mark != attachment.serial:
            return Failed(f"the name {name} is held by a device of somebody else")
        if bridge not in self._machine.bridges:
            return Failed(f"the bridge {bridge} is not there; it is made anew")
        if device is None:
            device = self._machine.devices[name] = NetDev(made=True, mark=attachment.serial)
            await self._process.pause(self.slow)
        device.bridge, device.form = bridge, attachment.form
        self.tell([name])
        return Done({"bridge": bridge, "device": name})

    async def _take(self, attachment: Attachment, bridge: str) -> Outcome:
        name = _device(attachment)
        device = self._machine.devices.get(name)
        report = {"bridge": bridge, "device": name}
        if device is None:
            return Waiting(f"device {name}", report)
        if device.bridge == THEIRS or (device.mark is not None and device.mark != attachment.serial):
            return Failed(f"the device {name} is in somebody's bridge; take it out of there first")
        if bridge not in self._machine.bridges:
            return Failed(f"the bridge {bridge} is not there; it is made anew")
        device.mark = attachment.serial
        await self._process.pause(self.slow)
        if self._machine.devices.get(name) is not device:
            return Waiting(f"device {name}", report)
        device.bridge = bridge
        self.tell([name])
        return Done(report)

    def _let_go(self, name: str, serial: int) -> None:
        device = self._machine.devices.get(name)
        if device is None or device.mark != serial:
            return
        self._must_be_going(self.store.state.attachments.get(serial), name)
        if device.made:
            del self._machine.devices[name]
        else:
            device.mark = None
            device.bridge = None if device.bridge != THEIRS else THEIRS
        self.tell([name])

    @staticmethod
    def _must_be_going(record: Network | Attachment | None, name: str) -> None:
        """Nothing that is to stay is ever taken away, not for a moment."""
        assert record is None or record.going, f"{name} is disturbed, which is in use by {record}"

    def _remove_leftover(self, handle: Json) -> None:
        if "bridge" in handle:
            self._remove_bridge(handle["bridge"], handle["mark"])
        else:
            self._let_go(handle["device"], handle["mark"])


def _device(attachment: Attachment) -> str:
    name = attachment.device_name
    assert name is not None
    return name


def copied(host: Host) -> tuple[object, object]:
    """What is there, as a value to compare with."""
    return (
        {name: evolve(bridge) for name, bridge in host.bridges.items()},
        {name: evolve(device) for name, device in host.devices.items()},
    )
