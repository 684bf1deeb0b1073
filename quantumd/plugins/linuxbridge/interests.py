"""Which records depend on which names on the host, so that the right ones are told of a change."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from quantumd.core.model import Key
from quantumd.core.state import State


class Interests:
    """Names (of devices, altnames, namespaces) and the keys of the records that have to do with them."""

    def __init__(self) -> None:
        # Most names concern one record, which is there by itself then; a namespace may concern ten thousand.
        self._keys: dict[str, Key | set[Key]] = {}
        self._names: dict[Key, tuple[str, ...]] = {}

    def __contains__(self, key: Key) -> bool:
        """Whether the record is watched for."""
        return key in self._names

    def watch(self, key: Key, names: Iterable[str]) -> None:
        """From now on, what becomes of these names, and no others, concerns the record."""
        wanted = tuple(sorted(set(names)))
        if self._names.get(key) == wanted:
            return
        self.forget(key)
        self._names[key] = wanted
        for name in wanted:
            there = self._keys.setdefault(name, key)
            if isinstance(there, set):
                there.add(key)
            elif there != key:
                self._keys[name] = {there, key}

    def forget(self, key: Key) -> None:
        """The record has gone."""
        for name in self._names.pop(key, ()):
            there = self._keys[name]
            if isinstance(there, set):
                there.remove(key)
            if not isinstance(there, set) or not there:
                del self._keys[name]

    def keep(self, keys: Collection[Key], state: State) -> None:
        """Forget every record but those with these keys, and those of this state, which may be newer. (What both leave
        is a few of ten thousand, and found in a millisecond.)"""
        for key in self._names.keys() - keys:
            if state.get(key) is None:
                self.forget(key)

    def concerned(self, names: Iterable[str]) -> set[Key]:
        """The records that something about these names concerns."""
        concerned: set[Key] = set()
        for name in names:
            there = self._keys.get(name)
            if isinstance(there, set):
                concerned |= there
            elif there is not None:
                concerned.add(there)
        return concerned
