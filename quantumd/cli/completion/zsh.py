"""The completion script for zsh, a ``#compdef`` function for a directory of ``$fpath``."""

from __future__ import annotations

from quantumd.cli.completion.tree import Command, Operand, Option, Value

_HEAD = r"""#compdef quantumctl
# Completion for quantumctl in zsh, printed by "quantumctl completion zsh".
# Put it into a directory of $fpath as _quantumctl.

# What the daemon knows of a kind, if it answers soon. $everywhere is of the function that the shell called.
_quantumctl_names() {
    local line name
    local -a entries
    for line in ${(f)"$(quantumctl $everywhere completion names "$@" 2>/dev/null)"}; do
        name=${${${line%%$'\t'*}//\\/\\\\}//:/\\:}
        entries+=("$name:${line#*$'\t'}")
    done
    _describe -t "${(L)1}" "${(L)1}" entries
}

_quantumctl_devices() {
    local -a entries=(/sys/class/net/*(N/:t) /sys/class/net/*(N-/:t))
    compadd -- ${(u)entries}
}

_quantumctl_netns() {
    local -a entries=(/run/netns/*(N:t))
    compadd -S : -- $entries
}

_quantumctl_endpoint() {
    if compset -P unix:; then
        _files
    else
        compadd -S '' -- unix: http:// https://
    fi
}

"""

_TAIL = r"""
local -a everywhere
local index
for ((index = 2; index < CURRENT; index++)); do
    case $words[index] in
        --endpoint | --token) everywhere+=($words[index] "${(Q)words[index + 1]}") ;;
        --endpoint=* | --token=*) everywhere+=("${(Q)words[index]}") ;;
    esac
done
_quantumctl_command "$@"
"""

_ACTIONS = {
    "NET": "{_quantumctl_names NET}",
    "PORT": '{_quantumctl_names PORT "${(Q)line[1]}"}',
    "ATTACHMENT": "{_quantumctl_names ATTACHMENT}",
    "TOKEN": "{_quantumctl_names TOKEN}",
    "DEVICE": "_quantumctl_devices",
    "DEVICE[:VLAN]": "_quantumctl_devices",
    "NETNS:IFNAME": "_quantumctl_netns",
    "ENDPOINT": "_quantumctl_endpoint",
}


def zsh_script(tree: Command) -> str:
    """The script for a command line."""
    return _HEAD + "\n".join(_function(command) for command in tree.walk()) + _TAIL


def _function(command: Command) -> str:
    specs = [spec for option in command.options for spec in _option_specs(option)]
    if command.children:
        return _parent(command, specs)
    specs += [_operand_spec(operand, place) for place, operand in enumerate(command.operands, 1)]
    body = " \\\n        ".join(["_arguments -S", *specs])
    return f"{_name(command)}() {{\n    local -a line\n    local -A opt_args\n    {body}\n}}\n"


def _parent(command: Command, specs: list[str]) -> str:
    body = " \\\n        ".join(['_arguments -C -A "-*"', *specs, "'1: :->word'", "'*:: :->rest'"])
    children = "\n".join(
        f"                {_quoted(child.words[-1] + ':' + child.summary)}" for child in command.children
    )
    return f"""{_name(command)}() {{
    local curcontext="$curcontext" state
    local -a line
    local -A opt_args
    {body}
    case $state in
        word)
            local -a children=(
{children}
            )
            _describe -t commands command children
            ;;
        rest)
            (($+functions[{_name(command)}_${{line[1]}}])) && {_name(command)}_${{line[1]}}
            ;;
    esac
}}
"""


def _option_specs(option: Option) -> list[str]:
    """One spec for each spelling; having seen one, zsh offers neither again."""
    others = f"({' '.join(option.spellings)})" if len(option.spellings) > 1 else ""
    value = "" if option.value is None else f":{_escaped(option.value.kind)}:{_action(option.value)}"
    return [
        _quoted(
            f"{others}{spelling}{'=' if option.value and spelling.startswith('--') else ''}"
            f"[{_escaped(option.summary)}]{value}"
        )
        for spelling in option.spellings
    ]


def _operand_spec(operand: Operand, place: int) -> str:
    where = "*" if operand.repeated else str(place) + (":" if operand.optional else "")
    return _quoted(f"{where}:{_escaped(operand.value.kind)}:{_action(operand.value)}")


def _action(value: Value) -> str:
    if value.choices:
        return f"({' '.join(value.choices)})"
    return _ACTIONS.get(value.kind, " ")


def _name(command: Command) -> str:
    return "_".join(["_quantumctl_command", *command.words])


def _escaped(text: str) -> str:
    for special in "\\:[]":
        text = text.replace(special, f"\\{special}")
    return text


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
