"""What callers ask for, as transforms of the state. Each judges the request against what has been accepted so far, and
either raises the fault that the caller hears or leaves the transaction with the request carried into the state.

A transform knows nothing of plugins: what a plugin has to say comes through ``judge``, a function from a change to the
plugin's own data for the resource, which may raise a fault as well (:func:`~quantumd.core.errors.raise_first` finds
the fault that goes first).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from attrs import evolve, frozen

from quantumd.core.changes import Attach, Detach, EnsureNetwork, EnsurePort, RecordChange, RemoveNetwork, RemovePort
from quantumd.core.errors import (
    AlreadyAttached,
    AttachmentNotFound,
    AttachmentsPlugged,
    IdInUse,
    NetworkNotFound,
    OverLimit,
    PortInUse,
    PortNotFound,
    PreconditionFailed,
    raise_first,
)
from quantumd.core.model import Attachment, AttachmentStatus, Form, Json, Network, Port, Record, Status
from quantumd.core.names import new_id
from quantumd.core.state import State
from quantumd.core.transaction import Transaction

Judge = Callable[[State, RecordChange], Json]
#: Raises PreconditionFailed where the record (None: there is none) is not the one that the caller means.
Match = Callable[[Record | None], None]

_R = TypeVar("_R", Network, Port)


def etag(record: Record) -> str:
    """A strong entity tag (RFC 9110, 8.8.3) without its quotes: changes with the revision, differs between records."""
    return f"{record.serial}-{record.revision}"


def matching(tags: list[str] | None) -> Match:
    """The precondition of an ``If-Match`` header: None without one, ``["*"]`` for any record, else a list of tags."""

    def match(record: Record | None) -> None:
        if tags is None or (record is not None and ("*" in tags or etag(record) in tags)):
            return
        raise PreconditionFailed(
            "If-Match names another revision than the one that is there now; GET the resource and use its ETag."
        )

    return match


@frozen
class Limits:
    """How much may be made: networks in total, ports on one network; ``fixed_ports`` is the plugin's."""

    networks: int
    ports_per_network: int
    fixed_ports: int = 0


# --- networks


def find_network(state: State, network_id: str) -> Network:
    """The network, also while it is being deleted."""
    network = state.networks.get(network_id)
    if network is None:
        raise no_network(network_id)
    return network


def no_network(network_id: str) -> NetworkNotFound:
    """What is said of a network that is not there, or not for the caller."""
    return NetworkNotFound(f"There is no network {network_id}; GET /networks lists those that there are.")


def live_network(state: State, network_id: str) -> Network:
    """The network, which is not being deleted."""
    network = find_network(state, network_id)
    if network.going:
        raise NetworkNotFound(f"Network {network_id} is being deleted and takes nothing new.")
    return network


def create_network(tx: Transaction, judge: Judge, limits: Limits, body: Json, tenant_id: str) -> Network:
    """Operation 3. ``body`` is the normalised request: ``name``, and maybe ``id`` and ``options``."""
    asked = {**body, "options": body.get("options") or {}, "tenant_id": tenant_id}
    ident = body.get("id") or new_id()
    known = tx.state.networks.get(ident)
    if known is not None and not known.going and known.created_with == asked:
        return known
    network = Network(
        serial=0,
        id=ident,
        name=body["name"],
        tenant_id=tenant_id,
        options=asked["options"],
        created_at=tx.now,
        updated_at=tx.now,
        created_with=asked,
    )
    data = _judged(
        tx, judge, EnsureNetwork(network), lambda: _unused(known, ident), lambda: _room_for_network(tx.state, limits)
    )
    network = evolve(network, serial=tx.serial(), data=data)
    tx.put(network)
    tx.emit("created", network)
    for _ in range(limits.fixed_ports):
        _add_port(tx, _port(tx, network.id, new_id(), {}))
    return network


def update_network(tx: Transaction, judge: Judge, network_id: str, patch: Json, match: Match) -> Network:
    """Operation 4. ``patch`` has ``name`` or ``options`` or both; an option that is null is taken back."""
    network = live_network(tx.state, network_id)
    options = {**network.options, **(patch.get("options") or {})}
    options = {name: value for name, value in options.items() if value is not None}
    asked = evolve(network, name=patch.get("name", network.name), options=options)
    if asked == network:
        match(network)
        return network
    asked = evolve(asked, status=Status.IN_PROGRESS, revision=network.revision + 1, updated_at=tx.now)
    asked = evolve(asked, data=_judged(tx, judge, EnsureNetwork(asked), lambda: match(network)))
    tx.put(asked)
    tx.emit("updated", asked)
    return asked


