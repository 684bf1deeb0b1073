"""Storage that becomes read-only in the midst of work, and writable again: the whole application above it."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quantumd.core.state import State
from quantumd.interfaces import IStateStore
from quantumd.store.database import Database
from quantumd.store.errors import StoreError
from quantumd.store.sqlite import SQLiteStore
from tests.api.support import ApiTestCase, Response, request_bytes
from tests.crash.machine import InlineWorker
from tests.store.faulty import READ_ONLY, WRITE_ERROR, faulty_disk
from tests.tally import tell

#: What the disk fails with, and what is to be said of it. A file system that the kernel makes read-only fails writes
#: to files that are open already with EROFS, of which SQLite makes the second.
FAILURES = {READ_ONLY: "readonly", WRITE_ERROR: "disk I/O error"}
#: More than there are.
ALL = 10**6


class StorageTests(ApiTestCase):
    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="quantumd-faults-", dir="/dev/shm"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.disk = self.enterContext(faulty_disk())
        super().setUp()
        self.addCleanup(lambda: self.successResultOf(self.store.stop()))

    def make_store(self) -> IStateStore:
        return SQLiteStore(self.clock, self.directory / "quantumd.sqlite", "this boot", InlineWorker())

    def ask(
        self, method: str, target: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Response:
        connection = self.connect()
        connection.send(request_bytes(method, target, body or b"", headers))
        self.clock.advance(0)  # until then, the store gathers what comes together
        (response,) = connection.responses()
        connection.hang_up()
        return response

    def test_read_only(self) -> None:
        """Each change is refused with a 500 that says why, memory and disk agree, and work goes on afterwards."""
        refused = sum(self.refused_for_a_while(code, said) for code, said in FAILURES.items())
        self.assertGreaterEqual(len(self.flushLoggedErrors(StoreError)), refused)
        tell("read-only storage", times=len(FAILURES), refused=refused, lost=0, resurrected=0)

    def refused_for_a_while(self, code: int, said: str) -> int:
        network = self.network()
        port = self.port(network)
        path = self.plug(network, port, f"vm{code}", device={"create": "tap"})
        self.settle()
        changes: list[tuple[str, str, Any]] = [
            ("POST", "/networks", {"network": {"name": "red"}}),
            ("PUT", f"/networks/{network}", {"network": {"name": "green"}}),
            ("PUT", f"/networks/{network}", {"network": {"options": {"mtu": 1400}}}),
            ("POST", f"/networks/{network}/ports", {"port": {}}),
            ("POST", f"/networks/{network}/attachments", {"attachment": {"id": f"other{code}"}}),
            ("DELETE", path, None),
        ]
        before, shown, host = self.store.state, self.shown(), dict(self.plugin.host)
        self.disk.fail(0, ALL, code)
        for method, target, body in changes:
            answer = self.ask(method, target, None if body is None else json.dumps(body).encode())
            self.assertEqual((500, "ServiceUnavailable"), (answer.status, answer.fault), (method, target))
            self.assertIn(said, answer.json["detail"])
            self.assertIs(before, self.store.state)
            self.assertEqual(shown, self.shown())
        self.assertGreaterEqual(self.disk.failed, len(changes))
        # Somebody removes something meanwhile: it is made again, though nothing of it can be noted.
        (key,) = [key for key in self.plugin.host if key.ident == before.latest(port).serial]
        del self.plugin.host[key]
        self.convergence.notify(None)
        self.clock.pump([1.0] * 40)
        self.assertEqual(host, self.plugin.host)
        self.agree(before)
        self.disk.fail(-1)
        self.clock.pump([1.0] * 40)
        self.assertEqual(0, self.convergence.backlog)
        for method, target, body in changes:
            answer = self.ask(method, target, None if body is None else json.dumps(body).encode())
            self.assertEqual(202, answer.status, (method, target, answer.body))
            self.settle()
            if method == "POST" and target.endswith("/attachments"):
                self.delete(answer.headers["location"])
                self.settle()
        self.agree(self.store.state)
        for entry in self.get("/networks").json["networks"]:
            self.delete(f"/networks/{entry['id']}")
        self.settle()
        self.assertEqual({}, self.plugin.host)
        return len(changes)

    def shown(self) -> list[Any]:
        """What reads answer."""
        networks = [self.get(f"/networks/{entry['id']}").json for entry in self.get("/networks").json["networks"]]
        return [networks, self.get("/attachments").json]

    def agree(self, memory: State) -> None:
        """What a process would find that begins now is what this one has in memory."""
        copy = Path(tempfile.mkdtemp(dir=self.directory)) / "quantumd.sqlite"
        for suffix in ("", "-wal"):
            shutil.copyfile(self.directory / f"quantumd.sqlite{suffix}", copy.with_name(copy.name + suffix))
        self.disk.works = True
        database = Database(copy, "this boot")
        disk = database.open().state
        database.close()
        self.disk.works = False
        for kind in ("networks", "ports", "attachments", "tokens"):
            self.assertEqual(dict(getattr(memory, kind)), dict(getattr(disk, kind)))
