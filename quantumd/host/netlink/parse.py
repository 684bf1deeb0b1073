"""What the kernel tells of links, addresses and routes, as values.

Only the attributes that are used are looked at; layouts are from ``linux/rtnetlink.h``, ``linux/if_link.h``,
``linux/if_addr.h`` and ``linux/neighbour.h``.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Callable

from attrs import frozen

from quantumd.host.netlink.wire import Message, attributes, chosen, text

RTM_NEWLINK = 16
RTM_DELLINK = 17
RTM_NEWADDR = 20
RTM_DELADDR = 21
RTM_NEWROUTE = 24
RTM_DELROUTE = 25

IFF_UP = 0x1
IFF_NOARP = 0x80
#: Others follow from what is done to a device (IFF_PROMISC in a bridge), or come later than it (IFF_RUNNING).
_FLAGS = IFF_UP | IFF_NOARP

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_IFINFO = struct.Struct("=BxHiII")
_IFADDR = struct.Struct("=BBBBI")
_RTMSG = struct.Struct("=BBBBBBBBI")
_NDMSG = struct.Struct("=BxxxiHBB")
_U32 = struct.Struct("=I")
_U16 = struct.Struct("=H")
_BE16 = struct.Struct(">H")
_S32 = struct.Struct("=i")

# What is read of a link (IFLA_*), of its IFLA_LINKINFO, and of its IFLA_INFO_SLAVE_DATA in a bridge.
_LINK = frozenset((1, 3, 4, 5, 10, 18, 20, 27, 33, 37, 52))
_GROUP = frozenset((27,))
_LINKINFO = frozenset((1, 2, 4, 5))
_ISOLATED = frozenset((33,))

_AF_BRIDGE = 7
_RTN_UNICAST = 1


@frozen
class BridgeDetail:
    """How a bridge is set: whether it runs STP, its forward delay (in 1/100 s), whether it snoops multicast."""

    stp: bool = False
    forward_delay: int = 0
    mcast_snooping: bool = False


@frozen
class VxlanDetail:
    """A VXLAN device's identity: VNI, local address, UDP port, and whether it learns."""

    vni: int
    local: IpAddress | None
    port: int
    learning: bool


@frozen
class VlanDetail:
    """A VLAN sub-interface's identity: VLAN id and ethertype (0x8100 for 802.1Q)."""

    vid: int
    protocol: int


@frozen
class TunDetail:
    """A tun or tap device: owner and group (None: nobody's), whether it is a tap, outlives its makers, and
    has several queues."""

    owner: int | None
    group: int | None
    tap: bool
    persist: bool
    multi_queue: bool


Detail = BridgeDetail | VxlanDetail | VlanDetail | TunDetail


@frozen
class Link:
    """One network device.

    ``link`` is the index of the device below it (VLAN, VXLAN) or of a veth's other end, which is to be
    looked up in the namespace ``link_netnsid`` if that is not None. ``slave_kind`` is the kind of its master
    ("bridge"). ``isolated`` is the bridge port flag of that name, and is looked for in VXLAN devices only: no other is
    ever isolated here, and to find it takes a third of the time that it takes to read a bridge port.
    """

    index: int
    name: str
    flags: int
    mtu: int = 0
    mac: str = ""
    kind: str = ""
    master: int = 0
    slave_kind: str = ""
    group: int = 0
    carrier: bool = False
    altnames: tuple[str, ...] = ()
    alias: str = ""
    link: int = 0
    link_netnsid: int | None = None
    isolated: bool = False
    detail: Detail | None = None

    @property
    def up(self) -> bool:
        """Whether somebody set it up (IFF_UP)."""
        return bool(self.flags & IFF_UP)

    @property
    def running(self) -> bool:
        """Whether it is up and has carrier."""
        return self.up and self.carrier


@frozen
class Address:
    """An IP address of a device. ``scope`` is from rtnetlink.h: 0 global, 200 site, 253 link, 254 host."""

    index: int
    address: IpAddress
    scope: int


@frozen
class DefaultRoute:
    """A default route (unicast, prefix length 0) of any table and through which devices it goes."""

    indexes: tuple[int, ...]


@frozen
class FdbEntry:
    """An entry of a VXLAN device's forwarding table."""

    index: int
    mac: str
    remote: IpAddress | None


def link_index(message: Message) -> int:
    """Which device RTM_NEWLINK or RTM_DELLINK is about; 0 for AF_BRIDGE port notices."""
    family, _, index, _, _ = _IFINFO.unpack_from(message.body)
    return 0 if family == _AF_BRIDGE else int(index)


def link(message: Message) -> Link | None:
    """Parse RTM_NEWLINK or RTM_DELLINK; None for what is not about a device (AF_BRIDGE port notices)."""
    body = message.body
    family, _, index, flags, _ = _IFINFO.unpack_from(body)
    if family == _AF_BRIDGE:
        return None
    found = chosen(body, _LINK, 16)
    kind, slave_kind, detail, isolated = _linkinfo(found[18]) if 18 in found else ("", "", None, False)
    altnames = tuple(text(value) for prop, value in attributes(found[52]) if prop == 53) if 52 in found else ()
    return Link(
        index,
        name=text(found.get(3, b"")),
        flags=flags & _FLAGS,
        mtu=_u32(found, 4),
        mac=found[1].hex(":") if 1 in found else "",
        kind=kind,
        master=_u32(found, 10),
        slave_kind=slave_kind,
        group=_u32(found, 27),
        carrier=found.get(33, b"\0")[0] == 1,
        altnames=altnames,
        alias=text(found.get(20, b"")),
        link=_u32(found, 5),
        link_netnsid=_S32.unpack(found[37])[0] if 37 in found else None,
        isolated=isolated,
        detail=detail,
    )


