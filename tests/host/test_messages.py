"""Our own packing of link messages, held against pyroute2's decoder."""

from __future__ import annotations

import ipaddress
import struct
from typing import Any

from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from twisted.trial.unittest import SynchronousTestCase

from quantumd.host.netlink import messages
from quantumd.host.netlink.wire import NLM_F_CREATE, NLM_F_EXCL, Request, frame, pad

MAC = "02:00:00:00:00:0a"


def decoded(request: Request) -> Any:
    """A request as pyroute2 reads it."""
    message = ifinfmsg(frame(request, 7, True))
    message.decode()
    return message


def data_of(message: Any) -> tuple[str, Any]:
    """The kind of device and its attributes."""
    info = message.get_attr("IFLA_LINKINFO")
    return info.get_attr("IFLA_INFO_KIND"), info.get_attr("IFLA_INFO_DATA")


class EncodingTests(SynchronousTestCase):
    def test_header(self) -> None:
        """The header says what is asked for, and the length covers what follows, padding left out."""
        for name in ("a", "ab", "abc", "abcd"):
            request = messages.set_link(name, up=True)
            data = frame(request, 99, True)
            length, kind, flags, sequence, _ = struct.unpack_from("=IHHII", data)
            self.assertEqual((length, kind, flags, sequence), (16 + len(request.body), 19, 0x5, 99))
            self.assertEqual(len(data), pad(length))
            self.assertEqual(decoded(request).get_attr("IFLA_IFNAME"), name)
        self.assertEqual(struct.unpack_from("=IHHII", frame(request, 1, False))[2], 0x1)

    def test_devices(self) -> None:
        """A device is its index, a name in IFLA_IFNAME, or a longer one in IFLA_ALT_IFNAME."""
        self.assertEqual(decoded(messages.get_link(7))["index"], 7)
        self.assertEqual(decoded(messages.get_link("x" * 15)).get_attr("IFLA_IFNAME"), "x" * 15)
        long = decoded(messages.get_link("x" * 16))
        self.assertEqual((long.get_attr("IFLA_IFNAME"), long.get_attr("IFLA_ALT_IFNAME")), (None, "x" * 16))

    def test_vlan(self) -> None:
        """A sub-interface says which device it is on and which VLAN it is."""
        request = messages.create_vlan("v", below=5, vid=4094, mtu=1400)
        self.assertEqual(request.flags, NLM_F_CREATE | NLM_F_EXCL)
        message = decoded(request)
        kind, data = data_of(message)
        self.assertEqual((kind, data.get_attr("IFLA_VLAN_ID")), ("vlan", 4094))
        self.assertEqual((message.get_attr("IFLA_LINK"), message.get_attr("IFLA_MTU")), (5, 1400))

    def test_vxlan(self) -> None:
        """Addresses are of the remotes' family, and the port is in network order."""
        for local, ipv6, attribute, value in (
            ("10.0.0.1", False, "IFLA_VXLAN_LOCAL", "10.0.0.1"),
            ("fd00::1", True, "IFLA_VXLAN_LOCAL6", "fd00::1"),
            (None, True, "IFLA_VXLAN_GROUP6", "::"),
            (None, False, "IFLA_VXLAN_LOCAL", None),
        ):
            address = ipaddress.ip_address(local) if local else None
            request = messages.create_vxlan("x", vni=16777214, port=4789, local=address, ipv6=ipv6, mac=MAC)
            kind, data = data_of(decoded(request))
            self.assertEqual(kind, "vxlan")
            self.assertEqual(data.get_attr("IFLA_VXLAN_ID"), 16777214)
            self.assertEqual(data.get_attr("IFLA_VXLAN_PORT"), 4789)
            self.assertEqual(data.get_attr(attribute), value)

    def test_veth(self) -> None:
        """The other end has its own name, MAC, MTU and namespace."""
        message = decoded(messages.create_veth("v", peer="eth0", netns_fd=9, peer_mac=MAC, mac=None, mtu=1300))
        kind, data = data_of(message)
        peer = data.get_attr("VETH_INFO_PEER")
        self.assertEqual((kind, peer.get_attr("IFLA_IFNAME"), peer.get_attr("IFLA_ADDRESS")), ("veth", "eth0", MAC))
        self.assertEqual(peer.get_attr("IFLA_NET_NS_FD"), 9)
        self.assertEqual((peer.get_attr("IFLA_MTU"), message.get_attr("IFLA_MTU")), (1300, 1300))
        self.assertIsNone(message.get_attr("IFLA_ADDRESS"))

    def test_changes(self) -> None:
        """Only the flags that are named change."""
        message = decoded(messages.set_link(3, up=True, noarp=False, master=0, alias="für Menschen", group=4, name="n"))
        self.assertEqual((message["flags"], message["change"]), (0x1, 0x81))
        self.assertEqual(message.get_attr("IFLA_MASTER"), 0)
        self.assertEqual(message.get_attr("IFLA_IFALIAS"), "für Menschen")
        self.assertEqual((message.get_attr("IFLA_GROUP"), message.get_attr("IFLA_IFNAME")), (4, "n"))
        self.assertEqual(decoded(messages.set_link(3))["change"], 0)
