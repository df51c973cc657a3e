"""Reports on real experiments: complete, unfinished, damaged, on tables, with teachers from elsewhere."""

import json
import shutil
import subprocess
import sys

import numpy as np
import own_data
import pytest
from command_line import document, run
from report_content import PARTS, PREDICTIONS, parts
from small_experiment import SET

from kdistill.core import errors
from kdistill.recipes.session import Options
from kdistill.report.collect.collector import collect
from kdistill.runs import Experiment


def collected(folder, images=3, **options):
    """Collect, and check what holds for every report."""
    found = collect(folder, Options(**options), images)
    for part, is_there in parts(found).items():
        if part in ("sweep", "benchmark"):
            assert not (is_there and part in found.missing)
        else:
            assert bool(is_there) != (part in found.missing), part
    for sentence in (*found.missing.values(), *found.state, *found.warnings):
        assert sentence.endswith(".") or sentence.endswith("`."), sentence
        assert ".." not in sentence.replace("../", "")
    return found


@pytest.fixture(scope="module")
def three_seeds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("three")
    run("reproduce", "--seeds", 3, *SET, "--workers", 1, "--output-dir", folder)
    return folder / "quickstart"


@pytest.fixture
def copied(three_seeds, tmp_path):
    shutil.copytree(three_seeds, tmp_path / "quickstart")
    return tmp_path / "quickstart"


def test_its_numbers_are_those_of_reproduce(three_seeds):
    found, summary = collected(three_seeds), json.loads((three_seeds / "summary.json").read_text())
    assert found.verdict.to_json() == summary["comparison"]
    assert found.headline == summary["headline"]
    for arm in found.arms:
        said = summary["arms"][arm.name]
        for measure in ("accuracy", "nll", "ece"):
            assert getattr(arm, measure) == said[measure]
        assert (arm.parameters, arm.file_bytes) == (said["parameters"], said["file_bytes"])
    assert [arm.name for arm in found.arms] == ["teacher", "baseline", "distilled"]
    assert found.state == []
    assert found.objective.formula == summary["formula"]


def test_its_pictures_agree_with_its_numbers(three_seeds):
    found = collected(three_seeds)
    by_name = {arm.name: arm for arm in found.arms}
    for reliability in found.predictions.reliability:
        assert reliability.count.sum() == 3 * 540
        right = np.nansum(reliability.accuracy * reliability.count) / reliability.count.sum()
        assert right == pytest.approx(by_name[reliability.arm].accuracy["mean"])
        assert reliability.ece == pytest.approx(by_name[reliability.arm].ece["mean"])
    counts = np.array([change.examples for change in found.predictions.classes])
    for arm in ("baseline", "distilled"):
        shares = np.array([getattr(change, arm) for change in found.predictions.classes])
        assert (shares * counts).sum() / counts.sum() == pytest.approx(by_name[arm].accuracy["mean"])
    net = sum(change.fixed - change.broken for change in found.predictions.classes) / 540
    assert net == pytest.approx(found.verdict.difference["mean"])
    for change in (*found.predictions.fixed, *found.predictions.broken):
        answers = {arm: values.argmax() for arm, values in change.probabilities.items()}
        assert set(answers) == {"teacher", "baseline", "distilled"}
        assert all(values.sum() == pytest.approx(1) for values in change.probabilities.values())
    assert [curves.arm for curves in found.curves] == ["teacher", "baseline", "distilled"]
    assert all(len(curves.runs) == 3 for curves in found.curves)
    assert found.predictions.softened.temperature == 4.0


