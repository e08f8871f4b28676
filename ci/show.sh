# What the demos show with: sourced by them, and nothing by itself.
say() { printf '\n== %s\n' "$*"; }
fail() {
    echo "demo: FAILED: $*" >&2
    exit 1
}
# The command must end with this exit code, or the demo fails.
ends_with() {
    local expected=$1 code=0
    shift
    "$@" || code=$?
    [ "$code" -eq "$expected" ] || fail "'$*' ended with $code in place of $expected"
    echo "(exit code $code, as it must be)"
}
