"""The operations of the contract as methods: judge, record, wake. Nothing in here touches the host or knows of HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

from quantumd.core import intent
from quantumd.core.access import (
    Caller,
    Right,
    Role,
    authorize,
    authorize_tenant,
    visible_network,
    visible_networks,
)
from quantumd.core.changes import Attach, RecordChange
from quantumd.core.errors import Fault, PluginFault, ServiceUnavailable, raise_first
from quantumd.core.intent import Limits, matching
from quantumd.core.model import Attachment, Form, Json, Key, Network, Port, Record
from quantumd.core.policy import Policy
from quantumd.core.quotas import Quotas, usage
from quantumd.core.state import State
from quantumd.core.transaction import Transaction
from quantumd.interfaces import INetworkPlugin, IStateStore

R = TypeVar("R", bound=Record | list[Attachment])

#: The value of an ``If-Match`` header: None without one, ``["*"]`` for any, else entity tags without their quotes.
Tags = list[str] | None


class Quantum:
    """Fifteen operations over one store and one plugin, each for a caller.

    Reads (``find_…``, :attr:`state`) are answered from memory at once. Writes return a Deferred that fires with the
    record as accepted, once that is on stable storage, or fails with a :class:`~quantumd.core.errors.Fault`. A write
    goes on when its Deferred is cancelled: whoever asked may hang up, what was accepted is carried out.

    Each raises Unauthorized where the caller may not do it. What is another tenant's is not there.
    """

    def __init__(
        self,
        store: IStateStore,
        plugin: INetworkPlugin,
        limits: Limits,
        wake: Callable[[Iterable[Key]], None],
        policy: Policy | None = None,
        quotas: Quotas | None = None,
    ) -> None:
        self._store = store
        self._plugin = plugin
        self._limits = limits
        self._wake = wake
        self._policy = policy or Policy()
        self._quotas = quotas or Quotas()

    @property
    def state(self) -> State:
        """Everything accepted and stored."""
        return self._store.state

    def list_networks(self, caller: Caller) -> list[Network]:
        """Operation 1."""
        authorize(self.state, caller, Right.READ)
        return visible_networks(self.state, caller)

    def find_network(self, caller: Caller, network_id: str) -> Network:
        """Operation 2. Raises NetworkNotFound."""
        authorize(self.state, caller, Right.READ)
        return visible_network(self.state, caller, network_id)

    def list_ports(self, caller: Caller, network_id: str) -> list[Port]:
        """Operation 6. Raises NetworkNotFound."""
        self.find_network(caller, network_id)
        return self.state.ports_of(network_id)

    def find_port(self, caller: Caller, network_id: str, port_id: str) -> Port:
        """Operation 7. Raises NetworkNotFound or PortNotFound."""
        self.find_network(caller, network_id)
        return intent.find_port(self.state, network_id, port_id)

    def find_attachment(self, caller: Caller, network_id: str, port_id: str) -> Attachment:
        """Operation 10. Raises NetworkNotFound, PortNotFound or AttachmentNotFound."""
        self.find_network(caller, network_id)
        return intent.find_attachment(self.state, network_id, port_id)

    def list_attachments(self, caller: Caller, network_id: str | None = None) -> list[Attachment]:
        """Operation 13, or (of all networks) 15. Raises NetworkNotFound."""
        if network_id is not None:
            self.find_network(caller, network_id)
            return self.state.attachments_of(network_id)
        found = [
            self.state.attachments[serial]
            for network in self.list_networks(caller)
            for serial in self.state.network_attachments.get(network.id, ())
        ]
        return sorted(found, key=lambda attachment: attachment.serial)

    def quotas(self, caller: Caller, tenant_id: str | None = None) -> Mapping[str, Any]:
        """``tenant_id`` (without one, the caller's) and, of all that is counted, ``limit`` (None: none) and ``used``;
        an admin sees the ``total`` too."""
        authorize(self.state, caller, Right.READ)
        tenant = caller.tenant_id if tenant_id is None else tenant_id
        authorize_tenant(caller, tenant)
        total = usage(self.state, self._quotas.total, None) if caller.role is Role.ADMIN else None
        return {"tenant_id": tenant, **usage(self.state, self._quotas.tenant, tenant), "total": total}

    def create_network(self, caller: Caller, body: Json, tenant_id: str | None = None) -> Deferred[Network]:
        """Operation 3. ``body`` has ``name``, and maybe ``id`` and ``options``; without a tenant it is the caller's."""
        tenant = caller.tenant_id if tenant_id is None else tenant_id

        def create(tx: Transaction) -> Network:
            authorize_tenant(caller, tenant)
            self._policy.check_options(caller, body.get("options") or {})
            return intent.create_network(tx, self._judge, self._limits, body, tenant)

        return self._accept(caller, None, create)

    def update_network(self, caller: Caller, network_id: str, patch: Json, tags: Tags = None) -> Deferred[Network]:
        """Operation 4. ``patch`` has ``name`` or ``options`` or both; options merge, null takes one back."""
        match = matching(tags)

        def update(tx: Transaction) -> Network:
            self._policy.check_options(caller, patch.get("options") or {})
            return intent.update_network(tx, self._judge, network_id, patch, match)

        return self._accept(caller, network_id, update)

    def delete_network(self, caller: Caller, network_id: str, tags: Tags = None) -> Deferred[Network]:
        """Operation 5."""
        match = matching(tags)
        return self._accept(caller, network_id, lambda tx: intent.delete_network(tx, self._judge, network_id, match))

    def create_port(self, caller: Caller, network_id: str, body: Json) -> Deferred[Port]:
        """Operation 8. ``body`` may have ``id`` and ``options``."""

        def create(tx: Transaction) -> Port:
            self._policy.check_options(caller, body.get("options") or {})
            return intent.create_port(tx, self._judge, self._limits, network_id, body)

        return self._accept(caller, network_id, create)

    def delete_port(self, caller: Caller, network_id: str, port_id: str, tags: Tags = None) -> Deferred[Port]:
        """Operation 9."""
        match = matching(tags)
        return self._accept(
            caller, network_id, lambda tx: intent.delete_port(tx, self._judge, network_id, port_id, match)
        )

    def plug(
        self, caller: Caller, network_id: str, port_id: str, form: Form, tags: Tags = None
    ) -> Deferred[Attachment]:
        """Operation 11."""
        match = matching(tags)

        def plug(tx: Transaction) -> Attachment:
            self._policy.check_form(caller, form)
            confined = self._policy.confines(caller)
            return intent.plug(tx, self._judge, network_id, port_id, form, match, confined)

        return self._accept(caller, network_id, plug)

    def plug_anywhere(self, caller: Caller, network_id: str, form: Form) -> Deferred[Attachment]:
        """Operation 14."""

        def plug(tx: Transaction) -> Attachment:
            self._policy.check_form(caller, form)
            confined = self._policy.confines(caller)
            return intent.plug_anywhere(tx, self._judge, self._limits, network_id, form, confined)

        return self._accept(caller, network_id, plug)

    def plug_many(self, caller: Caller, wanted: Sequence[tuple[str, Form]]) -> Deferred[list[Attachment]]:
        """Plug each form into its network as :meth:`plug_anywhere` does, in this order: all of them or none. A refusal
        says which of them it is about."""

        def plug(tx: Transaction) -> list[Attachment]:
            made = []
            for place, (network_id, form) in enumerate(wanted):
                try:
                    visible_network(tx.state, caller, network_id)
                    self._policy.check_form(caller, form)
                    confined = self._policy.confines(caller)
                    made.append(intent.plug_anywhere(tx, self._judge, self._limits, network_id, form, confined))
                except Fault as fault:
                    raise fault.of("attachment", f"attachments.{place}") from fault
            return made

        return self._accept(caller, None, plug)

    def unplug(self, caller: Caller, network_id: str, port_id: str, tags: Tags = None) -> Deferred[Attachment]:
        """Operation 12."""
        match = matching(tags)
        return self._accept(caller, network_id, lambda tx: intent.unplug(tx, self._judge, network_id, port_id, match))

    def _judge(self, state: State, change: RecordChange) -> Json:
        data: Json = {}

        def plugin() -> None:
            nonlocal data
            data = self._plugin.judge(state, change)
            if isinstance(change, Attach):
                self._check_taken(change.attachment.form)

        raise_first(plugin, lambda: self._quotas.check(state, change, self._limits.fixed_ports))
        if self._plugin.unavailable is not None:
            raise ServiceUnavailable(f"{self._plugin.unavailable}; nothing was accepted, try again later.")
        return data

    def _check_taken(self, form: Form) -> None:
        """Raise PluginFault for a form that the plugin does not name in its capabilities."""
        takes = self._plugin.capabilities
        what = None
        if form.type not in takes.attachment_types:
            what = f"type {form.type}"
        elif form.device is not None and form.device.create not in (None, *takes.devices):
            what = f"device {form.device.create}"
        elif form.tunnel is not None and form.tunnel.kind not in takes.tunnels:
            what = f"tunnel {form.tunnel.kind}"
        if what is not None:
            raise PluginFault(f"Plugin {self._plugin.name} takes no {what}; GET /extensions says what it takes.")

    def _accept(self, caller: Caller, network_id: str | None, transform: Callable[[Transaction], R]) -> Deferred[R]:
        """Carry the transform out for this caller, on the network that it is about, if there is one yet."""
        keys: set[Key] = set()

        def judged(tx: Transaction) -> R:
            keys.clear()
            authorize(tx.state, caller, Right.WRITE)
            if network_id is not None:
                visible_network(tx.state, caller, network_id)
            made = transform(tx)
            # A request that changes nothing still says that somebody waits: what failed is tried again at once.
            keys.update(tx.touched, (one.key for one in made) if isinstance(made, list) else [made.key])
            if isinstance(made, Network):
                # What is asked of a network (its MTU, say) is asked of what is plugged into it.
                keys.update(attachment.key for attachment in tx.state.attachments_of(made.id))
            return made

        def accepted(made: R) -> R:
            self._wake(keys)
            return made

        reply: Deferred[R] = Deferred()
        self._store.commit(judged).addCallback(accepted).addCallbacks(reply.callback, reply.errback)
        return reply
