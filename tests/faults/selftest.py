"""Proves that check.py can fail: makes a table and logs that agree, spoils each, expects it found."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

CHECK = Path(__file__).with_name("check.py")
WHY = "because it is not there yet"

RUNNING = "     Running tests/{0}.rs (/target/debug/deps/{0}-0123456789abcdef)\n"


def whole() -> dict[str, str]:
    """Files that agree: F1 is shown in every way there is, F2 by real processes, the rest by reasons."""
    table = """
[F1]
kinds = "SR"
what = "one"
shown_by = ["machine::a::first", "2 links::both"]

[F2]
kinds = "R"
what = "two"
except = "what nobody can look at"
"""
    for number in range(3, 74):
        table += f'\n[F{number}]\nkinds = "SR"\nwhat = "more"\nnot_simulated = "{WHY}"\nnot_real = "{WHY}"\n'
    return {
        "table": table,
        "tests": RUNNING.format("machine")
        + "test a::first ... ok\ntest a::f1_p7_tagged ... ok\n"
        + RUNNING.format("links")
        + "test both ... ok\ntest f2_tagged     ... ok\n"
        + RUNNING.format("links")
        + "test both ... ok\n",
        "lives": "     fault  strikes  lives\nF1   Missing   12   3\nI6   Stale   4   1\nno violation\n",
        "faults": "| F1 | `Missing` | link | it is not there | nothing |\n"
        "| I6 | `Stale` | link | it is over | nothing |\n",
    }


# What is spoilt, in which file, and what must be said of it.
SPOILT = {
    "a row is missing": ("table", r"\[F40\][^\[]*", "", "F40 is missing"),
    "a row too many": ("table", r"\[F40\]", '[F99]\nkinds = "S"\nwhat = "x"\n\n[F40]', "F99 is no number"),
    "a row says nothing": ("table", 'what = "one"\n', "", "F1: what must come of it"),
    "neither test nor reason": ("table", f'not_real = "{WHY}"\n', "", "F3: there is neither evidence nor not_real"),
    "a reason that is none": ("table", f'not_real = "{WHY}"', 'not_real = "later"', "F3: not_real is no reason"),
    "a reason beside evidence": ("table", "except", "not_real", "F2: there is evidence, so not_real"),
    "a reason nobody asks for": ("table", "except", "not_simulated", "F2: not_simulated is not asked for"),
    "a key nobody knows": ("table", "except", "exept", "F2: there is no key exept"),
    "a name that is none": ("table", "machine::a::first", "a first", "F1: 'a first' is no name"),
    "a test that stands twice": ("table", '"2 links', '"machine::a::first", "2 links', "F1: a test stands twice"),
    "a test that was renamed": ("tests", "a::first", "a::last", "F1: machine::a::first: did not run"),
    "a test that moved": ("tests", "tests/machine.rs [^\n]*", "Doc-tests x", "F1: machine::a::first: did not run"),
    "a test that fails": ("tests", "first ... ok", "first ... FAILED", "F1: machine::a::first: failed"),
    "a test that is left out": ("tests", "first ... ok", "first ... ignored", "F1: machine::a::first: ignored"),
    "a test with the number that fails": ("tests", "tagged ... ok", "tagged ... FAILED", "F1: machine::a::f1_p7_tagged: failed"),
    "a test with the number that is gone": ("tests", "f2_tagged", "tagged", "F2: there is neither evidence nor not_real"),
    "a test that ran on one runtime": ("tests", r"test both ... ok\n\Z", "", "F1: links::both: ran 1 of 2 times"),
    "a test that fails on one runtime": ("tests", r"both ... ok\n\Z", "both ... FAILED\n", "F1: links::both: failed"),
    "tests that did not run": ("tests", r"(?s)\A.*\Z", "", "F1: links::both: did not run"),
    "a fault that never struck": ("lives", "12   3", "0   0", "F1: sim::Missing: never struck"),
    "a fault nobody counted": ("lives", "Missing", "Other", "F1: sim::Missing: never struck"),
    "an invariant that was not tried": ("lives", "4   1", "0   0", "I6: sim::Stale: never struck"),
    "a broken promise": ("lives", "no violation", "VIOLATION", "F1: sim::Missing: 12 strikes in 3 lives; not all"),
    "lives that were not lived": ("lives", r"(?s)\A.*\Z", "", "F1: sim::Missing: did not run"),
    "a simulator without faults": ("faults", r"(?s)\A.*\Z", "", "the simulator names no faults"),
}


def check(files: dict[str, str]) -> tuple[int, str, str]:
    with tempfile.TemporaryDirectory() as directory:
        paths = [Path(directory) / name for name in ("table", "tests", "lives", "faults", "out")]
        for path in paths[:-1]:
            path.write_text(files[path.name], encoding="utf-8")
        ran = subprocess.run([sys.executable, CHECK, *paths], capture_output=True, text=True, check=False)
        if ran.returncode not in (0, 1):
            sys.exit(f"check.py failed:\n{ran.stdout}{ran.stderr}")
        return ran.returncode, ran.stdout, paths[-1].read_text(encoding="utf-8")


def main() -> int:
    failures = []
    code, said, table = check(whole())
    if code != 0 or "error" in said or "2 of 73 faults are shown, by 4 tests and 2 faults" not in said:
        failures.append(f"what agrees is refused:\n{said}")
    for expected in ["| F1 | one | `sim::Missing`<br>`machine::a::first`", "<br>passed 2 times<br>", "| I6 |",
                     "12 strikes in 3 lives", "*all but* | passed<br>what nobody can look at", WHY]:
        if expected not in table:
            failures.append(f"{expected!r} is not in the table:\n{table[:800]}")
    for what, (name, pattern, replacement, expected) in SPOILT.items():
        files = whole()
        files[name], count = re.subn(pattern, replacement, files[name], count=1)
        code, said, _ = check(files)
        if count != 1:
            failures.append(f"{what}: nothing was spoilt")
        elif code != 1 or f"error: {expected}" not in said:
            failures.append(f"{what}: not found; it says:\n{said}")
    for failure in failures:
        print(f"selftest.py: {failure}")
    print(f"selftest.py: {len(SPOILT) + 1 - len(failures)} passed, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
