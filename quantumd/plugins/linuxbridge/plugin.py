"""Plugin ``linuxbridge``: a bridge for each network, and nothing needed but the kernel and CAP_NET_ADMIN."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from attrs import evolve
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
    Outcome,
    RecordChange,
    RemoveLeftover,
    RemoveNetwork,
    RemovePort,
    Waiting,
)
from quantumd.core.model import Json, Key, Kind, Network, Port, Record
from quantumd.core.plan import Observed
from quantumd.core.state import State
from quantumd.host.netlink.monitor import Event, LinkMonitor, open_monitor_socket
from quantumd.host.netlink.parse import Link
from quantumd.host.netlink.rtnl import Rtnl
from quantumd.host.netlink.thread import NetlinkThread
from quantumd.host.netns_watch import NamespaceWatch
from quantumd.interfaces import Capabilities, INetworkPlugin, Notify
from quantumd.plugins.linuxbridge.attach import Context, Plugged, attach
from quantumd.plugins.linuxbridge.awaited import Awaited
from quantumd.plugins.linuxbridge.facts import Facts
from quantumd.plugins.linuxbridge.features import Features, probe
from quantumd.plugins.linuxbridge.interests import Interests
from quantumd.plugins.linuxbridge.judge import MAX_PORTS, is_about_strangers, judge
from quantumd.plugins.linuxbridge.look import plug_differences, plug_report
from quantumd.plugins.linuxbridge.marks import MAKING
from quantumd.plugins.linuxbridge.networks import ensure_networks
from quantumd.plugins.linuxbridge.observe import observe, observe_at_once
from quantumd.plugins.linuxbridge.removal import remove
from quantumd.plugins.linuxbridge.terms import Plug, names_of, plug_of
from quantumd.plugins.linuxbridge.view import HostView, Snapshot
from quantumd.plugins.slices import in_slices

SETTINGS: Mapping[str, Any] = {}

#: How many records at most are looked at in the reactor's thread, where nothing has to be asked.
_FEW = 50

_MTU = {
    "type": "integer",
    "minimum": 68,
    "maximum": 65535,
    "description": "The largest packet of the network's members, in bytes: set on its bridge and managed devices",
}


@implementer(INetworkPlugin)
class LinuxBridgePlugin:
    """See the module. With ``netns``, the path of a network namespace, that is its host instead of this process'."""

    name = "linuxbridge"
    fixed_ports = 0
    batches = 1
    unavailable: str | None = None
    _log = Logger()

    def __init__(self, reactor: Any, settings: Mapping[str, Any] = SETTINGS, netns: str | None = None) -> None:
        del settings  # there is nothing to set
        self.capabilities = _capabilities(Features())
        self._reactor = reactor
        self._thread = NetlinkThread(reactor, netns)
        self._features = Features()
        self._view = HostView()
        # How often the kernel told of what could not be read, where what there is has not been read again since.
        self._missed = 0
        self._interests = Interests()
        self._monitor: LinkMonitor | None = None
        self._namespaces = NamespaceWatch(reactor, self._namespace_changed)
        self._awaited = Awaited(reactor, self._thread, self._names_changed)
        self._notify: Notify = lambda _: None
        self._state = State()
        # What the last look at records that are to be plugged has seen, for the batch that comes of it.
        self._looked: dict[Key, Facts] = {}
        self._running = False
        # The names of devices of which the kernel told while changes were applied; None: none are being applied.
        self._told_meanwhile: set[str] | None = None

    # --- its life

    def start(self, notify: Notify) -> Deferred[None]:
        """See INetworkPlugin."""
        self._notify = notify
        return Deferred.fromCoroutine(self._start())

    async def _start(self) -> None:
        try:
            await self._open()
        except BaseException:
            await self._thread.stop()
            raise

    async def _open(self) -> None:
        await self._thread.start()
        self._features = await self._thread.call(probe)
        self.capabilities = _capabilities(self._features)
        if self._features.br_netfilter:
            self._log.warn(
                "This host's iptables see what goes from guest to guest, and drop what their FORWARD chain drops. "
                "Unless something here needs that: sysctl net.bridge.bridge-nf-call-iptables=0 (and -ip6tables)"
            )
        opened = await self._thread.call(open_monitor_socket, MAKING)
        self._monitor = LinkMonitor(self._reactor, opened, self._told)
        self._view.replace(await self._thread.call(Snapshot))
        self._running = True
        self._monitor.start()
        self._namespaces.start()

    def stop(self) -> Deferred[None]:
        """See INetworkPlugin."""
        if not self._running:
            return succeed(None)
        self._running = False
        self._namespaces.stop()
        self._awaited.stop()
        if self._monitor is not None:
            self._monitor.stop()
        return self._thread.stop()

    # --- what the host tells

    def _told(self, events: list[Event]) -> None:
        names, routes, overrun = self._view.take(events)
        if overrun:
            self._log.warn("The kernel told more than could be read; looking at everything")
            self._missed += 1
            self._resync()
        elif routes:
            self._thread.call(Rtnl.default_routes).addCallbacks(self._view.replace_routes, self._broken)
        self._names_changed(names)

    def _resync(self) -> None:
        def take(snapshot: Snapshot) -> None:
            self._view.replace(snapshot)
            self._missed -= 1
            self._notify(None)

        self._thread.call(Snapshot).addCallbacks(take, self._broken)

    def _broken(self, failure: Any) -> None:
        if self._running:
            self._log.failure("The host cannot be read", failure=failure)

    def _names_changed(self, names: Iterable[str]) -> None:
        if self._told_meanwhile is not None:
            self._told_meanwhile.update(names)
            return
        keys = self._interests.concerned(names)
        if keys:
            self._notify(keys)

    def _namespace_changed(self, name: str) -> None:
        self._names_changed([_namespace_interest(name)])

    # --- what is asked of it

    def judge(self, state: State, change: RecordChange) -> Json:
        """See INetworkPlugin."""
        if is_about_strangers(change) and self._monitor is not None and self._running:
            # It is judged by the devices that there are; nobody shall be told of one that went a moment ago.
            self._monitor.read()
        return judge(state, change, self._view, self._features)

    def discover(self, state: State, keys: Collection[Key] | None) -> Deferred[Observed]:
        """See INetworkPlugin."""
        return Deferred.fromCoroutine(self._discover(state, keys))

    async def _discover(self, state: State, keys: Collection[Key] | None) -> Observed:
        self._state = state
        wanted: dict[Key, Record] = {}
        # Before the host is read, so that what changes meanwhile is told of.
        async for some in in_slices(self._reactor, state.every_record() if keys is None else state.those(keys)):
            for record in some:
                key = record.key
                wanted[key] = record
                if key not in self._interests:
                    self._interests.watch(key, _interests_of(state, record))
        look = None
        if keys is not None and len(wanted) <= _FEW:
            # To hand work to the thread and back takes longer than this.
            look = observe_at_once(state, wanted, self._features, self._view)
        if look is None:
            look = await self._thread.call(observe, state, wanted, keys is None, self._features, self._view)
        seen, late, facts = look
        if keys is None:
            self._awaited.replace(late)
            self._looked.clear()
            self._interests.keep(wanted.keys(), self._state)
            return seen
        for key in keys:
            if key not in wanted:
                self._interests.forget(key)
            self._awaited.set(key, late.get(key))
        self._looked.update((key, facts) for key in _to_be_plugged(seen))
        return seen

    def apply(self, changes: Sequence[Change]) -> Deferred[Sequence[Outcome]]:
        """See INetworkPlugin."""
        return Deferred.fromCoroutine(self._apply(changes))

    async def _apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        facts = self._just_seen(changes)
        context = Context(self._features, self._view, self._view.default_routes, facts=facts)
        self._told_meanwhile = set()
        quiet: set[str] = set()
        monitor = self._monitor
        assert monitor is not None
        monitor.hold()
        try:
            came = await self._thread.call(carry_out, changes, context)
            links = await self._as_told([one.index for one in came if isinstance(one, Plugged)])
            outcomes: list[Outcome] = []
            for change, one in zip(changes, came, strict=True):
                if isinstance(one, Plugged):
                    one, names = self._became(one.plug, links.get(one.index))
                    quiet |= names
                outcomes.append(one)
                if isinstance(change, Detach | RemovePort | RemoveNetwork) and isinstance(one, Done):
                    self._interests.forget(change.key)
        finally:
            monitor.release()
            names, self._told_meanwhile = self._told_meanwhile or set(), None
            self._names_changed(names - quiet)
        # Devices follow their network's MTU, and are looked at only when somebody asks.
        mended = [change.network.id for change in changes if isinstance(change, EnsureNetwork) and change.found]
        keys = [Key(Kind.ATTACHMENT, n) for one in mended for n in self._state.network_attachments.get(one, ())]
        if keys:
            self._notify(keys)
        return outcomes

    async def _as_told(self, indexes: Sequence[int]) -> dict[int, Link]:
        """What became of these devices by now. The kernel tells of a change before it acknowledges it, so that mostly
        nothing has to be asked."""
        if self._monitor is not None and self._running:
            self._monitor.read()
        told = {} if self._missed else self._view.links
        links = {index: told[index] for index in indexes if index in told}
        asked = [index for index in indexes if index not in links]
        if asked:
            found = await self._thread.call(Rtnl.links, asked)
            links.update((link.index, link) for link in found if link is not None)
        return links

    def _became(self, plug: Plug, link: Link | None) -> tuple[Outcome, set[str]]:
        """What came of plugging a device, and its names, if it is as it should be and nobody needs to look again."""
        if link is None:
            return Waiting(f"device {plug.device}", plug_report(plug, None)), set()
        facts = Facts(self._features.altnames, self._view.links, self._view.names)
        inside = link.master == self._view.names.get(plug.bridge)
        wrong = plug_differences(facts, plug, link, inside)
        return Done(plug_report(plug, link), up=link.running), set() if wrong else {link.name, *link.altnames}

    def _just_seen(self, changes: Sequence[Change]) -> Facts | None:
        """What the look that these changes come of has seen, where it holds: nothing is to be done but to plug devices
        of our own. Somebody else's may be in another bridge by now."""
        plugs = [change for change in changes if isinstance(change, Attach)]
        looked = [self._looked.pop(change.key, None) for change in plugs]
        plugging = all(isinstance(change, Attach | EnsurePort) for change in changes)
        if not (plugs and plugging and all(change.attachment.form.managed for change in plugs)):
            return None
        return looked[0] if all(facts is looked[0] for facts in looked) else None


