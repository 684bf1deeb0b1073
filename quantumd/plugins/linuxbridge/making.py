"""Making devices, many at once: in a link group of ours and in their bridge, marked and shielded there, then taken out
of the group and set up.

Where this process dies in between, what is there is known by that group, or by its mark. What has left the group is
whole: whether the other end of a veth is up, too, is not ours to say from then on. (A tap goes with the process until
it is whole.)
"""

from __future__ import annotations

import errno
import socket
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from attrs import frozen

from quantumd.core.names import MARK
from quantumd.host import netns, shield
from quantumd.host.netlink import messages
from quantumd.host.netlink.groups import delete_links
from quantumd.host.netlink.parse import IFF_UP, Link
from quantumd.host.netlink.rtnl import Rtnl
from quantumd.host.netlink.wire import Reply, Request
from quantumd.host.tun import Tap, create_tap
from quantumd.plugins.linuxbridge.marks import describe

_AT_ONCE = 200  # open taps and namespaces are file descriptors, of which a process has 1,024 by default


@frozen
class TapPlan:
    """A tap to be made, which netlink cannot."""

    multi_queue: bool = False
    owner_uid: int | None = None
    owner_gid: int | None = None


@frozen
class Inner:
    """A veth's other end: the open namespace that it goes into, and its name there."""

    netns_fd: int
    name: str


@frozen
class Making:
    """A device to be made.

    ``ident`` is the id that it is marked with, ``master`` the index of the Linux bridge that it is plugged into (0: it
    is one, or goes elsewhere), ``keep_off`` keeps the host off it (None: as is right for a bridge or a bridge's port),
    ``create`` makes it, in the group :data:`~.marks.MAKING` and in its master. ``mtu``: None is the kernel's choice.
    """

    name: str
    ident: str
    alias: str
    create: Request | TapPlan
    mtu: int | None
    master: int = 0
    isolated: bool = False
    inner: Inner | None = None
    keep_off: shield.Shield | None = None


class _Item:
    """A making under way."""

    def __init__(self, making: Making) -> None:
        self.making = making
        self.link: Link | None = None
        self.tap: Tap | None = None
        self.error = ""
        #: Somebody else's device has its name.
        self.taken = False


def make(rtnl: Rtnl, makings: Sequence[Making], altnames: bool) -> list[Link | str]:
    """Make devices; for each, what it was made to be, or why it is not there. Nothing half made stays.

    Of what only the kernel knows (its kind, its MAC, whether it has carrier) there is nothing in what is given back.
    """
    made: list[Link | str] = []
    for start in range(0, len(makings), _AT_ONCE):
        items = [_Item(making) for making in makings[start : start + _AT_ONCE]]
        with _taps(items):
            _create(rtnl, items, altnames)
            _mark(rtnl, _going_well(items), altnames)
            _shield(rtnl, items)
            _set_up_inner_ends(_going_well(items))
            _set_up(rtnl, items)
            _finish(rtnl, items)
        made.extend(item.link if item.link is not None and not item.error else item.error for item in items)
    return made


@contextmanager
def _taps(items: list[_Item]) -> Iterator[None]:
    """Have the taps among them open, which are gone again when they are closed before :meth:`Tap.persist`."""
    with ExitStack() as stack:
        for item in items:
            plan = item.making.create
            if isinstance(plan, TapPlan):
                try:
                    item.tap = stack.enter_context(create_tap(item.making.name, multi_queue=plan.multi_queue))
                    item.tap.own(plan.owner_uid, plan.owner_gid)
                except FileExistsError:
                    item.taken = True
                    item.error = f"The name {item.making.name} is held by another device; rename or remove that."
                except OSError as error:
                    item.error = f"The tap {item.making.name} cannot be made: {error.strerror}."
        yield


def _going_well(items: list[_Item]) -> list[_Item]:
    return [item for item in items if not item.error]


def _create(rtnl: Rtnl, items: list[_Item], altnames: bool) -> None:
    """Make what is no tap, and find each: from here on it is spoken of by its index, as a name is anybody's."""
    going = _going_well(items)
    born = [(item, item.making.create) for item in going if not isinstance(item.making.create, TapPlan)]
    for (item, _), reply in zip(born, rtnl.batch([create for _, create in born]), strict=True):
        if not reply.ok:
            item.taken = reply.errno == errno.EEXIST
            item.error = f"The device {item.making.name} cannot be made: {_why(item.making, reply)}."
    for item in _going_well(going):
        try:
            # Nothing else of what rtnetlink would tell of it, which is much, is of use here.
            index = socket.if_nametoindex(item.making.name)
        except OSError:
            item.error = f"The device {item.making.name} was taken away while it was made."
        else:
            item.link = _link_of(item.making, index, altnames)
    _tell_whose(rtnl, [item for item in items if item.taken])


