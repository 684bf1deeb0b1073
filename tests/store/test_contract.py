"""Both stores pass the tests of every store."""

from __future__ import annotations

from quantumd.testing import make_state_store_tests
from tests.store.places import Files, Memory

SQLiteStoreTests = make_state_store_tests(Files)
MemoryStoreTests = make_state_store_tests(Memory)
