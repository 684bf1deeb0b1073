"""The parts of the ovs plugin that need no switch: what is judged, isolated, written and seen, as values."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase, TestCase

from quantumd.core import intent
from quantumd.core.changes import Attach
from quantumd.core.errors import BadRequest, IdInUse, OverLimit, PluginFault
from quantumd.core.model import Attachment, Device, Form, Network, Port, Tunnel
from quantumd.core.state import State
from quantumd.core.transaction import Transaction
from quantumd.host.netlink.parse import Link
from quantumd.host.ovsdb.operations import Insert, Mutate, Named, Update
from quantumd.host.ovsdb.replica import Replica, RowChange
from quantumd.host.ovsdb.schema import Schema
from quantumd.plugins.linuxbridge.facts import Facts
from quantumd.plugins.linuxbridge.view import HostView
from quantumd.plugins.ovs import SETTINGS, OvsPlugin
from quantumd.plugins.ovs.backend import topics
from quantumd.plugins.ovs.devices import Host
from quantumd.plugins.ovs.features import Features
from quantumd.plugins.ovs.isolation import isolate, strangers
from quantumd.plugins.ovs.judge import LAST_VLAN, Judge
from quantumd.plugins.ovs.look import bridge_problem, no_way_out, see_network, see_plug
from quantumd.plugins.ovs.rows import Rows
from quantumd.plugins.ovs.tables import MONITORED, Switch
from quantumd.plugins.ovs.terms import far_end, plug_of, provider_of
from quantumd.plugins.ovs.vswitchd import ProcessWatch, find

NOW = "2000-01-01T00:00:00.000Z"
NET = "aaaaaaaa-0000-4000-8000-000000000000"
PORT = "bbbbbbbb-0000-4000-8000-000000000000"
SCHEMA = Schema(json.loads(Path("/usr/share/openvswitch/vswitch.ovsschema").read_text()))
STRANGER = {"iface-id": "vif1", "attached-mac": "02:00:00:00:00:01"}


class Database:
    """A replica that a test fills row by row."""

    def __init__(self, datapath_type: str = "netdev") -> None:
        self.replica = Replica(SCHEMA, MONITORED)
        self.switch = Switch(self.replica, "br-int")
        self.count = 0
        self.rows: dict[str, dict[str, Any]] = {table: {} for table in MONITORED.columns}
        self.put("Open_vSwitch", datapath_types=["netdev", "system"])
        self.bridge("br-int", datapath_type)

    def put(self, table: str, **columns: Any) -> str:
        self.count += 1
        uuid = f"{self.count:08x}-0000-4000-8000-000000000000"
        self.rows[table][uuid] = columns
        self.load()
        return uuid

    def load(self) -> None:
        def wire(table: str, columns: dict[str, Any]) -> Any:
            row = {name: SCHEMA.column(table, name).encode(value) for name, value in columns.items()}
            return self.replica.leaf(table, {"initial": row})

        content = {table: {uuid: wire(table, row) for uuid, row in rows.items()} for table, rows in self.rows.items()}
        for _ in self.replica.load(content):
            pass

    def bridge(self, name: str, datapath_type: str = "netdev", **ids: str) -> None:
        self.put("Bridge", name=name, ports=[], datapath_type=datapath_type, external_ids=ids)
        self.port(name, bridge=name, interface={"type": "internal", "ofport": 65534})

    def port(self, name: str, *, bridge: str = "br-int", interface: dict[str, Any] | None = None, **port: Any) -> str:
        inner = self.put("Interface", name=name, **{"ofport": 1, **(interface or {})})
        outer = self.put("Port", name=name, interfaces=[inner], **port)
        for row in self.rows["Bridge"].values():
            if row["name"] == bridge:
                row["ports"].append(outer)
        self.load()
        return outer

    def row(self, name: str) -> Any:
        return self.switch.port(name)

    @staticmethod
    def changed(bridge: Any, **columns: Any) -> Any:
        """A bridge as it would be with these columns."""
        names = ("uuid", *MONITORED.columns["Bridge"])
        return type(bridge)(columns.get(name, getattr(bridge, name)) for name in names)


def network(ident: str = NET, **more: Any) -> Network:
    return Network(
        **{"serial": 1, "id": ident, "name": "n", "tenant_id": "t", "created_at": NOW, "updated_at": NOW,
           "data": {"vlan": 7}, **more}
    )  # fmt: skip


def attachment(form: Form, **more: Any) -> Attachment:
    return Attachment(
        **{"serial": 3, "network_id": NET, "port_id": PORT, "form": form, "created_at": NOW, "updated_at": NOW, **more}
    )


class JudgeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.judge, self.state, self.view = Judge(), State(), HostView()
        self.switch: Switch | None = None

    def ask(self, state: State, change: Any) -> Any:
        return self.judge.judge(state, change, self.view, self.switch, Features())

    def network(self, name: str, **options: Any) -> Network:
        tx = Transaction(self.state, NOW)
        limits = intent.Limits(networks=5000, ports_per_network=5)
        made = intent.create_network(tx, self.ask, limits, {"name": name, "options": options}, "t")
        self.state = tx.state
        return made

    def plug(self, home: Network, form: Form) -> Attachment:
        tx = Transaction(self.state, NOW)
        limits = intent.Limits(networks=5000, ports_per_network=5)
        made = intent.plug_anywhere(tx, self.ask, limits, home.id, form)
        self.state = tx.state
        return made

    def test_all_vlans(self) -> None:
        """There are 4,094, each for one network; the next one is told so, and gets the one that becomes free."""
        made = [self.network(f"n{number}") for number in range(LAST_VLAN)]
        self.assertEqual(set(range(1, LAST_VLAN + 1)), {one.data["vlan"] for one in made})
        self.assertRaises(OverLimit, self.network, "more")
        self.assertRaises(IdInUse, self.network, "more", vlan=5)
        tx = Transaction(self.state, NOW)
        tx.drop(made[99])
        self.state = tx.state
        self.assertEqual(made[99].data, self.network("more").data)

    def test_chosen_vlan(self) -> None:
        """A VLAN that was asked for is that network's, kept when the option is taken back, and chosen around."""
        blue = self.network("blue", vlan=1)
        self.assertEqual({"vlan": 2}, self.network("red").data)
        tx = Transaction(self.state, NOW)
        patch = {"options": {"vlan": None}}
        again = intent.update_network(tx, self.ask, blue.id, patch, intent.matching(None))
        self.assertEqual({"vlan": 1}, again.data)

    def test_kernel(self) -> None:
        """What the kernel lacks is refused at once, with what to do."""
        lacking = Features(no_tap="try 'modprobe tun'.", veth=False, multi_queue=False)
        for device, word in (
            (Device(create="tap"), "tun"),
            (Device(create="veth", netns="n", ifname="e"), "veth"),
            (Device(create="tap", multi_queue=True), "tun"),
        ):
            change = self.change(Form(id="a", device=device))
            with self.assertRaises(PluginFault) as caught:
                self.judge.judge(self.state, change, self.view, None, lacking)
            self.assertIn(word, str(caught.exception))
        change = self.change(Form(id="a", device=Device(create="tap", multi_queue=True)))
        with self.assertRaises(PluginFault):
            self.judge.judge(self.state, change, self.view, None, Features(multi_queue=False))

    def change(self, form: Form) -> Any:
        port = Port(serial=2, id=PORT, network_id=NET, created_at=NOW, updated_at=NOW)
        return Attach(attachment(form), port, network())

    def test_tunnels(self) -> None:
        """Ends that cannot be are refused with their field."""
        for remote, local, field in (
            ("239.1.1.1", None, "remote"),
            ("0.0.0.0", None, "remote"),
            ("192.0.2.1", "239.1.1.1", "local"),
            ("192.0.2.1", "2001:db8::1", "local"),
        ):
            tunnel = Tunnel(kind="vxlan", remote=remote, local=local, vni=7)
            with self.assertRaises(BadRequest) as caught:
                self.ask(self.state, self.change(Form(id="t", type="tunnel", tunnel=tunnel)))
            self.assertEqual([f"attachment.tunnel.{field}"], [error.path for error in caught.exception.errors])

    def test_names(self) -> None:
        """Names are not those of strangers' ports or devices, and a patch's two ends fit into the kernel's length."""
        database = Database()
        self.switch = database.switch
        blue = self.network("blue")
        first = self.plug(blue, Form(id="a", device=Device(create="tap")))
        stranger = str(first.data["device"])
        self.state = State()
        blue = self.network("blue")
        database.port(stranger)
        tx = Transaction(self.state, NOW)
        limits = intent.Limits(networks=5, ports_per_network=5)
        body = {"id": first.port_id}
        port = intent.create_port(tx, self.ask, limits, blue.id, body)
        form = Form(id="a", device=Device(create="tap"))
        again = intent.plug(tx, self.ask, blue.id, port.id, form, intent.matching(None))
        self.assertNotEqual(stranger, again.data["device"])
        uplink = self.plug(self.network("red"), Form(id="u", type="bridge", device=Device(name="eth1")))
        self.assertEqual(15, len(str(uplink.data["patch"])))
        self.assertEqual(15, len(far_end(str(uplink.data["patch"]))))


