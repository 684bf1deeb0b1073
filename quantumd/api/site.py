"""The whole edge as a factory of ``twisted.web`` channels."""

from __future__ import annotations

from base64 import b64encode

from prometheus_client import CollectorRegistry, Gauge
from twisted.internet.interfaces import IReactorTime
from twisted.web.http import HTTPFactory, Request, datetimeToString

from quantumd.api.access import NOBODY, Access
from quantumd.api.administration import Administration
from quantumd.api.app import App
from quantumd.api.audit import Audit, Sink
from quantumd.api.connections import AtOnce, Connections
from quantumd.api.events import EventStreams
from quantumd.api.gate import Gate
from quantumd.api.metrics import Requests, Resources
from quantumd.api.openapi import OpenApi
from quantumd.api.operations import Call, Operations, Reply
from quantumd.api.pages import Pages
from quantumd.api.ratelimit import RateLimit
from quantumd.api.request import ApiChannel, ApiRequest
from quantumd.api.settings import ApiSettings
from quantumd.interfaces import INetworkPlugin, IStateStore
from quantumd.service.quantum import Quantum
from quantumd.service.tokens import Tokens
from quantumd.service.waiting import Waiters

#: The media type of what is in a backup, in base64.
SQLITE = "application/vnd.sqlite3"
#: Seconds after which a connection on which nothing is asked is closed.
IDLE = 60


class ApiSite(HTTPFactory):
    """Bounds what it reads, speaks problem details where it can, and ends the event streams when it stops.

    Requests go to the application at once, and not through a tree of resources: there is one router, and it is Klein's.
    """

    protocol = ApiChannel  # type: ignore[assignment]  # Site names its own channel
    noisy = False  # the daemon says itself where it listens, in one line

    def __init__(
        self,
        app: App,
        streams: EventStreams,
        requests: Requests,
        audit: Audit | None,
        settings: ApiSettings,
        clock: IReactorTime,
    ) -> None:
        super().__init__(timeout=IDLE, reactor=clock)
        self.app = app
        self.requests = requests
        self.body_bytes = settings.body_bytes
        self.connections = Connections(settings.connections)
        self.clock = clock
        self._audit = audit
        self._streams = streams
        self._dated, self._date = 0, b""

    def startFactory(self) -> None:
        """Nothing to do. (An access log would be opened, which there is not, and its clock would be started, by which
        an idle daemon is woken once a second for nothing.)"""

    def stopFactory(self) -> None:
        """Nothing listens any more: who follows events is told by the end of the stream."""
        self._streams.close()

    def date(self) -> bytes:
        """The value of a ``Date`` header, made once a second."""
        now = int(self.clock.seconds())
        if now != self._dated:
            self._dated, self._date = now, datetimeToString(now)
        return self._date

    def over(self, request: ApiRequest, answered: bool) -> None:
        """The request was answered, or its client went away before."""
        self.app.over(request)
        self.requests.over(request.fault, request.caller is NOBODY)
        if self._audit is not None:
            self._audit.tell(request, self.clock.seconds(), answered)

    def log(self, _: Request) -> None:
        """No access log: changes and refusals are in the audit log, and everything is counted in the metrics."""


def make_site(
    quantum: Quantum,
    waiters: Waiters,
    store: IStateStore,
    plugin: INetworkPlugin,
    settings: ApiSettings,
    clock: IReactorTime,
    registry: CollectorRegistry,
    gate: Gate,
    audit: Sink | None = None,
) -> ApiSite:
    """The site to listen with, on as many endpoints as there are.

    ``store`` must have been started before the first request, and ``plugin`` before ``gate`` is opened.
    ``registry`` is what ``/metrics`` shows; this adds to it. ``audit`` takes the lines of the audit log; None: nobody
    keeps one.
    """
    streams = EventStreams(store, clock)
    registry.register(Resources(lambda: store.state, lambda: plugin.unavailable is None, lambda: len(streams)))
    openapi = OpenApi(plugin, settings)
    pages = Pages(plugin, settings.status_codes, registry, openapi.document)

    def follow_events(call: Call) -> Reply:
        leftovers = "also" in call.query
        return Reply(body=b"", stream=lambda request: streams.follow(request, call.caller, call.last_event, leftovers))

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
        gate,
        settings.status_codes,
    )
    site = ApiSite(app, streams, Requests(registry), None if audit is None else Audit(audit), settings, clock)
    gauge = Gauge("quantumd_connections", "Open connections", registry=registry)
    gauge.set_function(lambda: len(site.connections))
    gauge = Gauge("quantumd_waits", "Requests that wait until what they asked for has settled", registry=registry)
    gauge.set_function(lambda: len(waiters))
    return site
