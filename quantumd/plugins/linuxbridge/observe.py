"""Discovery: reading what is there of some records, in the netlink thread."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from quantumd.core.model import Attachment, Key, Network, Port
from quantumd.core.plan import Observed, Seen
from quantumd.core.state import State
from quantumd.host.netlink.rtnl import Rtnl
from quantumd.plugins.linuxbridge.facts import Facts, gather, look_at
from quantumd.plugins.linuxbridge.features import Features
from quantumd.plugins.linuxbridge.look import leftovers, see_network, see_plug
from quantumd.plugins.linuxbridge.terms import Plug, Role, names_of, plug_of
from quantumd.plugins.linuxbridge.view import HostView


def observe(
    rtnl: Rtnl, state: State, keys: Collection[Key], everything: bool, features: Features, view: HostView
) -> tuple[Observed, Mapping[Key, str], Facts]:
    """What is there of the records with these keys, and, if they are ``everything``, what is left over. ``view`` has
    the devices as they were told of last.

    :return: what is seen; for the records that wait for a device by its name or altname, that name; and what there is
    """
    networks: list[Network] = []
    plugs: dict[Key, Plug] = {}
    seen: dict[Key, Seen] = {}
    for key in keys:
        record = state.get(key)
        if isinstance(record, Network):
            networks.append(record)
        elif isinstance(record, Attachment):
            plugs[key] = plug_of(record, state.networks[record.network_id])
        elif isinstance(record, Port):
            # There is nothing of a port on the host but what is plugged into it.
            seen[key] = Seen(not record.going)
    if everything:
        places = {plug.place for plug in plugs.values() if plug.place is not None}
        facts = gather(rtnl, None, places, features.altnames, view.links)
    else:
        names = {name for plug in plugs.values() for name in plug.names_to_ask(view)}
        as_told = {plug.attachment.network_id for plug in plugs.values() if plug.bridge not in names}
        names.update(name for network in networks if network.id not in as_told for name in names_of(network))
        facts = look_at(rtnl, plugs.values(), names, view, features.altnames)
    late: dict[Key, str] = {}
    for network in networks:
        seen[network.key] = see_network(facts, network)
    for key, plug in plugs.items():
        seen[key] = see_plug(facts, plug)
        if seen[key].waiting_for is not None and _is_late(plug):
            late[key] = plug.device
    return Observed(seen, leftovers(facts, state) if everything else ()), late, facts


def _is_late(plug: Plug) -> bool:
    return plug.role is Role.FOREIGN and plug.attachment.form.device is None and not plug.attachment.going
