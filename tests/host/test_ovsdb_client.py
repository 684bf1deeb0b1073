"""The client against a real ovsdb-server: replica, transactions, and what happens when the server goes and comes."""

from __future__ import annotations

import gc
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.defer import TimeoutError as TwistedTimeout
from twisted.internet.endpoints import UNIXClientEndpoint, UNIXServerEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from quantumd.garbage import Garbage
from quantumd.host.ovsdb.client import Client
from quantumd.host.ovsdb.errors import ConnectionBroke, GuardFailed, NotConnected, SchemaError, TransactionFailed
from quantumd.host.ovsdb.operations import Insert, Mutate, Operation, Select, Wait, by_name
from quantumd.host.ovsdb.remotes import Credentials, client_endpoint
from quantumd.host.ovsdb.replica import Index, Monitored, Replica, RowChange
from quantumd.host.ovsdb.schema import Named
from quantumd.testing.lab import Lab
from quantumd.testing.openvswitch import OpenVSwitch
from tests.host.certificates import make_certificates
from tests.slices import in_slices

MONITORED = Monitored(
    {
        "Open_vSwitch": ("bridges", "next_cfg", "cur_cfg"),
        "Bridge": ("name", "ports"),
        "Port": ("name", "interfaces", "tag", "external_ids"),
        "Interface": ("name", "type", "ofport", "error", "external_ids"),
    },
    (
        Index("Bridge", "name", lambda row: (row.name,)),
        Index("Port", "name", lambda row: (row.name,)),
        Index("Bridge", "port", "ports"),
    ),
)


def add_bridge(name: str) -> list[Operation]:
    """A bridge with its local port, and nothing where there is one already."""
    return [
        Wait("Bridge", by_name(name)),
        Insert("Interface", {"name": name, "type": "internal"}, name="interface"),
        Insert("Port", {"name": name, "interfaces": [Named("interface")]}, name="port"),
        Insert("Bridge", {"name": name, "ports": [Named("port")], "datapath_type": "netdev"}, name="bridge"),
        Mutate("Open_vSwitch", (), [("bridges", "insert", [Named("bridge")])]),
    ]


class Recorder:
    """A watcher that writes down what it hears."""

    def __init__(self) -> None:
        self.loads = 0
        self.changes: list[RowChange] = []
        self.losses: list[str] = []

    def loaded(self, replica: Replica) -> None:
        self.loads += 1

    def changed(self, replica: Replica, changes: Sequence[RowChange]) -> None:
        self.changes += changes

    def lost(self, reason: str) -> None:
        self.losses.append(reason)