def test_tensorflow_is_not_started_when_outputs_are_stored(three_seeds):
    program = (
        "import sys; from pathlib import Path; from kdistill.report.collect.collector import collect\n"
        "from kdistill.recipes.session import Options\n"
        f"found = collect(Path({str(three_seeds)!r}), Options(), 3).predictions\n"
        "assert found.confusion and found.softened\n"
        "heavy = {'tensorflow', 'keras', 'matplotlib'} & set(sys.modules); assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=300)


def test_outputs_that_are_not_stored_are_computed_again_to_the_same(three_seeds, copied):
    before = collected(three_seeds)
    for path in copied.rglob("outputs.npz"):
        path.unlink()
    (copied / "seed-1/distilled/test.json").unlink()
    after = collected(copied)
    assert after.verdict == before.verdict
    np.testing.assert_array_equal(after.predictions.confusion.distilled, before.predictions.confusion.distilled)
    assert [change.example.number for change in after.predictions.fixed] == [
        change.example.number for change in before.predictions.fixed
    ]
    assert len(list(copied.rglob("outputs.npz"))) == 9


def test_seeds_without_both_students_are_left_out_and_named(copied):
    shutil.rmtree(copied / "seed-1/distilled")
    (copied / "seed-2/baseline/result.json").unlink()
    found = collected(copied)
    assert found.verdict.seeds == [0]
    assert [len(arm.accuracy["values"]) for arm in found.arms] == [1, 1, 1]
    assert found.verdict.difference["ci_low"] is None
    assert any("baseline, seed 2, is interrupted after epoch 1" in sentence for sentence in found.state)
    assert any("without seeds 1, 2" in sentence for sentence in found.state)
    assert any("1 seed is few" in warning for warning in found.warnings)
    assert found.provenance.commands[0].endswith("--seeds 0,1,2")


def test_an_experiment_without_distilled_runs_is_reported_as_far_as_it_goes(copied):
    for path in copied.glob("seed-*/distilled"):
        shutil.rmtree(path)
    (copied / "summary.json").unlink()
    found = collected(copied)
    assert found.verdict is None
    assert "No seed has both" in found.missing["verdict"]
    assert [arm.name for arm in found.arms] == ["teacher", "baseline"]
    assert [curves.arm for curves in found.curves] == ["teacher", "baseline"]
    assert [reliability.arm for reliability in found.predictions.reliability] == ["teacher", "baseline"]
    assert found.predictions.confusion is None
    assert found.predictions.softened.of == "the teacher of seed 0"


def test_with_only_a_config_every_part_is_missing(copied):
    for path in copied.iterdir():
        if path.name != "config.yaml":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    found = collected(copied)
    assert set(found.missing) == {*PARTS} - {"sweep"}
    assert found.data.shape == (8, 8)
    assert found.class_names == list("0123456789")


def test_a_damaged_run_is_left_out_and_named(copied):
    (copied / "seed-0/distilled/model.keras").write_bytes(b"not a model")
    found = collected(copied)
    assert found.verdict.seeds == [1, 2]
    assert any("seed 0" in sentence and "damaged" in sentence for sentence in found.state)


def test_runs_of_another_config_are_left_out(copied):
    path = copied / "config.yaml"
    path.write_text(path.read_text().replace("temperature: 4.0", "temperature: 2.0"))
    found = collected(copied)
    assert found.verdict is None
    assert "distill.temperature: was 4.0, is now 2.0" in " ".join(found.state)
    assert [arm.name for arm in found.arms] == ["teacher", "baseline"]


@pytest.mark.parametrize("file", ["summary.json", "seed-0/distilled/manifest.json", "seed-0/distilled/history.jsonl"])
@pytest.mark.parametrize("content", [b"", b"{", b"\xff\x00", b"[]", b'{"arms": []}'])
def test_a_damaged_file_does_not_stop_the_report(copied, file, content):
    (copied / file).write_bytes(content)
    found = collected(copied)
    assert len(found.arms) == 3


def test_epochs_selected_on_test_are_a_caveat(copied):
    path = copied / "config.yaml"
    path.write_text(path.read_text().replace("validation: 0.2", "validation: test"))
    assert any("on the test split" in warning for warning in collected(copied).warnings)


def test_it_can_be_moved(copied, tmp_path):
    before = collected(copied)
    shutil.move(copied, tmp_path / "elsewhere")
    after = collected(tmp_path / "elsewhere")
    assert after.verdict == before.verdict
    assert str(tmp_path / "elsewhere") in after.provenance.commands[0]


OWN = """\
name: mine
data: {{dataset: {dataset}, path: {path}{more}}}
teacher: {{hidden: [16]}}
student: {{hidden: [4]}}
training: {{batch_size: 8, epochs: 2}}
"""


def own(folder, dataset, path, more=""):
    config = folder / "mine.yaml"
    config.write_text(OWN.format(dataset=dataset, path=path, more=more))
    run("reproduce", "-c", config, "--seeds", 1, "--workers", 1, "--output-dir", folder)
    return folder / "mine"


def test_rows_of_a_table_are_shown_by_their_columns(tmp_path, monkeypatch):
    monkeypatch.setenv("KDISTILL_CACHE_DIR", str(tmp_path / "cache"))
    x = own_data.arrays(train=60, shape=(3,))
    path = own_data.write_csv(tmp_path / "t.csv", x["x_train"], x["y_train"], ("<b>", "a|b"))
    folder = own(tmp_path, "csv", path, ", label: kind, test: 0.4")
    found = collected(folder)
    assert found.data.shape == (3,)
    assert sorted(found.class_names) == ["<b>", "a|b"]
    assert [name for name, _ in found.predictions.softened.examples[0].example.values] == ["a", "b", "c"]
    x["y_train"][:] = x["y_train"][::-1]
    own_data.write_csv(path, x["x_train"], x["y_train"], ("<b>", "a|b"))
    changed = collected(folder)
    assert changed.verdict == found.verdict
    assert all("has changed since" in changed.missing[part] for part in PREDICTIONS)
    path.unlink()
    gone = collected(folder)
    assert gone.verdict == found.verdict
    assert all("The data cannot be read" in gone.missing[part] for part in PREDICTIONS)


@pytest.mark.slow
def test_images_of_any_range_and_colour_can_be_shown(tmp_path, monkeypatch):
    monkeypatch.setenv("KDISTILL_CACHE_DIR", str(tmp_path / "cache"))
    path = own_data.write_npz(tmp_path / "x.npz", **own_data.arrays(shape=(6, 5, 3), dtype=np.float32))
    found = collected(own(tmp_path, "npz", path))
    assert found.predictions.softened.examples[0].example.image.shape == (6, 5, 3)


@pytest.mark.slow
def test_teachers_from_elsewhere_are_reported(three_seeds, tmp_path):
    teachers = [three_seeds / f"seed-{seed}/teacher/model.keras" for seed in (0, 1)]
    elsewhere = [shutil.copy(path, tmp_path / f"t{number}.keras") for number, path in enumerate(teachers)]
    named = "--set", f"distill.teachers=[{', '.join(map(str, elsewhere))}]"
    run("reproduce", "--seeds", 2, *SET, *named, "--workers", 1, "--output-dir", tmp_path)
    summary = json.loads((tmp_path / "quickstart/summary.json").read_text())
    found = collected(tmp_path / "quickstart")
    teacher = found.arms[0]
    assert teacher.title == "2 teachers"
    assert teacher.accuracy["values"] == summary["arms"]["teacher"]["accuracy"]["values"]
    assert teacher.parameters == summary["arms"]["teacher"]["parameters"]
    assert found.predictions.softened.of == "the mean of 2 teachers"
    assert "mean of 2 softmax" in found.objective.formula
    elsewhere[0].unlink()
    for path in (tmp_path / "quickstart/cache").glob("logits-*"):
        path.unlink()
    gone = collected(tmp_path / "quickstart")
    assert [arm.name for arm in gone.arms] == ["baseline", "distilled"]
    assert any("no such model file" in sentence for sentence in gone.state)
    assert "softened" in gone.missing


@pytest.mark.parametrize("validation", [0.2, 0.1], ids=["the same division", "another"])
def test_each_seed_has_the_teacher_of_its_distilled_run(three_seeds, tmp_path, validation):
    """Runs of another experiment: their scores are taken over where they are of the same data, divided alike."""
    place = ["--output-dir", tmp_path, *SET, "--set", f"data.validation={validation}"]
    teachers = [three_seeds / f"seed-{of}/teacher/model.keras" for of in (2, 1)]
    for seed, teacher in enumerate(teachers):
        run("baseline", "--seed", seed, *place)
        run("distill", "--seed", seed, "--teacher", teacher, *place)
    before = [(path.parent / "outputs.npz").read_bytes() for path in teachers]
    found = collected(tmp_path / "quickstart")
    named = [line for line in found.provenance.commands if "--teacher" in line]
    assert [line.rpartition(" ")[2] for line in named] == list(map(str, teachers))
    assert not any("train-teacher" in line or "reproduce" in line for line in found.provenance.commands)
    known = json.loads((three_seeds / "summary.json").read_text())["arms"]["teacher"]["accuracy"]["values"]
    assert found.arms[0].accuracy["values"] == pytest.approx([known[2], known[1]])  # digits have one test split
    assert [(path.parent / "outputs.npz").read_bytes() for path in teachers] == before


def test_a_teacher_of_logits_is_reported(three_seeds, tmp_path):
    data = tmp_path / "data.npz"
    run("data", "export", data)
    arrays = np.load(data)
    logits = {part: np.eye(10)[arrays[f"y_{part}"]] * 9 for part in ("train", "test")}
    path = tmp_path / "logits.npz"
    np.savez(path, labels=arrays["y_train"], **logits)
    for command in ("baseline", "distill"):
        more = ["--teacher-logits", path] if command == "distill" else []
        document(command, *more, *SET, "--output-dir", tmp_path)
    found = collected(tmp_path / "quickstart")
    assert found.arms[0].accuracy["mean"] == 1.0
    assert (found.arms[0].parameters, found.predictions.softened.of) == (None, "the teacher")
    assert found.provenance.commands[1].endswith(f"--seed 0 --teacher-logits {path}")
    assert (found.arms[0].parameters, found.arms[0].file_bytes) == (None, None)
    np.savez(path, labels=arrays["y_train"], train=logits["train"])
    without = collected(tmp_path / "quickstart")
    assert any("its logits on the test split are not known" in sentence for sentence in without.state)


@pytest.mark.slow
def test_shared_teachers_count_once(tmp_path):
    run("reproduce", "--seeds", 3, "--teacher-seeds", 1, *SET, "--workers", 1, "--output-dir", tmp_path)
    summary = json.loads((tmp_path / "quickstart/summary.json").read_text())
    found = collected(tmp_path / "quickstart")
    assert found.verdict.about == summary["comparison"]["about"]
    assert found.arms[0].accuracy["values"] == summary["arms"]["teacher"]["accuracy"]["values"]
    assert found.provenance.commands[0].endswith("--seeds 0,1,2 --teacher-seeds 0,")
    assert found.predictions.reliability[0].runs == 1


@pytest.mark.slow
def test_the_report_of_a_sweep_is_about_its_winner(tmp_path):
    run("sweep", "--grid", "distill.alpha=0.1,0.9", "--seeds", 2, *SET, "--workers", 1, "--output-dir", tmp_path)
    home = tmp_path / "quickstart"
    summary = json.loads((home / "sweep.json").read_text())
    found = collected(home)
    assert found.verdict.sentence == summary["test"]["comparison"]["verdict_text"]
    assert found.verdict.about == summary["test"]["comparison"]["about"]
    assert found.sweep.test.sentence == found.verdict.sentence
    assert f"distill.alpha={summary['winner']['set']['distill.alpha']}" in found.about
    assert found.objective.distill.alpha == summary["winner"]["set"]["distill.alpha"]
    before = sorted(path for path in home.rglob("test.json"))
    (home / "sweep.json").write_text('{"seeds": [0]}')
    assert any("sweep.json is damaged" in sentence for sentence in collected(home).state)
    for name in ("sweep.json", "winner.yaml"):
        (home / name).unlink()
    unfinished = collected(home)
    assert unfinished.verdict is None
    assert unfinished.sweep.command is None
    assert "has not selected a cell" in unfinished.missing["verdict"]
    assert sorted(path for path in home.rglob("test.json")) == before


def test_a_stored_benchmark_is_reported(copied):
    model = copied / "seed-0/distilled/model.keras"
    timed = {"p50_ms": 2.0, "per_second": 500.0, "calls": 200}
    row = {"name": "distilled", "path": str(model), "format": "keras", "parameters": 7, "file_bytes": 8}
    row |= {"accuracy": 0.5, "latency": {"1": timed}, "peak_memory_bytes": 9}
    from kdistill.runs import benchmark

    info = {"machine": "a machine", "cores": 2, "threads": 1, "how": "so"}
    benchmark.keep(Experiment(copied), {"rows": [row], "run_info": info})
    found = collected(copied).benchmark
    assert found["rows"][0]["latency"] == {"1": timed}
    assert found["run_info"] == info
    model.write_bytes(model.read_bytes() + b"more")
    assert "changed since the benchmark" in collected(copied).missing["benchmark"]


def test_a_config_that_is_not_valid_is_an_error_with_its_place(copied):
    (copied / "config.yaml").write_text("name: x\nteachr: {}\n")
    with pytest.raises(errors.ConfigError, match="teachr"):
        collect(copied, Options(), 3)
