"""``Prefer: wait``, ``ETag`` and ``If-Match``."""

from __future__ import annotations

from tests.api.support import NO_ID, ApiTestCase, Connection, Response, request_bytes


class WaitTests(ApiTestCase):
    """The plugin takes a second for everything."""

    plugin_settings = {"delay": 1.0}

    def begin(self, method: str, target: str, body: bytes = b"", prefer: str = "wait=10") -> Connection:
        connection = self.connect()
        connection.send(request_bytes(method, target, body, {"Prefer": prefer}))
        return connection

    def pass_seconds(self, seconds: float) -> None:
        self.clock.pump([0.1] * round(seconds * 10))

    def finished(self, connection: Connection) -> Response:
        (response,) = connection.responses()
        return response

    def test_create(self) -> None:
        connection = self.begin("POST", "/networks", b'{"network": {"name": "a"}}')
        self.assertEqual(connection.responses(), [])
        self.pass_seconds(1.5)
        response = self.finished(connection)
        self.assertEqual((response.status, response.json["network"]["status"]), (202, "Active"))
        self.assertEqual(response.headers["preference-applied"], "wait=10")
        self.assertEqual(response.headers["location"], f"/networks/{response.json['network']['id']}")

    def test_time_is_up(self) -> None:
        for prefer in ("wait=1", "respond-async, wait=1", 'wait="1"; x=y, wait=50', "WAIT = 1"):
            connection = self.begin("POST", "/networks", b'{"network": {"name": "a"}}', prefer)
            self.pass_seconds(0.9)
            self.assertEqual(connection.responses(), [], prefer)
            self.pass_seconds(0.2)
            self.assertEqual(self.finished(connection).headers["preference-applied"], "wait=1")

    def test_long_and_none(self) -> None:
        self.network()
        self.pass_seconds(2)
        (entry,) = self.get("/networks").json["networks"]
        path = f"/networks/{entry['id']}"
        for prefer, applied in (("wait=61", 60), (f"wait={'9' * 400}", 60), ("wait=0", 0), ("wait=007", 7)):
            response = self.finished(self.begin("GET", path, prefer=prefer))
            self.assertEqual(response.headers["preference-applied"], f"wait={applied}")

    def test_ignored(self) -> None:
        """What is no number, and a wish to wait for what is no single resource, is as if it were not there."""
        for prefer in (
            "wait",
            "wait=",
            "wait=x",
            "wait=-1",
            "wait=1.5",
            "wait=1 0",
            "wait=x, wait=5",
            "waiting=5",
            "",
            ";;,,",
        ):
            response = self.finished(self.begin("POST", "/networks", b'{"network": {"name": "a"}}', prefer))
            self.assertEqual(response.status, 202)
            self.assertNotIn("preference-applied", response.headers, prefer)
        self.assertNotIn("preference-applied", self.finished(self.begin("GET", "/networks")).headers)
        self.assertNotIn("preference-applied", self.finished(self.begin("GET", "/health")).headers)

    def test_everything_about_one_resource(self) -> None:
        network = f"/networks/{self.network()}"
        reads = [self.begin("GET", network)]
        updated = self.begin("PUT", network, b'{"network": {"name": "b"}}')
        port = self.begin("POST", f"{network}/ports")
        self.pass_seconds(3)
        self.assertEqual(self.finished(reads[0]).json["network"]["status"], "Active")
        self.assertEqual(self.finished(updated).json["network"]["status"], "Active")
        home = self.finished(port).headers["location"]
        self.assertEqual(self.finished(port).json["port"]["status"], "Active")
        plugged = self.begin("PUT", f"{home}/attachment", b'{"attachment": {"id": "a"}}')
        anywhere = self.begin("POST", f"{network}/attachments", b'{"attachment": {"id": "b"}}')
        reads = [self.begin("GET", home), self.begin("GET", f"{home}/attachment")]
        self.pass_seconds(3)
        for connection in (plugged, anywhere, reads[1]):
            self.assertEqual(self.finished(connection).json["attachment"]["status"], "Attached/UP")
        self.assertEqual(self.finished(reads[0]).json["port"]["status"], "Active")

    def test_delete(self) -> None:
        """A DELETE that has finished says Deleted; one that has not, Deleting."""
        network = f"/networks/{self.network()}"
        port = f"{network}/ports/{self.port(network.split('/')[2])}"
        self.put(f"{port}/attachment", {"attachment": {"id": "a"}})
        self.pass_seconds(3)
        for path, kind in ((f"{port}/attachment", "attachment"), (port, "port"), (network, "network")):
            early = self.begin("DELETE", path, prefer="wait=0")
            self.assertIn(self.finished(early).json[kind]["status"], ("Deleting", "Detaching"))
            done = self.begin("DELETE", path)
            watching = self.begin("GET", path)
            self.pass_seconds(2)
            response = self.finished(done)
            self.assertEqual((response.status, response.json[kind]["status"]), (202, "Deleted"))
            self.assertEqual(response.headers["location"], path)
            self.assertEqual(response.headers["preference-applied"], "wait=10")
            self.assertEqual(self.finished(watching).status, 404)

    def test_client_hangs_up(self) -> None:
        """What was accepted is carried out, and nothing is said of it in the log."""
        connection = self.begin("POST", "/networks", b'{"network": {"name": "a"}}')
        self.pass_seconds(0.5)
        connection.hang_up()
        self.pass_seconds(2)
        (entry,) = self.get("/networks").json["networks"]
        self.assertEqual(entry["status"], "Active")
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_moved_meanwhile(self) -> None:
        """Who waits for an attachment that goes is shown the next one, where there is one."""
        network = self.network()
        path = self.plug(network, self.port(network), "old")
        self.pass_seconds(3)
        self.delete(path)
        watching = self.begin("GET", path)
        self.assertEqual(self.put(path, {"attachment": {"id": "new"}}).status, 202)
        self.pass_seconds(1.5)
        self.assertEqual(self.finished(watching).json["attachment"]["id"], "new")


