"""The kernel's side of ports: looking at devices, making, moving and removing them. Runs in the netlink thread."""

from __future__ import annotations

import errno
import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from attrs import field, frozen

from quantumd.core.names import MARK
from quantumd.host import netns, shield
from quantumd.host.ethtool import no_transmit_checksums
from quantumd.host.mac import derived_mac
from quantumd.host.netlink import messages
from quantumd.host.netlink.groups import delete_links
from quantumd.host.netlink.parse import Link
from quantumd.host.netlink.rtnl import Rtnl
from quantumd.host.netlink.wire import Request
from quantumd.plugins.linuxbridge.facts import Facts, gather, open_place
from quantumd.plugins.linuxbridge.making import Inner, Making, TapPlan, make
from quantumd.plugins.linuxbridge.marks import MAKING, is_half_made, is_made_for, made_here, marks, port_alias
from quantumd.plugins.linuxbridge.terms import Place
from quantumd.plugins.ovs.terms import Plug, Role


@frozen
class Host:
    """What the kernel shows: the host's devices and namespaces, and the devices of internal ports in their own
    namespaces, by the id of the port."""

    facts: Facts
    inner: Mapping[str, Link] = field(factory=dict)

    def device_of(self, plug: Plug) -> Link | None:
        """The host's device that was made for a plug, by its mark."""
        for name in (plug.port, plug.mark):
            link = self.facts.find(name)
            if link is not None and is_made_for(link, plug.ident) and not is_half_made(link):
                return link
        return None

    def is_half_made(self, plug: Plug) -> bool:
        """Whether its device is there, and was not made to the end."""
        return self.facts.find_half_made((plug.port, plug.mark)) is not None


def look(
    rtnl: Rtnl,
    names: Collection[str] | None,
    plugs: Collection[Plug],
    altnames: bool,
    known: Mapping[int, Link] | None = None,
) -> Host:
    """Look at the devices of these names (None: at all), and at the namespaces and inner devices of the plugs.
    ``known`` are devices as they were told of last."""
    places = {plug.place for plug in plugs if plug.place is not None}
    facts = gather(rtnl, names, places, altnames, known)
    inner: dict[str, Link] = {}
    internals = [plug for plug in plugs if plug.role is Role.INTERNAL]
    for place in {plug.place for plug in internals}:
        if place in facts.places and place is not None:
            inner.update(_look_inside(place, [plug for plug in internals if plug.place == place]))
    return Host(facts, inner)


def _look_inside(place: Place, plugs: Sequence[Plug]) -> dict[str, Link]:
    descriptor = open_place(place)
    if descriptor is None:
        return {}
    try:
        with netns.visiting(descriptor):
            rtnl = Rtnl()
        try:
            asked = [name for plug in plugs for name in (plug.mark, _ifname(plug))]
            found = rtnl.links(asked)
        finally:
            rtnl.close()
    finally:
        os.close(descriptor)
    inner = {}
    for place_, plug in enumerate(plugs):
        for link in found[2 * place_ : 2 * place_ + 2]:
            if link is not None and plug.ident in marks(link):
                inner[plug.ident] = link
    return inner


def _ifname(plug: Plug) -> str:
    device = plug.attachment.form.device
    assert device is not None
    assert device.ifname is not None
    return device.ifname


# --- devices of our own


def make_devices(rtnl: Rtnl, plugs: Sequence[Plug], userspace: bool, altnames: bool) -> list[Link | str]:
    """Make taps and veths; for each, the device, or why it is not there."""
    keep_off = shield.shield_userspace_ports if userspace else shield.shield_kernel_ports
    opened: dict[Place, int] = {}
    results: list[Link | str] = []
    try:
        makings: list[Making | str] = [_making(plug, keep_off, opened) for plug in plugs]
        made = iter(make(rtnl, [one for one in makings if isinstance(one, Making)], altnames))
        checked: defaultdict[Place, list[str]] = defaultdict(list)
        for plug, making in zip(plugs, makings, strict=True):
            result = making if isinstance(making, str) else next(made)
            if userspace and not isinstance(result, str) and plug.place is not None:
                checked[plug.place].append(_ifname(plug))
            results.append(result)
        for place, names in checked.items():
            _without_checksums(opened[place], names)
    finally:
        for descriptor in opened.values():
            os.close(descriptor)
    return results


