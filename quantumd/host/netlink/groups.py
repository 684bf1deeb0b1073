"""Removing many devices at once, by link group.

The kernel waits for all readers (RCU) once for each RTM_DELLINK, which makes some 55 a second; a whole group waits
once. A group takes strangers along that are in it, so it is a random one that was seen to be nobody's. To see that
takes a dump of all devices, a tenth of a second where there are ten thousand, so that the group is kept while it works.
"""

from __future__ import annotations

import errno
import secrets
from collections.abc import Iterable

from quantumd.host.netlink import messages
from quantumd.host.netlink.rtnl import Rtnl
from quantumd.host.netlink.wire import Reply

_TRIES = 3
_WORTH_A_GROUP = 3


def delete_links(rtnl: Rtnl, indexes: Iterable[int]) -> dict[int, Reply]:
    """Remove the devices with these indexes; one that is gone already counts as removed.

    :return: for each index what came of it
    """
    wanted = dict.fromkeys(indexes)
    result: dict[int, Reply] = {}
    if len(wanted) >= _WORTH_A_GROUP:
        result.update(_by_group(rtnl, list(wanted)))
    rest = [index for index in wanted if index not in result]
    for index, reply in zip(rest, rtnl.batch([messages.delete_link(index) for index in rest]), strict=True):
        result[index] = Reply() if reply.errno == errno.ENODEV else reply
    return result


def _by_group(rtnl: Rtnl, indexes: list[int]) -> dict[int, Reply]:
    """Remove what can be removed together; what is missing in the result is to be removed one by one."""
    # Until it has been emptied, it is not to be used again: whatever is in it by then would go too.
    group, rtnl.spare_group = rtnl.spare_group or _draw(rtnl), None
    if group is None:
        return {}
    replies = rtnl.batch([messages.set_link(index, group=group) for index in indexes])
    moved = [index for index, reply in zip(indexes, replies, strict=True) if reply.ok]
    gone = [index for index, reply in zip(indexes, replies, strict=True) if reply.errno == errno.ENODEV]
    if not moved or rtnl.one(messages.delete_group(group)).ok:
        rtnl.spare_group = group
    else:
        # One of them cannot be removed.
        rtnl.batch([messages.set_link(index, group=0) for index in moved])
        moved = []
    return {index: Reply() for index in (*moved, *gone)}


def _draw(rtnl: Rtnl) -> int | None:
    """A group that nobody's device is in; None where luck has it that there is none."""
    draws = (secrets.randbelow(0x7FFFFFFE) + 1 for _ in range(_TRIES))
    return next((group for group in draws if not rtnl.members(group)), None)
