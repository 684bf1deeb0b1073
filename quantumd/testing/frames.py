"""Ethernet frames for tests that send them by hand, and what is in frames that came.

MACs are "02:00:00:00:00:01"; addresses are strings. Checksums are right, so that a kernel takes the packets.
"""

from __future__ import annotations

import ipaddress
import struct

from attrs import frozen

BROADCAST = "ff:ff:ff:ff:ff:ff"
ALL_NODES_MAC = "33:33:00:00:00:01"

ETH_ARP, ETH_IPV4, ETH_IPV6 = 0x0806, 0x0800, 0x86DD
_UDP, _ICMPV6 = 17, 58


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _packed(address: str) -> bytes:
    return ipaddress.ip_address(address).packed


def _checksum(data: bytes) -> int:
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ethernet(destination: str, source: str, ethertype: int, payload: bytes) -> bytes:
    """A frame, padded to the 60 bytes that Ethernet asks for."""
    return (_mac(destination) + _mac(source) + struct.pack("!H", ethertype) + payload).ljust(60, b"\0")


def arp_request(source: str, sender_ip: str, target_ip: str, destination: str = BROADCAST) -> bytes:
    """Who has ``target_ip``? Tell ``sender_ip`` (RFC 826)."""
    body = struct.pack("!HHBBH", 1, ETH_IPV4, 6, 4, 1)
    body += _mac(source) + _packed(sender_ip) + bytes(6) + _packed(target_ip)
    return ethernet(destination, source, ETH_ARP, body)


def udp4(destination: str, source: str, source_ip: str, target_ip: str, payload: bytes, port: int = 4000) -> bytes:
    """A UDP datagram from and to ``port`` over IPv4."""
    datagram = struct.pack("!HHHH", port, port, 8 + len(payload), 0) + payload
    addresses = _packed(source_ip) + _packed(target_ip)
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(datagram), 1, 0, 64, _UDP, 0)
    head = head[:10] + struct.pack("!H", _checksum(head + addresses)) + addresses
    return ethernet(destination, source, ETH_IPV4, head + datagram)


def _ipv6(
    destination: str, source: str, source_ip: str, target_ip: str, next_header: int, body: bytes, at: int
) -> bytes:
    addresses = _packed(source_ip) + _packed(target_ip)
    pseudo = addresses + struct.pack("!II", len(body), next_header)
    body = body[:at] + struct.pack("!H", _checksum(pseudo + body)) + body[at + 2 :]
    head = struct.pack("!IHBB", 6 << 28, len(body), next_header, 255)
    return ethernet(destination, source, ETH_IPV6, head + addresses + body)


def udp6(destination: str, source: str, source_ip: str, target_ip: str, payload: bytes, port: int = 4000) -> bytes:
    """A UDP datagram from and to ``port`` over IPv6."""
    datagram = struct.pack("!HHHH", port, port, 8 + len(payload), 0) + payload
    return _ipv6(destination, source, source_ip, target_ip, _UDP, datagram, 6)


def router_advertisement(source: str, source_ip: str, prefix: str) -> bytes:
    """I am your default router, and make yourselves addresses of ``prefix``/64 (RFC 4861, RFC 4862)."""
    body = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0)
    body += struct.pack("!BB", 1, 1) + _mac(source)
    body += struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 86400, 14400, 0) + _packed(prefix)
    return _ipv6(ALL_NODES_MAC, source, source_ip, "ff02::1", _ICMPV6, body, 2)


def neighbour_solicitation(source: str, source_ip: str, target_ip: str) -> bytes:
    """Who has ``target_ip``? To the target's solicited-node group (RFC 4861)."""
    low = _packed(target_ip)[-3:]
    group = ipaddress.IPv6Address(_packed("ff02::1:ff00:0")[:13] + low)
    body = struct.pack("!BBHI", 135, 0, 0, 0) + _packed(target_ip) + struct.pack("!BB", 1, 1) + _mac(source)
    return _ipv6("33:33:ff:" + low.hex(":"), source, source_ip, str(group), _ICMPV6, body, 2)


@frozen
class Seen:
    """A frame that came: destination, source and ethertype, and all of it."""

    destination: str
    source: str
    ethertype: int
    data: bytes

    @classmethod
    def parse(cls, data: bytes) -> Seen:
        """Read a frame's header."""
        return cls(data[:6].hex(":"), data[6:12].hex(":"), struct.unpack_from("!H", data, 12)[0], data)
