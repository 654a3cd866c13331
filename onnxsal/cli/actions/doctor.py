"""What ``onnxsal doctor`` prints: what is installed, what works, and what to do about what does not."""

from __future__ import annotations

import json
import os
import platform
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Literal

from packaging.requirements import Requirement

from onnxsal import plugins
from onnxsal._version import __version__
from onnxsal.cli.actions.inspect import print_rows
from onnxsal.cli.text import seconds
from onnxsal.errors import EnvironmentSetupError, OnnxsalError
from onnxsal.runtime.environment import BUILDS, onnxruntime, problem

State = Literal["well", "missing", "broken"]

_FOR = {
    "cpu": "models on the processor", "gpu": "models on an NVIDIA GPU", "text": "words for models of texts",
    "audio": "WAV and FLAC files", "medical": "NIfTI files of volumes", "parquet": "tables written as .parquet",
    "ray": "data sets on a cluster", "serve": "answering over HTTP",
}  # fmt: skip
"""What each extra is for, those that users ask for."""

_VARIABLES = (
    "CUDA_VISIBLE_DEVICES", "NUMBA_CACHE_DIR", "NUMBA_DISABLE_JIT", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS",
    "ORT_DISABLE_TELEMETRY", "PYTHONOPTIMIZE",
)  # fmt: skip
"""What is set outside and changes what runs, or how fast."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: ``missing`` is nothing that everyone needs, ``broken`` is to be mended."""

    name: str
    said: str
    state: State = "well"


@dataclass(frozen=True)
class Examined:
    """All findings; ``well`` where explaining works."""

    findings: tuple[Finding, ...]

    @property
    def well(self) -> bool:
        """Whether nothing is broken."""
        return all(each.state != "broken" for each in self.findings)


def examined() -> Examined:
    """Return what was found on this machine."""
    outside = tuple(_outside())  # first: loading ONNX Runtime sets what is not set
    return Examined(
        (*_machine(), *_runtime(), *_explaining(), *_packages(), *_extras(), *_plugins(), *_letters(), *outside)
    )


def print_examined(found: Examined, *, as_json: bool) -> None:
    """Print the findings, those that are to be mended once more at the end."""
    if as_json:
        print(json.dumps({"well": found.well, "findings": [asdict(each) for each in found.findings]}, indent=2))
        return
    print_rows([(each.name, each.said) for each in found.findings])
    broken = [each.name for each in found.findings if each.state == "broken"]
    print(f"\nTo be mended: {', '.join(broken)}." if broken else "\nExplaining works here.")


def _machine() -> Iterator[Finding]:
    yield Finding("onnxsal", __version__)
    yield Finding("Python", f"{platform.python_version()}, {platform.system()} {platform.machine()}")
    all_cores, usable = os.cpu_count() or 1, _usable_cores()
    some = "" if usable == all_cores else f" of {all_cores}"
    yield Finding("cores", f"{usable}{some}; one thread a core by default, --threads N (threads=) sets another number")