def delete_network(tx: Transaction, judge: Judge, network_id: str, match: Match) -> Network:
    """Operation 5. The network's ports go with it."""
    network = find_network(tx.state, network_id)
    if network.going:
        match(network)
        return network

    def unplugged() -> None:
        if tx.state.has_plugged(network_id):
            raise AttachmentsPlugged(
                f"Network {network_id} has attachments plugged into it; unplug them first "
                f"(GET /networks/{network_id}/attachments lists them)."
            )

    _judged(tx, judge, RemoveNetwork(network), lambda: match(network), unplugged)
    for port in tx.state.ports_of(network_id):
        if not port.going:
            _leave(tx, port)
    return _leave(tx, network)


# --- ports


def find_port(state: State, network_id: str, port_id: str) -> Port:
    """The port of that network, also while it is being deleted."""
    find_network(state, network_id)
    port = state.ports.get(port_id)
    if port is None or port.network_id != network_id:
        raise PortNotFound(
            f"Network {network_id} has no port {port_id}; GET /networks/{network_id}/ports lists those that it has."
        )
    return port


def live_port(state: State, network_id: str, port_id: str) -> Port:
    """The port of that network, which is not being deleted."""
    live_network(state, network_id)
    port = find_port(state, network_id, port_id)
    if port.going:
        raise PortNotFound(f"Port {port_id} is being deleted and takes nothing new.")
    return port


def create_port(tx: Transaction, judge: Judge, limits: Limits, network_id: str, body: Json) -> Port:
    """Operation 8. ``body`` is the normalised request: maybe ``id`` and ``options``."""
    network = live_network(tx.state, network_id)
    asked = {**body, "options": body.get("options") or {}, "network_id": network_id}
    ident = body.get("id") or new_id()
    known = tx.state.ports.get(ident)
    if known is not None and not known.going and known.created_with == asked:
        return known
    port = _port(tx, network_id, ident, asked)
    return _add_port(tx, _judge_new_port(tx, judge, limits, network, port, lambda: _unused(known, ident)))


def delete_port(tx: Transaction, judge: Judge, network_id: str, port_id: str, match: Match) -> Port:
    """Operation 9."""
    port = find_port(tx.state, network_id, port_id)
    if port.going:
        match(port)
        return port

    def unplugged() -> None:
        plugged = tx.state.plugged(port_id)
        if plugged is not None:
            raise AttachmentsPlugged(f"Attachment {plugged.id!r} is plugged into port {port_id}; unplug it first.")

    _judged(tx, judge, RemovePort(port, tx.state.networks[network_id]), lambda: match(port), unplugged)
    return _leave(tx, port)


# --- attachments


def find_attachment(state: State, network_id: str, port_id: str) -> Attachment:
    """What the port shows: what is plugged into it, else what is on its way out."""
    find_port(state, network_id, port_id)
    attachment = state.latest(port_id)
    if attachment is None:
        raise AttachmentNotFound(f"Nothing is plugged into port {port_id}.")
    return attachment


def plug(
    tx: Transaction,
    judge: Judge,
    network_id: str,
    port_id: str,
    form: Form,
    match: Match,
    confined: bool = False,
) -> Attachment:
    """Operation 11. ``confined``: who asks has no power over the host."""
    port = live_port(tx.state, network_id, port_id)
    there = tx.state.plugged(port_id)
    if there is not None and there.form == form:
        match(there)
        return there

    def vacant() -> None:
        if there is not None:
            other = "in another form" if there.id == form.id else f"as it has attachment {there.id!r}"
            raise PortInUse(f"Port {port_id} cannot take {form.id!r} {other}; unplug it first or use another port.")

    return _plug(tx, port, _judge_plug(tx, judge, port, form, confined, lambda: match(there), vacant))


def plug_anywhere(
    tx: Transaction, judge: Judge, limits: Limits, network_id: str, form: Form, confined: bool = False
) -> Attachment:
    """Operation 14: into the network's oldest free port, else into a new one. ``confined``: as for :func:`plug`."""
    network = live_network(tx.state, network_id)
    for there in tx.state.holders(("id", form.id)):
        if not there.going and there.network_id == network_id and there.form == form:
            return there
    free = tx.state.free_port(network_id)
    port = free or _port(tx, network_id, new_id(), {})

    def admitted() -> None:
        nonlocal port
        if free is not None:
            return
        if limits.fixed_ports:
            raise PortInUse(f"All ports of network {network_id} are taken, and there can be no more; unplug something.")
        port = _judge_new_port(tx, judge, limits, network, port)

    attachment = _judge_plug(tx, judge, port, form, confined, admitted)
    if free is None:
        # It is put once, with what is plugged into it.
        port = evolve(port, serial=tx.serial())
        tx.emit("created", port)
    return _plug(tx, port, attachment)


