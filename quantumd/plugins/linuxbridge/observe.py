"""Discovery: reading what is there of some records, in the netlink thread where anything has to be asked."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from quantumd.core.model import Attachment, Key, Network, Record
from quantumd.core.plan import ABSENT, PRESENT, Observed, Seen
from quantumd.core.state import State
from quantumd.host.netlink.rtnl import Rtnl
from quantumd.plugins.linuxbridge.facts import Facts, as_told, gather, look_at, places_of
from quantumd.plugins.linuxbridge.features import Features
from quantumd.plugins.linuxbridge.look import leftovers, see_network, see_plug
from quantumd.plugins.linuxbridge.terms import Plug, Role, names_of, plug_of
from quantumd.plugins.linuxbridge.view import HostView


@frozen
class _Wanted:
    """Records that are looked for: networks, attachments in the plugin's terms, and ports, of which there is nothing on
    the host but what is plugged into them."""

    networks: list[Network]
    plugs: dict[Key, Plug]
    ports: dict[Key, Seen]


#: What is seen; for the records that wait for a device by its name or altname, that name; and what there is.
Look = tuple[Observed, Mapping[Key, str], Facts]


def observe(
    rtnl: Rtnl, state: State, records: Mapping[Key, Record], everything: bool, features: Features, view: HostView
) -> Look:
    """What is there of these records, and, if they are ``everything``, what is left over. ``view`` has the devices as
    they were told of last."""
    wanted = _wanted(state, records)
    if everything:
        facts = gather(rtnl, None, places_of(wanted.plugs.values()), features.altnames, view.links)
    else:
        names = _names_to_ask(wanted, view)
        facts = look_at(rtnl, wanted.plugs.values(), names, view, features.altnames)
    seen, late = _seen(wanted, facts)
    return Observed(seen, leftovers(facts, state) if everything else ()), late, facts


def observe_at_once(state: State, records: Mapping[Key, Record], features: Features, view: HostView) -> Look | None:
    """As :func:`observe`, in any thread, where nothing has to be asked of the kernel: new devices of our own on
    networks of which it told. None: something has to be."""
    wanted = _wanted(state, records)
    if _names_to_ask(wanted, view):
        return None
    facts = as_told(wanted.plugs.values(), view, features.altnames)
    seen, late = _seen(wanted, facts)
    return Observed(seen), late, facts


def _wanted(state: State, records: Mapping[Key, Record]) -> _Wanted:
    wanted = _Wanted([], {}, {})
    for key, record in records.items():
        if isinstance(record, Network):
            wanted.networks.append(record)
        elif isinstance(record, Attachment):
            wanted.plugs[key] = plug_of(record, state.networks[record.network_id])
        else:
            wanted.ports[key] = ABSENT if record.going else PRESENT
    return wanted


def _names_to_ask(wanted: _Wanted, view: HostView) -> set[str]:
    plugs = wanted.plugs.values()
    names = {name for plug in plugs for name in plug.names_to_ask(view)}
    as_it_told = {plug.attachment.network_id for plug in plugs if plug.bridge not in names}
    names.update(name for network in wanted.networks if network.id not in as_it_told for name in names_of(network))
    return names


def _seen(wanted: _Wanted, facts: Facts) -> tuple[dict[Key, Seen], dict[Key, str]]:
    seen, late = dict(wanted.ports), {}
    for network in wanted.networks:
        seen[network.key] = see_network(facts, network)
    for key, plug in wanted.plugs.items():
        seen[key] = see_plug(facts, plug)
        if seen[key].waiting_for is not None and _is_late(plug):
            late[key] = plug.device
    return seen, late


def _is_late(plug: Plug) -> bool:
    return plug.role is Role.FOREIGN and plug.attachment.form.device is None and not plug.attachment.going
