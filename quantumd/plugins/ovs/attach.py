"""Plugging, many at once: devices first, then all rows in one transaction, then a look at what came of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TypeVar

from attrs import frozen
from twisted.internet.defer import Deferred

from quantumd.core.changes import Attach, Blocked, Done, Failed, Outcome, Waiting
from quantumd.core.model import Key
from quantumd.host.netlink.parse import Link
from quantumd.host.netlink.thread import NetlinkThread
from quantumd.host.ovsdb.errors import GuardFailed, SchemaError, TransactionFailed
from quantumd.host.ovsdb.replica import Row
from quantumd.plugins.linuxbridge.judge import cut_off
from quantumd.plugins.linuxbridge.marks import describe as describe_link
from quantumd.plugins.linuxbridge.marks import made_here, marks
from quantumd.plugins.linuxbridge.view import HostView
from quantumd.plugins.ovs import devices
from quantumd.plugins.ovs.backend import Backend
from quantumd.plugins.ovs.devices import Host, Taken
from quantumd.plugins.ovs.look import (
    bridge_problem,
    interface_problem,
    interface_row,
    is_stale,
    is_userspace,
    leads_elsewhere,
    link_of,
    plug_report,
    port_name,
    port_of,
    see_plug,
    strays,
    uplink_of,
    waits_for,
)
from quantumd.plugins.ovs.rows import Rows
from quantumd.plugins.ovs.tables import UPLINK, Switch, describe, is_made, mark_of
from quantumd.plugins.ovs.terms import DEVICES, Plug, Role, far_end, plug_of, provider_of

_T = TypeVar("_T")


@frozen
class Tools:
    """What plugging and unplugging work with."""

    backend: Backend
    thread: NetlinkThread
    view: HostView
    altnames: bool

    @property
    def switch(self) -> Switch:
        """The switch as it is now.

        :raise ServiceUnavailable: it is away
        """
        return self.backend.present()

    def look(self, plugs: Collection[Plug]) -> Deferred[Host]:
        """Look at the devices of these plugs."""
        names = {name for plug in plugs for name in names_of(self.switch, plug)}
        return self.thread.call(devices.look, names, plugs, self.altnames)


def names_of(switch: Switch, plug: Plug) -> set[str]:
    """The names of the devices that have to do with a plug."""
    match plug.role:
        case Role.TAP | Role.VETH:
            return {plug.port, plug.mark}
        case Role.BOUND:
            return {interface.name for _, interface in switch.bound(plug.attachment.id)}
        case Role.TUNNEL:
            return set()
        case _:
            return {plug.device}


async def attach(
    tools: Tools, changes: Sequence[Attach], failed: Collection[Key], host: Host | None = None
) -> list[Outcome]:
    """Plug attachments, or plug them as they should be; one outcome for each. ``failed`` are the networks that could
    not be made in the same batch; ``host`` is what a look at these attachments has just seen."""
    plugs = [plug_of(change.attachment, change.network) for change in changes]
    attaching = _Attaching(tools, plugs)
    for place, change in enumerate(changes):
        if change.network.key in failed:
            attaching.outcomes[place] = Blocked()
    return await attaching.run(host)


class _Attaching:
    def __init__(self, tools: Tools, plugs: Sequence[Plug]) -> None:
        self._tools = tools
        self._plugs = plugs
        self.outcomes: dict[int, Outcome] = {}
        self._host: Host

    async def run(self, host: Host | None) -> list[Outcome]:
        problem = bridge_problem(self._tools.switch)
        if problem is not None:
            return [self.outcomes.get(place, Failed(f"{problem}.")) for place in range(len(self._plugs))]
        self._host = host if host is not None else await self._tools.look(self._plugs)
        await self._clean()
        self._sort_out()
        await self._make_devices()
        await self._take_devices()
        await self._write_rows()
        await self._move_internal()
        await self._report()
        return [self.outcomes[place] for place in range(len(self._plugs))]

    def _going(self, *roles: Role) -> list[tuple[int, Plug]]:
        """The plugs that have no outcome yet."""
        return [
            (place, plug)
            for place, plug in enumerate(self._plugs)
            if place not in self.outcomes and (not roles or plug.role in roles)
        ]

    # --- what is in the way

    async def _clean(self) -> None:
        """Take out what the switch holds on to in vain, and remove what is half made or leads elsewhere by now."""
        switch, host = self._tools.switch, self._host
        rows = Rows(switch)
        doomed: dict[str, str | None] = {}
        orphans: list[tuple[Plug, Link]] = []
        for _, plug in self._going():
            port = port_of(switch, host, plug)
            for stray in strays(switch.marked(plug.ident), plug, port):
                rows.release(stray)
            for stale in _stale(switch, host, plug, port):
                rows.remove(stale)
            link = host.device_of(plug) if plug.role in DEVICES else None
            if host.is_half_made(plug) or (link is not None and leads_elsewhere(host, plug, link)):
                doomed[plug.ident] = plug.port
            inner = host.inner.get(plug.ident)
            if inner is not None and (port is None or host.facts.find(plug.port) is not None):
                orphans.append((plug, inner))
        operations = rows.operations()
        if operations:
            await self._tools.backend.commit(operations, rows.ports)
        if doomed:
            await self._tools.thread.call(devices.remove_devices, doomed)
        if orphans:
            await self._tools.thread.call(devices.remove_inner, orphans)
        if operations or doomed or orphans:
            self._host = await self._tools.look(self._plugs)

    # --- what cannot be, and what waits

    def _sort_out(self) -> None:
        switch = self._tools.switch
        for place, plug in self._going():
            port = port_of(switch, self._host, plug)
            problem = _cannot(switch, self._host, plug, port) or self._guard(switch, plug, port)
            waiting = waits_for(self._host, plug, port)
            if problem is not None:
                self.outcomes[place] = Failed(problem)
            elif waiting is not None and not (port is not None and plug.role is Role.VETH):
                self.outcomes[place] = Waiting(waiting, plug_report(switch, self._host, plug, port))

    def _guard(self, switch: Switch, plug: Plug, port: Row | None) -> str | None:
        """Keep the host from being cut off."""
        if plug.attachment.form.force or plug.role not in (Role.BOUND, Role.NAMED, Role.UPLINK):
            return None
        if any(mark_of(row) == plug.ident for row in switch.marked(plug.ident)):
            return None
        link = link_of(switch, self._host, plug, port)
        why = self._tools.view.cuts_off(link) if link is not None else None
        return f"{cut_off(link, why)}." if link is not None and why is not None else None

    # --- devices

    async def _make_devices(self) -> None:
        making = [(place, plug) for place, plug in self._going(*DEVICES) if self._host.device_of(plug) is None]
        mending = [
            (place, plug, link)
            for place, plug in self._going(*DEVICES)
            if (link := self._host.device_of(plug)) is not None
        ]
        if mending:
            wanted = [(plug, link) for _, plug, link in mending]
            problems = await self._tools.thread.call(devices.mend, wanted, self._tools.altnames)
            self._fail([place for place, _, _ in mending], problems, "its device cannot be put right: {}")
        if making:
            plugs = [plug for _, plug in making]
            userspace = is_userspace(self._tools.switch)
            results = await self._tools.thread.call(devices.make_devices, plugs, userspace, self._tools.altnames)
            for (place, _), result in zip(making, results, strict=True):
                if isinstance(result, str):
                    self.outcomes[place] = Failed(result)
                else:
                    self._host.facts.add(result)

    async def _take_devices(self) -> None:
        """Mark somebody's devices and set them up, before they are plugged."""
        switch = self._tools.switch
        taken: list[tuple[int, Taken]] = []
        for place, plug in self._going(Role.BOUND, Role.NAMED, Role.UPLINK):
            port = port_of(switch, self._host, plug)
            link = link_of(switch, self._host, plug, port)
            if link is not None:
                taken.append((place, Taken(link, plug.mark, is_userspace(switch) and _is_read(switch, plug, port))))
        if taken:
            problems = await self._tools.thread.call(devices.take, [one for _, one in taken], self._tools.altnames)
            self._fail([place for place, _ in taken], problems, "its device cannot be used: {}")

    def _fail(self, places: Sequence[int], problems: Sequence[str], words: str) -> None:
        for place, problem in zip(places, problems, strict=True):
            if problem:
                self.outcomes[place] = Failed(f"{words.format(problem).capitalize()}.")

    # --- rows

    async def _write_rows(self) -> None:
        going = self._going()
        try:
            await self._write([plug for _, plug in going])
        except (TransactionFailed, SchemaError) as error:
            # Where a guard failed, another batch was faster, and what it made is used now.
            if len(going) == 1 and not isinstance(error, GuardFailed):
                self.outcomes[going[0][0]] = Failed(f"Open vSwitch refuses it: {error}.")
                return
            # One of them is bad, and must not keep the others from working.
            for place, plug in going:
                try:
                    await self._write([plug])
                except (TransactionFailed, SchemaError) as its_own:
                    self.outcomes[place] = Failed(f"Open vSwitch refuses it: {its_own}.")

    async def _write(self, plugs: Sequence[Plug]) -> None:
        rows = Rows(self._tools.switch)
        for plug in plugs:
            self._collect(rows, plug)
        operations = rows.operations()
        if operations:
            await self._tools.backend.commit(operations, rows.ports)

    def _collect(self, rows: Rows, plug: Plug) -> None:
        switch, host = self._tools.switch, self._host
        port = port_of(switch, host, plug)
        link = link_of(switch, host, plug, port)
        if port is not None:
            rows.adopt(port, plug)
            for interface in switch.interfaces_of(port) if is_made(port) else ():
                rows.mend_interface(interface, interface_row(plug, interface.name, None))
        if plug.role is Role.UPLINK:
            assert link is not None, "it is waited for"
            rows.patch(plug, interface_row(plug, plug.port, None), link.name, link.index)
            far = switch.port(far_end(plug.port))
            if far is not None:
                rows.set_outside(far, plug)
        elif port is None:
            index = link.index if link is not None and plug.role is not Role.INTERNAL else None
            rows.plug(plug, interface_row(plug, port_name(host, plug), index))

    # --- what came of it

    async def _move_internal(self) -> None:
        going = [
            (place, plug)
            for place, plug in self._going(Role.INTERNAL)
            if (inner := self._host.inner.get(plug.ident)) is None or inner.mtu != plug.mtu
        ]
        if going:
            problems = await self._tools.thread.call(devices.move_inside, [plug for _, plug in going])
            self._fail([place for place, _ in going], problems, "{}")

    async def _report(self) -> None:
        going = self._going()
        self._host = await self._tools.look([plug for _, plug in going])
        switch = self._tools.switch
        for place, plug in going:
            seen = see_plug(switch, self._host, plug)
            if seen.in_order:
                self.outcomes[place] = Done(seen.plugin, seen.up)
            elif seen.waiting_for is not None:
                self.outcomes[place] = Waiting(seen.waiting_for, seen.plugin)
            else:
                words = "; ".join(seen.differences) or "its port is not there"
                self.outcomes[place] = Failed(f"{words[0].upper()}{words[1:]}.")


