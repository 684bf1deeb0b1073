"""Keeping ports that somebody else put there off all networks until they are plugged: pure, from rows to operations.

A port without a VLAN is a trunk, which hears and reaches every network. In VLAN 4095 and ``protected`` it reaches
nobody, not even others of its kind; and no port of ours is a trunk.
"""

from __future__ import annotations

from typing import Any

from quantumd.host.ovsdb.operations import Operation, Update, by_uuid
from quantumd.host.ovsdb.replica import Row, RowChange
from quantumd.plugins.ovs.tables import IFACE_ID, NOWHERE, Switch, mark_of

#: What an isolated port is set to.
ISOLATED: dict[str, Any] = {"tag": NOWHERE, "protected": True}
#: What goes with it, and with any VLAN, where somebody made the port a trunk.
ACCESS: dict[str, Any] = {"vlan_mode": None, "trunks": ()}


def is_access(port: Row) -> bool:
    """Whether the port is in the VLAN of its tag, and in no other."""
    return port.tag is not None and port.vlan_mode in (None, "access")


def settings(port: Row, wanted: dict[str, Any]) -> dict[str, Any]:
    """``wanted`` and, only where it is needed for that to mean anything, that the port is no trunk."""
    return wanted if port.vlan_mode in (None, "access") else {**wanted, **ACCESS}


def isolate(switch: Switch, port: Row) -> Operation | None:
    """What isolates a port of somebody else's; None where it is not for us to do, or is done."""
    if mark_of(port) is not None or not switch.is_integrated(port):
        return None
    if not any(IFACE_ID in interface.external_ids for interface in switch.interfaces_of(port)):
        return None
    if is_access(port) and port.tag == NOWHERE and port.protected:
        return None
    # Not where it has been plugged meanwhile, which marks it.
    unplugged = ("external_ids", "==", port.external_ids)
    return Update("Port", (*by_uuid(port.uuid), unplugged), settings(port, ISOLATED))


def strangers(switch: Switch, changes: list[RowChange]) -> list[Row]:
    """The ports that changes are about, as they are now; one that is gone is not among them."""
    found: dict[str, Row] = {}
    for change in changes:
        row = change.after
        if row is None or change.table not in ("Port", "Interface"):
            continue
        port = row if change.table == "Port" else switch.port_of(row)
        if port is not None:
            found[port.uuid] = port
    return list(found.values())
