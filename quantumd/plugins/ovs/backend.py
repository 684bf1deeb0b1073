"""The switch as the plugin has it: in touch or away, its own set-up, and changes carried out up to the last wire."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Sequence
from itertools import chain
from typing import Any

from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from quantumd.core.errors import ServiceUnavailable
from quantumd.host.ovsdb.client import Client
from quantumd.host.ovsdb.errors import ConnectionBroke, GuardFailed, NotConnected, OvsdbError, TransactionFailed
from quantumd.host.ovsdb.operations import Insert, Mutate, Named, Operation, Select, Wait, by_name
from quantumd.host.ovsdb.replica import Replica, Row, RowChange
from quantumd.plugins.ovs.isolation import ISOLATED, isolate, strangers
from quantumd.plugins.ovs.tables import IFACE_ID, MADE, MONITORED, ROLE, UPLINK, Switch, mark_of
from quantumd.plugins.ovs.vswitchd import ProcessWatch, find
from quantumd.plugins.slices import in_slices

#: Seconds that ovs-vswitchd may take to carry out a change, and as many more for each port in it: it waits for the
#: kernel for each that goes.
_PATIENCE, _PATIENCE_EACH = 4.5, 0.05
#: How many MAC addresses our bridges learn; Open vSwitch itself would stop at 8,192 (2,048 in older ones).
_MACS = "65536"
_SLICE = 200
_BEHIND = "ovs-vswitchd does not carry out what its database says; is it running?"

#: Told of the things that changed (see :func:`topics`), or None: anything may have.
Told = Callable[[Iterable[str] | None], None]


class Backend:
    """Watches one Open vSwitch. ``switch`` is None while its database is away; see :attr:`unavailable` for more."""

    _log = Logger()

    def __init__(
        self, reactor: Any, endpoint: IStreamClientEndpoint, remote: str, bridge: str, datapath_type: str, told: Told
    ) -> None:
        self._reactor = reactor
        self._remote = remote
        self._bridge = bridge
        self._datapath_type = datapath_type
        self._told = told
        self._client = Client(reactor, endpoint, "Open_vSwitch", MONITORED, self)
        self._process: ProcessWatch | None = None
        self._known: Deferred[None] | None = Deferred()
        self._setting_up = False
        # What next_cfg was when ovs-vswitchd was found not to take changes up, and whether it has to show that it does.
        self._owed: int | None = None
        self._suspect = False
        self._running = False
        self.switch: Switch | None = None
        self.unavailable: str | None = "Open vSwitch has not been asked yet"

    def start(self) -> Deferred[None]:
        """Connect; fires when it is known whether the switch is there."""
        self._running = True
        known = self._known
        assert known is not None, "it is started once"
        self._client.start()
        return known

    async def stop(self) -> None:
        """Let go of the switch as it is."""
        self._running = False
        self._watch_process(None)
        await self._client.stop()

    def present(self) -> Switch:
        """The switch as it is now.

        :raise ServiceUnavailable: it is away
        """
        if self.switch is None or self.unavailable is not None:
            raise ServiceUnavailable(self.unavailable or "Open vSwitch is away")
        return self.switch

    async def up_to_date(self) -> Switch:
        """The switch with everything that its database had when this was asked: what it tells comes before an answer.

        :raise ServiceUnavailable: it is away
        """
        self.present()
        await self.transact([])
        return self.present()

    async def commit(self, operations: Sequence[Operation], ports: int = 0) -> list[Any]:
        """Carry out a transaction about so many ports, and wait until ovs-vswitchd has taken it up.

        :raise ServiceUnavailable: the switch is away, or went away
        :raise TransactionFailed: nothing was done
        """
        bump = Mutate("Open_vSwitch", (), [("next_cfg", "+=", 1)])
        *results, _, rows = await self.transact([*operations, bump, Select("Open_vSwitch", (), ("next_cfg",))])
        await self._taken_up(rows[0]["next_cfg"] if rows else 0, ports)
        return results

    async def transact(self, operations: Sequence[Operation]) -> list[Any]:
        """Carry out a transaction, without waiting for ovs-vswitchd. Raises as :meth:`commit` does."""
        try:
            return await self._client.transact(operations)
        except (NotConnected, ConnectionBroke) as error:
            raise ServiceUnavailable(self._away(str(error))) from error

    async def _taken_up(self, number: int, ports: int) -> None:
        try:
            await self._client.until(
                lambda replica: self._owed is not None or _current(replica) >= number,
                _PATIENCE + _PATIENCE_EACH * ports,
            )
        except defer.TimeoutError:
            self._owe(number, _BEHIND)
        except OvsdbError as error:
            raise ServiceUnavailable(self._away(str(error))) from error
        if self._owed is not None:
            raise ServiceUnavailable(self.unavailable or "ovs-vswitchd is away")
        self._suspect = False

    # --- what the client tells (see quantumd.host.ovsdb.client.Watcher)

    def loaded(self, replica: Replica) -> None:
        """There is a replica: see to our own set-up, and whether ovs-vswitchd lives."""
        self.switch = Switch(replica, self._bridge)
        # It comes back after its database, up to 8 s later (the longest back-off of its own reconnection).
        self.unavailable = _BEHIND
        self._owed = None
        self._set_up()

    def changed(self, replica: Replica, changes: Sequence[RowChange]) -> None:
        """Rows changed: isolate strangers, repair our own bridge, tell whom it concerns."""
        switch = self.switch
        if switch is None:
            return
        self._isolate(switch, strangers(switch, list(changes)))
        if self._owed is not None and _current(replica) >= self._owed:
            self._owed = None
            self._set_up()
        if switch.bridge(self._bridge) is None:
            self._set_up()
        self._told(topics(switch, changes))

    def lost(self, reason: str) -> None:
        """The database is away."""
        self.switch = None
        self._is(self._away(reason))

    def _away(self, reason: str) -> str:
        return f"Open vSwitch's database at {self._remote} is away ({reason}); is Open vSwitch running?"

    def _is(self, unavailable: str | None) -> None:
        """Tell of going away and of coming back."""
        was, self.unavailable = self.unavailable, unavailable
        if self._known is not None:
            known, self._known = self._known, None
            known.callback(None)
        elif (was is None) is not (unavailable is None):
            self._told(None)
        if was is None and unavailable is not None:
            self._log.warn("{unavailable}", unavailable=unavailable)
        elif was is not None and unavailable is None:
            self._log.info("Open vSwitch is there")

    # --- whether ovs-vswitchd lives

    def _watch_process(self, pid: int | None) -> None:
        if self._process is not None:
            self._process.stop()
            self._process = None
        if pid is not None:
            try:
                self._process = ProcessWatch(self._reactor, pid, self._ended)
            except OSError:
                self._log.debug("ovs-vswitchd cannot be watched; it is noticed when it does not answer")

    def _ended(self) -> None:
        self._process = None
        self._in_background(self._await_return())

    async def _await_return(self) -> None:
        """Ask for something that ovs-vswitchd does first of all when it is back."""
        self._owe(1 << 62, "ovs-vswitchd has ended; what is accepted waits until it is back")
        bump = Mutate("Open_vSwitch", (), [("next_cfg", "+=", 1)])
        *_, rows = await self.transact([bump, Select("Open_vSwitch", (), ("next_cfg",))])
        if self._owed is not None and rows:
            self._owed = rows[0]["next_cfg"]
            if self.switch is not None:
                self.changed(self.switch.replica, ())

    def _owe(self, number: int, why: str) -> None:
        self._owed, self._suspect = number, True
        self._is(why)

    # --- our own set-up

    def _set_up(self) -> None:
        if not self._setting_up and self._owed is None:
            self._setting_up = True
            self._in_background(self._make_ready())

    async def _make_ready(self) -> None:
        try:
            while (switch := self.switch) is not None and self._owed is None:
                problem = self._unfit(switch)
                if problem is not None:
                    self._is(problem)
                    return
                missing = self._missing(switch)
                try:
                    # A change for its own sake is work for ovs-vswitchd, the more the more ports it has.
                    if missing or self._suspect or _is_behind(switch):
                        await self.commit(missing)
                except GuardFailed:
                    continue  # somebody made it first
                if switch.bridge(self._bridge) is not None:
                    break
            else:
                return
        finally:
            self._setting_up = False
        self._watch_process(find(self._remote))
        self._is(None)
        await self._isolate_all(switch)

    def _unfit(self, switch: Switch) -> str | None:
        """Why the bridge that is missing cannot be made."""
        if switch.bridge(self._bridge) is not None or switch.replica.count("Open_vSwitch") == 0:
            return None
        kinds = switch.root.datapath_types
        if kinds and self._datapath_type not in kinds:
            return (
                f"This Open vSwitch has no datapath type {self._datapath_type!r}; set [plugin:ovs] datapath_type to "
                f"one of: {', '.join(sorted(kinds))}"
            )
        return None

    def _missing(self, switch: Switch) -> list[Operation]:
        """What makes the database's only row and the integration bridge, where they are not there."""
        operations: list[Operation] = []
        if switch.replica.count("Open_vSwitch") == 0:
            operations += [Wait("Open_vSwitch", ()), Insert("Open_vSwitch", {})]
        if switch.bridge(self._bridge) is None:
            operations += add_bridge(self._bridge, self._datapath_type, {ROLE: "integration"}, [])
        return operations

    # --- strangers' ports

    def _isolate(self, switch: Switch, ports: Sequence[Row]) -> None:
        operations = [operation for port in ports if (operation := isolate(switch, port)) is not None]
        if operations:
            self._in_background(self._discard(operations))

    async def _isolate_all(self, switch: Switch) -> None:
        """Isolate what came while nobody looked."""
        uuids = [port.uuid for port in switch.replica.rows("Port") if mark_of(port) is None]
        async for some in in_slices(self._reactor, uuids, _SLICE):
            found = [port for uuid in some if (port := switch.replica.get("Port", uuid)) is not None]
            operations = [operation for port in found if (operation := isolate(switch, port)) is not None]
            if operations:
                await self.transact(operations)

    async def _discard(self, operations: Sequence[Operation]) -> None:
        """Carry operations out whose results nobody asks for."""
        await self.transact(operations)

    def _in_background(self, work: Coroutine[Deferred[Any], Any, None]) -> None:
        def failed(failure: Failure) -> None:
            if failure.check(TransactionFailed):
                self._log.failure("Open vSwitch refuses what quantumd needs", failure=failure)
                self._is(f"Open vSwitch refuses what quantumd needs: {failure.getErrorMessage()}")
            elif not failure.check(ServiceUnavailable):
                self._log.failure("Something about Open vSwitch went wrong", failure=failure)

        Deferred.fromCoroutine(work).addErrback(failed)


