"""``quantumctl token …``"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from urllib.parse import quote

from quantumd.cli.context import Context
from quantumd.cli.render import Column, Row, table, time_text, value_text
from quantumd.cli.resolve import find_token
from quantumd.cli.settle import Resource

_COLUMNS = (Column("ID", "id"), Column("TENANT"), Column("ROLE"), Column("CREATED"))


def create(context: Context, args: Namespace) -> int:
    """A new token; its secret is shown now and never again."""
    body = {"token": {"tenant_id": args.tenant, "role": args.role}}
    reply = context.api.request("POST", "/tokens", body)
    token = reply.part("token")
    fields = ("id", "tenant_id", "role", "secret")
    context.output.result(
        reply.json, lambda: [f"{name.removesuffix('_id'):8}{value_text(token.get(name))}" for name in fields]
    )
    if context.output.interactive:
        context.output.remark("keep the secret: it is not shown again")
    return 0


def list_tokens(context: Context, _args: Namespace) -> int:
    """All tokens, without their secrets."""

    def lines(tokens: Sequence[Resource]) -> list[str]:
        rows = [
            Row([token["id"], value_text(token["tenant_id"]), token["role"], time_text(token["created_at"])])
            for token in tokens
        ]
        return table(_COLUMNS, rows, context.output.style)

    context.output.listing(context.api.get("/tokens"), "tokens", lines)
    return 0


def revoke(context: Context, args: Namespace) -> int:
    """Make a token worthless."""
    token = find_token(context.api, args.token_id)
    context.api.request("DELETE", f"/tokens/{quote(token, safe='')}")
    context.output.result({"token": {"id": token, "status": "Revoked"}}, lambda: [f"token {token}: Revoked"])
    return 0
