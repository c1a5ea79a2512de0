"""Proves that check.py can fail: plants violations in a copy of the core, and expects each found."""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CHECK = Path(__file__).with_name("check.py")

# Source text to plant, and whether it is a violation.
SOURCES = {
    "use std::time::Instant;": True,
    "use std::{collections::BTreeMap, time::{Duration, Instant}};": True,
    "use std::{\n    fmt,\n    thread,\n};": True,
    "fn f() { std::thread::spawn(|| ()); }": True,
    "fn f() { drop(::std::fs::read(\"a\")); }": True,
    "use std::net::TcpStream as Stream;": True,
    "use std::env::{self, VarError};": True,
    "fn f() -> u32 { std::process::id() }": True,
    "#[cfg(test)]\nmod t {}\nuse std::fs;": True,
    "use std::time::Duration;": False,
    "/// Not `std::time::Instant`.\nfn f() -> &'static str { \"std::fs\" } // std::net": False,
    "#[cfg(test)]\nmod t {\n    use std::thread;\n    fn f() { if true { std::env::args(); } }\n}": False,
    "const C: char = '\"'; const L: &'static str = env!(\"CARGO_PKG_NAME\");": False,
    "mod thread {} mod fs {} use self::{fs as f, thread as t};": False,
}


def copy(directory: Path, name: str) -> Path:
    """A workspace of the core alone, and of a crate called `name`."""
    shutil.copytree(ROOT / "core", directory / "core")
    shutil.copy(ROOT / "Cargo.lock", directory)
    manifest = (ROOT / "Cargo.toml").read_text(encoding="utf-8")
    members = 'members = ["core", "planted"]'
    manifest = re.sub(r"^members = \[.*?\]", members, manifest, flags=re.M | re.S)
    manifest = re.sub(r"^default-members = \[.*?\]\n", "", manifest, flags=re.M | re.S)
    (directory / "Cargo.toml").write_text(manifest, encoding="utf-8")
    (directory / "planted" / "src").mkdir(parents=True)
    (directory / "planted" / "src" / "lib.rs").write_text("", encoding="utf-8")
    package = f'[package]\nname = "{name}"\nversion = "99.0.0"\nedition = "2024"\n'
    (directory / "planted" / "Cargo.toml").write_text(package, encoding="utf-8")
    return directory


def is_pure(root: Path) -> bool:
    """What check.py says; anything but its two answers is an error of this test."""
    check = subprocess.run([sys.executable, CHECK, root], capture_output=True, text=True, check=False)
    if check.returncode not in (0, 1) or (check.returncode == 1 and not check.stdout):
        sys.exit(f"check.py failed:\n{check.stdout}{check.stderr}")
    return check.returncode == 0


def main() -> int:
    passed = 0
    failures = []

    def expect(what: str, root: Path, pure: bool) -> None:
        nonlocal passed
        if is_pure(root) == pure:
            passed += 1
        else:
            failures.append(f"should {'pass' if pure else 'fail'}: {what}")

    with tempfile.TemporaryDirectory() as directory:
        root = copy(Path(directory), "tokio")
        expect("the core as it is", root, True)
        planted = root / "core" / "src" / "planted.rs"
        for text, violation in SOURCES.items():
            planted.write_text(text, encoding="utf-8")
            expect(repr(text), root, not violation)
        planted.unlink()
        manifest = root / "core" / "Cargo.toml"
        text = manifest.read_text(encoding="utf-8")
        for section, pure in (("dependencies", False), ("dev-dependencies", True)):
            line = f'[{section}]\ntokio = {{ path = "../planted" }}'
            manifest.write_text(text.replace(f"[{section}]", line, 1), encoding="utf-8")
            expect(f"tokio among the {section}", root, pure)
    for failure in failures:
        print(failure)
    verdict = "FAILED" if failures else "ok"
    print(f"test result: {verdict}. {passed} passed; {len(failures)} failed;")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
