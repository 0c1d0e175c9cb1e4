#!/usr/bin/env bash
# Creates the environment from requirements.lock; called by make. An interrupted set-up can be started again.
set -euo pipefail
python=${PYTHON:-python3}
venv=${VENV:-.venv}

fail() {
    printf 'Error: %s\n' "$@" >&2
    exit 2
}

command -v "$python" >/dev/null || fail \
    "expected Python 3.11 or newer as '$python', found no such command." \
    "Install it (Debian: apt install python3 python3-venv), or name another: make ${1:-book} PYTHON=python3.12"
found=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail \
    "expected Python 3.11 or newer, found $found ($(command -v "$python"))." \
    "Install a newer one, or name it: make book PYTHON=python3.12"
"$python" -c 'import venv, ensurepip' 2>/dev/null || fail \
    "expected Python's venv module, found none for $(command -v "$python")." \
    "Install it (Debian: apt install python3-venv)."

# A venv that was moved or half made has no working Python; a venv of another Python version cannot be mended either.
if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -c 'import pip' 2>/dev/null; then
    echo "Environment: creating $venv with Python $found"
    "$python" -m venv --clear "$venv"
fi

# pip's output goes to a log; what people see is one line for every twenty packages.
install() {
    local log="$venv/pip.log"
    # shellcheck disable=SC2086 # PIP_ARGS holds several arguments
    "$venv/bin/python" -m pip install --progress-bar off --no-input ${PIP_ARGS:-} "$@" 2>&1 | tee "$log" | awk '
        /^Collecting nvidia-/ && !cuda {
            cuda = 1
            print "  Note: pip chose the CUDA build of torch, gigabytes that a machine without a GPU does not need. To avoid"
            print "  them, stop and run: make setup PIP_ARGS=\"--extra-index-url https://download.pytorch.org/whl/cpu\""
            fflush()
        }
        /^Collecting / { n++; if (n % 20 == 0) { print "  " n " packages found"; fflush() } }
        /^Installing collected/ { if (n > 1) { print "  unpacking " n " packages"; fflush() } }' || {
        grep -vE '(Location .* is ignored|already satisfied)' "$log" | tail -n 20 >&2
        fail "expected pip to install the packages of requirements.lock, found the error above." \
            "Check the network and the free space, then run the same command again. All of pip's words: $log"
    }
}

start=$SECONDS
echo "Environment: installing torch"
install --constraint requirements.lock "$(grep -E '^torch==' requirements.lock)"
echo "Environment: installing $(grep -c == requirements.lock) pinned packages (a few minutes)"
install --requirement requirements.lock
echo "Environment: installing the project"
install --no-deps --no-build-isolation --editable .
"$venv/bin/python" -m pip check >"$venv/pip.log" 2>&1 || fail "$(cat "$venv/pip.log")"
echo "Environment: ready in $venv after $((SECONDS - start)) s"
