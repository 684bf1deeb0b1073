"""A database's columns and their values, in Python's terms and on the wire (RFC 7047, 3.2 and 5.1).

A column of one value is that value (str, int, float, bool; a UUID is its text), an optional one is it or None, a set is
a tuple in no particular order, a map a dict. All of them are plain built-in types on purpose: the garbage collector
does not look into tuples and dicts that hold nothing but such values, so that a replica of any size costs it nothing.
A large set is a persistent one (``HashTrieSet``): a bridge's ten thousand ports and one more are not made anew.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import ovs.db.error
import ovs.db.schema
import ovs.db.types
from attrs import evolve, field, frozen
from rpds import HashTrieSet

from quantumd.host.ovsdb.errors import SchemaError

_PYTHON: dict[str, type | tuple[type, ...]] = {
    "integer": int,
    "real": (int, float),
    "boolean": bool,
    "string": str,
    "uuid": str,
}
_DEFAULTS = {"integer": 0, "real": 0.0, "boolean": False, "string": "", "uuid": "00000000-0000-0000-0000-000000000000"}
_SINGLE, _OPTIONAL, _SET, _MAP = range(4)
_LARGE = 100


@frozen
class Named:
    """A row that is inserted in the same transaction, by the name that its insert has there."""

    name: str


def _plain(json: Any) -> Any:
    return json


def _uuid(json: Any) -> Any:
    return json[1]


def _members(found: Sequence[Any]) -> Collection[Any]:
    return tuple(found) if len(found) < _LARGE else HashTrieSet(found)


def _atom_decoder(base: Any) -> Callable[[Any], Any]:
    return _uuid if base.type.name == "uuid" else _plain


@frozen(eq=False)
class Column:
    """One column. ``shape`` is how many values it has; ``key`` and ``value`` are the ``ovs`` package's base types;
    ``default`` is what a row has in it that says nothing of it."""

    table: str
    name: str
    key: Any
    value: Any
    shape: int
    default: Any
    _key: Callable[[Any], Any] = field(alias="decode_key")
    _value: Callable[[Any], Any] = field(alias="decode_value")

    @classmethod
    def of(cls, table: str, name: str, kind: Any) -> Column:
        """The column for an ``ovs.db.types.Type``."""
        if kind.value is not None:
            shape = _MAP
        elif kind.n_max > 1:
            shape = _SET
        else:
            shape = _OPTIONAL if kind.n_min == 0 else _SINGLE
        value = _plain if kind.value is None else _atom_decoder(kind.value)
        column = cls(table, name, kind.key, kind.value, shape, None, _atom_decoder(kind.key), value)
        if shape == _MAP:
            return evolve(column, default={})
        if kind.n_min == 0:
            return evolve(column, default=() if shape == _SET else None)
        default = _DEFAULTS[kind.key.type.name]
        return evolve(column, default=(default,) if shape == _SET else default)

    @property
    def is_set(self) -> bool:
        """Whether it holds any number of values."""
        return self.shape == _SET

    def decode(self, json: Any) -> Any:
        """The value for what the server sent."""
        shape = self.shape
        if shape == _SINGLE:
            return self._key(json)
        if shape == _MAP:
            key, value = self._key, self._value
            # Keys are few and come again in every row.
            return {sys.intern(k) if type(k) is str else key(k): value(v) for k, v in json[1]}
        if type(json) is list and json[0] == "set":
            members = json[1]
            if shape == _OPTIONAL:
                return self._key(members[0]) if members else None
            return _members(list(map(self._key, members)))
        return self._key(json) if shape == _OPTIONAL else (self._key(json),)

    def many_members(self, json: Any) -> Sequence[Any] | None:
        """The members of a set, where there are many: to go through a persistent set takes rpds 1 µs for each."""
        if self.shape == _SET and type(json) is list and json[0] == "set" and len(json[1]) >= _LARGE:
            return list(map(self._key, json[1]))
        return None

    def merge(self, old: Any, difference: Any) -> Any:
        """The new value for an old one and what a ``modify`` tells of it (ovsdb-server(7), 4.1.14)."""
        if self.shape == _SET:
            if not isinstance(old, HashTrieSet):
                return _members([*({*old} ^ {*difference})])
            for member in difference:
                old = old.remove(member) if member in old else old.insert(member)
            return old
        if self.shape == _MAP:
            merged = {name: value for name, value in old.items() if difference.get(name) != value}
            merged.update((name, value) for name, value in difference.items() if old.get(name) != value)
            return merged
        return difference

    def encode(self, value: Any) -> Any:
        """The value as it is sent.

        :raise SchemaError: it does not fit the column
        """
        if self.shape == _MAP:
            if not isinstance(value, Mapping):
                raise self._misfit(value)
            return ["map", [[self._atom(self.key, k), self._atom(self.value, v)] for k, v in value.items()]]
        if self.shape == _SET:
            return self.encode_set(value)
        if self.shape == _OPTIONAL and value is None:
            return ["set", []]
        return self._atom(self.key, value)

    def encode_set(self, value: Any) -> Any:
        """Some keys or members, as an insertion or deletion takes them."""
        if isinstance(value, str | Mapping) or not isinstance(value, Collection):
            raise self._misfit(value)
        return ["set", [self._atom(self.key, member) for member in value]]

    def _atom(self, base: Any, value: Any) -> Any:
        kind = base.type.name
        if kind == "uuid" and isinstance(value, Named):
            return ["named-uuid", value.name]
        if not isinstance(value, _PYTHON[kind]) or (isinstance(value, bool) and kind != "boolean"):
            raise self._misfit(value)
        if kind == "uuid":
            return ["uuid", value]
        if (base.min is not None and value < base.min) or (base.max is not None and value > base.max):
            raise self._misfit(value)
        return value

    def _misfit(self, value: object) -> SchemaError:
        return SchemaError(f"{value!r} does not fit column {self.name} of table {self.table}")


class Schema:
    """A database's tables and columns, those that every row has (``_uuid``) among them."""

    def __init__(self, json: Any) -> None:
        try:
            parsed = ovs.db.schema.DbSchema.from_json(json)
        except ovs.db.error.Error as error:
            raise SchemaError(f"the server's schema cannot be read: {error}") from error
        self.name: str = parsed.name
        self.version: str = parsed.version or ""
        own = ovs.db.types.Type(ovs.db.types.BaseType(ovs.db.types.UuidType))
        self._tables = {
            table: {
                "_uuid": Column.of(table, "_uuid", own),
                **{name: Column.of(table, name, column.type) for name, column in found.columns.items()},
            }
            for table, found in parsed.tables.items()
        }

    def has(self, table: str, column: str) -> bool:
        """Whether there is such a column."""
        return column in self._tables.get(table, ())

    def column(self, table: str, column: str) -> Column:
        """The column of that name.

        :raise SchemaError: there is none
        """
        try:
            return self._tables[table][column]
        except KeyError:
            raise SchemaError(
                f"database {self.name} (schema {self.version or 'without a version'}) has no column {column} in a "
                f"table {table}; it is too old, or not the database that was meant"
            ) from None
