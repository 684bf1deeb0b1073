"""The state file: opening, checking, loading and writing it. All of it blocks, and is for one thread alone."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from quantumd.core.model import Attachment, Event, Network, Port, Stored, Token
from quantumd.core.state import State
from quantumd.core.transaction import build
from quantumd.store.codec import decode
from quantumd.store.copies import advice, copy_before_upgrade, prepare, put_in_place, sync_directory, unreadable
from quantumd.store.errors import StoreError
from quantumd.store.grouping import Batch
from quantumd.store.history import KEPT
from quantumd.store.lock import OwnerLock
from quantumd.store.schema import APPLICATION_ID, MIGRATIONS, Migration, migrate
from quantumd.store.tables import DROP, note, put

#: How far the numbers of events jump when the machine has booted since the state was last open: further than one
#: can get with events that a loss of power may have taken back, so that no number is ever given twice.
JUMP = 1_000_000

#: Seconds to wait for another program that looks into the file, such as a backup.
_PATIENCE = 5.0

#: Bytes (SQLite file format, 1.3).
_HEADER = 100


@frozen
class Loaded:
    """What was in the file: the state, and the newest events, oldest first."""

    state: State
    events: Sequence[Event]


class Database:
    """One state file, held by this process from :meth:`open` to :meth:`close`.

    ``boot_id`` names the machine's present run: another one than when the file was last open means that what was not
    on stable storage may be lost.
    """

    def __init__(self, path: Path, boot_id: str, migrations: Sequence[Migration] = MIGRATIONS) -> None:
        self._path = path
        self._boot_id = boot_id
        self._migrations = migrations
        self._lock: OwnerLock | None = None
        self._connection: sqlite3.Connection | None = None
        self._synchronous = ""
        self._oldest_event: int | None = None

    def open(self) -> Loaded:
        """Take the file, bring it up to date and read it.

        Raises StoreError. A file that is not ours, damaged or from a newer version is left as it is: nothing is
        written before all of it has been read.
        """
        try:
            with _explained(self._path):
                path = self._path.resolve()
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                if path.exists() and not path.is_file():
                    raise StoreError(f"the state file {path} is not a file: set 'state' in [quantumd] to a file's path")
                self._lock = OwnerLock(path)
                self._lock.acquire()
                loaded = None
                if path.exists() and path.stat().st_size:
                    loaded = self._look(path)
                else:
                    _make(path)
                self._connection = connection = _connect(path, "rw")
                connection.execute("PRAGMA journal_mode = WAL")
                self._set_synchronous("FULL")
                if loaded is None:
                    self._keep_copy(connection, path)
                    migrate(connection, self._migrations)
                    loaded = self._load(connection)
                return self._note_boot(connection, loaded)
        except BaseException:
            self.close()
            raise

    def write(self, batch: Batch) -> None:
        """Write all of it in one transaction, or raise StoreError and leave everything as it was.

        A durable batch, and whatever was written before it, is on stable storage when this returns. Any other is
        safe from the end of this process.
        """
        connection = self._connection
        assert connection is not None
        try:
            self._set_synchronous("FULL" if batch.durable else "NORMAL")
            with _transaction(connection):
                for key, record in batch.records.items():
                    if record is None:
                        connection.execute(DROP[key.kind], (key.ident,))
                put(connection, (one for one in batch.records.values() if one is not None), batch.events)
                if batch.oldest_event != self._oldest_event:
                    connection.execute("DELETE FROM events WHERE seq < ?", (batch.oldest_event,))
                note(connection, next_serial=batch.next_serial, next_event=batch.next_event)
            self._oldest_event = batch.oldest_event
        except sqlite3.Error as error:
            self._write_over(connection)
            raise StoreError(f"{self._path}: {error}") from error

    def serialize(self) -> bytes:
        """The whole state as a file of its own would have it. Raises StoreError."""
        connection = self._connection
        assert connection is not None
        try:
            return connection.serialize()
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: {error}") from error

    def restore(self, source: Path) -> Path | None:
        """Put a backup in the file's place, whatever state that is in. Returns where what was there is kept.

        Raises StoreError, and has changed nothing then. The file must not be open.
        """
        with _explained(self._path):
            path = self._path.resolve()
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = OwnerLock(path)
            lock.acquire()
            prepared = path.with_name(path.name + ".restoring")
            try:
                try:
                    prepare(source, prepared, JUMP)
                    self._look(prepared)
                except (sqlite3.Error, OSError) as error:
                    raise unreadable(source, error) from error
                except StoreError as error:
                    raise unreadable(source, str(error).replace(str(prepared), str(source))) from error
                return put_in_place(prepared, path)
            finally:
                prepared.unlink(missing_ok=True)
                lock.release()

    @staticmethod
    def _keep_copy(connection: sqlite3.Connection, path: Path) -> None:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version:
            copy_before_upgrade(connection, path, version)

    @staticmethod
    def _write_over(connection: sqlite3.Connection) -> None:
        """Where the log could not be synchronised, it has the commit in it all the same, and a process that begins
        now would take it for good: have another one written in its place, if anything can be written."""
        with suppress(sqlite3.Error), _transaction(connection):
            note(connection, refused=time.monotonic_ns())

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _look(self, path: Path) -> Loaded | None:
        """Check the file and read it, without a write; None where it is sound but of an older version."""
        with path.open("rb") as file:
            header = file.read(_HEADER)
        if len(header) < _HEADER or not header.startswith(b"SQLite format 3\0"):
            # SQLite itself takes a file that is shorter than its header for an empty one.
            raise _not_sqlite(path)
        with closing(_connect(path, "ro")) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            (application,) = connection.execute("PRAGMA application_id").fetchone()
            (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if application != APPLICATION_ID and (tables or application):
                raise StoreError(
                    f"the state file {path} is a SQLite database of another program: set 'state' in [quantumd] to "
                    "another path"
                )
            if version > len(self._migrations):
                raise StoreError(
                    f"the state file {path} was written by a newer quantumd (its version is {version}, this one knows "
                    f"up to {len(self._migrations)}): run that quantumd, or set 'state' in [quantumd] to another path"
                )
            faults = [row[0] for row in connection.execute("PRAGMA quick_check(1)")]
            if faults != ["ok"]:
                raise _damaged(path, faults[0])
            return self._load(connection) if version == len(self._migrations) else None

    def _load(self, connection: sqlite3.Connection) -> Loaded:
        def rows(statement: str) -> Iterator[Any]:
            return (row[0] for row in connection.execute(statement))

        try:
            meta = dict(connection.execute("SELECT name, value FROM meta"))
            state = build(
                chain(
                    (decode(Network, body) for body in rows("SELECT body FROM networks")),
                    (decode(Port, body) for body in rows("SELECT body FROM ports")),
                    (decode(Attachment, body) for body in rows("SELECT body FROM attachments")),
                ),
                int(meta["next_serial"]),
                int(meta["next_event"]),
                (decode(Token, body) for body in rows("SELECT body FROM tokens")),
            )
            newest = rows(f"SELECT body FROM events ORDER BY seq DESC LIMIT {KEPT}")  # noqa: S608 - our own number
            events = [decode(Event, body) for body in newest][::-1]
        except (ValueError, KeyError, AssertionError) as error:
            raise _damaged(self._path, str(error)) from error
        for wrong in _inconsistent(state, events):
            raise _damaged(self._path, wrong)
        return Loaded(state, events)

    def _note_boot(self, connection: sqlite3.Connection, loaded: Loaded) -> Loaded:
        state = loaded.state
        with _transaction(connection):
            (before,) = connection.execute("SELECT value FROM meta WHERE name = 'boot_id'").fetchone()
            if before and before != self._boot_id:
                state = evolve(state, next_event=state.next_event + JUMP)
            note(connection, boot_id=self._boot_id, next_event=state.next_event)
        return Loaded(state, loaded.events)

    def _set_synchronous(self, level: str) -> None:
        # In WAL mode, FULL syncs the log at each commit and NORMAL only at checkpoints.
        assert self._connection is not None
        if level != self._synchronous:
            self._connection.execute(f"PRAGMA synchronous = {level}")
            self._synchronous = level


def _inconsistent(state: State, events: Sequence[Event]) -> Iterator[str]:
    """What cannot be in a file of ours: references to nothing, and numbers that are to be given again."""
    for port in state.ports.values():
        if port.network_id not in state.networks:
            yield f"port {port.id} is on no network"
    for attachment in state.attachments.values():
        home = state.ports.get(attachment.port_id)
        if home is None or home.network_id != attachment.network_id:
            yield f"attachment {attachment.serial} is in no port of its network"
    records: Iterator[Stored] = chain(
        state.networks.values(), state.ports.values(), state.attachments.values(), state.tokens.values()
    )
    if max((record.serial for record in records), default=0) >= state.next_serial:
        yield "a record has a number that is not below the next one"
    if events and events[-1].seq >= state.next_event:
        yield "an event has a number that is not below the next one"


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.as_uri()}?mode={mode}", uri=True, timeout=_PATIENCE, isolation_level=None)


def _make(path: Path) -> None:
    """An empty file, readable by its owner only, whose name is on stable storage as well."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    sync_directory(path.parent)


def _not_sqlite(path: Path) -> StoreError:
    return StoreError(
        f"the state file {path} is not a SQLite database, or is damaged: it was left as it is; {advice(path)}"
    )


def _damaged(path: Path, how: str) -> StoreError:
    return StoreError(
        f"the state file {path} is damaged ({' '.join(how.split())}): it was left as it is; {advice(path)}"
    )


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what the system and SQLite raise into StoreErrors."""
    try:
        yield
    except OSError as error:
        where = error.filename or path
        raise StoreError(
            f"the state file {path} cannot be opened or made ({where}: {error.strerror or error}): make its directory "
            "writable for quantumd, or set 'state' in [quantumd] to another path"
        ) from error
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith("SQLITE_NOTADB"):
            raise _not_sqlite(path) from error
        if name.startswith("SQLITE_CORRUPT"):
            raise _damaged(path, str(error)) from error
        raise StoreError(
            f"the state file {path} cannot be opened ({error}): make it readable and writable for quantumd and see "
            "that no other program holds it, or set 'state' in [quantumd] to another path"
        ) from error
