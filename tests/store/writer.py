"""A process that commits to the state file that it is given, and says what it was answered; until it is killed."""

from __future__ import annotations

import os
import sys
from itertools import count
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import react

from quantumd.store.sqlite import SQLiteStore
from quantumd.testing.stores import add_attachment, add_network, drop_network


async def main(_: Any, path: str, name: str) -> None:
    store = SQLiteStore(reactor, Path(path), "this boot")
    await store.start()
    numbers = count()

    async def caller() -> None:
        while True:
            ident = f"{name}-{next(numbers)}"
            await store.commit(add_network(ident), durable=ident.endswith(("0", "3", "7")))
            attachment = await store.commit(add_attachment(ident, ident), durable=False)
            # One write each, so that a line is whole or not there at all.
            os.write(1, f"+ {ident} {attachment.serial}\n".encode())
            if ident.endswith("5"):
                await store.commit(drop_network(ident))
                os.write(1, f"- {ident} {attachment.serial}\n".encode())

    await gatherResults([Deferred.fromCoroutine(caller()) for _ in range(8)])


if __name__ == "__main__":
    react(lambda clock, *words: Deferred.fromCoroutine(main(clock, *words)), sys.argv[1:])
