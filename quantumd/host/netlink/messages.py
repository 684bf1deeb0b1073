"""The requests that quantumd makes of rtnetlink.

Every function gives one :class:`Request`. A device is named by its index (> 0) or by a name or altname. What
may go wrong is in the :class:`Reply`: EEXIST where a name is taken, ENODEV where a device is gone, EBUSY where it
has another master, EXFULL where a bridge has its 1,023 ports, EOPNOTSUPP where the kernel lacks a kind of device.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping
from typing import Any

from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ndmsg import ndmsg
from pyroute2.netlink.rtnl.nsidmsg import nsidmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from quantumd.host.netlink.parse import IFF_NOARP, IFF_UP, IpAddress
from quantumd.host.netlink.wire import (
    HEADER,
    NLM_F_APPEND,
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_EXCL,
    Request,
    attribute,
)

Device = int | str

_RTM_NEWLINK, _RTM_DELLINK, _RTM_GETLINK, _RTM_SETLINK = 16, 17, 18, 19
_RTM_GETADDR, _RTM_GETROUTE = 22, 26
_RTM_NEWNEIGH, _RTM_DELNEIGH, _RTM_GETNEIGH = 28, 29, 30
_RTM_GETNSID = 90
_RTM_NEWLINKPROP, _RTM_DELLINKPROP = 108, 109

# linux/if_link.h
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_LINK, _IFLA_MASTER = 1, 3, 4, 5, 10
_IFLA_LINKINFO, _IFLA_IFALIAS, _IFLA_AF_SPEC, _IFLA_GROUP, _IFLA_NET_NS_FD, _IFLA_EXT_MASK = 18, 20, 26, 27, 28, 29
_IFLA_NUM_TX_QUEUES, _IFLA_NUM_RX_QUEUES = 31, 32
_IFLA_INET_CONF = 1
_IFLA_PROP_LIST, _IFLA_ALT_IFNAME = 52 | 0x8000, 53
_IFLA_INFO_KIND, _IFLA_INFO_DATA, _IFLA_INFO_SLAVE_KIND, _IFLA_INFO_SLAVE_DATA = 1, 2, 4, 5
_IFLA_BR_FORWARD_DELAY, _IFLA_BR_STP_STATE, _IFLA_BR_MCAST_SNOOPING = 1, 5, 23
_IFLA_BRPORT_ISOLATED = 33
_IFLA_VLAN_ID = 1
_IFLA_VXLAN_ID, _IFLA_VXLAN_LOCAL, _IFLA_VXLAN_LEARNING, _IFLA_VXLAN_PORT = 1, 4, 7, 15
_IFLA_VXLAN_GROUP6, _IFLA_VXLAN_LOCAL6 = 16, 17
_VETH_INFO_PEER = 1

_IFINFO = struct.Struct("=BxHiII")
_U32 = struct.Struct("=I")
_AF_BRIDGE = 7
_RTEXT_FILTER_SKIP_STATS = 1 << 3
_IFNAMSIZ = 16
_NTF_SELF = 0x02
_NUD_NOARP_PERMANENT = 0x40 | 0x80
ALL_ZERO_MAC = "00:00:00:00:00:00"


def encode(message: Any) -> bytes:
    """Encode a pyroute2 message and leave its header out."""
    message.encode()
    return bytes(message.data[HEADER.size :])


def _u32(kind: int, value: int) -> bytes:
    return attribute(kind, _U32.pack(value))


def _u8(kind: int, value: int) -> bytes:
    return attribute(kind, bytes((value,)))


def _text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode("utf-8", "surrogateescape"), b"\0")


def _mac(value: str) -> bytes:
    return attribute(_IFLA_ADDRESS, bytes.fromhex(value.replace(":", "")))


def _link(kind: int, device: Device, attributes: bytes, flags: int = 0, set_flags: int = 0, change: int = 0) -> Request:
    index = 0
    if isinstance(device, int):
        index = device
    else:
        # The kernel refuses a longer IFLA_IFNAME, and looks both attributes up in the same table.
        short = len(device.encode("utf-8", "surrogateescape")) < _IFNAMSIZ
        attributes = _text(_IFLA_IFNAME if short else _IFLA_ALT_IFNAME, device) + attributes
    return Request(kind, flags, _IFINFO.pack(0, 0, index, set_flags, change) + attributes)


_NO_STATISTICS = _u32(_IFLA_EXT_MASK, _RTEXT_FILTER_SKIP_STATS)


def get_link(device: Device) -> Request:
    """Ask for one device."""
    return _link(_RTM_GETLINK, device, _NO_STATISTICS)


def dump_links() -> Request:
    """Ask for all devices."""
    return _link(_RTM_GETLINK, 0, _NO_STATISTICS, NLM_F_DUMP)


def _info(kind: str, data: bytes) -> bytes:
    return attribute(_IFLA_LINKINFO, attribute(_IFLA_INFO_KIND, kind.encode()), attribute(_IFLA_INFO_DATA, data))


def _create(
    name: str, kind: str, data: bytes, group: int, *attributes: bytes, master: int = 0, flags: int = 0
) -> Request:
    if group:
        attributes = (*attributes, _u32(_IFLA_GROUP, group))
    if master:
        attributes = (*attributes, _u32(_IFLA_MASTER, master))
    body = b"".join(attributes) + _info(kind, data)
    return _link(_RTM_NEWLINK, name, body, NLM_F_CREATE | NLM_F_EXCL, flags, flags)


def _mtu(mtu: int | None) -> bytes:
    return b"" if mtu is None else _u32(_IFLA_MTU, mtu)


_BRIDGE_SETTINGS = (
    _u32(_IFLA_BR_STP_STATE, 0),
    _u32(_IFLA_BR_FORWARD_DELAY, 0),
    _u8(_IFLA_BR_MCAST_SNOOPING, 0),
)


def create_bridge(name: str, mac: str, mtu: int | None = None, group: int = 0) -> Request:
    """Make a bridge: STP and multicast snooping off, no forward delay. Like all devices it is born into link ``group``,
    and like all it is down; others may be born in a bridge, their ``master``.

    A given ``mac`` stays, where one that the kernel chose would follow the bridge's ports.
    """
    return _create(name, "bridge", b"".join(_BRIDGE_SETTINGS), group, _mac(mac), _mtu(mtu))


def configure_bridge(index: int) -> list[Request]:
    """Put an existing bridge's STP, forward delay and snooping where :func:`create_bridge` has them.

    One after the other: a bridge that still runs STP takes no forward delay below two seconds.
    """
    return [_link(_RTM_NEWLINK, index, _info("bridge", setting)) for setting in _BRIDGE_SETTINGS]


_ONE_QUEUE = _u32(_IFLA_NUM_TX_QUEUES, 1) + _u32(_IFLA_NUM_RX_QUEUES, 1)


def create_veth(
    name: str,
    *,
    peer: str,
    netns_fd: int,
    mac: str | None = None,
    peer_mac: str | None = None,
    mtu: int | None = None,
    group: int = 0,
    master: int = 0,
) -> Request:
    """Make a veth pair whose other end, ``peer``, is born in the namespace behind ``netns_fd``.

    The descriptor is opened O_RDONLY and stays open until the request was sent. Both ends are down: a peer that is
    asked for up is refused with ENOTCONN, since it is set up before the two are joined.

    This end answers no ARP: to be born so spares everybody who listens one notice.

    Each end has one queue either way. Without a word on that, the kernel gives it two for each processor, uses two of
    them, and waits for all readers (RCU) to take the others out of use again (``veth_init_queues`` in
    ``drivers/net/veth.c``): two waits for each pair, a third of the time that it takes to make one.
    """
    other = attribute(
        _VETH_INFO_PEER,
        _IFINFO.pack(0, 0, 0, 0, 0),
        _text(_IFLA_IFNAME, peer),
        _u32(_IFLA_NET_NS_FD, netns_fd),
        _ONE_QUEUE,
        b"" if peer_mac is None else _mac(peer_mac),
        _mtu(mtu),
    )
    own = (_ONE_QUEUE, b"" if mac is None else _mac(mac), _mtu(mtu))
    return _create(name, "veth", other, group, *own, master=master, flags=IFF_NOARP)


def create_vxlan(
    name: str,
    *,
    vni: int,
    port: int,
    local: IpAddress | None,
    ipv6: bool,
    mac: str,
    mtu: int | None = None,
    group: int = 0,
    master: int = 0,
) -> Request:
    """Make a VXLAN device without remotes; they are entries of its forwarding table (:func:`add_remote`).

    ``ipv6`` says of which family the remotes will be, where there is no ``local`` address to tell.
    """
    ends = b""
    if local is not None:
        ends = attribute(_IFLA_VXLAN_LOCAL6 if local.version == 6 else _IFLA_VXLAN_LOCAL, local.packed)
    elif ipv6:
        ends = attribute(_IFLA_VXLAN_GROUP6, bytes(16))
    udp = attribute(_IFLA_VXLAN_PORT, port.to_bytes(2, "big"))
    data = _u32(_IFLA_VXLAN_ID, vni) + udp + _u8(_IFLA_VXLAN_LEARNING, 1) + ends
    return _create(name, "vxlan", data, group, _mac(mac), _mtu(mtu), master=master)


def create_vlan(name: str, *, below: int, vid: int, mtu: int | None = None, group: int = 0, master: int = 0) -> Request:
    """Make an 802.1Q sub-interface of the device ``below``. EOPNOTSUPP: the kernel has no 8021q."""
    tag = attribute(_IFLA_VLAN_ID, struct.pack("=H", vid))
    return _create(name, "vlan", tag, group, _u32(_IFLA_LINK, below), _mtu(mtu), master=master)


def probe_kind(kind: str) -> Request:
    """Ask whether the kernel can make devices of ``kind``, in a way that cannot make one.

    The name is one that no device can have, so that EOPNOTSUPP means "no such kind" and any other errno that
    there is one. The kernel may load the module for it.
    """
    return _create("quantumd/probe", kind, b"", 0)


def set_altname(device: Device, altname: str) -> Request:
    """Give a device a further name (up to 127 bytes). EEXIST: a device has it. EOPNOTSUPP: kernel < 5.5."""
    names = attribute(_IFLA_PROP_LIST, _text(_IFLA_ALT_IFNAME, altname))
    return _link(_RTM_NEWLINKPROP, device, names, NLM_F_CREATE | NLM_F_EXCL | NLM_F_APPEND)


def drop_altname(device: Device, altname: str) -> Request:
    """Take a further name from a device."""
    return _link(_RTM_DELLINKPROP, device, attribute(_IFLA_PROP_LIST, _text(_IFLA_ALT_IFNAME, altname)))


def set_link(
    device: Device,
    *,
    up: bool | None = None,
    noarp: bool | None = None,
    master: int | None = None,
    mtu: int | None = None,
    mac: str | None = None,
    alias: str | None = None,
    group: int | None = None,
    name: str | None = None,
    netns_fd: int | None = None,
    inet: Mapping[int, int] | None = None,
) -> Request:
    """Change a device. ``master`` 0 releases it; an ``alias`` "" is taken away; ``name``, a new one, needs an index;
    ``netns_fd`` moves it into that open namespace; ``inet`` has its IPv4 switches, by their numbers (``linux/ip.h``,
    ``IPV4_DEVCONF_...``).

    The kernel goes in the order namespace, MAC, MTU, group, name, alias, flags, master (``do_setlink`` in
    ``net/core/rtnetlink.c``; some versions have the last two the other way round); where it refuses one thing, what
    went before stays. So a device that the host is to be kept off goes into its bridge before it is set up.
    """
    flags = change = 0
    for wanted, bit in ((up, IFF_UP), (noarp, IFF_NOARP)):
        if wanted is not None:
            change |= bit
            flags |= bit if wanted else 0
    attributes = _mtu(mtu)
    if name is not None:
        attributes += _text(_IFLA_IFNAME, name)
    if master is not None:
        attributes += _u32(_IFLA_MASTER, master)
    if mac is not None:
        attributes += _mac(mac)
    if alias is not None:
        attributes += attribute(_IFLA_IFALIAS, alias.encode("utf-8", "surrogateescape"))
    if group is not None:
        attributes += _u32(_IFLA_GROUP, group)
    if netns_fd is not None:
        attributes += _u32(_IFLA_NET_NS_FD, netns_fd)
    if inet is not None:
        switches = attribute(_IFLA_INET_CONF, *(_u32(number, value) for number, value in inet.items()))
        attributes += attribute(_IFLA_AF_SPEC, attribute(socket.AF_INET, switches))
    return _link(_RTM_SETLINK, device, attributes, 0, flags, change)


def set_isolated(index: int, isolated: bool) -> Request:
    """Set a bridge port's ``isolated`` flag: isolated ports do not reach each other."""
    data = attribute(_IFLA_INFO_SLAVE_DATA, _u8(_IFLA_BRPORT_ISOLATED, int(isolated)))
    return _link(_RTM_NEWLINK, index, attribute(_IFLA_LINKINFO, attribute(_IFLA_INFO_SLAVE_KIND, b"bridge\0"), data))


