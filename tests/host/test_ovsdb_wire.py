"""OVSDB's wire: messages cut out of the stream, parsed in slices, values in columns, transactions, the replica."""

from __future__ import annotations

import itertools
import json
from collections.abc import Generator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from quantumd.host.ovsdb.errors import GuardFailed, ProtocolError, SchemaError, TransactionFailed
from quantumd.host.ovsdb.framing import Framer
from quantumd.host.ovsdb.operations import (
    Delete,
    Insert,
    Mutate,
    Select,
    Update,
    Wait,
    by_name,
    by_uuid,
    encode,
    results,
)
from quantumd.host.ovsdb.parsing import parse
from quantumd.host.ovsdb.replica import Index, Monitored, Replica, RowChange
from quantumd.host.ovsdb.schema import Named, Schema

_TEXT = st.text() | st.sampled_from(['"', "\\", '\\"', "{", "}", '{"', "\\\\"])
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=12) | st.dictionaries(_TEXT, inner, max_size=12),
    max_leaves=60,
)
_MESSAGES = st.dictionaries(_TEXT | st.sampled_from(["result", "params"]), _JSON, max_size=5)

SCHEMA = Schema(
    {
        "name": "Toys",
        "version": "1.2.3",
        "tables": {
            "Box": {
                "isRoot": True,
                "columns": {
                    "name": {"type": "string"},
                    "toys": {"type": {"key": {"type": "uuid", "refTable": "Toy"}, "min": 0, "max": "unlimited"}},
                    "notes": {"type": {"key": "string", "value": "string", "min": 0, "max": "unlimited"}},
                    "places": {"type": {"key": "integer", "value": {"type": "uuid"}, "min": 0, "max": "unlimited"}},
                },
            },
            "Toy": {
                "columns": {
                    "name": {"type": "string"},
                    "tag": {"type": {"key": {"type": "integer", "minInteger": 0, "maxInteger": 4095}, "min": 0}},
                    "loud": {"type": "boolean"},
                    "weight": {"type": "real"},
                },
            },
        },
    }
)
U1, U2, U3 = (f"{digit * 8}-0000-4000-8000-000000000000" for digit in "123")


def finish(work: Generator[None, None, Any]) -> Any:
    """What a generator returns in the end."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def same(_parent: object, value: Any) -> Any:
    return value


class FramerTests(SynchronousTestCase):
    @given(st.lists(_MESSAGES, max_size=5), st.lists(st.integers(1, 30), min_size=1), st.booleans())
    def test_any_pieces(self, messages: list[Any], sizes: list[int], ascii_only: bool) -> None:
        """However the stream is cut up, the same messages come out of it."""
        space = ("", " ", "\n\t")
        texts = [json.dumps(message, ensure_ascii=ascii_only).encode() for message in messages]
        stream = b"".join(space[n % 3].encode() + text for n, text in enumerate(texts))
        framer, found, at, turn = Framer(), [], 0, 0
        while at < len(stream):
            size = sizes[turn % len(sizes)]
            found += framer.feed(stream[at : at + size])
            at, turn = at + size, turn + 1
        self.assertEqual([text.strip() for text in texts], found)

    def test_no_object(self) -> None:
        """What cannot be the beginning of a message is refused at once."""
        for bad in (b"HTTP/1.1 400 Bad Request", b'"text"', b"[1]", b"}", b'{"a":1}x'):
            with self.assertRaises(ProtocolError):
                Framer().feed(bad)

    def test_linear(self) -> None:
        """A message is looked at once, in however many pieces it comes: a string of 4 MB is no work."""
        framer = Framer()
        framer.feed(b'{"a":"')
        piece = b"x" * 1000
        for _ in range(4000):
            self.assertEqual([], framer.feed(piece))
        self.assertEqual(1, len(framer.feed(b'"}')))


class ParseTests(SynchronousTestCase):
    @given(_MESSAGES, st.sampled_from([None, 1]), st.booleans())
    def test_same_as_json(self, message: Any, indent: int | None, ascii_only: bool) -> None:
        """Without a leaf to change, it is the standard library's parser."""
        text = json.dumps(message, indent=indent, ensure_ascii=ascii_only)
        self.assertEqual(message, finish(parse(text, same)))

    @given(_MESSAGES, st.data())
    def test_malformed(self, message: Any, data: st.DataObject) -> None:
        """What the standard library refuses is refused."""
        text = json.dumps(message)
        at = data.draw(st.integers(0, len(text)))
        damaged = text[:at] + data.draw(st.sampled_from(["", ",", "}", '"', "x", ":"])) + text[at + 1 :]
        try:
            expected = json.loads(damaged)
        except ValueError:
            with self.assertRaises(ValueError):
                finish(parse(damaged, same))
        else:
            self.assertEqual(expected, finish(parse(damaged, same)))

    def test_leaves(self) -> None:
        """Rows of snapshots and of updates are given away, with the table that they are in; nothing else is."""
        found: list[Any] = []

        def leaf(table: str | int, value: Any) -> Any:
            found.append((table, value))
            return None

        rows = {"Box": {U1: {"initial": {"name": "a"}}}, "Toy": {U2: {"modify": {"tag": 1}}}}
        finish(parse(json.dumps({"id": 1, "result": rows}), leaf))
        finish(parse(json.dumps({"method": "update2", "params": ["m", rows]}), leaf))
        expected = [("Box", {"initial": {"name": "a"}}), ("Toy", {"modify": {"tag": 1}})]
        self.assertEqual(expected * 2, found)

    def test_slices(self) -> None:
        """A large message is parsed in many slices."""
        rows = {f"row{n}": {"initial": {"name": "x" * 100}} for n in range(5000)}
        slices = sum(1 for _ in parse(json.dumps({"result": {"Box": rows}}), same))
        self.assertGreater(slices, 500)


