"""``quantumctl extensions``: what the plugin takes, beyond what every plugin takes."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from quantumd.cli.context import Context
from quantumd.cli.render import Style, value_text

_BOUNDS = (("minimum", "from"), ("maximum", "to"), ("default", "default"), ("pattern", "like"))


def show(context: Context, _args: Namespace) -> int:
    """The options of networks and ports, the attachment types, the capabilities."""
    reply = context.api.get("/extensions")
    context.output.result(reply.json, lambda: _lines(reply.json, context.output.style))
    return 0


def _lines(body: Mapping[str, Any], style: Style) -> list[str]:
    lines = []
    for key, value in body.items():
        lines.append(style.bold(key.replace("_", " ")))
        lines += _option_lines(value, style) if key.endswith("_options") else _outline(value, style)
    return lines


def _option_lines(schema: Mapping[str, Any], style: Style) -> list[str]:
    """A line for each property of a JSON Schema: its name, its type and bounds, what it is."""
    lines = []
    for name, option in schema.get("properties", {}).items():
        kind = option.get("type", "any")
        kinds = [value_text(" or ".join(kind) if isinstance(kind, list) else kind)]
        if "enum" in option:
            kinds = ["one of " + ", ".join(value_text(choice) for choice in option["enum"])]
        kinds += [f"{word} {value_text(option[key])}" for key, word in _BOUNDS if key in option]
        lines.append(f"  {value_text(name)}  {style.faint(' '.join(kinds))}")
        if option.get("description"):
            lines.append(f"    {value_text(option['description'])}")
    return lines or [style.faint("  none")]


def _outline(value: object, style: Style) -> list[str]:
    """A line for each entry of a list or an object; of an entry that describes itself, what it says."""
    if isinstance(value, Mapping):
        return [f"  {value_text(key)}  {style.faint(value_text(_said(item)))}" for key, item in value.items()]
    if isinstance(value, list):
        return [f"  {value_text(item)}" for item in value] or [style.faint("  none")]
    return [f"  {value_text(value)}"]


def _said(item: object) -> object:
    return item["description"] if isinstance(item, Mapping) and "description" in item else item
