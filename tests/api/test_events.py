"""``GET /events``."""

from __future__ import annotations

import json
from typing import Any
from unittest import mock

from attrs import frozen

from quantumd.api.events import KEEP_ALIVE
from quantumd.api.settings import ApiSettings
from quantumd.core.model import Key, Kind
from quantumd.store.history import KEPT, SLACK
from tests.api.support import NO_ID, ApiTestCase, Connection, request_bytes


@frozen
class Told:
    """One event of the stream."""

    id: int
    event: str
    data: Any


class Follower:
    """A client that follows."""

    def __init__(self, connection: Connection, target: str = "/events", **headers: str) -> None:
        self.connection = connection
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.send(request_bytes("GET", target, b"", named))

    @property
    def head(self) -> str:
        return self.connection.received.partition(b"\r\n\r\n")[0].decode()

    @property
    def text(self) -> str:
        """What the chunks say together."""
        rest, text = self.connection.received.partition(b"\r\n\r\n")[2], b""
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            length = int(size, 16)
            text, rest = text + rest[:length], rest[length + 2 :]
        return text.decode()

    @property
    def told(self) -> list[Told]:
        found = []
        for block in self.text.split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":"))
            if fields:
                self_id, event, data = fields["id"], fields["event"], json.loads(fields["data"])
                found.append(Told(int(self_id), event, data))
        return found

    @property
    def ended(self) -> bool:
        return self.connection.received.endswith(b"\r\n0\r\n\r\n")


