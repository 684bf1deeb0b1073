"""Many attachments with one request: all of them or none."""

from __future__ import annotations

import json
from typing import Any

from quantumd.api.schemas import MANY
from quantumd.api.settings import ApiSettings
from quantumd.core.intent import Limits
from quantumd.service.tokens import token_hash
from tests.api.support import NO_ID, ApiTestCase, Response, request_bytes


class ManyTests(ApiTestCase):
    """Two networks, of which the second has a port."""

    limits = Limits(networks=100, ports_per_network=3)

    def setUp(self) -> None:
        super().setUp()
        self.blue, self.red = self.network("blue"), self.network("red")
        self.there = self.port(self.red)

    def one(self, ident: str, network_id: str | None = None, **members: Any) -> dict[str, Any]:
        return {"id": ident, "network_id": network_id or self.blue, **members}

    def plug_all(self, *wanted: object, **headers: str) -> Response:
        return self.post("/attachments", {"attachments": list(wanted)}, **headers)

    def plugged(self) -> list[str]:
        return [one["id"] for one in self.get("/attachments").json["attachments"]]

    def test_all(self) -> None:
        """Each goes into a free port of its network, or into a new one, in the order of the request."""
        response = self.plug_all(self.one("a", device={"create": "tap"}), self.one("b", self.red), self.one("c"))
        self.assertEqual((202, "/attachments"), (response.status, response.headers["location"]))
        made = response.json["attachments"]
        self.assertEqual(["a", "b", "c"], [one["id"] for one in made])
        self.assertEqual([self.blue, self.red, self.blue], [one["network_id"] for one in made])
        self.assertEqual(self.there, made[1]["port_id"])
        self.assertEqual({"create": "tap"}, made[0]["device"])
        self.assertEqual({"InProgress"}, {one["status"] for one in made})
        self.settle()
        for one in made:
            home = f"/networks/{one['network_id']}/ports/{one['port_id']}/attachment"
            self.assertEqual("Attached/UP", self.get(home).json["attachment"]["status"])
        again = self.plug_all(self.one("a", device={"create": "tap"}), self.one("b", self.red), self.one("c"))
        self.assertEqual(202, again.status)
        self.assertEqual([one["port_id"] for one in made], [one["port_id"] for one in again.json["attachments"]])

    def test_none(self) -> None:
        """Where one of them is refused, nothing was accepted, and the fault says which one."""
        self.plug_all(self.one("there", device={"name": "tap0"}))
        before = self.get(f"/networks/{self.blue}/ports").json
        for wanted, fault in (
            (self.one("x", device={"name": "tap0"}), "AlreadyAttached"),
            (self.one("there"), "AlreadyAttached"),
            (self.one("a", self.red), "AlreadyAttached"),
            (self.one("x", NO_ID), "NetworkNotFound"),
        ):
            response = self.plug_all(self.one("a"), wanted)
            self.assertEqual(f"/faults/{fault}", response.json["type"])
            self.assertTrue(response.json["detail"].startswith("attachments.1: "), response.json)
        response = self.plug_all(*(self.one(f"n{number}") for number in range(3)))
        self.assertEqual((413, "attachments.2: "), (response.status, response.json["detail"][:15]))
        self.assertEqual(["there"], self.plugged())
        self.assertEqual(before, self.get(f"/networks/{self.blue}/ports").json)

    def test_what_is_wrong(self) -> None:
        """All that is wrong with any of them is told, each at its path."""
        response = self.plug_all(
            self.one("a", device={"create": "veth", "netns": "vm1"}),
            {"id": "b", "device": {"name": "x" * 16}},
            self.one("c", vlan=7),
            self.one("d", "nonsense"),
        )
        self.assertEqual(400, response.status)
        self.assertEqual(
            {
                "attachments.0.device.ifname",
                "attachments.1.device.name",
                "attachments.1.network_id",
                "attachments.2.vlan",
                "attachments.3.network_id",
            },
            {error["path"] for error in response.json["errors"]},
        )
        response = self.post("/attachments", {"attachments": [self.one("a", vlan=7)], "more": 1})
        self.assertEqual({"more", "attachments.0.vlan"}, {error["path"] for error in response.json["errors"]})
        (error,) = self.plug_all(self.one("a"), 7).json["errors"]
        self.assertEqual(("attachments.1", "must be an object, not an integer"), (error["path"], error["message"]))

    def test_how_many(self) -> None:
        for count in (0, MANY + 1):
            (error,) = self.plug_all(*(self.one(f"n{number}") for number in range(count))).json["errors"]
            self.assertEqual(("attachments", f"must have 1 to {MANY} attachments"), (error["path"], error["message"]))
        (error,) = self.post("/attachments", {"attachments": {}}).json["errors"]
        self.assertEqual(("attachments", "must be a list, not an object"), (error["path"], error["message"]))
        errors = self.post("/attachments", {"attachment": self.one("a")}).json["errors"]
        self.assertEqual({"attachments", "attachment"}, {error["path"] for error in errors})

    def test_wait(self) -> None:
        """The answer comes when all of them have settled."""
        connection = self.connect()
        body = json.dumps({"attachments": [self.one("a"), self.one("b")]}).encode()
        connection.send(request_bytes("POST", "/attachments", body, {"Prefer": "wait=10"}))
        self.assertEqual(b"", connection.received)
        self.settle()
        (response,) = connection.responses()
        self.assertEqual("wait=10", response.headers["preference-applied"])
        self.assertEqual(["Attached/UP"] * 2, [one["status"] for one in response.json["attachments"]])

    def test_hang_up_while_it_waits(self) -> None:
        """What was accepted is carried out, and nobody waits any more."""
        connection = self.connect()
        body = json.dumps({"attachments": [self.one("a"), self.one("b")]}).encode()
        connection.send(request_bytes("POST", "/attachments", body, {"Prefer": "wait=10"}))
        connection.hang_up()
        self.assertEqual(0, len(self.waiters))
        self.settle()
        self.assertEqual(["a", "b"], self.plugged())

    def test_xml(self) -> None:
        body = (
            f'<attachments><attachment id="a" network_id="{self.blue}" vlan="7"/>'
            f'<attachment id="b" network_id="{self.red}"><device create="tap" owner_uid="8"/></attachment>'
            "</attachments>"
        )
        headers = {"Content-Type": "application/xml", "Accept": "application/xml"}
        response = self.ask("POST", "/attachments", body.encode(), headers)
        self.assertIn(b"attachments.0.vlan", response.body)
        response = self.ask("POST", "/attachments", body.replace(' vlan="7"', "").encode(), headers)
        self.assertEqual(202, response.status)
        self.assertRegex(
            response.body.decode(), r'<attachments><attachment id="a" .*<device create="tap" owner_uid="8"'
        )


class AccessTests(ApiTestCase):
    """A member's request about a network of another tenant."""

    settings = ApiSettings(admin_token_hash=token_hash("right"))

    def test_another_tenant(self) -> None:
        self.put_token(NO_ID, "acme", "member", "mine")
        mine, right = {"Authorization": "Bearer mine"}, {"Authorization": "Bearer right"}
        networks = [
            self.post("/networks", {"network": {"name": "n"}}, **whose).json["network"]["id"] for whose in (mine, right)
        ]
        wanted = [{"id": f"v{n}", "network_id": ident, "device": {"create": "tap"}} for n, ident in enumerate(networks)]
        response = self.post("/attachments", {"attachments": wanted}, **mine)
        self.assertEqual((404, "/faults/NetworkNotFound"), (response.status, response.json["type"]))
        self.assertEqual([], self.get("/attachments", **right).json["attachments"])
        self.assertEqual(202, self.post("/attachments", {"attachments": wanted[:1]}, **mine).status)