def _is_behind(switch: Switch) -> bool:
    """Whether ovs-vswitchd has not taken up what it was asked for last."""
    return any(root.cur_cfg < root.next_cfg for root in switch.replica.rows("Open_vSwitch"))


def _current(replica: Replica) -> int:
    for root in replica.rows("Open_vSwitch"):
        return int(root.cur_cfg)
    return -1


def add_bridge(name: str, datapath_type: str, marks: dict[str, str], ports: list[Named]) -> list[Operation]:
    """A bridge with these ports, which are made in the same transaction.

    Its local port is isolated: the host is not on its tenants' networks. Guarded by there being none of that name.
    """
    made = f"bridge_{''.join(char if char.isascii() and char.isalnum() else '_' for char in name)}"
    row = {
        "name": name,
        "ports": [Named(f"{made}_port"), *ports],
        "datapath_type": datapath_type,
        "other_config": {"mac-table-size": _MACS},
        "external_ids": {MADE: "true", **marks},
    }
    local = {"name": name, "interfaces": [Named(f"{made}_local")], "external_ids": {MADE: "true"}, **ISOLATED}
    return [
        Wait("Bridge", by_name(name)),
        Insert("Interface", {"name": name, "type": "internal"}, name=f"{made}_local"),
        Insert("Port", local, name=f"{made}_port"),
        Insert("Bridge", row, name=made),
        Mutate("Open_vSwitch", (), [("bridges", "insert", [Named(made)])]),
    ]


