"""Faults on the wire: HTTP statuses, and problem details (RFC 9457) in JSON and XML."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from xml.etree.ElementTree import Element, SubElement

import orjson

from quantumd.api.jsonxml import text_of, write
from quantumd.api.media import Format
from quantumd.core.errors import (
    AlreadyAttached,
    AttachmentsPlugged,
    BadRequest,
    Fault,
    FieldError,
    IdInUse,
    InternalError,
    MethodNotAllowed,
    NotAcceptable,
    NotFound,
    OverLimit,
    PluginFault,
    PortInUse,
    PreconditionFailed,
    ServiceUnavailable,
    TooManyRequests,
    Unauthorized,
    UnsupportedMediaType,
)

#: The two values of ``[http] status_codes``.
PROPOSAL, STANDARD = "proposal", "standard"
STATUS_CODES = (PROPOSAL, STANDARD)

#: Seconds after which it is worth to try again when the backend is away: that it is back is noticed within five.
RETRY_AFTER = 5

_NAMESPACE = "urn:ietf:rfc:7807"

_STATUSES: Mapping[type[Fault], int] = {
    BadRequest: 400,
    Unauthorized: 401,
    NotFound: 404,
    MethodNotAllowed: 405,
    NotAcceptable: 406,
    IdInUse: 409,
    PreconditionFailed: 412,
    OverLimit: 413,
    UnsupportedMediaType: 415,
    AttachmentsPlugged: 421,
    AlreadyAttached: 423,
    PortInUse: 424,
    TooManyRequests: 429,
    InternalError: 500,
    ServiceUnavailable: 500,
    PluginFault: 510,
}
#: Where the proposal uses a number that has another meaning since.
_STANDARD: Mapping[type[Fault], int] = {
    AttachmentsPlugged: 409,
    AlreadyAttached: 409,
    PortInUse: 409,
    ServiceUnavailable: 503,
    PluginFault: 502,
}


def http_status(fault: type[Fault], status_codes: str) -> int:
    """The HTTP status of a fault in one of the two modes of :data:`STATUS_CODES`."""
    statuses = {**_STATUSES, **_STANDARD} if status_codes == STANDARD else _STATUSES
    return next(statuses[cls] for cls in fault.__mro__ if cls in statuses)


def reason(status: int) -> bytes:
    """The reason phrase, which Twisted does not have for 421, 423, 424 and 429."""
    return HTTPStatus(status).phrase.encode()


def fault_path(fault: type[Fault]) -> str:
    """The ``type`` of a problem, and the path at which it is described."""
    return f"/faults/{fault.name}"


def problem(fault: Fault, status_codes: str) -> dict[str, Any]:
    """The members of the problem details: ``type, title, status, detail``, and ``errors`` of a BadRequest."""
    members: dict[str, Any] = {
        "type": fault_path(type(fault)),
        "title": fault.title,
        "status": http_status(type(fault), status_codes),
        "detail": fault.detail,
    }
    if isinstance(fault, BadRequest):
        errors = fault.errors or (FieldError("body", fault.detail),)
        members["errors"] = [{"path": error.path, "message": error.message} for error in errors]
    return members


def problem_body(members: Mapping[str, Any], form: Format) -> bytes:
    """The problem details as the body of a reply."""
    if form is Format.JSON:
        return orjson.dumps(members)
    root = Element("problem", xmlns=_NAMESPACE)
    _fill(root, members)
    return write(root)


def _fill(element: Element, value: object) -> None:
    """RFC 9457, appendix B: members are elements, the entries of a list are called ``i``."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            _fill(SubElement(element, name), inner)
    elif isinstance(value, list):
        for inner in value:
            _fill(SubElement(element, "i"), inner)
    else:
        element.text = text_of(value)
