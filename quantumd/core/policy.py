"""Which role may use which form of attachment, and what of the host it may name.

The API is for tenants, the host is not: whoever may name a host's device, join a network to the host's cables, or
reach into another's namespace can leave its own networks. Those are powers over the host, and each is given to a role
by name.
"""

from __future__ import annotations

import glob
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import lru_cache

from attrs import field, frozen

from quantumd.core.access import Caller, Role
from quantumd.core.errors import Unauthorized
from quantumd.core.model import Device, Form, Json

#: The form of an attachment that is found by its id.
LATE = "late"
_TENANT = "{tenant}"


@frozen(kw_only=True)
class Powers:
    """What one role may.

    ``forms``: :data:`LATE`, what ``device.create`` may say (``tap``, ``veth``), and the types but ``vif`` (``bridge``,
    ``tunnel``). ``devices`` are the names of host devices that a request may say, to plug or to make them; ``netns``
    the namespaces of veths: names, and paths where the pattern begins with ``/``. ``options`` are those of networks
    and ports. All four are globs, in which ``{tenant}`` stands for the caller's own tenant. ``owners``: may say whose
    a tap is; ``force``: may take a device away from the host.
    """

    forms: tuple[str, ...]
    devices: tuple[str, ...]
    netns: tuple[str, ...]
    options: tuple[str, ...]
    owners: bool
    force: bool

    @property
    def confined(self) -> bool:
        """Whether it is less than everything, so that what it finds by an id is not taken on trust."""
        return not self.force


EVERYTHING = Powers(forms=("*",), devices=("*",), netns=("*", "/*"), options=("*",), owners=True, force=True)
#: What quantumd makes and removes, and what the guest's side has made ready under the attachment's own id.
GUESTS = Powers(forms=(LATE, "tap", "veth"), devices=(), netns=("*",), options=("mtu",), owners=False, force=False)


@frozen
class Policy:
    """The powers of each role that may write."""

    powers: Mapping[Role, Powers] = field(factory=lambda: {Role.ADMIN: EVERYTHING, Role.MEMBER: GUESTS})

    def confines(self, caller: Caller) -> bool:
        """Whether what this caller plugs is :attr:`~quantumd.core.model.Attachment.confined`."""
        return self._of(caller).confined

    def check_form(self, caller: Caller, form: Form) -> None:
        """Raises Unauthorized where the caller may not plug this."""
        powers = self._of(caller)
        device = form.device or Device()
        kind = form.type if form.type != "vif" else device.create or (LATE if form.device is None else None)
        if kind is not None and not _matches(kind, powers.forms, caller):
            raise _refusal(caller, f"plug an attachment of the form {kind!r}", "forms")
        if device.name is not None and not _matches(device.name, powers.devices, caller):
            raise _refusal(caller, f"name the device {device.name!r}", "devices")
        if device.netns is not None and not _matches_place(device.netns, powers.netns, caller):
            raise _refusal(caller, f"name the network namespace {device.netns!r}", "netns")
        if (device.owner_uid, device.owner_gid) != (None, None) and not powers.owners:
            raise _refusal(caller, "say whose a tap is", "owners")
        if form.force and not powers.force:
            raise _refusal(caller, "take a device with force", "force")

    def check_options(self, caller: Caller, options: Json) -> None:
        """Raises Unauthorized where the caller may not set one of these options."""
        powers = self._of(caller)
        for name in options:
            if not _matches(name, powers.options, caller):
                raise _refusal(caller, f"set the option {name!r}", "options")

    def _of(self, caller: Caller) -> Powers:
        powers = None if caller.role is None else self.powers.get(caller.role)
        if powers is None:
            raise Unauthorized("This caller may only read; use a token of a member.")
        return powers


def _matches(text: str, patterns: tuple[str, ...], caller: Caller) -> bool:
    return any(fnmatchcase(text, _of_tenant(pattern, caller.tenant_id)) for pattern in patterns)


@lru_cache
def _of_tenant(pattern: str, tenant_id: str) -> str:
    return pattern.replace(_TENANT, glob.escape(tenant_id))


def _matches_place(netns: str, patterns: tuple[str, ...], caller: Caller) -> bool:
    """A path is matched by patterns of paths only."""
    is_path = netns.startswith("/")
    return _matches(netns, tuple(one for one in patterns if one.startswith("/") is is_path), caller)


def _refusal(caller: Caller, what: str, key: str) -> Unauthorized:
    return Unauthorized(
        f"The policy of this daemon does not let a {caller.role} {what}: leave it out, or ask an admin, who may do it "
        f"or set '{caller.role}.{key}' in [policy]."
    )