async def eventually(condition: Callable[[], object], what: str, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        await deferLater(reactor, 0.01)


class ClientCase(TestCase):
    timeout = 60

    def setUp(self) -> None:
        self.lab = Lab()
        self.addCleanup(self.lab.close)
        self.switch = OpenVSwitch(self.lab, self.lab.namespace())
        self.switch.start_server()
        self.switch.vsctl("--no-wait", "init")

    async def connected(self, remote: str | None = None, **more: Any) -> tuple[Client, Recorder]:
        heard = Recorder()
        endpoint = client_endpoint(reactor, remote or self.switch.remote, **more)
        client = Client(reactor, endpoint, "Open_vSwitch", MONITORED, heard)
        self.addCleanup(lambda: Deferred.fromCoroutine(client.stop()))
        client.start()
        await eventually(lambda: client.replica, f"in touch: {heard.losses}")
        return client, heard


class ReplicaTests(ClientCase):
    async def test_follows(self) -> None:
        """The replica is what the database is, whoever changes it, and the watcher hears of each change."""
        client, heard = await self.connected()
        self.switch.vsctl("--no-wait", "add-br", "br0", "--", "add-port", "br0", "p0", "tag=7")
        await eventually(lambda: client.replica.first("Port", "name", "p0"), "the port")
        port = client.replica.first("Port", "name", "p0")
        self.assertEqual(7, port.tag)
        self.assertEqual("br0", client.replica.first("Bridge", "port", port.uuid).name)
        self.assertEqual({"Open_vSwitch", "Bridge", "Port", "Interface"}, {change.table for change in heard.changes})
        self.switch.vsctl("--no-wait", "set", "Port", "p0", "tag=8", "external_ids:a=b")
        await eventually(lambda: client.replica.get("Port", port.uuid).external_ids == {"a": "b"}, "the change")
        self.assertEqual(8, client.replica.get("Port", port.uuid).tag)
        self.switch.vsctl("--no-wait", "del-port", "p0")
        await eventually(lambda: not client.replica.first("Port", "name", "p0"), "the removal")
        self.assertIsNone(client.replica.first("Bridge", "port", port.uuid))

    async def test_transact(self) -> None:
        """A transaction is seen in the replica by the time that it fires."""
        client, _ = await self.connected()
        *_, bridge, count = await client.transact(add_bridge("br0"))
        self.assertEqual(1, count)
        self.assertEqual(bridge, client.replica.first("Bridge", "name", "br0").uuid)
        ((row,),) = await client.transact([Select("Bridge", by_name("br0"), ("name", "ports"))])
        self.assertEqual(client.replica.get("Bridge", bridge).ports, row["ports"])

    async def test_refused(self) -> None:
        """What the server refuses does nothing, and says which operation was at fault, or which guard."""
        client, _ = await self.connected()
        await client.transact(add_bridge("br0"))
        failure = await self.assertFailure(client.transact(add_bridge("br0")), GuardFailed)
        self.assertEqual(0, failure.place)
        twice = add_bridge("br0")[1:]
        failure = await self.assertFailure(client.transact(twice), TransactionFailed)
        self.assertIn("constraint violation", str(failure))
        await self.assertFailure(client.transact([Insert("Bridge", {"name": 7})]), SchemaError)
        self.assertEqual(1, client.replica.count("Bridge"))

    async def test_until(self) -> None:
        """A condition is waited for, no longer than is said, and not over the end of the connection."""
        client, _ = await self.connected()
        waiting = client.until(lambda replica: replica.first("Bridge", "name", "br9"), 5)
        self.assertFalse(waiting.called)
        await client.transact(add_bridge("br9"))
        self.assertTrue(waiting.called)
        await client.until(lambda replica: replica.first("Bridge", "name", "br9"), 5)
        await self.assertFailure(client.until(lambda _: False, 0.05), TwistedTimeout)
        waiting = client.until(lambda _: False, 60)
        self.switch.stop_server()
        await self.assertFailure(waiting, ConnectionBroke)
        await self.assertFailure(client.until(lambda _: True, 1), NotConnected)

    async def test_old_schema(self) -> None:
        """A database without a column that is needed is not gone on with, and it is said which."""
        heard = Recorder()
        wants = Monitored({"Bridge": ("name", "warp_factor")})
        client = Client(reactor, client_endpoint(reactor, self.switch.remote), "Open_vSwitch", wants, heard)
        self.addCleanup(lambda: Deferred.fromCoroutine(client.stop()))
        client.start()
        await eventually(lambda: len(heard.losses) > 1, "it is tried, and tried again")
        self.assertIn("no column warp_factor", heard.losses[0])
        self.assertEqual(0, heard.loads)

    async def test_unknown_database(self) -> None:
        """A database that the server does not have is told of."""
        heard = Recorder()
        client = Client(reactor, client_endpoint(reactor, self.switch.remote), "Warehouse", MONITORED, heard)
        self.addCleanup(lambda: Deferred.fromCoroutine(client.stop()))
        client.start()
        await eventually(lambda: heard.losses, "it is told")
        self.assertIn("unknown database", heard.losses[0])

    async def test_any_schema(self) -> None:
        """The server's own database is one like any other: nothing in the client knows Open vSwitch."""
        wants = Monitored({"Database": ("name", "connected", "schema")}, (Index("Database", "n", lambda r: (r.name,)),))
        client = Client(reactor, client_endpoint(reactor, self.switch.remote), "_Server", wants, Recorder())
        self.addCleanup(lambda: Deferred.fromCoroutine(client.stop()))
        client.start()
        await eventually(lambda: client.replica, "in touch")
        self.assertTrue(client.replica.first("Database", "n", "Open_vSwitch").connected)


class ReconnectTests(ClientCase):
    async def test_away(self) -> None:
        """While the server is away nothing is sent; when it is back there is a replica again, within a second or so."""
        client, heard = await self.connected()
        await client.transact(add_bridge("br0"))
        self.switch.stop_server()
        await eventually(lambda: heard.losses, "the loss is noticed")
        self.assertIsNone(client.replica)
        await self.assertFailure(client.transact(add_bridge("br1")), NotConnected)
        await eventually(lambda: len(heard.losses) > 2, "it tries again")
        self.switch.start_server()
        await eventually(lambda: client.replica, "it is back", 1.5)
        self.assertEqual(2, heard.loads)
        self.assertTrue(client.replica.first("Bridge", "name", "br0"))
        self.assertIsNone(client.replica.first("Bridge", "name", "br1"))

    async def test_from_scratch(self) -> None:
        """Nothing of an older database is left in the replica of a new one."""
        client, _ = await self.connected()
        await client.transact(add_bridge("br0"))
        self.switch.stop_server(signal.SIGKILL)
        await eventually(lambda: client.replica is None, "the loss is noticed")
        self.switch.create_database()
        self.switch.start_server()
        self.switch.vsctl("--no-wait", "init")
        await eventually(lambda: client.replica, "it is back")
        self.assertEqual(0, client.replica.count("Bridge"))

    async def test_late(self) -> None:
        """A server that is not there at the start is waited for, and it is told why there is none."""
        self.switch.stop_server()
        heard = Recorder()
        client = Client(reactor, client_endpoint(reactor, self.switch.remote), "Open_vSwitch", MONITORED, heard)
        self.addCleanup(lambda: Deferred.fromCoroutine(client.stop()))
        client.start()
        await eventually(lambda: heard.losses, "it is told")
        self.assertIn("No such file", heard.losses[0])
        self.switch.start_server()
        await eventually(lambda: client.replica, "it is there")

    async def test_hangs(self) -> None:
        """A server that stands still is noticed within 5 s, and gone back to when it moves again."""
        client, heard = await self.connected()
        self.switch.send_signal("ovsdb-server", signal.SIGSTOP)
        began = time.monotonic()
        await eventually(lambda: heard.losses, "the silence is noticed", 6)
        self.assertLess(time.monotonic() - began, 5)
        self.switch.send_signal("ovsdb-server", signal.SIGCONT)
        await eventually(lambda: client.replica, "it is back")

    async def test_stop(self) -> None:
        """A client that was stopped is silent, and leaves nothing behind in the reactor."""
        client, heard = await self.connected()
        await client.stop()
        self.assertEqual([], heard.losses)
        await self.assertFailure(client.transact([]), NotConnected)


class Cut(Protocol):
    """Between a client and a server; ``cut`` ends both connections when the server has answered once more."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cut = False
        self.server: Protocol | None = None
        self.early: list[bytes] = []

    def connectionMade(self) -> None:
        factory = Factory.forProtocol(Protocol)
        UNIXClientEndpoint(reactor, str(self.path)).connect(factory).addCallback(self._joined)

    def _joined(self, server: Protocol) -> None:
        self.server = server
        server.dataReceived = self._answer
        server.connectionLost = lambda reason=connectionDone: self.transport.abortConnection()
        for data in self.early:
            server.transport.write(data)

    def dataReceived(self, data: bytes) -> None:
        if self.server is None:
            self.early.append(data)
        else:
            self.server.transport.write(data)

    def _answer(self, data: bytes) -> None:
        if self.cut:
            self.transport.abortConnection()
        else:
            self.transport.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.server is not None:
            self.server.transport.abortConnection()


class LostAnswerTests(ClientCase):
    async def test_repeat(self) -> None:
        """A transaction whose answer was lost was made; made again, its guard holds, and nothing is doubled."""
        joints: list[Cut] = []

        def joint() -> Cut:
            joints.append(Cut(self.switch.socket))
            return joints[-1]

        path = self.switch.directory / "cut.sock"
        listening = await UNIXServerEndpoint(reactor, str(path)).listen(Factory.forProtocol(joint))
        self.addCleanup(listening.stopListening)
        client, heard = await self.connected(f"unix:{path}")
        joints[-1].cut = True
        await self.assertFailure(client.transact(add_bridge("br0")), ConnectionBroke)
        await eventually(lambda: client.replica, "it is back")
        self.assertEqual(2, heard.loads)
        self.assertTrue(client.replica.first("Bridge", "name", "br0"), "it was made")
        await self.assertFailure(client.transact(add_bridge("br0")), GuardFailed)
        self.assertEqual(1, client.replica.count("Bridge"))
        self.assertEqual(1, client.replica.count("Port"))
        await client.stop()

    async def test_killed_under_load(self) -> None:
        """A server that is killed again and again under load: each insert is there once in the end."""
        client, _ = await self.connected()

        async def insist(number: int) -> None:
            while True:
                try:
                    await client.transact(add_bridge(f"br{number}"))
                    return
                except GuardFailed:
                    return
                except (NotConnected, ConnectionBroke):
                    await deferLater(reactor, 0.01)

        async def work(first: int) -> None:
            for number in range(first, first + 40):
                await insist(number)

        working = gatherResults([Deferred.fromCoroutine(work(first * 40)) for first in range(5)])
        for _ in range(10):
            await deferLater(reactor, 0.05)
            self.switch.stop_server(signal.SIGKILL)
            self.switch.start_server()
        await working
        await eventually(lambda: client.replica, "it is back")
        names = [row.name for row in client.replica.rows("Bridge")]
        self.assertEqual(sorted(f"br{number}" for number in range(200)), sorted(names))
        self.assertEqual((200, 200), (client.replica.count("Port"), client.replica.count("Interface")))


class LargeTests(ClientCase):
    async def test_ten_thousand(self) -> None:
        """10,000 ports: the replica is whole in 3 s, and comes in slices that the reactor works between."""
        self.switch.fill("br0", 10_000)
        # A daemon that starts holds the collector.
        Garbage(lambda: 0, reactor).hold()
        self.addCleanup(gc.enable)
        began = time.monotonic()
        with in_slices():
            client, _ = await self.connected()
        took = time.monotonic() - began
        self.assertEqual(10_000, client.replica.count("Port"))
        self.assertEqual("br0", client.replica.first("Bridge", "port", next(client.replica.rows("Port")).uuid).name)
        self.assertLess(took, 3)


class RemoteTests(ClientCase):
    def listen(self, kind: str, *words: str) -> str:
        """Run one more ovsdb-server, over TCP on the loopback, and return its address."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{probe.getsockname()[1]}"
        host, port = address.split(":")
        database = self.switch.directory / "other.db"
        subprocess.run(["ovsdb-tool", "create", str(database), "/usr/share/openvswitch/vswitch.ovsschema"], check=True)
        control = self.switch.directory / "other.ctl"
        command = ["ovsdb-server", f"--remote={kind}:{port}:{host}", f"--unixctl={control}", "-vconsole:off"]
        running = subprocess.Popen([*command, *words, str(database)])
        self.addCleanup(running.wait)
        self.addCleanup(running.kill)
        return address

    async def test_tcp(self) -> None:
        """A server over TCP."""
        client, _ = await self.connected(f"tcp:{self.listen('ptcp')}")
        self.assertEqual(0, client.replica.count("Bridge"))

    async def test_ssl(self) -> None:
        """A server over TLS, with certificates on both sides; one of another authority is not believed."""
        files = make_certificates(self.switch.directory)
        address = self.listen(
            "pssl",
            f"--private-key={files['server.key']}",
            f"--certificate={files['server.pem']}",
            f"--ca-cert={files['ca.pem']}",
        )
        good = Credentials(files["client.key"], files["client.pem"], files["ca.pem"])
        client, _ = await self.connected(f"ssl:{address}", credentials=good)
        self.assertEqual(0, client.replica.count("Bridge"))
        heard = Recorder()
        bad = Credentials(files["client.key"], files["client.pem"], files["other.pem"])
        endpoint = client_endpoint(reactor, f"ssl:{address}", bad)
        wary = Client(reactor, endpoint, "Open_vSwitch", MONITORED, heard)
        self.addCleanup(lambda: Deferred.fromCoroutine(wary.stop()))
        wary.start()
        await eventually(lambda: len(heard.losses) > 1, "it is refused")
        self.assertIsNone(wary.replica)
        self.assertIn("certificate", heard.losses[0])


class RemoteNameTests(SynchronousTestCase):
    def test_good(self) -> None:
        """The forms of ovsdb(7)."""
        for remote in ("unix:/run/x.sock", "tcp:127.0.0.1:6640", "tcp:[::1]:6640", "tcp:[::1]", "tcp:db.example"):
            client_endpoint(reactor, remote)

    def test_bad(self) -> None:
        """Anything else is refused with a sentence that says what to write."""
        for remote in ("", "unix:", "db.sock", "tcp:", "tcp:::1:6640", "tcp:h:0", "tcp:h:x", "tcp:[::1", "ptcp:6640"):
            with self.assertRaises(ValueError) as caught:
                client_endpoint(reactor, remote)
            self.assertIn(repr(remote), str(caught.exception))

    def test_credentials(self) -> None:
        """``ssl:`` needs all three files, readable ones."""
        directory = Path(self.mktemp())
        directory.mkdir()
        files = make_certificates(directory)
        (directory / "broken.pem").write_text("no key")
        for credentials, what in (
            (None, "needs private_key"),
            (Credentials(files["client.key"], files["client.pem"], "/nowhere/ca.pem"), "/nowhere/ca.pem"),
            (Credentials(files["client.key"], files["client.pem"], str(directory / "broken.pem")), "PEM"),
        ):
            with self.assertRaises(ValueError) as caught:
                client_endpoint(reactor, "ssl:127.0.0.1:6640", credentials)
            self.assertIn(what, str(caught.exception))
