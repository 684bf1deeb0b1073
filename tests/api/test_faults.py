"""Every fault on the wire."""

from __future__ import annotations

from unittest import mock

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from quantumd.api import faults
from quantumd.api.media import Format
from quantumd.core.errors import BadRequest, FieldError, all_faults
from tests.api.support import OPEN, ApiTestCase

STATUSES = {
    "BadRequest": (400, 400),
    "Unauthorized": (401, 401),
    "NotFound": (404, 404),
    "NetworkNotFound": (404, 404),
    "PortNotFound": (404, 404),
    "AttachmentNotFound": (404, 404),
    "MethodNotAllowed": (405, 405),
    "NotAcceptable": (406, 406),
    "IdInUse": (409, 409),
    "PreconditionFailed": (412, 412),
    "OverLimit": (413, 413),
    "UnsupportedMediaType": (415, 415),
    "AttachmentsPlugged": (421, 409),
    "AlreadyAttached": (423, 409),
    "PortInUse": (424, 409),
    "TooManyRequests": (429, 429),
    "InternalError": (500, 500),
    "ServiceUnavailable": (500, 503),
    "PluginFault": (510, 502),
}


class ProblemTests(SynchronousTestCase):
    """Statuses and bodies."""

    def test_statuses(self) -> None:
        known = all_faults()
        self.assertEqual(set(known), set(STATUSES))
        for name, (proposal, standard) in STATUSES.items():
            self.assertEqual(faults.http_status(known[name], faults.PROPOSAL), proposal)
            self.assertEqual(faults.http_status(known[name], faults.STANDARD), standard)
            self.assertTrue(faults.reason(proposal).isascii())

    def test_xml(self) -> None:
        fault = BadRequest("Do <this>.", [FieldError("a.b", "is \0 wrong"), FieldError("c", "too")])
        body = faults.problem_body(faults.problem(fault, faults.PROPOSAL), Format.XML)
        self.assertEqual(
            body.decode(),
            "<?xml version='1.0' encoding='utf-8'?>\n"
            '<problem xmlns="urn:ietf:rfc:7807"><type>/faults/BadRequest</type><title>Bad request</title>'
            "<status>400</status><detail>Do &lt;this&gt;.</detail><errors><i><path>a.b</path><message>is \ufffd wrong"
            "</message></i><i><path>c</path><message>too</message></i></errors></problem>",
        )

    def test_errors(self) -> None:
        """A 400 always says where, also where whoever raised it did not."""
        self.assertEqual(
            faults.problem(BadRequest("No."), faults.PROPOSAL)["errors"], [{"path": "body", "message": "No."}]
        )


class PageTests(ApiTestCase):
    """``/faults/{name}``."""

    settings = evolve(OPEN, auth_mode="token")

    def test_pages(self) -> None:
        for name, fault in all_faults().items():
            page = self.get(f"/faults/{name}").json
            self.assertEqual((page["name"], page["type"]), (name, f"/faults/{name}"))
            self.assertEqual((page["status"], page["title"]), (STATUSES[name][0], fault.title))
            self.assertEqual(self.get(f"/faults/{name}.xml").xml.get("description"), fault.description)
        for name in ("nonsense", "badrequest", "<script>", "%00"):
            response = self.get(f"/faults/{name}")
            self.assertEqual(response.fault, "NotFound")
            self.assertNotIn(b"<script", response.body)


class InternalErrorTests(ApiTestCase):
    """A fault of our own: an id, the same in the log, and nothing more."""

    def check(self, status: int, body: bytes, error: type[Exception]) -> None:
        (logged,) = self.flushLoggedErrors(error)
        self.assertEqual(status, 500)
        self.assertIn(b"/faults/InternalError", body)
        for secret in (b"Traceback", b"secret", b"<html", error.__name__.encode()):
            self.assertNotIn(secret, body)
        self.assertIn("secret", str(logged.value))

    def test_in_a_handler(self) -> None:
        with mock.patch.object(type(self.store.state), "ports_of", side_effect=ZeroDivisionError("secret")):
            response = self.get(f"/networks/{self.network()}/ports")
        self.check(response.status, response.body, ZeroDivisionError)

    def test_while_it_is_accepted(self) -> None:
        with mock.patch.object(self.plugin, "judge", side_effect=ZeroDivisionError("secret"), create=True):
            response = self.post("/networks", {"network": {"name": "a"}})
        self.check(response.status, response.body, ZeroDivisionError)
        self.assertEqual(len(self.store.state.networks), 0)

    def test_before_there_is_a_handler(self) -> None:
        with mock.patch("quantumd.api.access.Access.authenticate", side_effect=ZeroDivisionError("secret")):
            response = self.get("/networks")
        self.assertEqual(response.headers["content-type"], "application/problem+json")
        self.check(response.status, response.body, ZeroDivisionError)

    def test_the_disk_is_full(self) -> None:
        self.store.broken = OSError("disk full")
        response = self.post("/networks", {"network": {"name": "a"}})
        self.assertEqual((response.status, response.fault), (500, "ServiceUnavailable"))
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.assertEqual(self.get("/networks").json, {"networks": []})
