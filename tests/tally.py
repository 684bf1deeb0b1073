"""What the long tests went through: printed at the end of the run, and kept where CI can read it."""

from __future__ import annotations

_lines: list[str] = []


def tell(what: str, **counts: float) -> None:
    """Have these counts printed at the end."""
    _lines.append(f"{what}: " + ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items()))


def told() -> list[str]:
    """All that was told, in order."""
    return list(_lines)
