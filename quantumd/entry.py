"""What twistd loads of quantumd: first of all, nobody looks for garbage among what is being loaded, as all of it stays.

That is a tenth of the time that a start takes. The daemon has the collector work again once it has started.
"""

import gc

gc.disable()

from quantumd.tap import Options, makeService  # noqa: E402 - the point of it

__all__ = ["Options", "makeService"]
