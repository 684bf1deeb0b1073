"""Counts and durations for Prometheus. The registry is a parameter, so that other parts add theirs to the same page."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from quantumd.core.errors import TooManyRequests, Unauthorized
from quantumd.core.state import STANDINGS, State

#: What a request is counted under that met no route.
NO_ROUTE = "none"

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 60)


class Requests:
    """Counts what was answered."""

    def __init__(self, registry: CollectorRegistry) -> None:
        answered = Counter(
            "quantumd_requests",
            "Requests answered, by operation and HTTP status",
            ("operation", "status"),
            registry=registry,
        )
        self._refused = Counter(
            "quantumd_refused",
            "Requests refused for what their caller is: bad credentials, a lack of rights, too many",
            ("why",),
            registry=registry,
        )
        for why in ("credentials", "rights", "rate"):
            self._refused.labels(why)
        seconds = Histogram(
            "quantumd_request_seconds",
            "From the end of a request to the end of its answer, by operation",
            ("operation",),
            buckets=_SECONDS,
            registry=registry,
        )
        # The library makes and compares the labels at each call; there are some hundred of these in all.
        self._answered = cache(lambda operation, status: answered.labels(operation, str(status)))
        self._seconds = cache(seconds.labels)

    def over(self, fault: str | None, unknown: bool) -> None:
        """One request is over; ``unknown``: nobody knows who sent it."""
        if fault == TooManyRequests.name:
            self._refused.labels("rate").inc()
        elif fault == Unauthorized.name:
            self._refused.labels("credentials" if unknown else "rights").inc()

    def answered(self, operation: str, status: int, seconds: float) -> None:
        """One request was answered."""
        self._answered(operation, status).inc()
        self._seconds(operation).observe(seconds)


class Resources(Collector):
    """How many resources there are in each status, and whether the plugin's backend can be used."""

    def __init__(self, state: Callable[[], State], is_up: Callable[[], bool], streams: Callable[[], int]) -> None:
        self._state = state
        self._is_up = is_up
        self._streams = streams

    def collect(self) -> Iterable[Metric]:
        """The metrics as of now."""
        resources = GaugeMetricFamily("quantumd_resources", "Resources, by kind and status", labels=("kind", "status"))
        for standing, count in zip(STANDINGS, self._state().standing, strict=True):
            resources.add_metric(standing, count)
        yield resources
        yield GaugeMetricFamily("quantumd_plugin_up", "Whether the plugin's backend can be used", float(self._is_up()))
        yield GaugeMetricFamily("quantumd_event_streams", "Clients that follow GET /events", self._streams())
