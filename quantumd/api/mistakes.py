"""From an engine's error to the place in body and schema where it is, and how that is said in plain words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
from attrs import frozen
from jsonschema_rs import ValidationError, ValidationErrorKind
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from quantumd.api.keywords import FORMATS, is_integers
from quantumd.core.model import Json

_KINDS = {
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "object": "an object",
    "array": "a list",
    "null": "null",
}
#: Keywords that are judged as a part of another, and have its place among the others.
_PART_OF = {"then": "if", "else": "if", "minContains": "contains", "maxContains": "contains"}
#: Keywords that have their schemas by name or number.
_SEVERAL = ("properties", "patternProperties", "dependentSchemas", "allOf", "prefixItems")
#: Keywords whose schema is asked for members, of which each may be wrong.
_MEMBERS = ("items", "additionalProperties", "patternProperties")
_SHOWN = 100


def _published(uri: str) -> Resource[Any]:
    """A schema that json-schema.org publishes. They are read from their files, and hardly ever are they referred to."""
    from jsonschema_specifications import REGISTRY

    found: Resource[Any] = REGISTRY[uri]
    return found


_REGISTRY: Registry[Any] = Registry(retrieve=_published)  # type: ignore[call-arg]  # its class says it by an alias


@frozen
class Mistake:
    """That a value does not fulfil a keyword of a schema. ``path`` is where the value is, ``rank`` orders mistakes as
    the schema has its keywords; without a keyword, the schema is ``false``."""

    rank: tuple[int, ...]
    path: tuple[str | int, ...]
    value: Any
    schema: Any
    keyword: str | None
    error: ValidationError

    @property
    def members(self) -> Iterable[str]:
        """The members that are unknown."""
        match self.error.kind:
            case ValidationErrorKind.AdditionalProperties(unexpected=names):
                return names
        return list(self.value)  # none at all can be there


def find_mistakes(schema: Json, value: Any, errors: Iterable[ValidationError]) -> list[Mistake]:
    """Where the errors are, in the order of the schema's keywords (the engine has an order of its own)."""
    root = _REGISTRY.resolver_with_root(DRAFT202012.create_resource(schema))
    seen: dict[object, int] = {}
    return sorted((_locate(schema, root, value, error, seen) for error in errors), key=lambda mistake: mistake.rank)


def _locate(schema: Any, resolver: Any, value: Any, error: ValidationError, seen: dict[object, int]) -> Mistake:
    """Follow the way that the engine took; ``seen`` numbers the members that it came by, which it takes in order."""
    way, path = tuple(error.evaluation_path), tuple(error.instance_path)
    at = depth = 0  # of the way and of the path, how much is behind
    keyword: str | None = None
    rank = []
    while at < len(way):
        keyword = str(way[at])
        at += 1
        if keyword == "allOf" and is_integers(schema, way[at]):
            keyword, at = "type", len(way)
        rank.append(list(schema).index(_PART_OF.get(keyword, keyword)))
        several = keyword in _SEVERAL
        if at == len(way) and not several:
            break
        if keyword in ("$ref", "$dynamicRef"):
            resolved = resolver.lookup(schema[keyword])
            schema, resolver = resolved.contents, resolved.resolver
        else:
            schema = schema[keyword]
            if several:
                step = way[at]
                at += 1
                rank.append(list(schema).index(step) if isinstance(schema, Mapping) else int(step))
                schema = schema[step]
            resolver = resolver.in_subresource(DRAFT202012.create_resource(schema))
        if keyword in _MEMBERS:
            rank.append(seen.setdefault((way[:at], path[: depth + 1]), len(seen)))
        elif keyword == "propertyNames":
            rank.append(seen.setdefault((way[:at], path, _name(error).instance), len(seen)))
        depth += keyword in ("properties", "prefixItems", *_MEMBERS)
        keyword = None
    if keyword == "items":  # false, beyond those of prefixItems: it is the list that is too long
        path = path[:-1]
    for step in path:
        value = value[step]
    if keyword == "propertyNames":  # false
        value, keyword = next(iter(value)), None
    elif isinstance(error.kind, ValidationErrorKind.PropertyNames):
        value = _name(error).instance
    return Mistake(tuple(rank), path, value, schema, keyword, error)


def _name(error: Any) -> ValidationError:
    """What is wrong with the name of a member."""
    found: ValidationError = error.kind.error
    return found


def dotted(path: Sequence[str | int]) -> str:
    """A path as an answer has it."""
    return ".".join(shown(step) for step in path) or "body"


