"""What came of a change, carried into the state: statuses, faults, what the plugin reports, and what is gone."""

from __future__ import annotations

from typing import Any

from attrs import evolve

from quantumd.core.changes import Blocked, Done, Failed, Outcome, Waiting
from quantumd.core.model import Attachment, AttachmentStatus, FaultRecord, Json, Key, Network, Record, Status
from quantumd.core.plan import Seen
from quantumd.core.transaction import Transaction


def stands(record: Record, seen: Seen) -> bool:
    """Whether a look at the host shows of a record just what it says already: there is nothing to do for it, and
    nothing to record. Of ten thousand that an audit looks at, that is so for nearly all."""
    works = _plugged(seen.up) if isinstance(record, Attachment) else Status.ACTIVE
    return seen.in_order and record.status is works and record.plugin == seen.plugin


def settle(tx: Transaction, key: Key, revision: int, outcome: Outcome, repaired: str | None = None) -> None:
    """Record the outcome of a try at the record as it was at ``revision``.

    Where more has been asked of the record since, the outcome is of a past intent: what the plugin reports is kept,
    the status stays as the newer intent left it, and the next try decides. ``repaired`` says what was found amiss on
    the host and mended.
    """
    record = tx.get(key)
    if record is None or isinstance(outcome, Blocked):
        return
    if record.revision != revision:
        if isinstance(outcome, Done):
            _put(tx, record, record.status, record.fault, outcome.plugin)
        return
    if isinstance(outcome, Failed):
        fault = tx.fault(outcome.name, outcome.message, record.fault)
        _put(tx, record, record.status if record.going else _failed(record), fault, record.plugin)
    elif record.going:
        _gone(tx, record)
    else:
        if repaired is not None:
            tx.emit("repaired", record, detail=repaired)
        plugin = outcome.plugin
        if isinstance(outcome, Waiting):
            # Whoever looks at something that stays InProgress wants to know what would help.
            plugin = {**plugin, "waiting_for": outcome.what}
        _put(tx, record, _settled(record, outcome), None, plugin)


def _failed(record: Record) -> Status | AttachmentStatus:
    return AttachmentStatus.FAILED if isinstance(record, Attachment) else Status.FAILED


def _settled(record: Record, outcome: Done | Waiting) -> Status | AttachmentStatus:
    """The status of something that stays and did not fail."""
    if not isinstance(record, Attachment):
        return Status.ACTIVE if isinstance(outcome, Done) else Status.IN_PROGRESS
    if isinstance(outcome, Done):
        return _plugged(outcome.up)
    return AttachmentStatus.DOWN if record.was_plugged else AttachmentStatus.IN_PROGRESS


def _plugged(up: bool) -> AttachmentStatus:
    return AttachmentStatus.UP if up else AttachmentStatus.DOWN


def _put(
    tx: Transaction, record: Record, status: Status | AttachmentStatus, fault: FaultRecord | None, plugin: Json
) -> None:
    # Most of what is looked at is in order and as it was: that is told without making a record of it.
    if (status, fault, plugin) == (record.status, record.fault, record.plugin):
        return
    fields: dict[str, Any] = {"status": status, "fault": fault, "plugin": plugin}
    if status in (AttachmentStatus.UP, AttachmentStatus.DOWN):
        fields["was_plugged"] = True
    after = evolve(record, **fields)
    tx.put(after)
    if (record.status, record.fault) != (after.status, after.fault):
        tx.emit("status", after)


def _gone(tx: Transaction, record: Record) -> None:
    """Take the record out; the ports that a network takes with it tell of it before the network does."""
    if isinstance(record, Network):
        for port in tx.state.ports_of(record.id):
            _gone(tx, port)
    tx.emit("deleted", record, status="Deleted")
    tx.drop(record)
