"""The requests that quantumd makes of rtnetlink.

Every function gives one :class:`Request`. A device is named by its index (> 0) or by a name or altname. What
may go wrong is in the :class:`Reply`: EEXIST where a name is taken, ENODEV where a device is gone, EBUSY where it
has another master, EXFULL where a bridge has its 1,023 ports, EOPNOTSUPP where the kernel lacks a kind of device.
"""

from __future__ import annotations

import socket
from typing import Any

from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
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
)

Attributes = list[tuple[str, Any]]
Device = int | str

_RTM_NEWLINK, _RTM_DELLINK, _RTM_GETLINK, _RTM_SETLINK = 16, 17, 18, 19
_RTM_GETADDR, _RTM_GETROUTE = 22, 26
_RTM_NEWNEIGH, _RTM_DELNEIGH, _RTM_GETNEIGH = 28, 29, 30
_RTM_GETNSID = 90
_RTM_NEWLINKPROP, _RTM_DELLINKPROP = 108, 109

_RTEXT_FILTER_SKIP_STATS = 1 << 3
_IFNAMSIZ = 16
_NTF_SELF = 0x02
_NUD_NOARP_PERMANENT = 0x40 | 0x80
ALL_ZERO_MAC = "00:00:00:00:00:00"


def encode(message: Any) -> bytes:
    """Encode a pyroute2 message and leave its header out."""
    message.encode()
    return bytes(message.data[HEADER.size :])


def _link(
    kind: int,
    device: Device,
    attributes: Attributes,
    flags: int = 0,
    set_flags: int = 0,
    change: int = 0,
) -> Request:
    message = ifinfmsg()
    message["flags"] = set_flags
    message["change"] = change
    if isinstance(device, int):
        message["index"] = device
    else:
        # The kernel refuses a longer IFLA_IFNAME, and looks both attributes up in the same table.
        short = len(device.encode()) < _IFNAMSIZ
        attributes = [("IFLA_IFNAME" if short else "IFLA_ALT_IFNAME", device), *attributes]
    message["attrs"] = [list(item) for item in attributes]
    return Request(kind, flags, encode(message))


def get_link(device: Device) -> Request:
    """Ask for one device."""
    return _link(_RTM_GETLINK, device, [("IFLA_EXT_MASK", _RTEXT_FILTER_SKIP_STATS)])


def dump_links(master: int = 0, kind: str = "") -> Request:
    """Ask for all devices, or those of one master, or of one kind."""
    attributes: Attributes = [("IFLA_EXT_MASK", _RTEXT_FILTER_SKIP_STATS)]
    if master:
        attributes.append(("IFLA_MASTER", master))
    if kind:
        attributes.append(("IFLA_LINKINFO", {"attrs": [("IFLA_INFO_KIND", kind)]}))
    return _link(_RTM_GETLINK, 0, attributes, NLM_F_DUMP)


def _create(name: str, kind: str, data: Attributes, attributes: Attributes) -> Request:
    info: Attributes = [("IFLA_INFO_KIND", kind)]
    if data:
        info.append(("IFLA_INFO_DATA", {"attrs": data}))
    every = [*attributes, ("IFLA_LINKINFO", {"attrs": info})]
    return _link(_RTM_NEWLINK, name, every, NLM_F_CREATE | NLM_F_EXCL)


_BRIDGE_DATA: Attributes = [
    ("IFLA_BR_STP_STATE", 0),
    ("IFLA_BR_FORWARD_DELAY", 0),
    ("IFLA_BR_MCAST_SNOOPING", 0),
]


def create_bridge(name: str, mac: str, mtu: int | None = None) -> Request:
    """Make a bridge: STP and multicast snooping off, no forward delay.

    A given ``mac`` stays, where one that the kernel chose would follow the bridge's ports.
    """
    attributes: Attributes = [("IFLA_ADDRESS", mac)]
    if mtu is not None:
        attributes.append(("IFLA_MTU", mtu))
    return _create(name, "bridge", _BRIDGE_DATA, attributes)


def configure_bridge(index: int) -> list[Request]:
    """Put an existing bridge's STP, forward delay and snooping where :func:`create_bridge` has them.

    One after the other: a bridge that still runs STP takes no forward delay below two seconds.
    """
    return [
        _link(
            _RTM_NEWLINK,
            index,
            [("IFLA_LINKINFO", {"attrs": [("IFLA_INFO_KIND", "bridge"), ("IFLA_INFO_DATA", {"attrs": [item]})]})],
        )
        for item in _BRIDGE_DATA
    ]


def create_veth(
    name: str,
    *,
    peer: str,
    netns_fd: int,
    mac: str | None = None,
    peer_mac: str | None = None,
    mtu: int | None = None,
) -> Request:
    """Make a veth pair whose other end, ``peer``, is born in the namespace behind ``netns_fd``.

    The descriptor is opened O_RDONLY and stays open until the request was sent. Both ends are down: a peer that is
    asked for up is refused with ENOTCONN, since it is set up before the two are joined.
    """
    mine: Attributes = []
    theirs: Attributes = [("IFLA_IFNAME", peer), ("IFLA_NET_NS_FD", netns_fd)]
    if mac is not None:
        mine.append(("IFLA_ADDRESS", mac))
    if peer_mac is not None:
        theirs.append(("IFLA_ADDRESS", peer_mac))
    if mtu is not None:
        mine.append(("IFLA_MTU", mtu))
        theirs.append(("IFLA_MTU", mtu))
    other = {"index": 0, "attrs": theirs}
    return _create(name, "veth", [("VETH_INFO_PEER", other)], mine)


