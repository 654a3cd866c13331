"""The study: a page that hides its methods, works in a browser by keys and fingers, and answers that are counted."""

from __future__ import annotations

import html
import json
import math
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from onnxsal.errors import ImageError, UsageError
from onnxsal.experiments import tally as counting
from onnxsal.experiments.study import Asked, hide, make, reveal

RED, BLUE = ("red", (6, 40, 6, 40)), ("blue", (20, 58, 20, 56))
METHODS = ("grad-cam", "eigencam", "layercam")


@pytest.fixture
def page(case, photo) -> str:
    """A study of three pictures and three methods."""
    images = [photo("first", RED), photo("second", BLUE), photo("third", RED, ("blue", (44, 60, 44, 60)))]
    asked = case(*images)
    return make(Asked({name: asked.explainer(name) for name in METHODS}, asked.images, seed=7))


def study_of(page: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="study">(.*?)</script>', page, re.DOTALL)[1])


def test_methods_and_file_names_are_not_to_be_read_in_the_page(page: str) -> None:
    for name in (*METHODS, "first.png", "-cam", "CAM"):
        assert name not in re.sub(r'data:image/[^"]*', "", page)
    study = study_of(page)
    key = reveal(study["key"])
    assert key["methods"] == list(METHODS)
    assert key["images"] == ["first.png", "second.png", "third.png"]
    for trial, names in zip(study["trials"], key["trials"], strict=True):
        assert sorted(names.values()) == sorted(METHODS)
        assert [each["id"] for each in trial["maps"]] == sorted(names)


def test_the_order_in_the_file_does_not_tell_the_method(case, photo) -> None:
    asked = case(*(photo(f"p{k}", RED) for k in range(8)))
    study = study_of(make(Asked({name: asked.explainer(name) for name in METHODS}, asked.images)))
    key = reveal(study["key"])
    first = {key["trials"][at][trial["maps"][0]["id"]] for at, trial in enumerate(study["trials"])}
    assert len(first) > 1


def test_a_label_cannot_end_the_script(case, photo) -> None:
    asked = case(photo("p", RED))
    makers = {name: asked.explainer(name) for name in METHODS[:2]}
    page = make(Asked(makers, asked.images, question="</script><script>alert(1)</script> {label}?"))
    assert study_of(page)["question"].startswith("</script>")
    assert "<script>alert" not in page


def test_a_study_compares_two_to_nine(case, photo) -> None:
    asked = case(photo("p", RED))
    with pytest.raises(UsageError, match="two to 9 methods; got 1"):
        make(Asked({"grad-cam": asked.explainer("grad-cam")}, asked.images))


# In a browser. What a person does is done by events inside the page; what the page then says is read from its text.

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
DRIVER = """<script>
const press = (key) => document.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
const said = {};
window.addEventListener("load", () => {
  try { (() => { %s })(); } catch (error) { said.error = String(error); }
  const out = document.createElement("pre");
  out.id = "said";
  out.textContent = JSON.stringify(said);
  document.body.append(out);
  if (window !== parent) parent.postMessage(JSON.stringify(said), "*");
});
</script></body>"""
FRAME = """<!DOCTYPE html><body style="margin:0"><iframe src="%s" width="390" height="800" style="border:0"></iframe>
<script>addEventListener("message", (e) => { const p = document.createElement("pre"); p.id = "said";
p.textContent = e.data; document.body.append(p); });</script>"""


@pytest.fixture(scope="session")
def browser() -> str:
    """The path of a Chromium; the test skips where there is none."""
    for name in BROWSERS:
        if found := shutil.which(name):
            return found
    pytest.skip(f"needs a browser: one of {', '.join(BROWSERS)} on the path")


def visited(browser: str, page: str, script: str, folder: Path, *, phone: bool = False) -> dict:
    """Open a page in a browser, run a script in it as its visitor, and return what the script put into ``said``."""
    path = folder / "study.html"
    path.write_text(page.replace("</body>", DRIVER % script), encoding="utf-8")
    if phone:
        path = folder / "phone.html"
        path.write_text(FRAME % "study.html", encoding="utf-8")
    done = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}",
         "--virtual-time-budget=4000", "--window-size=1200,900", "--dump-dom", f"{path.as_uri()}#person=5"],
        capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    if done.returncode and not done.stdout:
        pytest.skip(f"the browser does not start here: {done.stderr[-300:]}")
    found = re.search(r'<pre id="said">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found is not None, done.stderr[-2000:]
    said: dict = json.loads(html.unescape(found[1]))
    assert "error" not in said, said
    return said


ANSWERED = """
press("Enter");
said.first = document.getElementById("place").textContent;
press("2"); press("7"); press("0"); press("ArrowLeft");
said.back = document.getElementById("place").textContent;
press("3"); press("1");
said.ended = !document.getElementById("end").hidden;
said.answers = JSON.parse(document.getElementById("text").value);
"""


def test_a_person_answers_by_keys_alone(browser: str, page: str, tmp_path: Path) -> None:
    said = visited(browser, page, ANSWERED, tmp_path)
    assert said["first"] == "Picture 1 of 3"
    assert said["back"] == "Picture 2 of 3"  # 7 is no map; 0 went on, and the arrow came back
    assert said["ended"]
    answers = said["answers"]
    assert (answers["person"], answers["study"]) == (5, study_of(page)["id"])
    picks = [choice["shown"].index(choice["chosen"]) for choice in answers["choices"]]
    assert picks == [1, 2, 0]
    (tmp_path / "answers.json").write_text(json.dumps(answers))
    read = counting.read(str(tmp_path / "answers.json"))
    assert read.places == (1, 2, 0)
    assert set(read.chosen) <= set(METHODS)


def test_pictures_and_places_are_shuffled_by_person(browser: str, page: str, tmp_path: Path) -> None:
    script = """
    const seen = () => order.map((o) => [o.trial, ...o.maps.map((m) => m.id)].join());
    const runs = [...Array(40).keys()].map((k) => { state = { person: k, choices: {} }; arrange(); return seen(); });
    said.orders = new Set(runs.map((run) => run.map((r) => r[0]).join())).size;
    said.firsts = runs.map((run) => run.find((r) => r[0] === "0").split(",")[1]);
    """
    said = visited(browser, page, script, tmp_path)
    assert said["orders"] == 6
    counts = [said["firsts"].count(each) for each in set(said["firsts"])]
    assert len(counts) == 3
    assert min(counts) >= 5  # of 40, 13 are expected


def test_fingers_on_a_phone(browser: str, page: str, tmp_path: Path) -> None:
    script = """
    document.getElementById("begin").click();
    const buttons = [...document.querySelectorAll("button")].filter((b) => b.offsetParent);
    said.width = innerWidth;
    said.scrolls = document.documentElement.scrollWidth > innerWidth;
    said.smallest = Math.min(...buttons.map((b) => Math.min(b.offsetWidth, b.offsetHeight)));
    said.keys = getComputedStyle(document.querySelector(".keys")).display;
    for (let k = 0; k < 3; k++) document.querySelector("#maps button").click();
    said.answers = JSON.parse(document.getElementById("text").value);
    """
    said = visited(browser, page, script, tmp_path, phone=True)
    assert said["width"] == 390
    assert not said["scrolls"]
    assert said["smallest"] >= 44
    assert said["keys"] == "none"
    assert len(said["answers"]["choices"]) == 3


# Counting.


def answers(tmp_path: Path, person: int, picks: list[str | None], **changed: object) -> str:
    """Write the answers of one person to a study of two methods and return the path."""
    trials = [{f"{at}a": "grad-cam", f"{at}b": "score-cam"} for at in range(len(picks))]
    names = [{name: identity for identity, name in trial.items()} for trial in trials]
    choices = [
        {"trial": at, "chosen": pick and names[at][pick], "shown": list(trials[at]), "seconds": 2.0 + at}
        for at, pick in enumerate(picks)
    ]
    key = hide({"methods": ["grad-cam", "score-cam"], "trials": trials})
    found = {"format": "onnxsal answers 1", "study": "s", "person": person, "key": key, "choices": choices, **changed}
    path = tmp_path / f"answers-{person}-{found['study']}.json"
    path.write_text(json.dumps(found))
    return str(path)


def test_shares_are_of_those_who_could_tell(tmp_path: Path) -> None:
    paths = [
        answers(tmp_path, 1, ["grad-cam", "grad-cam", None, "score-cam"]),
        answers(tmp_path, 2, ["grad-cam", "grad-cam", "grad-cam", None]),
    ]
    found = counting.count([counting.read(path) for path in paths])
    assert found.counts == {"grad-cam": 5, "score-cam": 1}
    assert found.shares["grad-cam"].value == pytest.approx(5 / 6)
    assert found.undecided.value == 2 / 8
    assert found.first_place.value == pytest.approx(5 / 6)  # the first map shown was always grad-cam's
    assert (found.persons, found.answers, found.chance) == (2, 8, 0.5)
    # One person has 2 of 3 and one 3 of 3, so the design effect is (2 / 36) / 2 / (5 / 36) * 6 = 1.2, and six answers
    # count as five: Wilson's interval of 5/6 of 5 at Student's t of one degree, in the form (2np + t^2 -+ ...).
    n, p, t = 5, 5 / 6, 12.706
    middle, half = 2 * n * p + t * t, t * math.sqrt(t * t + 4 * n * p * (1 - p))
    ends = (middle - half) / (2 * (n + t * t)), (middle + half) / (2 * (n + t * t))
    assert (found.shares["grad-cam"].low, found.shares["grad-cam"].high) == pytest.approx(ends)


def test_two_persons_of_one_answer_each_show_nothing(tmp_path: Path) -> None:
    found = counting.count([counting.read(answers(tmp_path, person, ["grad-cam"])) for person in (1, 2)])
    assert found.shares["score-cam"].value == 0
    assert found.shares["score-cam"].high > 0.9
    assert counting.says(found) == ["no method is chosen more or less often than chance would have it"]


def test_one_person_has_wilsons_interval_and_chance_is_said(tmp_path: Path) -> None:
    found = counting.count([counting.read(answers(tmp_path, 1, ["grad-cam"] * 12))])
    assert found.shares["grad-cam"].low == pytest.approx(12 / (12 + 1.959964**2), abs=1e-4)
    said = counting.says(found)
    assert said[0] == "grad-cam is chosen more often than by chance (50 %)"
    assert said[1] == "score-cam is chosen less often than by chance (50 %)"
    assert "the first place drew 100 %" in said[2]
    even = counting.count([counting.read(answers(tmp_path, 3, ["grad-cam", "score-cam"] * 3))])
    assert counting.says(even) == ["no method is chosen more or less often than chance would have it"]


def test_what_cannot_be_counted_is_refused(tmp_path: Path) -> None:
    one, two = answers(tmp_path, 1, ["grad-cam"]), answers(tmp_path, 2, ["grad-cam"], study="t")
    with pytest.raises(UsageError, match=r"answers another study \(t\)"):
        counting.count([counting.read(one), counting.read(two)])
    with pytest.raises(UsageError, match="given 2 times"):
        counting.count([counting.read(one), counting.read(one)])
    with pytest.raises(UsageError, match="nobody chose anything"):
        counting.count([counting.read(answers(tmp_path, 4, [None, None]))])


@pytest.mark.parametrize(("text", "said"), [("{", "cannot read"), ("{}", "is no file of answers")])
def test_files_that_are_no_answers_are_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "some.json"
    path.write_text(text)
    with pytest.raises(ImageError, match=said):
        counting.read(str(path))
    with pytest.raises(ImageError, match="there is no file of answers"):
        counting.read(str(tmp_path / "none.json"))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"key": None}, "'key' is None"),
        ({"key": 7}, "'key' is 7"),
        ({"key": "AAAA"}, "the key is damaged"),
        ({"key": hide({"methods": ["a"], "trials": [5]})}, "the key is damaged: its trials"),
        ({"study": None}, "'study' is None"),
        ({"choices": 5}, "'choices' is 5"),
        ({"choices": []}, "it holds no choice"),
        ({"choices": [5]}, "choice 1: expected trial, chosen, shown and seconds"),
    ],
)
def test_damaged_answers_are_named_with_what_is_wrong(tmp_path: Path, changed: dict, said: str) -> None:
    path = answers(tmp_path, 1, ["grad-cam"], **changed)
    with pytest.raises(UsageError, match=re.escape(f"{path!r} is damaged: {said}")):
        counting.read(path)


