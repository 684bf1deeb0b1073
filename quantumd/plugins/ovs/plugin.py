"""Plugin ``ovs``: one integration bridge of Open vSwitch, and a VLAN of it for each network.

The switch is spoken to by its database alone; the kernel is asked for the devices that are plugged into it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from zope.interface import implementer

from quantumd.core.changes import (
    Attach,
    Change,
    Detach,
    Done,
    EnsureNetwork,
    EnsurePort,
    Failed,
    Leftover,
    Outcome,
    RecordChange,
    RemoveLeftover,
    RemoveNetwork,
    RemovePort,
)
from quantumd.core.model import Attachment, Json, Key, Kind, Network, Record
from quantumd.core.names import ifname_problem
from quantumd.core.plan import ABSENT, PRESENT, Observed, Seen
from quantumd.core.state import State
from quantumd.host.netlink.monitor import Event, LinkMonitor, open_monitor_socket
from quantumd.host.netlink.rtnl import Rtnl
from quantumd.host.netlink.thread import NetlinkThread
from quantumd.host.netns_watch import NamespaceWatch
from quantumd.host.ovsdb.remotes import Credentials, client_endpoint
from quantumd.interfaces import Capabilities, INetworkPlugin, Notify
from quantumd.plugins.linuxbridge.interests import Interests
from quantumd.plugins.linuxbridge.judge import is_about_strangers
from quantumd.plugins.linuxbridge.marks import MAKING
from quantumd.plugins.linuxbridge.view import HostView, Snapshot, is_unheard_of
from quantumd.plugins.ovs import devices
from quantumd.plugins.ovs.attach import Tools, attach, names_of
from quantumd.plugins.ovs.backend import Backend
from quantumd.plugins.ovs.features import Features, probe
from quantumd.plugins.ovs.judge import LAST_VLAN, Judge
from quantumd.plugins.ovs.look import (
    bridge_problem,
    network_problem,
    network_report,
    see_network,
    see_plug,
    suspects,
    unaccounted,
)
from quantumd.plugins.ovs.removal import remove
from quantumd.plugins.ovs.tables import Switch
from quantumd.plugins.ovs.terms import DEVICES, Plug, Role, plug_of
from quantumd.plugins.slices import in_slices

SETTINGS: Mapping[str, Any] = {
    "ovsdb": "unix:/var/run/openvswitch/db.sock",
    "bridge": "br-int",
    "datapath_type": "system",
    "private_key": "",
    "certificate": "",
    "ca_cert": "",
}

_OPTIONS = {
    "type": "object",
    "properties": {
        "mtu": {
            "type": "integer",
            "minimum": 68,
            "maximum": 65535,
            "description": "The largest packet of the network's members, in bytes: set on its managed devices",
        },
        "vlan": {
            "type": "integer",
            "minimum": 1,
            "maximum": LAST_VLAN,
            "description": "The VLAN that the network has on the integration bridge; without it, one is chosen",
        },
    },
    "additionalProperties": False,
}


@implementer(INetworkPlugin)
class OvsPlugin:
    """See the module. With ``netns``, the path of a network namespace, that is its host instead of this process'."""

    name = "ovs"
    fixed_ports = 0
    # While the switch takes a batch up, the devices of the next one are seen to. More, and so smaller, batches are more
    # work for the switch.
    batches = 2
    _log = Logger()

    def __init__(self, reactor: Any, settings: Mapping[str, Any] = SETTINGS, netns: str | None = None) -> None:
        problem = ifname_problem(settings["bridge"])
        if problem is not None:
            raise ValueError(f"bridge: {problem}")
        if settings["datapath_type"] not in ("system", "netdev"):
            raise ValueError("datapath_type: use 'system' for the kernel's datapath, 'netdev' for the userspace one")
        credentials = Credentials(settings["private_key"], settings["certificate"], settings["ca_cert"])
        try:
            endpoint = client_endpoint(reactor, settings["ovsdb"], credentials)
        except ValueError as error:
            raise ValueError(f"ovsdb: {error}") from error
        self.capabilities = _capabilities(Features())
        self._reactor = reactor
        self._backend = Backend(
            reactor, endpoint, settings["ovsdb"], settings["bridge"], settings["datapath_type"], self._switch_changed
        )
        self._thread = NetlinkThread(reactor, netns)
        self._features = Features()
        self._view = HostView()
        self._interests = Interests()
        self._judge = Judge()
        self._monitor: LinkMonitor | None = None
        self._namespaces: NamespaceWatch | None = None
        self._notify: Notify = lambda _: None
        self._state = State()
        # The records that are being plugged now: what becomes of them is looked at when that is done.
        self._busy: set[Key] = set()
        # What the last look at records that are to be plugged has seen, for the batch that comes of it.
        self._looked: dict[Key, devices.Host] = {}
        self._running = False

    # --- its life

    @property
    def unavailable(self) -> str | None:
        """See INetworkPlugin."""
        return self._backend.unavailable

    def start(self, notify: Notify) -> Deferred[None]:
        """See INetworkPlugin."""
        self._notify = notify
        return Deferred.fromCoroutine(self._start())

    async def _start(self) -> None:
        await self._thread.start()
        try:
            self._features = await self._thread.call(probe)
            self.capabilities = _capabilities(self._features)
            opened = await self._thread.call(open_monitor_socket, MAKING)
            self._monitor = LinkMonitor(self._reactor, opened, self._links_changed)
            self._view.replace(await self._thread.call(Snapshot))
        except BaseException:
            await self._thread.stop()
            raise
        self._running = True
        self._monitor.start()
        self._namespaces = NamespaceWatch(self._reactor, self._namespace_changed)
        self._namespaces.start()
        await self._backend.start()

    def stop(self) -> Deferred[None]:
        """See INetworkPlugin."""
        if not self._running:
            return succeed(None)
        self._running = False
        if self._namespaces is not None:
            self._namespaces.stop()
        if self._monitor is not None:
            self._monitor.stop()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        await self._backend.stop()
        await self._thread.stop()

    # --- what the switch and the kernel tell

    def _switch_changed(self, topics: Iterable[str] | None) -> None:
        if topics is None:
            self._notify(None)
        else:
            self._concern(topics)

    def _links_changed(self, events: list[Event]) -> None:
        names, routes, overrun = self._view.take(events)
        if overrun:
            self._log.warn("The kernel told more than could be read; looking at everything")
            self._thread.call(Snapshot).addCallbacks(self._take_snapshot, self._broken)
        elif routes:
            self._thread.call(Rtnl.default_routes).addCallbacks(self._view.replace_routes, self._broken)
        self._concern(names)

    def _take_snapshot(self, snapshot: Snapshot) -> None:
        self._view.replace(snapshot)
        self._notify(None)

    def _broken(self, failure: Any) -> None:
        if self._running:
            self._log.failure("The host cannot be read", failure=failure)

    def _namespace_changed(self, name: str) -> None:
        self._concern([f"netns/{name}"])

    def _concern(self, topics: Iterable[str]) -> None:
        keys = self._interests.concerned(topics) - self._busy
        if keys:
            self._notify(keys)

    # --- what is asked of it

    def judge(self, state: State, change: RecordChange) -> Json:
        """See INetworkPlugin."""
        if is_about_strangers(change) and self._monitor is not None and self._running:
            self._monitor.read()
        return self._judge.judge(state, change, self._view, self._backend.switch, self._features)

    def discover(self, state: State, keys: Collection[Key] | None) -> Deferred[Observed]:
        """See INetworkPlugin."""
        return Deferred.fromCoroutine(self._discover(state, keys))

    async def _discover(self, state: State, keys: Collection[Key] | None) -> Observed:
        self._state = state
        switch = await self._backend.up_to_date()
        records: dict[Key, Record] = {}
        plugs: dict[Key, Plug] = {}
        async for some in in_slices(self._reactor, state.every_record() if keys is None else state.those(keys)):
            for record in some:
                key = record.key
                records[key] = record
                if isinstance(record, Attachment):
                    plugs[key] = plug_of(record, state.networks[record.network_id])
                self._watch(switch, key, plugs.get(key))
        names = None
        if keys is None:
            self._interests.keep(records.keys(), self._state)
        else:
            for key in keys:
                if key not in records:
                    self._interests.forget(key)
            asked = (names_of(switch, plug) for plug in plugs.values() if not self._is_unheard_of(plug))
            names = {name for some in asked for name in some}
        altnames, known = self._features.altnames, self._view.links
        host = await self._thread.call(devices.look, names, list(plugs.values()), altnames, known)
        seen: dict[Key, Seen] = {}
        async for several in in_slices(self._reactor, records.items()):
            switch = self._backend.present()
            for key, record in several:
                seen[key] = _see(switch, host, record, plugs.get(key))
        found: list[Leftover] = []
        if keys is not None:
            self._looked.update((key, host) for key in plugs if not seen[key].in_order and not seen[key].waiting_for)
        else:
            self._looked.clear()
            idents = [plug.ident for plug in plugs.values()]
            async for suspected in in_slices(self._reactor, suspects(self._backend.present(), host, idents)):
                switch = self._backend.present()
                found += filter(None, (unaccounted(switch, host, state, suspect) for suspect in suspected))
        return Observed(seen, tuple(found))

    def _is_unheard_of(self, plug: Plug) -> bool:
        own = (plug.port, plug.mark)
        return plug.role in DEVICES and is_unheard_of(plug.attachment, own, self._view.names)

    def _watch(self, switch: Switch, key: Key, plug: Plug | None) -> None:
        """From now on, tell of what concerns the record. Only of a BOUND one may that become something else."""
        if key in self._interests and (plug is None or plug.role is not Role.BOUND):
            return
        if key.kind is Kind.NETWORK:
            self._interests.watch(key, {f"bridge/{switch.integration}", f"port/{switch.integration}"})
        if plug is None:
            return
        topics = {f"mark/{plug.ident}", f"port/{plug.port}", *names_of(switch, plug)}
        if plug.role is Role.BOUND:
            topics.add(f"iface/{plug.attachment.id}")
        if plug.role is Role.UPLINK:
            topics |= {f"uplink/{plug.device}", f"port/{plug.device}"}
        if plug.place is not None and plug.place.name is not None:
            topics.add(f"netns/{plug.place.name}")
        self._interests.watch(key, topics)

    def apply(self, changes: Sequence[Change]) -> Deferred[Sequence[Outcome]]:
        """See INetworkPlugin."""
        return Deferred.fromCoroutine(self._apply(changes))

    async def _apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        plugging = {change.key for change in changes if isinstance(change, Attach)}
        self._busy |= plugging
        try:
            return await self._carry_out(changes)
        finally:
            self._busy -= plugging

    async def _carry_out(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        tools = Tools(self._backend, self._thread, self._view, self._features.altnames)
        outcomes: dict[int, Outcome] = {
            place: Done() for place, change in enumerate(changes) if isinstance(change, EnsurePort)
        }
        removals = [
            (place, change)
            for place, change in enumerate(changes)
            if isinstance(change, Detach | RemovePort | RemoveNetwork | RemoveLeftover)
        ]
        removed = await remove(tools, [change for _, change in removals])
        outcomes.update(zip([place for place, _ in removals], removed, strict=True))
        failed = set()
        for place, change in enumerate(changes):
            if isinstance(change, EnsureNetwork):
                outcomes[place] = _ensured(tools.switch, change.network)
                if isinstance(outcomes[place], Failed):
                    failed.add(change.key)
        plugging = [(place, change) for place, change in enumerate(changes) if isinstance(change, Attach)]
        if plugging:
            hosts = [self._looked.pop(change.key, None) for _, change in plugging]
            # What was seen holds for all of them, and nothing was removed since.
            host = hosts[0] if not removals and all(one is hosts[0] for one in hosts) else None
            plugged = await attach(tools, [change for _, change in plugging], failed, host)
            outcomes.update(zip([place for place, _ in plugging], plugged, strict=True))
        self._tell_members(changes)
        return [outcomes[place] for place in range(len(changes))]

    def _tell_members(self, changes: Sequence[Change]) -> None:
        """Ports follow their network's VLAN and MTU, and are looked at only when somebody asks."""
        mended = [change.network.id for change in changes if isinstance(change, EnsureNetwork) and change.found]
        keys = {Key(Kind.ATTACHMENT, n) for one in mended for n in self._state.network_attachments.get(one, ())}
        if keys - self._busy:
            self._notify(keys - self._busy)


def _see(switch: Switch, host: devices.Host, record: Record, plug: Plug | None) -> Seen:
    if plug is not None:
        return see_plug(switch, host, plug)
    if isinstance(record, Network):
        return see_network(switch, record)
    return ABSENT if record.going else PRESENT


def _ensured(switch: Switch, network: Network) -> Outcome:
    problem = bridge_problem(switch) or network_problem(network)
    return Done(network_report(switch, network)) if problem is None else Failed(f"{problem[0].upper()}{problem[1:]}.")


def _capabilities(features: Features) -> Capabilities:
    made = {"tap": not features.no_tap, "veth": features.veth, "internal": True}
    return Capabilities(
        network_options=_OPTIONS,
        attachment_types={
            "vif": "a device of a guest: the port whose interface has the external id iface-id, or a device by name, "
            "now or when it comes, or a tap, veth or internal port made for it",
            "bridge": "a host interface that extends the network, on a VLAN or untagged, by a provider bridge",
            "tunnel": "a VXLAN tunnel that extends the network to another site",
        },
        devices=tuple(name for name, there in made.items() if there),
        features={
            "8021q": True,
            "altnames": features.altnames,
            "multi_queue": features.multi_queue,
            "networks": LAST_VLAN,
        },
    )
