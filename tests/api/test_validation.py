"""Bad input of any kind: a problem that names every field at fault, and nothing recorded."""

from __future__ import annotations

import json
from collections.abc import Sequence

from twisted.trial.unittest import SynchronousTestCase

from quantumd.api.schemas import attachment_plug, network_update
from quantumd.api.validation import BodyJudge, Judge
from quantumd.interfaces import Capabilities
from tests.api.support import NO_ID, ApiTestCase

Case = tuple[object, Sequence[str]]

NETWORK: Sequence[Case] = (
    ([], ["body"]),
    (None, ["body"]),
    ("network", ["body"]),
    ({}, ["network"]),
    ({"netwrok": {"name": "a"}}, ["network", "netwrok"]),
    ({"network": {"name": "a"}, "more": 1}, ["more"]),
    ({"network": None}, ["network"]),
    ({"network": []}, ["network"]),
    ({"network": {}}, ["network.name"]),
    ({"network": {"name": ""}}, ["network.name"]),
    ({"network": {"name": None}}, ["network.name"]),
    ({"network": {"name": 1}}, ["network.name"]),
    ({"network": {"name": ["a"]}}, ["network.name"]),
    ({"network": {"name": "a" * 256}}, ["network.name"]),
    ({"network": {"name": "a\n"}}, ["network.name"]),
    ({"network": {"name": "\0"}}, ["network.name"]),
    ({"network": {"name": "a\x7f"}}, ["network.name"]),
    ({"network": {"name": "a\ud800", "options": {"x": "\udfff"}}}, ["network.name", "network.options.x"]),
    ({"network": {"\ud800": "a"}}, ["network.?"]),
    ({"network": {"name": "a\x85"}}, ["network.name"]),
    ({"network": {"name": "a\ufffe"}}, ["network.name"]),
    ({"network": {"name": "a\ufdd0"}}, ["network.name"]),
    ({"network": {"name": "a\U0010ffff"}}, ["network.name"]),
    ({"network": {"name": "a", "id": NO_ID.replace("4", "A")}}, ["network.id"]),
    ({"network": {"name": "a", "id": f"{{{NO_ID}}}"}}, ["network.id"]),
    ({"network": {"name": "a", "id": NO_ID + "\n"}}, ["network.id"]),
    ({"network": {"name": "a", "id": ""}}, ["network.id"]),
    ({"network": {"name": "a", "id": None}}, ["network.id"]),
    ({"network": {"name": "a", "tenant_id": ""}}, ["network.tenant_id"]),
    ({"network": {"name": "a", "status": "Active"}}, ["network.status"]),
    ({"network": {"name": "a", "options": None}}, ["network.options"]),
    ({"network": {"name": "a", "options": {"mtu": None}}}, ["network.options.mtu"]),
    ({"network": {"name": "a", "options": {"mtu": "1400"}}}, ["network.options.mtu"]),
    ({"network": {"name": "a", "options": {"mtu": True}}}, ["network.options.mtu"]),
    ({"network": {"name": "a", "options": {"mtu": 1400.0}}}, ["network.options.mtu"]),
    ({"network": {"name": "a", "options": {"mtu": 1.5}}}, ["network.options.mtu"]),
    ({"network": {"name": "a", "options": {"mtu": 67}}}, ["network.options.mtu"]),
    ({"network": {"name": "a", "options": {"mtu": 2**62}}}, ["network.options.mtu"]),
    ({"network": {"name": "a", "options": {"nonsense": 1}}}, ["network.options.nonsense"]),
    (
        {"network": {"name": "", "id": 1, "options": {"mtu": "x", "y": 1}, "z": 1}, "w": 1},
        ["network.id", "network.name", "network.options.mtu", "network.options.y", "network.z", "w"],
    ),
)

UPDATE: Sequence[Case] = (
    ({"network": {"id": NO_ID}}, ["network.id"]),
    ({"network": {"tenant_id": "t", "status": "Active"}}, ["network.status", "network.tenant_id"]),
    ({"network": {"name": None}}, ["network.name"]),
    ({"network": {"options": None}}, ["network.options"]),
    ({"network": {"options": {"nonsense": None}}}, ["network.options.nonsense"]),
)

PORT: Sequence[Case] = (
    ({}, ["port"]),
    ({"port": None}, ["port"]),
    ({"port": {"id": "x"}}, ["port.id"]),
    ({"port": {"name": "x", "options": {"mtu": 1500}}}, ["port.name", "port.options.mtu"]),
    ([], ["body"]),
)