class NameTests(SynchronousTestCase):
    @given(st.text("abcdefgh-.0", min_size=1, max_size=15))
    def test_provider(self, device: str) -> None:
        """A provider bridge's name fits, and is readable where it can be."""
        name = provider_of(device)
        self.assertLessEqual(len(name), 15)
        self.assertTrue(len(device) > 12 or name == f"qp-{device}")

    def test_distinct(self) -> None:
        """Long names that begin alike have bridges of their own."""
        self.assertNotEqual(provider_of("enp101s0f0np0v1"), provider_of("enp101s0f0np0v2"))


class IsolationTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.database = Database()

    def isolated(self, **port: Any) -> Any:
        self.database.port("tap1", interface={"external_ids": STRANGER}, **port)
        return isolate(self.database.switch, self.database.row("tap1"))

    def test_stranger(self) -> None:
        """A port with an iface-id gets VLAN 4095 and is protected, unless it is plugged meanwhile."""
        update = self.isolated()
        where = (("_uuid", "==", self.database.row("tap1").uuid), ("external_ids", "==", {}))
        self.assertEqual(Update("Port", where, {"tag": 4095, "protected": True}), update)

    def test_trunk(self) -> None:
        """A trunk is none any more."""
        update = self.isolated(vlan_mode="trunk", trunks=[1, 2], tag=4095, protected=True)
        self.assertEqual({"tag": 4095, "protected": True, "vlan_mode": None, "trunks": ()}, update.row)

    def test_left_alone(self) -> None:
        """What is isolated, plugged, on another bridge or without an iface-id."""
        self.assertIsNone(self.isolated(tag=4095, protected=True))
        self.setUp()
        self.assertIsNone(self.isolated(tag=7, external_ids={"quantum-port": PORT}))
        self.setUp()
        self.database.bridge("br-ex")
        self.assertIsNone(self.isolated(bridge="br-ex"))
        self.setUp()
        self.database.port("tap2")
        self.assertIsNone(isolate(self.database.switch, self.database.row("tap2")))

    def test_strangers(self) -> None:
        """The ports that changes are about, by their own rows or their interfaces', each once."""
        self.database.port("tap1", interface={"external_ids": STRANGER})
        port, interface = self.database.row("tap1"), self.database.switch.interface("tap1")
        changes = [
            RowChange("Interface", None, interface),
            RowChange("Port", None, port),
            RowChange("Port", port, None),
        ]
        self.assertEqual([port], strangers(self.database.switch, changes))

    def test_topics(self) -> None:
        """What changes are about: names, marks and iface-ids, as they were and as they are."""
        self.database.port("tap1", interface={"external_ids": STRANGER}, external_ids={"quantum-port": PORT})
        port, interface = self.database.row("tap1"), self.database.switch.interface("tap1")
        bridge = self.database.switch.bridge("br-int")
        expected = {"port/tap1", f"mark/{PORT}", "iface/vif1"}
        self.assertEqual(expected, topics(self.database.switch, [RowChange("Port", port, None)]))
        self.assertEqual(
            {"port/tap1", "iface/vif1"}, topics(self.database.switch, [RowChange("Interface", None, interface)])
        )
        self.assertEqual(set(), topics(self.database.switch, [RowChange("Bridge", bridge, bridge)]))
        renamed = self.database.changed(bridge, name="br-old")
        self.assertEqual(
            {"bridge/br-int", "bridge/br-old"}, topics(self.database.switch, [RowChange("Bridge", renamed, bridge)])
        )
        # One that is moved from bridge to bridge has a row that does not change.
        without = self.database.changed(bridge, ports=tuple(u for u in bridge.ports if u != port.uuid))
        moved = RowChange("Bridge", without, bridge, {"ports": (port.uuid,)})
        self.assertEqual(expected, topics(self.database.switch, [moved]))


class RowsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.database = Database()
        self.rows = Rows(self.database.switch)

    def test_plug(self) -> None:
        """Port, VLAN and interface go in together, and onto the bridge in the same transaction."""
        plug = plug_of(attachment(Form(id="a", device=Device(name="tap1"))), network())
        self.rows.plug(plug, {"name": "tap1"})
        interface, port, bridge = self.rows.operations()
        self.assertEqual(Insert("Interface", {"name": "tap1"}, name="interface1"), interface)
        self.assertEqual(
            (7, False, [Named("interface1")]), tuple(port.row[key] for key in ("tag", "protected", "interfaces"))
        )
        self.assertEqual(
            {"quantum-port": PORT, "quantum-network": NET, "quantum-made": "true"}, port.row["external_ids"]
        )
        self.assertEqual([("ports", "insert", [Named("port1")])], bridge.mutations)
        self.assertEqual(1, self.rows.ports)

    def test_adopt(self) -> None:
        """A stranger's port gets its VLAN and its mark, and nothing else; one that is so gets nothing."""
        self.database.port("tap1", tag=4095, protected=True, external_ids={"theirs": "1"})
        plug = plug_of(attachment(Form(id="vif1")), network())
        self.rows.adopt(self.database.row("tap1"), plug)
        update, mutate = self.rows.operations()
        self.assertEqual({"tag": 7, "protected": False}, update.row)
        self.assertEqual([("external_ids", "insert", {"quantum-port": PORT, "quantum-network": NET})], mutate.mutations)
        self.database.port("tap2", tag=7, external_ids={"quantum-port": PORT, "quantum-network": NET})
        rows = Rows(self.database.switch)
        rows.adopt(self.database.row("tap2"), plug)
        self.assertEqual([], rows.operations())

    def test_adopt_anew(self) -> None:
        """The mark of another attachment gives way: an insertion alone would leave it."""
        self.database.port("tap1", tag=7, external_ids={"quantum-port": "other", "quantum-network": NET})
        self.rows.adopt(self.database.row("tap1"), plug_of(attachment(Form(id="vif1")), network()))
        (mutate,) = self.rows.operations()
        expected = [("external_ids", "delete", ["quantum-port"]), ("external_ids", "insert", {"quantum-port": PORT})]
        self.assertEqual(expected, mutate.mutations)

    def test_release(self) -> None:
        """What was made goes; what is a stranger's is isolated, without our marks."""
        made = self.database.port("made", external_ids={"quantum-port": PORT, "quantum-made": "true"})
        theirs = self.database.port("theirs", tag=7, external_ids={"quantum-port": PORT})
        for name in ("made", "theirs"):
            self.rows.release(self.database.row(name))
        isolated, unmarked, removed = self.rows.operations()
        self.assertEqual(Update("Port", (("_uuid", "==", theirs),), {"tag": 4095, "protected": True}), isolated)
        self.assertEqual([("external_ids", "delete", ["quantum-port", "quantum-network"])], unmarked.mutations)
        self.assertEqual([("ports", "delete", [made])], removed.mutations)

    def test_uplinks(self) -> None:
        """Two uplinks on one device in one transaction share the provider bridge that it makes."""
        for number, vlan in ((1, 10), (2, None)):
            form = Form(id=f"up{number}", type="bridge", device=Device(name="eth1"), vlan=vlan)
            plug = plug_of(attachment(form, data={"patch": f"qu{number}"}), network())
            self.rows.patch(plug, {"name": f"qu{number}", "type": "patch"}, "eth1", 5)
        operations = self.rows.operations()
        bridges = [one for one in operations if isinstance(one, Insert) and one.table == "Bridge"]
        self.assertEqual(["qp-eth1"], [one.row["name"] for one in bridges])
        ports = {one.row["name"]: one.row for one in operations if isinstance(one, Insert) and one.table == "Port"}
        self.assertEqual({"qu1", "qe1", "qu2", "qe2", "eth1", "qp-eth1"}, set(ports))
        self.assertEqual((10, None, ()), (ports["qe1"]["tag"], ports["qe1"]["vlan_mode"], ports["qe1"]["trunks"]))
        self.assertEqual(
            (None, "trunk", (0,)), (ports["qe2"]["tag"], ports["qe2"]["vlan_mode"], ports["qe2"]["trunks"])
        )
        self.assertEqual((7, 4095), (ports["qu1"]["tag"], ports["qp-eth1"]["tag"]))

    def test_empty_providers(self) -> None:
        """A provider bridge goes with its last patch, and not before."""
        self.database.bridge("qp-eth1", **{"quantum-uplink": "eth1"})
        for name in ("qe1", "qe2"):
            self.database.port(name, bridge="qp-eth1", external_ids={"quantum-port": name, "quantum-made": "true"})
        self.rows.release(self.database.row("qe1"))
        self.rows.drop_empty_providers()
        self.assertEqual(["Bridge"], [one.table for one in self.rows.operations()])
        rows = Rows(self.database.switch)
        for name in ("qe1", "qe2"):
            rows.release(self.database.row(name))
        rows.drop_empty_providers()
        (gone,) = rows.operations()
        assert isinstance(gone, Mutate)
        self.assertEqual(("Open_vSwitch", "bridges", "delete"), (gone.table, *gone.mutations[0][:2]))


class LookTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.database = Database()
        self.host = Host(Facts())

    def test_network(self) -> None:
        """A network is there when the bridge is, and as it was carried out last."""
        fresh = see_network(self.database.switch, network())
        self.assertFalse(fresh.present)
        report = {"bridge": "br-int", "vlan": 7}
        self.assertTrue(see_network(self.database.switch, network(plugin=report)).in_order)
        other = see_network(self.database.switch, network(plugin={**report, "vlan": 9}))
        self.assertEqual(
            (True, ("its ports are set up for bridge br-int, vlan 9",)), (other.present, other.differences)
        )
        mtu = network(plugin=report, options={"mtu": 1400})
        self.assertFalse(see_network(self.database.switch, mtu).in_order)

    def test_bridge_problem(self) -> None:
        """A bridge that the switch could not make is told of in its words, or with what to look at."""
        self.assertIsNone(bridge_problem(self.database.switch))
        for interface, word in (
            ({"ofport": None, "error": "no such thing"}, "no such thing"),
            ({"ofport": None}, "modprobe"),
        ):
            database = Database("system")
            for row in database.rows["Interface"].values():
                row.update(interface)
            database.load()
            self.assertIn(word, bridge_problem(database.switch) or "")
        self.assertIn("not there", bridge_problem(Switch(self.database.replica, "br-other")) or "")

    def test_bound(self) -> None:
        """A port by its iface-id: waited for, seen where it is, and up when the switch says so."""
        plug = plug_of(attachment(Form(id="vif1")), network())
        seen = see_plug(self.database.switch, self.host, plug)
        self.assertEqual("an interface with iface-id vif1 on Open vSwitch", seen.waiting_for)
        states = {"admin_state": "up", "link_state": "up", "external_ids": STRANGER}
        marks = {"quantum-port": PORT, "quantum-network": NET}
        self.database.port("tap1", interface=states, tag=7, external_ids=marks)
        seen = see_plug(self.database.switch, self.host, plug)
        self.assertEqual((True, (), True), (seen.present, seen.differences, seen.up))
        self.assertEqual({"bridge": "br-int", "device": "tap1"}, seen.plugin)

    def test_differences(self) -> None:
        """What is amiss is told in words."""
        plug = plug_of(attachment(Form(id="vif1")), network())
        marks = {"quantum-port": PORT}
        for port, interface, words in (
            ({"tag": 9, "external_ids": marks}, {}, "its port is in VLAN 9"),
            ({"external_ids": marks}, {}, "its port is a trunk"),
            ({"tag": 7, "vlan_mode": "trunk", "external_ids": marks}, {}, "its port is a trunk"),
            ({"tag": 7}, {}, "its port is not plugged"),
            ({"tag": 7, "protected": True, "external_ids": marks}, {}, "its port is protected"),
            ({"tag": 7, "external_ids": marks}, {"error": "broken"}, "Open vSwitch says of tap1: broken"),
            ({"tag": 7, "external_ids": marks}, {"ofport": -1}, "Open vSwitch could not make a port of tap1"),
            ({"tag": 7, "external_ids": marks, "bridge": "br-ex"}, {}, "its port is on br-ex, not on br-int"),
        ):
            self.setUp()
            self.database.bridge("br-ex")
            self.database.port("tap1", interface={"external_ids": STRANGER, **interface}, **port)
            self.assertIn(words, see_plug(self.database.switch, self.host, plug).differences)

    def test_made_anew(self) -> None:
        """A device with another index than when it was plugged is another device."""
        ids = {
            "iface-id": "a",
            "iface-status": "active",
            "quantum-port": PORT,
            "quantum-network": NET,
            "quantum-ifindex": "5",
        }
        marks = {"quantum-port": PORT, "quantum-network": NET, "quantum-made": "true"}
        self.database.port("tap1", interface={"external_ids": ids}, tag=7, external_ids=marks)
        plug = plug_of(attachment(Form(id="a", device=Device(name="tap1"))), network())
        for index, words in ((5, ()), (6, ("its device was made anew since it was plugged",))):
            link = Link(index, "tap1", 1, altnames=(f"quantum-{PORT}",))
            host = Host(Facts(True, {index: link}, {"tap1": index}))
            self.assertEqual(words, see_plug(self.database.switch, host, plug).differences)
        gone = see_plug(self.database.switch, self.host, plug)
        self.assertEqual((True, ("its device is gone",), None), (gone.present, gone.differences, gone.waiting_for))

    def test_no_way_out(self) -> None:
        """The userspace datapath sends by bridges of its own only; the kernel's is not asked."""
        tunnel = Tunnel(kind="vxlan", remote="192.0.2.1", vni=7)
        plug = plug_of(attachment(Form(id="t", type="tunnel", tunnel=tunnel), data={"device": "qx1"}), network())
        for egress, words in ((None, "no route to 192.0.2.1"), ("eth0", "through eth0"), ("br-int", None)):
            status = {} if egress is None else {"tunnel_egress_iface": egress}
            for kind in ("netdev", "system"):
                database = Database(kind)
                database.port("qx1", interface={"type": "vxlan", "status": status})
                problem = no_way_out(database.switch, plug, database.row("qx1"))
                if words is None or kind == "system":
                    self.assertIsNone(problem)
                else:
                    self.assertIn(words, problem or "")


