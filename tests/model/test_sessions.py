"""Where a model's programs and sessions live: opened once by however many threads, weighed, never another model's."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import onnx_ir
import pytest
from tinynet import TinyNet, image

import onnxsal
from onnxsal.anatomy import body
from onnxsal.errors import ModelError, UsageError
from onnxsal.evaluation.cascade import Cascade
from onnxsal.graph.redraw import redrawn, weights
from onnxsal.model import sessions
from onnxsal.model.batch_check import MIXES
from onnxsal.model.sessions import Programs
from onnxsal.tasks import dissect

X = image()
METHODS = {
    "grad-cam": {}, "gradient": {}, "score-cam": {}, "occlusion": {}, "smoothgrad": {"samples": 4},
    "integrated-gradients": {"steps": 4},
}  # fmt: skip
EIGHT = 8


def loaded(**options):
    return onnxsal.load(TinyNet().model(), **options)


def explained(model, method="grad-cam", **options):
    return onnxsal.explain(model, X, method=method, target=1, **(METHODS[method] | options)).raw


def together(work, count=EIGHT):
    """Return what ``work`` gives for 0 to ``count``, begun by as many threads at one moment."""
    barrier = threading.Barrier(count)

    def started(number):
        barrier.wait(20)
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(started, range(count)))


@pytest.fixture
def opened(monkeypatch):
    """The graphs that sessions were opened for, in order; each takes a moment longer, so that threads meet."""
    found, real = [], sessions.Session

    def slow(program, **options):
        found.append(program.model)
        time.sleep(0.02)
        return real(program, **options)

    monkeypatch.setattr(sessions, "Session", slow)
    return found


@pytest.mark.parametrize("method", METHODS)
def test_eight_first_requests_open_what_one_opens_and_give_its_map(method, opened):
    alone = explained(loaded(), method)
    expected = len(opened)
    opened.clear()
    model = loaded()
    for found in together(lambda _: explained(model, method)):
        np.testing.assert_array_equal(found, alone)
    assert len({id(graph) for graph in opened}) == len(opened) == expected >= 2


def test_a_key_that_is_slow_to_compare_is_made_once():
    """Threads switch inside a key's own __hash__ and __eq__: between a look and a take another one took it before."""

    class Slow:
        def __hash__(self):
            time.sleep(0.001)
            return 1

        def __eq__(self, other):
            time.sleep(0.001)
            return isinstance(other, Slow)

    model, made = loaded(), []

    def ask(_):
        return [model.program(Slow(), lambda: made.append(1) or made) for _ in range(10)]

    assert all(found is made for several in together(ask) for found in several)
    assert made == [1]


def test_different_programs_open_at_the_same_time(monkeypatch):
    real, inside = sessions.Session, threading.Barrier(2)

    def meeting(program, **options):
        inside.wait(20)  # broken unless another one is being opened
        return real(program, **options)

    model = loaded()
    programs = [onnxsal.graph.Program(model.score(kind).model.clone()) for kind in ("logit", "probability")]
    monkeypatch.setattr(sessions, "Session", meeting)
    assert len({id(s) for s in together(lambda i: model.session(programs[i]), 2)}) == 2


def test_what_could_not_be_opened_is_tried_again(monkeypatch):
    real, tries = sessions.Session, []

    def failing(program, **options):
        tries.append(program)
        if len(tries) == 1:
            raise ModelError("once")
        return real(program, **options)

    model = loaded()
    program = onnxsal.graph.Program(model.score("logit").model.clone())
    monkeypatch.setattr(sessions, "Session", failing)
    with pytest.raises(ModelError, match="once"):
        model.session(program)
    assert model.session(program) is model.session(program)
    assert len(tries) == 2


def test_a_bound_of_one_byte_gives_the_same_maps_in_every_thread():
    methods = ["grad-cam", "gradient", "smoothgrad"]
    alone = {method: explained(loaded(), method) for method in methods}
    model = loaded(memory=1)

    def work(number):
        order = methods[number % 3 :] + methods[: number % 3]
        return {method: explained(model, method) for method in order}

    for found in together(work):
        for method, raw in found.items():
            np.testing.assert_array_equal(raw, alone[method])
    explained(model)
    assert model._sessions.count() == 1


