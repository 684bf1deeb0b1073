"""Plugging: each kind of device in its own way, many at once."""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Sequence

from attrs import field, frozen

from quantumd.core.changes import Attach, Blocked, Failed, Outcome, Waiting
from quantumd.core.model import Key
from quantumd.host.netlink import messages
from quantumd.host.netlink.groups import delete_links
from quantumd.host.netlink.parse import Link
from quantumd.host.netlink.rtnl import Rtnl
from quantumd.host.netlink.wire import Reply, Request
from quantumd.host.shield import shield_strangers
from quantumd.plugins.linuxbridge.facts import Facts, look_at, open_place
from quantumd.plugins.linuxbridge.features import Features
from quantumd.plugins.linuxbridge.judge import MAX_PORTS, cut_off, reserved_for_the_host
from quantumd.plugins.linuxbridge.look import bridge_of_network, device_of, plug_report, replaced, waits_for
from quantumd.plugins.linuxbridge.making import Inner, Making, inside, make
from quantumd.plugins.linuxbridge.marks import describe, made_here, marks
from quantumd.plugins.linuxbridge.plans import making_of
from quantumd.plugins.linuxbridge.terms import Place, Plug, Role, plug_of, remote_of
from quantumd.plugins.linuxbridge.view import HostView, cuts_off, is_host_address


@frozen
class Job:
    """One attachment to be plugged: its place among the changes, itself, and its network's bridge."""

    place: int
    plug: Plug
    bridge: Link


@frozen
class Plugged:
    """A device, by its index, that is in its bridge as it should be. What became of it there is told by the kernel."""

    plug: Plug
    index: int


@frozen
class Context:
    """What plugging needs to know: the kernel's features, the devices that it told of, those with default routes, the
    networks that could not be made in the same batch, and what a look at all that is to be plugged has just seen, if
    there was one."""

    features: Features
    view: HostView
    default_routes: Collection[int] = ()
    failed: Collection[Key] = field(factory=frozenset)
    facts: Facts | None = None


def attach(rtnl: Rtnl, changes: Sequence[Attach], context: Context) -> list[Outcome | Plugged]:
    """Plug attachments, or plug them as they should be; for each, the device that was plugged, or what came of it."""
    attaching = _Attaching(rtnl, changes, context)
    try:
        return attaching.run()
    finally:
        attaching.close()


