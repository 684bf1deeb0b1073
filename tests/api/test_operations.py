"""The fifteen operations, from the outside: what goes in, what comes out, in which order."""

from __future__ import annotations

from quantumd.interfaces import Capabilities
from tests.api.support import NO_ID, ApiTestCase

TIMES = {"created_at", "updated_at"}


class NetworkTests(ApiTestCase):
    """Operations 1 to 5."""

    def test_create(self) -> None:
        response = self.post("/networks", {"network": {"name": "blue", "tenant_id": "t1", "options": {"mtu": 1400}}})
        network = response.json["network"]
        self.assertEqual((response.status, response.reason), (202, "Accepted"))
        self.assertEqual(response.headers["location"], f"/networks/{network['id']}")
        self.assertEqual(response.headers["cache-control"], "no-store")
        self.assertEqual(
            {name: value for name, value in network.items() if name not in TIMES},
            {
                "id": network["id"],
                "name": "blue",
                "tenant_id": "t1",
                "status": "InProgress",
                "fault": None,
                "options": {"mtu": 1400},
                "plugin": {},
                "revision": 1,
            },
        )
        self.settle()
        shown = self.get(f"/networks/{network['id']}")
        self.assertEqual(shown.status, 200)
        self.assertEqual(shown.json["network"]["status"], "Active")
        self.assertIn("bridge", shown.json["network"]["plugin"])

    def test_create_again(self) -> None:
        """The same id with the same body, however it is written, is 202 and changes nothing; else it is 409."""
        ident = self.network("blue", id=NO_ID)
        self.settle()
        before = self.store.state
        for fields in ({}, {"options": {}}, {"tenant_id": "default"}):
            again = self.post("/networks", {"network": {"name": "blue", "id": ident, **fields}})
            self.assertEqual(again.status, 202)
            self.assertEqual(again.json["network"]["status"], "Active")
        xml = f"<network name='blue'><id>{ident}</id></network>".encode()
        self.assertEqual(self.ask("POST", "/networks.xml", xml).status, 202)
        self.assertEqual(self.store.state, before)
        other = self.post("/networks", {"network": {"name": "red", "id": ident}})
        self.assertEqual((other.status, other.fault), (409, "IdInUse"))
        self.delete(f"/networks/{ident}")
        self.assertEqual(self.post("/networks", {"network": {"name": "blue", "id": ident}}).fault, "IdInUse")

    def test_update(self) -> None:
        path = f"/networks/{self.network(options={'mtu': 1400})}"
        self.settle()
        unchanged = self.put(path, {"network": {}})
        self.assertEqual((unchanged.status, unchanged.json["network"]["revision"]), (202, 1))
        self.assertEqual(unchanged.json["network"]["status"], "Active")
        renamed = self.put(path, {"network": {"name": "red"}}).json["network"]
        self.assertEqual((renamed["name"], renamed["revision"], renamed["status"]), ("red", 2, "InProgress"))
        self.assertEqual(renamed["options"], {"mtu": 1400})
        response = self.put(path, {"network": {"options": {"mtu": None}}})
        self.assertEqual(response.json["network"]["options"], {})
        self.assertEqual(response.headers["location"], path)

    def test_delete(self) -> None:
        path = f"/networks/{self.network()}"
        self.settle()
        deleted = self.delete(path)
        self.assertEqual((deleted.status, deleted.json["network"]["status"]), (202, "Deleting"))
        self.assertEqual(deleted.headers["location"], path)
        self.assertEqual(self.get(path).json["network"]["status"], "Deleting")
        self.assertEqual(self.delete(path).status, 202)
        self.assertEqual(self.put(path, {"network": {"name": "x"}}).fault, "NetworkNotFound")
        self.assertEqual(self.post(f"{path}/ports", {"port": {}}).fault, "NetworkNotFound")
        self.assertEqual(self.post(f"{path}/attachments", {"attachment": {"id": "a"}}).fault, "NetworkNotFound")
        self.settle()
        self.assertEqual(self.get(path).fault, "NetworkNotFound")

    def test_list(self) -> None:
        ids = [self.network(name) for name in ("b", "a", "c")]
        self.assertEqual(
            self.get("/networks").json["networks"],
            [
                {"id": ident, "name": name, "status": "InProgress", "tenant_id": "default"}
                for ident, name in zip(ids, ("b", "a", "c"), strict=True)
            ],
        )

    def test_plugged(self) -> None:
        """With something plugged, a network or port cannot go; once it is on its way out, both can, at once."""
        network = self.network()
        port = self.port(network)
        path = self.plug(network, port)
        self.assertEqual(self.delete(f"/networks/{network}").fault, "AttachmentsPlugged")
        self.assertEqual(self.delete(f"/networks/{network}/ports/{port}").status, 421)
        self.assertEqual(self.delete(path).status, 202)
        self.assertEqual(self.delete(f"/networks/{network}").status, 202)
        self.settle()
        self.assertEqual(self.get("/networks").json, {"networks": []})


