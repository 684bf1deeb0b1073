"""What one route is: a verb on a path, and what is known of it before it is asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from attrs import frozen

from quantumd.api.schemas import Body
from quantumd.core.access import Caller, Right
from quantumd.core.errors import (
    BadRequest,
    Fault,
    InternalError,
    NotAcceptable,
    OverLimit,
    TooManyRequests,
    Unauthorized,
    UnsupportedMediaType,
)
from quantumd.core.model import Json
from quantumd.core.state import State
from quantumd.interfaces import Capabilities

#: The ids of a path, by the names that the route's path gives them.
Ids = Mapping[str, str]

_Target = Callable[[State, Caller, Ids], object]
_Query = Callable[[Capabilities], Mapping[str, Json]]


def _no_query(_: Capabilities) -> Mapping[str, Json]:
    return {}


@frozen(kw_only=True)
class Route:
    """One verb on one path.

    ``name`` is the handler's and the OpenAPI operation's; ``target`` raises where what has to be there is not;
    ``reply`` names a schema of :mod:`~quantumd.api.shapes` (empty: there is no body); ``media_type`` is set where the
    reply is in that one and not in JSON or XML (then there is no suffix either); ``root`` is the element that a reply
    with several members has in XML. ``public``: open to everybody; ``admin``: to admins only.
    ``of_plugin``: it reads what the plugin is, takes or can. ``waits``: takes
    ``Prefer: wait``; ``matches``: takes ``If-Match``; ``lists``: comes in pages.
    """

    name: str
    method: str
    path: str
    summary: str
    reply: str
    status: int = 200
    faults: tuple[type[Fault], ...] = ()
    body: Callable[[Capabilities], Body] | None = None
    query: _Query = _no_query
    target: _Target | None = None
    media_type: str | None = None
    root: str = "reply"
    public: bool = False
    admin: bool = False
    of_plugin: bool = False
    waits: bool = False
    matches: bool = False
    lists: bool = False

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the ids in the path."""
        return tuple(re.findall(r"<(\w+)>", self.path))

    @property
    def asks_plugin(self) -> bool:
        """Whether the answer depends on the plugin, so that it has to wait until that has started."""
        return self.of_plugin or self.right is Right.WRITE

    @property
    def right(self) -> Right:
        """What a caller needs, where it is not open to everybody."""
        if self.admin:
            return Right.ADMINISTER
        return Right.READ if self.method == "GET" else Right.WRITE

    def every_fault(self) -> tuple[type[Fault], ...]:
        """Its own faults, and those that any request may meet with."""
        everybody: tuple[type[Fault], ...] = (BadRequest, NotAcceptable, OverLimit, InternalError)
        known = () if self.public else (Unauthorized, TooManyRequests)
        body = () if self.body is None else (UnsupportedMediaType,)
        return tuple(dict.fromkeys((*everybody, *known, *body, *self.faults)))
