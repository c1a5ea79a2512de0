"""Looks up, in what ran, who shows that each fault of the list does no harm, and writes it down.

usage: check.py TABLE TESTS LIVES FAULTS OUT

TABLE is table.toml beside this file, which says what is asked. TESTS is the log of `cargo test`,
LIVES that of the simulator, FAULTS what it prints with `--faults`; a log that is missing is one of
nothing. OUT is where the table goes, with the outcome of every test and fault. Exit code 1, and a
line for each finding, where a fault has neither evidence nor a reason, where a test that is named
did not run or did not pass, and where a fault of the simulator did not strike.
"""

import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

NUMBERS = range(1, 74)
KINDS = {"S": "not_simulated", "R": "not_real"}
KEYS = {"kinds", "what", "shown_by", "except", *KINDS.values()}
# Programs whose tests look at the pure machine; all others look at real processes.
SIMULATED = {"mcp_fleet_core", "machine"}
# Shorter reasons are none.
REASON_MIN = 20

RUNNING = re.compile(r"^ +Running .*\(.*/([A-Za-z0-9_-]+)-[0-9a-f]{16}\)$")
DOC_TESTS = re.compile(r"^ +Doc-tests ")
TEST = re.compile(r"^test (\S+) +\.\.\. (ok|FAILED|ignored)\b")
TAGS = re.compile(r"^(?:[a-z][0-9]+_)+")
NAMED = re.compile(r"^(?:([1-9]) )?([a-z_0-9]+::\S+)$")
FAULT = re.compile(r"^\| ([A-Z])([0-9]+) \| `(\w+)` \| \w+ \| (.*) \| (.*) \|$")
STRIKES = re.compile(r"^[A-Z][0-9]+ +(\w+) +([0-9]+) +([0-9]+)$")
NO_VIOLATION = "no violation"


@dataclass
class Evidence:
    """Something that shows a row, and what came of it."""

    name: str
    kind: str
    outcome: str
    holds: bool


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def runs_of(log: str) -> dict[str, list[str]]:
    """The outcomes of each test, one for every time it ran."""
    runs: dict[str, list[str]] = {}
    program = ""
    for line in log.splitlines():
        if running := RUNNING.match(line):
            program = running[1]
        elif DOC_TESTS.match(line):
            program = ""
        elif (test := TEST.match(line)) and program:
            runs.setdefault(f"{program}::{test[1]}", []).append(test[2])
    return runs


def kind_of(name: str) -> str:
    return "S" if name.split("::")[0] in SIMULATED else "R"


def tagged(name: str) -> set[int]:
    """The numbers of faults that the name of a test begins with."""
    tags = TAGS.match(name.rsplit("::", 1)[1])
    return {int(tag[1:]) for tag in tags[0].split("_") if tag.startswith("f")} if tags else set()


def of_test(name: str, times: int, runs: dict[str, list[str]]) -> Evidence:
    outcomes = runs.get(name, [])
    bad = [outcome for outcome in outcomes if outcome != "ok"]
    if not outcomes:
        outcome = "did not run"
    elif bad:
        outcome = bad[0].lower()
    elif len(outcomes) < times:
        outcome = f"ran {len(outcomes)} of {times} times"
    else:
        outcome = "passed" if len(outcomes) == 1 else f"passed {len(outcomes)} times"
    return Evidence(name, kind_of(name), outcome, len(outcomes) >= times and not bad)


def of_simulator(faults: str, lives: str) -> dict[str, list[Evidence]]:
    """The faults of the simulator by number, with how often they struck."""
    kept = NO_VIOLATION in lives.splitlines()
    struck = {found[1]: (int(found[2]), int(found[3])) for line in lives.splitlines() if (found := STRIKES.match(line))}
    all_of: dict[str, list[Evidence]] = {}
    for line in faults.splitlines():
        if not (fault := FAULT.match(line)):
            continue
        strikes, count = struck.get(fault[3], (0, 0))
        outcome = f"{strikes:,} strikes in {count:,} lives" if strikes else "never struck"
        if not lives:
            outcome = "did not run"
        elif not kept:
            outcome += "; not all promises were kept"
        evidence = Evidence(f"sim::{fault[3]}", "S", outcome, kept and strikes > 0)
        all_of.setdefault(fault[1] + fault[2], []).append(evidence)
    return all_of


