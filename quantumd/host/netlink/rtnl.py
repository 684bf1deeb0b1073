"""A blocking rtnetlink socket, for the thread that may block.

:class:`Rtnl` is used by one thread only, normally through :class:`quantumd.host.netlink.thread.NetlinkThread`.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from attrs import evolve

from quantumd.host.netlink import messages, parse
from quantumd.host.netlink.receiving import Receiver
from quantumd.host.netlink.wire import (
    HEADER,
    NLM_F_DUMP_INTR,
    NLMSG_DONE,
    NLMSG_ERROR,
    Message,
    Reply,
    Request,
    frame,
    outcome,
    pad,
)
from quantumd.host.netlink.wire import messages as split

_Parsed = TypeVar("_Parsed")

_SOL_NETLINK = 270
_NETLINK_CAP_ACK, _NETLINK_EXT_ACK, _NETLINK_GET_STRICT_CHK = 10, 11, 12
_SO_RCVBUFFORCE = 33

_RECEIVE_BUFFER = 8 << 20
_REPLY_COST = 8 << 10  # what the kernel charges the receive buffer for one link message, at most
_CHUNK_REQUESTS = 256
_CHUNK_BYTES = 96 << 10  # half of the send buffer that Linux gives by default
_DUMP_TRIES = 5
# struct timeval. The kernel answers while a request is sent; to wait for long is to wait for what will never come.
_PATIENCE = struct.pack("@ll", 30, 0)
_CARRIED_OUT = Reply()
_LAST_SEQUENCE = 0xFFFF0000  # where a 32-bit number begins anew


class NetlinkError(OSError):
    """The kernel refused a query, or the socket failed."""


def open_socket(groups: int = 0, receive_buffer: int = _RECEIVE_BUFFER) -> socket.socket:
    """Open a NETLINK_ROUTE socket in the calling thread's network namespace.

    ``groups`` is a mask of RTMGRP_* to be told about.
    """
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    try:
        try:
            opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, receive_buffer)
        except PermissionError:  # inside a user namespace only net.core.rmem_max is allowed
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        for option in (_NETLINK_CAP_ACK, _NETLINK_EXT_ACK, _NETLINK_GET_STRICT_CHK):
            opened.setsockopt(_SOL_NETLINK, option, 1)
        opened.bind((0, groups))
    except BaseException:
        opened.close()
        raise
    return opened


class Rtnl:
    """Requests to rtnetlink and what came of them.

    The socket belongs to the network namespace of the thread that makes the object.
    """

    def __init__(self) -> None:
        self._socket = open_socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _PATIENCE)
        self._receiver = Receiver(self._socket)
        self._sequence = 0
        # The devices of the last dump of all, by the digest of what was said of them.
        self._read: dict[int, parse.Link] = {}
        #: A link group that was seen to be nobody's (see :mod:`quantumd.host.netlink.groups`).
        self.spare_group: int | None = None
        size = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        # All acknowledgements of a chunk wait in the receive buffer while the kernel works through it.
        self._chunk = max(1, min(_CHUNK_REQUESTS, size // _REPLY_COST))

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def batch(self, requests: Sequence[Request]) -> list[Reply]:
        """Carry out ``requests`` in order, in as few system calls as will do, and give one reply for each.

        The kernel goes on after a request that fails. Dumps do not belong in here.

        :raise NetlinkError: the socket failed; what was carried out is unknown
        """
        replies: list[Reply] = []
        while len(replies) < len(requests):
            chunk = self._chunk_of(requests, len(replies))
            if self._sequence > _LAST_SEQUENCE:
                self._sequence = 0
            first = self._sequence + 1
            last = len(chunk) - 1
            frames = [frame(request, self._next(), place == last) for place, request in enumerate(chunk)]
            self._send(b"".join(frames))
            replies.extend(self._collect(first, len(chunk)))
        return replies

    def _chunk_of(self, requests: Sequence[Request], start: int) -> Sequence[Request]:
        """As many requests from ``start`` on as go into one system call."""
        size, end = 0, start
        while end < len(requests) and end - start < self._chunk:
            size += HEADER.size + pad(len(requests[end].body))
            if size > _CHUNK_BYTES and end > start:
                break
            end += 1
        return requests[start:end]

    def one(self, request: Request) -> Reply:
        """Carry out one request."""
        return self.batch([request])[0]

    def chains(self, chains: Sequence[Sequence[Request]]) -> list[Reply | None]:
        """Carry out several requests for each of several things, and give the first refusal for each, or None.

        What follows a refused request in its chain is tried all the same.
        """
        replies = iter(self.batch([request for chain in chains for request in chain]))
        refused: list[Reply | None] = []
        for chain in chains:
            mine = [next(replies) for _ in chain]
            refused.append(next((reply for reply in mine if not reply.ok), None))
        return refused

    def dump(self, request: Request, parser: Callable[[Message], _Parsed | None]) -> list[_Parsed]:
        """Carry out a dump, and give what the parser makes of each message, but None. One that the host's changes
        interrupted is begun again.

        :raise NetlinkError: the kernel refuses the query
        """
        for _ in range(_DUMP_TRIES):
            self._send(frame(request, self._next(), False))
            found, whole = self._dumped(parser)
            if whole:
                return found
        # The host changes faster than it can be read; each record is sound, and the monitor tells of changes.
        return found

    def links(self, devices: Iterable[messages.Device]) -> list[parse.Link | None]:
        """Look devices up by index, name or altname. None: there is no such device."""
        return [read_link(reply) for reply in self.batch([messages.get_link(device) for device in devices])]

    def all_links(self, known: Mapping[int, parse.Link] | None = None) -> list[parse.Link]:
        """All devices of the namespace. One that is as it is ``known``, by its index, is that very object: there may be
        ten thousand, and then there are not twice as many.

        Of a device of which the kernel says, to the byte, what it said the last time, that is not read again.
        """
        held = known or {}
        before, now = self._read, dict[int, parse.Link]()

        def link(message: Message) -> parse.Link | None:
            digest = hash(message.body)  # of 64 bits, and nobody who makes devices knows its key (PEP 456)
            found = before.get(digest) or parse.link(message)
            if found is not None:
                there = held.get(found.index)
                found = now[digest] = there if there is not None and there == found else found
            return found

        found = self.dump(messages.dump_links(), link)
        self._read = now
        return found

    def members(self, group: int) -> set[int]:
        """The indexes of the devices in that link group."""
        found = self.dump(messages.dump_links(), parse.link_group)
        return {index for index, its in found if its == group and index}

    def addresses(self, index: int = 0) -> list[parse.Address]:
        """The IP addresses of a device, of one that is gone none; without ``index``, all of the namespace."""
        try:
            return self.dump(messages.dump_addresses(index), parse.address)
        except NetlinkError as error:
            if index and error.errno == errno.ENODEV:
                return []
            raise

    def default_routes(self) -> list[parse.DefaultRoute]:
        """All unicast default routes, IPv4 and IPv6, of all tables."""
        found: list[parse.DefaultRoute] = []
        for family in (socket.AF_INET, socket.AF_INET6):
            try:
                found.extend(self.dump(messages.dump_routes(family), parse.default_route))
            except NetlinkError as error:
                if error.errno not in (errno.EAFNOSUPPORT, errno.EOPNOTSUPP):  # a kernel without IPv6
                    raise
        return found

    def remotes(self, index: int) -> set[parse.IpAddress]:
        """Where a VXLAN device sends what it floods."""
        entries = self.dump(messages.dump_fdb(index), parse.fdb_entry)
        return {
            entry.remote
            for entry in entries
            if entry.index == index and entry.mac == messages.ALL_ZERO_MAC and entry.remote is not None
        }

    def netns_id(self, netns_fd: int) -> int | None:
        """Which id this namespace has for the one behind ``netns_fd``. None: it has not met it yet."""
        reply = self.one(messages.get_netns_id(netns_fd))
        return parse.netns_id(reply.messages[0]) if reply.ok and reply.messages else None

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence

    def _send(self, data: bytes) -> None:
        try:
            self._socket.sendto(data, (0, 0))
        except OSError as error:
            raise NetlinkError(error.errno, f"cannot send to rtnetlink: {error.strerror}") from error

    def _receive(self) -> Iterator[Message]:
        try:
            for datagram in self._receiver.receive():
                yield from split(datagram)
        except OSError as error:
            if error.errno == errno.EAGAIN:
                raise NetlinkError(errno.ETIMEDOUT, "rtnetlink owes an answer for 30 s") from error
            raise NetlinkError(error.errno, f"cannot read from rtnetlink: {error.strerror}") from error

    def _collect(self, first: int, count: int) -> list[Reply]:
        """The replies to requests of which the last was to be acknowledged: what is not answered by then went well."""
        errors: dict[int, Reply] = {}
        answers: dict[int, tuple[Message, ...]] = {}
        while count - 1 not in errors:
            for message in self._receive():
                place = message.sequence - first
                if not 0 <= place < count:
                    continue  # a remnant of an exchange that failed half-way
                if message.type == NLMSG_ERROR:
                    errors[place] = outcome(message)
                else:
                    answers[place] = (*answers.get(place, ()), message)
        return [_reply(errors.get(place, _CARRIED_OUT), answers.get(place)) for place in range(count)]

    def _dumped(self, parser: Callable[[Message], _Parsed | None]) -> tuple[list[_Parsed], bool]:
        # Parsed as they come: ten thousand devices are 15 MB of messages.
        found: list[_Parsed] = []
        whole = True
        while True:
            for message in self._receive():
                if message.sequence != self._sequence:
                    continue
                whole = whole and not message.flags & NLM_F_DUMP_INTR
                if message.type in (NLMSG_ERROR, NLMSG_DONE):
                    failed = outcome(message) if len(message.body) >= 4 else Reply()
                    if failed.errno:
                        raise NetlinkError(failed.errno, failed.reason)
                    return found, whole
                parsed = parser(message)
                if parsed is not None:
                    found.append(parsed)


def _reply(result: Reply, answer: tuple[Message, ...] | None) -> Reply:
    return result if answer is None else evolve(result, messages=answer)


def read_link(reply: Reply) -> parse.Link | None:
    """The link in the reply to :func:`.messages.get_link`; None where there is no such device."""
    return parse.link(reply.messages[0]) if reply.ok and reply.messages else None