TUNNEL = {"kind": "vxlan", "remote": "192.0.2.1", "vni": 7}
VETH = {"create": "veth", "netns": "vm1", "ifname": "eth0"}

ATTACHMENT: Sequence[Case] = (
    ({}, ["id"]),
    ({"id": ""}, ["id"]),
    ({"id": "a/b"}, ["id"]),
    ({"id": "a\t"}, ["id"]),
    ({"id": "a" * 256}, ["id"]),
    ({"id": 7}, ["id"]),
    ({"id": "a", "type": "nonsense"}, ["type"]),
    ({"id": "a", "type": None}, ["type"]),
    ({"id": "a", "type": ["vif"]}, ["type"]),
    ({"id": "a", "port_id": NO_ID, "managed": True}, ["managed", "port_id"]),
    ({"id": "a", "reference": 1}, ["reference"]),
    ({"id": "a", "reference": "\0"}, ["reference"]),
    ({"id": "a", "force": "true"}, ["force"]),
    ({"id": "a", "force": 1}, ["force"]),
    ({"id": "a", "vlan": 5}, ["vlan"]),
    ({"id": "a", "tunnel": TUNNEL}, ["tunnel"]),
    ({"id": "a", "device": None}, ["device"]),
    ({"id": "a", "device": "tap1"}, ["device"]),
    ({"id": "a", "device": {}}, ["device.name"]),
    ({"id": "a", "device": {"name": ""}}, ["device.name"]),
    ({"id": "a", "device": {"name": "a" * 16}}, ["device.name"]),
    ({"id": "a", "device": {"name": "é" * 8}}, ["device.name"]),
    ({"id": "a", "device": {"name": "a b"}}, ["device.name"]),
    ({"id": "a", "device": {"name": "a/b"}}, ["device.name"]),
    ({"id": "a", "device": {"name": ".."}}, ["device.name"]),
    ({"id": "a", "device": {"name": "a:b"}}, ["device.name"]),
    ({"id": "a", "device": {"name": "a%d"}}, ["device.name"]),
    ({"id": "a", "device": {"name": "tap1", "mac": "02:00:00:00:00:01"}}, ["device.mac"]),
    ({"id": "a", "device": {"create": "nonsense"}}, ["device.create"]),
    ({"id": "a", "device": {"create": None}}, ["device.create"]),
    ({"id": "a", "device": {"create": ["tap"]}}, ["device.create"]),
    ({"id": "a", "device": {"create": "device"}}, ["device.create"]),
    ({"id": "a", "device": {"create": "tap", "mac": "01:00:00:00:00:01"}}, ["device.mac"]),
    ({"id": "a", "device": {"create": "tap", "mac": "00:00:00:00:00:00"}}, ["device.mac"]),
    ({"id": "a", "device": {"create": "tap", "mac": "2:0:0:0:0:1"}}, ["device.mac"]),
    ({"id": "a", "device": {"create": "tap", "mac": "02-00-00-00-00-01"}}, ["device.mac"]),
    ({"id": "a", "device": {"create": "tap", "owner_uid": -1}}, ["device.owner_uid"]),
    ({"id": "a", "device": {"create": "tap", "owner_gid": 2**32 - 1}}, ["device.owner_gid"]),
    ({"id": "a", "device": {"create": "tap", "owner_uid": "0"}}, ["device.owner_uid"]),
    ({"id": "a", "device": {"create": "tap", "multi_queue": 1}}, ["device.multi_queue"]),
    ({"id": "a", "device": {"create": "tap", "netns": "vm1", "ifname": "x"}}, ["device.ifname", "device.netns"]),
    ({"id": "a", "device": {"create": "veth"}}, ["device.ifname", "device.netns"]),
    ({"id": "a", "device": {**VETH, "owner_uid": 0}}, ["device.owner_uid"]),
    ({"id": "a", "device": {**VETH, "ifname": "eth/0"}}, ["device.ifname"]),
    *(
        ({"id": "a", "device": {**VETH, "netns": netns}}, ["device.netns"])
        for netns in ("", ".", "..", "a/b", "/", "/run/netns/", "/run/netns/..", "/run/netns/a/b", "/proc/self/ns/net",
                      "/proc/0/ns/net", "/proc/1/ns/mnt", "/proc/1/ns/net/", "/etc/passwd", "a\nb", "x" * 256, "\0")
    ),
    ({"id": "a", "type": "bridge"}, ["device"]),
    ({"id": "a", "type": "bridge", "device": {}}, ["device.name"]),
    ({"id": "a", "type": "bridge", "device": {"create": "tap"}}, ["device.create", "device.name"]),
    ({"id": "a", "type": "bridge", "device": {"name": "eth1"}, "vlan": 0}, ["vlan"]),
    ({"id": "a", "type": "bridge", "device": {"name": "eth1"}, "vlan": 4095}, ["vlan"]),
    ({"id": "a", "type": "bridge", "device": {"name": "eth1"}, "vlan": "7"}, ["vlan"]),
    ({"id": "a", "type": "bridge", "device": {"name": "eth1"}, "tunnel": TUNNEL}, ["tunnel"]),
    ({"id": "a", "type": "tunnel"}, ["tunnel"]),
    ({"id": "a", "type": "tunnel", "tunnel": TUNNEL, "device": {"name": "x"}}, ["device"]),
    ({"id": "a", "type": "tunnel", "tunnel": TUNNEL, "vlan": 7}, ["vlan"]),
    ({"id": "a", "type": "tunnel", "tunnel": {}}, ["tunnel.kind", "tunnel.remote", "tunnel.vni"]),
    *(
        ({"id": "a", "type": "tunnel", "tunnel": {**TUNNEL, name: value}}, [f"tunnel.{name}"])
        for name, value in (
            ("kind", "gre"), ("kind", None), ("vni", 0), ("vni", 16777215), ("vni", "7"), ("port", 0), ("port", 65536),
            ("remote", "localhost"), ("remote", "192.0.2"), ("remote", "192.0.2.01"), ("remote", "0.0.0.0"),
            ("remote", "239.0.0.1"), ("remote", "255.255.255.255"), ("remote", "ff02::1"), ("remote", "fe80::1%eth0"),
            ("remote", "192.0.2.1/24"), ("remote", 3221225985), ("local", "2001:db8::1"), ("local", ""), ("extra", 1),
        )
    ),
)  # fmt: skip

