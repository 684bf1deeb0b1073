"""Keeping the host off its guests' networks.

A bridge hands every frame to the host that is addressed to the bridge itself, to everybody or to a group, address
or none: the host then takes addresses and routes from a guest's router advertisement, answers ARP for all of its
addresses and delivers a guest's UDP to whatever listens on them. Two things each keep it out, and both are used:

- a filter on the bridge device that drops all that comes up to the host and all that the host would send
  (:mod:`quantumd.host.netlink.drop`). It is whole, but needs ``sch_ingress`` and ``cls_bpf``;
- the switches: no IPv6, no ARP, and reverse-path filtering, which on a device without addresses accepts no
  source (``__fib_validate_source`` in ``net/ipv4/fib_frontend.c``). That of IPv6 needs a writable /proc/sys, and they
  let through what comes from 0.0.0.0 to 255.255.255.255, a DHCP request.

Bridge *ports* hand frames for the link-local groups 01:80:c2:00:00:0X to the host on their own; ports that quantumd
made get a filter for these and the same switches. All of it has to be in place before the device goes up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from attrs import frozen

from quantumd.host import sysctl
from quantumd.host.netlink import drop
from quantumd.host.netlink.bpf import Program
from quantumd.host.netlink.messages import set_link
from quantumd.host.netlink.parse import Link
from quantumd.host.netlink.rtnl import Rtnl
from quantumd.host.netlink.wire import Reply, Request

BRIDGE_RULES = ((drop.INGRESS, drop.EVERYTHING), (drop.EGRESS, drop.EVERYTHING))
PORT_RULES = ((drop.INGRESS, drop.LINK_LOCAL_GROUPS),)
USERSPACE_RULES = ((drop.INGRESS, drop.EVERYTHING),)


@frozen
class Switches:
    """Of a device: those of IPv4 by number (``linux/ip.h``, ``IPV4_DEVCONF_...``), which netlink takes, and those of
    IPv6, which there are files for."""

    inet: Mapping[int, int]
    inet6: Mapping[str, int]


_RP_FILTER, _ARP_IGNORE = 8, 19
_SWITCHES = Switches({_RP_FILTER: 1, _ARP_IGNORE: 8}, {"accept_ra": 0, "disable_ipv6": 1})
_PORT_SWITCHES = Switches({_RP_FILTER: 1}, {"disable_ipv6": 1})

Rules = tuple[tuple[int, Program], ...]
#: Keeps the host off devices; gives, for the index of each that it cannot be kept off, why.
Shield = Callable[[Rtnl, Iterable[Link]], dict[int, str]]


def shield_bridges(rtnl: Rtnl, bridges: Iterable[Link]) -> dict[int, str]:
    """Keep the host off these bridges, which are down.

    :return: for the index of each bridge that it cannot be kept off, why
    """
    links = list(bridges)
    qdiscs = [drop.qdisc(link.index) for link in links]
    return _shield(rtnl, links, _SWITCHES, qdiscs, [drop.filters(link.index, BRIDGE_RULES) for link in links])


def shield_ports(rtnl: Rtnl, ports: Iterable[Link]) -> dict[int, str]:
    """Keep the host off what comes in by these ports, which quantumd made and which are down.

    :return: for the index of each port that it cannot be kept off, why
    """
    return _shield_together(rtnl, list(ports), _PORT_SWITCHES, drop.LINK_LOCAL_GROUPS, egress=False)


def shield_userspace_ports(rtnl: Rtnl, ports: Iterable[Link]) -> dict[int, str]:
    """Keep the host off what comes in by these ports of a switch that is a process.

    Such a switch reads a device's frames by a packet socket, which gets copies: the host gets them too, and a filter
    on the way in, behind the packet sockets, is all that there is between a guest and the host.

    :return: for the index of each port that it cannot be kept off, why
    """
    return _shield_together(rtnl, list(ports), _SWITCHES, drop.EVERYTHING)


def shield_kernel_ports(rtnl: Rtnl, ports: Iterable[Link]) -> dict[int, str]:
    """Keep the host from speaking by itself on these ports of a switch in the kernel, which takes all that comes in.

    :return: for the index of each port that it cannot be kept off, why
    """
    return _shield(rtnl, list(ports), _PORT_SWITCHES)


def shield_userspace_strangers(rtnl: Rtnl, ports: Iterable[Link]) -> dict[int, str]:
    """As :func:`shield_userspace_ports`, for devices of somebody else's: nothing of theirs is changed for good.

    :return: for the index of each port that it cannot be kept off, why
    """
    links, failures, width = list(ports), {}, 1 + len(USERSPACE_RULES)
    replies = rtnl.batch([request for link in links for request in drop.requests(link.index, USERSPACE_RULES)])
    for place, link in enumerate(links):
        missing = drop.failed(replies[place * width : (place + 1) * width])
        if missing is not None and drop.is_shared(missing):
            failures[link.index] = (
                "its qdisc shares a block of filters, so that it cannot have one of its own; take that qdisc away: "
                f"tc qdisc del dev {link.name} parent ffff:fff1"
            )
        elif missing is not None:
            failures[link.index] = f"the kernel takes no filter ({missing.reason}; modprobe sch_ingress cls_bpf)"
    return failures


def shield_strangers(rtnl: Rtnl, ports: Iterable[Link]) -> None:
    """Keep the host off what comes in by these bridge ports, which are somebody else's, as far as the kernel has
    filters: nothing of theirs is changed that could not be changed back."""
    rtnl.batch([request for link in ports for request in drop.requests(link.index, PORT_RULES)])


def unshield_strangers(rtnl: Rtnl, ports: Iterable[Link]) -> None:
    """Take the filters of :func:`shield_strangers` away."""
    rtnl.batch([request for link in ports for request in drop.removals(link.index, PORT_RULES)])


def unshield_userspace_strangers(rtnl: Rtnl, ports: Iterable[Link]) -> None:
    """Let the host hear again what comes in by these devices."""
    rtnl.batch([request for link in ports for request in drop.removals(link.index, USERSPACE_RULES)])


def _shield_together(
    rtnl: Rtnl, links: list[Link], switches: Switches, program: Program, egress: bool = True
) -> dict[int, str]:
    """Keep the host off devices that quantumd made together, with one filter for all of them."""
    block = drop.block_for([link.index for link in links], program)
    qdiscs = [drop.qdisc(link.index, egress, block) for link in links]
    return _shield(rtnl, links, switches, qdiscs, [[drop.block_filter(block, program)]] * len(links))


def _shield(
    rtnl: Rtnl,
    links: list[Link],
    switches: Switches,
    qdiscs: Sequence[Request] = (),
    filters: Sequence[Sequence[Request]] = (),
) -> dict[int, str]:
    """``qdiscs`` and ``filters`` are those of each link, where there are any; one filter may be that of several."""
    # A filter that comes right after its qdisc waits for all readers (RCU; mini_qdisc_pair_swap in
    # net/sched/sch_generic.c), one that comes a while later does not: so these are two rounds, with the files between.
    quiet = [set_link(link.index, noarp=True, inet=switches.inet) for link in links]
    replies = rtnl.batch([*quiet, *qdiscs])
    noarp, held = replies[: len(links)], replies[len(links) :]
    switched = [_switch(link.name, switches.inet6) for link in links]
    wanted = {id(one): one for own in filters for one in own}
    put = dict(zip(wanted, rtnl.batch(list(wanted.values())), strict=True))
    failures: dict[int, str] = {}
    for place, link in enumerate(links):
        filtering = held[place : place + 1] + [put[id(one)] for own in filters[place : place + 1] for one in own]
        why = _failure(noarp[place], filtering, switched[place])
        if why:
            failures[link.index] = why
    return failures


def _failure(noarp: Reply, filtering: list[Reply], switching: str) -> str:
    if not noarp.ok:
        return f"it cannot be kept from answering ARP: {noarp.reason}"
    missing = drop.failed(filtering)
    if missing is None or not switching:
        return ""
    return (
        f"the host cannot be kept off it: the kernel takes no filter ({missing.reason}; modprobe sch_ingress "
        f"cls_bpf) and {switching}"
    )


def _switch(device: str, switches: Mapping[str, int]) -> str:
    """Set the IPv6 switches of a device; "" if they are, else why not."""
    try:
        for key, value in switches.items():
            sysctl.write("ipv6", device, key, value)
    except OSError as error:
        return f"{error.filename or '/proc/sys/net'} cannot be written ({error.strerror})"
    return ""
