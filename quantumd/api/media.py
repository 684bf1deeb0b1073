"""Which format a request and its reply are in: suffix, ``Content-Type`` and ``Accept`` (RFC 9110, chapter 12)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum
from functools import lru_cache

from quantumd.core.errors import UnsupportedMediaType


class Format(Enum):
    """A way to write a representation."""

    JSON = "json"
    XML = "xml"


JSON = "application/json"
XML = "application/xml"
#: What representations can be had as, the preferred one first.
REPRESENTATIONS = (JSON, XML, "text/xml")

_FORMATS = {JSON: Format.JSON, XML: Format.XML, "text/xml": Format.XML}
_PROBLEMS = {Format.JSON: "application/problem+json", Format.XML: "application/problem+xml"}
_FORMATS_OF_FAULTS = {JSON: Format.JSON, **{name: form for form, name in _PROBLEMS.items()}, **_FORMATS}
_SUFFIXES = {".json": Format.JSON, ".xml": Format.XML}


def split_suffix(segment: str) -> tuple[str, Format | None]:
    """The last segment of a path without its ``.json`` or ``.xml``, and the format that this asks for."""
    for suffix, form in _SUFFIXES.items():
        if segment.endswith(suffix) and segment != suffix:
            return segment.removesuffix(suffix), form
    return segment, None


def format_of(media_type: str) -> Format:
    """The format of one of :data:`REPRESENTATIONS`."""
    return _FORMATS[media_type]


def media_type_of(form: Format) -> str:
    """The usual media type of the format."""
    return JSON if form is Format.JSON else XML


def problem_type(form: Format) -> str:
    """The media type of a fault (RFC 9457) in this format."""
    return _PROBLEMS[form]


def problem_format(accept: str | None, suffix: Format | None) -> Format:
    """The format of a fault: that of the reply that there would have been, else JSON, as a fault is always told."""
    found = acceptable(accept, tuple(_FORMATS_OF_FAULTS))
    return suffix or (Format.JSON if found is None else _FORMATS_OF_FAULTS[found])


@lru_cache(maxsize=256)
def body_format(content_type: str | None, coding: str | None, suffix: Format | None) -> Format:
    """The format of a request's body. Raises UnsupportedMediaType for any but JSON and XML in UTF-8, as they are
    (``coding`` is the ``Content-Encoding``)."""
    if coding and coding.strip().lower() != "identity":
        raise UnsupportedMediaType(f"The body is encoded with {coding!r}; send it without a Content-Encoding.")
    if not content_type:
        return suffix or Format.JSON
    media_type, parameters = _parse_media_type(content_type)
    form = _FORMATS.get(media_type)
    if form is None:
        raise UnsupportedMediaType(
            f"The body is {media_type or content_type!r}; send {JSON} or {XML}, and say so in Content-Type."
        )
    if parameters.get("charset", "utf-8").lower() not in ("utf-8", "utf8", "us-ascii"):
        raise UnsupportedMediaType(f"The body is in charset {parameters['charset']!r}; send it in UTF-8.")
    return form


@lru_cache(maxsize=256)
def acceptable(accept: str | None, offers: Sequence[str]) -> str | None:
    """The offer that the client prefers, the first of those that it likes equally; None where it takes none.

    Entries that are malformed count as if they were not there, and so does a header with no entry that is not.
    """
    ranges = list(_parse_accept(accept or ""))
    if not ranges:
        return offers[0]
    liked = max(offers, key=lambda offer: _quality(offer, ranges))  # max() takes the first among equals
    return liked if _quality(liked, ranges) > 0 else None


def _quality(offer: str, ranges: Sequence[tuple[str, float]]) -> float:
    """The weight of the most specific range that the offer is in; the first of several alike."""
    kind = offer.partition("/")[0]
    for matching in (offer, f"{kind}/*", "*/*"):
        for media_range, quality in ranges:
            if media_range == matching:
                return quality
    return 0.0


def _parse_accept(header: str) -> Iterator[tuple[str, float]]:
    for entry in header.split(","):
        media_range, parameters = _parse_media_type(entry)
        kind, slash, subtype = media_range.partition("/")
        if not (kind and slash and subtype) or (kind == "*" and subtype != "*"):
            continue
        try:
            quality = float(parameters.get("q", "1"))
        except ValueError:
            continue
        if 0 <= quality <= 1:
            yield media_range, quality


def _parse_media_type(text: str) -> tuple[str, dict[str, str]]:
    """A media type or range in lower case, and its parameters with lower-case names and without quotes."""
    media_type, *rest = text.split(";")
    parameters = {}
    for parameter in rest:
        name, _, value = parameter.partition("=")
        parameters[name.strip().lower()] = value.strip().strip('"')
    return media_type.strip().lower(), parameters
