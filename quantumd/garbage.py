"""When the interpreter looks for cyclic garbage: seldom, and not among what stays.

The records of 10,000 ports are some hundred thousand objects, none of which is in a cycle. A collector that goes
through all of them each time that a quarter has been added holds the reactor for a tenth of a second and more.
"""

from __future__ import annotations

import gc
from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

#: Objects more than before after which the youngest are looked at (``gc.set_threshold``); the interpreter's own 700 is
#: a handful of requests.
_YOUNG = 5000
#: Seconds between looks at how many records there are.
_OFTEN = 10.0
#: How many records more, as a part of those before and in number, make a new set of what stays.
_MORE, _AT_LEAST = 1.25, 1000


class Garbage:
    """Sets what is there aside (``gc.freeze``) when there is much more of it than before, and looks at it again when
    there is much less. ``records`` is how many there are.

    Whatever is set aside and becomes a cycle of garbage later stays until then, which is why this is done a few times
    while a state grows, and not again and again.
    """

    def __init__(self, records: Callable[[], int], clock: IReactorTime) -> None:
        self._records = records
        self._aside = 0
        self._look = LoopingCall(self.look)
        self._look.clock = clock

    def hold(self) -> None:
        """Look for nothing until :meth:`start`: what is loaded meanwhile stays."""
        gc.disable()

    def start(self) -> None:
        """Set aside what was loaded, and go on looking."""
        gc.enable()
        gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])
        self._set_aside()
        self._look.start(_OFTEN, now=False)

    def stop(self) -> None:
        """Look no more."""
        if self._look.running:
            self._look.stop()

    def look(self) -> None:
        """See whether there is much more or less than was set aside."""
        records = self._records()
        if records > self._aside * _MORE + _AT_LEAST:
            self._set_aside()
        elif self._aside > records * _MORE + _AT_LEAST:
            gc.unfreeze()
            gc.collect()
            self._set_aside()

    def _set_aside(self) -> None:
        gc.collect(1)
        gc.freeze()
        self._aside = self._records()
