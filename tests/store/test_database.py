from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import stat
import tempfile
from contextlib import closing
from pathlib import Path

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from quantumd.core.model import Key, Kind, Record
from quantumd.store.database import JUMP, Database
from quantumd.store.errors import StoreError
from quantumd.store.grouping import Batch
from tests.store.records import EVENTS, NETWORK, NEXT_EVENT, NEXT_SERIAL, PORT, RECORDS, TOKEN, VETH


def batch(records: dict[Key, Record | None], *, durable: bool = True, oldest_event: int = 0) -> Batch:
    return Batch(
        records=records,
        events=(),
        next_serial=NEXT_SERIAL,
        next_event=NEXT_EVENT,
        durable=durable,
        oldest_event=oldest_event,
    )


class _Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="quantumd-database-"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.path = self.directory / "a" / "b" / "quantumd.sqlite"

    def opened(self, boot_id: str = "boot 1") -> Database:
        database = Database(self.path, boot_id)
        self.loaded = database.open()
        self.addCleanup(database.close)
        return database

    def fill(self) -> None:
        database = self.opened()
        database.write(evolve(batch({record.key: record for record in (*RECORDS, TOKEN)}), events=EVENTS))
        database.close()

    def refusal(self, path: Path | None = None) -> str:
        with self.assertRaises(StoreError) as caught:
            Database(path or self.path, "boot 1").open()
        text = str(caught.exception)
        self.assertNotIn("\n", text)
        self.assertIn(str(path or self.path), text)
        return text


class DatabaseTests(_Case):
    def test_made_for_its_owner(self) -> None:
        """Directory, file and lock are readable by the owner alone."""
        self.opened().write(batch({NETWORK.key: NETWORK}))
        self.assertEqual(0o700, stat.S_IMODE(self.path.parent.stat().st_mode))
        for file in self.path.parent.iterdir():
            self.assertEqual(0o600, stat.S_IMODE(file.stat().st_mode), file)

    def test_rows(self) -> None:
        """What is written is what is loaded; what is dropped is gone; a person finds the ids in columns."""
        self.fill()
        with closing(sqlite3.connect(self.path)) as connection:
            self.assertEqual([(NETWORK.id, NETWORK.name)], list(connection.execute("SELECT id, name FROM networks")))
            rows = connection.execute("SELECT serial, id, port_id, network_id FROM attachments WHERE serial = 4")
            self.assertEqual([(4, VETH.id, PORT.id, NETWORK.id)], list(rows))
        database = self.opened()
        for record in RECORDS:
            self.assertEqual(record, self.loaded.state.get(record.key))
        self.assertEqual(TOKEN, self.loaded.state.token_of(TOKEN.digest))
        database.write(batch({TOKEN.key: None, VETH.key: None, PORT.key: None, Key(Kind.NETWORK, "never there"): None}))
        database.close()
        self.opened()
        self.assertNotIn(PORT.id, self.loaded.state.ports)
        self.assertNotIn(VETH.serial, self.loaded.state.attachments)

    def test_old_events_go(self) -> None:
        self.fill()
        database = self.opened()
        database.write(batch({}, oldest_event=9))
        database.close()
        self.opened()
        self.assertEqual([9], [event.seq for event in self.loaded.events])

    def test_boot(self) -> None:
        """Event numbers jump when the machine has booted, and only then."""
        self.fill()
        for boot, expected in (("boot 1", NEXT_EVENT), ("boot 2", NEXT_EVENT + JUMP), ("boot 2", NEXT_EVENT + JUMP)):
            self.opened(boot).close()
            self.assertEqual((NEXT_SERIAL, expected), (self.loaded.state.next_serial, self.loaded.state.next_event))
            self.assertEqual([7, 9], [event.seq for event in self.loaded.events])

    def test_failed_write_leaves_nothing(self) -> None:
        """A disk that is full in the middle of a batch: none of it is there, and the next one works."""
        database = self.opened()
        assert database._connection is not None
        database._connection.execute("PRAGMA max_page_count = 12")
        many = {Key(Kind.NETWORK, str(n)): evolve(NETWORK, id=str(n), serial=n) for n in range(1, 200)}
        with self.assertRaisesRegex(StoreError, "full"):
            database.write(batch(many))  # type: ignore[arg-type]
        database.write(batch({NETWORK.key: NETWORK}))
        database.close()
        self.opened()
        self.assertEqual([NETWORK], list(self.loaded.state.networks.values()))

    def test_symbolic_link(self) -> None:
        """Two names of one file are one file: the second owner is refused."""
        self.opened()
        link = self.directory / "link.sqlite"
        link.symlink_to(self.path)
        with self.assertRaisesRegex(StoreError, "held by another quantumd"):
            Database(link, "boot 1").open()

    def test_empty_file(self) -> None:
        """Somebody made the file beforehand, with the right owner, say."""
        self.path.parent.mkdir(parents=True)
        self.path.touch()
        self.opened().write(batch({NETWORK.key: NETWORK}))

    def test_odd_path(self) -> None:
        self.path = self.directory / "50% of ?mode=ro #1 \u20ac" / "a b.sqlite"
        self.fill()
        self.opened()
        self.assertEqual(5, len(list(self.loaded.state.every_key())))


