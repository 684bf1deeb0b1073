"""The one rule between JSON and XML, both ways.

A scalar is an attribute, an object is a child element, a list is an element whose children have the singular name,
null is left out. In requests a scalar may be a child element with text as well, namespaces do not matter, and what a
text means (an integer, a boolean) is told by the JSON Schema of the body; a child with ``xsi:nil="true"`` is null.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

import defusedxml
from defusedxml.ElementTree import ParseError, fromstring

from quantumd.core.errors import BadRequest, FieldError
from quantumd.core.model import Json

#: Deeper than anything in the contract, and far from the limits of the interpreter.
MAX_DEPTH = 32

#: What XML 1.0 cannot carry, not even as a character reference (section 2.2, Char).
UNSPEAKABLE = r"\u0000-\u0008\u000b\u000c\u000e-\u001f\ud800-\udfff\ufffe\uffff"

_UNSPEAKABLE = re.compile(f"[{UNSPEAKABLE}]")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.\-]|^[^A-Za-z_]|^(?=[xX][mM][lL])|_(?=x[0-9A-Fa-f]*_)")
_ENCODED = re.compile(r"_x([0-9A-Fa-f]{0,6})_")
_DECLARED = re.compile(r"\s*<\?xml[^>]*?\bencoding\s*=\s*[\"']([^\"']*)[\"']")
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_XSI = "{http://www.w3.org/2001/XMLSchema-instance}"
_XML = "{http://www.w3.org/XML/1998/namespace}"


# --- writing


def to_xml(value: Json, root: str) -> bytes:
    """The document for a JSON object: of its one member where it has but one, else named ``root``."""
    content: Any = value
    if len(value) == 1:
        ((name, inner),) = value.items()
        if isinstance(inner, Mapping | list | tuple):
            root, content = name, inner
    element = Element(_name(root))
    _fill(element, content)
    return write(element)


def write(element: Element) -> bytes:
    """The element as a document in UTF-8."""
    document: bytes = tostring(element, encoding="utf-8", xml_declaration=True)
    return document.replace(b"\r", b"&#13;")  # which a reader would take for the end of a line, and for a "\n"


def text_of(value: Any) -> str:
    """A scalar as text; what XML cannot carry becomes U+FFFD."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return _UNSPEAKABLE.sub("\ufffd", str(value))


def singular(name: str) -> str:
    """What the children of a list of this name are called."""
    if name.endswith("ies"):
        return name[:-3] + "y"
    if name.endswith("s") and len(name) > 1 and not name.endswith("ss"):
        return name[:-1]
    return "item"


def _fill(element: Element, value: Any) -> None:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if inner is None:
                continue
            if isinstance(inner, Mapping | list | tuple):
                _fill(SubElement(element, _name(name)), inner)
            else:
                element.set(_name(name), text_of(inner))
    elif isinstance(value, list | tuple):
        child = singular(element.tag)
        for inner in value:
            _fill(SubElement(element, child), inner)
    elif value is not None:
        element.text = text_of(value)


@lru_cache(maxsize=1024)
def _name(key: str) -> str:
    """A key as the name of an element or attribute; characters that cannot be in one are written ``_xHHHH_``."""
    return _NOT_IN_NAMES.sub(_encode, key) or "_x_"


def _encode(found: re.Match[str]) -> str:
    # Where a name begins with "xml", nothing was matched: there is no character to encode, but a prefix is needed.
    return f"_x{ord(found[0]):04X}_" if found[0] else "_x_"


def _decode(found: re.Match[str]) -> str:
    if not found[1]:
        return ""
    code = int(found[1], 16)
    return chr(code) if code <= 0x10FFFF else found[0]


# --- reading


def from_xml(text: str, schema: Json) -> Any:
    """The JSON that an XML document stands for, typed as the schema of the body says.

    What does not have the type that it should have stays a string, which validation then finds. Raises BadRequest for
    what is no XML, for DTDs and entities, and for a field that is given twice.
    """
    declared = _DECLARED.match(text)
    if declared and declared[1].lower() not in ("utf-8", "us-ascii"):
        raise BadRequest("The body is not in UTF-8.", [FieldError("body", f"declares the encoding {declared[1]!r}")])
    try:
        root = fromstring(text.removeprefix("\ufeff").encode(), forbid_dtd=True)
    except defusedxml.DefusedXmlException:
        raise _malformed("a DTD, and entities, are not taken") from None
    except ParseError as error:
        raise _malformed(f"is no XML: {error}") from None
    name = _local(root.tag)
    return {name: _read(root, _member(schema, name), name, 1)}


def _read(element: Element, schema: Json, path: str, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise _malformed(f"has more than {MAX_DEPTH} levels")
    if element.get(f"{_XSI}nil") in ("true", "1"):
        return None
    if schema.get("type") == "array":
        items = _schema(schema.get("items"))
        return [_read(child, items, f"{path}.{at}", depth + 1) for at, child in enumerate(element)]
    attributes = list(_attributes(element))
    if not attributes and not len(element) and (_is_scalar(schema) or (element.text or "").strip()):
        return _scalar(element.text or "", schema)
    if (element.text or "").strip() or any((child.tail or "").strip() for child in element):
        raise _malformed(f"has text between the elements of {path!r}")
    fields: dict[str, Any] = {}
    for name, value in attributes:
        _once(fields, name, path)
        fields[name] = _scalar(value, _member(schema, name))
    for child in element:
        name = _local(child.tag)
        _once(fields, name, path)
        fields[name] = _read(child, _member(schema, name), f"{path}.{name}", depth + 1)
    return fields


def _attributes(element: Element) -> Iterator[tuple[str, str]]:
    for name, value in element.attrib.items():
        if not name.startswith((_XSI, _XML)):
            yield _local(name), value


def _local(tag: str) -> str:
    return _ENCODED.sub(_decode, tag.rpartition("}")[2])


def _member(schema: Json, name: str) -> Json:
    return _schema(schema.get("properties", {}).get(name))


def _schema(schema: object) -> Json:
    """A subschema; one that says nothing where there is none, or where it is a mere yes or no."""
    return schema if isinstance(schema, Mapping) else {}


def _types(schema: Json) -> tuple[str, ...]:
    types = schema.get("type", ())
    return (types,) if isinstance(types, str) else tuple(types)


def _is_scalar(schema: Json) -> bool:
    return bool(_types(schema)) and "object" not in _types(schema)


def _scalar(text: str, schema: Json) -> Any:
    """A scalar of the first type of the schema that the text can be; else the text."""
    for kind in _types(schema):
        if kind == "integer" and _INTEGER.fullmatch(text.strip()):
            return int(text)
        if kind == "boolean" and text.strip() in ("true", "false"):
            return text.strip() == "true"
        if kind == "number":
            try:
                return float(text)
            except ValueError:
                continue
    return text


def _once(fields: Json, name: str, path: str) -> None:
    if name in fields:
        raise BadRequest("The body gives a field twice.", [FieldError(f"{path}.{name}", "is given more than once")])


def _malformed(message: str) -> BadRequest:
    return BadRequest("The body is malformed; send one XML document in UTF-8.", [FieldError("body", message)])
