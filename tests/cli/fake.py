"""A small API in this process, which answers by the contract: what quantumctl is tested against.

A resource whose name or id begins with "bad" ends Failed; one that begins with "stuck" never settles; all others
settle after ``rounds`` further requests.
"""

from __future__ import annotations

import json
import re
import socketserver
import sys
import threading
import uuid
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

AT = "2026-11-24T06:00:00.000000Z"
STANDARD = {421: 409, 423: 409, 424: 409, 510: 502}
Record = dict[str, Any]


class Request(NamedTuple):
    """A request as it came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


class Fault(Exception):
    """A fault to answer with."""

    def __init__(self, status: int, name: str, detail: str, errors: list[dict[str, str]] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.problem: Record = {"type": f"/faults/{name}", "title": name, "status": status, "detail": detail}
        if errors:
            self.problem["errors"] = errors


class FakeApi:
    """The API, on a unix socket or on TCP over loopback, in a thread of its own until :meth:`stop`."""

    def __init__(self, socket_path: Path | None = None, *, token: str | None = None, standard: bool = False) -> None:
        self.token = token
        self.standard = standard
        self.rounds = 0
        self.up = True
        self.veto: str | None = None
        self.requests: list[Request] = []
        self.networks: dict[str, Record] = {}
        self.ports: dict[str, Record] = {}
        self.attachments: dict[str, Record] = {}
        self.tokens: dict[str, Record] = {}
        self.streams: list[str] = []
        self.before: dict[str, Callable[[], None]] = {}
        self.raw: dict[str, tuple[int, str, bytes]] = {}
        self._lock = threading.Lock()
        server: _TcpServer | _UnixServer
        if socket_path is None:
            server = _TcpServer(("127.0.0.1", 0), _handler(self))
            self.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        else:
            server = _UnixServer(str(socket_path), _handler(self))
            self.endpoint = f"unix:{socket_path}"
        self._errors: list[BaseException] = []
        server.errors = self._errors
        self._server = server
        self._thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop serving. Raises what has gone wrong in here meanwhile."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        for error in self._errors:
            raise error

    def network(self, name: str, *, ident: str | None = None, status: str = "Active") -> str:
        """Have a network, without a request; gives its id."""
        record = _record({"id": ident or str(uuid.uuid4()), "name": name, "tenant_id": "default", "options": {}})
        record |= {"status": status, "plugin": {"bridge": "q-1a2b"}}
        self.networks[record["id"]] = record
        return str(record["id"])

    def port(self, network: str, *, ident: str | None = None) -> str:
        """Have a port, without a request; gives its id."""
        record = _record({"id": ident or str(uuid.uuid4()), "network_id": network, "options": {}})
        record["status"] = "Active"
        self.ports[record["id"]] = record
        return str(record["id"])

    def plug(self, network: str, ident: str, *, status: str = "Attached/UP", port: str | None = None) -> str:
        """Have something plugged, without a request; gives the port's id."""
        port = port or self.port(network)
        self.attachments[port] = self._attachment({"id": ident}, network, port) | {"status": status}
        return port

    def answer(self, request: Request) -> tuple[int, Any]:
        """The status and the body of the answer."""
        with self._lock:
            self.requests.append(request)
            url = urlsplit(request.path)
            if self.token is not None and request.headers.get("authorization") != f"Bearer {self.token}":
                raise Fault(401, "Unauthorized", "Send a bearer token.")
            for record in [*self.networks.values(), *self.ports.values(), *self.attachments.values()]:
                self._tick(record)
            for pattern, route in ROUTES:
                match = re.fullmatch(pattern, url.path)
                handler = getattr(self, f"{request.method.lower()}_{route}", None)
                if match and handler is not None:
                    parts = [unquote(part) for part in match.groups()]
                    query = dict(parse_qsl(url.query, keep_blank_values=True, errors="surrogateescape"))
                    hook = self.before.pop(f"{request.method} {route}", None)
                    if hook is not None:
                        hook()
                    status, body = handler(*parts, query if request.method == "GET" else request.body)
                    if "prefer" in request.headers:
                        self._settle_reply(body)
                    return status, body
            raise Fault(404, "NotFound", "There is nothing at this path.")

    # -- how things settle

    def _tick(self, record: Record) -> None:
        if record["_rounds"] > 0:
            record["_rounds"] -= 1
        else:
            self._settle(record)

    def _settle_reply(self, body: Any) -> None:
        for record in body.values():
            if isinstance(record, dict) and record.get("_rounds") == 0:
                self._settle(record)

    def _settle(self, record: Record) -> None:
        name = str(record.get("name", record["id"]))
        if record["status"] in ("Deleting", "Detaching") and not name.startswith("stuck"):
            record["status"] = "Deleted"
            if "port_id" in record:
                if self.attachments.get(record["port_id"]) is record:
                    del self.attachments[record["port_id"]]
            elif "network_id" in record:
                self.ports.pop(record["id"], None)
            else:
                self.networks.pop(record["id"], None)
        elif record["status"] in ("Deleting", "Detaching"):
            record["fault"] = {"name": "PluginFault", "message": "the switch says no", "at": AT}
        elif record["status"] == "InProgress" and name.startswith("bad"):
            record["status"] = "Failed"
            record["fault"] = {"name": "PluginFault", "message": "the kernel says no", "at": AT}
        elif record["status"] == "InProgress" and not name.startswith("stuck"):
            record["status"] = "Attached/UP" if "port_id" in record else "Active"

    # -- networks

    def get_networks(self, query: Record) -> tuple[int, Any]:
        return 200, {"networks": _filtered(self.networks, query, ("id", "name", "status", "tenant_id"))}

    def post_networks(self, body: Any) -> tuple[int, Any]:
        asked = body["network"]
        if "\x00" in asked["name"]:
            errors = [{"path": "network.name", "message": "must have no control characters"}]
            raise Fault(400, "BadRequest", "The body is not a network.", errors)
        record = _record({"id": str(uuid.uuid4()), "tenant_id": "default", "options": {}} | asked, self.rounds)
        self.networks[record["id"]] = record
        return 202, {"network": record}

    def get_network(self, network: str, _query: Record) -> tuple[int, Any]:
        return 200, {"network": self._network(network)}

    def put_network(self, network: str, body: Any) -> tuple[int, Any]:
        record = self._network(network)
        record["name"] = body["network"].get("name", record["name"])
        for key, value in body["network"].get("options", {}).items():
            record["options"].pop(key, None) if value is None else record["options"].update({key: value})
        record |= {"status": "InProgress", "revision": record["revision"] + 1, "_rounds": self.rounds}
        return 202, {"network": record}

    def delete_network(self, network: str, _body: Any) -> tuple[int, Any]:
        record = self._network(network)
        if any(one["network_id"] == network and one["status"] != "Detaching" for one in self.attachments.values()):
            raise Fault(421, "AttachmentsPlugged", "Something is plugged into this network; unplug it first.")
        record |= {"status": "Deleting", "_rounds": self.rounds}
        return 202, {"network": record}

    # -- ports

    def get_ports(self, network: str, query: Record) -> tuple[int, Any]:
        self._network(network)
        shown = {key: self._shown(port) for key, port in self.ports.items() if port["network_id"] == network}
        if "attachment" in query:
            wanted = query.pop("attachment")
            shown = {key: port for key, port in shown.items() if (port["attachment"] or {}).get("id") == wanted}
        return 200, {"ports": _filtered(shown, query, ("id", "status", "attachment"))}

    def post_ports(self, network: str, body: Any) -> tuple[int, Any]:
        self._network(network)
        asked = (body or {}).get("port", {})
        record = _record({"id": str(uuid.uuid4()), "network_id": network, "options": {}} | asked, self.rounds)
        self.ports[record["id"]] = record
        return 202, {"port": record}

    def get_port(self, network: str, port: str, _query: Record) -> tuple[int, Any]:
        return 200, {"port": self._shown(self._port(network, port))}

    def delete_port(self, network: str, port: str, _body: Any) -> tuple[int, Any]:
        record = self._port(network, port)
        if port in self.attachments:
            raise Fault(421, "AttachmentsPlugged", "Something is plugged into this port; unplug it first.")
        record |= {"status": "Deleting", "_rounds": self.rounds}
        return 202, {"port": record}

    # -- attachments

    def get_all(self, query: Record) -> tuple[int, Any]:
        fields = ("id", "type", "status", "network_id", "port_id")
        return 200, {"attachments": _filtered(self.attachments, query, fields)}

    def get_attachments(self, network: str, query: Record) -> tuple[int, Any]:
        self._network(network)
        here = {port: one for port, one in self.attachments.items() if one["network_id"] == network}
        return 200, {"attachments": _filtered(here, query, ("id", "type", "status", "port_id"))}

    def post_attachments(self, network: str, body: Any) -> tuple[int, Any]:
        self._network(network)
        port = self.port(network)
        return self.put_attachment(network, port, body)

    def get_attachment(self, network: str, port: str, _query: Record) -> tuple[int, Any]:
        self._port(network, port)
        if port not in self.attachments:
            raise Fault(404, "AttachmentNotFound", "Nothing is plugged into this port.")
        return 200, {"attachment": self.attachments[port]}

    def put_attachment(self, network: str, port: str, body: Any) -> tuple[int, Any]:
        self._port(network, port)
        if port in self.attachments:
            raise Fault(424, "PortInUse", "The port has another attachment.")
        self.attachments[port] = self._attachment(body["attachment"], network, port)
        return 202, {"attachment": self.attachments[port]}

    def delete_attachment(self, network: str, port: str, _body: Any) -> tuple[int, Any]:
        record: Record = self.get_attachment(network, port, {})[1]["attachment"]
        if self.veto == record["id"]:
            raise Fault(510, "PluginFault", "The plugin does not let go of it.")
        record |= {"status": "Detaching", "_rounds": self.rounds}
        return 202, {"attachment": record}

    # -- the rest

    def get_root(self, _query: Record) -> tuple[int, Any]:
        plugin = {"name": "fake", "capabilities": {"tap": True}}
        plugin |= {"status": "up", "reason": None} if self.up else {"status": "down", "reason": "no OVSDB"}
        return 200, {"service": "quantumd", "version": "0", "api_version": "1.0", "plugin": plugin, "links": {}}

    def get_extensions(self, _query: Record) -> tuple[int, Any]:
        mtu = {"type": "integer", "minimum": 68, "maximum": 65535, "description": "Bytes of a packet."}
        modes = {"enum": ["plain", "fancy"], "default": "plain"}
        return 200, {
            "network_options": {"type": "object", "properties": {"mtu": mtu, "mode": modes}},
            "port_options": {"type": "object", "properties": {}},
            "attachment_types": {"vif": {"description": "a NIC", "schema": {"oneOf": [{}]}}, "odd": {"schema": {}}},
            "capabilities": {"fixed_ports": 0, "devices": ["tap", "veth"]},
        }

    def post_tokens(self, body: Any) -> tuple[int, Any]:
        record = {"id": f"t{len(self.tokens)}", "created_at": AT} | body["token"]
        self.tokens[record["id"]] = record
        return 201, {"token": record | {"secret": "qd_s3cret"}}

    def get_tokens(self, _query: Record) -> tuple[int, Any]:
        return 200, {"tokens": list(self.tokens.values())}

    def delete_token(self, token: str, _body: Any) -> tuple[int, Any]:
        del self.tokens[token]
        return 204, None

    def _network(self, ident: str) -> Record:
        if ident not in self.networks:
            raise Fault(404, "NetworkNotFound", "There is no network with this id.")
        return self.networks[ident]

    def _port(self, network: str, ident: str) -> Record:
        self._network(network)
        if ident not in self.ports or self.ports[ident]["network_id"] != network:
            raise Fault(404, "PortNotFound", "The network has no port with this id.")
        return self.ports[ident]

    def _shown(self, port: Record) -> Record:
        plugged = self.attachments.get(port["id"])
        port["attachment"] = plugged and {key: plugged[key] for key in ("id", "type", "status")}
        return port

    def _attachment(self, asked: Record, network: str, port: str) -> Record:
        record = {"type": "vif", "network_id": network, "port_id": port, "managed": "create" in str(asked)} | asked
        return _record({"reference": None, "device": None, "vlan": None, "tunnel": None} | record, self.rounds)