class PortTests(ApiTestCase):
    """Operations 6 to 9."""

    def setUp(self) -> None:
        super().setUp()
        self.ports = f"/networks/{self.network()}/ports"

    def test_create(self) -> None:
        bodies = (b"", b'{"port": {}}', b'{"port": {"options": {}}}')
        for response in [self.ask("POST", self.ports, body) for body in bodies]:
            self.assertEqual(response.status, 202)
            port = response.json["port"]
            self.assertEqual(response.headers["location"], f"{self.ports}/{port['id']}")
            self.assertEqual((port["attachment"], port["options"], port["revision"]), (None, {}, 1))
        self.assertEqual(self.ask("POST", f"{self.ports}.xml", b"<port/>").status, 202)
        self.assertEqual(len(self.get(self.ports).json["ports"]), 4)

    def test_empty_body_needs_no_type(self) -> None:
        """What some clients say of a body that they do not send does not matter."""
        response = self.ask("POST", self.ports, b"", {"Content-Type": "application/x-www-form-urlencoded"})
        self.assertEqual(response.status, 202)

    def test_id_is_unique_over_all_networks(self) -> None:
        self.assertEqual(self.post(self.ports, {"port": {"id": NO_ID}}).status, 202)
        self.assertEqual(self.post(self.ports, {"port": {"id": NO_ID}}).status, 202)
        elsewhere = f"/networks/{self.network()}/ports"
        self.assertEqual(self.post(elsewhere, {"port": {"id": NO_ID}}).fault, "IdInUse")
        self.assertEqual(self.get(f"{elsewhere}/{NO_ID}").fault, "PortNotFound")

    def test_show_and_list(self) -> None:
        network = self.ports.split("/")[2]
        port = self.port(network)
        self.plug(network, port, "vm1")
        plugged = {"id": "vm1", "type": "vif", "status": "InProgress"}
        shown = self.get(f"{self.ports}/{port}").json["port"]
        self.assertEqual((shown["attachment"], shown["network_id"], shown["revision"]), (plugged, network, 2))
        self.assertEqual(
            self.get(self.ports).json["ports"], [{"id": port, "status": "InProgress", "attachment": plugged}]
        )

    def test_delete(self) -> None:
        path = f"{self.ports}/{self.port(self.ports.split('/')[2])}"
        self.assertEqual(self.delete(path).json["port"]["status"], "Deleting")
        self.assertEqual(self.delete(path).status, 202)
        attached = self.put(f"{path}/attachment", {"attachment": {"id": "a"}})
        self.assertEqual(attached.fault, "PortNotFound")
        self.settle()
        self.assertEqual(self.delete(path).fault, "PortNotFound")


