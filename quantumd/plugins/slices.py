"""Work on many records, with pauses for the reactor in between: there may be ten thousand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from itertools import islice
from time import perf_counter
from typing import TypeVar

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

#: How many records are looked at between two looks at the clock.
_SLICE = 50
#: Seconds of work after which the reactor may do something else. It takes 0.1 ms to come back.
_LONG = 0.002

_T = TypeVar("_T")


async def in_slices(reactor: IReactorTime, items: Iterable[_T], size: int = _SLICE) -> AsyncIterator[list[_T]]:
    """The items, so many at a time; between two times the reactor does what else there is, if they took long."""
    left = iter(items)
    began = perf_counter()
    while some := list(islice(left, size)):
        if perf_counter() - began > _LONG:
            await deferLater(reactor, 0)
            began = perf_counter()
        yield some
