# shellcheck shell=bash
# Assertions: one line each, evidence below a failed one, a count at the end.

passed=0
failed=0
subject=

# attempt COMMAND...: sets output and status. In a condition, `set -e` would be off in all that the command calls.
attempt() {
    set +e
    output=$(
        set -e
        "$@" 2>&1
    )
    status=$?
    set -e
}

# quietly COMMAND...: says something only if it fails, which ends the run.
quietly() {
    local output status
    attempt "$@"
    if [ "$status" -ne 0 ]; then
        echo "$output" >&2
        exit 1
    fi
}

# expect TEXT ROLE COMMAND...: ROLE is the container whose log explains a failure, or - for none; `log_of ROLE` shows it.
expect() {
    local text=$1 role=$2 output status
    shift 2
    attempt "$@"
    if [ "$status" -eq 0 ]; then
        passed=$((passed + 1))
        echo "ok   $subject: $text"
    else
        failed=$((failed + 1))
        echo "FAIL $subject: $text"
        tail -n 20 <<<"$output" | sed 's/^/     | /'
        if [ "$role" != - ]; then
            echo "     log of $role:"
            log_of "$role" 2>&1 | tail -n 20 | cut -c 1-400 | sed 's/^/     | /' || true
        fi
    fi
}

# eventually SECONDS COMMAND...: tries until it succeeds; says what the last try said.
eventually() {
    local deadline=$((SECONDS + $1)) output status
    shift
    attempt "$@"
    while [ "$status" -ne 0 ]; do
        if [ "$SECONDS" -ge "$deadline" ]; then
            echo "$output"
            return 1
        fi
        sleep 0.2
        attempt "$@"
    done
}

# exits CODE COMMAND...
exits() {
    local wanted=$1 code=0
    shift
    "$@" || code=$?
    echo "exit code $code"
    [ "$code" -eq "$wanted" ]
}

conclude() {
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ]
}