def shown(value: object) -> str:
    """A value of a request as it may stand in a message: short, and without what cannot be written."""
    text = value if isinstance(value, str) else str(value)
    text = text.encode("utf-8", "replace").decode("utf-8")
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def says(mistake: Mistake) -> str:
    """What is wrong, in plain words."""
    value, schema, keyword = mistake.value, mistake.schema, _PART_OF.get(mistake.keyword or "", mistake.keyword)
    wanted: Any = schema.get(keyword) if isinstance(schema, Mapping) else None
    match keyword:
        case "type":
            types = [wanted] if isinstance(wanted, str) else wanted
            return f"must be {' or '.join(_KINDS[kind] for kind in types)}, not {_kind(value)}"
        case "enum":
            choices = [choice for choice in wanted if choice is not None]
            return f"must be one of {', '.join(str(choice) for choice in choices)}" if choices else "cannot be taken"
        case "const":
            return f"must be {wanted}"
        case "minLength":
            return "must not be empty" if wanted == 1 else f"must have at least {wanted} characters"
        case "maxLength":
            return f"must have at most {wanted} characters"
        case "minimum":
            return f"must be at least {wanted}"
        case "maximum":
            return f"must be at most {wanted}"
        case "minItems" | "maxItems" if "x-says" in schema:
            return str(schema["x-says"])
        case "pattern":
            return str(schema.get("x-says", f"must match {wanted}"))
        case "format":
            return str(FORMATS[wanted](value))
        case "x-same-family":
            return mistake.error.message
    return shown(_says_otherwise(mistake, wanted))


def _says_otherwise(mistake: Mistake, wanted: Any) -> str:
    """Of the keywords that only a plugin's own options may have."""
    value, schema, kind = mistake.value, mistake.schema, mistake.error.kind
    match _PART_OF.get(mistake.keyword or "", mistake.keyword):
        case "exclusiveMinimum":
            return f"{value!r} is less than or equal to the minimum of {wanted!r}"
        case "exclusiveMaximum":
            return f"{value!r} is greater than or equal to the maximum of {wanted!r}"
        case "multipleOf":
            return f"{value!r} is not a multiple of {wanted}"
        case "minItems":
            return f"{value!r} {'should be non-empty' if wanted == 1 else 'is too short'}"
        case "maxItems":
            return f"{value!r} {'is expected to be empty' if wanted == 0 else 'is too long'}"
        case "minProperties":
            return f"{value!r} {'should be non-empty' if wanted == 1 else 'does not have enough properties'}"
        case "maxProperties":
            return f"{value!r} {'is expected to be empty' if wanted == 0 else 'has too many properties'}"
        case "uniqueItems":
            return f"{value!r} has non-unique elements"
        case "items":
            prefix = len(schema.get("prefixItems", []))
            extra = value[prefix:] if len(value) - prefix != 1 else value[prefix]
            items = "item" if prefix == 1 else "items"
            return f"Expected at most {prefix} {items} but found {len(value) - prefix} extra: {extra!r}"
        case "contains" if schema.keys() & {"minContains", "maxContains"}:
            most = f" and at most {schema['maxContains']}" if "maxContains" in schema else ""
            return (
                f"{value!r} must contain at least {schema.get('minContains', 1)}{most} items matching the given schema"
            )
        case "contains":
            return f"{value!r} does not contain items matching the given schema"
        case "dependentRequired":
            pairs = ((name, each) for name, needs in wanted.items() if name in value for each in needs)
            name, each = next(pair for pair in pairs if pair[1] not in value)
            return f"{each!r} is a dependency of {name!r}"
        case "not":
            return f"{value!r} should not be valid under {wanted!r}"
        case "anyOf":
            return f"{value!r} is not valid under any of the given schemas"
        case "oneOf":
            valid = [one for one, errors in zip(wanted, kind.as_dict()["context"], strict=True) if not errors]
            if not valid:
                return f"{value!r} is not valid under any of the given schemas"
            return f"{value!r} is valid under each of {', '.join(repr(one) for one in (*valid[1:], valid[0]))}"
        case "unevaluatedItems":
            extras = _extras(map(orjson.loads, kind.as_dict()["unexpected"]))
            return f"Unevaluated items are not allowed ({extras} unexpected)"
        case "unevaluatedProperties" if wanted is False:
            extras = _extras(sorted(kind.as_dict()["unexpected"]))
            return f"Unevaluated properties are not allowed ({extras} unexpected)"
        case "unevaluatedProperties":
            extras = _extras(kind.as_dict()["unexpected"])
            return f"Unevaluated properties are not valid under the given schema ({extras} unevaluated and invalid)"
    return f"False schema does not allow {value!r}"


def _extras(values: Iterable[Any]) -> str:
    several = [repr(value) for value in values]
    return f"{', '.join(several)} {'was' if len(several) == 1 else 'were'}"


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "a boolean"
    if value is None:
        return "null"
    if isinstance(value, float):
        return "a number with a fraction"
    for kind, cls in (("string", str), ("integer", int), ("object", Mapping)):
        if isinstance(value, cls):
            return _KINDS[kind]
    return "a list"
