"""Work on many records, with pauses for the reactor in between: there may be ten thousand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from itertools import islice
from typing import TypeVar

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

#: How many records are looked at before the reactor may do something else: some milliseconds.
SLICE = 50

_T = TypeVar("_T")


async def in_slices(reactor: IReactorTime, items: Iterable[_T], size: int = SLICE) -> AsyncIterator[list[_T]]:
    """The items, so many at a time; between two times the reactor does what else there is."""
    left = iter(items)
    some = list(islice(left, size))
    while some:
        yield some
        some = list(islice(left, size))
        if some:
            await deferLater(reactor, 0)
