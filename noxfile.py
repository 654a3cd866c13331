"""What there is to run, a session each: ``nox`` before a change; ``nox -l`` lists them, ``nox -s NAME`` runs one.

Sessions run in the environment that nox lies in (CONTRIBUTING.md makes it), so that they test what is being edited.
``package`` and ``bounds`` make one of their own: what is installed is what they are about.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import sys
import tomllib
from pathlib import Path

import nox

nox.needs_version = ">=2024.10.9"
nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "types", "tests"]

ROOT = Path(__file__).resolve().parent
PLUGINS = [str(each.parent) for each in sorted(ROOT.glob("plugins/*/pyproject.toml"))]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
"""The lowest one, and those whose wheels are resolved (docs/versions.md)."""
RESOLVED = {"cpu": ("linux", "windows", "macos"), "gpu": ("linux", "windows")}
"""The systems of each of the two extras of which one is installed."""
MACOS = "14.0"
"""From where on ONNX Runtime has wheels for Apple's processors and Python 3.14."""
LOWEST_PYTHON = "3.11" if shutil.which("python3.11") else None
INSTALLED = """
from importlib.resources import files

import onnxsal

here = files("onnxsal")
wanted = ("py.typed", "tasks/imagenet.txt", "_bundled/shapes.onnx", "_bundled/detector.onnx")
pages = (
    "evaluation/report/templates/page.html.j2", "evaluation/report/style.css", "experiments/templates/study.html.j2",
)
missing = [name for name in (*wanted, *pages) if not here.joinpath(name).is_file()]
assert not missing, missing
assert "site-packages" in str(here), here
found = onnxsal.explain(here / "_bundled/shapes.onnx", here / "_bundled/demo.png", method="layercam")
found.save("layercam.png")
"""
"""Run outside the checkout: what a wheel must hold is there and works."""


def python(session: nox.Session, *arguments: str, **options: object) -> None:
    """Run the Python that nox runs on."""
    session.run(sys.executable, *arguments, **options)


def folder(session: nox.Session) -> Path:
    """The folder that was given after ``--``, or the session's own for passing things."""
    path = Path(session.posargs[0] if session.posargs else session.create_tmp()).resolve()
    path.mkdir(parents=True, exist_ok=True)
    return path


def shared() -> Path | None:
    """The reference material, if it is there, found as tests/conftest.py finds it."""
    path = Path(os.environ.get("ONNXSAL_SHARED") or ROOT.parent / "shared")
    return path.resolve() if (path / "models").is_dir() else None