class SettingsTests(SynchronousTestCase):
    def test_bad(self) -> None:
        """A bad value is refused with its key and what it takes."""
        for key, value, word in (
            ("ovsdb", "db.sock", "unix:PATH"),
            ("ovsdb", "ssl:127.0.0.1:6640", "private_key"),
            ("bridge", "a-name-that-is-too-long", "15 bytes"),
            ("datapath_type", "", "netdev"),
            ("datapath_type", "kernel", "netdev"),
        ):
            with self.assertRaises(ValueError) as caught:
                OvsPlugin(reactor, {**SETTINGS, key: value})
            self.assertIn(key, str(caught.exception))
            self.assertIn(word, str(caught.exception))


class ProcessTests(TestCase):
    async def test_ended(self) -> None:
        """The end of a process is told at once; one that has ended already cannot be watched."""
        process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        told: Deferred[None] = Deferred()
        watch = ProcessWatch(reactor, process.pid, lambda: told.callback(None))
        self.addCleanup(watch.stop)
        self.assertFalse(told.called)
        process.communicate(b"\n")
        await told
        self.assertRaises(OSError, ProcessWatch, reactor, process.pid, lambda: None)

    def test_find(self) -> None:
        """The pid file beside the socket counts where its process is an ovs-vswitchd."""
        directory = Path(self.mktemp())
        directory.mkdir()
        remote = f"unix:{directory}/db.sock"
        self.assertIsNone(find(remote))
        self.assertIsNone(find("tcp:127.0.0.1:6640"))
        for text in ("", "x", str(os.getpid()), "4194304000"):
            (directory / "ovs-vswitchd.pid").write_text(text)
            self.assertIsNone(find(remote))
