"""The fifteen operations, between a request that was judged and the application.

Each takes a :class:`Call` and gives a :class:`Reply`; neither knows of bytes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, cast

from attrs import field, frozen
from twisted.internet.defer import Deferred
from twisted.web.http import Request

from quantumd.api.forms import attachment_form, attachment_forms, network_form, port_form
from quantumd.api.queries import next_link, page
from quantumd.api.representations import (
    DELETED,
    attachment,
    attachment_entry,
    attachment_entry_anywhere,
    location,
    network_entry,
    port_entry,
    represent,
)
from quantumd.core.access import Caller
from quantumd.core.intent import etag
from quantumd.core.model import Attachment, Record
from quantumd.service.quantum import Quantum
from quantumd.service.waiting import Waiters


@frozen(kw_only=True)
class Call:
    """A request that was judged: ``path`` is the resource's, as asked for; ``body`` and ``query`` are valid; ``tags``
    are those of ``If-Match``, ``wait`` the seconds of ``Prefer: wait`` and ``last_event`` the number of
    ``Last-Event-ID``, each None without one."""

    caller: Caller
    path: str
    ids: Mapping[str, str] = field(factory=dict)
    query: Mapping[str, Any] = field(factory=dict)
    body: Any = None
    tags: list[str] | None = None
    wait: int | None = None
    last_event: int | None = None

    @property
    def network_id(self) -> str:
        """The network of the path."""
        return self.ids["network_id"]

    @property
    def port_id(self) -> str:
        """The port of the path."""
        return self.ids["port_id"]


@frozen(kw_only=True)
class Reply:
    """What to answer: a JSON object, or bytes of the media type of the route (None: no body at all), and then what
    ``stream`` writes to the request until it is done; ``headers`` are those that do not follow from the body."""

    body: Mapping[str, Any] | bytes | None
    stream: Callable[[Request], Awaitable[None]] | None = None
    status: int = 200
    headers: Mapping[str, str] = field(factory=dict)


Handler = Callable[[Call], Reply | Awaitable[Reply]]


class Operations:
    """Each method is the operation of that name in :mod:`~quantumd.api.routes`."""

    def __init__(self, quantum: Quantum, waiters: Waiters) -> None:
        self._quantum = quantum
        self._waiters = waiters

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """The operations by name."""
        return {
            "list_networks": self.list_networks,
            "show_network": self.show_network,
            "create_network": self.create_network,
            "update_network": self.update_network,
            "delete_network": self.delete_network,
            "list_ports": self.list_ports,
            "show_port": self.show_port,
            "create_port": self.create_port,
            "delete_port": self.delete_port,
            "show_attachment": self.show_attachment,
            "plug_attachment": self.plug_attachment,
            "unplug_attachment": self.unplug_attachment,
            "list_network_attachments": self.list_network_attachments,
            "plug_anywhere": self.plug_anywhere,
            "plug_many": self.plug_many,
            "list_attachments": self.list_attachments,
        }

    # --- networks

    def list_networks(self, call: Call) -> Reply:
        """Operation 1."""
        found = page(
            self._quantum.list_networks(call.caller),
            call.query,
            {"name": lambda network: network.name, "status": lambda network: network.status},
            lambda network: network.id,
            lambda network, marker: network.id == marker,
        )
        return listed(call, "networks", [network_entry(network) for network in found.entries], found.next_marker)

    def show_network(self, call: Call) -> Reply | Awaitable[Reply]:
        """Operation 2."""
        return self._show(call, lambda: self._quantum.find_network(call.caller, call.network_id))

    def create_network(self, call: Call) -> Deferred[Reply]:
        """Operation 3."""
        form = dict(network_form(call.body))
        tenant_id = form.pop("tenant_id", None)
        return self._accepted(call, self._quantum.create_network(call.caller, form, tenant_id))

    def update_network(self, call: Call) -> Deferred[Reply]:
        """Operation 4."""
        patch = network_form(call.body)
        return self._accepted(call, self._quantum.update_network(call.caller, call.network_id, patch, call.tags))

    def delete_network(self, call: Call) -> Deferred[Reply]:
        """Operation 5."""
        return self._accepted(call, self._quantum.delete_network(call.caller, call.network_id, call.tags))

    # --- ports

    def list_ports(self, call: Call) -> Reply:
        """Operation 6."""
        state = self._quantum.state

        def plugged(port_id: str) -> str | None:
            latest = state.latest(port_id)
            return None if latest is None else latest.id

        found = page(
            self._quantum.list_ports(call.caller, call.network_id),
            call.query,
            {"status": lambda port: port.status, "attachment": lambda port: plugged(port.id)},
            lambda port: port.id,
            lambda port, marker: port.id == marker,
        )
        return listed(call, "ports", [port_entry(port, state) for port in found.entries], found.next_marker)

    def show_port(self, call: Call) -> Reply | Awaitable[Reply]:
        """Operation 7."""
        return self._show(call, lambda: self._quantum.find_port(call.caller, call.network_id, call.port_id))

    def create_port(self, call: Call) -> Deferred[Reply]:
        """Operation 8."""
        return self._accepted(call, self._quantum.create_port(call.caller, call.network_id, port_form(call.body)))

    def delete_port(self, call: Call) -> Deferred[Reply]:
        """Operation 9."""
        return self._accepted(call, self._quantum.delete_port(call.caller, call.network_id, call.port_id, call.tags))

    # --- attachments

    def show_attachment(self, call: Call) -> Reply | Awaitable[Reply]:
        """Operation 10."""
        return self._show(call, lambda: self._quantum.find_attachment(call.caller, call.network_id, call.port_id))

    def plug_attachment(self, call: Call) -> Deferred[Reply]:
        """Operation 11."""
        form = attachment_form(call.body)
        return self._accepted(call, self._quantum.plug(call.caller, call.network_id, call.port_id, form, call.tags))

    def unplug_attachment(self, call: Call) -> Deferred[Reply]:
        """Operation 12."""
        return self._accepted(call, self._quantum.unplug(call.caller, call.network_id, call.port_id, call.tags))

    def list_network_attachments(self, call: Call) -> Reply:
        """Operation 13."""
        found = self._quantum.list_attachments(call.caller, call.network_id)
        return self._attachments(call, found, attachment_entry)

    def plug_anywhere(self, call: Call) -> Deferred[Reply]:
        """Operation 14."""
        return self._accepted(
            call, self._quantum.plug_anywhere(call.caller, call.network_id, attachment_form(call.body))
        )

    async def plug_many(self, call: Call) -> Reply:
        """All of them or none."""
        records = await self._quantum.plug_many(call.caller, attachment_forms(call.body))
        headers = {"Location": "/attachments"}
        if call.wait is not None:
            now = await self._waiters.all_settled([one.key for one in records], call.wait)
            records = [cast("Attachment", after or before) for before, after in zip(records, now, strict=True)]
            headers["Preference-Applied"] = f"wait={call.wait}"
        return Reply(body={"attachments": [attachment(one) for one in records]}, status=202, headers=headers)

    def list_attachments(self, call: Call) -> Reply:
        """Operation 15."""
        return self._attachments(call, self._quantum.list_attachments(call.caller), attachment_entry_anywhere)

    # --- what they share

    def _attachments(
        self, call: Call, records: Sequence[Attachment], entry: Callable[[Attachment], Mapping[str, Any]]
    ) -> Reply:
        def marker_of(attachment: Attachment) -> str:
            alone = len(self._quantum.state.holders(("id", attachment.id))) == 1
            return attachment.id if alone else _exact_marker(attachment)

        found = page(
            records,
            call.query,
            {
                "id": lambda attachment: attachment.id,
                "type": lambda attachment: attachment.form.type,
                "status": lambda attachment: attachment.status,
            },
            marker_of,
            lambda attachment, marker: marker in (attachment.id, _exact_marker(attachment)),
        )
        return listed(call, "attachments", [entry(record) for record in found.entries], found.next_marker)

    def _show(self, call: Call, find: Callable[[], Record]) -> Reply | Awaitable[Reply]:
        return self._shown(call, find()) if call.wait is None else self._show_settled(call, find)

    async def _show_settled(self, call: Call, find: Callable[[], Record]) -> Reply:
        await self._waiters.settled(find().key, call.wait or 0)
        return self._shown(call, find())

    def _shown(self, call: Call, record: Record) -> Reply:
        return Reply(body=represent(record, self._quantum.state), headers=_headers(call, record))

    def _accepted(self, call: Call, accepting: Deferred[Any]) -> Deferred[Reply]:
        if call.wait is not None:
            return Deferred.fromCoroutine(self._accepted_and_settled(call, accepting))
        # No coroutine: those that there were took 3 % of what a POST costs.
        return accepting.addCallback(lambda record: self._told(call, record))

    async def _accepted_and_settled(self, call: Call, accepting: Deferred[Any]) -> Reply:
        record: Record = await accepting
        now = await self._waiters.settled(record.key, call.wait or 0)
        return self._told(call, record if now is None else now, gone=now is None)

    def _told(self, call: Call, record: Record, gone: bool = False) -> Reply:
        body = represent(record, self._quantum.state)
        if gone:
            for representation in body.values():
                representation["status"] = DELETED
        headers = {"Location": location(record), **_headers(call, record)}
        return Reply(body=body, status=202, headers=headers)


def _exact_marker(attachment: Attachment) -> str:
    """While a VIF moves, two attachments have its id; the serial tells them apart (and no id has a ``/`` in it)."""
    return f"{attachment.id}/{attachment.serial}"


def _headers(call: Call, record: Record) -> dict[str, str]:
    headers = {"ETag": f'"{etag(record)}"'}
    return headers if call.wait is None else {**headers, "Preference-Applied": f"wait={call.wait}"}


def listed(call: Call, key: str, entries: Sequence[Mapping[str, Any]], next_marker: str | None) -> Reply:
    """A page of a list, with a link to the next one."""
    link = {} if next_marker is None else {"Link": next_link(call.path, call.query, next_marker)}
    return Reply(body={key: entries}, headers=link)