MALFORMED = (
    b"", b"{", b"{}x", b"'a'", b'{"network": {"name": "a",}}', b'{"network": {"name": NaN}}',
    b'{"network": {"name": Infinity}}', b'{"network": {"name": -Infinity}}', b'{"network": {"name": 1e999}}',
    b'{"network": {"name": 1%s}}' % (b"0" * 5000), b'{"network": {"name": 9223372036854775808}}',
    b'{"network": {"name": "a", "name": "b"}}', b'{"network": {"name": "a"}, "network": {"name": "a"}}',
    b'{"network": {"name": "\\ud800"}}', b'{"network": {"name": "a", "\\udc00": 1}}', b'{"network": {"name": "\xff"}}',
    b'\xef\xbb\xbf{"network": {"name": "a"}}', '{"network": {"name": "a"}}'.encode("utf-16"),
    b"[" * 30000, b'{"a":' * 5000, b'{"network": ' + b"[" * 900 + b"]" * 900 + b"}", b"\0", b"nul", b"01",
    b'{"network": {"name": "\n"}}', b"<network name='a'/>", b"\x1f\x8b\x08",
)  # fmt: skip


class BodyTests(ApiTestCase):
    """The table above, against the site."""

    def setUp(self) -> None:
        super().setUp()
        self.path = f"/networks/{self.network()}"
        self.before = self.store.state

    def refused(self, method: str, target: str, cases: Sequence[Case], prefix: str = "") -> None:
        for body, paths in cases:
            content = json.dumps({prefix: body} if prefix else body).encode()
            response = self.ask(method, target, content)
            self.assertEqual(response.status, 400, (body, response.body))
            expected = [f"{prefix}.{path}" if prefix else path for path in paths]
            self.assertEqual(response.paths, sorted(expected), body)
        self.assertEqual(self.store.state, self.before)

    def test_network(self) -> None:
        self.refused("POST", "/networks", NETWORK)

    def test_update(self) -> None:
        self.refused("PUT", self.path, UPDATE)

    def test_port(self) -> None:
        self.refused("POST", f"{self.path}/ports", PORT)

    def test_attachment(self) -> None:
        self.refused("POST", f"{self.path}/attachments", ATTACHMENT, "attachment")

    def test_malformed(self) -> None:
        for body in MALFORMED:
            response = self.ask("POST", "/networks", body)
            self.assertEqual((response.status, response.fault), (400, "BadRequest"), body[:60])
            self.assertTrue(response.paths)
        self.assertEqual(self.ask("POST", f"{self.path}/ports", b" ").fault, "BadRequest")
        self.assertEqual(self.store.state, self.before)

    def test_all_that_is_wrong(self) -> None:
        """The body's, the query's: one answer has it all."""
        response = self.post("/networks?x=1&y=2&x=3", {"network": {"nme": "a"}})
        self.assertEqual(response.paths, ["network.name", "network.nme", "x", "x", "y"])

    def test_given_twice(self) -> None:
        body = (
            b'{"network": {"name": "a", "options": {"mtu": 1400, "mtu": 1400}, "name": "a", "name": 1}, "x": 1, "x": 1}'
        )
        response = self.ask("POST", "/networks", body)
        self.assertEqual(response.paths, ["network.name", "network.options.mtu", "x"])

    def test_content_encoding(self) -> None:
        good = b'{"network": {"name": "a"}}'
        self.assertEqual(self.ask("POST", "/networks", good, {"Content-Encoding": "identity"}).status, 202)
        self.assertEqual(
            self.ask("POST", "/networks", good, {"Content-Encoding": "gzip"}).fault, "UnsupportedMediaType"
        )

    def test_names_that_are_taken(self) -> None:
        for name in ("a", "a" * 255, "é€😀", "<&>\"'", "  ", "a/b", "\u202e", "\ufffd", "../..", "%00", "\U000e0001"):
            self.assertEqual(self.post("/networks", {"network": {"name": name}}).json["network"]["name"], name)

    def test_content_types(self) -> None:
        good = b'{"network": {"name": "a"}}'
        for content_type in (
            "application/json",
            "Application/JSON; charset=UTF-8",
            'application/json;charset="utf-8"',
            "",
        ):
            response = self.ask("POST", "/networks", good, {"Content-Type": content_type})
            self.assertEqual(response.status, 202, content_type)
        for content_type in (
            "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1", "json", ";",
            "application/merge-patch+json", "multipart/form-data; boundary=x", "*/*", "application/json, text/plain",
        ):  # fmt: skip
            response = self.ask("POST", "/networks", good, {"Content-Type": content_type})
            self.assertEqual((response.status, response.fault), (415, "UnsupportedMediaType"), content_type)

    def test_words(self) -> None:
        """A message says what is wrong with the value; a detail says what to do."""
        problem = self.post("/networks", {"network": {"name": "a", "options": {"mtu": "x"}}}).json
        message = "must be an integer, not a string"
        self.assertEqual(problem["errors"], [{"path": "network.options.mtu", "message": message}])
        self.assertIn(f"network.options.mtu {message}", problem["detail"])
        self.assertIn("correct it", problem["detail"])


