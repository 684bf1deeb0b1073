"""What is answered, and what waits, while the plugin starts."""

from __future__ import annotations

import json

from attrs import evolve

from quantumd.api.gate import Gate
from quantumd.api.routes import ROUTES
from quantumd.core.access import Right
from tests.api.support import ApiTestCase, Connection, request_bytes

BLUE = json.dumps({"network": {"name": "blue"}}).encode()


class GateTests(ApiTestCase):
    """A daemon whose plugin is not there yet, with a network from before."""

    def setUp(self) -> None:
        super().setUp()
        self.before = self.network("before")
        self.gate.is_open = False

    def begin(self, method: str, target: str, body: bytes = b"") -> Connection:
        connection = self.connect()
        connection.send(request_bytes(method, target, body))
        return connection

    def test_reads(self) -> None:
        """What is in the state is told at once."""
        for target in ("/networks", f"/networks/{self.before}", "/attachments?status=Failed", "/quotas"):
            self.assertEqual(200, self.get(target).status, target)

    def test_everything_else_waits(self) -> None:
        """In the order in which it came; and what it is judged by is the plugin as it is then."""
        targets = ("/", "/extensions", "/health", "/openapi.json", "/metrics")
        asking = [self.begin("GET", target) for target in targets]
        asking += [self.begin("POST", "/networks", BLUE), self.begin("DELETE", f"/networks/{self.before}")]
        for one in asking:
            self.assertEqual(b"", one.received)
        self.plugin.capabilities = evolve(self.plugin.capabilities, network_options={"title": "final"})
        self.gate.open()
        answers = [one.responses() for one in asking]
        self.assertEqual([[200]] * 5 + [[202]] * 2, [[one.status for one in some] for some in answers])
        self.assertEqual({"title": "final"}, answers[1][0].json["network_options"])

    def test_every_route(self) -> None:
        """Nothing that writes to the plugin's resources, and nothing that shows the plugin, is answered early."""
        early = {route.name for route in ROUTES if not route.asks_plugin}
        self.assertFalse({route.name for route in ROUTES if route.right is Right.WRITE} & early)
        self.assertFalse({"show_service", "show_extensions", "show_openapi", "show_health", "show_metrics"} & early)

    def test_hang_up(self) -> None:
        """Whoever does not wait for it has asked for nothing."""
        asking = self.begin("POST", "/networks", BLUE)
        asking.hang_up()
        self.gate.open()
        self.assertEqual(["before"], [one["name"] for one in self.get("/networks").json["networks"]])

    def test_it_never_starts(self) -> None:
        """Those who wait hear of it when the daemon stops."""
        asking = self.begin("POST", "/networks", BLUE)
        self.gate.give_up()
        (answer,) = asking.responses()
        self.assertEqual((500, "/faults/ServiceUnavailable"), (answer.status, answer.json["type"]))
        self.assertIn("retry-after", answer.headers)

    def test_new(self) -> None:
        """It begins closed."""
        self.assertFalse(Gate().is_open)
