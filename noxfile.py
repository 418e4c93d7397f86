"""The checks of this repository, one session each; `nox -l` lists them.

Every session makes its own environment. `nox --no-venv --no-install` runs them in the active one, which needs the
`dev` extra; CI does so, because the README's test command has made it already.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nox

nox.needs_version = ">=2026.1"
nox.options.error_on_external_run = True
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "types", "tests", "golden", "docs_check", "build"]

ROOT = Path(__file__).resolve().parent
TYPED = ("runtime", "harness", "tests", "examples", "benchmarks", "noxfile.py")
CONSTRAINTS = ".ci/constraints.txt"
FULL_COUNTS = (
    "tests/runtime/failure_modes",
    "tests/runtime/state",
    "tests/harness/importers",
    "tests/harness/reports/test_compare.py",
    "tests/harness/reports/test_simulations.py",
)
SHELL = ("bash", "-euo", "pipefail", "-c")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format."""
    install_pinned(session)
    session.run("ruff", "check", ".")
    # Not the pages: their examples are set for readers, and ruff would format Python blocks of Markdown too.
    session.run("ruff", "format", "--check", *TYPED, ".ci")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of everything, tests included, as mypy and pyright see them; print the figures we promise."""
    install_pinned(session)
    session.run("mypy", *TYPED)
    session.run("basedpyright")
    session.run("python", ".ci/figures.py")


@nox.session
def tests(session: nox.Session) -> None:
    """Run the code tests; arguments after `--` go to pytest."""
    install_pinned(session)
    session.run("python", "-m", "pytest", *(session.posargs or ["tests"]))


@nox.session
def lowest(session: nox.Session) -> None:
    """Run all tests with the lower bound of every dependency that pyproject.toml names."""
    bounds = Path(session.create_tmp(), "lowest.txt")
    bounds.write_text(str(session.run("python", ".ci/lowest.py", silent=True)), encoding="utf-8")
    session.install("-c", str(bounds), "-e", ".[dev]")
    session.run("python", "-m", "pytest", "-q", "-n", "auto", *session.posargs)


@nox.session
def newest(session: nox.Session) -> None:
    """Run all tests, ruff and mypy with the newest version of everything."""
    session.install("--upgrade", "--upgrade-strategy", "eager", "-e", ".[dev]")
    session.run("python", "-m", "pytest", "-q", "-n", "auto", *session.posargs)
    session.run("ruff", "check", ".")
    session.run("mypy", *TYPED)


@nox.session
def golden(session: nox.Session) -> None:
    """Replay the golden tasks; arguments after `--` go to pytest."""
    install_pinned(session)
    session.run("python", "-m", "pytest", "golden", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Run every benchmark, or those named after `--`; fail at the end if one missed a target."""
    install_pinned(session)
    session.run("python", "benchmarks/run_all.py", *session.posargs)


@nox.session
def docs_check(session: nox.Session) -> None:
    """Run the commands that README.md marks, as a reader would, in a clean copy of the tree.

    The test command runs last, and only if asked for by `-- tests`: `.ci/run` runs it in the checkout itself.
    """
    names = session.run("python", ".ci/readme_command.py", silent=True)
    marked = [name for name in str(names).split() if name != "tests"]
    with tempfile.TemporaryDirectory() as folder:
        copy_tree(Path(folder, "goldrun"))
        with session.chdir(Path(folder, "goldrun")):
            for name in [*marked, *session.posargs]:
                command = str(session.run("python", ".ci/readme_command.py", name, silent=True)).strip()
                session.run(*SHELL, command, external=True, env={"VIRTUAL_ENV": None, "PATH": outer_path()})


