"""Floor 5: all parts put together, and the order in which they start and stop."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from quantumd.admintoken import TokenError, admin_token
from quantumd.api.gate import Gate
from quantumd.api.settings import TOKEN, ApiSettings
from quantumd.api.site import ApiSite, make_site
from quantumd.auditfile import AuditError, AuditFile
from quantumd.config import Settings
from quantumd.core.intent import Limits
from quantumd.garbage import Garbage
from quantumd.heap import keep_little
from quantumd.interfaces import INetworkPlugin
from quantumd.listening import ListenError, listen
from quantumd.readiness import Readiness
from quantumd.service.convergence import Convergence
from quantumd.service.quantum import Quantum
from quantumd.service.tokens import token_hash
from quantumd.service.waiting import Waiters
from quantumd.store.errors import StoreError
from quantumd.store.sqlite import SQLiteStore, boot_id
from quantumd.turns import keep_turns_short

#: Seconds that a batch which is being applied has to come to its end when the daemon stops.
PATIENCE = 3.0
#: Seconds in which the last answers leave.
_FLUSH = 0.05
#: Seconds that the first convergence may take before the daemon counts as ready all the same, and between two looks.
_FIRST_LOOK, _OFTEN = 20.0, 0.05


class PluginError(Exception):
    """The plugin cannot start. The text is one line that says what to do."""


class Daemon(Service):
    """quantumd as a service. What keeps it from starting is given to ``give_up``, in one line."""

    _log = Logger()

    def __init__(
        self, reactor: Any, settings: Settings, plugin: INetworkPlugin, give_up: Callable[[str], None]
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        self._plugin = plugin
        self._give_up = give_up
        self._store = SQLiteStore(reactor, settings.state, boot_id())
        self._waiters = Waiters(self._store, reactor)
        self._convergence = Convergence(self._store, plugin, reactor)
        self._converging = False
        self._audit = None if settings.audit is None else AuditFile(settings.audit, reactor)
        self._ports: list[IListeningPort] = []
        self._gate = Gate()
        self._starting: Deferred[None] | None = None
        self._readiness = Readiness(reactor)
        self._first_look: Deferred[None] | None = None
        self._garbage = Garbage(lambda: self._store.state.size, reactor)

    def startService(self) -> None:
        """Begin to start: the state, then the sockets, on which it can be read, and the plugin, for everything else."""
        super().startService()
        self._starting = Deferred.fromCoroutine(self._start())
        self._starting.addErrback(self._failed)

    def stopService(self) -> Deferred[None]:
        """Stop in the opposite order; what was begun is finished. Fires within 5 s."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _start(self) -> None:
        self._garbage.hold()
        keep_little()
        keep_turns_short()
        await self._store.start()
        site = self._make_site()
        for text in self._settings.listen:
            self._ports.append(await listen(self._reactor, text, site, self._settings.admin_gid))
        try:
            await self._convergence.start()
        except Exception as error:
            raise PluginError(f"plugin {self._plugin.name} cannot start: {' '.join(str(error).split())}") from error
        self._converging = True
        self._garbage.start()
        self._gate.open()
        self._log.info(
            "quantumd is ready: plugin {plugin}, state {state}, listening on {listen}",
            plugin=self._plugin.name,
            state=self._settings.state,
            listen=", ".join(self._settings.listen),
        )
        self._first_look = Deferred.fromCoroutine(self._tell_when_converged())
        self._first_look.addErrback(_no_matter_if_cancelled)

    async def _tell_when_converged(self) -> None:
        """Tell systemd that all is well once the host was looked at and there is nothing to do but wait or try again;
        with a backend that is away, or too much to do, after a while."""
        loop = self._convergence
        for _ in range(int(_FIRST_LOOK / _OFTEN)):
            if loop.progress.audits and loop.backlog <= loop.retrying:
                break
            await deferLater(self._reactor, _OFTEN)
        self._readiness.ready()

    def _make_site(self) -> ApiSite:
        settings = self._settings
        limits = Limits(settings.networks, settings.ports_per_network, self._plugin.fixed_ports)
        quantum = Quantum(self._store, self._plugin, limits, self._convergence.wake, settings.policy, settings.quotas)
        registry = CollectorRegistry()
        registry.register(_Loop(self._convergence, self._store))
        secret = admin_token(settings.state.with_name("admin.token")) if settings.auth_mode == TOKEN else None
        api = ApiSettings(
            status_codes=settings.status_codes,
            body_bytes=settings.body_bytes,
            requests_per_second=settings.requests_per_second,
            auth_mode=settings.auth_mode,
            admin_token_hash=None if secret is None else token_hash(secret),
            admin_gid=settings.admin_gid,
            connections=settings.connections,
            at_once=settings.at_once,
        )
        if self._audit is not None:
            self._audit.open()
        sink = None if self._audit is None else self._audit.write
        return make_site(
            quantum, self._waiters, self._store, self._plugin, api, self._reactor, registry, self._gate, sink
        )

    def _failed(self, reason: Failure) -> None:
        if isinstance(reason.value, StoreError | TokenError | AuditError | PluginError | ListenError):
            why = str(reason.value)
            self._log.critical("quantumd cannot start: {why}", why=why)
        else:
            why = f"quantumd cannot start because of a fault of its own ({reason.getErrorMessage()}); see its log"
            self._log.failure("quantumd cannot start", failure=reason)
        self._give_up(why)

    async def _stop(self) -> None:
        self._readiness.stopping()
        self._garbage.stop()
        if self._first_look is not None:
            self._first_look.cancel()
        if self._starting is not None:
            await self._within(PATIENCE, self._starting)
        for port in self._ports:
            await maybeDeferred(port.stopListening)
        self._gate.give_up()
        self._waiters.release()
        if self._converging:
            await self._within(PATIENCE, Deferred.fromCoroutine(self._convergence.stop()))
        await self._store.stop()
        await deferLater(self._reactor, _FLUSH)
        if self._audit is not None:
            self._audit.close()

    async def _within(self, seconds: float, work: Deferred[None]) -> None:
        """Wait for the work, but no longer than that."""
        over: Deferred[None] = deferLater(self._reactor, seconds)
        await DeferredList([work, over], fireOnOneCallback=True, consumeErrors=True)
        if work.called:
            over.cancel()
        else:
            self._log.warn("Stopping goes on without waiting any longer for what is being done")


