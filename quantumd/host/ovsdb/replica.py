"""What the server has in the tables and columns that are used, kept up to date by what it tells.

Rows are exact tuples of plain values (see :mod:`quantumd.host.ovsdb.schema`), the UUID first. A transaction becomes
visible as a whole: rows are made ready in slices, and put in place in one go.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

from attrs import field, frozen

from quantumd.host.ovsdb.errors import ProtocolError
from quantumd.host.ovsdb.schema import Column, Schema

_SLICE = 16
_NONE: tuple[str, ...] = ()


class Row(tuple[Any, ...]):
    """A row as it was when it was looked up: ``row.uuid``, and each monitored column by its name.

    Each table has a subclass of its own that knows the columns, so that one is read as fast as an item of a tuple.
    """

    __slots__ = ()
    uuid: str

    def __getattr__(self, name: str) -> Any:
        # Only what is not there comes here; and it tells mypy that what is there may be anything.
        raise AttributeError(f"column {name} is not monitored")

    def __hash__(self) -> int:
        return hash(self[0])

    def __repr__(self) -> str:
        return f"{type(self).__name__}{tuple(self)!r}"


def _row_class(table: str, columns: Sequence[str]) -> type[Row]:
    readers = {name: property(itemgetter(place)) for place, name in enumerate(("uuid", *columns))}
    return type(table, (Row,), {"__slots__": (), **readers})


@frozen
class RowChange:
    """One row that came (``before`` is None), changed, or went (``after`` is None). ``differences`` are those of its
    columns that are sets, of a row that came the large ones: what is in one of the two rows and not in the other."""

    table: str
    before: Row | None
    after: Row | None
    differences: Mapping[str, Collection[Any]] = field(factory=dict)

    def members(self, column: str) -> tuple[Collection[Any], Collection[Any]]:
        """What went from a column that is a set, and what came: of ten thousand members, just these are looked at."""
        if self.before is None:
            return (), () if self.after is None else self.differences.get(column, getattr(self.after, column))
        held = getattr(self.before, column)
        if self.after is None:
            return held, ()
        difference = self.differences.get(column, ())
        return [one for one in difference if one in held], [one for one in difference if one not in held]


#: The keys under which an index has a row; or the name of a column, a set, whose members they are.
Keys = Callable[[Row], Iterable[str]] | str


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
    rows: dict[str, dict[str, Row]]
    indexes: dict[tuple[str, str], dict[str, tuple[str, ...]]]


class Replica:
    """The tables of one database. ``content`` is replaced by each snapshot and changed in place by each update."""

    def __init__(self, schema: Schema, monitored: Monitored) -> None:
        self.schema = schema
        self._monitored = monitored
        self._columns: dict[str, tuple[Column, ...]] = {}
        self._sets: dict[str, tuple[Column, ...]] = {}
        self._places: dict[str, dict[str, int]] = {}
        self._classes: dict[str, type[Row]] = {}
        self._indexes: dict[str, list[Index]] = {table: [] for table in monitored.columns}
        for table, names in monitored.columns.items():
            self._columns[table] = tuple(schema.column(table, name) for name in names)
            self._sets[table] = tuple(column for column in self._columns[table] if column.is_set)
            self._places[table] = {name: place for place, name in enumerate(names)}
            self._classes[table] = _row_class(table, names)
        for index in monitored.indexes:
            self._indexes[index.table].append(index)
        self._content = self._empty()

    # --- looking at it

    def rows(self, table: str) -> Iterator[Row]:
        """Every row of a table. The table may not change meanwhile."""
        return iter(self._content.rows[table].values())

    def count(self, table: str) -> int:
        """How many rows a table has."""
        return len(self._content.rows[table])

    def get(self, table: str, uuid: str) -> Row | None:
        """The row with that UUID."""
        return self._content.rows[table].get(uuid)

    def find(self, table: str, index: str, key: str) -> list[Row]:
        """The rows that an index has under a key."""
        rows = self._content.rows[table]
        return [rows[uuid] for uuid in self._content.indexes[table, index].get(key, _NONE)]

    def first(self, table: str, index: str, key: str) -> Row | None:
        """The row that an index has under a key that no two rows share, or None."""
        found = self._content.indexes[table, index].get(key)
        return self._content.rows[table][found[0]] if found else None

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
            values = tuple(
                column.decode(row[column.name]) if column.name in row else column.default for column in columns
            )
            sets = (
                (column.name, column.many_members(row[column.name]))
                for column in self._sets[table]
                if column.name in row
            )
            return kind, values, {name: members for name, members in sets if members is not None}
        if kind == "modify":
            places = self._places[table]
            changed = [columns[places[name]] for name in row]
            found = {column.name: column.decode(row[column.name]) for column in changed}
            return kind, found, {column.name: found[column.name] for column in changed if column.is_set}
        return kind, None, {}

    def load(self, snapshot: Any) -> Generator[None, None, None]:
        """Replace everything, after many slices in one go."""
        content = self._empty()
        for item in self._updates(snapshot):
            if item is None:
                yield
                continue
            table, uuid, update = item
            _, values, sets = update
            self._place(content, RowChange(table, None, self._classes[table]((uuid, *values)), sets))
        self._content = content

    def update(self, updates: Any) -> Generator[None, None, list[RowChange]]:
        """Carry a transaction in, and return what it changed."""
        staged: list[RowChange] = []
        for item in self._updates(updates):
            if item is None:
                yield
                continue
            table, uuid, update = item
            before = self._content.rows[table].get(uuid)
            kind, told, sets = update
            staged.append(RowChange(table, before, self._changed(table, uuid, before, kind, told), sets))
        for change in staged:
            self._place(self._content, change)
        return staged

    # --- in detail

    def _empty(self) -> _Content:
        return _Content(
            {table: {} for table in self._monitored.columns},
            {(index.table, index.name): {} for index in self._monitored.indexes},
        )

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

    def _changed(self, table: str, uuid: str, before: Row | None, kind: str, told: Any) -> Row | None:
        if kind == "insert":
            return self._classes[table]((uuid, *told))
        if kind == "delete":
            return None
        if kind != "modify" or before is None:
            raise ProtocolError(f"the server tells of a {kind} of a row of {table} that it had not told of before")
        values = list(before)
        columns, places = self._columns[table], self._places[table]
        for name, difference in told.items():
            place = places[name]
            values[place + 1] = columns[place].merge(before[place + 1], difference)
        return self._classes[table](values)

    def _place(self, content: _Content, change: RowChange) -> None:
        table, before, after = change.table, change.before, change.after
        if after is not None:
            content.rows[table][after.uuid] = after
        elif before is not None:
            content.rows[table].pop(before.uuid, None)
        for index in self._indexes[table]:
            gone, come = _keys(index.keys, change)
            if not gone and not come:  # mostly: what the switch says of an interface is in no index
                continue
            entries = content.indexes[table, index.name]
            for key in gone:
                assert before is not None, "it was before's"
                rest = tuple(uuid for uuid in entries.get(key, _NONE) if uuid != before.uuid)
                if rest:
                    entries[key] = rest
                else:
                    entries.pop(key, None)
            for key in come:
                assert after is not None, "it is after's"
                entries[key] = (*entries.get(key, _NONE), after.uuid)


def _keys(keys: Keys, change: RowChange) -> tuple[Collection[str], Collection[str]]:
    """The keys that a change takes a row from, and those that it gives it."""
    if isinstance(keys, str):
        return change.members(keys)
    old = () if change.before is None else tuple(keys(change.before))
    new = () if change.after is None else tuple(keys(change.after))
    return ((), ()) if old == new else ({*old} - {*new}, {*new} - {*old})
