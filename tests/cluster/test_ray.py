"""On Ray itself: two workers of a thread each, one killed in the middle, and a run that goes on where one ended."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
from PIL import Image

import onnxsal
from onnxsal.cli import main
from onnxsal.cluster.columns import Columns
from onnxsal.cluster.explainer import Asked, Explainer, Work
from onnxsal.cluster.mapping import mapped
from onnxsal.cluster.worker import Share
from onnxsal.maps.arrow import rows_in
from onnxsal.maps.rows import row_of

pytest.importorskip("ray.data", reason="needs Ray, which is an extra: pip install 'onnxsal[ray]'")
pytestmark = [
    pytest.mark.slow("a cluster is started, and its workers"),
    pytest.mark.filterwarnings("ignore"),  # Ray's own, of several kinds
]

DRAWN: dict[str, Any] = {"method": "smoothgrad", "samples": 20}
COUNT = 48


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    from onnxsal.cluster.ray_package import connect, ray_data

    paths = os.pathsep.join(str(Path(each).parent.resolve()) for each in (onnxsal.__path__[0], tiny_models.__file__))
    connect("local", cpus=3, object_store_memory=200 << 20, runtime_env={"env_vars": {"PYTHONPATH": paths}})
    yield ray_data()
    import ray

    ray.shutdown()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("photos")
    for at in range(COUNT):
        photo = np.random.default_rng(at).integers(0, 256, (20 + at, 26, 3), np.uint8)
        Image.fromarray(photo).save(found / f"{at:02}.png")
    return found


def wanted(folder: Path) -> dict[str, dict[str, Any]]:
    model = onnxsal.load(tiny_models.classifier(), threads=1)
    files = sorted(folder.iterdir())
    return {each.name: row_of(onnxsal.explain(model, each.read_bytes(), **DRAWN), each.name) for each in files}


def assert_equal(found: dict[str, dict[str, Any]], right: dict[str, dict[str, Any]]) -> None:
    assert found.keys() == right.keys()
    for name, row in right.items():
        for each in row.keys() - {"id", "seconds"}:
            np.testing.assert_array_equal(found[name][each], row[each], err_msg=f"{name}, {each}")


def by_name(batches: Any) -> dict[str, dict[str, Any]]:
    rows = [row for batch in batches for part in batch.to_batches() for row in rows_in(part)]
    assert len({row["id"] for row in rows}) == len(rows)  # none twice
    return {Path(row["id"]).name: row for row in rows}


def killed(batches: Any, notes: Path) -> Iterator[Any]:
    """Yield batches; with the first of them one of the workers that make the others is killed."""
    for at, batch in enumerate(batches):
        if at == 0:
            os.kill(int(next(notes.iterdir()).name), signal.SIGKILL)
        yield batch


def test_the_table_is_whole_and_equal_after_a_worker_was_killed(cluster: Any, folder: Path, tmp_path: Path) -> None:
    class Noted(Explainer):
        """Sent by value, as whatever is no module's own is; writes down which process it is: others may run here."""

        def __init__(self, work: Work) -> None:
            (tmp_path / str(os.getpid())).touch()
            super().__init__(work)

    ds = cluster.read_binary_files(str(folder), include_paths=True, override_num_blocks=COUNT // 2)
    asked = Asked("smoothgrad", {"samples": 20})
    work = Work(onnxsal.load(tiny_models.classifier()), [asked], Columns("bytes", "path"), Share(actors=2, rows=2))
    made = mapped(ds, Noted, work).iter_batches(batch_format="pyarrow", batch_size=None)
    assert_equal(by_name(killed(made, tmp_path)), wanted(folder))


def test_the_same_call_goes_on_where_the_last_one_ended(cluster: Any, folder: Path, tmp_path: Path) -> None:
    def written(**more: Any) -> int:
        ds = cluster.read_binary_files(str(folder), include_paths=True)
        options = {**DRAWN, "checkpoint": tmp_path / "done", "model": tiny, **more}
        onnxsal.explain_dataset(ds, **options).write_parquet(str(tmp_path / "maps"))
        return len(by_name(cluster.read_parquet(str(tmp_path / "maps")).iter_batches(batch_format="pyarrow")))

    tiny = onnxsal.load(tiny_models.classifier())
    late = folder / "00.png"
    kept = late.read_bytes()
    late.unlink()
    assert written() == COUNT - 1
    late.write_bytes(kept)
    assert written() == COUNT  # were the others made again, their ids would be there twice


def test_judging_apart_is_judging_at_once(cluster: Any, folder: Path) -> None:
    asked: dict[str, Any] = {"methods": "grad-cam", "metrics": ["deletion", "insertion"]}
    ds = cluster.read_binary_files(str(folder), include_paths=True, override_num_blocks=6)
    found = onnxsal.evaluate_dataset(ds, model=onnxsal.load(tiny_models.classifier()), actors=2, **asked)
    right = onnxsal.evaluate(onnxsal.load(tiny_models.classifier(), threads=1), folder, **asked)
    assert [replace(row, seconds=0, image=Path(row.image).name, map_key="") for row in found.rows] == [
        replace(row, seconds=0, map_key="") for row in right.rows
    ]


def test_the_command_s_file_is_that_of_one_machine(
    cluster: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_models.write(tiny_models.classifier(), tmp_path / "model.onnx")
    given = ["explain", "model.onnx", str(folder), "-m", "smoothgrad,layercam", "-O", "samples=2", "--threads", "1"]
    given += ["-t", "1", "-t", "0 minus 2"]
    assert main([*given, "--out", "here.parquet"]) == 0
    assert main([*given, "--out", "there.parquet", "--ray", "local", "--actors", "2"]) == 0
    parquet = pytest.importorskip("pyarrow.parquet")
    here, there = (parquet.read_table(tmp_path / f"{each}.parquet") for each in ("here", "there"))
    assert here.schema.equals(there.schema, check_metadata=True)
    assert [name for name in here.column_names if here[name] != there[name]] in (["seconds"], [])
