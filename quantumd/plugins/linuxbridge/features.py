"""What this kernel can do, found out without making anything."""

from __future__ import annotations

import errno
from pathlib import Path

from attrs import frozen

from quantumd.host import tun
from quantumd.host.netlink import messages
from quantumd.host.netlink.rtnl import Rtnl

_NO_DEVICE = 0x7FFFFFFF
_BR_NETFILTER = tuple(f"/proc/sys/net/bridge/bridge-nf-call-{family}tables" for family in ("ip", "ip6", "arp"))


class CannotRun(Exception):
    """The plugin cannot work here; the text says why and what to do."""


@frozen
class Features:
    """Which parts of the contract this kernel has; and whether ``br_netfilter`` has the host's iptables look at, and
    maybe drop, what goes from guest to guest. ``no_tap``: why there are no taps."""

    vlan: bool = True
    vxlan: bool = True
    veth: bool = True
    no_tap: str = ""
    multi_queue: bool = True
    altnames: bool = True
    br_netfilter: bool = False


def probe(rtnl: Rtnl) -> Features:
    """Ask the kernel. It may load modules for the answer.

    :raise CannotRun: it has no bridges, or we may not configure networks
    """
    kinds = ("bridge", "vlan", "vxlan", "veth")
    replies = rtnl.batch([messages.probe_kind(kind) for kind in kinds])
    altname = rtnl.one(messages.set_altname(_NO_DEVICE, "quantum-probe"))
    if any(reply.errno == errno.EPERM for reply in (*replies, altname)):
        raise CannotRun("The linuxbridge plugin configures the network: run it as root or with CAP_NET_ADMIN.")
    has = {kind: reply.errno != errno.EOPNOTSUPP for kind, reply in zip(kinds, replies, strict=True)}
    if not has["bridge"]:
        raise CannotRun("This kernel has no bridges: try 'modprobe bridge', or another plugin.")
    taps = tun.features()
    return Features(
        vlan=has["vlan"],
        vxlan=has["vxlan"],
        veth=has["veth"],
        no_tap=taps.why_none,
        multi_queue=taps.multi_queue,
        altnames=altname.errno != errno.EOPNOTSUPP,
        br_netfilter=_br_netfilter(),
    )


def _br_netfilter() -> bool:
    return any(path.exists() and path.read_text().strip() != "0" for path in map(Path, _BR_NETFILTER))
