"""Tokens: made, listed and revoked by admins; held by whoever knows the secret."""

from __future__ import annotations

import hashlib
import secrets

from attrs import frozen
from twisted.internet.defer import Deferred

from quantumd.core.access import Caller, Right, Role, authorize, find_token
from quantumd.core.model import Token
from quantumd.core.names import new_id
from quantumd.core.transaction import Transaction
from quantumd.interfaces import IStateStore

#: What every secret of quantumd starts with, so that one that leaked is recognised.
PREFIX = "qd_"


@frozen
class Issued:
    """A token with its secret, which is nowhere but in here."""

    token: Token
    secret: str


def new_secret() -> str:
    """256 random bits, and what tells whose they are."""
    return PREFIX + secrets.token_urlsafe(32)


def token_hash(secret: str) -> bytes:
    """What is kept of a secret, so that whoever reads it cannot use it. It needs no salt, and may be fast, because a
    secret is long and random."""
    return hashlib.sha256(secret.encode("utf-8")).digest()


class Tokens:
    """The tokens of one store. What is made or revoked counts from its commit on, for every request after it."""

    def __init__(self, store: IStateStore) -> None:
        self._store = store

    def holder(self, hashed: bytes) -> Caller | None:
        """Who has the secret with this :func:`token_hash`; None: it is no good. Costs the same however many there
        are."""
        token = self._store.state.token_of(hashed.hex())
        return None if token is None else Caller(f"token {token.id}", token.tenant_id, Role(token.role), token.id)

    def list(self, caller: Caller) -> list[Token]:
        """All tokens, oldest first. Raises Unauthorized."""
        authorize(self._store.state, caller, Right.ADMINISTER)
        return sorted(self._store.state.tokens.values(), key=lambda token: token.serial)

    def find(self, caller: Caller, token_id: str) -> Token:
        """The token. Raises Unauthorized or NotFound."""
        authorize(self._store.state, caller, Right.ADMINISTER)
        return find_token(self._store.state, token_id)

    def create(self, caller: Caller, tenant_id: str, role: Role) -> Deferred[Issued]:
        """A new token. Fails with Unauthorized."""
        secret = new_secret()

        def create(tx: Transaction) -> Issued:
            authorize(tx.state, caller, Right.ADMINISTER)
            token = Token(
                serial=tx.serial(),
                id=new_id(),
                tenant_id=tenant_id,
                role=str(role),
                digest=token_hash(secret).hex(),
                created_at=tx.now,
            )
            tx.put_token(token)
            return Issued(token, secret)

        return self._store.commit(create)

    def revoke(self, caller: Caller, token_id: str) -> Deferred[None]:
        """Make it worthless, at once. Fails with Unauthorized or NotFound."""

        def revoke(tx: Transaction) -> None:
            authorize(tx.state, caller, Right.ADMINISTER)
            tx.drop_token(find_token(tx.state, token_id))

        return self._store.commit(revoke)
