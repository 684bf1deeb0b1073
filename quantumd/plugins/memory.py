"""Plugin ``memory``: a host that is a dict. For people who try the API out, and for tests of everything above a plugin.

Every type and device exists at once and settles as ``Attached/UP``; the settings make it slow, full, stubborn or away.
What it holds is gone with the process, as after a reboot.
"""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall, deferLater
from zope.interface import implementer

from quantumd.core.changes import (
    Attach,
    Blocked,
    Change,
    Detach,
    Done,
    EnsureNetwork,
    EnsurePort,
    Failed,
    Leftover,
    Outcome,
    RecordChange,
    RemoveLeftover,
    RemoveNetwork,
    RemovePort,
)
from quantumd.core.errors import OverLimit, PluginFault, ServiceUnavailable
from quantumd.core.model import Attachment, Json, Key, Kind, Network, Port, Record
from quantumd.core.names import derived
from quantumd.core.plan import Observed, Seen
from quantumd.core.state import State
from quantumd.interfaces import Capabilities, INetworkPlugin, Notify

SETTINGS: Mapping[str, Any] = {
    "delay": 0.0,
    "fixed_ports": 0,
    "veto_detach": False,
    "fail": "",
    "capacity": 0,
    "unavailable": "",
}

#: Seconds between two looks at whether the file ``unavailable`` is there.
_LOOK = 1.0

_MTU = {
    "type": "integer",
    "minimum": 68,
    "maximum": 65535,
    "description": "The largest packet of the network's members, in bytes",
}


@frozen
class _Made:
    """What the dict-that-is-the-host has for one record: what was asked for, and what it reports."""

    asked: object
    plugin: Json


_HALF = _Made(None, {})