class EtagTests(ApiTestCase):
    """Strong, opaque, changed by what is asked for."""

    def setUp(self) -> None:
        super().setUp()
        self.path = f"/networks/{self.network()}"

    def tag(self, path: str) -> str:
        response = self.get(path)
        self.assertRegex(response.headers["etag"], '^"[^"]+"$')
        return response.headers["etag"]

    def test_follows_the_revision(self) -> None:
        first = self.tag(self.path)
        self.settle()
        self.assertEqual(self.tag(self.path), first)
        changed = self.put(self.path, {"network": {"name": "b"}})
        self.assertNotEqual(changed.headers["etag"], first)
        self.assertEqual(changed.headers["etag"], self.tag(self.path))
        self.assertEqual(self.get(self.path, If_None_Match=self.tag(self.path)).status, 200)
        other = self.post("/networks", {"network": {"name": "a"}}).headers["etag"]
        self.assertNotIn(other, (first, self.tag(self.path)))

    def test_matches(self) -> None:
        for match in ('"x", {}', "{}", "*", '{} , "y"', '"a,b",{}', "nonsense, {}"):
            response = self.put(self.path, {"network": {"name": match}}, If_Match=match.format(self.tag(self.path)))
            self.assertEqual(response.status, 202, match)

    def test_does_not_match(self) -> None:
        tag = self.tag(self.path)
        for match in ('"x"', f"W/{tag}", tag.strip('"'), "", '""', '"*", "x"', f"x{tag}", "**", "\xff"):
            for response in (
                self.put(self.path, {"network": {"name": "b"}}, If_Match=match),
                self.delete(self.path, If_Match=match),
            ):
                self.assertEqual((response.status, response.fault), (412, "PreconditionFailed"), match)
        self.assertEqual(self.delete(self.path, If_Match=tag).status, 202)

    def test_ports_and_attachments(self) -> None:
        port = f"{self.path}/ports/{self.port(self.path.split('/')[2])}"
        attachment = f"{port}/attachment"
        body = {"attachment": {"id": "a"}}
        for match in ("*", '"1-1"'):
            self.assertEqual(self.put(attachment, body, If_Match=match).status, 412)
        before = self.tag(port)
        self.assertEqual(self.put(attachment, body).status, 202)
        self.assertNotEqual(self.tag(port), before)
        self.assertEqual(self.put(attachment, body, If_Match='"x"').status, 412)
        self.assertEqual(self.put(attachment, body, If_Match=self.tag(attachment)).status, 202)
        self.assertEqual(self.delete(attachment, If_Match='"x"').status, 412)
        before = self.tag(port)
        self.assertEqual(self.delete(attachment, If_Match=self.tag(attachment)).status, 202)
        self.assertNotEqual(self.tag(port), before)
        self.assertEqual(self.delete(port, If_Match=before).status, 412)
        self.assertEqual(self.delete(port, If_Match="*").status, 202)

    def test_missing_is_missing_first(self) -> None:
        self.assertEqual(self.delete(f"/networks/{NO_ID}", If_Match='"x"').status, 404)