@nox.session
def lint(session: nox.Session) -> None:
    """ruff: rules and formatting, nothing changed."""
    python(session, "-m", "ruff", "check", ".")
    python(session, "-m", "ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """mypy, strict: the package and the test of what it says of types, then the plug-ins."""
    python(session, "-m", "mypy")
    python(session, "-m", "mypy", *(f"{project}/src" for project in PLUGINS))


@nox.session
def tests(session: nox.Session) -> None:
    """pytest on every core, or what comes behind ``--``."""
    python(session, "-m", "pytest", *session.posargs)


@nox.session
def quick(session: nox.Session) -> None:
    """pytest without the tests that are marked slow."""
    python(session, "-m", "pytest", "-m", "not slow", *session.posargs)


@nox.session
def slow(session: nox.Session) -> None:
    """List the slow tests and why each takes its time; runs nothing."""
    python(
        session, "-m", "pytest", "-n0", "--collect-only", "-qq", "--why-slow", *session.posargs, success_codes=[0, 5]
    )


@nox.session
def plugins(session: nox.Session) -> None:
    """The plug-ins as users install them, in a folder that is thrown away, and their tests."""
    site = Path(session.create_tmp(), "plugins").resolve()
    shutil.rmtree(site, ignore_errors=True)
    python(session, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), *PLUGINS)
    installed = {"PYTHONPATH": str(site)}
    listed = session.run(sys.executable, "-m", "onnxsal", "methods", env=installed, silent=True)
    if "onnxsal-sobol" not in str(listed):
        session.error(f"an installed plug-in is not offered:\n{listed}")
    python(session, "-m", "pytest", "plugins", "tests/test_plugins.py", "tests/test_readme.py", env=installed)


@nox.session
def docs(session: nox.Session) -> None:
    """Write what is made from the code: tables of the READMEs and docs/, and docs/messages.md (tests hold them)."""
    python(session, "tools/generate.py")
    python(session, "tools/operators.py")
    python(session, "tools/messages.py")


@nox.session(venv_backend="virtualenv")
def site(session: nox.Session) -> None:
    """The site of the documentation in docs/_build: warnings are errors, links inside it are checked."""
    session.install(".[cpu,docs]")
    session.run("python", "-m", "sphinx", "-W", "--keep-going", "-E", "-b", "html", "docs", "docs/_build")
    session.log(f"open {ROOT / 'docs' / '_build' / 'index.html'}")


@nox.session
def demo(session: nox.Session) -> None:
    """The demonstration of the README, from the checkout."""
    _demo(session, sys.executable)


def _demo(session: nox.Session, interpreter: str) -> None:
    with session.chdir(session.create_tmp()):
        Path("onnxsal-demo.png").unlink(missing_ok=True)
        session.run(interpreter, "-m", "onnxsal", "demo")
        if not Path("onnxsal-demo.png").stat().st_size:
            session.error("the demonstration wrote an empty picture")


@nox.session(venv_backend="virtualenv")
def package(session: nox.Session) -> None:
    """A source distribution, a wheel made from it, and the wheel outside the checkout."""
    out = Path(session.create_tmp(), "dist").resolve()
    shutil.rmtree(out, ignore_errors=True)
    session.install("build")
    session.run("python", "-m", "build", "--outdir", str(out), str(ROOT), silent=True)
    (wheel,) = out.glob("*.whl")
    session.log(", ".join(f"{each.name} {each.stat().st_size / 1e6:.1f} MB" for each in sorted(out.iterdir())))
    session.install(f"{wheel}[cpu]", "--force-reinstall", "--no-deps")
    session.install(f"{wheel}[cpu]")
    _demo(session, "python")
    with session.chdir(session.create_tmp()):
        session.run("onnxsal", "--version")
        session.run("python", "-c", INSTALLED)


@nox.session(venv_backend="virtualenv", python=LOWEST_PYTHON)
def bounds(session: nox.Session) -> None:
    """The lower bounds of pyproject.toml together: the demonstration and the tests."""
    lowest = session.run(sys.executable, ".ci/lowest.py", external=True, silent=True)
    session.install(".", *str(lowest).split())
    session.run("python", "-m", "pip", "list")
    _demo(session, "python")
    session.run("pytest", *session.posargs)


@nox.session(venv_backend="virtualenv")
def wheels(session: nox.Session) -> None:
    """What pip would install from wheels alone, for other Pythons and systems than this one; nothing is installed.

    uv resolves, with the markers of the Python and the system that are asked for: pip takes those of its own.
    """
    session.install("uv")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    wanted = [
        "uv",
        "pip",
        "compile",
        "--quiet",
        "--no-config",
        "--only-binary",
        ":all:",
        "--no-header",
        "--no-annotate",
    ]
    for processor, systems in RESOLVED.items():
        named = [f"--extra={name}" for name in extras if name == processor or name not in RESOLVED]
        for system, version in itertools.product(systems, PYTHONS):
            found = session.run(
                *wanted, *named, "--python-version", version, "--python-platform", system, "pyproject.toml",
                env={"MACOSX_DEPLOYMENT_TARGET": MACOS}, silent=True,
            )  # fmt: skip
            key = re.findall(r"^((?:onnxruntime|numpy|numba|onnx)[\w-]*==\S+)", str(found), re.MULTILINE)
            session.log(f"{processor}, {system}, Python {version}: {len(str(found).split())} wheels, {', '.join(key)}")


@nox.session
def runtimes(session: nox.Session) -> None:
    """Compiled files in Node, OpenVINO, Triton and a browser, which are kept in the folder given after ``--``."""
    home = folder(session)
    if not (home / "runtimes" / "openvino" / "bin" / "python").exists():
        session.run("sh", "tests/runtimes/set_up.sh", str(home / "runtimes"), external=True)
    python(session, "-m", "pytest", "tests/runtimes", "-rs", env={"ONNXSAL_RUNTIMES": str(home / "runtimes")})


@nox.session
def quantisers(session: nox.Session) -> None:
    """Files that quantisers write, each tool in an environment of its own, kept in the folder given after ``--``."""
    home = folder(session) / "quantisers"
    if not home.is_dir():
        session.run("sh", "benchmarks/quantisers/set_up.sh", str(home), external=True)
    python(session, "benchmarks/quantisers.py", str(home))


@nox.session
def cases(session: nox.Session) -> None:
    """Small inputs of the reference material that failed once: what they print is to be read."""
    material = shared()
    if material is None or not (material / "cases").is_dir():
        session.skip("ONNXSAL_SHARED names no folder with cases")
    scripts = [each for each in sorted(material.glob("cases/*.py")) if each.stem not in {"kit", "judge"}]
    with session.chdir(folder(session)):
        for script in scripts:
            python(session, str(script), success_codes=range(256), env={"ONNXSAL_SHARED": str(material)})