ROUTES = [
    ("/", "root"),
    ("/extensions", "extensions"),
    ("/networks", "networks"),
    ("/networks/([^/]+)", "network"),
    ("/networks/([^/]+)/ports", "ports"),
    ("/networks/([^/]+)/ports/([^/]+)", "port"),
    ("/networks/([^/]+)/ports/([^/]+)/attachment", "attachment"),
    ("/networks/([^/]+)/attachments", "attachments"),
    ("/attachments", "all"),
    ("/tokens", "tokens"),
    ("/tokens/([^/]+)", "token"),
]


def _record(fields: Record, rounds: int = 0) -> Record:
    common = {"status": "InProgress", "fault": None, "plugin": {}, "revision": 1}
    return common | {"created_at": AT, "updated_at": AT, "_rounds": rounds} | fields


def _filtered(records: dict[str, Record], query: Record, fields: tuple[str, ...]) -> list[Record]:
    return [
        {key: record[key] for key in fields}
        for record in records.values()
        if all(record.get(key) == value for key, value in query.items())
    ]


def _public(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _public(item) for key, item in value.items() if not key.startswith("_")}
    return [_public(item) for item in value] if isinstance(value, list) else value


class _Server(socketserver.ThreadingMixIn):
    """Keeps what went wrong in a thread: printed, it would stand in the output of the command under test."""

    daemon_threads = True
    errors: list[BaseException]

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, ConnectionError):  # a client may hang up
            self.errors.append(error)