class ColumnTests(SynchronousTestCase):
    def test_round_trip(self) -> None:
        """Values become what is sent and come back."""
        for table, name, value, wire in (
            ("Box", "name", "a", "a"),
            ("Box", "toys", (), ["set", []]),
            ("Box", "toys", (U1, U2), ["set", [["uuid", U1], ["uuid", U2]]]),
            ("Box", "notes", {"k": "v"}, ["map", [["k", "v"]]]),
            ("Box", "places", {7: U1}, ["map", [[7, ["uuid", U1]]]]),
            ("Toy", "tag", None, ["set", []]),
            ("Toy", "tag", 7, 7),
            ("Toy", "loud", True, True),
            ("Toy", "weight", 1.5, 1.5),
        ):
            column = SCHEMA.column(table, name)
            self.assertEqual(wire, column.encode(value), name)
            self.assertEqual(value, column.decode(wire), name)
        self.assertEqual((U1,), SCHEMA.column("Box", "toys").decode(["uuid", U1]), "a set of one comes bare")
        self.assertEqual(["set", [["named-uuid", "new"]]], SCHEMA.column("Box", "toys").encode([Named("new")]))

    def test_misfits(self) -> None:
        """What does not fit is refused before it is sent, with the column's name."""
        for table, name, value in (
            ("Box", "name", 7),
            ("Box", "name", None),
            ("Box", "toys", U1),
            ("Box", "notes", "k=v"),
            ("Box", "notes", {"k": 7}),
            ("Toy", "tag", True),
            ("Toy", "tag", 4096),
            ("Toy", "tag", -1),
            ("Toy", "loud", 1),
        ):
            with self.assertRaises(SchemaError) as caught:
                SCHEMA.column(table, name).encode(value)
            self.assertIn(f"column {name} of table {table}", str(caught.exception))

    def test_unknown(self) -> None:
        """A column that is not there is told of with the schema's version."""
        for table, name in (("Box", "colour"), ("Crate", "name")):
            self.assertFalse(SCHEMA.has(table, name))
            with self.assertRaises(SchemaError) as caught:
                SCHEMA.column(table, name)
            self.assertIn("1.2.3", str(caught.exception))
        self.assertTrue(SCHEMA.has("Box", "name"))

    def test_bad_schema(self) -> None:
        """A schema that is none is told of."""
        for bad in ({}, {"name": "x", "tables": {"T": {"columns": {"c": {"type": "colour"}}}}}, 7):
            with self.assertRaises(SchemaError):
                Schema(bad)