class _Attaching:
    def __init__(self, rtnl: Rtnl, changes: Sequence[Attach], context: Context) -> None:
        self._rtnl = rtnl
        self._changes = changes
        self._plugs = [plug_of(change.attachment, change.network) for change in changes]
        self._context = context
        self._outcomes: list[Outcome | Plugged | None] = [None] * len(changes)
        self._open: dict[Place, int] = {}
        self._facts = context.facts or self._look()

    def _look(self) -> Facts:
        names: set[str] = set()
        for plug, change in zip(self._plugs, self._changes, strict=True):
            # Something of what was found may be told of by nobody, such as what is half made.
            names |= plug.names if change.found else plug.names_to_ask(self._context.view)
        return look_at(self._rtnl, self._plugs, names, self._context.view, self._context.features.altnames)

    def close(self) -> None:
        """Close the namespaces that were opened."""
        for descriptor in self._open.values():
            os.close(descriptor)

    def run(self) -> list[Outcome | Plugged]:
        """See :func:`attach`."""
        self._clean()
        jobs = []
        for place, (plug, change) in enumerate(zip(self._plugs, self._changes, strict=True)):
            bridge = bridge_of_network(self._facts, change.network)
            if change.network.key in self._context.failed:
                self._outcomes[place] = Blocked()
            elif bridge is None:
                self._outcomes[place] = Failed(f"The network's bridge {plug.bridge} is not there; it is made anew.")
            else:
                jobs.append(Job(place, plug, bridge))
        foreign = [job for job in jobs if job.plug.role is Role.FOREIGN]
        self._take_foreign(foreign)
        self._ensure_managed([job for job in jobs if job.plug.role is not Role.FOREIGN])
        return [
            outcome or Waiting(f"device {plug.device}", plug_report(plug, None))
            for plug, outcome in zip(self._plugs, self._outcomes, strict=True)
        ]

    def _clean(self) -> None:
        """Remove what is half made, and what leads elsewhere than it should by now."""
        half_made = (self._facts.find_half_made((plug.device, plug.mark)) for plug in self._plugs)
        doomed = {link.index for link in half_made if link is not None}
        for plug in self._plugs:
            link = device_of(self._facts, plug) if plug.role is not Role.FOREIGN else None
            if link is not None and replaced(self._facts, plug, link):
                doomed.add(link.index)
        if doomed:
            delete_links(self._rtnl, doomed)
            self._facts = self._look()

    # --- somebody's devices

    def _take_foreign(self, jobs: Sequence[Job]) -> None:
        taking: list[tuple[Job, Link]] = []
        for job in jobs:
            link = device_of(self._facts, job.plug)
            if link is None:
                self._outcomes[job.place] = Waiting(f"device {job.plug.device}", plug_report(job.plug, None))
                continue
            problem = self._cannot_take(job, link)
            if problem is not None:
                self._outcomes[job.place] = Failed(problem)
            else:
                taking.append((job, link))
        # An uplink's wire is not only the guests', and what it has for the host (LLDP, LACP) is the host's.
        shield_strangers(self._rtnl, [link for job, link in taking if job.plug.attachment.form.type == "vif"])
        chains = [self._taking(job, link) for job, link in taking]
        for (job, link), refused in zip(taking, self._rtnl.chains(chains), strict=True):
            if refused is None:
                self._outcomes[job.place] = Plugged(job.plug, link.index)
            elif refused.errno != errno.ENODEV:  # it has gone again, and its coming back is told
                self._outcomes[job.place] = Failed(f"The {describe(link)} cannot be plugged: {_reason(refused)}.")

    def _cannot_take(self, job: Job, link: Link) -> str | None:
        if link.master == job.bridge.index and job.plug.ident in marks(link):
            return None
        if made_here(link) or marks(link) - {job.plug.ident}:
            return f"The {describe(link)} is another attachment's or network's; unplug it there first."
        if link.master and link.master != job.bridge.index:
            holder = self._facts.links.get(link.master)
            where = f"the {describe(holder)}" if holder is not None else f"device {link.master}"
            return f"The {describe(link)} is in {where} already; take it out of there first."
        reserved = reserved_for_the_host(job.plug.attachment, link)
        if reserved is not None:
            return f"{reserved}."
        if link.master or job.plug.attachment.form.force:
            return None
        carried = [found.address for found in self._rtnl.addresses(link.index) if is_host_address(found)]
        why = cuts_off(link.index, carried, self._context.default_routes)
        return cut_off(link, why) + "." if why is not None else None

    def _taking(self, job: Job, link: Link) -> list[Request]:
        requests = []
        before = self._facts.find(job.plug.mark)
        if before is not None and before.index != link.index:
            # The name went to another device, and so does the attachment.
            requests.append(messages.drop_altname(before.index, job.plug.mark))
            if before.master == job.bridge.index:
                requests.append(messages.set_link(before.index, master=0))
        if self._context.features.altnames and job.plug.mark not in link.altnames:
            requests.append(messages.set_altname(link.index, job.plug.mark))
        if link.master != job.bridge.index:
            requests.append(messages.set_link(link.index, master=job.bridge.index))
            requests.append(messages.set_link(link.index, up=True))
        return requests

    # --- devices of our own

    def _ensure_managed(self, jobs: Sequence[Job]) -> None:
        mending: list[tuple[Job, Link]] = []
        making: list[tuple[Job, Making]] = []
        under_way: dict[str, list[Job]] = {}
        for job in jobs:
            link = self._existing(job.plug)
            if link is not None:
                mending.append((job, link))
            elif job.plug.role is Role.TUNNEL and job.plug.device in under_way:
                under_way[job.plug.device].append(job)
            else:
                plan = self._making(job)
                if plan is not None:
                    making.append((job, plan))
                    under_way[job.plug.device] = [job]
        for (_, plan), result in zip(
            making, make(self._rtnl, [plan for _, plan in making], self._context.features.altnames), strict=True
        ):
            for job in under_way[plan.name]:
                if isinstance(result, str):
                    self._outcomes[job.place] = Failed(result)
                else:
                    mending.append((job, result))
        self._set_up_below([job for job in jobs if job.plug.role is Role.VLAN])
        self._mend(mending)

    def _existing(self, plug: Plug) -> Link | None:
        if plug.role is not Role.TUNNEL:
            return device_of(self._facts, plug)
        link = self._facts.find(plug.device)
        return link if link is not None and link.kind == "vxlan" and made_here(link) else None

    def _making(self, job: Job) -> Making | None:
        """How to make the device; None where it cannot be made now, which is in the outcomes then."""
        waiting = waits_for(self._facts, job.plug, None)
        holder = self._facts.find(job.plug.device)
        if waiting is not None:
            self._outcomes[job.place] = Waiting(waiting, plug_report(job.plug, None))
            return None
        if holder is not None:
            self._outcomes[job.place] = Failed(
                f"The name {job.plug.device} is held by the {describe(holder)}; rename or remove that, or choose "
                "another name."
            )
            return None
        inner = None
        device = job.plug.attachment.form.device
        if job.plug.place is not None:
            descriptor = self._opened(job.plug.place)
            if descriptor is None or device is None or device.ifname is None:
                self._outcomes[job.place] = Waiting(f"network namespace {job.plug.place.path}")
                return None
            inner = Inner(descriptor, device.ifname)
        below = self._facts.find(job.plug.below) if job.plug.below is not None else None
        return making_of(job.plug, job.bridge, inner, below)

    def _opened(self, place: Place) -> int | None:
        if place not in self._open:
            descriptor = open_place(place)
            if descriptor is None:
                return None
            self._open[place] = descriptor
        return self._open[place]

    def _set_up_below(self, jobs: Sequence[Job]) -> None:
        """A VLAN carries nothing while the device below it is down."""
        below = {link.index for job in jobs if (link := self._facts.find(job.plug.below or "")) is not None}
        self._rtnl.batch([messages.set_link(index, up=True) for index in below if not self._facts.links[index].up])

    def _mend(self, mending: Sequence[tuple[Job, Link]]) -> None:
        """Put devices of ours that are there as they should be; new ones need nothing but a tunnel's remote."""
        chains = [self._mending(job, link) for job, link in mending]
        for (job, link), refused in zip(mending, self._rtnl.chains(chains), strict=True):
            if refused is None:
                self._outcomes[job.place] = Plugged(job.plug, link.index)
            else:
                self._outcomes[job.place] = Failed(f"The {describe(link)} cannot be put right: {_reason(refused)}.")
            if job.plug.place is not None and job.plug.mtu not in (None, link.mtu):
                self._set_inner_mtu(job.plug)

    def _mending(self, job: Job, link: Link) -> list[Request]:
        plug, requests = job.plug, []
        if link.name != plug.device:
            # Kernels before 6.2 rename no device that is up.
            requests.append(messages.set_link(link.index, up=False))
            requests.append(messages.set_link(link.index, name=plug.device))
        if plug.mtu is not None and link.mtu != plug.mtu:
            requests.append(messages.set_link(link.index, mtu=plug.mtu))
        if self._context.features.altnames and plug.mark not in link.altnames:
            requests.append(messages.set_altname(link.index, plug.mark))
        if link.master != job.bridge.index:
            requests.append(messages.set_link(link.index, master=job.bridge.index))
        if plug.role is Role.TUNNEL and (not link.isolated or link.master != job.bridge.index):
            requests.append(messages.set_isolated(link.index, True))
        if not link.up or link.name != plug.device:
            requests.append(messages.set_link(link.index, up=True))
        if plug.role is Role.TUNNEL:
            assert plug.attachment.form.tunnel is not None
            requests.append(messages.add_remote(link.index, remote_of(plug.attachment.form.tunnel)))
        return requests

    def _set_inner_mtu(self, plug: Plug) -> None:
        """Give a veth's inner end the network's MTU too; whoever lives there may have renamed it, or be gone."""
        device = plug.attachment.form.device
        descriptor = self._opened(plug.place) if plug.place is not None else None
        if descriptor is not None and device is not None and device.ifname is not None and plug.mtu is not None:
            inside(descriptor, [messages.set_link(device.ifname, mtu=plug.mtu)])


def _reason(refused: Reply) -> str:
    if refused.errno == errno.EXFULL:
        return f"its bridge has the {MAX_PORTS} ports that a Linux bridge takes; unplug something first"
    if refused.errno == errno.EBUSY:
        return "something else has it, such as a macvlan, a bond or another switch; take it out of that first"
    return refused.reason
