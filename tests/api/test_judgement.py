"""The order of judgement, on every route, and what holds for every request."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from attrs import evolve

from quantumd.api.access import token_hash
from quantumd.api.routes import ROUTES
from quantumd.api.settings import ApiSettings
from tests.api.support import NO_ID, ApiTestCase

TOKEN = {"Authorization": "Bearer right"}


class EveryRouteTests(ApiTestCase):
    """With a port that has something in it on a network, so that every path leads somewhere."""

    settings = ApiSettings(admin_token_hash=token_hash("right"), body_bytes=1000)

    def setUp(self) -> None:
        super().setUp()
        create = b'{"network": {"name": "a", "id": "%s"}}' % NO_ID.encode()
        assert self.ask("POST", "/networks", create, TOKEN).status == 202
        port = b'{"port": {"id": "%s"}}' % NO_ID.encode()
        assert self.ask("POST", f"/networks/{NO_ID}/ports", port, TOKEN).status == 202
        plug = f"/networks/{NO_ID}/ports/{NO_ID}/attachment"
        assert self.ask("PUT", plug, b'{"attachment": {"id": "a"}}', TOKEN).status == 202
        self.put_token(NO_ID, "acme", "reader", "its secret")
        self.settle()
        self.before = self.store.state

    def every(self) -> Iterator[tuple[str, str, str]]:
        """The name, verb and path of every route."""
        for route in ROUTES:
            path = route.path
            for parameter in route.parameters:
                path = path.replace(f"<{parameter}>", "NotFound" if parameter == "name" else NO_ID)
            yield route.name, route.method, path

    def test_unknown_parameter(self) -> None:
        for name, method, path in self.every():
            response = self.ask(method, f"{path}?nonsense=1", b"", TOKEN)
            self.assertEqual(response.status, 400, name)
            self.assertIn("nonsense", response.paths, name)
        self.assertEqual(self.store.state, self.before)

    def test_no_credentials(self) -> None:
        public = {"show_openapi", "show_health", "show_fault"}
        for name, method, path in self.every():
            response = self.ask(method, f"{path}?nonsense=1", b"x" * 2000, {"Accept": "image/png"})
            if name in public:
                self.assertNotEqual(response.status, 401, name)
            else:
                self.assertEqual((response.status, response.fault), (401, "Unauthorized"), name)
                self.assertEqual(response.headers["www-authenticate"], 'Bearer realm="quantumd"')
        for path in ("/nonsense", "/networks/%2F", "//", "/networks/x/y/z"):
            self.assertEqual(self.ask("GET", path).status, 401, path)

    def test_wrong_verb(self) -> None:
        allowed: dict[str, set[str]] = {}
        for _, method, path in self.every():
            allowed.setdefault(path, set()).update({method, "HEAD"} if method == "GET" else {method})
        for path, verbs in allowed.items():
            for verb in ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "FROBNICATE"):
                if verb not in verbs:
                    response = self.ask(verb, f"{path}?nonsense=1", b"x" * 2000, TOKEN)
                    self.assertEqual((response.status, response.fault), (405, "MethodNotAllowed"), path)
                    self.assertEqual(set(response.headers["allow"].split(", ")), verbs)

    def test_body_too_large(self) -> None:
        for name, method, path in self.every():
            response = self.ask(method, f"{path}?nonsense=1", b"x" * 1001, {**TOKEN, "Content-Type": "x/y"})
            self.assertEqual((response.status, response.fault), (413, "OverLimit"), name)

    def test_head(self) -> None:
        """HEAD has the headers of GET, and nothing else of it."""
        for name, method, path in self.every():
            if method == "GET" and name not in ("follow_events", "show_metrics"):
                got = self.ask("GET", path, headers=TOKEN)
                head = self.ask("HEAD", path, headers=TOKEN)
                self.assertNotEqual(got.headers.pop("x-request-id"), head.headers.pop("x-request-id"))
                self.assertEqual((head.status, head.headers, head.body), (got.status, got.headers, b""), name)
        head = self.ask("HEAD", "/events", headers=TOKEN)
        self.assertEqual((head.status, head.headers["content-type"]), (200, "text/event-stream"))
        self.assertEqual(self.ask("HEAD", "/metrics", headers=TOKEN).status, 200)
        self.assertEqual(self.ask("HEAD", "/nonsense", headers=TOKEN).status, 404)

    def test_trailing_slash_and_suffix(self) -> None:
        for name, method, path in self.every():
            if method != "GET" or name in ("follow_events", "show_metrics"):
                continue
            plain = self.ask("GET", path, headers=TOKEN)
            if path != "/":
                self.assertEqual(self.ask("GET", f"{path}/", headers=TOKEN).body, plain.body, name)
            if name not in ("show_openapi", "show_service"):
                self.assertEqual(self.ask("GET", f"{path}.json", headers=TOKEN).body, plain.body, name)
                xml = self.ask("GET", f"{path}.xml", headers={**TOKEN, "Accept": "application/json"})
                self.assertEqual(xml.headers["content-type"], "application/xml", name)
                self.assertTrue(xml.xml.tag)

    def test_nothing_there(self) -> None:
        for path in (
            "/nonsense", "/networks/%2F", f"/networks/{NO_ID}%2Fports", "//networks", "/networks//", "/./networks",
            "/.json", "/networks/%ff", f"/networks/{NO_ID}/ports/{NO_ID}/attachment/more", "/openapi",
            "/openapi.json.json", "/events.json", "/metrics.json", "/faults", "/faults/", "/faults/Nonsense",
            "/health/more", "/networks.html", "/*",
        ):  # fmt: skip
            self.assertEqual(self.ask("GET", path, headers=TOKEN).fault, "NotFound", path)
        for path in ("/openapi.xml", "/openapi.json.xml", "/events.xml", "/nonsense.xml"):
            found = self.ask("GET", path, headers=TOKEN)
            self.assertEqual((found.status, found.xml[0].text), (404, "/faults/NotFound"), path)
        self.assertEqual(self.ask("OPTIONS", "*", headers=TOKEN).fault, "NotFound")
        for ident in (
            NO_ID.replace("4", "A"),
            NO_ID.replace("4", "a"),
            "x",
            "%00",
            "%F0%9F%98%80",
            "a.b",
            "%20",
            "0" * 5000,
        ):
            shown = self.ask("GET", f"/networks/{ident}.xml", headers=TOKEN)
            self.assertEqual((shown.status, shown.xml[0].text), (404, "/faults/NetworkNotFound"), ident)
        upper = NO_ID.replace("4", "A")
        self.assertEqual(self.ask("GET", f"/networks/{NO_ID}/ports/{upper}", headers=TOKEN).fault, "PortNotFound")

    def test_percent_encoded(self) -> None:
        """An id is the same whichever of its characters are percent-encoded."""
        self.assertEqual(self.ask("GET", f"/networks/%30{NO_ID[1:]}", headers=TOKEN).status, 200)
        self.assertEqual(self.ask("GET", "/%6eetworks", headers=TOKEN).status, 200)


class OrderTests(ApiTestCase):
    """One request with everything wrong; as each fault is mended, the next one shows."""

    settings = ApiSettings(admin_token_hash=token_hash("right"), body_bytes=500)

    def test_plug(self) -> None:
        body = b'{"network": {"name": "a", "id": "%s"}}' % NO_ID.encode()
        self.assertEqual(self.ask("POST", "/networks", body, TOKEN).status, 202)
        ports = f"/networks/{NO_ID}/ports"
        ids = []
        for attachment in (b'{"id": "other"}', b'{"id": "taken", "device": {"name": "tap1"}}'):
            made = self.ask("POST", f"/networks/{NO_ID}/attachments", b'{"attachment": %s}' % attachment, TOKEN)
            ids.append(made.json["attachment"]["port_id"])
        full, empty = ids[0], self.ask("POST", ports, b"", TOKEN).json["port"]["id"]

        good = json.dumps({"attachment": {"id": "taken", "device": {"name": "tap1"}}}).encode()
        bad = good.replace(b"tap1", b"a/b")
        match = {**TOKEN, "If-Match": '"no-such"'}
        picky = {**match, "Accept": "image/png"}
        odd = {**picky, "Content-Type": "text/csv"}
        no_token = {**odd, "Authorization": "Bearer wrong"}
        there, nowhere = f"{ports}/{full}/attachment", f"{ports}/{NO_ID}/attachment"
        steps = (
            ("PUT", f"{nowhere}/more?x=1", bad + b" " * 500, no_token, "Unauthorized"),
            ("PUT", f"{nowhere}/more?x=1", bad + b" " * 500, odd, "NotFound"),
            ("PUT", f"{nowhere}?x=1", bad + b" " * 500, odd, "PortNotFound"),
            ("PUT", f"{there}?x=1", bad + b" " * 500, odd, "OverLimit"),
            ("PUT", f"{there}?x=1", bad, odd, "UnsupportedMediaType"),
            ("PUT", f"{there}?x=1", bad, picky, "NotAcceptable"),
            ("PUT", f"{there}?x=1", bad, match, "BadRequest"),
            ("PUT", f"{there}?x=1", good, match, "BadRequest"),
            ("PUT", there, good, match, "PreconditionFailed"),
            ("PUT", there, good, TOKEN, "PortInUse"),
            ("PUT", f"{ports}/{empty}/attachment", good, TOKEN, "AlreadyAttached"),
        )
        before = self.store.state
        for method, target, payload, headers, fault in steps:
            self.assertEqual(self.ask(method, target, payload, headers).fault, fault)
        self.assertEqual(self.store.state, before)
        other = good.replace(b"taken", b"new").replace(b"tap1", b"tap2")
        self.assertEqual(self.ask("PUT", f"{ports}/{empty}/attachment", other, TOKEN).status, 202)

    def test_wrong_verb_before_the_rest(self) -> None:
        response = self.ask("PATCH", "/networks?x=1", b"x" * 600, {**TOKEN, "Accept": "image/png"})
        self.assertEqual(response.fault, "MethodNotAllowed")

    def test_ranks_agree(self) -> None:
        """The core's ranks are in the same order, for what is judged below this floor."""
        from quantumd.core import errors

        order = (
            errors.Unauthorized, errors.NotFound, errors.MethodNotAllowed, errors.UnsupportedMediaType,
            errors.NotAcceptable, errors.BadRequest, errors.PreconditionFailed, errors.IdInUse,
            errors.AttachmentsPlugged, errors.PortInUse, errors.AlreadyAttached, errors.OverLimit, errors.PluginFault,
            errors.ServiceUnavailable,
        )  # fmt: skip
        self.assertTrue(all(one.rank < other.rank for one, other in pairwise(order)))


