"""The completion script for bash (4.2 or later); it does not need the bash-completion package."""

from __future__ import annotations

from quantumd.cli.completion.tree import Command, Option, Value

_HEAD = r"""# Completion for quantumctl in bash, printed by "quantumctl completion bash".
# Load it with:  source <(quantumctl completion bash)

# What may stand behind a command: sets children, options, values (option to kind of value) and operands (kinds).
# A kind is either "=" and the words to choose from, or what the usage line calls it.
_quantumctl_tree() {
    children=() options=() operands=() values=()
    case $1 in
"""

_TAIL = r"""    esac
}

# The words up to the cursor. COMP_WORDS is also split at ":" and "=", so what no blank separates is joined again.
_quantumctl_words() {
    local line=$COMP_LINE index word
    words=()
    for ((index = 0; index <= COMP_CWORD; index++)); do
        word=${COMP_WORDS[index]}
        if ((index == 0)) || [[ $line == [[:blank:]]* ]]; then
            words+=("$word")
        else
            words[${#words[@]} - 1]+=$word
        fi
        line=${line#*"$word"}
    done
}

# A word as the shell will read it: without quotes and backslashes.
_quantumctl_plain() {
    plain=${1//[\"\'\\]/}
}

# What the daemon knows of a kind, if it answers soon.
_quantumctl_names() {
    local line
    while IFS= read -r line; do
        candidates+=("${line%%$'\t'*}")
    done < <(quantumctl "${everywhere[@]}" completion names "$@" 2>/dev/null)
}

# What a word of this kind, which begins like $plain, can be: sets candidates.
_quantumctl_candidates() {
    local entry
    case $1 in
        =*) read -ra candidates <<<"${1#=}" ;;
        NET | ATTACHMENT | TOKEN) _quantumctl_names "$1" ;;
        PORT) _quantumctl_names PORT "$network" ;;
        DEVICE*)
            for entry in /sys/class/net/*; do
                [[ -d $entry ]] && candidates+=("${entry##*/}")
            done
            ;;
        NETNS:*)
            compopt -o nospace
            for entry in /run/netns/*; do
                [[ -e $entry ]] && candidates+=("${entry##*/}:")
            done
            ;;
        ENDPOINT)
            compopt -o nospace
            if [[ $plain == unix:* ]]; then
                while IFS= read -r entry; do
                    candidates+=("unix:$entry")
                done < <(compgen -f -- "${plain#unix:}")
            else
                candidates=(unix: http:// https://)
            fi
            ;;
    esac
}

_quantumctl() {
    local -a words children options operands candidates everywhere
    local -A values
    local command="" option="" literal="" network="" plain="" word current prefix="" behind
    local operand=0
    _quantumctl_words
    current=${words[${#words[@]} - 1]}
    _quantumctl_tree ""
    for word in "${words[@]:1:${#words[@]}-2}"; do
        _quantumctl_plain "$word"
        if [[ -n $option ]]; then
            [[ $option == --endpoint || $option == --token ]] && everywhere+=("$option" "$plain")
            option=""
        elif [[ -z $literal && $word == -- ]]; then
            literal=yes
        elif [[ -z $literal && $word == -* ]]; then
            [[ $word == --endpoint=* || $word == --token=* ]] && everywhere+=("$plain")
            [[ -n ${values[$word]-} ]] && option=$word
        elif ((${#children[@]})); then
            command+="${command:+ }$plain"
            _quantumctl_tree "$command"
        else
            ((operand++ == 0)) && network=$plain
        fi
    done

    _quantumctl_plain "$current"
    if [[ -n $option ]]; then
        _quantumctl_candidates "${values[$option]}"
    elif [[ -z $literal && $current == --*=* ]]; then
        prefix=${current%%=*}=
        plain=${plain#*=}
        _quantumctl_candidates "${values[${prefix%=}]-}"
    elif [[ -z $literal && $current == -* ]]; then
        candidates=("${options[@]}")
    elif ((${#children[@]})); then
        candidates=("${children[@]}")
    else
        _quantumctl_candidates "${operands[operand]-}"
    fi

    # The shell replaces only what stands behind the last word break.
    behind=$current
    [[ $COMP_WORDBREAKS == *:* ]] && behind=${behind##*:}
    [[ $COMP_WORDBREAKS == *=* ]] && behind=${behind##*=}
    COMPREPLY=()
    for word in "${candidates[@]}"; do
        [[ $word == "$plain"* ]] || continue
        [[ $current == [\"\']* ]] || printf -v word %q "$word"
        word=$prefix$word
        COMPREPLY+=("${word#"${current%"$behind"}"}")
    done
}

complete -F _quantumctl quantumctl
"""


def bash_script(tree: Command) -> str:
    """The script for a command line."""
    cases = "".join(_case(command) for command in tree.walk())
    return _HEAD + cases + _TAIL


def _case(command: Command) -> str:
    lines = [f"        {_quoted(' '.join(command.words))})"]
    if command.children:
        lines.append(f"            children=({' '.join(child.words[-1] for child in command.children)})")
    spellings = [spelling for option in command.options for spelling in option.spellings]
    lines.append(f"            options=({' '.join(spellings)})")
    values = " ".join(pair for option in command.options for pair in _pairs(option))
    if values:
        lines.append(f"            values=({values})")
    if command.operands:
        kinds = " ".join(_quoted(_kind(operand.value)) for operand in command.operands)
        lines.append(f"            operands=({kinds})")
    return "\n".join([*lines, "            ;;", ""])


def _pairs(option: Option) -> list[str]:
    if option.value is None:
        return []
    return [f"[{spelling}]={_quoted(_kind(option.value))}" for spelling in option.spellings]


def _kind(value: Value) -> str:
    return "=" + " ".join(value.choices) if value.choices else value.kind


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
