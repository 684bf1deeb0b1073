"""Traffic-control filters that drop frames: all of a device's, or those of the link-local groups.

The filters are classic BPF programs (``linux/filter.h``) run by ``cls_bpf`` in direct-action mode on a ``clsact``
qdisc, or on an ``ingress`` one, which has no egress. They need no bpf(2) and so no more than CAP_NET_ADMIN, and they go
with the device; an administrator's ``nft flush ruleset`` does not take them away.
"""

from __future__ import annotations

import errno
import functools
import socket
import struct

from pyroute2.netlink import nla, nlmsg
from pyroute2.netlink.rtnl.tcmsg import tcmsg

from quantumd.host.netlink.bpf import Program, packed
from quantumd.host.netlink.messages import encode
from quantumd.host.netlink.wire import NLM_F_CREATE, NLM_F_EXCL, Reply, Request

_RTM_NEWQDISC, _RTM_NEWTFILTER, _RTM_DELTFILTER = 36, 44, 45
_TC_H_CLSACT = 0xFFFFFFF1
_CLSACT_HANDLE = 0xFFFF0000
INGRESS, EGRESS = 0xFFFFFFF2, 0xFFFFFFF3

_ETH_P_ALL = 3
_PREFERENCE = 49_001
_TC_ACT_UNSPEC, _TC_ACT_SHOT = 0xFFFFFFFF, 2

EVERYTHING: Program = ((0x06, 0, 0, _TC_ACT_SHOT),)

# A bridge hands frames to 01:80:c2:00:00:01 - 0f to the IP stack of the *port* that they came in by, whatever is in
# them; 00 is forwarded like any other while the bridge runs no STP.
LINK_LOCAL_GROUPS: Program = (
    (0x20, 0, 0, 0),  # A = the first four bytes of the destination
    (0x15, 0, 5, 0x0180C200),
    (0x28, 0, 0, 4),  # A = the other two
    (0x15, 3, 0, 0),
    (0x54, 0, 0, 0xFFF0),
    (0x15, 0, 1, 0),
    (0x06, 0, 0, _TC_ACT_SHOT),
    (0x06, 0, 0, _TC_ACT_UNSPEC),
)


class _BpfFilter(nlmsg):  # type: ignore[misc]  # pyroute2 has no types
    fields = tcmsg.fields
    nla_map = (("TCA_UNSPEC", "none"), ("TCA_KIND", "asciiz"), ("TCA_OPTIONS", "bpf"))

    class bpf(nla):  # type: ignore[misc] # noqa: N801 - pyroute2 finds it by this name
        nla_map = (
            (4, "TCA_BPF_OPS_LEN", "uint16"),
            (5, "TCA_BPF_OPS", "cdata"),
            (8, "TCA_BPF_FLAGS", "uint32"),
        )


def _at(index: int, body: bytes) -> bytes:
    return body[:4] + struct.pack("=i", index) + body[8:]


@functools.cache
def _qdisc(kind: str) -> bytes:
    message = tcmsg()
    message["handle"], message["parent"] = _CLSACT_HANDLE, _TC_H_CLSACT
    message["attrs"] = [["TCA_KIND", kind]]
    return encode(message)


@functools.cache
def _filter(parent: int, program: Program) -> bytes:
    message = _BpfFilter()
    message["parent"], message["handle"] = parent, 1
    message["info"] = _PREFERENCE << 16 | socket.htons(_ETH_P_ALL)
    options = [["TCA_BPF_OPS_LEN", len(program)], ["TCA_BPF_OPS", packed(program)], ["TCA_BPF_FLAGS", 1]]
    message["attrs"] = [["TCA_KIND", "bpf"], ["TCA_OPTIONS", {"attrs": options}]]
    return encode(message)


_NEW = NLM_F_CREATE | NLM_F_EXCL


def requests(index: int, rules: tuple[tuple[int, Program], ...]) -> list[Request]:
    """The requests that put ``rules``, pairs of INGRESS or EGRESS and a program, on a device, whose owner may put
    others beside them.

    Those that are in place already are answered with EEXIST; :func:`failed` knows.
    """
    return [qdisc(index), *filters(index, rules)]


def qdisc(index: int, egress: bool = True) -> Request:
    """The request for what holds the filters: a ``clsact`` qdisc, or one that has no ``egress``.

    The kernel has all that there are in one list, through which it goes twice for each ``clsact``
    (``flow_indr_dev_setup_offload`` in ``net/core/flow_offload.c``). But ovs-vswitchd takes an ``ingress`` qdisc away
    from each device that it gets (``netdev_linux_set_policing`` in ``lib/netdev-linux.c``).
    """
    return Request(_RTM_NEWQDISC, _NEW, _at(index, _qdisc("clsact" if egress else "ingress")))


def filters(index: int, rules: tuple[tuple[int, Program], ...]) -> list[Request]:
    """The requests for the filters themselves."""
    return [Request(_RTM_NEWTFILTER, _NEW, _at(index, _filter(parent, rule))) for parent, rule in rules]


def removals(index: int, rules: tuple[tuple[int, Program], ...]) -> list[Request]:
    """The requests that take ``rules`` off a device again. One that is not in place is refused, which is no harm."""
    return [Request(_RTM_DELTFILTER, 0, _at(index, _filter(parent, rule))) for parent, rule in rules]


def failed(replies: list[Reply]) -> Reply | None:
    """The first reply that means that a rule is not in place, or None."""
    return next((reply for reply in replies if reply.errno not in (0, errno.EEXIST)), None)
