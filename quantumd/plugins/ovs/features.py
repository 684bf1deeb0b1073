"""What this kernel can do for the switch's ports, found out without making anything."""

from __future__ import annotations

import errno

from attrs import frozen

from quantumd.host import tun
from quantumd.host.netlink import messages
from quantumd.host.netlink.rtnl import Rtnl

_NO_DEVICE = 0x7FFFFFFF


class CannotRun(Exception):
    """The plugin cannot work here; the text says why and what to do."""


@frozen
class Features:
    """Which kinds of devices can be made, and whether devices can have altnames; ``no_tap``: why there are no taps."""

    veth: bool = True
    no_tap: str = ""
    multi_queue: bool = True
    altnames: bool = True


def probe(rtnl: Rtnl) -> Features:
    """Ask the kernel. It may load modules for the answer.

    :raise CannotRun: we may not configure networks
    """
    veth = rtnl.one(messages.probe_kind("veth"))
    altname = rtnl.one(messages.set_altname(_NO_DEVICE, "quantum-probe"))
    if errno.EPERM in (veth.errno, altname.errno):
        raise CannotRun("The ovs plugin makes devices for guests: run it as root or with CAP_NET_ADMIN.")
    taps = tun.features()
    return Features(
        veth=veth.errno != errno.EOPNOTSUPP,
        no_tap=taps.why_none,
        multi_queue=taps.multi_queue,
        altnames=altname.errno != errno.EOPNOTSUPP,
    )