def topics(switch: Switch, changes: Sequence[RowChange]) -> set[str]:
    """What changes are about, in words that records can be interested in: the names of ports, marks, iface-ids and
    uplinks. No kernel device has a name with a slash."""
    found: set[str] = set()
    for change in changes:
        rows = [row for row in (change.before, change.after) if row is not None]
        match change.table:
            case "Interface":
                for row in rows:
                    found |= _port_topics(row, [row])
            case "Port":
                for row in rows:
                    found |= _port_topics(row, switch.interfaces_of(row))
            case "Bridge":
                # That ports come and go is no news of the bridge, but of those that are there after it.
                if len(rows) == 1 or any(getattr(rows[0], name) != getattr(rows[1], name) for name in _OF_A_BRIDGE):
                    found.update(topic for row in rows for topic in _bridge_topics(row))
                for uuid in chain.from_iterable(change.members("ports")) if len(rows) > 1 else ():
                    port = switch.replica.get("Port", uuid)
                    if port is not None:
                        found |= _port_topics(port, switch.interfaces_of(port))
    return found


_OF_A_BRIDGE = ("name", "datapath_type", "external_ids")


def _bridge_topics(row: Row) -> set[str]:
    uplink = row.external_ids.get(UPLINK)
    return {f"bridge/{row.name}"} if uplink is None else {f"bridge/{row.name}", f"uplink/{uplink}"}


def _port_topics(row: Row, interfaces: Sequence[Row]) -> set[str]:
    mark = mark_of(row)
    found = {f"iface/{one.external_ids[IFACE_ID]}" for one in interfaces if IFACE_ID in one.external_ids}
    return found | ({f"port/{row.name}"} if mark is None else {f"port/{row.name}", f"mark/{mark}"})
