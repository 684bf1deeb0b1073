"""Records and events as rows of the tables."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import chain

from quantumd.core.model import Event, Kind, Network, Port, Stored, Token
from quantumd.core.state import State
from quantumd.store.codec import encode
from quantumd.store.schema import migrate

Row = tuple[str | int, ...]


def _put(table: str, key: str, *others: str) -> str:
    # "INSERT OR REPLACE" would take the row out and put another one at the end of the table: three pages for one.
    names, places = ", ".join((key, *others)), ", ".join("?" for _ in (key, *others))
    changes = ", ".join(f"{name} = excluded.{name}" for name in others)
    insert = f"INSERT INTO {table} ({names}) VALUES ({places})"  # noqa: S608 - our own names
    return f"{insert} ON CONFLICT ({key}) DO UPDATE SET {changes}"


#: How to add a record, or replace it.
PUT = {
    Kind.NETWORK: _put("networks", "id", "name", "body"),
    Kind.PORT: _put("ports", "id", "network_id", "body"),
    Kind.ATTACHMENT: _put("attachments", "serial", "id", "port_id", "network_id", "body"),
    Kind.TOKEN: _put("tokens", "id", "tenant_id", "body"),
}
#: How to take one out.
DROP = {
    Kind.NETWORK: "DELETE FROM networks WHERE id = ?",
    Kind.PORT: "DELETE FROM ports WHERE id = ?",
    Kind.ATTACHMENT: "DELETE FROM attachments WHERE serial = ?",
    Kind.TOKEN: "DELETE FROM tokens WHERE id = ?",
}
#: How to add an event.
EVENT = "INSERT INTO events (seq, body) VALUES (?, ?)"


def put(connection: sqlite3.Connection, records: Iterable[Stored], events: Iterable[Event]) -> None:
    """Write the records, in the place of those with their keys, and add the events."""
    rows: defaultdict[Kind, list[Row]] = defaultdict(list)
    for record in records:
        rows[record.key.kind].append(row(record))
    for kind, every in rows.items():
        connection.executemany(PUT[kind], every)
    connection.executemany(EVENT, [(event.seq, encode(event)) for event in events])


def row(record: Stored) -> Row:
    """The values for :data:`PUT`."""
    if isinstance(record, Network):
        return record.id, record.name, encode(record)
    if isinstance(record, Port):
        return record.id, record.network_id, encode(record)
    if isinstance(record, Token):
        return record.id, record.tenant_id, encode(record)
    return record.serial, record.id, record.port_id, record.network_id, encode(record)


def note(connection: sqlite3.Connection, **values: str | int) -> None:
    """Set values that there is one of in a file."""
    connection.executemany("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", values.items())


def serialized(state: State, events: Sequence[Event]) -> bytes:
    """A state file with just that in it."""
    kept: Iterator[Stored] = chain(
        state.networks.values(), state.ports.values(), state.attachments.values(), state.tokens.values()
    )
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection)
        put(connection, kept, events)
        note(connection, next_serial=state.next_serial, next_event=state.next_event)
        return connection.serialize()