def unplug(tx: Transaction, judge: Judge, network_id: str, port_id: str, match: Match) -> Attachment:
    """Operation 12."""
    attachment = find_attachment(tx.state, network_id, port_id)
    if attachment.going:
        match(attachment)
        return attachment
    port = tx.state.ports[port_id]
    _judged(tx, judge, Detach(attachment, port, tx.state.networks[network_id]), lambda: match(attachment))
    attachment = evolve(
        attachment, status=AttachmentStatus.DETACHING, revision=attachment.revision + 1, updated_at=tx.now
    )
    tx.put(attachment)
    tx.emit("updated", attachment)
    _bump(tx, port)
    return attachment


# --- what they share


def _judged(tx: Transaction, judge: Judge, change: RecordChange, *checks: Callable[[], object]) -> Json:
    """The plugin's data for the change; raises whichever refusal comes first in the order of judgement."""
    data: Json = {}

    def ask_plugin() -> None:
        nonlocal data
        data = judge(tx.state, change)

    raise_first(*checks, ask_plugin)
    return data


def _unused(known: Network | Port | None, ident: str) -> None:
    if known is not None and known.going:
        raise IdInUse(f"The id {ident} is that of something that is being deleted; use another, or wait.")
    if known is not None:
        raise IdInUse(f"The id {ident} is in use; leave the id out or use another.")


def _room_for_network(state: State, limits: Limits) -> None:
    if state.live_networks >= limits.networks:
        raise OverLimit(
            f"There are {state.live_networks} networks, and [limits] networks allows {limits.networks}; "
            "delete one or raise the limit."
        )


def _room_for_port(state: State, limits: Limits, network_id: str) -> None:
    there = state.live_ports.get(network_id, 0)
    if there >= limits.ports_per_network:
        raise OverLimit(
            f"Network {network_id} has {there} ports, and [limits] ports_per_network allows "
            f"{limits.ports_per_network}; delete one or raise the limit."
        )


def _port(tx: Transaction, network_id: str, ident: str, asked: Json) -> Port:
    """A port that is not in the state yet."""
    return Port(
        serial=0,
        id=ident,
        network_id=network_id,
        options=asked.get("options") or {},
        created_at=tx.now,
        updated_at=tx.now,
        created_with=asked,
    )


def _judge_new_port(
    tx: Transaction, judge: Judge, limits: Limits, network: Network, port: Port, *checks: Callable[[], object]
) -> Port:
    """The port with the plugin's data, if there is room for it."""
    data = _judged(tx, judge, EnsurePort(port, network), *checks, lambda: _room_for_port(tx.state, limits, network.id))
    return evolve(port, data=data) if data else port


def _add_port(tx: Transaction, port: Port) -> Port:
    port = evolve(port, serial=tx.serial())
    tx.put(port)
    tx.emit("created", port)
    return port


def _judge_plug(
    tx: Transaction, judge: Judge, port: Port, form: Form, confined: bool, *checks: Callable[[], object]
) -> Attachment:
    """The form as an attachment of the port, with the plugin's data; neither needs to be in the state yet."""
    attachment = Attachment(
        serial=0,
        network_id=port.network_id,
        port_id=port.id,
        form=form,
        created_at=tx.now,
        updated_at=tx.now,
        confined=confined,
    )

    def ask_plugin() -> None:
        nonlocal attachment
        change = Attach(attachment, port, tx.state.networks[port.network_id])
        attachment = evolve(attachment, data=judge(tx.state, change))

    # The claims come last, since the device may be one that the plugin found or named.
    raise_first(*checks, ask_plugin, lambda: _unclaimed(tx.state, attachment))
    return attachment


def _plug(tx: Transaction, port: Port, attachment: Attachment) -> Attachment:
    attachment = evolve(attachment, serial=tx.serial())
    tx.put(attachment)
    tx.emit("created", attachment)
    _bump(tx, port)
    return attachment


def _unclaimed(state: State, attachment: Attachment) -> None:
    for claim, other in state.rivals(attachment, going=False):
        if claim[0] == "id":
            raise AlreadyAttached(f"Attachment {attachment.id!r} is plugged elsewhere; unplug it there first.")
        if claim[0] != "port":
            what = f"device {claim[1]!r}" if claim[0] == "device" else f"VNI {claim[-1]} towards that remote"
            # The devices are the host's, so a clash may be with another tenant: it does not say whose.
            tenants = {state.networks[one.network_id].tenant_id for one in (attachment, other)}
            whose = f"Attachment {other.id!r}" if len(tenants) == 1 else "Another attachment"
            raise AlreadyAttached(f"{whose} has {what} already; unplug it there first.")


def _bump(tx: Transaction, port: Port) -> None:
    """What is plugged into a port is part of what was asked for it."""
    port = evolve(port, revision=port.revision + 1, updated_at=tx.now)
    tx.put(port)
    tx.emit("updated", port)


def _leave(tx: Transaction, record: _R) -> _R:
    record = evolve(record, status=Status.DELETING, revision=record.revision + 1, updated_at=tx.now)
    tx.put(record)
    tx.emit("updated", record)
    return record
