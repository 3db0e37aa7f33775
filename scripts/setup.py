"""Makes .venv from the locked requirements: `setup.py runtime` or `setup.py dev`, standard library only.

Safe to run twice, and at the same time: one run works while the others wait for it and then find nothing to do.
"""

import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LOCKS = {"runtime": ROOT / "requirements" / "runtime.txt", "dev": ROOT / "requirements" / "dev.txt"}
MADE = f"{ROOT}\npython {sys.version_info.major}.{sys.version_info.minor}\n"


def stamp_of(level: str) -> Path:
    """The file that says what was installed at this level; `holdfast` beside the Makefile reads it too."""
    return VENV / f".installed-{level}"


def wanted(level: str) -> str:
    """What the stamp holds once this level is installed: the place first, since a moved .venv is of no use."""
    sources = [LOCKS[level], ROOT / "pyproject.toml"] if level == "runtime" else [LOCKS[level]]
    digest = hashlib.sha256(b"\0".join(source.read_bytes() for source in sources)).hexdigest()
    return f"{MADE}{digest}\n"


def is_installed(level: str) -> bool:
    """Whether .venv holds what this level asks for, made in this place by this Python."""
    stamp = stamp_of(level)
    return PYTHON.exists() and stamp.exists() and stamp.read_text() == wanted(level)


def has_usable_venv() -> bool:
    """Whether .venv was made in this place by this Python, whatever is installed in it."""
    made = VENV / ".made"
    return PYTHON.exists() and made.exists() and made.read_text() == MADE


def run(*command: str | Path) -> None:
    """Run a command, its output on standard error, and stop where it fails."""
    environment = {name: value for name, value in os.environ.items() if name != "PIP_REQUIRE_VIRTUALENV"}
    result = subprocess.run(command, cwd=ROOT, env=environment, stdout=sys.stderr, check=False)
    if result.returncode != 0:
        sys.exit(f"setup failed: {' '.join(map(str, command))}")


def install(level: str) -> None:
    """Bring .venv to this level; the stamp goes first and comes last, so that a broken run is repeated."""
    stamp_of(level).unlink(missing_ok=True)
    print(f"holdfast: installing {LOCKS[level].relative_to(ROOT)} into .venv", file=sys.stderr)
    pip = (PYTHON, "-I", "-m", "pip", "install", "-qq", "--disable-pip-version-check")
    run(*pip, "--require-hashes", "--only-binary", ":all:", "--requirement", LOCKS[level])
    if level == "runtime":
        run(*pip, "--no-deps", "--no-build-isolation", "--editable", ROOT)
        # A command in a shell's prompt must not compile what it imports, whoever may not write beside it.
        run(PYTHON, "-I", "-m", "compileall", "-q", ROOT / "src")
    stamp_of(level).write_text(wanted(level))


def main() -> None:
    levels = {"runtime": ["runtime"], "dev": ["runtime", "dev"]}[sys.argv[1]]
    with (ROOT / ".venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not has_usable_venv():
            run(sys.executable, "-I", "-m", "venv", "--clear", VENV)
            (VENV / ".made").write_text(MADE)
        for level in levels:
            if not is_installed(level):
                install(level)
            stamp_of(level).touch()


if __name__ == "__main__":
    main()
