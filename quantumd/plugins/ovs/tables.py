"""What this plugin reads of the database ``Open_vSwitch`` (ovs-vswitchd.conf.db(5)), and how it marks what is its own.

Marks are keys of ``external_ids``. A *port* row that quantumd plugged has :data:`PORT` and :data:`NETWORK`; one that it
*made*, too, has :data:`MADE`, so that a hypervisor's port is given back and not removed. The integration bridge has
:data:`ROLE`, a provider bridge has :data:`UPLINK`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from attrs import frozen

from quantumd.host.ovsdb.replica import Index, Monitored, Replica, Row

PORT = "quantum-port"
NETWORK = "quantum-network"
MADE = "quantum-made"
UPLINK = "quantum-uplink"
ROLE = "quantum-role"
#: The index of the kernel's device when it was plugged: one that was made anew since has another.
IFINDEX = "quantum-ifindex"

#: What os-vif, libvirt and others call a guest's interface by.
IFACE_ID = "iface-id"

#: The VLAN of a port that is isolated: no network has it.
NOWHERE = 4095

MONITORED = Monitored(
    {
        "Open_vSwitch": ("bridges", "next_cfg", "cur_cfg", "datapath_types", "ovs_version"),
        "Bridge": ("name", "ports", "datapath_type", "external_ids"),
        "Port": ("name", "interfaces", "tag", "vlan_mode", "trunks", "protected", "external_ids"),
        "Interface": (
            "name",
            "type",
            "options",
            "external_ids",
            "ofport",
            "error",
            "admin_state",
            "link_state",
            "mtu",
            "mtu_request",
            "status",
        ),
    },
    (
        Index("Bridge", "name", lambda row: (row.name,)),
        Index("Bridge", "port", "ports"),
        Index("Bridge", "uplink", lambda row: _value(row, UPLINK)),
        Index("Port", "name", lambda row: (row.name,)),
        Index("Port", "interface", "interfaces"),
        Index("Port", "mark", lambda row: _value(row, PORT)),
        Index("Interface", "name", lambda row: (row.name,)),
        Index("Interface", IFACE_ID, lambda row: _value(row, IFACE_ID)),
    ),
)


def _value(row: Row, key: str) -> Iterable[str]:
    value = row.external_ids.get(key)
    return () if value is None else (value,)


@frozen
class Switch:
    """The replica in the switch's own terms. ``integration`` is the name of the integration bridge."""

    replica: Replica
    integration: str

    @property
    def root(self) -> Row:
        """The one row of table ``Open_vSwitch``; there is one since ``ovs-vsctl init``, which packages run."""
        return next(self.replica.rows("Open_vSwitch"))

    def bridge(self, name: str) -> Row | None:
        """The bridge of that name."""
        return self.replica.first("Bridge", "name", name)

    def uplink_bridge(self, device: str) -> Row | None:
        """The provider bridge for a device."""
        return self.replica.first("Bridge", "uplink", device)

    def port(self, name: str) -> Row | None:
        """The port of that name, on whatever bridge."""
        return self.replica.first("Port", "name", name)

    def interface(self, name: str) -> Row | None:
        """The interface of that name, on whatever bridge."""
        return self.replica.first("Interface", "name", name)

    def bridge_of(self, port: Row) -> Row | None:
        """The bridge that a port is on."""
        return self.replica.first("Bridge", "port", port.uuid)

    def is_integrated(self, port: Row) -> bool:
        """Whether a port is on the integration bridge."""
        bridge = self.bridge_of(port)
        return bridge is not None and bridge.name == self.integration

    def interfaces_of(self, port: Row) -> list[Row]:
        """The interfaces of a port: one, or several of a bond."""
        return [row for uuid in port.interfaces if (row := self.replica.get("Interface", uuid)) is not None]

    def port_of(self, interface: Row) -> Row | None:
        """The port that an interface is in."""
        return self.replica.first("Port", "interface", interface.uuid)

    def marked(self, port_id: str) -> list[Row]:
        """The ports that are marked for a port of ours."""
        return self.replica.find("Port", "mark", port_id)

    def bound(self, iface_id: str) -> Iterator[tuple[Row, Row]]:
        """The ports, and their interfaces, that somebody else put there under that ``iface-id``."""
        for interface in self.replica.find("Interface", IFACE_ID, iface_id):
            port = self.port_of(interface)
            if port is not None and not is_made(port):
                yield port, interface


def is_made(port: Row) -> bool:
    """Whether quantumd made the port, and did not only plug it."""
    return MADE in port.external_ids


def mark_of(row: Row) -> str | None:
    """The id of the port that a row is marked for."""
    mark: str | None = row.external_ids.get(PORT)
    return mark


def describe(switch: Switch, port: Row) -> str:
    """A port of the switch in words for people, with whose it is as far as that can be seen."""
    bridge = switch.bridge_of(port)
    where = f" on OVS bridge {bridge.name}" if bridge is not None else ""
    mark = mark_of(port)
    return f"OVS port {port.name}{where}" + (f" (quantumd's, for {mark})" if mark else "")
