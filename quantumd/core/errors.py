"""Every fault that a caller can be told of, by name, without a word about HTTP.

A fault is an exception when it refuses a request, and a :class:`~quantumd.core.model.FaultRecord` when it is kept
beside a resource. ``rank`` is the order of judgement: where several faults apply to one request, the caller hears the
one with the lowest rank (see :func:`raise_first`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

from attrs import frozen


@frozen
class FieldError:
    """One thing wrong with a request: a dotted path from the top of the body, and what is wrong there."""

    path: str
    message: str


class Fault(Exception):
    """The root of the hierarchy.

    ``detail`` is a sentence that says what happened and what to do; ``errors`` lists the fields at fault, if any.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    description: ClassVar[str]
    rank: ClassVar[int]

    def __init__(self, detail: str, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = tuple(errors)

    def of(self, part: str, where: str) -> Fault:
        """The same fault, of one part among several of a request: ``part`` is what it takes itself for, and ``where``
        is the path of that."""
        errors = [FieldError(f"{where}{error.path.removeprefix(part)}", error.message) for error in self.errors]
        return type(self)(f"{where}: {self.detail}", errors)


class Unauthorized(Fault):
    """No or bad credentials, or not the right to do this."""

    name = "Unauthorized"
    title = "Unauthorized"
    description = "The request has no credentials, bad ones, or its caller lacks the right to do this."
    rank = 10


class NotFound(Fault):
    """Nothing at this path."""

    name = "NotFound"
    title = "Not found"
    description = "There is nothing at this path."
    rank = 20


class NetworkNotFound(NotFound):
    """No such network, or it is on its way out."""

    name = "NetworkNotFound"
    title = "Network not found"
    description = "There is no network with this id, or it is being deleted and takes nothing new."


class PortNotFound(NotFound):
    """No such port on that network, or it is on its way out."""

    name = "PortNotFound"
    title = "Port not found"
    description = "The network has no port with this id, or the port is being deleted and takes nothing new."


class AttachmentNotFound(NotFound):
    """Nothing is plugged into that port."""

    name = "AttachmentNotFound"
    title = "Attachment not found"
    description = "Nothing is plugged into this port."


class MethodNotAllowed(Fault):
    """The path is there, the verb is not."""

    name = "MethodNotAllowed"
    title = "Method not allowed"
    description = "This resource does not take this method; the Allow header lists those it takes."
    rank = 21


class UnsupportedMediaType(Fault):
    """The body is in a format that is not spoken here."""

    name = "UnsupportedMediaType"
    title = "Unsupported media type"
    description = "Send application/json or application/xml."
    rank = 40


class NotAcceptable(Fault):
    """The caller takes no format that is spoken here."""

    name = "NotAcceptable"
    title = "Not acceptable"
    description = "Ask for application/json or application/xml."
    rank = 41


class BadRequest(Fault):
    """The request is malformed, or says something that is not in the contract."""

    name = "BadRequest"
    title = "Bad request"
    description = (
        "The body, a header or a query parameter is malformed, unknown or out of range; "
        "'errors' lists every field at fault."
    )
    rank = 50


class PreconditionFailed(Fault):
    """``If-Match`` no longer holds."""

    name = "PreconditionFailed"
    title = "Precondition failed"
    description = "The resource is not the one that If-Match names: read it again and decide anew."
    rank = 60


class IdInUse(Fault):
    """A create with an id, or an explicit VLAN, that something else has."""

    name = "IdInUse"
    title = "Id in use"
    description = "This id (or VLAN) was taken by a request with another body, or what has it is still being deleted."
    rank = 70


class AttachmentsPlugged(Fault):
    """A network or port cannot go while something is plugged into it."""

    name = "AttachmentsPlugged"
    title = "Attachments plugged"
    description = "Something is still plugged into this network or port: unplug it first."
    rank = 80


class PortInUse(Fault):
    """The port has another attachment."""

    name = "PortInUse"
    title = "Port in use"
    description = (
        "The port already has another attachment (or this one in another form): unplug it first or take another port."
    )
    rank = 81


class AlreadyAttached(Fault):
    """This attachment, or its device, is plugged elsewhere."""

    name = "AlreadyAttached"
    title = "Already attached"
    description = "This attachment id, or this device, is plugged elsewhere: unplug it there first."
    rank = 82


class OverLimit(Fault):
    """A quota, the plugin's capacity, or a size is exceeded."""

    name = "OverLimit"
    title = "Over limit"
    description = "A quota, the capacity of the plugin or the size of a body is exceeded."
    rank = 90


class TooManyRequests(Fault):
    """The caller asks faster than it may."""

    name = "TooManyRequests"
    title = "Too many requests"
    description = "This caller sends requests faster than [limits] requests_per_second allows: wait for Retry-After."
    rank = 5


class PluginFault(Fault):
    """The plugin refuses, or what it tried did not work."""

    name = "PluginFault"
    title = "Plugin fault"
    description = "The plugin, the kernel or the switch refuses this; the detail says why."
    rank = 100


class ServiceUnavailable(Fault):
    """The plugin's backend, or the state's disk, is away; nothing was accepted."""

    name = "ServiceUnavailable"
    title = "Service unavailable"
    description = (
        "The plugin's backend or the state file cannot be used at the moment; nothing was accepted. Try again later."
    )
    rank = 110


class InternalError(Fault):
    """A fault of quantumd's own."""

    name = "InternalError"
    title = "Internal error"
    description = "A fault of quantumd's own; its log has the details under the id that the detail names."
    rank = 120


def all_faults() -> dict[str, type[Fault]]:
    """Every fault that has a name, by that name."""

    def walk(cls: type[Fault]) -> Iterator[type[Fault]]:
        for sub in cls.__subclasses__():
            yield sub
            yield from walk(sub)

    return {cls.name: cls for cls in walk(Fault)}


def raise_first(*checks: Callable[[], object]) -> None:
    """Run every check; where some raise a :class:`Fault`, raise the one that the order of judgement puts first.

    So no check needs to know which others there are, and a plugin's refusal of any kind finds its place among our own.
    """
    faults = []
    for check in checks:
        try:
            check()
        except Fault as fault:
            faults.append(fault)
    if faults:
        raise min(faults, key=lambda fault: fault.rank)
