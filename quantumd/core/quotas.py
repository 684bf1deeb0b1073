"""How much each tenant may have, and all of them together. Judged with the request, on what was accepted so far."""

from __future__ import annotations

from attrs import asdict, field, fields, frozen

from quantumd.core.changes import Attach, EnsureNetwork, EnsurePort, RecordChange
from quantumd.core.errors import OverLimit
from quantumd.core.state import State


@frozen(kw_only=True)
class Quota:
    """How many of each there may be; None: as many as anybody likes. Tunnels count as attachments too."""

    networks: int | None = None
    ports: int | None = None
    attachments: int | None = None
    tunnels: int | None = None


#: Everything that is counted.
COUNTED = tuple(one.name for one in fields(Quota))


@frozen(kw_only=True)
class Quotas:
    """``tenant`` is the quota of each tenant, ``total`` that of all together."""

    tenant: Quota = field(factory=Quota)
    total: Quota = field(factory=Quota)

    def check(self, state: State, change: RecordChange, fixed_ports: int = 0) -> None:
        """Raises OverLimit where there is no room for what the change adds. ``fixed_ports`` come with a network."""
        for what, more in _adds(state, change, fixed_ports).items():
            for tenant_id, quota in ((change.network.tenant_id, self.tenant), (None, self.total)):
                limit = getattr(quota, what)
                if more and limit is not None and state.count(what, tenant_id) + more > limit:
                    who = "Together, all tenants have" if tenant_id is None else f"Tenant {tenant_id!r} has"
                    raise OverLimit(
                        f"{who} {state.count(what, tenant_id)} {what}, and the quota allows {limit}; remove one, or "
                        "have the quota raised."
                    )


def usage(state: State, quota: Quota, tenant_id: str | None) -> dict[str, dict[str, int | None]]:
    """``limit`` and what is ``used`` of everything that is counted, for one tenant or (None) for all together."""
    return {what: {"limit": limit, "used": state.count(what, tenant_id)} for what, limit in asdict(quota).items()}


def _adds(state: State, change: RecordChange, fixed_ports: int) -> dict[str, int]:
    """How many of each there are more after the change."""
    match change:
        case EnsureNetwork(network) if network.id not in state.networks:
            return {"networks": 1, "ports": fixed_ports}
        case EnsurePort(port) if port.id not in state.ports:
            return {"ports": 1}
        case Attach(attachment):
            return {"attachments": 1, "tunnels": int(attachment.form.tunnel is not None)}
    return {}
