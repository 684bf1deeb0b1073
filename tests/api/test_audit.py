"""What is told of a request: its id, the audit log, metrics and headers."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from quantumd.api.audit import Audit
from quantumd.api.settings import ApiSettings
from quantumd.auditfile import AuditError, AuditFile
from quantumd.service.tokens import token_hash
from tests.api.support import NO_ID, ApiTestCase, request_bytes

ADMIN = {"Authorization": "Bearer right"}
READER = {"Authorization": "Bearer read"}


class AuditTests(ApiTestCase):
    settings = ApiSettings(admin_token_hash=token_hash("right"))

    def setUp(self) -> None:
        super().setUp()
        self.lines: list[dict[str, Any]] = []
        self.site._audit = Audit(lambda line: self.lines.append(json.loads(line)))
        self.put_token(NO_ID, "acme", "reader", "read")
        self.events: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)

    def test_a_change(self) -> None:
        response = self.post("/networks", {"network": {"name": "blue"}}, **ADMIN)
        (line,) = self.lines
        self.assertEqual(line.pop("at"), "1970-01-01T00:00:00.000Z")
        self.assertEqual(
            line,
            {
                "request_id": response.headers["x-request-id"],
                "caller": "the admin token",
                "tenant_id": "default",
                "role": "admin",
                "from": "192.0.2.9 port 4242",
                "method": "POST",
                "path": "/networks",
                "operation": "create_network",
                "status": 202,
                "fault": None,
                "resource": f"/networks/{response.json['network']['id']}",
            },
        )

    def test_refusals(self) -> None:
        """A known caller's are told, those of somebody unknown are logged and counted; no secret is in any of it."""
        self.post("/networks", {"network": {"name": "blue"}}, **READER)
        self.get("/tokens", **READER)
        self.get("/networks", Authorization="Bearer qd_guess")
        self.get("/networks", **READER)
        told = [(line["method"], line["path"], line["status"], line["fault"], line["caller"]) for line in self.lines]
        caller = f"token {NO_ID}"
        self.assertEqual(
            told,
            [
                ("POST", "/networks", 401, "Unauthorized", caller),
                ("GET", "/tokens", 401, "Unauthorized", caller),
            ],
        )
        warned = [event for event in self.events if event["log_level"] is LogLevel.warn]
        self.assertEqual([event["path"] for event in warned], ["/networks", "/tokens", "/networks"])
        self.assertNotIn("qd_guess", repr([{k: v for k, v in one.items() if k != "log_source"} for one in warned]))
        metrics = self.get("/metrics", **ADMIN).body.decode()
        self.assertIn('quantumd_refused_total{why="credentials"} 1.0', metrics)
        self.assertIn('quantumd_refused_total{why="rights"} 2.0', metrics)

    def test_what_only_admins_read(self) -> None:
        self.get("/tokens", **ADMIN)
        self.get("/networks", **ADMIN)
        self.assertEqual([line["operation"] for line in self.lines], ["list_tokens"])

    def test_gone_before_the_answer(self) -> None:
        stuck: Deferred[None] = Deferred()
        self.patch(self.store, "_write", lambda batch: stuck)
        connection = self.connect()
        connection.send(request_bytes("POST", "/networks", b'{"network": {"name": "a"}}', ADMIN))
        self.assertEqual(self.lines, [])
        connection.hang_up()
        (line,) = self.lines
        self.assertEqual((line["operation"], line["status"]), ("create_network", None))
        stuck.callback(None)
        self.assertEqual(len(self.store.state.networks), 1)
        self.assertEqual(len(self.lines), 1)

    def test_headers_of_every_answer(self) -> None:
        for response in (
            self.get("/networks", **ADMIN),
            self.get("/networks"),
            self.get("/faults/<script>"),
            self.get("/%2F", **ADMIN),
        ):
            self.assertEqual(response.headers["x-content-type-options"], "nosniff")
            self.assertIn("default-src 'none'", response.headers["content-security-policy"])
            self.assertNotIn("html", response.headers["content-type"])
            self.assertRegex(response.headers["x-request-id"], "^[0-9a-f]{16}$")


class FileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="quantumd-audit-"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.path = self.directory / "audit.log"
        self.clock = Clock()
        self.file = AuditFile(self.path, self.clock)
        self.addCleanup(self.file.close)

    def test_appends(self) -> None:
        self.path.write_bytes(b"before\n")
        self.file.open()
        self.file.write(b"one\n")
        self.file.write(b"two\n")
        self.clock.advance(0)
        self.assertEqual(self.path.read_bytes(), b"before\none\ntwo\n")
        self.file.write(b"three\n")
        self.file.close()
        self.assertEqual(self.path.read_bytes(), b"before\none\ntwo\nthree\n")
        self.clock.advance(0)

    def test_one_write_for_what_comes_together(self) -> None:
        self.file.open()
        with patch("os.write", wraps=os.write) as write:
            for number in range(100):
                self.file.write(b"%d\n" % number)
            self.clock.advance(0)
        self.assertEqual(write.call_count, 1)
        self.assertEqual(len(self.path.read_bytes().splitlines()), 100)

    def test_a_full_disk(self) -> None:
        self.file.open()
        with patch("os.write", side_effect=OSError(errno.ENOSPC, "No space left on device")), capturedLogs() as logs:
            self.file.write(b"one\n")
            self.clock.advance(0)
        self.assertEqual([event["lines"] for event in logs], ["one\n"])

    def test_made_for_its_owner_only(self) -> None:
        self.file.open()
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)

    def test_rotated(self) -> None:
        self.file.open()
        self.file.write(b"one\n")
        self.clock.advance(0)
        self.path.rename(self.directory / "audit.log.1")
        self.file.write(b"two\n")
        self.clock.advance(0)
        self.assertEqual(self.path.read_bytes(), b"two\n")
        self.assertEqual((self.directory / "audit.log.1").read_bytes(), b"one\n")

    def test_cannot_be_opened(self) -> None:
        for path in (self.directory / "none" / "x", self.directory):
            with self.assertRaisesRegex(AuditError, r"audit log .* cannot be opened or made"):
                AuditFile(path, self.clock).open()
        (self.directory / "link").symlink_to(self.path)
        with self.assertRaises(AuditError):
            AuditFile(self.directory / "link", self.clock).open()
