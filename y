#!/bin/sh
# The list of commands of this repository; `./x help` shows it. POSIX sh, and nothing to install first but Rust.
set -eu
CDPATH='' cd -- "$(dirname -- "$0")"

# A release draws its randomness from the system and from jitter of the processor. The second costs each new process 20 ms, and
# tests start thousands: what is built here, but for benchmarks, goes without. (AWS-LC, `DISABLE_CPU_JITTER_ENTROPY`.)
AWS_LC_SYS_NO_JITTER_ENTROPY=1
export AWS_LC_SYS_NO_JITTER_ENTROPY

usage() {
    cat <<'TEXT'
usage: ./x <command>

  demo    rotate passwords of a real, throwaway PostgreSQL server and of a double of SQL Server, and an API key of the
          example service, with a crash in the middle
  test    all tests, the crash tests against a real PostgreSQL server included
  check   formatting, lints and documentation, with warnings as errors
  bench   measure (release build): rotations on `postgres` or `sqlserver`, the border to `plugins`, or all of them
  help    this list

`demo`, `test` and `bench` need the server programs of PostgreSQL (`initdb`, `postgres`), `demo` also `curl`. Where they are
absent, a Debian or Ubuntu system gets them with apt-get; other systems are told what to install. Servers run in temporary
folders, on loopback, and are gone afterwards.
TEXT
}

say() {
    printf 'x: %s\n' "$*" >&2
}

fail() {
    say "$*"
    exit 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "this needs root, and there is no sudo: $*"
    fi
}

apt_update() {
    # Once is enough, and a mirror that is down need not matter: the lists may be fresh.
    [ -n "${apt_updated:-}" ] || as_root apt-get -qq update || say "apt-get update failed; going on with the lists as they are"
    apt_updated=yes
}

apt_install() {
    say "installing $*"
    apt_update
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@" >/dev/null ||
        fail "apt-get could not install $*; nothing was built"
}

is_installed() {
    dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'ok installed'
}

need_cargo() {
    if ! command -v cargo >/dev/null && [ -x "$HOME/.cargo/bin/cargo" ]; then
        PATH="$HOME/.cargo/bin:$PATH"
        export PATH
    fi
    command -v cargo >/dev/null || fail "cargo is not on PATH: install Rust with rustup, see https://rustup.rs"
    # The encryption library and SQLite are compiled from C.
    command -v cc >/dev/null && return
    command -v apt-get >/dev/null || fail "there is no C compiler (\`cc\`): install gcc or clang with your package manager"
    apt_install gcc libc6-dev
}

need_component() {
    cargo "$1" --version >/dev/null 2>&1 && return
    command -v rustup >/dev/null || fail "\`cargo $1\` is absent: install $2"
    rustup component add "$2"
}

has_server() {
    [ -x "$1/initdb" ] && [ -x "$1/postgres" ]
}

# Prints the folder with the server programs.
find_postgres() {
    if command -v pg_config >/dev/null; then
        candidate=$(pg_config --bindir 2>/dev/null) || candidate=
        if has_server "$candidate"; then
            printf '%s\n' "$candidate"
            return 0
        fi
    fi
    # Debian and Ubuntu, Fedora and PGDG's RPMs, Homebrew on both kinds of Mac, Postgres.app, built from source.
    for candidate in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /opt/homebrew/opt/postgresql*/bin \
        /usr/local/opt/postgresql*/bin /Applications/Postgres.app/Contents/Versions/latest/bin /usr/local/pgsql/bin; do
        if has_server "$candidate"; then
            printf '%s\n' "$candidate"
            return 0
        fi
    done
    if command -v initdb >/dev/null && command -v postgres >/dev/null; then
        dirname -- "$(command -v postgres)"
        return 0
    fi
    return 1
}

# Debian's package creates a server of its own and starts it. Nobody asked for that, so it is told not to, this once.
apt_install_postgres() {
    settings=/etc/postgresql-common/createcluster.conf
    if is_installed postgresql-common; then
        apt_install postgresql
        return
    fi
    apt_install postgresql-common
    as_root cp -p "$settings" "$settings.before-x"
    printf 'create_main_cluster = false\n' | as_root tee -a "$settings" >/dev/null
    # A subshell, so that a failure still puts the settings back.
    (apt_install postgresql) && installed=yes || installed=
    as_root mv "$settings.before-x" "$settings"
    [ -n "$installed" ] || exit 1
}

