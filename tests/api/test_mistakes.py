"""Which mistakes are told, in which order, and in which words: for all that a plugin's schema may have."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from quantumd.api.validation import Judge


def told(schema: dict[str, Any], value: object) -> list[tuple[str, str]]:
    return [(error.path, error.message) for error in Judge(schema).errors(value)]


class ReferenceTests(SynchronousTestCase):
    def test_published(self) -> None:
        """A schema may refer to those that json-schema.org publishes."""
        schema = {"properties": {"schema": {"$ref": "https://json-schema.org/draft/2020-12/schema"}}}
        self.assertEqual([], told(schema, {"schema": {"type": "object"}}))
        ((path, _),) = told(schema, {"schema": {"type": 7}})
        self.assertEqual("schema.type", path)


class OrderTests(SynchronousTestCase):
    """The order of the schema's keywords, and of each field the first thing."""

    def test_first_of_a_field(self) -> None:
        rules = {"minLength": 3, "pattern": "^x", "maxLength": 0, "x-says": "must begin with x"}
        for first, message in (
            ("minLength", "must have at least 3 characters"),
            ("maxLength", "must have at most 0 characters"),
            ("pattern", "must begin with x"),
        ):
            schema = {first: rules[first], **rules}
            self.assertEqual(told({"properties": {"a": schema}}, {"a": "b"}), [("a", message)])

    def test_fields(self) -> None:
        integer = {"type": "integer"}
        schema = {
            "additionalProperties": False,
            "required": ["z", "y"],
            "properties": {"c": integer, "a": integer, "z": {}, "y": {}},
        }
        paths = [path for path, _ in told(schema, {"q": 1, "a": "", "p": 1, "c": 1.0})]
        self.assertEqual(paths, ["q", "p", "z", "y", "c", "a"])

    def test_items(self) -> None:
        """All of one item, and then of the next."""
        item = {"required": ["x"], "properties": {"a": {"type": "integer"}}}
        paths = [path for path, _ in told({"items": item}, [{"a": ""}, {"a": 1}, {"a": "", "x": 1}])]
        self.assertEqual(paths, ["0.x", "0.a", "1.x", "2.a"])

    def test_names(self) -> None:
        schema = {"propertyNames": {"pattern": "^a", "minLength": 2}}
        self.assertEqual(told(schema, {"a": 1, "zz": 1}), [("body", "must have at least 2 characters")])
        self.assertEqual(told(schema, {"zz": 1, "a": 1}), [("body", "must match ^a")])

    def test_references(self) -> None:
        """By pointer, anchor and id, to a schema that refers in its turn."""
        inner = {"required": ["b"], "properties": {"a": {"$ref": "#count"}}, "additionalProperties": False}
        schema = {
            "$defs": {
                "inner": inner,
                "count": {"$anchor": "count", "minimum": 3, "type": "integer"},
                "far": {
                    "$id": "http://far.example/",
                    "$defs": {"n": {"type": "integer"}},
                    "items": {"$ref": "#/$defs/n"},
                },
            },
            "properties": {"y": {"$ref": "http://far.example/"}, "x": {"$ref": "#/$defs/inner"}},
        }
        self.assertEqual(
            told(schema, {"x": {"a": 1.0, "c": 1}, "y": [1, 2.0]}),
            [
                ("y.1", "must be an integer, not a number with a fraction"),
                ("x.b", "is missing"),
                ("x.a", "must be at least 3"),
                ("x.c", "is unknown; there can be a"),
            ],
        )


class MemberTests(SynchronousTestCase):
    """Each member that should not be there, at its own path."""

    def test_nothing_can_be_there(self) -> None:
        schema = {"properties": {}, "additionalProperties": False}
        message = "is unknown; there can be nothing here"
        self.assertEqual(told(schema, {"b": 1, "a": 2}), [("b", message), ("a", message)])

    def test_by_pattern(self) -> None:
        schema = {
            "patternProperties": {"^x": {"type": "integer"}},
            "properties": {"a": {}},
            "additionalProperties": False,
        }
        self.assertEqual(told(schema, {"x1": 1, "a": 1}), [])
        self.assertEqual(told(schema, {"x1": 1, "b": 1}), [("b", "is unknown; there can be a")])

    def test_never(self) -> None:
        self.assertEqual(told({"properties": {"a": False}}, {"a": 1}), [("a", "False schema does not allow 1")])
        self.assertEqual(told({"propertyNames": False}, {"a": 1}), [("body", "False schema does not allow 'a'")])


class WordTests(SynchronousTestCase):
    """A keyword that the contract has no use for has words, too."""

    def test_words(self) -> None:
        integer: dict[str, Any] = {"type": "integer"}
        whole = {"minimum": 0}
        for schema, value, message in (
            ({"exclusiveMinimum": 3}, 3, "3 is less than or equal to the minimum of 3"),
            ({"exclusiveMaximum": 3}, 3.5, "3.5 is greater than or equal to the maximum of 3"),
            ({"multipleOf": 2}, 3, "3 is not a multiple of 2"),
            ({"minItems": 1}, [], "[] should be non-empty"),
            ({"minItems": 2}, ["a"], "['a'] is too short"),
            ({"maxItems": 0}, [1], "[1] is expected to be empty"),
            ({"maxItems": 1}, [1, None], "[1, None] is too long"),
            ({"minProperties": 1}, {}, "{} should be non-empty"),
            ({"minProperties": 2}, {"a": 1}, "{'a': 1} does not have enough properties"),
            ({"maxProperties": 0}, {"a": 1}, "{'a': 1} is expected to be empty"),
            ({"maxProperties": 1}, {"b": 1, "a": 1}, "{'b': 1, 'a': 1} has too many properties"),
            ({"uniqueItems": True}, [1, 1], "[1, 1] has non-unique elements"),
            ({"prefixItems": [{}], "items": False}, [1, 2], "Expected at most 1 item but found 1 extra: 2"),
            ({"items": False}, [1, 2], "Expected at most 0 items but found 2 extra: [1, 2]"),
            ({"contains": integer}, ["a"], "['a'] does not contain items matching the given schema"),
            (
                {"contains": integer, "minContains": 2, "maxContains": 3},
                [1],
                "[1] must contain at least 2 and at most 3 items matching the given schema",
            ),
            (
                {"contains": integer, "minContains": 2},
                [1],
                "[1] must contain at least 2 items matching the given schema",
            ),
            ({"dependentRequired": {"a": ["b"]}}, {"a": 1}, "'b' is a dependency of 'a'"),
            ({"not": integer}, 1, "1 should not be valid under {'type': 'integer'}"),
            ({"anyOf": [integer, whole]}, -1.5, "-1.5 is not valid under any of the given schemas"),
            ({"oneOf": [integer, whole]}, -1.5, "-1.5 is not valid under any of the given schemas"),
            ({"oneOf": [integer, whole]}, 1, "1 is valid under each of {'minimum': 0}, {'type': 'integer'}"),
            (
                {"prefixItems": [{}], "unevaluatedItems": False},
                [1, "a"],
                "Unevaluated items are not allowed ('a' was unexpected)",
            ),
            (
                {"unevaluatedProperties": False},
                {"b": 1, "a": 1},
                "Unevaluated properties are not allowed ('a', 'b' were unexpected)",
            ),
            (
                {"unevaluatedProperties": integer},
                {"a": ""},
                "Unevaluated properties are not valid under the given schema ('a' was unevaluated and invalid)",
            ),
            ({"if": integer, "then": False}, 1, "False schema does not allow 1"),
        ):
            self.assertEqual(told(schema, value), [("body", message)], schema)
