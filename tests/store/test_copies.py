from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from attrs import evolve

from quantumd.store.database import JUMP, Database
from quantumd.store.errors import StoreError
from quantumd.store.schema import MIGRATIONS, migrate
from tests.store.records import EVENTS, NETWORK, NEXT_EVENT, NEXT_SERIAL, RECORDS
from tests.store.test_database import _Case, batch


class CopyTests(_Case):
    def backup(self) -> Path:
        """A backup of the records, taken while the file is open and has a log."""
        database = self.opened()
        database.write(evolve(batch({record.key: record for record in RECORDS}), events=EVENTS))
        copy = self.directory / "copy"
        copy.write_bytes(database.serialize())
        database.close()
        return copy

    def restore(self, source: Path) -> Path | None:
        return Database(self.path, "boot 1").restore(source)

    def test_backup_and_restore(self) -> None:
        """All of it comes back; no number is given twice; what was there is kept."""
        copy = self.backup()
        database = self.opened()
        database.write(batch({NETWORK.key: evolve(NETWORK, name="later")}))
        database.close()
        kept = self.restore(copy)
        assert kept is not None
        self.opened()
        for record in RECORDS:
            self.assertEqual(record, self.loaded.state.get(record.key))
        self.assertEqual(NEXT_SERIAL + JUMP, self.loaded.state.next_serial)
        self.assertEqual(NEXT_EVENT + JUMP, self.loaded.state.next_event)
        self.assertEqual(0o600, self.path.stat().st_mode & 0o777)
        with closing(sqlite3.connect(kept)) as connection:
            self.assertEqual([("later",)], list(connection.execute("SELECT name FROM networks")))

    def test_restore_over_a_damaged_file(self) -> None:
        """A damaged file with a log is replaced, and its log does not come back into the new one."""
        copy = self.backup()
        self.path.write_bytes(b"damaged")
        self.path.with_name(self.path.name + "-wal").write_bytes(b"a log of something else")
        self.restore(copy)
        self.opened()
        self.assertEqual(len(RECORDS), len(list(self.loaded.state.every_key())))

    def test_restore_into_nothing(self) -> None:
        copy = self.backup()
        for file in self.path.parent.iterdir():
            file.unlink()
        self.assertIsNone(self.restore(copy))
        self.opened()
        self.assertIn(NETWORK.id, self.loaded.state.networks)

    def test_bad_backups(self) -> None:
        """What is no backup is refused in one line, and nothing has changed."""
        copy = self.backup()
        before = self.path.read_bytes()
        junk = self.directory / "junk"
        for content in (b"", b"junk", copy.read_bytes()[:9000], b"SQLite format 3\0" * 600):
            junk.write_bytes(content)
            with self.assertRaises(StoreError) as caught:
                self.restore(junk)
            self.assertIn(str(junk), str(caught.exception))
            self.assertNotIn("\n", str(caught.exception))
            self.assertEqual(before, self.path.read_bytes())
        with self.assertRaisesRegex(StoreError, "nothing was changed"):
            self.restore(self.directory / "not there")
        self.assertEqual(
            {"quantumd.sqlite", "quantumd.sqlite.lock"}, {file.name for file in self.path.parent.iterdir()}
        )

    def test_not_under_a_daemon(self) -> None:
        copy = self.backup()
        self.opened()
        with self.assertRaisesRegex(StoreError, "held by another quantumd"):
            self.restore(copy)

    def test_copy_at_upgrade(self) -> None:
        """The state is kept as the older version left it; where the new file is damaged, that copy is named."""
        self.path.parent.mkdir(parents=True)
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            migrate(connection, MIGRATIONS[:1])
        self.opened().close()
        copy = self.path.with_name("quantumd.sqlite.v1.backup")
        with closing(sqlite3.connect(copy)) as connection:
            self.assertEqual((1,), connection.execute("PRAGMA user_version").fetchone())
        self.path.write_bytes(b"x" * 5000)
        with self.assertRaises(StoreError) as caught:
            self.opened()
        self.assertIn(f"twistd quantumd --restore {copy}", str(caught.exception))
        self.restore(copy)
        self.opened()
