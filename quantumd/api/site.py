"""The whole edge as a ``twisted.web`` site."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from prometheus_client import CollectorRegistry, Gauge
from twisted.internet.interfaces import IReactorTime
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from quantumd.api.access import NOBODY, Access
from quantumd.api.administration import Administration
from quantumd.api.app import App
from quantumd.api.audit import Audit, Sink
from quantumd.api.connections import AtOnce, Connections
from quantumd.api.events import EventStreams
from quantumd.api.metrics import Requests, Resources
from quantumd.api.openapi import OpenApi
from quantumd.api.operations import Call, Operations, Reply
from quantumd.api.pages import Pages
from quantumd.api.ratelimit import RateLimit
from quantumd.api.request import SERVER, ApiChannel, ApiRequest
from quantumd.api.settings import ApiSettings
from quantumd.core.errors import Fault, NotFound
from quantumd.interfaces import INetworkPlugin, IStateStore
from quantumd.service.quantum import Quantum
from quantumd.service.tokens import Tokens
from quantumd.service.waiting import Waiters

#: The media type of what is in a backup, in base64.
SQLITE = "application/vnd.sqlite3"
#: Seconds after which a connection on which nothing is asked is closed.
IDLE = 60


class ApiSite(Site):
    """Bounds what it reads, speaks problem details where it can, and ends the event streams when it stops."""

    protocol = ApiChannel  # type: ignore[assignment]
    requestFactory = ApiRequest
    noisy = False  # the daemon says itself where it listens, in one line

    def __init__(
        self,
        app: App,
        streams: EventStreams,
        requests: Requests,
        audit: Audit,
        settings: ApiSettings,
        clock: IReactorTime,
    ) -> None:
        super().__init__(_Edge(app), timeout=IDLE, reactor=clock, parsePOSTFormSubmission=False)
        self.displayTracebacks = False
        self.app = app
        self.requests = requests
        self.body_bytes = settings.body_bytes
        self.connections = Connections(settings.connections)
        self.clock = clock
        self._audit = audit
        self._streams = streams

    def stopFactory(self) -> None:
        """Nothing listens any more: who follows events is told by the end of the stream."""
        self._streams.close()
        super().stopFactory()

    def over(self, request: ApiRequest, answered: bool) -> None:
        """The request was answered, or its client went away before."""
        self.app.over(request)
        self.requests.over(request.fault, request.caller is NOBODY)
        self._audit.tell(request, self.clock.seconds(), answered)

    def log(self, _: Request) -> None:
        """No access log: changes and refusals are in the audit log, and everything is counted in the metrics."""


class _Edge(Resource):
    """Judges who calls before anything is looked for."""

    isLeaf = True

    def __init__(self, app: App) -> None:
        super().__init__()
        self._app = app
        self._klein = app.klein.resource()

    def render(self, request: Any) -> Any:
        """Hand the request to Klein, or refuse it."""
        request.setHeader("Server", SERVER)
        try:
            self._app.admit(request)
            if request.segments is None:
                raise NotFound("There is nothing at this path; GET / names what there is.")
        except Fault as fault:
            request.write(self._app.refuse(request, fault))
            request.finish()
            return NOT_DONE_YET
        request.postpath = [segment.encode() for segment in request.segments]
        return self._klein.render(request)


def make_site(
    quantum: Quantum,
    waiters: Waiters,
    store: IStateStore,
    plugin: INetworkPlugin,
    settings: ApiSettings,
    clock: IReactorTime,
    registry: CollectorRegistry,
    audit: Sink = lambda _: None,
) -> ApiSite:
    """The site to listen with, on as many endpoints as there are.

    ``store`` must have been started before the first request, and ``plugin`` too: what it takes is asked of it then.
    ``registry`` is what ``/metrics`` shows; this adds to it. ``audit`` takes the lines of the audit log.
    """
    streams = EventStreams(store, clock)
    registry.register(Resources(lambda: store.state, lambda: plugin.unavailable is None, lambda: len(streams)))
    openapi = OpenApi(plugin, settings)
    pages = Pages(plugin, settings.status_codes, registry, openapi.document)

    def follow_events(call: Call) -> Reply:
        return Reply(body=b"", stream=lambda request: streams.follow(request, call.caller, call.last_event))

    async def take_backup(_: Call) -> Reply:
        content = await store.backup()
        encoded = b64encode(content).decode("ascii")
        return Reply(body={"backup": {"format": SQLITE, "bytes": len(content), "content": encoded}})

    tokens = Tokens(store)
    app = App(
        {
            **Operations(quantum, waiters).handlers,
            **Administration(tokens, quantum).handlers,
            **pages.handlers,
            "follow_events": follow_events,
            "take_backup": take_backup,
        },
        lambda: store.state,
        plugin,
        Access(settings, tokens),
        RateLimit(settings.requests_per_second, clock),
        AtOnce(settings.at_once),
        settings.status_codes,
    )
    site = ApiSite(app, streams, Requests(registry), Audit(audit), settings, clock)
    gauge = Gauge("quantumd_connections", "Open connections", registry=registry)
    gauge.set_function(lambda: len(site.connections))
    return site
