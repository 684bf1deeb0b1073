"""The cost of one change does not grow with what exists: 10,000 ports are a normal day."""

from __future__ import annotations

import time
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from quantumd.core import intent
from quantumd.core.intent import Limits, matching
from quantumd.core.model import Form
from quantumd.core.outcome import stands
from quantumd.core.plan import Observed, Seen, closure, make_plan
from quantumd.core.state import State
from quantumd.core.transaction import Transaction
from tests.core.support import allow, tap

FEW, MANY = 100, 10_000
LIMITS = Limits(networks=100, ports_per_network=20_000)
NOW = "2026-01-01T00:00:00Z"


class Full:
    """A state with that many ports on ten networks, all plugged."""

    def __init__(self, ports: int) -> None:
        tx = Transaction(State(), NOW)
        self.networks = [
            intent.create_network(tx, allow, LIMITS, {"name": f"n{place}"}, "default").id for place in range(10)
        ]
        for place in range(ports):
            intent.plug_anywhere(tx, allow, LIMITS, self.networks[place % 10], tap(f"vif{place}", f"tap{place}"))
        self.state = tx.state
        self.first = self.state.attachments_of(self.networks[0])[0]

    def plug(self) -> None:
        """Accept one more."""
        intent.plug_anywhere(Transaction(self.state, NOW), allow, LIMITS, self.networks[0], Form(id="one-more"))

    def unplug(self) -> None:
        """Accept that one goes."""
        home = self.first.network_id, self.first.port_id
        intent.unplug(Transaction(self.state, NOW), allow, *home, matching(None))

    def plan(self) -> None:
        """Plan for one that is missing."""
        seen = {key: Seen(True) for key in closure(self.state, [self.first.key]) if key != self.first.key}
        assert len(make_plan(self.state, Observed(seen), [self.first.key]).changes) == 1


class Free:
    """A state with that many ports on one network, none of them plugged."""

    def __init__(self, ports: int) -> None:
        tx = Transaction(State(), NOW)
        self.network = intent.create_network(tx, allow, LIMITS, {"name": "blue"}, "default").id
        for _ in range(ports):
            intent.create_port(tx, allow, LIMITS, self.network, {})
        self.state = tx.state

    def add(self) -> None:
        """Accept one more."""
        intent.create_port(Transaction(self.state, NOW), allow, LIMITS, self.network, {})

    def plug(self) -> None:
        """Accept something into the oldest."""
        intent.plug_anywhere(Transaction(self.state, NOW), allow, LIMITS, self.network, Form(id="vif"))


class Whole:
    """A state with that many ports, all plugged, on a host that is in order, though no record says so yet."""

    def __init__(self, ports: int) -> None:
        self.state = Full(ports).state
        self.keys = list(self.state.every_key())
        self.observed = Observed({key: Seen(True) for key in self.keys})

    def go_through(self) -> None:
        """As an audit does."""
        for record in self.state.every_record():
            assert not stands(record, self.observed.of(record.key))

    def plan(self) -> None:
        """Plan for all of them."""
        plan = make_plan(self.state, self.observed, self.keys)
        assert (plan.changes, len(plan.settled)) == ((), len(self.keys))


def seconds(work: Callable[[], None], runs: int = 200) -> float:
    """The time of one run, at its best."""
    found = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return min(found)


class CostTests(SynchronousTestCase):
    def test_one_change_costs_the_same_among_many(self) -> None:
        self.hold(Full(FEW), Full(MANY), "plug", "unplug", "plan")

    def test_one_change_costs_the_same_among_many_free_ports(self) -> None:
        self.hold(Free(FEW), Free(MANY), "add", "plug")

    def hold(self, few: object, many: object, *names: str) -> None:
        """Check what these cost."""
        for name in names:
            # Something else on the machine can make one measurement slow, but not all of them.
            ratios: list[float] = []
            while len(ratios) < 5 and not any(ratio < 1.5 for ratio in ratios):
                ratios.append(seconds(getattr(many, name)) / seconds(getattr(few, name)))
            with self.subTest(name):
                self.assertLess(min(ratios), 1.5)

    def test_to_look_at_everything_takes_as_long_as_there_is(self) -> None:
        """Ten times the ports take ten times as long to go through and to plan for; up to three times that, since so
        many are in no cache. Were it to grow with what there is for each of them, it would be a hundred times."""
        few, many = Whole(MANY // 10), Whole(MANY)
        for name in ("go_through", "plan"):
            ratios: list[float] = []
            while len(ratios) < 5 and not any(ratio < 30 for ratio in ratios):
                ratios.append(seconds(getattr(many, name), 3) / seconds(getattr(few, name), 10))
            with self.subTest(name):
                self.assertLess(min(ratios), 30)