class RefusalTests(_Case):
    """One line that says what is wrong with which file, and the file is as it was."""

    def test_locked(self) -> None:
        database = self.opened()
        self.assertIn(f"held by another quantumd (process {os.getpid()})", self.refusal())
        database.close()
        self.opened()

    def test_not_a_file(self) -> None:
        self.path.mkdir(parents=True)
        self.assertIn("is not a file", self.refusal())

    def test_no_directory(self) -> None:
        (self.directory / "a").touch()
        self.assertIn("cannot be opened or made", self.refusal())
        self.assertIn("cannot be opened or made", self.refusal(Path("/proc/quantumd/quantumd.sqlite")))

    def test_not_sqlite(self) -> None:
        self.path.parent.mkdir(parents=True)
        for content in (b"x", b"[quantumd]\nplugin = memory\n" * 500, os.urandom(20000)):
            self.path.write_bytes(content)
            self.assertIn("is not a SQLite database", self.refusal())
            self.assertEqual(content, self.path.read_bytes())

    def test_of_another_program(self) -> None:
        self.path.parent.mkdir(parents=True)
        with closing(sqlite3.connect(self.path)) as connection:
            connection.execute("CREATE TABLE cats (name TEXT)")
        before = self.path.read_bytes()
        self.assertIn("another program", self.refusal())
        self.assertEqual(before, self.path.read_bytes())

    def test_damaged(self) -> None:
        """Whatever is overwritten or cut off: either refused and left alone, or nothing of it was needed."""
        self.fill()
        sound = self.path.read_bytes()
        refused = 0
        choose = random.Random(7)
        for cut in (True, False):
            for _ in range(40):
                spot = choose.randrange(100, len(sound))
                junk = choose.randbytes(choose.choice((1, 40, 3000)))
                broken = sound[:spot] if cut else (sound[:spot] + junk + sound[spot + len(junk) :])[: len(sound)]
                self.path.write_bytes(broken)
                try:
                    Database(self.path, "boot 1")._look(self.path)
                except (StoreError, sqlite3.DatabaseError):
                    refused += 1
                    self.refusal()
                    self.assertEqual(broken, self.path.read_bytes())
                else:
                    self.assertFalse(cut, f"{spot} of {len(sound)} bytes are taken for all of it")
        self.assertGreater(refused, 40, "most of it is needed")

    def test_damaged_with_a_log(self) -> None:
        """The log of a process that was killed is not written into a file that is damaged."""
        database = self.opened()
        database.write(batch({record.key: record for record in RECORDS}))
        log = self.path.with_name(self.path.name + "-wal")
        killed = log.read_bytes()
        database.close()
        sound = self.path.read_bytes()
        database = self.opened()
        database.write(batch({NETWORK.key: None}))
        killed = log.read_bytes()
        database.close()
        self.assertGreater(len(killed), 4096)
        broken = sound[:4096] + b"\xff" * (len(sound) - 4096)
        self.path.write_bytes(broken)
        log.write_bytes(killed)
        self.refusal()
        self.assertEqual((broken, killed), (self.path.read_bytes(), log.read_bytes()))

    def test_damaged_rows(self) -> None:
        """What SQLite cannot see: rows that say nothing, refer to nothing, or would be given again."""
        for spoil in (
            "UPDATE networks SET body = 'x'",
            "UPDATE networks SET body = json_set(body, '$.colour', 'blue')",
            "DELETE FROM networks",
            "DELETE FROM ports WHERE id = '33333333'",
            "DELETE FROM meta WHERE name = 'next_serial'",
            "UPDATE meta SET value = 2 WHERE name = 'next_serial'",
            "UPDATE meta SET value = 9 WHERE name = 'next_event'",
            "UPDATE meta SET value = 'x' WHERE name = 'next_event'",
            "DROP TABLE events",
        ):
            self.fill()
            with closing(sqlite3.connect(self.path)) as connection, connection:
                connection.execute(spoil)
            before = self.path.read_bytes()
            self.refusal()
            self.assertEqual(before, self.path.read_bytes(), spoil)
            self.path.unlink()

    def test_lock_is_released_after_a_refusal(self) -> None:
        self.fill()
        sound = self.path.read_bytes()
        self.path.write_bytes(b"x")
        self.refusal()
        self.path.write_bytes(sound)
        self.opened()

    def test_body_is_json(self) -> None:
        """People may read it with sqlite3's own JSON functions."""
        self.fill()
        with closing(sqlite3.connect(self.path)) as connection:
            (body,) = connection.execute("SELECT body FROM networks").fetchone()
        self.assertEqual("acme", json.loads(body)["tenant_id"])
