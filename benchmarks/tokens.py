"""What it costs to find whose a token is, in one process, with 10,000 of them there.

python benchmarks/tokens.py [--tokens 10000] [--json]
"""

from __future__ import annotations

import timeit

from common import Finding, arguments, finish
from twisted.internet.task import Clock

from quantumd.core.model import Token
from quantumd.core.names import new_id
from quantumd.core.transaction import Transaction
from quantumd.service.tokens import Tokens, new_secret, token_hash
from quantumd.store.memory import MemoryStore

#: Microseconds that a request may spend on it.
_LIMIT = 50
_TIMES = 2000


def measure(count: int) -> Finding:
    """The microseconds of one check, at its best."""
    secrets = [new_secret() for _ in range(count)]

    def put(tx: Transaction) -> None:
        for secret in secrets:
            digest = token_hash(secret).hex()
            serial, at = tx.serial(), tx.now
            tx.put_token(
                Token(serial=serial, id=new_id(), tenant_id="acme", role="member", digest=digest, created_at=at)
            )

    clock = Clock()
    store = MemoryStore(clock)
    store.start()
    store.commit(put)
    clock.advance(1)
    tokens, mine = Tokens(store), secrets[count // 2]
    if tokens.holder(token_hash(mine)) is None:
        raise SystemExit("the token is not known")
    took = min(timeit.repeat(lambda: tokens.holder(token_hash(mine)), number=_TIMES, repeat=7)) / _TIMES
    return Finding(f"checking one of {count:,} tokens", took * 1e6, _LIMIT, "us", 1, True)


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__)
    parser.add_argument("--tokens", type=int, default=10_000)
    finish([measure(parser.parse_args().tokens)])


if __name__ == "__main__":
    main()
