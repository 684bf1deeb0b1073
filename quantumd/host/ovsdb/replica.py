"""What the server has in the tables and columns that are used, kept up to date by what it tells.

Rows are exact tuples of plain values (see :mod:`quantumd.host.ovsdb.schema`), the UUID first. A transaction becomes
visible as a whole: rows are made ready in slices, and put in place in one go.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import field, frozen

from quantumd.host.ovsdb.errors import ProtocolError
from quantumd.host.ovsdb.schema import Column, Schema

_SLICE = 16
_NONE: tuple[str, ...] = ()

_Values = tuple[Any, ...]


class Row:
    """A row as it was when it was looked up: ``row.uuid``, and each monitored column by its name."""

    __slots__ = ("_places", "_values")

    def __init__(self, places: Mapping[str, int], values: _Values) -> None:
        self._places = places
        self._values = values

    def __getattr__(self, name: str) -> Any:
        try:
            return self._values[self._places[name]]
        except KeyError:
            raise AttributeError(f"column {name} is not monitored") from None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Row) and self._values == other._values

    def __hash__(self) -> int:
        return hash(self.uuid)

    def __repr__(self) -> str:
        return f"Row({', '.join(f'{name}={self._values[place]!r}' for name, place in self._places.items())})"


@frozen
class RowChange:
    """One row that came (``before`` is None), changed, or went (``after`` is None)."""

    table: str
    before: Row | None
    after: Row | None


#: The keys under which an index has a row.
Keys = Callable[[Row], Iterable[str]]


@frozen
class Index:
    """Finds the rows of a table by what ``keys`` gives for them."""

    table: str
    name: str
    keys: Keys


@frozen
class Monitored:
    """What to keep of a database: columns by table, and indexes."""

    columns: Mapping[str, Sequence[str]]
    indexes: Sequence[Index] = field(default=())


@frozen
class _Content:
    rows: dict[str, dict[str, _Values]]
    indexes: dict[tuple[str, str], dict[str, tuple[str, ...]]]


class Replica:
    """The tables of one database. ``content`` is replaced by each snapshot and changed in place by each update."""

    def __init__(self, schema: Schema, monitored: Monitored) -> None:
        self.schema = schema
        self._monitored = monitored
        self._columns: dict[str, tuple[Column, ...]] = {}
        self._places: dict[str, dict[str, int]] = {}
        for table, names in monitored.columns.items():
            self._columns[table] = tuple(schema.column(table, name) for name in names)
            self._places[table] = {"uuid": 0, **{name: place for place, name in enumerate(names, 1)}}
        self._content = self._empty()

    # --- looking at it

    def rows(self, table: str) -> Iterator[Row]:
        """Every row of a table. The table may not change meanwhile."""
        places = self._places[table]
        return (Row(places, values) for values in self._content.rows[table].values())

    def count(self, table: str) -> int:
        """How many rows a table has."""
        return len(self._content.rows[table])

    def get(self, table: str, uuid: str) -> Row | None:
        """The row with that UUID."""
        values = self._content.rows[table].get(uuid)
        return None if values is None else Row(self._places[table], values)

    def find(self, table: str, index: str, key: str) -> list[Row]:
        """The rows that an index has under a key."""
        rows = self._content.rows[table]
        return [Row(self._places[table], rows[uuid]) for uuid in self._content.indexes[table, index].get(key, _NONE)]

    def first(self, table: str, index: str, key: str) -> Row | None:
        """The row that an index has under a key that no two rows share, or None."""
        found = self.find(table, index, key)
        return found[0] if found else None

    def keys(self, table: str, index: str) -> Collection[str]:
        """The keys of an index."""
        return self._content.indexes[table, index].keys()

    # --- keeping it up to date

    def request(self) -> dict[str, Any]:
        """What to ask of the server with ``monitor_cond`` (ovsdb-server(7), 4.1.12)."""
        return {table: [{"columns": list(names)}] for table, names in self._monitored.columns.items()}

    def leaf(self, table: str | int, update: Any) -> Any:
        """Bring one row's update from the wire into the form that :meth:`load` and :meth:`update` take."""
        if not isinstance(table, str) or table not in self._columns or not isinstance(update, dict) or len(update) != 1:
            return update
        columns = self._columns[table]
        (kind, row), *_ = update.items()
        if kind in ("initial", "insert"):
            # What has its default is left out.
            return kind, tuple(
                column.decode(row[column.name]) if column.name in row else column.default for column in columns
            )
        if kind == "modify":
            return kind, tuple(
                (place, columns[place].decode(row[columns[place].name])) for place in self._in(table, row)
            )
        return kind, None

    def load(self, snapshot: Any) -> Generator[None, None, None]:
        """Replace everything, after many slices in one go."""
        content = self._empty()
        for item in self._updates(snapshot):
            if item is None:
                yield
                continue
            table, uuid, update = item
            self._place(content, table, (uuid, *update[1]), None)
        self._content = content

    def update(self, updates: Any) -> Generator[None, None, list[RowChange]]:
        """Carry a transaction in, and return what it changed."""
        staged: list[tuple[str, _Values | None, _Values | None]] = []
        for item in self._updates(updates):
            if item is None:
                yield
                continue
            table, uuid, update = item
            before = self._content.rows[table].get(uuid)
            staged.append((table, before, self._changed(table, uuid, before, update)))
        changes = []
        for table, before, after in staged:
            self._place(self._content, table, after, before)
            places = self._places[table]
            changes.append(
                RowChange(
                    table,
                    None if before is None else Row(places, before),
                    None if after is None else Row(places, after),
                )
            )
        return changes

    # --- in detail

    def _empty(self) -> _Content:
        return _Content(
            {table: {} for table in self._monitored.columns},
            {(index.table, index.name): {} for index in self._monitored.indexes},
        )

    def _in(self, table: str, row: Any) -> list[int]:
        places = self._places[table]
        return [places[name] - 1 for name in row]

    def _updates(self, updates: Any) -> Iterator[tuple[str, str, Any] | None]:
        """Each row's update, and now and then None, for a pause."""
        if not isinstance(updates, dict) or not updates.keys() <= self._columns.keys():
            raise ProtocolError("the server tells of tables that were not asked for")
        count = 0
        for table, rows in updates.items():
            for uuid, update in rows.items():
                if not isinstance(update, tuple):
                    raise ProtocolError(f"the server tells of a row of {table} in a way that is not known")
                yield table, uuid, update
                count += 1
                if count % _SLICE == 0:
                    yield None

    def _changed(self, table: str, uuid: str, before: _Values | None, update: Any) -> _Values | None:
        kind, told = update
        if kind == "insert":
            return uuid, *told
        if kind == "delete":
            return None
        if kind != "modify" or before is None:
            raise ProtocolError(f"the server tells of a {kind} of a row of {table} that it had not told of before")
        values = list(before)
        columns = self._columns[table]
        for place, difference in told:
            values[place + 1] = columns[place].merge(before[place + 1], difference)
        return tuple(values)

    def _place(self, content: _Content, table: str, after: _Values | None, before: _Values | None) -> None:
        if after is not None:
            content.rows[table][after[0]] = after
        elif before is not None:
            content.rows[table].pop(before[0], None)
        places = self._places[table]
        for index in self._monitored.indexes:
            if index.table != table:
                continue
            entries = content.indexes[table, index.name]
            old = set() if before is None else set(index.keys(Row(places, before)))
            new = set() if after is None else set(index.keys(Row(places, after)))
            if before is not None:
                for key in old - new:
                    rest = tuple(uuid for uuid in entries.get(key, _NONE) if uuid != before[0])
                    if rest:
                        entries[key] = rest
                    else:
                        entries.pop(key, None)
            if after is not None:
                for key in new - old:
                    entries[key] = (*entries.get(key, _NONE), after[0])
