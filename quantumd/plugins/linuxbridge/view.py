"""The last that was seen of the host: what a request is judged by, at once and without asking the kernel.

Kept by the link monitor in the reactor's thread. Nothing is *done* on the strength of it, the host is read again then;
but for one thing: a device that it has no name of is not asked for before it is made, and its bridge, of which it has,
is not either, since making the device finds out just as well.
"""

from __future__ import annotations

from collections.abc import Container, Iterable

from attrs import evolve

from quantumd.core.model import Attachment
from quantumd.host.netlink.monitor import (
    AddressChanged,
    DefaultRouteChanged,
    Event,
    LinkChanged,
    LinkGone,
    Overrun,
)
from quantumd.host.netlink.parse import Address, DefaultRoute, IpAddress, Link
from quantumd.host.netlink.rtnl import Rtnl


class Snapshot:
    """All devices, host addresses and default routes, as one dump gives them."""

    def __init__(self, rtnl: Rtnl) -> None:
        self.links = rtnl.all_links()
        self.addresses = rtnl.addresses()
        self.routes = rtnl.default_routes()


def is_host_address(address: Address) -> bool:
    """Whether a device with this address is one that the host is reached by: all but IPv6 link-local ones."""
    return not (address.address.version == 6 and address.address.is_link_local)


class HostView:
    """Devices by index and name, and which of them the host itself depends on.

    ``names`` has the index of each device by each of its names; another thread may ask it for single ones.
    """

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self.links: dict[int, Link] = {}
        self.names: dict[str, int] = {}
        self._addresses: dict[int, set[IpAddress]] = {}
        self._default_routes: set[int] = set()

    def find(self, name: str) -> Link | None:
        """The device with that name or altname."""
        index = self.names.get(name)
        return self.links.get(index) if index is not None else None

    @property
    def default_routes(self) -> frozenset[int]:
        """The indexes of the devices that have a default route."""
        return frozenset(self._default_routes)

    def cuts_off(self, link: Link) -> str | None:
        """Why taking this device into a bridge would cut the host off; None: it would not."""
        return cuts_off(link.index, self._addresses.get(link.index, ()), self._default_routes)

    def replace(self, snapshot: Snapshot) -> None:
        """Begin anew from a dump."""
        self._begin()
        for link in snapshot.links:
            self._put(link)
        for address in snapshot.addresses:
            self._address(address, True)
        self.replace_routes(snapshot.routes)

    def replace_routes(self, routes: Iterable[DefaultRoute]) -> None:
        """Take over a dump of the default routes."""
        self._default_routes = {index for route in routes for index in route.indexes}

    def take(self, events: Iterable[Event]) -> tuple[set[str], bool, bool]:
        """Take over what the monitor told.

        :return: the names of the devices that changed; whether the default routes have to be read again; whether
            everything has
        """
        names: set[str] = set()
        routes = overrun = False
        for event in events:
            match event:
                case LinkChanged(link):
                    before = self.links.get(link.index)
                    if before != link:
                        touched = self._put(link)
                        if before is None or not _only_its_ports_changed(before, link):
                            names |= touched
                        routes = routes or link.index in self._default_routes
                case LinkGone(link):
                    names |= self._drop(link.index)
                    routes = routes or link.index in self._default_routes
                case AddressChanged(address, present):
                    self._address(address, present)
                    if (changed := self.links.get(address.index)) is not None:
                        names |= {changed.name, *changed.altnames}
                case DefaultRouteChanged(route, present):
                    routes = True
                    if present:
                        self._default_routes.update(route.indexes)
                case Overrun():
                    overrun = True
        return names, routes, overrun

    def _put(self, link: Link) -> set[str]:
        """Remember a device; gives back every name that it has or had."""
        names = self._forget_names(link.index) | {link.name, *link.altnames}
        self.links[link.index] = link
        for name in (link.name, *link.altnames):
            self.names[name] = link.index
        return names

    def _drop(self, index: int) -> set[str]:
        names = self._forget_names(index)
        self.links.pop(index, None)
        self._addresses.pop(index, None)
        return names

    def _forget_names(self, index: int) -> set[str]:
        before = self.links.get(index)
        if before is None:
            return set()
        names = {before.name, *before.altnames}
        for name in names:
            if self.names.get(name) == index:
                del self.names[name]
        return names

    def _address(self, address: Address, present: bool) -> None:
        if not is_host_address(address):
            return
        mine = self._addresses.setdefault(address.index, set())
        if present:
            mine.add(address.address)
        else:
            mine.discard(address.address)


def is_unheard_of(attachment: Attachment, names: Iterable[str], told: Container[str]) -> bool:
    """Whether the kernel need not be asked for a device of the attachment's own, which would have one of these
    ``names``, when it has ``told`` of the devices with those: it never was there, and is not there now.

    Whether there is something of that name all the same, making it finds out (EEXIST): of somebody else's, or of what a
    batch that broke off has left half made, which nobody is told of. Then it is asked for the next time.
    """
    tried = attachment.was_plugged or attachment.fault is not None
    return not (tried or attachment.going or any(name in told for name in names))


def _only_its_ports_changed(before: Link, after: Link) -> bool:
    """Whether these are a bridge's own address and carrier, which follow its ports, and which nothing here goes by."""
    return after.kind == "bridge" and evolve(before, mac=after.mac, carrier=after.carrier) == after


def cuts_off(index: int, addresses: Iterable[IpAddress], default_routes: Iterable[int]) -> str | None:
    """Why a device with these addresses must not go into a bridge; None: it may."""
    some = sorted(str(address) for address in addresses)
    if some:
        return f"it carries the host's address {some[0]}"
    if index in default_routes:
        return "the host's default route goes through it"
    return None