class OperationTests(SynchronousTestCase):
    def test_encode(self) -> None:
        """Operations as RFC 7047 has them on the wire."""
        operations = [
            Wait("Toy", by_name("ball"), rows=()),
            Insert("Toy", {"name": "ball", "tag": 3}, name="ball"),
            Mutate("Box", by_uuid(U1), [("toys", "insert", [Named("ball")]), ("notes", "delete", ["old"])]),
            Mutate("Box", by_uuid(U1), [("notes", "insert", {"new": "1"})]),
            Mutate("Toy", (), [("tag", "+=", 1)]),
            Update("Toy", by_name("doll"), {"tag": None}),
            Delete("Toy", (("tag", "==", 9),)),
            Select("Toy", (), ("name", "tag")),
        ]
        where = [["_uuid", "==", ["uuid", U1]]]
        self.assertEqual(
            [
                {
                    "op": "wait",
                    "timeout": 0,
                    "table": "Toy",
                    "where": [["name", "==", "ball"]],
                    "columns": ["_uuid"],
                    "until": "==",
                    "rows": [],
                },
                {"op": "insert", "table": "Toy", "row": {"name": "ball", "tag": 3}, "uuid-name": "ball"},
                {
                    "op": "mutate",
                    "table": "Box",
                    "where": where,
                    "mutations": [
                        ["toys", "insert", ["set", [["named-uuid", "ball"]]]],
                        ["notes", "delete", ["set", ["old"]]],
                    ],
                },
                {
                    "op": "mutate",
                    "table": "Box",
                    "where": where,
                    "mutations": [["notes", "insert", ["map", [["new", "1"]]]]],
                },
                {"op": "mutate", "table": "Toy", "where": [], "mutations": [["tag", "+=", 1]]},
                {"op": "update", "table": "Toy", "where": [["name", "==", "doll"]], "row": {"tag": ["set", []]}},
                {"op": "delete", "table": "Toy", "where": [["tag", "==", 9]]},
                {"op": "select", "table": "Toy", "where": [], "columns": ["name", "tag"]},
            ],
            finish(encode(SCHEMA, operations)),
        )

    def test_results(self) -> None:
        """Each operation has its own kind of result."""
        operations = [Insert("Toy", {}), Delete("Toy", ()), Select("Toy", (), ("tag",)), Wait("Toy", ())]
        answer = [{"uuid": ["uuid", U1]}, {"count": 2}, {"rows": [{"tag": ["set", []]}]}, {}]
        self.assertEqual([U1, 2, [{"tag": None}], None], results(SCHEMA, operations, answer))

    def test_failures(self) -> None:
        """A refusal names the operation that it is for, if it is for one; a broken guard is told apart."""
        operations = [Wait("Toy", ()), Insert("Toy", {})]
        for answer, kind, place in (
            ([{"error": "timed out", "details": "waited"}, None], GuardFailed, 0),
            ([{}, {"error": "constraint violation", "details": "no"}], TransactionFailed, 1),
            ([{}, {"uuid": ["uuid", U1]}, {"error": "constraint violation"}], TransactionFailed, None),
        ):
            with self.assertRaises(kind) as caught:
                results(SCHEMA, operations, answer)
            self.assertEqual(place, caught.exception.place)
        for bad in (None, [{}]):
            with self.assertRaises(ProtocolError):
                results(SCHEMA, operations, bad)


MONITORED = Monitored(
    {"Box": ("name", "toys", "notes"), "Toy": ("name", "tag", "loud")},
    (
        Index("Toy", "name", lambda row: (row.name,)),
        Index("Box", "toy", "toys"),
        Index("Toy", "tag", lambda row: () if row.tag is None else (str(row.tag),)),
    ),
)


class ReplicaTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.replica = Replica(SCHEMA, MONITORED)
        self.load({"Box": {U1: {"initial": {"name": "red", "toys": ["uuid", U2]}}}, "Toy": {U2: {"initial": {}}}})

    def message(self, updates: Any) -> Any:
        text = json.dumps({"result": updates})
        return finish(parse(text, self.replica.leaf))["result"]

    def load(self, snapshot: Any) -> None:
        finish(self.replica.load(self.message(snapshot)))

    def update(self, updates: Any) -> list[RowChange]:
        changes: list[RowChange] = finish(self.replica.update(self.message(updates)))
        return changes

    def test_load(self) -> None:
        """A snapshot is all there is; what it leaves out has its default."""
        (box,), (toy,) = self.replica.rows("Box"), self.replica.rows("Toy")
        self.assertEqual((U1, "red", (U2,), {}), (box.uuid, box.name, box.toys, box.notes))
        self.assertEqual((U2, "", None, False), (toy.uuid, toy.name, toy.tag, toy.loud))
        self.assertEqual([box], self.replica.find("Box", "toy", U2))
        with self.assertRaises(AttributeError):
            _ = toy.weight
        self.load({})
        self.assertEqual((0, 0), (self.replica.count("Box"), self.replica.count("Toy")))
        self.assertEqual([], self.replica.find("Box", "toy", U2))

    def test_update(self) -> None:
        """Rows come, change by what differs, and go; indexes follow."""
        changes = self.update(
            {
                "Box": {
                    U1: {"modify": {"toys": ["set", [["uuid", U2], ["uuid", U3]]], "notes": ["map", [["a", "1"]]]}}
                },
                "Toy": {U3: {"insert": {"name": "ball", "tag": 3}}},
            }
        )
        self.assertEqual((U3,), self.replica.get("Box", U1).toys)
        self.assertEqual({"a": "1"}, self.replica.get("Box", U1).notes)
        self.assertEqual([], self.replica.find("Box", "toy", U2))
        self.assertEqual(U1, self.replica.first("Box", "toy", U3).uuid)
        self.assertEqual(U3, self.replica.first("Toy", "tag", "3").uuid)
        self.assertEqual([("Box", (U2,), (U3,)), ("Toy", None, "ball")], [
            (c.table, c.before and c.before.toys, c.after.toys if c.table == "Box" else c.after.name) for c in changes
        ])  # fmt: skip
        self.update({"Toy": {U3: {"modify": {"tag": ["set", []]}}}})
        self.assertIsNone(self.replica.get("Toy", U3).tag)
        self.assertIsNone(self.replica.first("Toy", "tag", "3"))
        self.update({"Box": {U1: {"modify": {"notes": ["map", [["a", "1"], ["b", "2"]]]}}}})
        self.assertEqual({"b": "2"}, self.replica.get("Box", U1).notes)
        (gone,) = self.update({"Toy": {U3: {"delete": None}}})
        self.assertEqual(("ball", None), (gone.before.name, gone.after))
        self.assertIsNone(self.replica.get("Toy", U3))
        self.assertIsNone(self.replica.first("Toy", "name", "ball"))

    def test_many(self) -> None:
        """A set of any size changes by what is told of it, and the index that it is follows, member by member."""
        toys = [f"{n:08x}-0000-4000-8000-000000000000" for n in range(300)]

        def change(members: list[str]) -> RowChange:
            told = ["set", [["uuid", one] for one in members]]
            (made,) = self.update({"Box": {U1: {"modify": {"toys": told}}}})
            return made

        for members, gone, there in (
            (toys, [], {U2, *toys}),
            ([U2, U3], [U2], {U3, *toys}),
            ([toys[7], toys[9]], [toys[7], toys[9]], {U3, *toys} - {toys[7], toys[9]}),
            ([U3, toys[7], *toys[10:]], [U3, *toys[10:]], {*toys[:9]}),
        ):
            made = change(members)
            came = [one for one in members if one not in gone]
            self.assertEqual([sorted(gone), sorted(came)], [sorted(some) for some in made.members("toys")])
            self.assertEqual(there, set(made.after.toys))
            self.assertEqual(there, set(self.replica.keys("Box", "toy")))
        (made,) = self.update({"Box": {U1: {"delete": None}}})
        self.assertEqual(({*toys[:9]}, ()), (set(made.members("toys")[0]), made.members("toys")[1]))
        self.assertEqual([], [*self.replica.keys("Box", "toy")])

    def test_shared_key(self) -> None:
        """Rows under one key of an index do not push each other out."""
        self.update({"Toy": {U3: {"insert": {"tag": 5}}, U2: {"modify": {"tag": 5}}}})
        self.assertEqual({U2, U3}, {row.uuid for row in self.replica.find("Toy", "tag", "5")})
        self.update({"Toy": {U2: {"delete": None}}})
        self.assertEqual([U3], [row.uuid for row in self.replica.find("Toy", "tag", "5")])
        self.assertIn("5", self.replica.keys("Toy", "tag"))

    def test_as_a_whole(self) -> None:
        """Nothing of a transaction shows before all of it does."""
        rows = {f"{n:08x}-0000-4000-8000-000000000000": {"insert": {"name": str(n)}} for n in range(100)}
        work = self.replica.update(self.message({"Toy": rows}))
        while True:
            try:
                next(work)
            except StopIteration:
                break
            self.assertEqual(1, self.replica.count("Toy"))
        self.assertEqual(101, self.replica.count("Toy"))

    def test_nonsense(self) -> None:
        """What a server cannot mean is no reason to go on with a wrong replica."""
        for bad in (
            {"Crate": {}},
            {"Toy": {U2: {"initial": {}, "modify": {}}}},
            {"Toy": {U3: {"modify": {"tag": 1}}}},
            {"Toy": {U3: {"become": {"tag": 1}}}},
        ):
            with self.assertRaises(ProtocolError):
                self.update(bad)

    @given(st.lists(st.sets(st.sampled_from([U1, U2, U3])), max_size=5), st.lists(st.dictionaries(_TEXT, _TEXT)))
    def test_differences(self, sets: list[set[str]], maps: list[dict[str, str]]) -> None:
        """What differs, carried into the old value, gives the new one (as ovsdb-server makes the difference)."""
        column = SCHEMA.column("Box", "toys")
        for old, new in itertools.pairwise(sets):
            self.assertEqual(new, set(column.merge(tuple(old), tuple(old ^ new))))
        column = SCHEMA.column("Box", "notes")
        for before, after in itertools.pairwise(maps):
            difference = {key: value for key, value in before.items() if key not in after}
            difference |= {key: value for key, value in after.items() if before.get(key) != value}
            self.assertEqual(after, column.merge(before, difference))