class AttachmentTests(ApiTestCase):
    """Operations 10 to 15."""

    def setUp(self) -> None:
        super().setUp()
        self.home = self.network()
        self.path = f"/networks/{self.home}"

    def test_plug(self) -> None:
        port = self.port(self.home)
        path = f"{self.path}/ports/{port}/attachment"
        device = {"create": "tap", "mac": "02:AA:00:00:00:01", "owner_uid": 0, "multi_queue": False}
        response = self.put(path, {"attachment": {"id": "vm1", "device": device, "reference": 'a "b"\n<c>'}})
        self.assertEqual((response.status, response.headers["location"]), (202, path))
        attachment = response.json["attachment"]
        self.assertEqual(
            {name: value for name, value in attachment.items() if name not in TIMES},
            {
                "id": "vm1",
                "network_id": self.home,
                "port_id": port,
                "type": "vif",
                "status": "InProgress",
                "fault": None,
                "managed": True,
                "reference": 'a "b"\n<c>',
                "device": {"create": "tap", "mac": "02:aa:00:00:00:01", "owner_uid": 0},
                "vlan": None,
                "tunnel": None,
                "plugin": {},
                "revision": 1,
            },
        )
        self.settle()
        plugin = self.get(path).json["attachment"]["plugin"]
        self.assertEqual(set(plugin), {"bridge", "device"})

    def test_every_form(self) -> None:
        """Everything in the contract's table is taken, and given back as it was asked for."""
        forms = (
            {},
            {"type": "vif", "force": True},
            {"device": {"name": "tap7"}},
            {"device": {"create": "tap", "name": "tap8", "owner_gid": 4294967294, "multi_queue": True}},
            {"device": {"create": "veth", "netns": "vm1", "ifname": "eth0", "mac": "02:00:00:00:00:07"}},
            {"device": {"create": "veth", "netns": "/run/netns/vm1", "ifname": "eth1", "name": "veth-é"}},
            {"device": {"create": "veth", "netns": "/var/run/netns/vm 1", "ifname": "eth2"}},
            {"device": {"create": "veth", "netns": "/proc/123/ns/net", "ifname": "eth3"}},
            {"type": "bridge", "device": {"name": "eth1"}},
            {"type": "bridge", "device": {"name": "eth1"}, "vlan": 4094},
            {"type": "tunnel", "tunnel": {"kind": "vxlan", "remote": "192.0.2.1", "vni": 1}},
            {"type": "tunnel", "tunnel": {"kind": "vxlan", "remote": "2001:db8::1", "vni": 9, "local": "2001:db8::2"}},
        )
        for number, form in enumerate(forms):
            path = self.plug(self.home, self.port(self.home), f"vm{number}", **form)
            shown = self.get(path).json["attachment"]
            self.assertEqual(shown["type"], form.get("type", "vif"), form)
            self.assertEqual(shown["device"], form.get("device"), form)
            self.assertEqual(shown["vlan"], form.get("vlan"), form)
            if "tunnel" in form:
                self.assertEqual(shown["tunnel"], {"port": 4789, **form["tunnel"]})

    def test_plug_again(self) -> None:
        """The same form, however it is written, is 202 and changes nothing; another one is 424."""
        port = self.port(self.home)
        tunnel = {"kind": "vxlan", "remote": "2001:DB8:0::1", "vni": 5}
        path = self.plug(self.home, port, "t1", type="tunnel", tunnel=tunnel)
        before = self.store.state
        same = {"kind": "vxlan", "remote": "2001:db8::1", "vni": 5, "port": 4789}
        for fields in ({"tunnel": same}, {"tunnel": same, "reference": None, "force": False}):
            again = self.put(path, {"attachment": {"id": "t1", "type": "tunnel", **fields}})
            self.assertEqual((again.status, again.json["attachment"]["revision"]), (202, 1))
        self.assertEqual(self.store.state, before)
        for other in ({"id": "t1"}, {"id": "t2", "type": "tunnel", "tunnel": same}):
            refused = self.put(path, {"attachment": other})
            self.assertEqual((refused.status, refused.fault), (424, "PortInUse"))

    def test_plugged_elsewhere(self) -> None:
        self.plug(self.home, self.port(self.home), "vm1", device={"name": "tap1"})
        free = f"{self.path}/ports/{self.port(self.home)}/attachment"
        by_id = self.put(free, {"attachment": {"id": "vm1"}})
        self.assertEqual((by_id.status, by_id.fault), (423, "AlreadyAttached"))
        self.assertEqual(self.put(free, {"attachment": {"id": "x", "device": {"name": "tap1"}}}).status, 423)

    def test_move(self) -> None:
        """A VIF moves: DELETE from one port, at once PUT on another."""
        here = self.plug(self.home, self.port(self.home), "vm1")
        there = f"/networks/{self.network()}"
        self.settle()
        gone = self.delete(here)
        self.assertEqual((gone.status, gone.json["attachment"]["status"]), (202, "Detaching"))
        self.assertEqual(gone.headers["location"], here)
        moved = self.post(f"{there}/attachments", {"attachment": {"id": "vm1"}})
        self.assertEqual(moved.status, 202)
        self.assertEqual([one["id"] for one in self.get("/attachments").json["attachments"]], ["vm1", "vm1"])
        self.settle()
        self.assertEqual(self.get(here).fault, "AttachmentNotFound")
        self.assertEqual(self.delete(here).fault, "AttachmentNotFound")
        self.assertEqual(self.get(moved.headers["location"]).json["attachment"]["status"], "Attached/UP")

    def test_plug_anywhere(self) -> None:
        port = self.port(self.home)
        first = self.post(f"{self.path}/attachments", {"attachment": {"id": "vm1"}})
        self.assertEqual(first.json["attachment"]["port_id"], port)
        self.assertEqual(first.headers["location"], f"{self.path}/ports/{port}/attachment")
        again = self.post(f"{self.path}/attachments", {"attachment": {"id": "vm1"}})
        self.assertEqual((again.status, again.json["attachment"]["port_id"]), (202, port))
        other = self.post(f"{self.path}/attachments", {"attachment": {"id": "vm1", "reference": "x"}})
        self.assertEqual(other.fault, "AlreadyAttached")
        second = self.post(f"{self.path}/attachments", {"attachment": {"id": "vm2"}})
        self.assertNotEqual(second.json["attachment"]["port_id"], port)

    def test_lists(self) -> None:
        port = self.port(self.home)
        self.plug(self.home, port, "vm1")
        entry = {"id": "vm1", "type": "vif", "status": "InProgress", "port_id": port}
        self.assertEqual(self.get(f"{self.path}/attachments").json, {"attachments": [entry]})
        everywhere = {"attachments": [{**entry, "network_id": self.home}]}
        self.assertEqual(self.get("/attachments").json, everywhere)