def link_group(message: Message) -> tuple[int, int]:
    """Of RTM_NEWLINK, which device it is about (0: of none) and the group that it is in, and nothing else."""
    return link_index(message), _u32(chosen(message.body, _GROUP, 16), 27)


def _u32(found: dict[int, bytes], attribute: int) -> int:
    return int(_U32.unpack(found[attribute])[0]) if attribute in found else 0


def _linkinfo(payload: bytes) -> tuple[str, str, Detail | None, bool]:
    found = chosen(payload, _LINKINFO)
    kind, slave_kind = text(found.get(1, b"")), text(found.get(4, b""))
    detail, data = None, found.get(2)
    if data and kind in _DETAILS:
        reader, wanted = _DETAILS[kind]
        detail = reader(chosen(data, wanted))
    isolated = False
    if kind == "vxlan" and slave_kind == "bridge":
        isolated = chosen(found.get(5, b""), _ISOLATED).get(33, b"\0")[0] == 1
    return kind, slave_kind, detail, isolated


def _bridge(data: dict[int, bytes]) -> Detail:
    return BridgeDetail(
        stp=_U32.unpack(data.get(5, bytes(4)))[0] != 0,
        forward_delay=_U32.unpack(data.get(1, bytes(4)))[0],
        mcast_snooping=data.get(23, b"\0")[0] != 0,
    )


def _vxlan(data: dict[int, bytes]) -> Detail:
    local = data.get(4) or data.get(17)
    return VxlanDetail(
        vni=_U32.unpack(data.get(1, bytes(4)))[0],
        local=_unspecified_as_none(local),
        port=_BE16.unpack(data.get(15, bytes(2)))[0],
        learning=data.get(7, b"\0")[0] != 0,
    )


def _vlan(data: dict[int, bytes]) -> Detail:
    (vid,) = _U16.unpack(data.get(1, bytes(2)))
    (protocol,) = _BE16.unpack(data.get(5, b"\x81\0"))
    return VlanDetail(vid, protocol)


def _tun(data: dict[int, bytes]) -> Detail:
    return TunDetail(
        owner=_U32.unpack(data[1])[0] if 1 in data else None,
        group=_U32.unpack(data[2])[0] if 2 in data else None,
        tap=data.get(3, b"\0")[0] == 2,
        persist=data.get(6, b"\0")[0] != 0,
        multi_queue=data.get(7, b"\0")[0] != 0,
    )


#: How the IFLA_INFO_DATA of each kind is read, and what of it.
_DETAILS: dict[str, tuple[Callable[[dict[int, bytes]], Detail], frozenset[int]]] = {
    "bridge": (_bridge, frozenset((1, 5, 23))),
    "vxlan": (_vxlan, frozenset((1, 4, 7, 15, 17))),
    "vlan": (_vlan, frozenset((1, 5))),
    "tun": (_tun, frozenset((1, 2, 3, 6, 7))),
}


def ip_address(payload: bytes) -> IpAddress:
    """An address of 4 or 16 bytes in network order."""
    return ipaddress.IPv4Address(payload) if len(payload) == 4 else ipaddress.IPv6Address(payload)


def _unspecified_as_none(payload: bytes | None) -> IpAddress | None:
    if not payload:
        return None
    address = ip_address(payload)
    return None if address.is_unspecified else address


def address(message: Message) -> Address | None:
    """Parse RTM_NEWADDR or RTM_DELADDR; None where there is no address in it."""
    _family, _prefix, _flags, scope, index = _IFADDR.unpack_from(message.body)
    found: bytes | None = None
    for attribute, payload in attributes(message.body, 8):
        # IFA_LOCAL is the device's own address where IFA_ADDRESS is a point-to-point peer's.
        if attribute == 2 or (attribute == 1 and found is None):
            found = payload
    return Address(index, ip_address(found), scope) if found else None


def default_route(message: Message) -> DefaultRoute | None:
    """Parse RTM_NEWROUTE; None for everything but a unicast default route."""
    fields = _RTMSG.unpack_from(message.body)
    family, prefix, kind = fields[0], fields[1], fields[7]
    if prefix != 0 or kind != _RTN_UNICAST or family not in (socket.AF_INET, socket.AF_INET6):
        return None
    indexes: list[int] = []
    for attribute, payload in attributes(message.body, 12):
        if attribute == 4:  # RTA_OIF
            indexes.append(_U32.unpack(payload)[0])
        elif attribute == 9:  # RTA_MULTIPATH: struct rtnexthop, each with its own length
            offset = 0
            while offset + 8 <= len(payload):
                length, _flags, _hops, index = struct.unpack_from("=HBBi", payload, offset)
                if length < 8:
                    break
                indexes.append(index)
                offset += (length + 3) & ~3
    return DefaultRoute(tuple(indexes)) if indexes else None


def fdb_entry(message: Message) -> FdbEntry | None:
    """Parse an AF_BRIDGE RTM_NEWNEIGH; None where it has no MAC."""
    _, index, _, _, _ = _NDMSG.unpack_from(message.body)
    mac, remote = "", None
    for attribute, payload in attributes(message.body, 12):
        if attribute == 1:
            remote = ip_address(payload)
        elif attribute == 2:
            mac = payload.hex(":")
    return FdbEntry(index, mac, remote) if mac else None


def netns_id(message: Message) -> int | None:
    """Parse RTM_NEWNSID: the id that this namespace has for the other, or None if it has none yet."""
    for attribute, payload in attributes(message.body, 4):
        if attribute == 1:
            (value,) = _S32.unpack(payload)
            return value if value >= 0 else None
    return None
