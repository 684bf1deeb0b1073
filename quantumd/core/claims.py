"""What attachments occupy, and which of them exclude each other. The one place that knows what "the same device" is."""

from __future__ import annotations

from quantumd.core.model import Attachment, Form

#: What an attachment occupies while it is there: its port, its id, its device, its tunnel.
Claim = tuple[str | int | None, ...]


def claims(attachment: Attachment) -> list[Claim]:
    """What this attachment occupies. Two attachments with one claim may exclude each other: see :func:`excludes`."""
    form, name = attachment.form, attachment.device_name
    found: list[Claim] = [("port", attachment.port_id), ("id", form.id)]
    if form.tunnel is not None:
        found.append(tunnel_claim(form))
    if name is not None:
        found.append(("device", name, form.vlan))
    if form.vlan is not None and "device" in attachment.data:
        # The sub-interface, whose name the plugin chose, beside the device that it is on.
        found.append(("device", attachment.data["device"], None))
    return found


def tunnel_claim(form: Form) -> Claim:
    """What a tunnel occupies on the host: the kernel has one device for each of these, whatever its remotes."""
    assert form.tunnel is not None
    return ("tunnel", form.tunnel.kind, form.tunnel.local, form.tunnel.port, form.tunnel.vni)


def excludes(one: Attachment, other: Attachment, claim: Claim) -> bool:
    """Whether two attachments with this claim in common cannot be plugged at the same time.

    Tunnels of one network that differ in nothing but the remote share a device; everything else has its claims for
    itself.
    """
    if claim[0] not in ("tunnel", "device") or one.form.tunnel is None or other.form.tunnel is None:
        return True
    share = one.network_id == other.network_id and tunnel_claim(one.form) == tunnel_claim(other.form)
    return not share or one.form.tunnel.remote == other.form.tunnel.remote
