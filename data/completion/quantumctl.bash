# Completion for quantumctl in bash, printed by "quantumctl completion bash".
# Load it with:  source <(quantumctl completion bash)

# What may stand behind a command: sets children, options, values (option to kind of value) and operands (kinds).
# A kind is either "=" and the words to choose from, or what the usage line calls it.
_quantumctl_tree() {
    children=() options=() operands=() values=()
    case $1 in
        '')
            children=(network port attachment token status backup events extensions completion)
            options=(-h --help --version --endpoint --token -f --format)
            values=([--endpoint]='ENDPOINT' [--token]='SECRET' [-f]='=table json' [--format]='=table json')
            ;;
        'network')
            children=(list create show rename set delete)
            options=(-h --help --endpoint --token -f --format)
            values=([--endpoint]='ENDPOINT' [--token]='SECRET' [-f]='=table json' [--format]='=table json')
            ;;
        'network list')
            options=(-h --help --name --status --endpoint --token -f --format)
            values=([--name]='NAME' [--status]='=InProgress Active Failed Deleting' [--endpoint]='ENDPOINT' [--token]='SECRET' [-f]='=table json' [--format]='=table json')
            ;;
        'network create')
            options=(-h --help --wait --timeout --id --tenant --option --endpoint --token -f --format)
            values=([--timeout]='SECONDS' [--id]='UUID' [--tenant]='TENANT' [--option]='KEY=VALUE' [--endpoint]='ENDPOINT' [--token]='SECRET' [-f]='=table json' [--format]='=table json')
            operands=('NAME')
            ;;
        'network show')
            options=(-h --help --endpoint --token -f --format)
            values=([--endpoint]='ENDPOINT' [--token]='SECRET' [-f]='=table json' [--format]='=table json')
            operands=('NET')
            ;;
        'network rename')
            options=(-h --help --wait --timeout --endpoint --token -f --format)
            values=([--timeout]='SECONDS' [--endpoint]='ENDPOINT' [--token]='SECRET' [-f]='=table json' [--format]='=table json')
            operands=('NET' 'NAME')
            ;;
        'network set')
            options=(-h --help --wait --timeout --endpoint --token -f --format)
            values=([--timeout]='SECONDS' [--endpoint]='ENDPOINT' [--token]='SECRET' [-f]='=table json' [--format]='=table json')
            operands=('NET' 'KEY=VALUE')
            ;;
        'network delete')
            options=(-h --help --wait --timeout --cascade --endpoint --token -f --format)
            values=([--timeout]='SECONDS' [--endpoint]='ENDPOINT' [--token]='SECRET' [-f]='=table json' [--format]='=table json')
            operands=('NET')
            ;;
        'port')
            children=(list create show delete)
            options=(-h --help --endpoint --token -f --format)
            values=([--endpoint]='ENDPOINT' [--token]='SECRET' [-f]='=table json' [--format]='=table json')
            ;;
        'port list')
            options=(-h --help --status --attachment --endpoint --token -f --format)
            values=([--status]='=InProgress Active Failed Deleting' [--attachment]='ATTACHMENT' [--endpoint]='ENDPOINT' [--token]='SECRET' [-f]='=table json' [--format]='=table json')
            operands=('NET')
            ;;
        'port create')
            options=(-h --help --wait --timeout --id --option --endpoint --token -f --format)
            values=([--timeout]='SECONDS' [--id]='UUID' [--option]='KEY=VALUE' [--endpoint]='ENDPOINT' [--token]='SECRET' [-f]='=table json' [--format]='=table json')
            operands=('NET')
            ;;
        'port show')
            options=(-h --help --endpoint --token -f --format)
            values=([--endpoint]='ENDPOINT' [--token]='SECRET' [-f]='=table json' [--format]='=table json')
            operands=('NET' 'PORT')
            ;;
        'port delete')
            options=(-h --help --wait --timeout --endpoint --token -f --format)
            values=([--timeout]='SECONDS' [--endpoint]='ENDPOINT' [--token]='SECRET' [-f]='=table json' [--format]='=table json')
            operands=('NET' 'PORT')
            ;;
        'attachment')
            children=(list show plug unplug)
            options=(-h --help --endpoint --token -f --format)
            values=([--endpoint]='ENDPOINT' [--token]='SECRET' [-f]='=table json' [--format]='=table json')
            ;;
        'attachment list')
            options=(-h --help --id --type --status --endpoint --token -f --format)
            values=([--id]='ATTACHMENT' [--type]='TYPE' [--status]='=InProgress Attached/DOWN Attached/UP Failed Detaching' [--endpoint]='ENDPOINT' [--token]='SECRET' [-f]='=table json' [--format]='=table json')
            operands=('NET')
            ;;
        'attachment show')
            options=(-h --help --endpoint --token -f --format)
            values=([--endpoint]='ENDPOINT' [--token]='SECRET' [-f]='=table json' [--format]='=table json')
            operands=('NET' 'PORT')
            ;;
        'attachment plug')
            options=(-h --help --wait --timeout --device --tap --veth --uplink --vxlan --body --name --mac --owner-uid --owner-gid --multi-queue --vxlan-local --vxlan-port --reference --force --endpoint --token -f --format)
            values=([--timeout]='SECONDS' [--device]='DEVICE' [--veth]='NETNS:IFNAME' [--uplink]='DEVICE[:VLAN]' [--vxlan]='REMOTE:VNI' [--body]='JSON' [--name]='NAME' [--mac]='MAC' [--owner-uid]='UID' [--owner-gid]='GID' [--vxlan-local]='IP' [--vxlan-port]='UDP-PORT' [--reference]='TEXT' [--endpoint]='ENDPOINT' [--token]='SECRET' [-f]='=table json' [--format]='=table json')
            operands=('NET' 'PORT' 'ID')
            ;;
        'attachment unplug')
            options=(-h --help --wait --timeout --endpoint --token -f --format)
            values=([--timeout]='SECONDS' [--endpoint]='ENDPOINT' [--token]='SECRET' [-f]='=table json' [--format]='=table json')
            operands=('NET' 'PORT')
            ;;
        'token')
            children=(create list revoke)
            options=(-h --help --endpoint --token -f --format)
            values=([--endpoint]='ENDPOINT' [--token]='SECRET' [-f]='=table json' [--format]='=table json')
            ;;
        'token create')
            options=(-h --help --wait --timeout --tenant --role --endpoint --token -f --format)
            values=([--timeout]='SECONDS' [--tenant]='TENANT' [--role]='=admin member reader' [--endpoint]='ENDPOINT' [--token]='SECRET' [-f]='=table json' [--format]='=table json')
            ;;
        'token list')
            options=(-h --help --endpoint --token -f --format)
            values=([--endpoint]='ENDPOINT' [--token]='SECRET' [-f]='=table json' [--format]='=table json')
            ;;
        'token revoke')
            options=(-h --help --wait --timeout --endpoint --token -f --format)
            values=([--timeout]='SECONDS' [--endpoint]='ENDPOINT' [--token]='SECRET' [-f]='=table json' [--format]='=table json')
            operands=('TOKEN')
            ;;
        'status')
            options=(-h --help --endpoint --token -f --format)
            values=([--endpoint]='ENDPOINT' [--token]='SECRET' [-f]='=table json' [--format]='=table json')
            ;;
        'backup')
            options=(-h --help --endpoint --token -f --format)
            values=([--endpoint]='ENDPOINT' [--token]='SECRET' [-f]='=table json' [--format]='=table json')
            operands=('FILE')
            ;;
        'events')
            options=(-h --help --after --endpoint --token -f --format)
            values=([--after]='SEQ' [--endpoint]='ENDPOINT' [--token]='SECRET' [-f]='=table json' [--format]='=table json')
            ;;
        'extensions')
            options=(-h --help --endpoint --token -f --format)
            values=([--endpoint]='ENDPOINT' [--token]='SECRET' [-f]='=table json' [--format]='=table json')
            ;;
        'completion')
            options=(-h --help --endpoint --token -f --format)
            values=([--endpoint]='ENDPOINT' [--token]='SECRET' [-f]='=table json' [--format]='=table json')
            operands=('=bash zsh names')
            ;;
    esac
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
