"""Which records depend on which names on the host, so that the right ones are told of a change."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from quantumd.core.model import Key


class Interests:
    """Names (of devices, altnames, namespaces) and the keys of the records that have to do with them."""

    def __init__(self) -> None:
        self._keys: defaultdict[str, set[Key]] = defaultdict(set)
        self._names: dict[Key, frozenset[str]] = {}

    def __contains__(self, key: Key) -> bool:
        """Whether the record is watched for."""
        return key in self._names

    def watch(self, key: Key, names: Iterable[str]) -> None:
        """From now on, what becomes of these names, and no others, concerns the record."""
        wanted = frozenset(names)
        if self._names.get(key) == wanted:
            return
        self.forget(key)
        self._names[key] = wanted
        for name in wanted:
            self._keys[name].add(key)

    def forget(self, key: Key) -> None:
        """The record has gone."""
        for name in self._names.pop(key, ()):
            keys = self._keys[name]
            keys.discard(key)
            if not keys:
                del self._keys[name]

    def keep(self, keys: Iterable[Key]) -> None:
        """Forget every record but these."""
        for key in self._names.keys() - set(keys):
            self.forget(key)

    def concerned(self, names: Iterable[str]) -> set[Key]:
        """The records that something about these names concerns."""
        return {key for name in names for key in self._keys.get(name, ())}