def delete_link(index: int) -> Request:
    """Remove a device. The kernel takes about 18 ms for each: see :func:`delete_group` for many."""
    return _link(_RTM_DELLINK, index, b"")


def delete_group(group: int) -> Request:
    """Remove all devices of a link group, whoever put them there."""
    return _link(_RTM_DELLINK, 0, _u32(_IFLA_GROUP, group))


def dump_addresses(index: int = 0) -> Request:
    """Ask for the IP addresses of a device, or of all."""
    message = ifaddrmsg()
    message["index"] = index
    message["family"] = socket.AF_UNSPEC
    return Request(_RTM_GETADDR, NLM_F_DUMP, encode(message))


def dump_routes(family: socket.AddressFamily) -> Request:
    """Ask for all routes of a family."""
    message = rtmsg()
    message["family"] = int(family)
    return Request(_RTM_GETROUTE, NLM_F_DUMP, encode(message))


def _remote(kind: int, flags: int, index: int, remote: IpAddress) -> Request:
    message = ndmsg()
    message["family"] = _AF_BRIDGE
    message["ifindex"] = index
    message["state"] = _NUD_NOARP_PERMANENT
    message["flags"] = _NTF_SELF
    message["attrs"] = [["NDA_LLADDR", ALL_ZERO_MAC], ["NDA_DST", str(remote)]]
    return Request(kind, flags, encode(message))


def add_remote(index: int, remote: IpAddress) -> Request:
    """Have a VXLAN device send what it floods to ``remote`` too. EEXIST: it does already."""
    return _remote(_RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_APPEND, index, remote)


def drop_remote(index: int, remote: IpAddress) -> Request:
    """Have a VXLAN device no longer send to ``remote`` what it floods. That it never did is no error."""
    return _remote(_RTM_DELNEIGH, 0, index, remote)


def dump_fdb(index: int) -> Request:
    """Ask for the forwarding table of a VXLAN device."""
    message = ndmsg()
    message["family"] = _AF_BRIDGE
    message["ifindex"] = index
    return Request(_RTM_GETNEIGH, NLM_F_DUMP, encode(message))


def get_netns_id(netns_fd: int) -> Request:
    """Ask which id this namespace has for the one behind ``netns_fd`` (see :attr:`Link.link_netnsid`)."""
    message = nsidmsg()
    message["attrs"] = [["NETNSA_FD", netns_fd]]
    return Request(_RTM_GETNSID, 0, encode(message))
