#!/usr/bin/env bash
# Builds core with one planted bug at a time, and shows that the simulator finds each of them.
#
# usage: tests/sim/planted.sh [BUG]...
#
# Without a BUG all of core/src/planted.rs are planted. Exit code 1 where one is not found.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
exec </dev/null

SEEDS=10000
CARGO_TARGET_DIR=$(mkdir -p "${CARGO_TARGET_DIR:=target}" && cd "$CARGO_TARGET_DIR" && pwd)
export CARGO_TARGET_DIR
export CARGO_PROFILE_DEV_DEBUG=0

bugs=("$@")
if ((${#bugs[@]} == 0)); then
    mapfile -t bugs < <(sed -n 's/.*cfg!(mcp_fleet_planted = "\([a-z_]*\)").*/\1/p' core/src/planted.rs)
fi
((${#bugs[@]} > 0)) || { printf 'planted.sh: no bug is known\n' >&2; exit 2; }

missed=0
for bug in "${bugs[@]}"; do
    # A wrapper of its own for each bug: cargo builds the workspace anew under it, and shares the
    # dependencies.
    place=$CARGO_TARGET_DIR/planted/$bug
    mkdir -p "$place"
    printf '#!/bin/sh\nexec "$@" --cfg '"'"'mcp_fleet_planted="%s"'"'"'\n' "$bug" >"$place/rustc"
    chmod +x "$place/rustc"
    RUSTC_WORKSPACE_WRAPPER=$place/rustc cargo build --quiet --locked -p mcp-fleet-sim
    cp "$CARGO_TARGET_DIR/debug/mcp-fleet-sim" "$place/mcp-fleet-sim"
    if "$place/mcp-fleet-sim" --seeds "$SEEDS" --stop-after 1 >"$place/log" 2>&1; then
        printf '%-22s NOT FOUND in %d seeds\n' "$bug" "$SEEDS"
        missed=$((missed + 1))
    else
        violation=$(grep -m 1 '^VIOLATION' "$place/log" | cut -c 11-100)
        seed=$(sed -n 's/.*--seed \([0-9]*\).*/\1/p' "$place/log" | head -n 1)
        # What was found must be found again by its seed alone, and in less than all of it.
        small=$("$place/mcp-fleet-sim" --seed "$seed" --shrink --journal "$place/journal" || true)
        grep -q '^VIOLATION' <<<"$small" || { printf '%-22s is not found again\n' "$bug"; missed=$((missed + 1)); }
        printf '%-22s found at seed %-6s %s\n' "$bug" "$seed" "$violation"
    fi
done
# What lies in the usual place has no bug planted.
cargo build --quiet --locked -p mcp-fleet-sim
((missed == 0))