def _making(plug: Plug, keep_off: shield.Shield, opened: dict[Place, int]) -> Making | str:
    device = plug.attachment.form.device
    assert device is not None
    alias = port_alias(plug.ident)
    if plug.role is Role.TAP:
        tap = TapPlan(bool(device.multi_queue), device.owner_uid, device.owner_gid)
        return Making(plug.port, plug.ident, alias, tap, plug.mtu, keep_off=keep_off)
    assert plug.place is not None
    if plug.place not in opened:
        descriptor = open_place(plug.place)
        if descriptor is None:
            return f"The network namespace {plug.place.path} has just gone."
        opened[plug.place] = descriptor
    inner = Inner(opened[plug.place], _ifname(plug))
    create = messages.create_veth(
        plug.port,
        peer=inner.name,
        netns_fd=inner.netns_fd,
        mac=derived_mac(plug.ident),
        peer_mac=device.mac,
        mtu=plug.mtu,
        group=MAKING,
    )
    return Making(plug.port, plug.ident, alias, create, plug.mtu, inner=inner, keep_off=keep_off)


def _without_checksums(descriptor: int, names: Sequence[str]) -> None:
    """A switch that is a process gets a veth's packets before anybody has computed their checksums, and passes them on
    so: the guest's end computes them itself."""
    with netns.visiting(descriptor):
        no_transmit_checksums(names)


def mend(rtnl: Rtnl, wanted: Sequence[tuple[Plug, Link]], altnames: bool) -> list[str]:
    """Put devices of our own that are there as they should be; for each, "" or why not."""
    chains = []
    for plug, link in wanted:
        chain = []
        if link.name != plug.port:
            chain.append(messages.set_link(link.index, name=plug.port))
        if link.mtu != plug.mtu:
            chain.append(messages.set_link(link.index, mtu=plug.mtu))
        if altnames and plug.mark not in link.altnames:
            chain.append(messages.set_altname(link.index, plug.mark))
        if not link.up:
            chain.append(messages.set_link(link.index, up=True))
        chains.append(chain)
        if plug.place is not None and link.mtu != plug.mtu:
            _set_inner_mtu(plug)
    refused = rtnl.chains(chains)
    return ["" if reply is None else reply.reason for reply in refused]


def _set_inner_mtu(plug: Plug) -> None:
    """Give a veth's inner end the network's MTU too; whoever lives there may have renamed it, or be gone."""
    assert plug.place is not None
    _inside(plug.place, [messages.set_link(_ifname(plug), mtu=plug.mtu)])


def _inside(place: Place, requests: Sequence[Request]) -> list[int]:
    """Carry requests out in another namespace, and give the errno of each; ENOENT for each where it is not there."""
    descriptor = open_place(place)
    if descriptor is None:
        return [errno.ENOENT] * len(requests)
    try:
        with netns.visiting(descriptor):
            rtnl = Rtnl()
        try:
            return [reply.errno for reply in rtnl.batch(requests)]
        finally:
            rtnl.close()
    finally:
        os.close(descriptor)


def remove_devices(rtnl: Rtnl, wanted: Mapping[str, str | None]) -> dict[str, str]:
    """Remove what was made for these ports, whole or half; for those that stay, why. ``wanted`` has the name that each
    port's device was to have, as far as it is known: what is half made may have no other mark yet."""
    by_name = {name: ident for ident, name in wanted.items() if name is not None}
    asked = [*(MARK + ident for ident in wanted), *by_name]
    doomed: dict[int, set[str]] = {}
    for link in rtnl.links(asked):
        if link is None:
            continue
        owners = marks(link) & wanted.keys() if made_here(link) else set()
        if is_half_made(link) and link.name in by_name:
            owners.add(by_name[link.name])
        if owners:
            doomed[link.index] = owners
    replies = delete_links(rtnl, doomed)
    return {
        ident: replies[index].reason for index, owners in doomed.items() for ident in owners if not replies[index].ok
    }


# --- internal ports, whose devices the switch makes


def move_inside(rtnl: Rtnl, plugs: Sequence[Plug]) -> list[str]:
    """Mark the devices of internal ports, move them into their namespaces and set them up; for each, "" or why not."""
    return [_move(rtnl, plug) for plug in plugs]