def test_a_person_is_a_number_and_what_is_missing_is_named(tmp_path: Path) -> None:
    found = json.loads(Path(answers(tmp_path, 1, ["grad-cam"])).read_text())
    path = tmp_path / "some.json"
    path.write_text(json.dumps({**found, "person": "five"}))
    with pytest.raises(UsageError, match="is damaged: 'person' is 'five'"):
        counting.read(str(path))
    path.write_text(json.dumps({"format": found["format"]}))
    with pytest.raises(UsageError, match="is damaged: 'key' is missing"):
        counting.read(str(path))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("shown", 5, "choice 2: 'shown' is 5, not the maps of trial 1 in some order"),
        ("shown", ["1a"], "choice 2: 'shown' is ['1a']"),
        ("shown", ["1a", ["1b"]], "choice 2: 'shown' is ['1a', ['1b']]"),
        ("seconds", float("nan"), "choice 2: 'seconds' is nan, not a number from 0 on"),
        ("seconds", -1, "choice 2: 'seconds' is -1"),
        ("seconds", "3", "choice 2: 'seconds' is '3'"),
        ("trial", -1, "choice 2: trial -1 is none of 0 to 2"),
        ("trial", 3, "choice 2: trial 3 is none of 0 to 2"),
        ("trial", None, "choice 2: trial None is none"),
        ("chosen", "nothing", "choice 2: the map chosen, 'nothing', is none of trial 1"),
        ("chosen", ["1a"], "choice 2: the map chosen, ['1a'], is none"),
    ],
)
def test_damaged_choices_are_named_with_what_is_wrong(tmp_path: Path, name: str, value: object, said: str) -> None:
    path = answers(tmp_path, 1, ["grad-cam"] * 3)
    found = json.loads(Path(path).read_text())
    found["choices"][1][name] = value
    Path(path).write_text(json.dumps(found))
    with pytest.raises(UsageError, match=re.escape(f"{path!r} is damaged: {said}")):
        counting.read(path)


def test_a_trial_counts_once(tmp_path: Path) -> None:
    path = answers(tmp_path, 1, ["grad-cam", "score-cam"])
    found = json.loads(Path(path).read_text())
    found["choices"] += found["choices"][:1] * 2
    Path(path).write_text(json.dumps(found))
    with pytest.raises(UsageError, match="is damaged: trial 0 is answered 3 times"):
        counting.read(path)
