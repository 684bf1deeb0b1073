"""The tables, and the way from each older version of them to this one.

The version is in ``user_version``; ``application_id`` says that the file is ours. A migration is one function that
takes the tables from its version to the next. Migrations are never changed once they are released: see
``tests/store/golden``, which has a file of each version.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

Migration = Callable[[sqlite3.Connection], None]

#: "qntm" in ASCII (SQLite file format, 1.3.10).
APPLICATION_ID = 0x716E746D


def _create(connection: sqlite3.Connection) -> None:
    """0 to 1: a row for each record and event, with its ids in columns for people, and all of it in ``body``."""
    for statement in (
        "CREATE TABLE meta (name TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID",
        "CREATE TABLE networks (id TEXT PRIMARY KEY, name TEXT NOT NULL, body TEXT NOT NULL)",
        "CREATE TABLE ports (id TEXT PRIMARY KEY, network_id TEXT NOT NULL, body TEXT NOT NULL)",
        "CREATE TABLE attachments (serial INTEGER PRIMARY KEY, id TEXT NOT NULL, port_id TEXT NOT NULL,"
        " network_id TEXT NOT NULL, body TEXT NOT NULL)",
        "CREATE TABLE events (seq INTEGER PRIMARY KEY, body TEXT NOT NULL)",
        "INSERT INTO meta VALUES ('next_serial', 1), ('next_event', 1), ('boot_id', '')",
        f"PRAGMA application_id = {APPLICATION_ID}",
    ):
        connection.execute(statement)


def _add_tokens(connection: sqlite3.Connection) -> None:
    """1 to 2: tokens; and what was plugged was plugged by an admin, since there was nobody else."""
    connection.execute("CREATE TABLE tokens (id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL, body TEXT NOT NULL)")
    connection.execute("UPDATE attachments SET body = json_set(body, '$.confined', json('false'))")


#: The one at index N takes version N to N + 1.
MIGRATIONS: Sequence[Migration] = (_create, _add_tokens)


def migrate(connection: sqlite3.Connection, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Bring the tables up to date: all migrations that are missing in one transaction, or none of them."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        for migration in migrations[version:]:
            migration(connection)
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