class FixedPortsTests(ApiTestCase):
    """A plugin whose ports are fixed."""

    plugin_settings = {"fixed_ports": 1}

    def test_ports(self) -> None:
        path = f"/networks/{self.network()}"
        (port,) = self.get(f"{path}/ports").json["ports"]
        made = self.post(f"{path}/ports", {"port": {}})
        self.assertEqual((made.status, made.reason, made.fault), (510, "Not Extended", "PluginFault"))
        self.assertEqual(self.delete(f"{path}/ports/{port['id']}").status, 510)
        self.assertEqual(self.post(f"{path}/attachments", {"attachment": {"id": "a"}}).status, 202)
        full = self.post(f"{path}/attachments", {"attachment": {"id": "b"}})
        self.assertEqual((full.status, full.reason, full.fault), (424, "Failed Dependency", "PortInUse"))


class LimitTests(ApiTestCase):
    """A plugin that is full."""

    plugin_settings = {"capacity": 1}

    def test_capacity(self) -> None:
        self.network("one", id=NO_ID)
        full = self.post("/networks", {"network": {"name": "two"}})
        self.assertEqual((full.status, full.fault), (413, "OverLimit"))
        self.assertEqual(self.post("/networks", {"network": {"name": "one", "id": NO_ID}}).status, 202)


class LackTests(ApiTestCase):
    """A plugin that has not all that the contract has: 510, which is told last of all."""

    def test_lack(self) -> None:
        self.plugin.capabilities = Capabilities(attachment_types={"vif": "a NIC"}, devices=("veth",), tunnels=())
        path = f"/networks/{self.network()}"
        tunnel = {"kind": "vxlan", "remote": "192.0.2.1", "vni": 7}
        for form in (
            {"type": "bridge", "device": {"name": "eth1"}},
            {"type": "tunnel", "tunnel": tunnel},
            {"device": {"create": "tap"}},
        ):
            response = self.post(f"{path}/attachments", {"attachment": {"id": "a", **form}})
            self.assertEqual((response.status, response.fault), (510, "PluginFault"))
        port = self.port(path.split("/")[2])
        self.plug(path.split("/")[2], port, "vm1")
        taken = self.put(f"{path}/ports/{port}/attachment", {"attachment": {"id": "a", "device": {"create": "tap"}}})
        self.assertEqual(taken.fault, "PortInUse")
        self.assertEqual(list(self.get("/extensions").json["attachment_types"]), ["vif"])


class VetoTests(ApiTestCase):
    """A plugin that does not let go."""

    plugin_settings = {"veto_detach": True}

    def test_unplug(self) -> None:
        network = self.network()
        self.assertEqual(self.delete(self.plug(network, self.port(network))).fault, "PluginFault")