def _move(rtnl: Rtnl, plug: Plug) -> str:
    assert plug.place is not None
    (link,) = rtnl.links([plug.port])
    if link is not None:
        problem = _move_link(rtnl, plug, plug.place, link)
        if problem:
            return problem
    inner = _look_inside(plug.place, [plug]).get(plug.ident)
    if inner is None:
        return "Open vSwitch did not make its device"
    # The switch does not find the device any more, so that its MTU is for us to set.
    (code,) = _inside(plug.place, [messages.set_link(inner.index, mtu=plug.mtu)])
    return "" if code == 0 else f"its device cannot have the MTU {plug.mtu} ({os.strerror(code)})"


def _move_link(rtnl: Rtnl, plug: Plug, place: Place, link: Link) -> str:
    ifname = _ifname(plug)
    # The kernel would move the device first, and then find that it cannot have the name.
    (taken,) = _inside(place, [messages.get_link(ifname)])
    if taken == 0:
        return f"its namespace has a device {ifname!r} already; take that away or choose another ifname"
    descriptor = open_place(place)
    if descriptor is None:
        return f"the network namespace {place.path} has just gone"
    try:
        chain = [messages.set_link(link.index, alias=port_alias(plug.ident))]
        if plug.mark not in link.altnames:
            chain.append(messages.set_altname(link.index, plug.mark))
        # Whether it is up is its owner's to say, once it has been there: so it goes there up.
        chain.append(messages.set_link(link.index, netns_fd=descriptor, name=ifname, up=True))
        *_, moved = rtnl.batch(chain)
    finally:
        os.close(descriptor)
    return "" if moved.ok else f"its device cannot be moved into its namespace: {moved.reason}"


def remove_inner(_rtnl: Rtnl, doomed: Sequence[tuple[Plug, Link]]) -> None:
    """Remove devices of internal ports that nobody serves any more: the switch has made others since."""
    for plug, link in doomed:
        assert plug.place is not None
        _inside(plug.place, [messages.delete_link(link.index)])


# --- somebody's devices


@frozen
class Taken:
    """A device of somebody else's that is a port now, and the mark that it gets. ``filtered``: the host is to be kept
    off what comes in by it."""

    link: Link
    mark: str
    filtered: bool


def take(rtnl: Rtnl, taken: Sequence[Taken], altnames: bool) -> list[str]:
    """Mark devices and set them up; for each, "" or why that is not possible.

    Devices that have these marks so far are let go of: their names, or ids on the switch, went to these.
    """
    refused = rtnl.chains([_taking(one, altnames) for one in taken])
    held = [place for place, reply in enumerate(refused) if reply is not None and reply.errno == errno.EEXIST]
    if held:
        _free(rtnl, [taken[place] for place in held])
        again = dict(zip(held, rtnl.chains([_taking(taken[place], altnames) for place in held]), strict=True))
        refused = [again.get(place, reply) for place, reply in enumerate(refused)]
    heard = shield.shield_userspace_strangers(rtnl, [one.link for one in taken if one.filtered])
    return [
        reply.reason
        if reply is not None
        else (f"the host cannot be kept off it: {heard[one.link.index]}" if one.link.index in heard else "")
        for one, reply in zip(taken, refused, strict=True)
    ]


def _taking(one: Taken, altnames: bool) -> list[Request]:
    chain = []
    if altnames and one.mark not in one.link.altnames:
        chain.append(messages.set_altname(one.link.index, one.mark))
    if not one.link.up:
        chain.append(messages.set_link(one.link.index, up=True))
    return chain


def _free(rtnl: Rtnl, held: Sequence[Taken]) -> None:
    """Take marks off the devices that have them."""
    before = [(one, link) for one, link in zip(held, rtnl.links([one.mark for one in held]), strict=True) if link]
    shield.unshield_userspace_strangers(rtnl, [link for one, link in before if one.filtered])
    rtnl.batch([messages.drop_altname(link.index, one.mark) for one, link in before])


def let_go(rtnl: Rtnl, idents: Iterable[str], userspace: bool) -> None:
    """Take the marks of these ports off somebody else's devices, and what kept the host off them."""
    names = [MARK + ident for ident in idents]
    found = [(name, link) for name, link in zip(names, rtnl.links(names), strict=True) if link is not None]
    strangers = [(name, link) for name, link in found if not made_here(link)]
    rtnl.batch([messages.drop_altname(link.index, name) for name, link in strangers])
    if userspace:
        free = [link for name, link in strangers if not any(a.startswith(MARK) and a != name for a in link.altnames)]
        shield.unshield_userspace_strangers(rtnl, free)
