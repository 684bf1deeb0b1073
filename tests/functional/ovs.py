"""A daemon on the ovs plugin, with a namespace and an Open vSwitch for its host, and more namespaces for guests."""

from __future__ import annotations

from typing import Any

from quantumd.testing.lab import Lab, Namespace, eventually
from quantumd.testing.openvswitch import OpenVSwitch
from tests.functional.linux import LinuxCase
from tests.functional.processes import DaemonCase

BRIDGE = "br-int"


class OvsCase(LinuxCase):
    """A host with a switch (userspace datapath), and a daemon on it."""

    def setUp(self) -> None:
        DaemonCase.setUp(self)
        self.lab = Lab()
        self.addCleanup(self.lab.close)
        self.host = self.lab.namespace()
        self.switch = OpenVSwitch(self.lab, self.host)
        self.switch.start()
        self.configure()
        self.daemon = self.run_daemon()
        # The integration bridge is there with the plugin, whether there are networks or not.
        self.before = self.host.links()
        self.rows_before = self.rows()

    def configure(self, *, more: str = "", **memory: Any) -> None:
        remote = self.switch.remote if hasattr(self, "switch") else "unix:none"
        self.config.write_text(
            f"[quantumd]\nplugin = ovs\nstate = {self.state}\nlisten = unix:{self.socket}:mode=660\n"
            f"[plugin:ovs]\novsdb = {remote}\ndatapath_type = netdev\n{more}"
        )

    def rows(self) -> set[str]:
        """All bridges, ports and interfaces of the switch."""
        tables = ("Bridge", "Port", "Interface")
        return {
            f"{table} {name}"
            for table in tables
            for name in self.switch.vsctl("--bare", "--columns=name", "list", table).split()
        }

    def is_as_before(self) -> None:
        """Nothing of ours is left, on the host or in the switch."""
        super().is_as_before()
        eventually(lambda: self.rows() == self.rows_before, f"as before, not {self.rows()}")

    def port(self, plugged: dict[str, Any], column: str) -> str:
        """A column of the attachment's port."""
        return self.switch.get("Port", plugged["plugin"]["device"], column)

    def vlan(self, network: str) -> int:
        """The VLAN of a network."""
        found: int = self.ask("GET", f"/networks/{network}")["network"]["plugin"]["vlan"]
        return found

    def device(self, name: str, guest: Namespace | None = None) -> None:
        """A veth, up, whose other end is ``name``-peer, or a guest's eth0."""
        if guest is None:
            self.host.ip(f"link add {name} type veth peer name {name}-peer")
            self.host.ip(f"link set {name}-peer up")
        else:
            self.host.ip(f"link add {name} type veth peer name eth0 netns {guest.name}")
            guest.ip("link set eth0 up")
        self.host.ip(f"link set {name} up")

    def hypervisor_plugs(self, name: str, iface_id: str, *port: str) -> None:
        """Put a device on the bridge as libvirt does (virNetDevOpenvswitchAddPort)."""
        self.switch.vsctl(
            "--may-exist", "add-port", BRIDGE, name, *port,
            "--", "set", "Interface", name, 'external-ids:attached-mac="02:00:00:00:00:01"',
            "--", "set", "Interface", name, f'external-ids:iface-id="{iface_id}"',
            "--", "set", "Interface", name, "external-ids:iface-status=active",
        )  # fmt: skip

    def underlay(self, bridge: str, address: str, device: str) -> None:
        """A way out for tunnels, as the userspace datapath wants it: an address on a bridge of its own."""
        self.switch.vsctl("add-br", bridge, "--", "set", "Bridge", bridge, "datapath_type=netdev")
        self.switch.vsctl("add-port", bridge, device)
        self.host.ip(f"addr add {address} dev {bridge}")
        self.host.ip(f"link set {bridge} up")