def carry_out(rtnl: Rtnl, changes: Sequence[Change], context: Context) -> list[Outcome | Plugged]:
    """Carry changes out in the netlink thread, phase by phase; for each, what was plugged or what came of it."""
    outcomes: dict[int, Outcome | Plugged] = {
        place: Done() for place, change in enumerate(changes) if isinstance(change, EnsurePort)
    }
    removals = [
        (place, change)
        for place, change in enumerate(changes)
        if isinstance(change, Detach | RemovePort | RemoveNetwork | RemoveLeftover)
    ]
    networks = [(place, change) for place, change in enumerate(changes) if isinstance(change, EnsureNetwork)]
    plugs = [(place, change) for place, change in enumerate(changes) if isinstance(change, Attach)]
    places = [place for place, _ in removals]
    outcomes.update(zip(places, remove(rtnl, [change for _, change in removals]), strict=True))
    made = ensure_networks(rtnl, [change for _, change in networks], context.features.altnames)
    outcomes.update(zip([place for place, _ in networks], made, strict=True))
    failed = {change.key for place, change in networks if isinstance(outcomes[place], Failed)}
    context = evolve(context, failed=failed)
    plugged = attach(rtnl, [change for _, change in plugs], context)
    outcomes.update(zip([place for place, _ in plugs], plugged, strict=True))
    return [outcomes[place] for place in range(len(changes))]