class AwayTests(ApiTestCase):
    """While the backend is away, reads go on and nothing is accepted."""

    def setUp(self) -> None:
        flag = self.mktemp()
        self.plugin_settings = {"unavailable": flag}
        super().setUp()
        self.ident = self.network()
        self.settle()
        Path(flag).touch()

    def test_away(self) -> None:
        before = self.store.state
        path = f"/networks/{self.ident}"
        for response in (
            self.post("/networks", {"network": {"name": "new"}}),
            self.put(path, {"network": {"name": "new"}}),
            self.delete(path),
            self.post(f"{path}/ports", {"port": {}}),
        ):
            self.assertEqual((response.status, response.fault), (500, "ServiceUnavailable"))
            self.assertEqual(response.headers["retry-after"], "5")
        self.assertEqual(self.put(path, {"network": {"nme": "new"}}).status, 400)
        self.assertEqual(self.put(path, {"network": {"name": "new"}}, If_Match='"x"').status, 412)
        self.assertEqual(self.store.state, before)
        self.assertEqual(self.get(path).json["network"]["status"], "Active")
        health = self.get("/health")
        self.assertEqual((health.status, health.json["status"]), (503, "down"))
        plugin = self.get("/").json["plugin"]
        self.assertEqual((plugin["name"], plugin["status"]), ("memory", "down"))


class StandardCodesTests(AwayTests):
    """``status_codes = standard``: other numbers, the same names."""

    settings = evolve(ApiTestCase.settings, status_codes="standard")

    def test_away(self) -> None:
        response = self.delete(f"/networks/{self.ident}")
        self.assertEqual((response.status, response.fault), (503, "ServiceUnavailable"))
