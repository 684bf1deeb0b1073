"""Copies of a state file: made at each upgrade, looked for when a file is damaged, and put back in its place.

A copy is one file, whole in itself. All of this blocks.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from quantumd.store.errors import StoreError

#: What the names of the copies beside a state file end with.
SUFFIX = ".backup"

_LOGS = ("-wal", "-shm")


def copy_before_upgrade(connection: sqlite3.Connection, path: Path, version: int) -> Path:
    """Keep the state as the older version left it, beside it: ``quantumd.sqlite.v1.backup``."""
    copy = path.with_name(f"{path.name}.v{version}{SUFFIX}")
    write_whole(copy, connection.serialize())
    return copy


def newest_copy(path: Path) -> Path | None:
    """The newest copy that lies beside a state file."""
    try:
        found = [copy for copy in path.parent.glob("*" + SUFFIX) if copy.name.startswith(path.name)]
        return max(found, key=lambda copy: copy.stat().st_mtime, default=None)
    except OSError:
        return None


def write_whole(path: Path, content: bytes) -> None:
    """Have the file there with all of its content, readable by its owner alone, or not at all."""
    partial = path.with_name(path.name + ".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Take the names in a directory to stable storage."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def prepare(source: Path, target: Path, jump: int) -> None:
    """Make ``target`` of the copy, so that no number is given again that was given since the copy was made.

    Numbers of records and events go on ``jump`` further. Raises sqlite3.Error, or OSError.
    """
    shutil.copyfile(source, target)
    target.chmod(0o600)
    with closing(sqlite3.connect(target, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("UPDATE meta SET value = value + ? WHERE name IN ('next_serial', 'next_event')", (jump,))
    with target.open("rb") as file:
        os.fsync(file.fileno())


def put_in_place(prepared: Path, path: Path) -> Path | None:
    """Replace the state file, which nobody holds open; what was there is kept. Returns where; None: nothing was.

    At no time is there no state file, since a daemon would begin anew and take everything off the host.
    """
    kept = None
    if path.exists():
        kept = path.with_name(f"{path.name}.replaced")
        for suffix in ("", "-wal"):
            there, here = path.with_name(path.name + suffix), kept.with_name(kept.name + suffix)
            here.unlink(missing_ok=True)
            if there.exists():
                shutil.copy2(there, here)
    for suffix in _LOGS:
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    sync_directory(path.parent)
    prepared.replace(path)
    sync_directory(path.parent)
    return kept


def advice(path: Path) -> str:
    """What to do about a damaged file: one clause, for the end of a line."""
    copy = newest_copy(path)
    if copy is None:
        return "put a backup back with 'twistd quantumd --restore FILE', or move it away to begin with an empty state"
    return f"put the newest copy back with 'twistd quantumd --restore {copy}', or another backup"


def unreadable(source: Path, why: object) -> StoreError:
    """The fault for a backup that cannot be used."""
    return StoreError(f"the backup {source} cannot be restored ({why}); nothing was changed, use another one")
