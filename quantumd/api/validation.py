"""Judging a body or query by its schema: all that is wrong, at its dotted path, in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from quantumd.api.keywords import SAME_FAMILY, compiled
from quantumd.api.mistakes import Mistake, dotted, find_mistakes, says
from quantumd.api.schemas import Body
from quantumd.core.errors import FieldError
from quantumd.core.model import Json


class Judge:
    """Judges values by one schema, compiled once."""

    def __init__(self, schema: Json, fixed: frozenset[str] = frozenset(), known: Json | None = None) -> None:
        self._schema = schema
        self._validator = compiled(schema)
        self._fixed = fixed
        self._known = schema if known is None else known

    def errors(self, value: Any) -> list[FieldError]:
        """Every field that is wrong, with the first thing that is wrong with it."""
        if self._validator.is_valid(value):
            return []
        errors: dict[str, FieldError] = {}
        for mistake in find_mistakes(self._schema, value, self._validator.iter_errors(value)):
            for path, message in self._explain(mistake):
                where = dotted(path)
                errors.setdefault(where, FieldError(where, message))
        return list(errors.values())

    def _explain(self, mistake: Mistake) -> Iterator[tuple[Sequence[str | int], str]]:
        """The paths of what is wrong, and what to say of them."""
        path = mistake.path
        match mistake.keyword:
            case "required":
                yield (*path, mistake.error.kind.as_dict()["property"]), "is missing"
            case "additionalProperties":
                yield from (((*path, name), self._unknown(path, name, mistake.schema)) for name in mistake.members)
            case "x-same-family":
                yield (*path, mistake.schema[SAME_FAMILY][1]), says(mistake)
            case _:
                yield path, says(mistake)

    def _unknown(self, parents: Sequence[str | int], name: str, schema: Json) -> str:
        """What to say of a field that should not be there."""
        if name in self._fixed and len(parents) == 1:  # of the resource itself, and not of its options
            return "cannot be changed"
        if name in _properties(self._known, parents):
            return "does not go with this form of attachment"
        siblings = ", ".join(schema.get("properties", {}))
        return f"is unknown; there can be {siblings or 'nothing here'}"


class BodyJudge:
    """Judges a request's body by the form that it means to have."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self._forms = {name: Judge(form, body.fixed, body.anything) for name, form in body.forms.items()}
        self._anything = Judge(body.anything, body.fixed)
        self._each = None if body.each is None else (body.each.key, BodyJudge(body.each))

    def errors(self, value: Any) -> list[FieldError]:
        """Everything that is wrong with the body."""
        form = self._body.select(value)
        errors = (self._anything if form is None else self._forms[form]).errors(value)
        return errors if self._each is None else errors + self._errors_within(value, errors, *self._each)

    def _errors_within(
        self, value: Any, errors: Sequence[FieldError], within: str, each: BodyJudge
    ) -> list[FieldError]:
        """What is wrong with the things in the list, if that is one and is not too long."""
        key = self._body.key
        if not isinstance(value, dict) or key not in value or any(error.path == key for error in errors):
            return []
        return [
            FieldError(f"{key}.{place}{error.path.removeprefix(within)}", error.message)
            for place, one in enumerate(value[key])
            for error in each.errors({within: one})
        ]


def _properties(schema: Any, path: Sequence[str | int]) -> Json:
    """What the schema says of the members of the object at that path."""
    for step in path:
        schema = schema.get("properties", {}).get(step, {})
    found: Json = schema.get("properties", {})
    return found
