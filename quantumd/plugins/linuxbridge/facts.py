"""What the host shows of the devices and namespaces that matter: read in the netlink thread, then a value."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping

from attrs import field, frozen

from quantumd.core.names import MARK
from quantumd.host import netns
from quantumd.host.netlink.messages import Device
from quantumd.host.netlink.parse import IpAddress, Link
from quantumd.host.netlink.rtnl import Rtnl
from quantumd.plugins.linuxbridge.marks import is_half_made, made_here
from quantumd.plugins.linuxbridge.terms import Place, Plug, process_of
from quantumd.plugins.linuxbridge.view import HostView


@frozen
class Found:
    """A namespace that is there: the id that the host's namespace has for it, None if it has none (yet)."""

    nsid: int | None


@frozen
class Facts:
    """Devices, by index and by each of their names; flood entries of our VXLAN devices; namespaces by place.
    ``half_made`` are the names of devices that were not made to the end.

    ``altnames``: whether the kernel has them.
    """

    altnames: bool = True
    links: dict[int, Link] = field(factory=dict)
    names: dict[str, int] = field(factory=dict)
    remotes: dict[int, set[IpAddress]] = field(factory=dict)
    places: dict[Place, Found] = field(factory=dict)
    half_made: set[str] = field(factory=set)

    def add(self, link: Link) -> None:
        """One device more."""
        self.links[link.index] = link
        if is_half_made(link):
            self.half_made.add(link.name)
        for name in (link.name, *link.altnames):
            self.names[name] = link.index

    def find(self, name: str) -> Link | None:
        """The device with that name or altname."""
        index = self.names.get(name)
        return self.links.get(index) if index is not None else None

    def find_half_made(self, names: Iterable[str]) -> Link | None:
        """The device with one of those names that was not made to the end."""
        if not self.half_made:
            return None
        found = (self.find(name) for name in names)
        return next((link for link in found if link is not None and link.name in self.half_made), None)


def gather(
    rtnl: Rtnl,
    devices: Collection[Device] | None,
    places: Iterable[Place] = (),
    altnames: bool = True,
    known: Mapping[int, Link] | None = None,
    told: Iterable[Link] = (),
) -> Facts:
    """Look at the devices with these names or indexes (None: at all) and what they are in, and at the namespaces.
    ``known`` is as for :meth:`.Rtnl.all_links`; ``told`` are devices that are taken as they are.

    A few system calls for all the devices together.
    """
    if devices is None:
        found = rtnl.all_links(known)
    else:
        # What has a mark mostly has the name that goes with it, and was found by that.
        by_mark = {device for device in devices if isinstance(device, str) and device.startswith(MARK)}
        found = _there(rtnl, [device for device in devices if device not in by_mark])
        found += _there(rtnl, by_mark.difference(*(link.altnames for link in found)))
        looked_at = {link.index for link in found}
        found += _there(rtnl, {link.master for link in found if link.master} - looked_at)
    facts = Facts(altnames)
    for link in (*told, *found):
        facts.add(link)
    for link in facts.links.values():
        if link.kind == "vxlan" and made_here(link):
            facts.remotes[link.index] = rtnl.remotes(link.index)
    for place in set(places):
        descriptor = open_place(place)
        if descriptor is not None:
            try:
                facts.places[place] = Found(rtnl.netns_id(descriptor))
            finally:
                os.close(descriptor)
    return facts


def look_at(
    rtnl: Rtnl, plugs: Collection[Plug], names: Collection[str], view: HostView, altnames: bool = True
) -> Facts:
    """Look at what these may be on the host, by these of their names; a bridge that is not among them is taken as the
    kernel told of it."""
    told = _bridges_told({plug.bridge for plug in plugs}.difference(names), view)
    return gather(rtnl, names, places_of(plugs), altnames, told=told)


def as_told(plugs: Collection[Plug], view: HostView, altnames: bool = True) -> Facts:
    """What there is for these to be made in, by what the kernel told and without asking it: their bridges and their
    namespaces. Of themselves there is nothing."""
    facts = Facts(altnames)
    for link in _bridges_told({plug.bridge for plug in plugs}, view):
        facts.add(link)
    for place in places_of(plugs):
        descriptor = open_place(place)
        if descriptor is not None:
            os.close(descriptor)
            # Its id is of use only to know where a device's other end is.
            facts.places[place] = Found(None)
    return facts


def _bridges_told(names: Iterable[str], view: HostView) -> list[Link]:
    return [link for link in map(view.find, names) if link is not None]


def places_of(plugs: Iterable[Plug]) -> set[Place]:
    """The namespaces that other ends go into."""
    return {plug.place for plug in plugs if plug.place is not None}


def _there(rtnl: Rtnl, devices: Iterable[Device]) -> list[Link]:
    return [link for link in rtnl.links(devices) if link is not None]


def open_place(place: Place) -> int | None:
    """Open a namespace; None where it is not there, or is another one than it was."""
    try:
        descriptor = netns.open_netns(place.path)
    except OSError:
        return None
    if place.process is None:
        return descriptor
    identity, started = place.process
    pid = process_of(place.path)
    same = netns.identity(descriptor) == identity and pid is not None and netns.process_start(pid) == started
    if same:
        return descriptor
    os.close(descriptor)
    return None
