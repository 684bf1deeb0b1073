"""Who may call, and how often."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from tempfile import mkdtemp

from attrs import evolve
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import UNIXServerEndpoint
from twisted.internet.interfaces import IListeningPort
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase

from quantumd.api import access
from quantumd.api.access import token_hash
from quantumd.api.ratelimit import RateLimit
from quantumd.api.settings import ApiSettings
from tests.api.support import ApiTestCase, request_bytes

SECURE = ApiSettings(admin_token_hash=token_hash("s3cret"))


class TokenTests(ApiTestCase):
    """Over TCP."""

    settings = SECURE

    def test_token(self) -> None:
        for header, status in (
            ("Bearer s3cret", 200),
            ("bearer  s3cret ", 200),
            ("Bearer S3cret", 401),
            ("Bearer s3cret2", 401),
            ("Bearer", 401),
            ("Bearer ", 401),
            ("Basic s3cret", 401),
            ("s3cret", 401),
            ("Bearer \xff\xfe", 401),
            ("", 401),
        ):
            response = self.get("/networks", Authorization=header)
            self.assertEqual(response.status, status, header)
            if status == 401:
                self.assertEqual(response.fault, "Unauthorized")
                self.assertEqual(response.headers["www-authenticate"], 'Bearer realm="quantumd"')
                self.assertNotIn(b"s3cret", response.body)

    def test_nothing_is_done(self) -> None:
        before = self.store.state
        self.assertEqual(self.post("/networks", {"network": {"name": "a"}}).status, 401)
        self.assertEqual(self.store.state, before)

    def test_open_to_everybody(self) -> None:
        for target in ("/health", "/faults/NotFound", "/openapi.json", "/health/", "/health.xml"):
            self.assertEqual(self.get(target).status, 200)
            self.assertEqual(self.get(target, Authorization="Bearer wrong").status, 200)

    def test_settings_do_not_show_the_hash(self) -> None:
        self.assertNotIn(str(SECURE.admin_token_hash), repr(SECURE))


class NoTokenTests(ApiTestCase):
    """Without a token there is none that is good."""

    settings = ApiSettings()

    def test_no_token_is_good(self) -> None:
        for header in ("Bearer ", "Bearer None", "Bearer x"):
            self.assertEqual(self.get("/networks", Authorization=header).status, 401)


class SocketTests(TestCase):
    """Over a unix socket, the kernel says who calls."""

    settings = SECURE

    async def reply(self, headers: dict[str, str] | None = None) -> int:
        """The status of a GET, asked from another thread."""

        def ask() -> int:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(10)
                client.connect(str(self.path))
                client.sendall(request_bytes("GET", "/networks", b"", headers))
                return int(client.recv(65536).split(b" ")[1])

        return await deferToThread(ask)

    async def serve(self, settings: ApiSettings) -> None:
        case = _Site("runTest")
        case.settings = settings
        case.setUp()
        self.path = Path(mkdtemp()) / "api.sock"
        port: IListeningPort = await UNIXServerEndpoint(reactor, str(self.path)).listen(case.site)
        self.addCleanup(self.path.parent.rmdir)
        self.addCleanup(port.stopListening)

    def test_root_or_the_owner(self) -> Deferred[None]:
        async def check() -> None:
            await self.serve(SECURE)
            self.assertEqual(await self.reply(), 200)
            self.assertEqual(await self.reply({"Authorization": "Basic x"}), 200)
            # A token, where one is sent, counts over what the socket says.
            self.assertEqual(await self.reply({"Authorization": "Bearer wrong"}), 401)
            self.assertEqual(await self.reply({"Authorization": "Bearer s3cret"}), 200)

        return Deferred.fromCoroutine(check())

    def test_somebody_else(self) -> Deferred[None]:
        """Seen from a daemon to which this process is neither root nor its own user."""

        async def check() -> None:
            stranger = evolve(SECURE, owner_uid=os.getuid() + 1)
            self.patch(access, "ROOT", os.getuid() + 2)
            await self.serve(stranger)
            self.assertEqual(await self.reply(), 401)
            self.assertEqual(await self.reply({"Authorization": "Bearer s3cret"}), 200)

        return Deferred.fromCoroutine(check())

    def test_mode_none(self) -> Deferred[None]:
        async def check() -> None:
            await self.serve(ApiSettings(auth_mode="none"))
            self.assertEqual(await self.reply({"Authorization": "Bearer wrong"}), 200)

        return Deferred.fromCoroutine(check())


class _Site(ApiTestCase):
    """Only for its ``setUp``."""

    def runTest(self) -> None:
        """Nothing of its own."""


class RateTests(ApiTestCase):
    """``requests_per_second``."""

    settings = evolve(SECURE, requests_per_second=2)

    def test_too_many(self) -> None:
        token = {"Authorization": "Bearer s3cret"}
        self.assertEqual([self.ask("GET", "/networks", headers=token).status for _ in range(3)], [200, 200, 429])
        response = self.ask("POST", "/nonsense", b"x", token)
        self.assertEqual((response.status, response.fault), (429, "TooManyRequests"))
        self.assertEqual((response.reason, response.headers["retry-after"]), ("Too Many Requests", "1"))
        self.assertEqual(self.get("/health").status, 200)
        self.assertEqual(self.get("/networks").status, 401)
        self.clock.advance(0.5)
        self.assertEqual([self.ask("GET", "/networks", headers=token).status for _ in range(2)], [200, 429])

    def test_bucket(self) -> None:
        clock = Clock()
        limit = RateLimit(0.25, clock)
        self.assertEqual([limit.admit("a"), limit.admit("a"), limit.admit("b")], [0, 4, 0])
        clock.advance(3.5)
        self.assertEqual(limit.admit("a"), 1)
        clock.advance(0.5)
        self.assertEqual(limit.admit("a"), 0)
        self.assertEqual({RateLimit(0, clock).admit("a") for _ in range(9)}, {0})


class MemoryTests(SynchronousTestCase):
    """What is remembered of callers is bounded."""

    def test_idle_callers_are_forgotten(self) -> None:
        clock = Clock()
        limit = RateLimit(1, clock)
        for number in range(10_000):
            limit.admit(str(number))
        clock.advance(2)
        limit.admit("one more")
        self.assertEqual(list(limit._buckets), ["one more"])