@nox.session
def build(session: nox.Session) -> None:
    """Build both archives, install the wheel out of reach of the checkout, and run the demo there.

    A folder after `--` gets the archives.
    """
    session.install("-c", CONSTRAINTS, "build")
    with tempfile.TemporaryDirectory() as folder:
        dist, elsewhere = Path(folder, "dist"), Path(folder, "elsewhere")
        elsewhere.mkdir()
        # The wheel is built from the source archive, so that a file missing from one is missing from both.
        session.run("python", "-m", "build", "--outdir", str(dist), silent=True)
        (wheel,) = dist.glob("*.whl")
        (archive,) = dist.glob("*.tar.gz")
        session.log(
            f"{wheel.name}: {wheel.stat().st_size:,} bytes; {archive.name}: {archive.stat().st_size:,} bytes"
        )
        session.run("python", "-m", "venv", str(elsewhere / "venv"))
        binaries = elsewhere / "venv" / "bin"
        with session.chdir(elsewhere):
            python, goldrun = str(binaries / "python"), str(binaries / "goldrun")
            _run_foreign(session, python, "-m", "pip", "install", "-q", str(wheel))
            _run_foreign(session, goldrun, "--help")
            _run_foreign(session, python, "-m", "pip", "install", "-q", f"{wheel}[all]")
            _run_foreign(session, python, "-c", _IMPORTS_FROM_HERE)
            _run_foreign(session, goldrun, "demo")
        for kept in session.posargs:
            Path(kept).mkdir(parents=True, exist_ok=True)
            for made in (wheel, archive):
                shutil.copy2(made, kept)


@nox.session
def reliability(session: nox.Session) -> None:
    """Run at full counts: 1,000 kills, every fault point, 20,000 mutations, a resume after each record.

    `.ci/run` includes it where `GOLDRUN_FULL` is 1; it and the two sessions below run every week.
    """
    _run_full(session, "tests/reliability", "-s")


@nox.session
def properties(session: nox.Session) -> None:
    """Run all property tests with 300 random examples or more."""
    _run_full(session, "-q", "-n", "auto", "-m", "hypothesis", "tests")


@nox.session
def full_counts(session: nox.Session) -> None:
    """Run at full counts: failure modes under load, processes on one store, simulations of the verdict."""
    _run_full(session, "-q", "-n", "auto", "-m", "not hypothesis", *FULL_COUNTS)


def _run_full(session: nox.Session, *arguments: str) -> None:
    install_pinned(session)
    command = ("python", "-m", "pytest", "--durations=15", *arguments, *session.posargs)
    session.run(*command, env={"GOLDRUN_FULL": "1"})


def _run_foreign(session: nox.Session, *command: str) -> None:
    """Run a command of another environment, untouched by the one this session runs in."""
    session.run(*command, external=True, env={"PYTHONPATH": None, "VIRTUAL_ENV": None})


_IMPORTS_FROM_HERE = """
import pathlib, sys, harness, runtime
for module in (harness, runtime):
    assert pathlib.Path(module.__file__).is_relative_to(sys.prefix), module.__file__
    for name in module.__all__:
        getattr(module, name)
"""


def outer_path() -> str:
    """Return the search path without the environments that a reader would not have."""
    inner = {str(Path(sys.prefix, "bin")), str(Path(os.environ.get("VIRTUAL_ENV", "-"), "bin"))}
    return os.pathsep.join(part for part in os.environ["PATH"].split(os.pathsep) if part not in inner)


def copy_tree(target: Path) -> None:
    """Copy what git tracks or would add, as it stands now."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


@nox.session
def sdk(session: nox.Session) -> None:
    """Record and replay real SDKs and HTTP stacks against a loopback provider."""
    install_pinned(session)
    session.install("openai", "anthropic", "google-genai", "mistralai", "groq", "boto3")
    session.install("requests", "aiohttp", "httplib2", "urllib3")
    session.run("python", "-m", "pytest", "-q", "tests/sdk", "tests/harness/wire", *session.posargs)


@nox.session
def coexistence(session: nox.Session) -> None:
    """Run goldrun beside the plugins and libraries of other test suites: unused, used, nested in either order."""
    install_pinned(session)
    session.install("pytest-asyncio", "pytest-httpx", "pytest-randomly", "pytest-recording")
    session.install("anyio", "pytest-socket", "requests", "respx", "responses", "time-machine", "trio")
    # The plugins are there for the project that the tests run; these tests themselves need none of them.
    own = ("-p", "no:asyncio", "-p", "no:randomly")
    session.run("python", "-m", "pytest", "-q", *own, "tests/coexistence", *session.posargs)


@nox.session
def mutants(session: nox.Session) -> None:
    """Switch guards off one by one, or those named after `--`; fail if a test passes that must not."""
    install_pinned(session)
    session.run("python", "-m", "tests.mutants", *session.posargs)


def install_pinned(session: nox.Session) -> None:
    """Install the checkout and everything that develops it, at the versions that we know to work."""
    session.install("-c", CONSTRAINTS, "-e", ".[dev]")
