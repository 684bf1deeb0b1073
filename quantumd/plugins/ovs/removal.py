"""Unplugging, many attachments at once: rows first, and devices when the switch has let go of them."""

from __future__ import annotations

from collections.abc import Sequence

from quantumd.core.changes import Detach, Done, Failed, Outcome, RemoveLeftover, RemoveNetwork, RemovePort
from quantumd.host.ovsdb.errors import TransactionFailed
from quantumd.plugins.ovs import devices
from quantumd.plugins.ovs.attach import Tools
from quantumd.plugins.ovs.look import is_userspace
from quantumd.plugins.ovs.rows import Rows
from quantumd.plugins.ovs.terms import Role, plug_of

Removal = Detach | RemovePort | RemoveNetwork | RemoveLeftover


async def remove(tools: Tools, changes: Sequence[Removal]) -> list[Outcome]:
    """Carry removals out, and give one outcome for each. What is gone already is done; a network is but a VLAN."""
    idents = [_ident(change) for change in changes]
    outcomes: list[Outcome] = [Done() for _ in changes]
    wanted = {ident: _device(change) for ident, change in zip(idents, changes, strict=True) if ident is not None}
    if not wanted and not any(isinstance(change, RemoveLeftover) for change in changes):
        return outcomes
    refused = await _release(tools, set(wanted))
    userspace = is_userspace(tools.switch)
    gone = {ident: name for ident, name in wanted.items() if ident not in refused}
    await tools.thread.call(devices.let_go, gone, userspace)
    kept = {**refused, **await tools.thread.call(devices.remove_devices, gone)}
    await _remove_inner(tools, changes)
    return [
        Failed(f"It is not removed: {kept[ident]}.") if ident is not None and ident in kept else outcome
        for ident, outcome in zip(idents, outcomes, strict=True)
    ]


def _ident(change: Removal) -> str | None:
    match change:
        case Detach():
            return change.attachment.port_id
        case RemoveLeftover(leftover):
            return leftover.handle.get("mark") or leftover.handle.get("half_made")
        case _:
            return None


def _device(change: Removal) -> str | None:
    """What the device that was made for it is called, or was to be called."""
    match change:
        case Detach():
            return plug_of(change.attachment, change.network).port
        case RemoveLeftover(leftover):
            return leftover.handle.get("half_made")
        case _:
            return None


async def _release(tools: Tools, idents: set[str]) -> dict[str, str]:
    """Unplug what bears these marks; gives, for those that the switch refuses, why."""
    try:
        await _release_together(tools, idents)
    except TransactionFailed as error:
        if len(idents) <= 1:
            return dict.fromkeys(idents, str(error))
        refused: dict[str, str] = {}
        for ident in idents:
            refused |= await _release(tools, {ident})
        return refused
    return {}


async def _release_together(tools: Tools, idents: set[str]) -> None:
    rows = Rows(tools.switch)
    for ident in idents:
        for port in tools.switch.marked(ident):
            rows.release(port)
    rows.drop_empty_providers()
    operations = rows.operations()
    if operations:
        await tools.backend.commit(operations, rows.ports)


async def _remove_inner(tools: Tools, changes: Sequence[Removal]) -> None:
    """Remove devices of internal ports that outlived their switch: a new one has made new ones."""
    plugs = [plug_of(change.attachment, change.network) for change in changes if isinstance(change, Detach)]
    internal = [plug for plug in plugs if plug.role is Role.INTERNAL]
    if internal:
        host = await tools.look(internal)
        doomed = [(plug, host.inner[plug.ident]) for plug in internal if plug.ident in host.inner]
        await tools.thread.call(devices.remove_inner, doomed)
