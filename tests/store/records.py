"""One of each record, with every field set to something that is not its default."""

from __future__ import annotations

from quantumd.core.model import (
    Attachment,
    AttachmentStatus,
    Device,
    Event,
    FaultRecord,
    Form,
    Kind,
    Network,
    Port,
    Record,
    Status,
    Token,
    Tunnel,
)

_CREATED, _UPDATED = "2026-01-02T03:04:05.000006Z", "2026-01-02T03:05:00.000000Z"
_FAULT = FaultRecord("PluginFault", "no such device: tap7 \u2014 make it", _UPDATED)

NETWORK = Network(
    serial=1,
    id="11111111-1111-4111-8111-111111111111",
    name="blau \u20ac \U0001f600",
    tenant_id="acme",
    options={"mtu": 1450, "deep": {"list": [1, 2.5, None, True, "x"]}},
    status=Status.FAILED,
    fault=_FAULT,
    plugin={"bridge": "q-1a2b"},
    revision=3,
    created_at=_CREATED,
    updated_at=_UPDATED,
    data={"bridge": "q-1a2b", "vlan": 7},
    created_with={"name": "blau", "tenant_id": "acme"},
)
PORT = Port(
    serial=2,
    id="22222222-2222-4222-8222-222222222222",
    network_id=NETWORK.id,
    options={"isolated": True},
    status=Status.ACTIVE,
    fault=_FAULT,
    plugin={"tag": 7},
    revision=2,
    created_at=_CREATED,
    updated_at=_UPDATED,
    data={"tag": 7},
    created_with={"options": {"isolated": True}},
)
OTHER_PORT = Port(serial=3, id="33333333", network_id=NETWORK.id, created_at=_CREATED, updated_at=_CREATED)
VETH = Attachment(
    serial=4,
    network_id=NETWORK.id,
    port_id=PORT.id,
    form=Form(
        id="vm1-eth0",
        device=Device(
            name="veth7",
            create="veth",
            netns="vm1",
            ifname="eth0",
            mac="02:00:00:00:00:01",
            owner_uid=1000,
            owner_gid=0,
            multi_queue=False,
        ),
        reference="urn:vm:1",
        force=True,
    ),
    status=AttachmentStatus.UP,
    fault=_FAULT,
    plugin={"bridge": "q-1a2b", "device": "veth7"},
    revision=5,
    created_at=_CREATED,
    updated_at=_UPDATED,
    data={"device": "veth7"},
    was_plugged=True,
    confined=True,
)
TUNNEL = Attachment(
    serial=5,
    network_id=NETWORK.id,
    port_id=OTHER_PORT.id,
    form=Form(
        id="site-b",
        type="tunnel",
        vlan=12,
        tunnel=Tunnel(kind="vxlan", remote="192.0.2.7", vni=77, local="192.0.2.1", port=4790),
    ),
    created_at=_CREATED,
    updated_at=_CREATED,
)
TOKEN = Token(
    serial=6,
    id="44444444-4444-4444-8444-444444444444",
    tenant_id="acme \u20ac",
    role="member",
    digest="5e" * 32,
    created_at=_CREATED,
)
RECORDS: tuple[Record, ...] = (NETWORK, PORT, OTHER_PORT, VETH, TUNNEL)
EVENTS = (
    Event(
        seq=7,
        kind=Kind.ATTACHMENT,
        action="repaired",
        at=_UPDATED,
        tenant_id="acme",
        network_id=NETWORK.id,
        port_id=PORT.id,
        attachment_id="vm1-eth0",
        status="Attached/UP",
        fault=_FAULT,
        detail="it was not in its bridge",
    ),
    Event(
        seq=9, kind=Kind.NETWORK, action="created", at=_CREATED, tenant_id="acme", network_id="gone", status="Active"
    ),
)
LEFTOVER = Event(
    seq=10, kind=Kind.LEFTOVER, action="removed", at=_CREATED, tenant_id="", network_id="", status="", detail="tap7"
)
NEXT_SERIAL, NEXT_EVENT = 23, 12
