"""A whole site in one process: no sockets, a clock that stands still, and every byte in the test's hands."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from attrs import evolve, frozen
from defusedxml.ElementTree import fromstring
from prometheus_client import CollectorRegistry
from twisted.internet.address import IPv4Address
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection
from twisted.trial.unittest import SynchronousTestCase

from quantumd.api.gate import Gate
from quantumd.api.settings import ApiSettings
from quantumd.api.site import make_site
from quantumd.core.intent import Limits
from quantumd.core.model import Token
from quantumd.core.quotas import Quotas
from quantumd.core.transaction import Transaction
from quantumd.interfaces import IStateStore
from quantumd.plugins.memory import SETTINGS, MemoryPlugin
from quantumd.service.convergence import Convergence
from quantumd.service.quantum import Quantum
from quantumd.service.tokens import token_hash
from quantumd.service.waiting import Waiters
from quantumd.store.memory import MemoryStore

OPEN = ApiSettings(auth_mode="none")
NO_ID = "00000000-0000-4000-8000-000000000000"


@frozen
class Response:
    """One answer, taken apart. Header names are in lower case."""

    status: int
    reason: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def xml(self) -> Any:
        return fromstring(self.body)

    @property
    def fault(self) -> str:
        """The name of the fault, which must be a sound problem."""
        problem = self.json
        assert self.headers["content-type"] == "application/problem+json", self.headers
        assert problem["status"] == self.status
        assert problem["detail"].endswith((".", "!"))
        assert ("errors" in problem) == (problem["type"] == "/faults/BadRequest"), problem
        name: str = problem["type"].removeprefix("/faults/")
        return name

    @property
    def paths(self) -> list[str]:
        """The paths of the fields at fault, sorted."""
        assert self.fault == "BadRequest", self.body
        assert all(error["message"] for error in self.json["errors"])
        return sorted(error["path"] for error in self.json["errors"])


class Transport(StringTransportWithDisconnection):
    """As a socket does, it says that it is being closed, so that what was received behind that is not looked at."""

    def loseConnection(self) -> None:
        self.disconnecting = True
        super().loseConnection()


class Connection:
    """A client's connection. Sends raw bytes, and collects what comes back."""

    def __init__(self, site: Any) -> None:
        self.transport = Transport(peerAddress=IPv4Address("TCP", "192.0.2.9", 4242))
        self.channel = site.buildProtocol(self.transport.getPeer())
        self.transport.protocol = self.channel
        self.channel.makeConnection(self.transport)

    def send(self, data: bytes) -> None:
        self.channel.dataReceived(data)

    @property
    def received(self) -> bytes:
        return self.transport.value()

    def responses(self, *, head: bool = False) -> list[Response]:
        """All complete answers so far."""
        rest, found = self.received, []
        while b"\r\n\r\n" in rest:
            head_bytes, _, rest = rest.partition(b"\r\n\r\n")
            status_line, *lines = head_bytes.decode("latin-1").split("\r\n")
            _, status, reason = status_line.split(" ", 2)
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            length = 0 if head or status == "204" else int(headers["content-length"])
            found.append(Response(int(status), reason, headers, rest[:length]))
            rest = rest[length:]
        return found

    def hang_up(self) -> None:
        self.transport.loseConnection()


def request_bytes(method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> bytes:
    """One request on the wire."""
    lines = {"Host": "quantumd.example", **({"Content-Length": str(len(body))} if body else {}), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body


class ApiTestCase(SynchronousTestCase):
    """A site over the memory store and plugin, with the convergence loop, on a clock of its own."""

    settings = OPEN
    limits = Limits(networks=100, ports_per_network=100)
    quotas = Quotas()
    plugin_settings: Mapping[str, Any] = {}

    def setUp(self) -> None:
        self.clock = Clock()
        self.store = self.make_store()
        self.successResultOf(self.store.start())
        self.plugin = MemoryPlugin(self.clock, {**SETTINGS, **self.plugin_settings})
        self.convergence = Convergence(self.store, self.plugin, self.clock)
        self.successResultOf(ensureDeferred(self.convergence.start()))
        limits = evolve(self.limits, fixed_ports=self.plugin.fixed_ports)
        self.quantum = Quantum(self.store, self.plugin, limits, self.convergence.wake, quotas=self.quotas)
        self.waiters = Waiters(self.store, self.clock)
        self.registry = CollectorRegistry()
        self.gate = Gate()
        self.gate.open()
        self.site = make_site(
            self.quantum, self.waiters, self.store, self.plugin, self.settings, self.clock, self.registry, self.gate
        )

    def make_store(self) -> IStateStore:
        return MemoryStore(self.clock)

    def connect(self) -> Connection:
        return Connection(self.site)

    def ask(
        self, method: str, target: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Response:
        """The answer to one request on a connection of its own; it must be there at once."""
        connection = self.connect()
        connection.send(request_bytes(method, target, body or b"", headers))
        responses = connection.responses(head=method == "HEAD")
        assert len(responses) == 1, connection.received
        connection.hang_up()
        return responses[0]

    def get(self, target: str, **headers: str) -> Response:
        return self.ask("GET", target, headers=_named(headers))

    def delete(self, target: str, **headers: str) -> Response:
        return self.ask("DELETE", target, headers=_named(headers))

    def post(self, target: str, body: object, **headers: str) -> Response:
        return self.ask("POST", target, json.dumps(body).encode(), _named(headers))

    def put(self, target: str, body: object, **headers: str) -> Response:
        return self.ask("PUT", target, json.dumps(body).encode(), _named(headers))

    def settle(self) -> None:
        """Let the convergence loop do all that there is to do."""
        self.clock.pump([0.01] * 20)

    # --- resources to begin with

    def put_token(self, ident: str, tenant_id: str, role: str, secret: str) -> None:
        """A token that is there already, with that id and that secret."""
        digest = token_hash(secret).hex()

        def put(tx: Transaction) -> None:
            token = Token(
                serial=tx.serial(), id=ident, tenant_id=tenant_id, role=role, digest=digest, created_at=tx.now
            )
            tx.put_token(token)

        self.successResultOf(self.store.commit(put))

    def network(self, name: str = "blue", **fields: object) -> str:
        response = self.post("/networks", {"network": {"name": name, **fields}})
        assert response.status == 202, response
        return str(response.json["network"]["id"])

    def port(self, network_id: str, **fields: object) -> str:
        response = self.post(f"/networks/{network_id}/ports", {"port": fields})
        assert response.status == 202, response
        return str(response.json["port"]["id"])

    def plug(self, network_id: str, port_id: str, ident: str = "vm1-eth0", **fields: object) -> str:
        """The path of the attachment."""
        path = f"/networks/{network_id}/ports/{port_id}/attachment"
        response = self.put(path, {"attachment": {"id": ident, **fields}})
        assert response.status == 202, response
        return path


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    """``If_Match`` to ``If-Match``."""
    return {name.replace("_", "-"): value for name, value in headers.items()}