def _to_be_plugged(observed: Observed) -> list[Key]:
    return [
        key
        for key, seen in observed.seen.items()
        if key.kind is Kind.ATTACHMENT and not seen.in_order and not seen.waiting_for
    ]


def _namespace_interest(name: str) -> str:
    # No device has a name with a slash.
    return f"netns/{name}"


def _interests_of(state: State, record: Record) -> set[str]:
    """The names that a record has to do with."""
    if isinstance(record, Network):
        return names_of(record)
    if isinstance(record, Port):
        return set()
    plug = plug_of(record, state.networks[record.network_id])
    names = set(plug.names)
    if plug.place is not None and plug.place.name is not None:
        names.add(_namespace_interest(plug.place.name))
    return names


def _capabilities(features: Features) -> Capabilities:
    types = {
        "vif": "a device of a guest: by name or altname, now or when it comes, or a tap or veth made for it",
        "bridge": "a host interface that extends the network, on a VLAN or untagged",
    }
    if features.vxlan:
        types["tunnel"] = "a VXLAN tunnel that extends the network to another site"
    made = {"tap": not features.no_tap, "veth": features.veth}
    return Capabilities(
        network_options={"type": "object", "properties": {"mtu": _MTU}, "additionalProperties": False},
        attachment_types=types,
        devices=tuple(name for name, there in made.items() if there),
        tunnels=("vxlan",) if features.vxlan else (),
        features={
            "8021q": features.vlan,
            "altnames": features.altnames,
            "multi_queue": features.multi_queue,
            "ports_per_network": MAX_PORTS,
            "br_netfilter": features.br_netfilter,
        },
    )
