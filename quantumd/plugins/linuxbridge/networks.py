"""Making networks real: a bridge for each, as it should be."""

from __future__ import annotations

from collections.abc import Sequence

from quantumd.core.changes import Done, EnsureNetwork, Failed, Outcome
from quantumd.core.model import Network
from quantumd.core.names import MARK
from quantumd.host.mac import derived_mac
from quantumd.host.netlink import messages
from quantumd.host.netlink.groups import delete_links
from quantumd.host.netlink.parse import BridgeDetail, Link
from quantumd.host.netlink.rtnl import Rtnl
from quantumd.host.netlink.wire import Request
from quantumd.host.shield import shield_bridges
from quantumd.plugins.linuxbridge.facts import Facts, gather
from quantumd.plugins.linuxbridge.look import bridge_of_network, network_report
from quantumd.plugins.linuxbridge.making import Making, make
from quantumd.plugins.linuxbridge.marks import MAKING, describe, marks, network_alias, network_ident
from quantumd.plugins.linuxbridge.terms import bridge_of, mtu_of, names_of


def ensure_networks(rtnl: Rtnl, changes: Sequence[EnsureNetwork], altnames: bool) -> list[Outcome]:
    """Make bridges, or make them as they should be; one outcome for each."""
    networks = [change.network for change in changes]
    facts = _clean(rtnl, networks)
    outcomes: list[Outcome | None] = [None] * len(networks)
    to_make: list[int] = []
    to_mend: list[tuple[int, Link]] = []
    for place, network in enumerate(networks):
        link = bridge_of_network(facts, network)
        holder = facts.find(bridge_of(network))
        if link is not None:
            to_mend.append((place, link))
        elif holder is not None:
            outcomes[place] = Failed(
                f"The name {bridge_of(network)} of the network's bridge is held by the {describe(holder)}; rename or "
                "remove that."
            )
        else:
            to_make.append(place)
    made = make(rtnl, [_making(networks[place]) for place in to_make], altnames)
    for place, result in zip(to_make, made, strict=True):
        outcomes[place] = Failed(result) if isinstance(result, str) else None
    _mend(rtnl, networks, to_mend, outcomes, altnames)
    return [
        Done(network_report(network)) if outcome is None else outcome
        for network, outcome in zip(networks, outcomes, strict=True)
    ]


def _clean(rtnl: Rtnl, networks: Sequence[Network]) -> Facts:
    """Look at the networks' bridges, and remove half-made ones."""
    names = {name for one in networks for name in names_of(one)}
    facts = gather(rtnl, names)
    half_made = [link for one in networks if (link := facts.find_half_made(names_of(one))) is not None]
    if not half_made:
        return facts
    delete_links(rtnl, [link.index for link in half_made])
    return gather(rtnl, names)


def _making(network: Network) -> Making:
    create = messages.create_bridge(bridge_of(network), derived_mac(network.id), mtu_of(network), MAKING)
    return Making(bridge_of(network), network_ident(network.id), network_alias(network.id), create, mtu_of(network))


def _mend(
    rtnl: Rtnl,
    networks: Sequence[Network],
    to_mend: Sequence[tuple[int, Link]],
    outcomes: list[Outcome | None],
    altnames: bool,
) -> None:
    """Put bridges that are there as they should be."""
    unshielded = shield_bridges(rtnl, [link for _, link in to_mend])
    for (place, link), refused in zip(
        to_mend,
        rtnl.chains([_mending(networks[place], link, altnames) for place, link in to_mend]),
        strict=True,
    ):
        if link.index in unshielded:
            outcomes[place] = Failed(f"The bridge {link.name} is not used: {unshielded[link.index]}.")
        elif refused is not None:
            outcomes[place] = Failed(f"The bridge {link.name} cannot be put right: {refused.reason}.")


def _mending(network: Network, link: Link, altnames: bool) -> list[Request]:
    requests = []
    if link.name != bridge_of(network):
        # Kernels before 6.2 rename no device that is up.
        requests.append(messages.set_link(link.index, up=False))
        requests.append(messages.set_link(link.index, name=bridge_of(network), up=True))
    if link.detail != BridgeDetail():
        requests.extend(messages.configure_bridge(link.index))
    if altnames and MARK + network_ident(network.id) not in link.altnames and network_ident(network.id) in marks(link):
        requests.append(messages.set_altname(link.index, MARK + network_ident(network.id)))
    if link.mtu != mtu_of(network) or not link.up:
        requests.append(messages.set_link(link.index, mtu=mtu_of(network), up=True))
    return requests