class _TcpServer(_Server, socketserver.TCPServer):
    allow_reuse_address = True


class _UnixServer(_Server, socketserver.UnixStreamServer):
    pass


def _handler(api: FakeApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def address_string(self) -> str:
            return "somebody"

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name for it
            pass

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            text = self.rfile.read(length)
            headers = {key.lower(): value for key, value in self.headers.items()}
            request = Request(self.command, self.path, headers, json.loads(text) if text else None)
            if self.path in api.raw:
                api.requests.append(request)
                self._reply(*api.raw[self.path])
            elif self.path == "/events":
                api.requests.append(request)
                self._stream()
            else:
                try:
                    status, body = api.answer(request)
                    self._reply(status, "application/json", b"" if body is None else _json(body))
                except Fault as fault:
                    status = STANDARD.get(fault.status, fault.status) if api.standard else fault.status
                    self._reply(status, "application/problem+json", _json(fault.problem | {"status": status}))

        do_GET = do_POST = do_PUT = do_DELETE = _serve

        def _reply(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status, "whatever")
            self.send_header("Content-Type", kind)
            if status != 204:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if body:  # after an answer without one the client may have gone already
                self.wfile.write(body)

        def _stream(self) -> None:
            """The next of the prepared streams, in chunks, and then its end."""
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            text = api.streams.pop(0).encode()
            for chunk in (text[:7], text[7:]):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            if not api.streams:  # the last of them stays open until the reader leaves
                self.rfile.read(1)
                return
            self.wfile.write(b"0\r\n\r\n")

    return Handler


def _json(body: Any) -> bytes:
    return json.dumps(_public(body)).encode()