def row(number: int, entry: dict, runs: dict, simulator: dict) -> tuple[list[Evidence], list[str]]:
    """The evidence for one row, and what is wrong with it."""
    problems = [f"there is no key {key}" for key in entry if key not in KEYS]
    evidence = list(simulator.get(f"F{number}", []))
    names = []
    for text in entry.get("shown_by", []):
        if not (named := NAMED.match(text)):
            problems.append(f"{text!r} is no name of a test")
            continue
        names.append(named[2])
        evidence.append(of_test(named[2], int(named[1] or 1), runs))
    if len(set(names)) < len(names):
        problems.append("a test stands twice")
    found = sorted(name for name in runs if number in tagged(name) and name not in names)
    evidence += [of_test(name, 1, runs) for name in found]
    problems += [f"{one.name}: {one.outcome}" for one in evidence if not one.holds]

    kinds = entry.get("kinds", "")
    if kinds not in ("S", "R", "SR"):
        problems.append("kinds is S, R or SR")
    if not entry.get("what"):
        problems.append("what must come of it is not said")
    for kind, key in KINDS.items():
        reason = entry.get(key)
        shown = any(one.kind == kind for one in evidence)
        if kind not in kinds:
            if reason:
                problems.append(f"{key} is not asked for")
        elif reason and shown:
            problems.append(f"there is evidence, so {key} must be taken out")
        elif not reason and not shown:
            problems.append(f"there is neither evidence nor {key}")
    for key in ("except", *KINDS.values()):
        if key in entry and len(entry[key]) < REASON_MIN:
            problems.append(f"{key} is no reason")
    return evidence, [f"F{number}: {problem}" for problem in problems]


def cells(number: int, entry: dict, evidence: list[Evidence]) -> str:
    where = [f"`{one.name}`" for one in evidence]
    outcome = [one.outcome for one in evidence]
    for key, word in [("not_simulated", "not simulated"), ("not_real", "no real processes"), ("except", "all but")]:
        if key in entry:
            where.append(f"*{word}*")
            outcome.append(entry[key])
    columns = [f"F{number}", entry.get("what", ""), "<br>".join(where), "<br>".join(outcome)]
    return "| " + " | ".join(column.replace("|", "\\|") for column in columns) + " |"


def main() -> int:
    table_path, tests, lives, faults, out = (Path(argument) for argument in sys.argv[1:6])
    table = tomllib.loads(table_path.read_text(encoding="utf-8"))
    runs = runs_of(read(tests))
    simulator = of_simulator(read(faults), read(lives))
    problems = [f"{key} is no number of a fault" for key in table if key not in {f"F{n}" for n in NUMBERS}]
    if not simulator:
        problems.append("the simulator names no faults")
    lines = ["| number | what must come of it | where | outcome |", "|---|---|---|---|"]
    shown, used = 0, set()
    for number in NUMBERS:
        entry = table.get(f"F{number}")
        if entry is None:
            problems.append(f"F{number} is missing")
            continue
        evidence, wrong = row(number, entry, runs, simulator)
        problems += wrong
        shown += bool(evidence)
        used.update(one.name for one in evidence)
        lines.append(cells(number, entry, evidence))
    known = {f"F{number}" for number in NUMBERS}
    for number, others in sorted(simulator.items()):
        if number not in known:
            problems += [f"{number}: {one.name}: {one.outcome}" for one in others if not one.holds]
            used.update(one.name for one in others)
            lines.append(cells(0, {"what": "an invariant of the machine"}, others).replace("F0", number, 1))
    out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    for problem in problems:
        print(f"error: {problem}")
    injected = sum(name.startswith("sim::") for name in used)
    print(f"{shown} of {len(NUMBERS)} faults are shown, by {len(used) - injected} tests and {injected} faults of the "
          f"simulator; {len(NUMBERS) - shown} are listed with a reason")
    print(f"the table is in {out}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
