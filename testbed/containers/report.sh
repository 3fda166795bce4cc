# Assertions: one line each, evidence below a failed one, a count at the end.

passed=0
failed=0
subject=

# expect TEXT ROLE COMMAND...: ROLE is the container whose log explains a failure, or - for none.
expect() {
    local text=$1 role=$2 output
    shift 2
    if output=$("$@" 2>&1); then
        passed=$((passed + 1))
        echo "ok   $subject: $text"
    else
        failed=$((failed + 1))
        echo "FAIL $subject: $text"
        tail -n 20 <<<"$output" | sed 's/^/     | /'
        if [ "$role" != - ]; then
            echo "     log of $role:"
            "$engine" logs --tail 20 "$(container "$role")" 2>&1 | cut -c 1-400 | sed 's/^/     | /'
        fi
    fi
}

# eventually SECONDS COMMAND...: tries until it succeeds; says what the last try said.
eventually() {
    local deadline=$((SECONDS + $1)) output
    shift
    until output=$("$@" 2>&1); do
        if [ "$SECONDS" -ge "$deadline" ]; then
            echo "$output"
            return 1
        fi
        sleep 0.2
    done
}

conclude() {
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ]
}
