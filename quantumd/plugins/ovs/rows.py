"""Making, changing and removing rows for many ports in one transaction. Pure: collects operations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from quantumd.host.ovsdb.operations import Insert, Mutate, Named, Operation, Update, by_uuid
from quantumd.host.ovsdb.replica import Row
from quantumd.plugins.ovs.backend import add_bridge
from quantumd.plugins.ovs.isolation import ISOLATED, settings
from quantumd.plugins.ovs.tables import IFINDEX, MADE, NETWORK, PORT, UPLINK, Switch, is_made, mark_of
from quantumd.plugins.ovs.terms import Plug, Role, far_end, provider_of


class Rows:
    """Collects the operations of one transaction."""

    def __init__(self, switch: Switch) -> None:
        self._switch = switch
        self._operations: list[Operation] = []
        self._added: defaultdict[str, list[Named]] = defaultdict(list)
        self._removed: dict[str, dict[str, str]] = {}
        self._dropped_bridges: list[str] = []
        # The ports of provider bridges that are made in this transaction, by device, and the devices that are put in.
        self._providers: dict[str, list[Named]] = {}
        self._uplinks: set[str] = set()
        self._count = 0

    def operations(self) -> list[Operation]:
        """All that was collected."""
        operations = list(self._operations)
        for device, ports in self._providers.items():
            kind = self._integration().datapath_type
            operations += add_bridge(provider_of(device), kind, {UPLINK: device}, ports)
        for bridge, added in self._added.items():
            operations.append(Mutate("Bridge", by_uuid(bridge), [("ports", "insert", added)]))
        for bridge, gone in self._removed.items():
            operations.append(Mutate("Bridge", by_uuid(bridge), [("ports", "delete", list(gone))]))
        if self._dropped_bridges:
            operations.append(Mutate("Open_vSwitch", (), [("bridges", "delete", self._dropped_bridges)]))
        return operations

    @property
    def ports(self) -> int:
        """How many ports come or go."""
        return self._count + sum(map(len, self._removed.values()))

    # --- plugging

    def plug(self, plug: Plug, interface: Mapping[str, Any]) -> None:
        """Make the port of a plug on the integration bridge, VLAN and all; ``interface`` is its name and kind."""
        added = self._insert(interface, self._port(plug, str(interface["name"])))
        self._added[self._integration().uuid].append(added)

    def patch(self, plug: Plug, interface: Mapping[str, Any], name: str, ifindex: int) -> None:
        """Join the integration bridge to the provider bridge of a device, which is made where there is none.

        ``interface`` is the near end's; ``name`` and ``ifindex`` are the device's, which the caller may have named by
        an altname. The external VLAN is known to the far end only, so that it need not be the
        network's.
        """
        near, far, device = plug.port, far_end(plug.port), plug.device
        if self._switch.port(near) is None:
            self.plug(plug, interface)
        ports = self._ports_of_provider(device)
        if self._switch.port(name) is None and name not in self._uplinks:
            self._uplinks.add(name)
            taken = {"name": name, "external_ids": {IFINDEX: str(ifindex)}}
            ports.append(self._insert(taken, {"name": name, "external_ids": {UPLINK: device, MADE: "true"}}))
        if self._switch.port(far) is None:
            row = {"name": far, "external_ids": _marks(plug), **outside(plug)}
            ids = {PORT: plug.ident, NETWORK: plug.attachment.network_id}
            patch = {"name": far, "type": "patch", "options": {"peer": near}, "external_ids": ids}
            ports.append(self._insert(patch, row))

    def adopt(self, port: Row, plug: Plug) -> None:
        """Plug a port that is there, somebody's or our own: set its VLAN, and mark it."""
        row = settings(port, _vlan(plug))
        if any(getattr(port, name) != value for name, value in row.items()):
            self._operations.append(Update("Port", by_uuid(port.uuid), row))
        self._set_ids("Port", port, {PORT: plug.ident, NETWORK: plug.attachment.network_id})

    def set_outside(self, port: Row, plug: Plug) -> None:
        """Put a patch's far end right."""
        wanted = outside(plug)
        if any(getattr(port, name) != value for name, value in wanted.items()):
            self._operations.append(Update("Port", by_uuid(port.uuid), wanted))

    def mend_interface(self, interface: Row, wanted: Mapping[str, Any]) -> None:
        """Put an interface of our own as it was made."""
        columns = {"type": "", "options": {}, **wanted}
        row: dict[str, Any] = {
            name: columns[name]
            for name in ("type", "options", "mtu_request")
            if name in columns and getattr(interface, name) != columns[name]
        }
        if row:
            self._operations.append(Update("Interface", by_uuid(interface.uuid), row))
        self._set_ids("Interface", interface, wanted["external_ids"])

    def _set_ids(self, table: str, row: Row, wanted: Mapping[str, str]) -> None:
        held = row.external_ids
        missing = {key: value for key, value in wanted.items() if held.get(key) != value}
        # An insertion leaves the keys alone that are there.
        wrong = [key for key in missing if key in held]
        changes: list[tuple[str, str, Any]] = [("external_ids", "delete", wrong)] if wrong else []
        if missing:
            changes.append(("external_ids", "insert", missing))
            self._operations.append(Mutate(table, by_uuid(row.uuid), changes))

    # --- unplugging

    def remove(self, port: Row) -> None:
        """Remove a port of our own."""
        bridge = self._switch.bridge_of(port)
        if bridge is not None:
            self._removed.setdefault(bridge.uuid, {})[port.uuid] = port.name

    def release(self, port: Row) -> None:
        """Unplug a port that is marked: remove it where it was made here, else isolate it and take the marks off."""
        if is_made(port):
            self.remove(port)
            return
        self._operations.append(Update("Port", by_uuid(port.uuid), settings(port, ISOLATED)))
        self._operations.append(Mutate("Port", by_uuid(port.uuid), [("external_ids", "delete", [PORT, NETWORK])]))

    def drop_empty_providers(self) -> None:
        """Remove the provider bridges that lose their last patch in this transaction, and those that have none."""
        for device in list(self._switch.replica.keys("Bridge", "uplink")):
            bridge = self._switch.uplink_bridge(device)
            if bridge is None:
                continue
            gone = self._removed.get(bridge.uuid, {})
            patches = [
                uuid
                for uuid in bridge.ports
                if (port := self._switch.replica.get("Port", uuid)) is not None and mark_of(port) is not None
            ]
            if all(uuid in gone for uuid in patches):
                self._removed.pop(bridge.uuid, None)
                self._dropped_bridges.append(bridge.uuid)

    # --- in detail

    def _integration(self) -> Row:
        bridge = self._switch.bridge(self._switch.integration)
        assert bridge is not None, "looked for before anything is plugged"
        return bridge

    def _port(self, plug: Plug, name: str) -> dict[str, Any]:
        return {"name": name, "external_ids": _marks(plug), **_vlan(plug)}

    def _insert(self, interface: Mapping[str, Any], port: Mapping[str, Any]) -> Named:
        self._count += 1
        inner, outer = Named(f"interface{self._count}"), Named(f"port{self._count}")
        self._operations.append(Insert("Interface", interface, name=inner.name))
        self._operations.append(Insert("Port", {**port, "interfaces": [inner]}, name=outer.name))
        return outer

    def _ports_of_provider(self, device: str) -> list[Named]:
        """Where to put further ports of the provider bridge for a device."""
        bridge = self._switch.uplink_bridge(device)
        return self._providers.setdefault(device, []) if bridge is None else self._added[bridge.uuid]


def _marks(plug: Plug) -> dict[str, str]:
    return {PORT: plug.ident, NETWORK: plug.attachment.network_id, MADE: "true"}


def _vlan(plug: Plug) -> dict[str, Any]:
    # Tunnels do not reach each other, or two sites with tunnels to each other and to us would send in circles.
    return {"tag": plug.vlan, "protected": plug.role is Role.TUNNEL}


def outside(plug: Plug) -> dict[str, Any]:
    """How a patch's far end is set: in the VLAN that the caller named, or taking what has no tag."""
    vlan = plug.attachment.form.vlan
    if vlan is not None:
        return {"tag": vlan, "vlan_mode": None, "trunks": ()}
    return {"tag": None, "vlan_mode": "trunk", "trunks": (0,)}
