"""Every operation of the OpenAPI document, for every role, on one's own and another's tenant, over every transport."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tests.functional.processes import Answer, DaemonCase, _UnixConnection
from tests.host.certificates import make_certificates

TENANTS = ("acme", "umbrella")
ROLES = ("admin", "member", "reader", None)
#: A body that is taken, by operation.
BODIES: Mapping[str, Any] = {
    "create_network": {"network": {"name": "new"}},
    "update_network": {"network": {"name": "renamed"}},
    "create_port": {"port": {}},
    "plug_attachment": {"attachment": {"id": "{port_id}"}},
    "plug_anywhere": {"attachment": {"id": "another in {port_id}"}},
    "plug_many": {"attachments": [{"network_id": "{network_id}", "id": "one more in {port_id}"}]},
    "create_token": {"token": {"tenant_id": "acme", "role": "reader"}},
}


class Operation(NamedTuple):
    """One operation of the document."""

    name: str
    method: str
    path: str
    public: bool

    @property
    def of_tenant(self) -> bool:
        return "{network_id}" in self.path + json.dumps(BODIES.get(self.name))

    @property
    def of_admin(self) -> bool:
        return self.path.startswith("/tokens") or self.name == "take_backup"

    def allowed(self, role: str | None) -> bool:
        if self.public or role == "admin":
            return True
        if role is None or self.of_admin:
            return False
        return role == "member" or self.method == "GET"


def free_port() -> int:
    with socket.socket() as probing:
        probing.bind(("127.0.0.1", 0))
        port: int = probing.getsockname()[1]
        return port


class MatrixTests(DaemonCase):
    def setUp(self) -> None:
        super().setUp()
        files = make_certificates(self.directory)
        self.trust = ssl.create_default_context(cafile=files["ca.pem"])
        self.trust.check_hostname = False
        self.ports = {"tcp": free_port(), "tls": free_port()}
        key, certificate = files["server.key"], files["server.pem"]
        self.start(
            "--listen",
            f"unix:{self.socket}:mode=660",
            "--listen",
            f"tcp:{self.ports['tcp']}:interface=127.0.0.1",
            "--listen",
            f"ssl:{self.ports['tls']}:interface=127.0.0.1:privateKey={key}:certKey={certificate}",
        )
        self.secrets: dict[tuple[str, str], str] = {}
        for role in ("admin", "member", "reader"):
            for tenant in TENANTS:
                body = {"token": {"tenant_id": tenant, "role": role}}
                self.secrets[role, tenant] = self.call("POST", "/tokens", body).body["token"]["secret"]

    def connection(self, transport: str) -> http.client.HTTPConnection:
        if transport == "unix":
            return _UnixConnection(self.socket)
        if transport == "tcp":
            return http.client.HTTPConnection("127.0.0.1", self.ports["tcp"], timeout=20)
        return http.client.HTTPSConnection("127.0.0.1", self.ports["tls"], context=self.trust, timeout=20)

    def operations(self) -> Iterator[Operation]:
        document = self.call("GET", "/openapi.json").body
        for path, item in document["paths"].items():
            for method, operation in item.items():
                yield Operation(operation["operationId"], method.upper(), path, operation["security"] == [])

    def resources(self, tenant: str) -> dict[str, str]:
        """A network with a port with something in it, and a token."""
        network = self.call("POST", "/networks", {"network": {"name": "n", "tenant_id": tenant}}).body["network"]["id"]
        body = {"attachment": {"id": "x"}}
        port = self.call("POST", f"/networks/{network}/ports", {"port": {}}).body["port"]["id"]
        body = {"attachment": {"id": port}}
        self.assertEqual(self.call("PUT", f"/networks/{network}/ports/{port}/attachment", body).status, 202)
        token = self.call("POST", "/tokens", {"token": {"tenant_id": tenant, "role": "reader"}}).body["token"]["id"]
        return {"network_id": network, "port_id": port, "token_id": token, "name": "NotFound"}

    def test_matrix(self) -> None:
        operations = list(self.operations())
        self.assertGreaterEqual(len(operations), 27)
        unknown = [one.name for one in operations if one.method in ("POST", "PUT") and one.name not in BODIES]
        self.assertEqual(unknown, [], "a new operation has to be added to BODIES")
        tried = 0
        for transport in ("unix", "tcp", "tls"):
            connection = self.connection(transport)
            self.addCleanup(connection.close)
            for operation in operations:
                for role in ROLES:
                    for tenant in TENANTS if operation.of_tenant else TENANTS[:1]:
                        self.try_one(connection, transport, operation, role, tenant)
                        tried += 1
        print(f"{tried} combinations of operation, role, tenant and transport")
        self.assertEqual(self.call("GET", "/health").status, 200)

    def try_one(
        self,
        connection: http.client.HTTPConnection,
        transport: str,
        operation: Operation,
        role: str | None,
        tenant: str,
    ) -> None:
        """As a caller of the tenant acme."""
        what = f"{operation.name} as {role} of acme on {tenant} over {transport}"
        ids = self.resources(tenant)
        headers = {"Content-Type": "application/json"}
        if role is not None:
            headers["Authorization"] = f"Bearer {self.secrets[role, 'acme']}"
        elif transport == "unix":
            headers["Authorization"] = "Bearer qd_no_such_token"  # the socket itself would let root in
        body = json.dumps(BODIES[operation.name]) if operation.name in BODIES else None
        for name, value in ids.items():
            body = body and body.replace(f"{{{name}}}", value)
        method = "HEAD" if operation.name == "follow_events" else operation.method
        answer = self.ask(connection, method, operation.path.format(**ids), body, headers)
        if not operation.allowed(role):
            self.assertEqual(answer.status, 401, what)
            self.assertIn("WWW-Authenticate", answer.headers, what)
        elif operation.of_tenant and role != "admin" and tenant != "acme":
            self.assertEqual((answer.status, answer.body["type"]), (404, "/faults/NetworkNotFound"), what)
        elif operation.name in ("delete_network", "delete_port"):
            self.assertEqual((answer.status, answer.body["type"]), (421, "/faults/AttachmentsPlugged"), what)
        else:
            self.assertIn(answer.status, (200, 201, 202, 204), what)

    def ask(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: str | None,
        headers: Mapping[str, str],
    ) -> Answer:
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        text = response.read()
        parsed = json.loads(text) if text and "json" in (response.getheader("Content-Type") or "") else text
        return Answer(response.status, dict(response.getheaders()), parsed)