def _usable_cores() -> int:
    """Return how many cores the process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _runtime() -> Iterator[Finding]:
    wrong = problem()
    if wrong is not None:
        yield Finding("ONNX Runtime", wrong, "broken")
        return
    try:
        module = onnxruntime()
    except EnvironmentSetupError as error:
        yield Finding("ONNX Runtime", str(error), "broken")
        return
    build = next((name for name in BUILDS if _version(name)), "a build without a package")
    yield Finding("ONNX Runtime", f"{module.__version__} ({build})")
    yield from _providers()


def _providers() -> Iterator[Finding]:
    """Try each provider of the build on the bundled model: that it is listed does not say that it runs."""
    from onnxsal.cli.actions.demo import bundled
    from onnxsal.model.load import load
    from onnxsal.runtime.nvidia import devices
    from onnxsal.runtime.providers import short_names

    offered = short_names()
    for name in offered:
        try:
            model = load(bundled("shapes.onnx"), provider=None if name == "cpu" else name)
            model.predict(bundled("demo.png"))
            yield Finding(f"--provider {name}", "works")
        except OnnxsalError as error:
            yield Finding(f"--provider {name}", str(error), "broken" if name == "cpu" else "missing")
    if "cuda" not in offered and devices():
        yield Finding("--provider cuda", "this machine has an NVIDIA GPU, and this build does not use it: "
                      "pip uninstall -y onnxruntime; pip install 'onnxsal[gpu]'", "missing")  # fmt: skip


def _explaining() -> Iterator[Finding]:
    from onnxsal.cli.actions.demo import bundled

    began = time.perf_counter()
    try:
        from onnxsal.explanation.explain import explain
        from onnxsal.model.load import load

        found = explain(load(bundled("shapes.onnx")), bundled("demo.png"), method="grad-cam++")
    except (OnnxsalError, ImportError) as error:
        yield Finding("explaining", f"does not work: {error}", "broken")
        return
    took = seconds(time.perf_counter() - began)
    yield Finding("explaining", f"works: Grad-CAM++ of the bundled scene ({found.label}) in {took}, with opening")


def _packages() -> Iterator[Finding]:
    """Say what is required always: in one line where all of it is there."""
    needed = [each for each in _required() if each.marker is None]
    wrong = [problem for each in needed if (problem := _lacks(each)) is not None]
    if wrong:
        yield Finding("packages", f"{'; '.join(wrong)}: pip install --upgrade onnxsal", "broken")
        return
    yield Finding("packages", ", ".join(f"{each.name} {_version(each.name)}" for each in needed))


def _extras() -> Iterator[Finding]:
    """Say of each extra whether it is there, and how to get it where it is not."""
    for extra, purpose in _FOR.items():
        own = [each for each in _required() if each.marker is not None and each.marker.evaluate({"extra": extra})]
        if not own or (extra in ("cpu", "gpu") and problem() is None):  # a runtime is there, whichever it is
            continue
        lacking = [lack for each in own if (lack := _lacks(each)) is not None]
        if lacking:
            said = f"{purpose}: {'; '.join(lacking)}: pip install 'onnxsal[{extra}]'"
            yield Finding(f"extra {extra}", said, "missing")
        else:
            yield Finding(f"extra {extra}", purpose)


def _required() -> list[Requirement]:
    return [Requirement(each) for each in metadata.requires("onnxsal") or ()]


def _lacks(wanted: Requirement) -> str | None:
    """Return what is wrong with a required package, or None."""
    found = _version(wanted.name)
    if found is None:
        return f"{wanted.name} is not installed"
    if not wanted.specifier.contains(found, prereleases=True):
        return f"{wanted.name} {found} is not {wanted.specifier}"
    return None


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _plugins() -> Iterator[Finding]:
    """Say which packages add something, each tried by importing what it offers."""
    groups = (plugins.METHODS, plugins.RULES, plugins.METRICS, plugins.TASKS, plugins.MODALITIES)
    offered = [each for group in groups for each in plugins.offers(group).values() if each.package != "onnxsal"]
    for origin in dict.fromkeys(each.origin for each in offered):
        own = [each for each in offered if each.origin == origin]
        try:
            for each in own:
                each.load()
            yield Finding(f"plug-in {origin}", _counted(each.group for each in own))
        except EnvironmentSetupError as error:
            yield Finding(f"plug-in {origin}", str(error), "broken")


def _counted(groups: Iterable[str]) -> str:
    counts = Counter(group.partition(".")[2] for group in groups)
    return ", ".join(f"{kind}: {count}" for kind, count in counts.items())


def _letters() -> Iterator[Finding]:
    from onnxsal.viz.text import without_letters

    lacking = without_letters({"Korean": "한국어", "Japanese": "日本語かな", "Chinese": "中文"})
    if lacking:
        said = f"no font here has those of {', '.join(lacking)}, so that labels in pictures are spelt out"
        yield Finding("letters", f"{said}: fonts-noto-cjk (of Debian and Ubuntu) has them", "missing")
    else:
        yield Finding("letters", "Korean, Japanese and Chinese labels are drawn as they are")


def _outside() -> Iterator[Finding]:
    given = [f"{name}={os.environ[name]}" for name in _VARIABLES if os.environ.get(name)]
    if given:
        yield Finding("set outside", ", ".join(given))