def _tell_whose(rtnl: Rtnl, items: list[_Item]) -> None:
    """Say who holds a name that is taken. (Nobody, where it is the other end's name that its namespace has already.)"""
    for item, found in zip(items, rtnl.links([item.making.name for item in items]), strict=True):
        if found is not None:
            item.error = f"The name {item.making.name} is held by the {describe(found)}; rename or remove that."


def _link_of(making: Making, index: int, altnames: bool) -> Link:
    """What is known of a device that is made as it is to be: to read what the kernel tells of it takes 10 µs."""
    return Link(
        index,
        making.name,
        IFF_UP,
        mtu=making.mtu or 0,
        master=making.master,
        altnames=(MARK + making.ident,) if altnames else (),
        alias=making.alias,
        isolated=making.isolated,
    )


def _mark(rtnl: Rtnl, items: list[_Item], altnames: bool) -> None:
    """Mark devices, and plug those that could not be born plugged."""
    chains = []
    for item in items:
        assert item.link is not None
        index, making = item.link.index, item.making
        chain = [messages.set_altname(index, MARK + making.ident)] if altnames else []
        if isinstance(making.create, TapPlan):
            chain.append(messages.set_link(index, mtu=making.mtu, master=making.master or None))
        if making.isolated:
            chain.append(messages.set_isolated(index, True))
        chains.append(chain)
    for item, refused in zip(items, rtnl.chains(chains), strict=True):
        if refused is not None:
            item.error = f"The device {item.making.name} cannot be plugged: {_why_not_in(item.making, refused)}."


def _why(making: Making, refused: Reply) -> str:
    if refused.errno == errno.EEXIST and making.inner is not None:
        return f"its namespace has a device {making.inner.name!r} already; take that away or choose another ifname"
    return _why_not_in(making, refused)


def _why_not_in(making: Making, refused: Reply) -> str:
    if making.master and refused.errno == errno.EINVAL and not refused.text:  # do_set_master, net/core/rtnetlink.c
        return "its network's bridge has gone meanwhile; it is made anew"
    if making.master and refused.errno == errno.EXFULL:
        return "its bridge has all the ports that a Linux bridge takes; unplug something first"
    return refused.reason


def _shield(rtnl: Rtnl, items: list[_Item]) -> None:
    groups: defaultdict[shield.Shield, list[_Item]] = defaultdict(list)
    for item in _going_well(items):
        usual = shield.shield_ports if item.making.master else shield.shield_bridges
        groups[item.making.keep_off or usual].append(item)
    for keep_off, some in groups.items():
        failures = keep_off(rtnl, [item.link for item in some if item.link is not None])
        for item in some:
            if item.link is not None and item.link.index in failures:
                item.error = f"The device {item.making.name} is not used: {failures[item.link.index]}."


def _set_up(rtnl: Rtnl, items: list[_Item]) -> None:
    going = _going_well(items)
    requests = []
    for item in going:
        assert item.link is not None
        # All at once: each message to a device is one more for everybody on the host who listens.
        requests.append(messages.set_link(item.link.index, group=0, alias=item.making.alias, up=True))
    for item, reply in zip(going, rtnl.batch(requests), strict=True):
        if not reply.ok:
            item.error = f"The device {item.making.name} cannot be set up: {reply.reason}."


def _finish(rtnl: Rtnl, items: list[_Item]) -> None:
    for item in _going_well(items):
        if item.tap is not None:
            item.tap.persist()
    delete_links(rtnl, [item.link.index for item in items if item.error and item.link is not None])


def _set_up_inner_ends(items: list[_Item]) -> None:
    """Set the inner ends of veths up, from inside: a device is not set up from another namespace."""
    guests: defaultdict[int, list[_Item]] = defaultdict(list)
    for item in items:
        if item.making.inner is not None:
            guests[item.making.inner.netns_fd].append(item)
    for descriptor, some in guests.items():
        names = [item.making.inner.name for item in some if item.making.inner is not None]
        try:
            replies = inside(descriptor, [messages.set_link(name, up=True) for name in names])
        except OSError as error:
            for item in some:
                item.error = f"The other end of {item.making.name} cannot be set up: {error.strerror}."
            continue
        for item, reply in zip(some, replies, strict=True):
            # Whoever lives in there may have renamed it already, which is theirs to do.
            if reply not in (0, errno.ENODEV):
                item.error = f"The other end of {item.making.name} cannot be set up (errno {reply})."


def inside(netns_fd: int, requests: Sequence[Request]) -> list[int]:
    """Carry requests out in another namespace, and give the errno of each.

    :raise OSError: it cannot be entered
    """
    with netns.visiting(netns_fd):
        rtnl = Rtnl()
    try:
        return [reply.errno for reply in rtnl.batch(requests)]
    finally:
        rtnl.close()