class JudgeTests(SynchronousTestCase):
    """Where JSON Schema and the contract differ, and plugins' own schemas."""

    def test_own_options(self) -> None:
        """A plugin's schema may use any keyword; what has no words of its own is told in those of the library."""
        schema = {"type": "object", "properties": {"x": {"type": "array", "maxItems": 1, "items": {"type": "integer"}}}}
        self.assertEqual(Judge(schema).errors({"x": [1], "y": 1}), [])
        errors = Judge(schema).errors({"x": [1, "a"]})
        self.assertEqual([error.path for error in errors], ["x", "x.1"])
        self.assertIn("too long", errors[0].message)
        open_ended = {"type": "object", "additionalProperties": {"type": "integer"}}
        self.assertEqual([error.path for error in Judge(open_ended).errors({"a": 1, "b": "2"})], ["b"])

    def test_unknown(self) -> None:
        """What there can be is told of the place where it is; what cannot be changed is the resource's own."""
        inner = {"type": "object", "properties": {"a": {}}, "additionalProperties": False}
        schema = {
            "type": "object",
            "properties": {"x": {"type": "array", "items": inner}},
            "additionalProperties": False,
        }
        (error,) = Judge(schema).errors({"x": [{"b": 1}]})
        self.assertEqual((error.path, error.message), ("x.0.b", "is unknown; there can be a"))
        judge = BodyJudge(network_update(Capabilities()))
        errors = judge.errors({"network": {"id": 1, "options": {"id": 1}}})
        self.assertEqual(
            {error.path: error.message for error in errors},
            {"network.id": "cannot be changed", "network.options.id": "is unknown; there can be nothing here"},
        )

    def test_plugin_takes_other_things(self) -> None:
        """What is in the contract is well-formed whatever the plugin takes; what the plugin has beyond that is, too."""
        judge = BodyJudge(attachment_plug(Capabilities(attachment_types={"vif": "a NIC"}, devices=("macvtap",))))
        for attachment in (
            {"device": {"create": "macvtap", "netns": "n"}},
            {"device": {"create": "tap"}},
            {"type": "tunnel", "tunnel": TUNNEL},
        ):
            self.assertEqual(judge.errors({"attachment": {"id": "a", **attachment}}), [])  # type: ignore[dict-item]