def _stale(switch: Switch, host: Host, plug: Plug, port: Row | None) -> list[Row]:
    """The ports of our own that hold on to a device that is gone or was made anew, or that do not work."""
    found: list[Row] = []
    link = link_of(switch, host, plug, port)
    if port is not None and is_made(port) and mark_of(port) == plug.ident:
        lost = link is None and plug.role not in (Role.TUNNEL, Role.UPLINK, Role.BOUND)
        if plug.role is Role.INTERNAL and link is None and host.facts.find(plug.port) is not None:
            # It only has to be moved.
            lost = plug.place is not None and plug.place not in host.facts.places
        elsewhere = link is not None and leads_elsewhere(host, plug, link)
        broken = any(interface_problem(interface) for interface in switch.interfaces_of(port))
        old = link is not None and plug.role is not Role.UPLINK and is_stale(switch, plug, port, link)
        if lost or elsewhere or broken or old or not switch.is_integrated(port):
            found.append(port)
    if plug.role is Role.UPLINK:
        found += _stale_uplink(switch, plug, uplink_of(host, plug))
    return found


def _stale_uplink(switch: Switch, plug: Plug, link: Link | None) -> list[Row]:
    provider = switch.uplink_bridge(plug.device)
    uplink = switch.port(link.name if link is not None else plug.device)
    if uplink is None or UPLINK not in uplink.external_ids or not is_made(uplink):
        return []
    bridge = switch.bridge_of(uplink)
    misplaced = provider is None or bridge is None or bridge.uuid != provider.uuid
    broken = any(interface_problem(interface) for interface in switch.interfaces_of(uplink))
    if link is None or is_stale(switch, plug, None, link) or broken or misplaced:
        return [uplink]
    return []