class StreamTests(ApiTestCase):
    """One client."""

    def follow(self, **headers: str) -> Follower:
        return Follower(self.connect(), **headers)

    def test_from_now_on(self) -> None:
        self.network("before")
        self.settle()
        follower = self.follow()
        self.assertIn("HTTP/1.1 200 OK", follower.head)
        self.assertIn("text/event-stream", follower.head)
        self.assertIn("no-store", follower.head)
        self.assertEqual(follower.told, [])
        network = self.network("after", tenant_id="t1")
        self.settle()
        created, active = follower.told
        self.assertEqual((created.event, active.event), ("network", "network"))
        self.assertLess(created.id, active.id)
        at = created.data.pop("at")
        self.assertRegex(at, r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")
        self.assertEqual(
            created.data,
            {
                "action": "created",
                "tenant_id": "t1",
                "network_id": network,
                "port_id": None,
                "attachment_id": None,
                "status": "InProgress",
                "fault": None,
            },
        )
        self.assertEqual((active.data["action"], active.data["status"]), ("status", "Active"))

    def test_order(self) -> None:
        """A change of what is plugged is one of the port too; a network's ports go before it does."""
        network = self.network()
        port = self.port(network)
        self.settle()
        follower = self.follow()
        path = self.plug(network, port, "vm1")
        told = [(one.event, one.data["action"]) for one in follower.told]
        self.assertEqual(told, [("attachment", "created"), ("port", "updated")])
        self.assertEqual(follower.told[0].data["attachment_id"], "vm1")
        self.delete(path)
        self.delete(f"/networks/{network}")
        self.settle()
        gone = [one.event for one in follower.told if one.data["action"] == "deleted"]
        self.assertEqual(gone, ["attachment", "port", "network"])
        self.assertEqual({one.data["status"] for one in follower.told[-3:]}, {"Deleted"})

    def test_after_a_number(self) -> None:
        first = self.follow()
        for name in ("a", "b"):
            self.network(name)
        self.settle()
        seen = first.told
        self.assertEqual(self.follow(Last_Event_ID=str(seen[0].id)).told, seen[1:])
        self.assertEqual(self.follow(Last_Event_ID=f"00{seen[-1].id}").told, [])

    def test_reset(self) -> None:
        self.network()
        for unknown in ("999", "9" * 18, "9" * 400):
            follower = self.follow(Last_Event_ID=unknown)
            (reset,) = follower.told
            self.assertEqual((reset.event, reset.data), ("reset", {}))
            network = self.network()
            self.assertEqual(follower.told[1].data["network_id"], network)
            again = self.follow(Last_Event_ID=str(reset.id))
            self.assertEqual(again.told, follower.told[1:])

    def test_malformed(self) -> None:
        for malformed in ("x", "-1", "1.5", "0x1", "\xb2", "1 2", "", "+1"):
            response = self.get("/events", Last_Event_ID=malformed)
            self.assertEqual(response.paths, ["Last-Event-ID"], malformed)
        self.assertEqual(self.get("/events?x=1", Last_Event_ID="x").paths, ["Last-Event-ID", "x"])

    def test_keep_alive(self) -> None:
        follower = self.follow()
        before = follower.text
        self.clock.advance(KEEP_ALIVE - 0.1)
        self.assertEqual(follower.text, before)
        self.clock.advance(0.2)
        self.assertEqual(follower.text, before + ": quantumd\n\n")
        self.clock.advance(10)
        self.network()
        self.clock.advance(10)
        self.assertEqual(follower.text.count(": quantumd\n"), 2)

    def test_client_that_does_not_read(self) -> None:
        """It costs nothing more than what is in its connection's buffer, and misses nothing that is kept."""
        follower = self.follow()
        follower.connection.channel.pauseProducing()
        before = follower.connection.received
        for number in range(250):
            self.network(f"n{number}") if number < 100 else self.store.commit(lambda tx: self._touch(tx))
        self.clock.advance(3 * KEEP_ALIVE)
        self.assertEqual(follower.connection.received, before)
        follower.connection.channel.resumeProducing()
        self.assertGreaterEqual(len(follower.told), 250)
        ids = [one.id for one in follower.told]
        self.assertEqual(ids, sorted(set(ids)))
        self.assertNotIn("reset", [one.event for one in follower.told])

    def test_client_that_reads_too_slowly(self) -> None:
        """What it missed is gone: it is told so, and goes on from there."""
        network = self.network()
        follower = self.follow()
        self.settle()
        self.network("seen")
        follower.connection.channel.pauseProducing()
        record = self.store.state.networks[network]

        def many(tx: Any) -> None:
            for _ in range(KEPT + SLACK + 2):
                tx.emit("status", record)

        self.store.commit(many)
        follower.connection.channel.resumeProducing()
        self.assertEqual(follower.told[-1].event, "reset")
        self.network("next")
        self.assertEqual(follower.told[-1].event, "network")

    def test_trouble(self) -> None:
        """What goes wrong with one stream ends that one: whoever made a change, and the others, hear nothing of it."""
        network = self.network()
        broken, sound = self.follow(), self.follow()
        with mock.patch("quantumd.api.events.represent", side_effect=[ZeroDivisionError("secret"), {}]):
            self.assertEqual(self.put(f"/networks/{network}", {"network": {"name": "b"}}).status, 202)
        ended = {follower: not follower.connection.transport.connected for follower in (broken, sound)}
        self.assertEqual(sorted(ended.values()), [False, True])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        (going,) = (follower for follower, gone in ended.items() if not gone)
        self.assertEqual(len(going.told), 1)

    def test_end(self) -> None:
        """The stream ends as it should when the daemon stops, and quietly when the client goes."""
        stays, goes = self.follow(), self.follow()
        goes.connection.hang_up()
        self.network()
        self.assertIn(b"quantumd_event_streams 1.0", self.get("/metrics").body)
        self.site.stopFactory()
        self.assertTrue(stays.ended)
        self.assertIn(b"quantumd_event_streams 0.0", self.get("/metrics").body)
        self.settle()
        self.assertEqual([call for call in self.clock.getDelayedCalls() if "keep_alive" in str(call.func)], [])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_leftovers(self) -> None:
        """What belonged to nothing is told of to those who ask for it; to the others, as if nothing had been."""
        asked, did_not = Follower(self.connect(), "/events?also=leftovers"), self.follow()
        self.settle()
        network = self.network()
        self.settle()
        before = len(did_not.told)
        self.plugin.host[Key(Kind.NETWORK, NO_ID)] = self.plugin.host[Key(Kind.NETWORK, network)]
        self.convergence.notify(None)
        self.settle()
        (told,) = asked.told[before:]
        self.assertEqual(("leftover", "removed"), (told.event, told.data.pop("action")))
        self.assertEqual({"at", "detail"}, set(told.data))
        self.assertIn(NO_ID, told.data["detail"])
        self.assertEqual(before, len(did_not.told))
        self.network("next")
        # The first of these is neither lost nor told twice.
        self.assertEqual([one.id for one in asked.told[before + 1 :]], [one.id for one in did_not.told[before:]])
        late = Follower(self.connect(), "/events?also=leftovers", Last_Event_ID=str(told.id - 1))
        self.assertEqual("leftover", late.told[0].event)
        for wrong in ("also=", "also=all", "also=leftovers&also=leftovers", "leftovers=1"):
            self.assertEqual(self.get(f"/events?{wrong}").fault, "BadRequest")

    def _touch(self, tx: Any) -> None:
        tx.emit("status", next(iter(self.store.state.networks.values())))


class TenantTests(ApiTestCase):
    """What is told to whom."""

    settings = ApiSettings()

    def test_leftovers_are_for_admins(self) -> None:
        """They are of no tenant."""
        for role in ("admin", "member"):
            self.put_token(f"{role}s", "t1", role, role)
        followers = {
            role: Follower(self.connect(), "/events?also=leftovers", Authorization=f"Bearer {role}")
            for role in ("admin", "member")
        }
        self.store.commit(lambda tx: tx.emit_leftover("tap7"))
        self.settle()
        self.assertEqual(["tap7"], [told.data["detail"] for told in followers["admin"].told])
        self.assertEqual([], followers["member"].told)
