"""Checks that the core is pure: no runtime among its dependencies, no world in its sources.

usage: check.py ROOT

ROOT is the root of the workspace. Test code may do as it likes. Exit code 1, and a line for each
finding, where the core is not pure.
"""

import re
import subprocess
import sys
from pathlib import Path

PACKAGE = "mcp-fleet-core"

# Crates that bring a runtime, a clock, threads, input and output, or randomness.
CRATES = re.compile(
    r"""^( tokio | tokio-.* | smol | smol-.* | futures | futures-.* | async-.* | mio | polling
        | rustix | libc | nix | socket2 | signal-hook.* | hyper | hyper-.* | reqwest | ureq
        | rand | rand_.* | getrandom | fastrand | uuid | chrono | time | web-time | jiff
        | rayon | crossbeam | crossbeam-.* | parking_lot | parking_lot_.* | num_cpus | dirs
        | tracing-subscriber | env_logger )$""",
    re.VERBOSE,
)

# Paths of the standard library that reach out of the machine, or share state.
PATHS = (
    "std::time::Instant",
    "std::time::SystemTime",
    "std::thread",
    "std::fs",
    "std::net",
    "std::process",
    "std::env",
    "std::os",
    "std::io::stdin",
    "std::io::stdout",
    "std::io::stderr",
    "std::sync::mpsc",
    "std::sync::Mutex",
    "std::sync::RwLock",
    "std::sync::Condvar",
    "std::sync::Barrier",
    "std::hash::RandomState",
    "std::collections::hash_map::RandomState",
    "core::future",
    "std::future",
    "std::task",
    "core::task",
)

# Comments, strings and characters, in the order in which the first match wins.
NOT_CODE = re.compile(
    r"""//[^\n]* | /\*.*?\*/ | r(?P<hashes>\#*)".*?"(?P=hashes) | "(?:\\.|[^"\\])*"
        | '(?:\\.[^']*|[^'\\])'""",
    re.VERBOSE | re.DOTALL,
)
TEST_ITEM = re.compile(r"#\[cfg\(test\)\]\s*(?:#\[[^\]]*\]\s*)*")
TOKEN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|::|[^\s\w]")


def dependencies(root: Path) -> list[str]:
    """Forbidden crates that the core depends on, in any configuration."""
    command = ["cargo", "tree", "--quiet", "--package", PACKAGE, "--edges", "normal,build"]
    command += ["--target", "all", "--all-features", "--prefix", "none", "--format", "{p}"]
    tree = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if tree.returncode != 0:
        sys.exit(f"cargo tree failed:\n{tree.stderr}")
    names = sorted({line.split()[0] for line in tree.stdout.splitlines() if line.strip()})
    if PACKAGE not in names:
        sys.exit(f"cargo tree does not know {PACKAGE}")
    return [f"{PACKAGE} depends on {name}" for name in names if CRATES.match(name)]


def sources(root: Path) -> list[str]:
    """Forbidden paths that code of the core names, outside of tests."""
    files = sorted((root / "core" / "src").rglob("*.rs"))
    if not files:
        sys.exit("the core has no sources")
    tests = {path for file in files for path in test_files(file)}
    found = []
    for file in files:
        if any(file == path or path in file.parents for path in tests):
            continue
        for line, path in paths(file.read_text(encoding="utf-8")):
            if any(path == bad or path.startswith(f"{bad}::") for bad in PATHS):
                found.append(f"{file.relative_to(root)}:{line}: {path}")
    return found


def blank(text: str) -> str:
    """The text with spaces in place of all but line breaks."""
    return re.sub(r"[^\n]", " ", text)


def code(text: str) -> str:
    """The source without comments, strings and items of tests; lines keep their numbers."""
    text = NOT_CODE.sub(lambda match: blank(match[0]), text)
    while (match := TEST_ITEM.search(text)) is not None:
        end = item_end(text, match.end())
        text = text[: match.start()] + blank(text[match.start() : end]) + text[end:]
    return text


def item_end(text: str, start: int) -> int:
    """Where the item ends that begins at `start`: at its semicolon or its closing brace."""
    depth = 0
    for position in range(start, len(text)):
        character = text[position]
        if character == "{":
            depth += 1
        elif character == "}":
            depth -= 1
            if depth == 0:
                return position + 1
        elif character == ";" and depth == 0:
            return position + 1
    return len(text)


def test_files(file: Path) -> list[Path]:
    """The modules in files of their own that `file` declares for tests only."""
    text = NOT_CODE.sub(lambda match: blank(match[0]), file.read_text(encoding="utf-8"))
    directory = file.parent if file.stem in ("mod", "lib", "main") else file.with_suffix("")
    pattern = TEST_ITEM.pattern + r"(?:pub(?:\([a-z]+\))?\s+)?mod\s+(\w+)\s*;"
    names = re.findall(pattern, text)
    return [path for name in names for path in (directory / f"{name}.rs", directory / name)]


def paths(text: str) -> list[tuple[int, str]]:
    """All paths in the code, with the trees of `use` spelled out, and their lines."""
    text = code(text)
    found: list[tuple[int, str]] = []
    prefix: list[str] = []
    outer: list[list[str]] = []
    separated = False
    for match in TOKEN.finditer(text):
        token = match[0]
        line = text.count("\n", 0, match.start()) + 1
        if token == "::":
            separated = True
            continue
        if token == "{":
            outer.append(list(prefix) if separated else [])
            prefix = list(outer[-1])
        elif token == "}":
            if outer:
                outer.pop()
            prefix = list(outer[-1]) if outer else []
        elif token[0].isalpha() or token[0] == "_":
            base = outer[-1] if outer else []
            prefix = [*(prefix if separated else base), token]
            found.append((line, "::".join(prefix)))
        else:
            prefix = list(outer[-1]) if outer else []
        separated = False
    return found


def main() -> int:
    root = Path(sys.argv[1]).resolve()
    found = dependencies(root) + sources(root)
    for finding in found:
        print(finding)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
