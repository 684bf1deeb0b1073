"""The audit log: who changed what, read what is for admins, or tried to and may not; from where, with which result.

One JSON object a line: ``at`` (RFC 3339, UTC), ``request_id`` (that of ``X-Request-Id``), ``caller``, ``tenant_id``,
``role``, ``from``, ``method``, ``path``, ``operation``, ``status`` (null: the client went away before the answer, and
what was accepted is carried out all the same), ``fault`` and ``resource`` (the path of what was made or changed).

Requests without good credentials are not in it: who sends them did nothing, and could fill the disk with them. They
are in the daemon's log and in its metrics.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import orjson

from quantumd.api.routes import ROUTES

if TYPE_CHECKING:
    from quantumd.api.request import ApiRequest

#: What only admins may read is worth a line too.
_OF_ADMINS = {route.name for route in ROUTES if route.admin}

#: Takes one line, with its newline.
Sink = Callable[[bytes], None]


class Audit:
    """Tells the sink of each request that is over, if it is worth a line."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def tell(self, request: ApiRequest, seconds: float, answered: bool) -> None:
        """The request is over; ``seconds`` is the time, since the epoch."""
        caller = request.caller
        reads = request.method in (b"GET", b"HEAD") and request.operation not in _OF_ADMINS
        if caller.role is None or (reads and request.fault != "Unauthorized"):
            return
        line = {
            "at": datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "request_id": request.ident,
            "caller": caller.name,
            "tenant_id": caller.tenant_id,
            "role": caller.role,
            "from": request.peer.origin,
            "method": request.method.decode("latin-1"),
            "path": request.resource_path,
            "operation": request.operation,
            "status": request.code if answered else None,
            "fault": request.fault,
            "resource": request.told.get("Location"),
        }
        self._sink(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
