"""Floor 1: what the parts of quantumd expect of each other. These docstrings are the manual for the author of a plugin.

A plugin programs one kind of backend (Linux bridges, Open vSwitch). It is called from the reactor's thread only, never
blocks it, and keeps no intent of its own: what should be is in the :class:`~quantumd.core.state.State`, what is comes
from the host. The life of a change::

    request -> judge() -> [committed, 202] -> discover() -> plan -> apply() -> statuses and events

``quantumd.testing.make_network_plugin_tests`` checks everything that is said here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from attrs import field, frozen
from twisted.internet.defer import Deferred
from twisted.plugin import IPlugin
from zope.interface import Attribute, Interface

from quantumd.core.changes import Change, Outcome, RecordChange
from quantumd.core.model import Event, Json, Key
from quantumd.core.plan import Observed
from quantumd.core.state import State
from quantumd.core.transaction import Transaction

T = TypeVar("T")

#: Called with the keys whose records may look different on the host now, or with None for "anything may".
Notify = Callable[[Iterable[Key] | None], None]


@frozen(kw_only=True)
class Capabilities:
    """What a plugin takes, as data: ``/extensions``, the validation of requests and OpenAPI follow from it.

    The options are JSON Schemas (2020-12) of type ``object``, a property for each option; ``attachment_types`` names
    the types that the plugin takes and what it says of them; ``devices`` are the values that ``device.create`` may
    have; ``features`` is anything else that a client may want to know, such as ``{"8021q": false}``.
    """

    network_options: Json = field(factory=lambda: {"type": "object", "properties": {}, "additionalProperties": False})
    port_options: Json = field(factory=lambda: {"type": "object", "properties": {}, "additionalProperties": False})
    attachment_types: Mapping[str, str] = field(
        factory=lambda: {
            "vif": "a virtual or physical NIC of a guest",
            "bridge": "a host interface that extends the network",
            "tunnel": "a tunnel that extends the network to another site",
        }
    )
    devices: tuple[str, ...] = ("tap", "veth")
    tunnels: tuple[str, ...] = ("vxlan",)
    features: Json = field(factory=dict)


class INetworkPlugin(Interface):
    """Makes networks, ports and attachments real on one backend."""

    name: str = Attribute("What ``plugin`` in the configuration calls it.")

    capabilities: Capabilities = Attribute("What it takes; final once :meth:`start` has fired.")

    fixed_ports: int = Attribute("How many ports each network has from the start and for good; 0: as many as are made.")

    batches: int = Attribute(
        """How many :meth:`apply` calls may be under way at once. 1 where the backend works on one thing at a time
        anyway: what is asked for meanwhile makes the next, larger batch."""
    )

    unavailable: str | None = Attribute(
        """Why the backend cannot be used now, in a sentence for people; None while it can be. While it is away, no
        change is accepted or applied. A plugin notices within 5 s that its backend went away or came back, and
        notifies (None for the keys) in both cases."""
    )

    def start(notify: Notify) -> Deferred[None]:
        """Connect to the backend and begin to watch it.

        Fires when the plugin can judge. It fires (with :attr:`unavailable` set) also where the backend is away, and
        goes on trying; it fails only for what trying again cannot mend (a lack of privileges, a wrong setting), with
        an exception whose text says what to do. ``notify`` is called, from the reactor, whenever the host says that
        something changed that records may depend on: a netdev came or went, carrier changed, the backend is back.
        Nothing in quantumd polls, so a plugin that does not notify repairs only at the next audit.
        """

    def stop() -> Deferred[None]:
        """Let go of the backend and leave everything plugged. No other method is called after it."""

    def judge(state: State, change: RecordChange) -> Json:
        """Say whether this change, about to be accepted, can be carried out as far as can be known now.

        Synchronous, fast and without side effects: it looks at ``state`` (what has been accepted so far, the change
        not included) and at the last that the plugin saw of the host. Returns the plugin's own data for the record
        (names, a VLAN), which is committed with it, so that nothing is allocated twice or lost; for an update, the
        new data replaces the old, which is in the record. Each item of a network's data is an allocation, which no
        other network may have (``state.owner("vlan", 7)`` tells whose it is). An attachment's item ``device`` is the
        device's name, as if the caller had named it. Raises a :class:`~quantumd.core.errors.Fault` that the
        caller hears at once: PluginFault for what this plugin does not do, OverLimit where its capacity is used up,
        IdInUse where an explicit VLAN is taken, BadRequest with the field at fault. The result of judging a removal
        is ignored. Claims on ids, ports and devices have been, or will be, checked elsewhere.
        """

    def discover(state: State, keys: Collection[Key] | None) -> Deferred[Observed]:
        """Look at the host: what is there of the records with these keys, or (None) of everything.

        Reads the backend, not a memory of what was done to it. Of a record whose device another record's device
        replaced, nothing is ``present``. With None, it also looks for leftovers: what bears our mark and belongs to
        no record. Everything that was not asked for may be left out. Fails only when the backend is away.
        """

    def apply(changes: Sequence[Change]) -> Deferred[Sequence[Outcome]]:
        """Carry the changes out, and fire with one outcome for each, in the same order.

        The order of the changes is that of :data:`~quantumd.core.changes.PHASES`; the phases may not overlap where
        two changes name the same device. Every change is idempotent: it adopts what is half done or done already.
        It touches only what bears our mark, or what the change names. One bad change does not fail the others; what
        builds on one that failed is ``Blocked``. Whoever called retries what failed, with growing pauses; a plugin
        does not. Never fails as a whole, except when the backend goes away.
        """


class INetworkPluginFactory(IPlugin):
    """How a plugin is found: an instance in a module of ``twisted.plugins`` that provides this interface."""

    name: str = Attribute("What ``plugin`` in the configuration calls it.")

    description: str = Attribute("One line for people.")

    settings: Mapping[str, Any] = Attribute(
        """The keys of its section ``[plugin:NAME]`` and their defaults. The default's type is the key's type: str,
        int, float (a decimal) or bool."""
    )

    def build(reactor: Any, settings: Mapping[str, Any]) -> INetworkPlugin:
        """A plugin with these settings (each key of :attr:`settings`, converted); not started yet.

        Raises ValueError with a message that names the key and what it takes for a value that cannot be.
        """


#: Called after each commit with the keys of the records that it touched and the events that it told.
Listener = Callable[[Collection[Key], Sequence[Event]], None]


class IStateStore(Interface):
    """Keeps the state so that nothing accepted is ever lost. One owner at a time."""

    state: State = Attribute("What has been committed; replaced by each commit, never changed in place.")

    busy: bool = Attribute("Whether a commit is being written, or waits for that: others are about to be answered.")

    def start() -> Deferred[None]:
        """Take the store, bring it up to date, and read :attr:`state`.

        Fails with :class:`~quantumd.store.errors.StoreError`, whose text says in one line what is wrong with which
        file and what to do.
        """

    def stop() -> Deferred[None]:
        """Finish what was begun and let go of the store."""

    def commit(transform: Callable[[Transaction], T], durable: bool = True) -> Deferred[T]:
        """Judge and record.

        ``transform`` is called at once, with a transaction over everything accepted so far, and returns the result or
        raises a fault, which the Deferred fails with; then nothing has changed. The Deferred fires when the change is
        stored and visible in :attr:`state`: on stable storage where ``durable``, else safe from a crash of the
        process but not of the machine (for what the host can tell again). Commits become visible in the order in
        which they were made. Requests that come close together share one write. Where writing fails, it fails with
        ServiceUnavailable, and so does each that shared the write; those judged on top of it are judged again.
        """

    def backup() -> Deferred[bytes]:
        """A consistent copy of everything that is stored, as ``twistd quantumd --restore`` takes it.

        Fails with ServiceUnavailable, or StoreError, where there is none to be had.
        """

    def listen(listener: Listener) -> None:
        """Call the listener after each commit that changed something, before the Deferreds of that commit fire."""

    def events(after: int) -> Sequence[Event] | None:
        """The events with a sequence number above ``after``, oldest first; at least the last 10,000 are kept.

        None where ``after`` is the number of an event that is gone, or that was never told.
        """
