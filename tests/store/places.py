"""Scratch places for the state of one test."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from twisted.internet import reactor

from quantumd.store.memory import MemoryStore
from quantumd.store.sqlite import SQLiteStore
from quantumd.testing import StorePlace


class Files(StorePlace):
    """A directory with one state file."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="quantumd-store-"))
        self.path = self.directory / "state" / "quantumd.sqlite"

    def make_store(self) -> SQLiteStore:
        return SQLiteStore(reactor, self.path, "this boot")

    def break_down(self) -> None:
        """Let the last statement of each write fail, as a disk that is full does."""
        self._execute("CREATE TRIGGER broken BEFORE INSERT ON meta BEGIN SELECT RAISE(ABORT, 'no space left'); END")

    def mend(self) -> None:
        self._execute("DROP TRIGGER broken")

    def close(self) -> None:
        shutil.rmtree(self.directory)

    def _execute(self, statement: str) -> None:
        with closing(sqlite3.connect(self.path)) as connection:
            connection.execute(statement)


class Memory(StorePlace):
    """The memory of this process."""

    def __init__(self) -> None:
        self.stores: list[MemoryStore] = []

    def make_store(self) -> MemoryStore:
        self.stores.append(self.stores[-1].successor() if self.stores else MemoryStore(reactor))
        return self.stores[-1]

    def break_down(self) -> None:
        self.stores[-1].broken = OSError("no space left")

    def mend(self) -> None:
        self.stores[-1].broken = None

    def close(self) -> None:
        self.stores.clear()