def _no_matter_if_cancelled(reason: Failure) -> None:
    """The daemon stops before it was ready."""
    reason.trap(CancelledError)


class _Loop(Collector):
    """What the loop has done, and whether the state can be written, for ``/metrics``."""

    def __init__(self, convergence: Convergence, store: SQLiteStore) -> None:
        self._convergence = convergence
        self._store = store

    def collect(self) -> Iterable[Metric]:
        """The metrics as of now."""
        done = self._convergence.progress
        changes = CounterMetricFamily(
            "quantumd_changes", "Changes carried out on the host, by outcome", labels=["outcome"]
        )
        for outcome in ("applied", "failed"):
            changes.add_metric([outcome], getattr(done, outcome))
        yield changes
        yield CounterMetricFamily(
            "quantumd_repairs", "Records that were not as they should be, repaired", done.repaired
        )
        yield CounterMetricFamily(
            "quantumd_leftovers", "Things of ours that belonged to nothing, removed", done.leftovers
        )
        yield CounterMetricFamily("quantumd_audits", "Looks at the whole host", done.audits)
        yield GaugeMetricFamily("quantumd_backlog", "Records not yet as they should be", self._convergence.backlog)
        yield GaugeMetricFamily(
            "quantumd_store_up", "Whether the last write of the state worked", float(self._store.trouble is None)
        )
        yield GaugeMetricFamily(
            "quantumd_retrying", "Records that failed and are tried again", self._convergence.retrying
        )
