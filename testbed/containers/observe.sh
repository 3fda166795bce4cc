# shellcheck shell=bash
# What a step of the story looks at, whatever runs the containers.

# runs_again ROLE PID: another process than this one runs.
runs_again() {
    local pid
    pid=$(pid_of "$1")
    [ "$pid" -gt 0 ] && [ "$pid" -ne "$2" ] && [ -d "/proc/$pid" ]
}

# answers CODE URL
answers() {
    local code
    code=$(curl --silent --max-time 10 --output /dev/null --write-out '%{http_code}' "http://$2")
    echo "$2 answers $code"
    [ "$code" = "$1" ]
}

# says PATTERN URL: answered 200, and a line matches.
says() {
    local body
    body=$(curl --silent --show-error --fail --max-time 10 "http://$2") || return
    echo "$body"
    grep -Eq "$1" <<<"$body"
}

# serves FILE URL
serves() {
    curl --silent --show-error --fail --max-time 10 "http://$2" | cmp - "$1"
}

lints() {
    curl --silent --show-error --fail --max-time 10 "http://$1" | promtool check metrics
}

at_least() {
    [ "$(wc -l <"$2")" -ge "$1" ]
}

# all_lines TEXT COUNT FILE: so many lines, and each is this.
all_lines() {
    local tally
    tally=$(sort "$3" | uniq --count | awk '{print $2 " x " $1}')
    echo "$tally"
    [ "$tally" = "$1 x $2" ]
}

share_work() {
    local tally
    tally=$(grep -a '^hello from' "$1" | sort | uniq --count)
    echo "$tally"
    [ "$(wc -l <<<"$tally")" -eq 3 ]
}

# The lines of all documents in the store, as `written` gives those of the files.
stored() {
    curl --silent --show-error --fail --max-time 10 "http://$store/app/_docs" |
        jq --raw-output '._source | .log.file.path + "\t" + .message'
}

# nothing_lost_or_doubled PATTERN: of the lines that match, `<` marks what the store lacks, `>` what it has too often.
nothing_lost_or_doubled() {
    stored | grep -E "$1" | sort >"$work/stored"
    written | grep -E "$1" | sort >"$work/written"
    diff "$work/written" "$work/stored"
}

nothing_doubled() {
    stored | sort >"$work/stored"
    written | sort >"$work/written"
    [ -z "$(comm -13 "$work/written" "$work/stored" | tee /dev/stderr)" ]
}

# stored_lines COUNT TEXT: so many different messages hold the text.
stored_lines() {
    local count
    count=$(stored | grep --fixed-strings "$2" | sort --unique | wc -l)
    echo "$count"
    [ "$count" -eq "$1" ]
}
