from __future__ import annotations

import re
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from quantumd.store.database import Database
from quantumd.store.errors import StoreError
from quantumd.store.schema import MIGRATIONS
from tests.store.records import EVENTS, NEXT_EVENT, NEXT_SERIAL, RECORDS, TOKEN, VETH

GOLDEN = Path(__file__).parent / "golden"


def restore(text: str, path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(text)


def outline(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [row[0] for row in connection.execute("SELECT sql FROM sqlite_master WHERE sql NOTNULL ORDER BY name")]


class SchemaTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="quantumd-schema-"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.path = self.directory / "quantumd.sqlite"

    def test_there_is_a_file_of_each_version(self) -> None:
        """For a new version: dump what a Database writes of the records into golden/vN.sql."""
        versions = sorted(
            int(match[1]) for file in GOLDEN.iterdir() if (match := re.fullmatch(r"v(\d+)\.sql", file.name))
        )
        self.assertEqual(list(range(1, len(MIGRATIONS) + 1)), versions)

    def test_each_version(self) -> None:
        """A file of each version has everything that was in it, and the same tables as a new one."""
        fresh = self.directory / "fresh.sqlite"
        database = Database(fresh, "boot 1")
        database.open()
        database.close()
        for version in range(1, len(MIGRATIONS) + 1):
            path = self.directory / f"v{version}.sqlite"
            restore((GOLDEN / f"v{version}.sql").read_text(), path)
            database = Database(path, "boot 1")
            loaded = database.open()
            database.close()
            records = {key: loaded.state.get(key) for key in loaded.state.every_key()}
            expected = {record.key: record for record in RECORDS}
            if version < 2:  # there was nobody but admins, and no token but theirs
                expected[VETH.key] = evolve(VETH, confined=False)
            self.assertEqual(expected, records)
            self.assertEqual([] if version < 2 else [TOKEN], list(loaded.state.tokens.values()))
            self.assertEqual(list(EVENTS), list(loaded.events))
            self.assertEqual((NEXT_SERIAL, NEXT_EVENT), (loaded.state.next_serial, loaded.state.next_event))
            self.assertEqual(outline(fresh), outline(path))

    def test_upgrade(self) -> None:
        """What is missing is done in order, once, and all of it or nothing."""
        database = Database(self.path, "boot 1")
        database.open()
        database.close()
        done: list[int] = []
        newest = len(MIGRATIONS)

        def second(connection: sqlite3.Connection) -> None:
            done.append(2)
            connection.execute("CREATE TABLE more (id TEXT)")

        def third(connection: sqlite3.Connection) -> None:
            done.append(3)
            connection.execute("INSERT INTO more VALUES ('x')")

        def broken(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT INTO nowhere VALUES ('x')")

        with self.assertRaises(StoreError):
            Database(self.path, "boot 1", (*MIGRATIONS, second, broken)).open()
        self.assertEqual(newest, self.version())
        self.assertNotIn("CREATE TABLE more (id TEXT)", outline(self.path))
        done.clear()
        for _ in range(2):
            upgraded = Database(self.path, "boot 1", (*MIGRATIONS, second, third))
            upgraded.open()
            upgraded.close()
        self.assertEqual([2, 3], done)
        self.assertEqual(newest + 2, self.version())

    def test_newer(self) -> None:
        """A file of a newer version is refused and left as it is."""
        database = Database(self.path, "boot 1", (*MIGRATIONS, lambda connection: None))
        database.open()
        database.close()
        before = self.path.read_bytes()
        known = len(MIGRATIONS)
        why = rf"newer quantumd \(its version is {known + 1}, this one knows up to {known}\)"
        with self.assertRaisesRegex(StoreError, why):
            Database(self.path, "boot 1").open()
        self.assertEqual(before, self.path.read_bytes())

    def version(self) -> int:
        with closing(sqlite3.connect(self.path)) as connection:
            return int(connection.execute("PRAGMA user_version").fetchone()[0])