def create_vxlan(
    name: str,
    *,
    vni: int,
    port: int,
    local: IpAddress | None,
    ipv6: bool,
    mac: str,
    mtu: int | None = None,
) -> Request:
    """Make a VXLAN device without remotes; they are entries of its forwarding table (:func:`add_remote`).

    ``ipv6`` says of which family the remotes will be, where there is no ``local`` address to tell.
    """
    data: Attributes = [("IFLA_VXLAN_ID", vni), ("IFLA_VXLAN_PORT", port), ("IFLA_VXLAN_LEARNING", 1)]
    if local is not None:
        data.append(("IFLA_VXLAN_LOCAL6" if local.version == 6 else "IFLA_VXLAN_LOCAL", str(local)))
    elif ipv6:
        data.append(("IFLA_VXLAN_GROUP6", "::"))
    attributes: Attributes = [("IFLA_ADDRESS", mac)]
    if mtu is not None:
        attributes.append(("IFLA_MTU", mtu))
    return _create(name, "vxlan", data, attributes)


def create_vlan(name: str, *, below: int, vid: int, mtu: int | None = None) -> Request:
    """Make an 802.1Q sub-interface of the device ``below``. EOPNOTSUPP: the kernel has no 8021q."""
    attributes: Attributes = [("IFLA_LINK", below)]
    if mtu is not None:
        attributes.append(("IFLA_MTU", mtu))
    return _create(name, "vlan", [("IFLA_VLAN_ID", vid)], attributes)


def probe_kind(kind: str) -> Request:
    """Ask whether the kernel can make devices of ``kind``, in a way that cannot make one.

    The name is one that no device can have, so that EOPNOTSUPP means "no such kind" and any other errno that
    there is one. The kernel may load the module for it.
    """
    return _create("quantumd/probe", kind, [], [])


def set_altname(device: Device, altname: str) -> Request:
    """Give a device a further name (up to 127 bytes). EEXIST: a device has it. EOPNOTSUPP: kernel < 5.5."""
    props = {"attrs": [("IFLA_ALT_IFNAME", altname)]}
    return _link(_RTM_NEWLINKPROP, device, [("IFLA_PROP_LIST", props)], NLM_F_CREATE | NLM_F_EXCL | NLM_F_APPEND)


def drop_altname(device: Device, altname: str) -> Request:
    """Take a further name from a device."""
    return _link(_RTM_DELLINKPROP, device, [("IFLA_PROP_LIST", {"attrs": [("IFLA_ALT_IFNAME", altname)]})])


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
) -> Request:
    """Change a device. ``master`` 0 releases it; an ``alias`` "" is taken away; ``name``, a new one, needs an index.

    The kernel goes in the order MAC, MTU, group, name, alias, master, flags (``do_setlink`` in
    ``net/core/rtnetlink.c``); where it refuses one thing, what went before stays.
    """
    flags = change = 0
    attributes: Attributes = []
    for wanted, bit in ((up, IFF_UP), (noarp, IFF_NOARP)):
        if wanted is not None:
            change |= bit
            flags |= bit if wanted else 0
    for attribute, value in (
        ("IFLA_IFNAME", name),
        ("IFLA_MASTER", master),
        ("IFLA_MTU", mtu),
        ("IFLA_ADDRESS", mac),
        ("IFLA_IFALIAS", alias),
        ("IFLA_GROUP", group),
    ):
        if value is not None:
            attributes.append((attribute, value))
    return _link(_RTM_SETLINK, device, attributes, 0, flags, change)


def set_isolated(index: int, isolated: bool) -> Request:
    """Set a bridge port's ``isolated`` flag: isolated ports do not reach each other."""
    info = {
        "attrs": [
            ("IFLA_INFO_SLAVE_KIND", "bridge"),
            ("IFLA_INFO_SLAVE_DATA", {"attrs": [("IFLA_BRPORT_ISOLATED", int(isolated))]}),
        ]
    }
    return _link(_RTM_NEWLINK, index, [("IFLA_LINKINFO", info)])


def delete_link(index: int) -> Request:
    """Remove a device. The kernel takes about 18 ms for each: see :func:`delete_group` for many."""
    return _link(_RTM_DELLINK, index, [])


def delete_group(group: int) -> Request:
    """Remove all devices of a link group, whoever put them there."""
    return _link(_RTM_DELLINK, 0, [("IFLA_GROUP", group)])


def dump_addresses() -> Request:
    """Ask for all IP addresses."""
    message = ifaddrmsg()
    message["family"] = socket.AF_UNSPEC
    return Request(_RTM_GETADDR, NLM_F_DUMP, encode(message))


def dump_routes(family: socket.AddressFamily) -> Request:
    """Ask for all routes of a family."""
    message = rtmsg()
    message["family"] = int(family)
    return Request(_RTM_GETROUTE, NLM_F_DUMP, encode(message))


def _remote(kind: int, flags: int, index: int, remote: IpAddress) -> Request:
    message = ndmsg()
    message["family"] = socket.AF_BRIDGE if hasattr(socket, "AF_BRIDGE") else 7
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
    message["family"] = 7
    message["ifindex"] = index
    return Request(_RTM_GETNEIGH, NLM_F_DUMP, encode(message))


def get_netns_id(netns_fd: int) -> Request:
    """Ask which id this namespace has for the one behind ``netns_fd`` (see :attr:`Link.link_netnsid`)."""
    message = nsidmsg()
    message["attrs"] = [["NETNSA_FD", netns_fd]]
    return Request(_RTM_GETNSID, 0, encode(message))
