"""Traffic-control filters that drop frames: all of a device's, or those of the link-local groups.

The filters are classic BPF programs (``linux/filter.h``) run by ``cls_bpf`` in direct-action mode on a ``clsact``
qdisc, or on an ``ingress`` one, which has no egress. They need no bpf(2) and so no more than CAP_NET_ADMIN, and they go
with the device; an administrator's ``nft flush ruleset`` does not take them away.

Devices may share a filter: their qdiscs then have a *block* in common (``TCA_INGRESS_BLOCK``, since Linux 4.16), which
goes with the last of them. Others cannot put a filter on just one of them, so only what is nobody else's has that.
"""

from __future__ import annotations

import errno
import functools
import socket
import struct
from collections.abc import Sequence

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
_TCA_INGRESS_BLOCK, _TCA_EGRESS_BLOCK = 13, 14  # linux/rtnetlink.h, as the next
_MAGIC_BLOCK = -1  # TCM_IFINDEX_MAGIC_BLOCK: tcm_parent is the number of a block
#: What the numbers of our blocks, which are the namespace's own, begin with; the rest follows from devices' indexes.
_WITH_GROUPS, _WITH_EVERYTHING, _EMPTY = 0x71000000, 0x71400000, 0x71800000
_TOGETHER = 0x200000
#: How many devices at most come to a block with others that has its filter already.
_JOINING = 2
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


def qdisc(index: int, egress: bool = True, block: int = 0) -> Request:
    """The request for what holds the filters, of that block if there is one: a ``clsact`` qdisc, or one that has no
    ``egress``.

    The kernel goes through one list of all blocks that there are for each device, twice for a ``clsact``
    (``flow_indr_dev_setup_offload`` in ``net/core/flow_offload.c``): so where the one way has a block, the other shares
    one, too. ovs-vswitchd takes an ``ingress`` qdisc away from each device that it gets (``netdev_linux_set_policing``
    in ``lib/netdev-linux.c``).
    """
    body = _at(index, _qdisc("clsact" if egress else "ingress"))
    if block:
        body += struct.pack("=HHI", 8, _TCA_INGRESS_BLOCK, block)
        if egress:
            body += struct.pack("=HHI", 8, _TCA_EGRESS_BLOCK, _EMPTY | index & 0xFF)
    return Request(_RTM_NEWQDISC, _NEW, body)


def block_for(indexes: Sequence[int], program: Program) -> int:
    """The number of the block in which devices, made together, share this program.

    To join a block with its filter in it, the kernel waits for all readers (RCU) for each device: one or two do, many
    rather have a block of their own, which gets its filter when they are all in it. There are 256 blocks for those that
    come alone, because the kernel goes through a block's devices to find the one that leaves.
    """
    first = indexes[0] if indexes else 0
    place = first & 0xFF if len(indexes) <= _JOINING else first & (_TOGETHER - 1) | _TOGETHER
    return place | (_WITH_EVERYTHING if program == EVERYTHING else _WITH_GROUPS)


def block_filter(block: int, program: Program) -> Request:
    """The request that puts a program on what comes in by the devices that share a block, of which there has to be one.
    If it is there already, it is answered with EEXIST; :func:`failed` knows."""
    body = _at(_MAGIC_BLOCK, _filter(INGRESS, program))
    return Request(_RTM_NEWTFILTER, _NEW, body[:12] + struct.pack("=I", block) + body[16:])


def filters(index: int, rules: tuple[tuple[int, Program], ...]) -> list[Request]:
    """The requests for the filters themselves."""
    return [Request(_RTM_NEWTFILTER, _NEW, _at(index, _filter(parent, rule))) for parent, rule in rules]


def removals(index: int, rules: tuple[tuple[int, Program], ...]) -> list[Request]:
    """The requests that take ``rules`` off a device again. One that is not in place is refused, which is no harm."""
    return [Request(_RTM_DELTFILTER, 0, _at(index, _filter(parent, rule))) for parent, rule in rules]


def is_shared(refused: Reply) -> bool:
    """Whether a filter was refused because its qdisc has a block that others may have, too (``tcf_block_find`` in
    ``net/sched/cls_api.c``). A kernel without filters refuses with the same number, and says nothing."""
    return refused.errno == errno.EOPNOTSUPP and bool(refused.text)


def failed(replies: list[Reply]) -> Reply | None:
    """The first reply that means that a rule is not in place, or None."""
    return next((reply for reply in replies if reply.errno not in (0, errno.EEXIST)), None)