def test_sessions_are_weighed_and_the_oldest_goes():
    model = loaded(memory="1G")
    programs = [onnxsal.graph.Program(model.score("logit").model.clone()) for _ in range(4)]
    first, *_ = (model.session(program) for program in programs[:3])
    each = first.weight
    bound = replace(model, memory=3 * each + each // 2)
    kept = [bound.session(program) for program in programs[:3]]
    assert bound._sessions.weight() == 3 * each and bound.session(programs[0]) is kept[0]
    bound.session(programs[3])
    assert bound._sessions.count() == 3
    assert bound.session(programs[0]) is kept[0] and bound.session(programs[2]) is kept[2]
    again = bound.session(programs[1])  # it was not used for longest
    assert again is not kept[1]
    feeds = {name: np.zeros(1, np.int64) for name in again.inputs} | {"sal/x": X[None]}
    np.testing.assert_array_equal(kept[1].run(feeds)["score"], again.run(feeds)["score"])  # held, it still runs


def test_a_session_weighs_what_its_largest_batch_took():
    model = loaded()
    session = model.session(onnxsal.graph.Program(model.score("logit").model.clone()))
    one = session.weight
    for rows, times in ((4, 4), (2, 4), (9, 9)):
        feeds = {name: np.zeros(rows, np.int64) for name in session.inputs} | {"sal/x": X[None].repeat(rows, 0)}
        session.run(feeds)
        assert (session.weight - one) / (times - 1) == pytest.approx(session._footprint.per_image)
    assert session._footprint.per_image > X.nbytes


def test_what_was_found_of_a_batch_outlives_its_session():
    model = loaded(memory=1)
    program = onnxsal.graph.Program(model.score("logit").model.clone())
    session = model.session(program)
    session.rows.settle("mixes")
    model.predict(X)
    again = model.session(program)
    assert again is not session and again.verdict == "mixes" and again.single


def test_a_changed_copy_sees_nothing_of_what_was_kept():
    model = loaded()
    before = explained(model, "gradient")
    names = [name for each in weights(model.anatomy.model) for name in each]
    drawn = redrawn(model.anatomy.model, names, 7)
    other = dissect(drawn, model.modality.find_entry(drawn.graph))
    changed = replace(model, anatomy=other)
    fresh = onnxsal.load(onnx_ir.to_proto(redrawn(model.anatomy.model, names, 7)))
    assert not np.array_equal(explained(changed, "gradient"), before)
    np.testing.assert_array_equal(explained(changed, "gradient"), explained(fresh, "gradient"))
    np.testing.assert_array_equal(changed.scores(X)[0], fresh.scores(X)[0])
    np.testing.assert_array_equal(explained(model, "gradient"), before)


@pytest.mark.parametrize(
    "change", [{"source": None}, {"provider": "cpu"}, {"custom_ops": ("other.so",)}, {"threads": 1}, {"memory": 9}],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_what_sessions_depend_on_is_compared(change):
    model = loaded()
    if "source" in change:
        change = {"source": model.source.clone()}
    assert replace(model, **change)._sessions is not model._sessions
    for same in ({}, {"name": "b"}, {"notes": ("a",)}, {"preprocess": None}, {"digest": "d"}):
        copy = replace(model, **same)
        assert copy._sessions is model._sessions and copy._programs is model._programs


def test_randomised_models_have_sessions_of_their_own():
    model = loaded()
    explained(model)
    maps = [explained(each, "gradient") for each in (model, *Cascade(model, stages=2).models())]
    assert len({found.tobytes() for found in maps}) == len(maps)


def test_a_model_is_equal_to_itself_and_may_be_a_key():
    first, second = loaded(), loaded()
    assert {first: 1, second: 2}[first] == 1
    assert first == first and first != second and first.digest == second.digest


@pytest.mark.parametrize("bound", [1, 3])
def test_the_oldest_program_goes(bound):
    programs = Programs(bound)
    made = [programs(key, lambda key=key: [key]) for key in range(4)]
    assert [programs.get(key) for key in range(4)] == [None] * (4 - bound) + made[4 - bound :]
    assert programs(3, list) is made[3]


def mixing(model):
    """Return a score of the user's own that multiplies a logit by the largest of the whole batch."""
    op = body(model.anatomy).extend()
    score = op.Gather(op["sal/logits"], op.const(1), axis=1)
    return op.finish_with({"score": op.Mul(score, op.ReduceMax(op.Abs(score), keepdims=0))})


def test_a_batch_that_ran_before_another_threads_verdict_is_judged_too(monkeypatch):
    """The slow thread runs rows together; before it looks, the fast one has found that they change each other."""
    from onnxsal.streaming import execute

    def work(model, program):
        return onnxsal.explain(model, X, method="integrated-gradients", target=program, steps=6)

    model = loaded()
    program = mixing(model)
    alone = work(model, program)
    real, ran_together, judged = execute._run, threading.Event(), threading.Event()

    def ordered(work, batch, call):
        found = real(work, batch, call)
        if threading.current_thread().name != "slow" or ran_together.is_set():
            return found
        ran_together.set()
        assert judged.wait(20)
        return found

    monkeypatch.setattr(execute, "_run", ordered)
    model, found = loaded(), []
    program = mixing(model)
    slow = threading.Thread(target=lambda: found.append(work(model, program)), name="slow")
    slow.start()
    assert ran_together.wait(20)
    found.append(work(model, program))
    judged.set()
    slow.join()
    for each in found:
        np.testing.assert_array_equal(each.raw, alone.raw)
        assert MIXES in each.manifest["notes"]


@pytest.mark.parametrize("threads", [0, -1, True, 1.5, "2"], ids=repr)
def test_threads_are_checked(threads):
    with pytest.raises(UsageError, match=r"threads=.*expected a whole number from 1 on"):
        loaded(threads=threads)


@pytest.mark.parametrize("memory", [0, -1, True, 1.5, "2", "much", "0G"], ids=repr)
def test_memory_is_checked(memory):
    with pytest.raises(UsageError, match=r"memory=.*expected a number of bytes"):
        loaded(memory=memory)


@pytest.mark.parametrize(("memory", "expected"), [(None, 2**29), ("2G", 2**31), ("1.5 MiB", 3 * 2**19), (7, 7)])
def test_memory_is_the_bound_in_bytes(memory, expected):
    assert loaded(memory=memory)._sessions.memory == expected


def test_every_session_runs_on_as_many_threads_as_were_asked_for():
    model = loaded(threads=np.int64(2))
    explained(model)
    assert model.threads == 2
    opened = [each.session for each in model._sessions._opened.values()]
    assert len(opened) >= 2
    assert {each._session.get_session_options().intra_op_num_threads for each in opened} == {2}
