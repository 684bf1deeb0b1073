"""What a transaction is made of, as values (RFC 7047, 5.2), and what they are on the wire.

A transaction whose answer was lost may have been carried out. Made so that each insert is guarded by a :class:`Wait`
for the absence of what it inserts (or by a unique index of the schema), repeating one finds the guard broken and
changes nothing; whoever repeats looks at the replica again first, and makes a new one for what is still missing.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any

from attrs import field, frozen

from quantumd.host.ovsdb.errors import GuardFailed, ProtocolError, TransactionFailed
from quantumd.host.ovsdb.schema import Named, Schema

#: (column, function, value), such as ("name", "==", "br-int"); all of them have to hold.
Where = Sequence[tuple[str, str, Any]]
Row = Mapping[str, Any]

_SLICE = 32
_ARITHMETIC = ("+=", "-=", "*=", "/=", "%=")


def by_uuid(uuid: str) -> Where:
    """The one row with that UUID."""
    return (("_uuid", "==", uuid),)


def by_name(name: str) -> Where:
    """The rows with that name."""
    return (("name", "==", name),)


@frozen
class Insert:
    """A new row; what is left out of ``row`` has its default. ``name`` is for references within the transaction.

    Its result is the new row's UUID.
    """

    table: str
    row: Row
    name: str | None = None


@frozen
class Update:
    """Set these columns. The result is the number of rows."""

    table: str
    where: Where
    row: Row


@frozen
class Mutate:
    """Change parts of columns: (column, mutator, value), as ("ports", "insert", [Named("p")]), ("next_cfg", "+=", 1).

    To ``delete`` from a map, give the keys. The result is the number of rows.
    """

    table: str
    where: Where
    mutations: Sequence[tuple[str, str, Any]]


@frozen
class Delete:
    """Remove rows. The result is the number of rows."""

    table: str
    where: Where


@frozen
class Select:
    """Read rows. The result is a list of dicts."""

    table: str
    where: Where
    columns: tuple[str, ...]


@frozen
class Wait:
    """A guard: the whole transaction fails at once unless the rows are (or, with ``until`` "!=", are not) these."""

    table: str
    where: Where
    columns: tuple[str, ...] = ("_uuid",)
    rows: Sequence[Row] = field(default=())
    until: str = "=="


Operation = Insert | Update | Mutate | Delete | Select | Wait


def encode(schema: Schema, operations: Sequence[Operation]) -> Generator[None, None, list[Any]]:
    """The operations as they are sent; yields after each slice.

    :raise SchemaError: an operation does not fit the schema
    """
    encoded = []
    for place, operation in enumerate(operations):
        encoded.append(_encode(schema, operation))
        if place % _SLICE == _SLICE - 1:
            yield
    return encoded


def _encode(schema: Schema, operation: Operation) -> dict[str, Any]:
    table = operation.table
    match operation:
        case Insert(row=row, name=name):
            made = {"op": "insert", "table": table, "row": _row(schema, table, row)}
            return made if name is None else {**made, "uuid-name": name}
        case Update(where=where, row=row):
            return {
                "op": "update",
                "table": table,
                "where": _where(schema, table, where),
                "row": _row(schema, table, row),
            }
        case Mutate(where=where, mutations=mutations):
            changed = [_mutation(schema, table, *mutation) for mutation in mutations]
            return {"op": "mutate", "table": table, "where": _where(schema, table, where), "mutations": changed}
        case Delete(where=where):
            return {"op": "delete", "table": table, "where": _where(schema, table, where)}
        case Select(where=where, columns=columns):
            wanted = [schema.column(table, name).name for name in columns]
            return {"op": "select", "table": table, "where": _where(schema, table, where), "columns": wanted}
        case Wait(where=where, columns=columns, rows=rows, until=until):
            return {
                "op": "wait",
                "timeout": 0,
                "table": table,
                "where": _where(schema, table, where),
                "columns": list(columns),
                "until": until,
                "rows": [_row(schema, table, row) for row in rows],
            }


def _row(schema: Schema, table: str, row: Row) -> dict[str, Any]:
    return {name: schema.column(table, name).encode(value) for name, value in row.items()}


def _where(schema: Schema, table: str, where: Where) -> list[Any]:
    return [[name, function, schema.column(table, name).encode(value)] for name, function, value in where]


def _mutation(schema: Schema, table: str, name: str, mutator: str, value: Any) -> list[Any]:
    column = schema.column(table, name)
    if mutator in _ARITHMETIC:
        return [name, mutator, value]
    if mutator == "delete" or not isinstance(value, Mapping):
        return [name, mutator, column.encode_set(value)]
    return [name, mutator, column.encode(value)]


def results(schema: Schema, operations: Sequence[Operation], answer: Any) -> list[Any]:
    """What came of each operation.

    :raise TransactionFailed: the server refused
    :raise ProtocolError: the answer is none to these operations
    """
    if not isinstance(answer, list):
        raise ProtocolError(f"the server answers a transaction with {answer!r}")
    for place, found in enumerate(answer):
        if isinstance(found, dict) and "error" in found:
            error, details = found["error"], found.get("details", "")
            if place >= len(operations):
                raise TransactionFailed(error, details, None)
            failure = GuardFailed if isinstance(operations[place], Wait) else TransactionFailed
            raise failure(error, details, place)
    if len(answer) < len(operations):
        raise ProtocolError("the server's answer to a transaction is too short")
    return [_result(schema, operation, found) for operation, found in zip(operations, answer, strict=False)]


def _result(schema: Schema, operation: Operation, found: Any) -> Any:
    match operation:
        case Insert():
            return found["uuid"][1]
        case Select(table=table):
            return [
                {name: schema.column(table, name).decode(value) for name, value in row.items()} for row in found["rows"]
            ]
        case Wait():
            return None
        case _:
            return found["count"]


__all__ = [
    "Delete",
    "Insert",
    "Mutate",
    "Named",
    "Operation",
    "Select",
    "Update",
    "Wait",
    "by_name",
    "by_uuid",
    "encode",
    "results",
]