need_postgres() {
    if ! server=$(find_postgres); then
        if ! command -v apt-get >/dev/null; then
            say "the server programs of PostgreSQL (initdb, postgres) are not installed"
            say "Fedora: sudo dnf install postgresql-server    Arch: sudo pacman -S postgresql    macOS: brew install postgresql@17"
            fail "then run \`./x $command\` again; if they are installed, put their folder on PATH"
        fi
        apt_install_postgres
        server=$(find_postgres) || fail "PostgreSQL was installed, but initdb and postgres are not where they should be"
    fi
    # Tests look along PATH too, so what was found here is found there.
    PATH="$PATH:$server"
    export PATH
}

# Clients that others wrote, for the double of SQL Server and for API keys. Tests that find none say what they did not run; where nobody
# watches, as in a check before a merge, they must be there.
need_clients() {
    command -v tsql >/dev/null && command -v curl >/dev/null && command -v jq >/dev/null && "${KEYWHEEL_TEST_PYTHON:-python3}" -c 'import pymssql' 2>/dev/null && return
    if command -v apt-get >/dev/null; then
        apt_install freetds-bin python3-pymssql curl jq
        # The distribution's module is the distribution's Python's.
        KEYWHEEL_TEST_PYTHON=${KEYWHEEL_TEST_PYTHON:-/usr/bin/python3}
        KEYWHEEL_TEST_CLIENTS='tsql pymssql'
        export KEYWHEEL_TEST_PYTHON KEYWHEEL_TEST_CLIENTS
    else
        [ -z "${CI:-}" ] || fail "the tests need \`tsql\` of FreeTDS, curl, jq, and Python with pymssql"
        say "without \`tsql\` of FreeTDS and Python's pymssql some tests are not run; they will say so"
    fi
}

# An application of the demonstration.
need_curl() {
    command -v curl >/dev/null && return
    command -v apt-get >/dev/null || fail "curl is not installed: install it with your package manager"
    apt_install curl
}

demo() {
    need_cargo
    need_postgres
    need_curl
    cargo build --features failpoints
    cargo run --quiet --features failpoints --example demo -- "$@"
}

check() {
    need_cargo
    need_component fmt rustfmt
    need_component clippy clippy
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    cargo clippy --workspace --all-targets --features failpoints -- -D warnings
    RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps
    sh -n x
    bash -n .ci/run
    ! command -v shellcheck >/dev/null || shellcheck x .ci/run
    say "formatting, lints and documentation are fine"
}

# All that tests create goes to one folder, so that leftovers are seen, and go.
test_all() {
    need_cargo
    need_postgres
    need_clients
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    # A server started by root runs as another user, who must be able to get there.
    chmod 711 "$scratch"
    mkdir "$scratch/tmp"
    chmod 1777 "$scratch/tmp"
    # Most tests wait most of the time: for pauses, for servers, for processes to start.
    RUST_TEST_THREADS=${RUST_TEST_THREADS:-$((3 * $(getconf _NPROCESSORS_ONLN)))}
    export RUST_TEST_THREADS
    started=$(date +%s)
    # A pipe hides the status of its left side, so that goes through a file.
    {
        TMPDIR="$scratch/tmp" cargo test --workspace --features failpoints --no-fail-fast "$@" && status=0 || status=$?
        echo "$status" >"$scratch/status"
    } 2>&1 | tee "$scratch/log"
    status=$(cat "$scratch/status")
    seconds=$(($(date +%s) - started))

    # A server whose process has just ended is still being removed.
    patience=15
    while [ "$patience" -gt 0 ] && [ -n "$(ls -A "$scratch/tmp")" ]; do
        sleep 1
        patience=$((patience - 1))
    done
    leftovers=$(ls -A "$scratch/tmp")

    printf '\n'
    awk -v seconds="$seconds" '
        /^test result: / { binaries++; passed += $4; failed += $6; ignored += $8 }
        / \.\.\. FAILED$/ { print "failed: " $2 }
        END {
            printf "%d passed, %d failed, %d ignored in %d test programs; %d min %d s, compiling included\n",
                passed, failed, ignored, binaries, seconds / 60, seconds % 60
        }' "$scratch/log"
    if [ -n "$leftovers" ]; then
        say "tests left files behind (now removed):"
        printf '%s\n' "$leftovers" >&2
        exit 1
    fi
    exit "$status"
}

bench() {
    need_cargo
    need_postgres
    unset AWS_LC_SYS_NO_JITTER_ENTROPY
    case ${1:-all} in
        plugins) cargo bench --bench plugins ;;
        all)
            cargo bench --bench rotations
            cargo bench --bench plugins
            ;;
        *) cargo bench --bench rotations -- "$@" ;;
    esac
}

command=${1:-help}
[ "$#" -eq 0 ] || shift
case $command in
    demo) demo "$@" ;;
    test) test_all "$@" ;;
    check) check ;;
    bench) bench "$@" ;;
    help | -h | --help) usage ;;
    *)
        usage >&2
        say "there is no command \`$command\`"
        exit 2
        ;;
esac