@implementer(INetworkPlugin)
class MemoryPlugin:
    """See the module. ``host`` and ``fail`` can be looked at, and changed behind the plugin's back, by tests."""

    name = "memory"
    batches = 1000
    capabilities = Capabilities(
        network_options={"type": "object", "properties": {"mtu": _MTU}, "additionalProperties": False},
        features={"volatile": True},
    )

    def __init__(self, clock: IReactorTime, settings: Mapping[str, Any]) -> None:
        for key in ("delay", "fixed_ports", "capacity"):
            if not 0 <= settings[key] < math.inf:
                raise ValueError(f"{key} takes 0 or a positive number")
        self._clock = clock
        self._delay: float = settings["delay"]
        self._veto_detach: bool = settings["veto_detach"]
        self.fail: str = settings["fail"]
        self._capacity: int = settings["capacity"]
        self._unavailable: str = settings["unavailable"]
        self.fixed_ports: int = settings["fixed_ports"]
        self.host: dict[Key, _Made] = {}
        self._look = LoopingCall(self._look_at_file)
        self._look.clock = clock
        self._was_away = False

    @property
    def unavailable(self) -> str | None:
        """Away while the file of that name exists."""
        if self._unavailable and Path(self._unavailable).exists():
            return f"The memory plugin is away while {self._unavailable} exists"
        return None

    def start(self, notify: Notify) -> Deferred[None]:
        """Look after the file ``unavailable``, if there is to be one."""
        self._notify = notify
        self._was_away = self.unavailable is not None
        if self._unavailable:
            self._look.start(_LOOK, now=False)
        return succeed(None)

    def stop(self) -> Deferred[None]:
        """Forget nothing: the dict stays as it is."""
        if self._look.running:
            self._look.stop()
        return succeed(None)

    def _look_at_file(self) -> None:
        away = self.unavailable is not None
        if away is not self._was_away:
            self._was_away = away
            self._notify(None)

    def judge(self, state: State, change: RecordChange) -> Json:
        """Refuse what the settings say; otherwise hand out device names as a real plugin would."""
        match change:
            case EnsureNetwork(network):
                full = self._capacity and state.live_networks >= self._capacity
                if full and network.id not in state.networks:
                    raise OverLimit(f"The memory plugin has a capacity of {self._capacity} networks; delete one.")
                return network.data or {
                    "bridge": derived("mem", network.id, lambda name: state.owner("bridge", name) is not None)
                }
            case EnsurePort() | RemovePort() if self.fixed_ports:
                raise PluginFault(f"Each network has {self.fixed_ports} ports; none can be made or deleted.")
            case Detach() if self._veto_detach:
                raise PluginFault("The memory plugin is set not to let go of what is plugged (veto_detach).")
            case Attach(attachment):
                return {"device": self._device(state, attachment)}
        return {}

    def discover(self, state: State, keys: Collection[Key] | None) -> Deferred[Observed]:
        """Look into the dict."""
        seen = {}
        for key in state.every_key() if keys is None else keys:
            record, made = state.get(key), self.host.get(key)
            if record is not None and made is not None:
                same = made.asked == _asked(record)
                seen[key] = Seen(True, () if same else ("it is not as asked for",), plugin=made.plugin)
            elif record is not None and record.going:
                # Taking away takes its time too, also what was asked for only a moment ago and is not made yet.
                seen[key] = Seen(True)
            elif record is not None and record.plugin:
                seen[key] = Seen(False, ("it is gone",))
        stray = [key for key in self.host if state.get(key) is None] if keys is None else []
        leftovers = [Leftover(f"{key.kind} {key.ident}", {"kind": key.kind, "ident": key.ident}) for key in stray]
        return succeed(Observed(seen, tuple(leftovers)))

    def apply(self, changes: Sequence[Change]) -> Deferred[Sequence[Outcome]]:
        """Change the dict, ``delay`` seconds from now."""

        def work() -> Sequence[Outcome]:
            if self.unavailable is not None:
                raise ServiceUnavailable(self.unavailable)
            failed: set[Key] = set()
            return [self._apply(change, failed) for change in changes]

        return deferLater(self._clock, self._delay, work)

    def _apply(self, change: Change, failed: set[Key]) -> Outcome:
        if isinstance(change, RemoveLeftover):
            handle = change.leftover.handle
            self.host.pop(Key(Kind(handle["kind"]), handle["ident"]), None)
            return Done()
        if isinstance(change, EnsurePort | Attach) and change.network.key in failed:
            failed.add(change.key)
            return Blocked()
        if isinstance(change, Attach) and change.port.key in failed:
            return Blocked()
        if self._is_to_fail(change):
            failed.add(change.key)
            # Half of it is there now, so that taking it away is a change too, and fails as well.
            self.host.setdefault(change.key, _HALF)
            return Failed(f"The memory plugin is set to fail on {self.fail!r}; change [plugin:memory] fail.")
        match change:
            case RemoveNetwork() | RemovePort() | Detach():
                self.host.pop(change.key, None)
                return Done()
            case EnsureNetwork(record) | EnsurePort(record) | Attach(record):
                plugin = _report(record, change.network)
                self.host[change.key] = _Made(_asked(record), plugin)
                return Done(plugin)

    def _is_to_fail(self, change: RecordChange) -> bool:
        if not self.fail:
            return False
        names = {change.network.name}
        if isinstance(change, Attach | Detach):
            names = {change.attachment.id}
        elif isinstance(change, EnsurePort | RemovePort):
            names = set()
        return any(fnmatch.fnmatchcase(name, self.fail) for name in names)

    def _device(self, state: State, attachment: Attachment) -> str:
        """The device's name: the one given, or found by its id, or one that follows from the port's id."""
        form = attachment.form
        if form.device is not None and form.device.name is not None and form.vlan is None:
            return form.device.name
        if form.device is None and form.tunnel is None:
            return form.id
        prefix = "vx" if form.tunnel is not None else "vlan" if form.vlan is not None else "tap"
        return derived(prefix, attachment.port_id, lambda name: bool(state.holders(("device", name, None))))


def _asked(record: Record) -> object:
    if isinstance(record, Network):
        return (record.name, record.options)
    return record.options if isinstance(record, Port) else record.form


def _report(record: Record, network: Network) -> Json:
    if isinstance(record, Port):
        return {}
    bridge = {"bridge": network.data["bridge"]}
    return {**bridge, "device": record.data["device"]} if isinstance(record, Attachment) else bridge
