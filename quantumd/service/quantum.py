"""The operations of the contract as methods: judge, record, wake. Nothing in here touches the host or knows of HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from twisted.internet.defer import Deferred

from quantumd.core import intent
from quantumd.core.changes import RecordChange
from quantumd.core.errors import ServiceUnavailable
from quantumd.core.intent import Limits, matching
from quantumd.core.model import Attachment, Form, Json, Key, Network, Port, Record
from quantumd.core.state import State, Transaction
from quantumd.interfaces import INetworkPlugin, IStateStore

R = TypeVar("R", bound=Record)

#: The value of an ``If-Match`` header: None without one, ``["*"]`` for any, else entity tags without their quotes.
Tags = list[str] | None


class Quantum:
    """Fifteen operations over one store and one plugin.

    Reads (``find_…``, :attr:`state`) are answered from memory at once. Writes return a Deferred that fires with the
    record as accepted, once that is on stable storage, or fails with a :class:`~quantumd.core.errors.Fault`. A write
    goes on when its Deferred is cancelled: whoever asked may hang up, what was accepted is carried out.
    """

    def __init__(
        self,
        store: IStateStore,
        plugin: INetworkPlugin,
        limits: Limits,
        wake: Callable[[Iterable[Key]], None],
    ) -> None:
        self._store = store
        self._plugin = plugin
        self._limits = limits
        self._wake = wake

    @property
    def state(self) -> State:
        """Everything accepted and stored."""
        return self._store.state

    def find_network(self, network_id: str) -> Network:
        """Operation 2. Raises NetworkNotFound."""
        return intent.find_network(self.state, network_id)

    def find_port(self, network_id: str, port_id: str) -> Port:
        """Operation 7. Raises NetworkNotFound or PortNotFound."""
        return intent.find_port(self.state, network_id, port_id)

    def find_attachment(self, network_id: str, port_id: str) -> Attachment:
        """Operation 10. Raises NetworkNotFound, PortNotFound or AttachmentNotFound."""
        return intent.find_attachment(self.state, network_id, port_id)

    def create_network(self, body: Json, tenant_id: str) -> Deferred[Network]:
        """Operation 3. ``body`` has ``name``, and maybe ``id`` and ``options``."""
        return self._accept(lambda tx: intent.create_network(tx, self._judge, self._limits, body, tenant_id))

    def update_network(self, network_id: str, patch: Json, tags: Tags = None) -> Deferred[Network]:
        """Operation 4. ``patch`` has ``name`` or ``options`` or both; options merge, null takes one back."""
        match = matching(tags)
        return self._accept(lambda tx: intent.update_network(tx, self._judge, network_id, patch, match))

    def delete_network(self, network_id: str, tags: Tags = None) -> Deferred[Network]:
        """Operation 5."""
        match = matching(tags)
        return self._accept(lambda tx: intent.delete_network(tx, self._judge, network_id, match))

    def create_port(self, network_id: str, body: Json) -> Deferred[Port]:
        """Operation 8. ``body`` may have ``id`` and ``options``."""
        return self._accept(lambda tx: intent.create_port(tx, self._judge, self._limits, network_id, body))

    def delete_port(self, network_id: str, port_id: str, tags: Tags = None) -> Deferred[Port]:
        """Operation 9."""
        match = matching(tags)
        return self._accept(lambda tx: intent.delete_port(tx, self._judge, network_id, port_id, match))

    def plug(self, network_id: str, port_id: str, form: Form, tags: Tags = None) -> Deferred[Attachment]:
        """Operation 11."""
        match = matching(tags)
        return self._accept(lambda tx: intent.plug(tx, self._judge, network_id, port_id, form, match))

    def plug_anywhere(self, network_id: str, form: Form) -> Deferred[Attachment]:
        """Operation 14."""
        return self._accept(lambda tx: intent.plug_anywhere(tx, self._judge, self._limits, network_id, form))

    def unplug(self, network_id: str, port_id: str, tags: Tags = None) -> Deferred[Attachment]:
        """Operation 12."""
        match = matching(tags)
        return self._accept(lambda tx: intent.unplug(tx, self._judge, network_id, port_id, match))

    def _judge(self, state: State, change: RecordChange) -> Json:
        data = self._plugin.judge(state, change)
        if self._plugin.unavailable is not None:
            raise ServiceUnavailable(f"{self._plugin.unavailable}; nothing was accepted, try again later.")
        return data

    def _accept(self, transform: Callable[[Transaction], R]) -> Deferred[R]:
        keys: set[Key] = set()

        def judged(tx: Transaction) -> R:
            keys.clear()
            record = transform(tx)
            # A request that changes nothing still says that somebody waits: what failed is tried again at once.
            keys.update(tx.touched, [record.key])
            if isinstance(record, Network):
                # What is asked of a network (its MTU, say) is asked of what is plugged into it.
                keys.update(attachment.key for attachment in tx.state.attachments_of(record.id))
            return record

        def accepted(record: R) -> R:
            self._wake(keys)
            return record

        reply: Deferred[R] = Deferred()
        self._store.commit(judged).addCallback(accepted).addCallbacks(reply.callback, reply.errback)
        return reply
