"""Tokens and quotas: who may call, and how much each tenant may have."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from quantumd.api.operations import Call, Handler, Reply, listed
from quantumd.api.queries import page
from quantumd.api.representations import issued_token
from quantumd.api.representations import token as represent
from quantumd.core.access import Role
from quantumd.service.quantum import Quantum
from quantumd.service.tokens import Tokens


@frozen
class Administration:
    """Each method is the operation of that name in :mod:`~quantumd.api.routes`."""

    tokens: Tokens
    quantum: Quantum

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """The operations by name."""
        return {
            "list_tokens": self.list_tokens,
            "create_token": self.create_token,
            "show_token": self.show_token,
            "revoke_token": self.revoke_token,
            "show_quotas": self.show_quotas,
        }

    def list_tokens(self, call: Call) -> Reply:
        """``GET /tokens``."""
        found = page(
            self.tokens.list(call.caller),
            call.query,
            {},
            lambda token: token.id,
            lambda token, marker: token.id == marker,
        )
        return listed(call, "tokens", [represent(token) for token in found.entries], found.next_marker)

    async def create_token(self, call: Call) -> Reply:
        """``POST /tokens``."""
        asked = call.body["token"]
        issued = await self.tokens.create(call.caller, asked["tenant_id"], Role(asked["role"]))
        return Reply(
            body={"token": issued_token(issued)},
            status=201,
            headers={"Location": f"/tokens/{issued.token.id}"},
        )

    def show_token(self, call: Call) -> Reply:
        """``GET /tokens/{id}``."""
        return Reply(body={"token": represent(self.tokens.find(call.caller, call.ids["token_id"]))})

    async def revoke_token(self, call: Call) -> Reply:
        """``DELETE /tokens/{id}``."""
        await self.tokens.revoke(call.caller, call.ids["token_id"])
        return Reply(body=None, status=204)

    def show_quotas(self, call: Call) -> Reply:
        """``GET /quotas``."""
        return Reply(body={"quotas": self.quantum.quotas(call.caller, call.query.get("tenant_id"))})