def _cannot(switch: Switch, host: Host, plug: Plug, port: Row | None) -> str | None:
    """Why an attachment cannot be plugged, because of what is somebody else's; None: it can."""
    if port is not None:
        if not switch.is_integrated(port):
            return f"The {describe(switch, port)} is not on {switch.integration}; take it out of there first."
        mark = mark_of(port)
        if mark is not None and mark != plug.ident:
            return f"The {describe(switch, port)} is another attachment's; unplug it there first."
        if mark is None and plug.role not in (Role.BOUND, Role.NAMED):
            return f"The name {plug.port} is held by the {describe(switch, port)}; rename or remove that."
    if plug.role in DEVICES or (plug.role is Role.INTERNAL and port is None):
        holder = host.facts.find(plug.port)
        if holder is not None and not (made_here(holder) and plug.ident in marks(holder)):
            return (
                f"The name {plug.port} is held by the {describe_link(holder)}; rename or remove that, or choose "
                "another name."
            )
    if plug.role is Role.NAMED and port is None:
        return _cannot_take(host, plug, host.facts.find(plug.port))
    if plug.role is Role.UPLINK:
        return _cannot_uplink(switch, host, plug)
    return None


def _cannot_take(host: Host, plug: Plug, link: Link | None) -> str | None:
    if link is None:
        return None
    others = marks(link) - {plug.ident}
    if made_here(link) or (others and plug.role is not Role.UPLINK):
        return f"The {describe_link(link)} is another attachment's or network's; unplug it there first."
    if link.master:
        holder = host.facts.links.get(link.master)
        where = f"the {describe_link(holder)}" if holder is not None else f"device {link.master}"
        return f"The {describe_link(link)} is in {where} already; take it out of there first."
    return None


def _cannot_uplink(switch: Switch, host: Host, plug: Plug) -> str | None:
    link = uplink_of(host, plug)
    uplink = switch.port(link.name) if link is not None else None
    if uplink is not None and uplink.external_ids.get(UPLINK) != plug.device:
        return f"The {describe(switch, uplink)} is there for something else; take it out of there first."
    if uplink is None and (problem := _cannot_take(host, plug, link)) is not None:
        return problem
    name = provider_of(plug.device)
    held = switch.bridge(name)
    if switch.uplink_bridge(plug.device) is None and held is not None:
        return (
            f"The name {name} of the provider bridge for {plug.device} is held by somebody's OVS bridge; rename that."
        )
    return None


def _is_read(switch: Switch, plug: Plug, port: Row | None) -> bool:
    """Whether a switch that is a process reads the device by a packet socket, so that the host hears it too."""
    if plug.role is not Role.BOUND or port is None:
        return True
    return all(interface.type in ("", "system") for interface in switch.interfaces_of(port))
