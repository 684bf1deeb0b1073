"""Records and events as rows of the tables."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import chain

from quantumd.core.model import Event, Kind, Network, Port, Stored, Token
from quantumd.core.state import State
from quantumd.store.codec import encode
from quantumd.store.schema import migrate

#: How to add a record, or replace it.
PUT = {
    Kind.NETWORK: "INSERT OR REPLACE INTO networks (id, name, body) VALUES (?, ?, ?)",
    Kind.PORT: "INSERT OR REPLACE INTO ports (id, network_id, body) VALUES (?, ?, ?)",
    Kind.ATTACHMENT: "INSERT OR REPLACE INTO attachments (serial, id, port_id, network_id, body)"
    " VALUES (?, ?, ?, ?, ?)",
    Kind.TOKEN: "INSERT OR REPLACE INTO tokens (id, tenant_id, body) VALUES (?, ?, ?)",
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


def row(record: Stored) -> tuple[str | int, ...]:
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
        for record in kept:
            connection.execute(PUT[record.key.kind], row(record))
        connection.executemany(EVENT, [(event.seq, encode(event)) for event in events])
        note(connection, next_serial=state.next_serial, next_event=state.next_event)
        return connection.serialize()
