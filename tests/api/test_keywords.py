"""Where the contract is stricter than JSON Schema, and where it is not."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from quantumd.api.keywords import compiled
from quantumd.api.schemas import MAC, NAME, UUID
from quantumd.api.validation import Judge


class IntegerTests(SynchronousTestCase):
    """1.0 is no integer, wherever the schema asks for one."""

    def takes(self, schema: dict[str, Any], value: object) -> bool:
        errors = Judge(schema).errors(value)
        self.assertEqual(compiled(schema).is_valid(value), not errors)
        return not errors

    def test_integer(self) -> None:
        for schema in (
            {"type": "integer"},
            {"type": ["integer", "null"]},
            {"type": ["string", "integer"], "allOf": [{}]},
        ):
            self.assertTrue(self.takes(schema, 1))
            self.assertFalse(self.takes(schema, 1.0))
            self.assertFalse(self.takes(schema, True))
            self.assertFalse(self.takes(schema, 1.5))

    def test_number(self) -> None:
        for schema in ({"type": "number"}, {"type": ["integer", "number"]}, {"enum": [1]}, {"minimum": 1}):
            self.assertTrue(self.takes(schema, 1.0))

    def test_anywhere(self) -> None:
        integer: dict[str, Any] = {"type": "integer"}
        for schema, good, bad in (
            ({"$defs": {"n": integer}, "items": {"$ref": "#/$defs/n"}}, [1], [1.0]),
            ({"components": {"n": integer}, "items": {"$ref": "#/components/n"}}, [1], [1.0]),
            ({"anyOf": [integer, {"type": "null"}]}, 1, 1.0),
            ({"not": integer}, 1.0, 1),
            ({"if": integer, "then": {"minimum": 5}}, 1.0, 1),
            ({"patternProperties": {"^a": integer}}, {"a": 1}, {"a": 1.0}),
            ({"properties": {"type": integer, "enum": integer}}, {"type": 1, "enum": 1}, {"type": 1, "enum": 1.0}),
        ):
            self.assertTrue(self.takes(schema, good), schema)
            self.assertFalse(self.takes(schema, bad), schema)

    def test_data(self) -> None:
        """What looks like a schema where data is, is data."""
        like = {"type": "integer", "format": "date"}
        self.assertTrue(self.takes({"const": like}, like))
        self.assertTrue(self.takes({"enum": [like]}, like))
        self.assertTrue(self.takes({"dependentRequired": {"format": ["type"]}}, like))

    def test_words(self) -> None:
        (error,) = Judge({"properties": {"a": {"type": "integer", "minimum": 5}}}).errors({"a": 1.0})
        self.assertEqual((error.path, error.message), ("a", "must be an integer, not a number with a fraction"))


class TextTests(SynchronousTestCase):
    """Patterns and formats."""

    def test_end(self) -> None:
        """ "$" is the end of the text, and no newline may follow."""
        for schema, good in (
            (NAME, "a"),
            (UUID, "3f2b8a7e-0c1d-4e5f-8a9b-0c1d2e3f4a5b"),
            ({"pattern": "^a$|^b$"}, "a"),
            ({"pattern": "b$"}, "ab"),
        ):
            self.assertEqual(Judge(schema).errors(good), [])
            self.assertEqual(len(Judge(schema).errors(good + "\n")), 1, schema)
        self.assertEqual(Judge({"pattern": "a\\$"}).errors("a$\n"), [])

    def test_own_formats(self) -> None:
        """A format of ours has words of its own, and is about texts only."""
        (error,) = Judge(MAC).errors("02:00:00:00:00:01\n")
        self.assertEqual(error.message, "a MAC is six hexadecimal pairs with colons, such as 02:00:00:00:00:01")
        self.assertEqual(Judge({"format": "mac"}).errors(1), [])

    def test_other_formats(self) -> None:
        for name in ("date", "email", "ipv4", "regex", "uri", "uuid", "of nobody"):
            self.assertEqual(Judge({"properties": {"a": {"format": name}}}).errors({"a": "("}), [], name)


class CompiledTests(SynchronousTestCase):
    """What is no schema is told of when the daemon starts."""

    def test_refused(self) -> None:
        for schema in ({"type": "intger"}, {"pattern": "("}, {"$ref": "#/nowhere"}, {"$ref": "http://192.0.2.1/x"}):
            self.assertRaises(ValueError, compiled, schema)
