"""Being told by the kernel what becomes of links, addresses and default routes."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Any

from attrs import frozen
from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from quantumd.host.netlink import bpf, parse
from quantumd.host.netlink.receiving import Receiver
from quantumd.host.netlink.rtnl import Rtnl, open_socket
from quantumd.host.netlink.wire import Message
from quantumd.host.netlink.wire import messages as split

_RTMGRP_LINK = 0x1
_RTMGRP_IPV4_IFADDR, _RTMGRP_IPV4_ROUTE = 0x10, 0x40
_RTMGRP_IPV6_IFADDR, _RTMGRP_IPV6_ROUTE = 0x100, 0x400
_GROUPS = _RTMGRP_LINK | _RTMGRP_IPV4_IFADDR | _RTMGRP_IPV4_ROUTE | _RTMGRP_IPV6_IFADDR | _RTMGRP_IPV6_ROUTE

_IFLA_GROUP = 27
_FIND_ATTRIBUTE = 0xFFFFF000 + 12  # SKF_AD_OFF + SKF_AD_NLATTR (linux/filter.h)

_BUFFER = 16 << 20  # some 10,000 notices, while the reactor is busy with something else
_READS_AT_ONCE = 32  # each of up to 32 notices
#: Seconds between two readings; the longer ones after so many notices at once, which are mostly many about each device.
_REST, _LONG_REST, _MANY = 0.002, 0.02, 64


@frozen
class LinkChanged:
    """A device appeared, or something of it changed."""

    link: parse.Link


@frozen
class LinkGone:
    """A device went away, or moved to another namespace."""

    link: parse.Link


@frozen
class AddressChanged:
    """A device got (``present``) or lost an IP address."""

    address: parse.Address
    present: bool


@frozen
class DefaultRouteChanged:
    """A default route came or went. The kernel does not tell of all that go: which are left has to be asked."""

    route: parse.DefaultRoute
    present: bool


@frozen
class Overrun:
    """The kernel had more to tell than fits: everything has to be read again."""


Event = LinkChanged | LinkGone | AddressChanged | DefaultRouteChanged | Overrun


def open_monitor_socket(_rtnl: Rtnl, untold: int) -> socket.socket:
    """Open the socket of a :class:`LinkMonitor`; a job for the netlink thread, whose namespace it is to watch.

    What becomes of devices in link group ``untold`` is not told, but that they go: of the dozen of notices that there
    are while a device is made, most are of no use before it is whole. Nor is what a bridge says of its ports.
    """
    opened = open_socket(_GROUPS, _BUFFER)
    try:
        bpf.attach(opened, _all_but(untold))
        opened.setblocking(False)
    except BaseException:
        opened.close()
        raise
    return opened


def _all_but(group: int) -> bpf.Program:
    """Drops RTM_NEWLINK of AF_BRIDGE and of that group. A program takes all numbers for big-endian ones."""
    return (
        (0x28, 0, 0, 4),  # A = nlmsg_type
        (0x15, 0, 9, socket.htons(parse.RTM_NEWLINK)),
        (0x30, 0, 0, 16),  # A = ifi_family
        (0x15, 8, 0, socket.AF_BRIDGE),
        (0x01, 0, 0, _IFLA_GROUP),  # A = where that attribute is, if it is anywhere behind struct ifinfomsg
        (0x00, 0, 0, 32),
        (0x20, 0, 0, _FIND_ATTRIBUTE),
        (0x15, 3, 0, 0),
        (0x07, 0, 0, 0),
        (0x40, 0, 0, 4),  # A = what is in it
        (0x15, 1, 0, socket.htonl(group)),
        (0x06, 0, 0, 0xFFFFFFFF),
        (0x06, 0, 0, 0),
    )


@implementer(IReadDescriptor)
class LinkMonitor:
    """Reads notices in the reactor's thread (a few microseconds each) and hands them on in order.

    ``listener`` gets a list of events for all that could be read at once; it must not raise or block.
    """

    _log = Logger()

    def __init__(self, reactor: Any, opened: socket.socket, listener: Callable[[list[Event]], None]) -> None:
        self._reactor = reactor
        self._socket = opened
        self._receiver = Receiver(opened)
        self._listener = listener
        self._rest: Any = None
        self._held = False

    def start(self) -> None:
        """Begin to read. Notices since the socket was opened are not lost."""
        self._reactor.addReader(self)

    def stop(self) -> None:
        """Read no more, and close the socket."""
        if self._rest is not None and self._rest.active():
            self._rest.cancel()
        self._reactor.removeReader(self)
        self._socket.close()

    def logPrefix(self) -> str:
        """See ILoggingContext."""
        return "link monitor"

    def fileno(self) -> int:
        """See IFileDescriptor."""
        return self._socket.fileno()

    def connectionLost(self, reason: Failure) -> None:  # noqa: ARG002 - the interface's
        """See IFileDescriptor. The reactor calls it at its own end."""
        self._socket.close()

    def hold(self) -> None:
        """Read only when :meth:`read` is called, until :meth:`release`: of many notices about each of some devices the
        last is read then."""
        self._held = True
        self._reactor.removeReader(self)

    def release(self) -> None:
        """Read by itself again."""
        self._held = False
        if self._rest is None or not self._rest.active():
            self._go_on()

    def _go_on(self) -> None:
        if not self._held and self._socket.fileno() >= 0:
            self._reactor.addReader(self)

    def doRead(self) -> None:
        """See IReadDescriptor: read, then rest a moment, so that a burst of notices is read in few goes."""
        self._reactor.removeReader(self)
        self._rest = self._reactor.callLater(_REST, self._go_on)
        if self.read() >= _MANY and self._rest.active():  # the listener may have stopped it
            self._rest.reset(_LONG_REST)

    def read(self) -> int:
        """Read what the kernel has told until now, and return how many notices that were; may be called at any time."""
        burst = _Burst()
        for _ in range(_READS_AT_ONCE):
            try:
                for notice in self._receiver.receive():
                    burst.add(notice)
            except OSError as error:
                if error.errno == errno.EAGAIN:
                    break
                if error.errno != errno.ENOBUFS:
                    raise
                burst.events.append(Overrun())
        events = burst.finish()
        if events:
            try:
                self._listener(events)
            except Exception:
                # Let go of the notices, not of the socket: the reactor would drop a reader that raises.
                self._log.failure("a listener of the link monitor failed")
        return burst.notices


class _Burst:
    """Notices that were read together. Of many about one device, as there are while it is made, the last counts."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.notices = 0
        self._latest: dict[int, Message] = {}

    def add(self, data: bytes) -> None:
        for message in split(data):
            self.notices += 1
            if message.type == parse.RTM_NEWLINK:
                self._latest[parse.link_index(message)] = message
                continue
            if message.type == parse.RTM_DELLINK:
                self._tell(self._latest.pop(parse.link_index(message), None))
            self._tell(message)

    def finish(self) -> list[Event]:
        """All events; those of devices that are there come last."""
        for message in self._latest.values():
            self._tell(message)
        return self.events

    def _tell(self, message: Message | None) -> None:
        event = _event(message) if message is not None else None
        if event is not None:
            self.events.append(event)


def _event(message: Message) -> Event | None:
    kind = message.type
    if kind in (parse.RTM_NEWLINK, parse.RTM_DELLINK):
        link = parse.link(message)
        if link is None:
            return None
        return LinkChanged(link) if kind == parse.RTM_NEWLINK else LinkGone(link)
    if kind in (parse.RTM_NEWADDR, parse.RTM_DELADDR):
        address = parse.address(message)
        return AddressChanged(address, kind == parse.RTM_NEWADDR) if address else None
    if kind in (parse.RTM_NEWROUTE, parse.RTM_DELROUTE):
        route = parse.default_route(message)
        return DefaultRouteChanged(route, kind == parse.RTM_NEWROUTE) if route else None
    return None
