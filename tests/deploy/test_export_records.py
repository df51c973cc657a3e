"""Exports on disk: their names, their records, and what is refused in their place."""

import contextlib
import json
import os
import time

import pytest

from kdistill.core import files
from kdistill.core.errors import ModelError, OutputError
from kdistill.deploy import export_records, formats
from kdistill.deploy.formats import Form
from kdistill.modelfiles import names


@pytest.mark.parametrize(
    ("form", "model", "name"),
    [
        (Form("litert"), "model.keras", "model.tflite"),
        (Form("litert", "int8"), "model.keras", "model-int8.tflite"),
        (Form("onnx", "float16", with_softmax=True), "big.keras", "big-float16-softmax.onnx"),
        (Form("saved-model"), "model.keras", "saved-model"),
        (Form("saved-model", with_softmax=True), "big.keras", "big-softmax-saved-model"),
    ],
)
def test_default_names(form, model, name, tmp_path):
    assert form.default_name(tmp_path / model) == name


def test_forms_say_what_they_are():
    assert Form("litert", "int8", True).title == "LiteRT int8 with softmax"
    assert Form("onnx").outputs == "logits"
    assert Form("onnx", with_softmax=True).outputs == "probabilities"


def an_export(folder, name="model.tflite", model="model.keras", **more):
    """Write a model and an export of it, which only have to be files."""
    (folder / model).write_bytes(b"the model")
    export = folder / name
    export.write_bytes(name.encode())
    about = {"format": "litert", "quantize": "none", "outputs": "logits", "model": model}
    export_records.write(export, {**about, "model_sha256": files.sha256(folder / model), **more})
    return export


def test_a_record_knows_its_export_and_where_it_came_from(tmp_path):
    export = an_export(tmp_path)
    record = export_records.checked(export)
    assert record["file_bytes"] == len("model.tflite")
    assert export_records.origin(export, record) == tmp_path / "model.keras"
    assert export_records.of_model(tmp_path / "model.keras") == [export]


def test_a_damaged_export_is_refused(tmp_path):
    export = an_export(tmp_path)
    export.write_bytes(b"something else")
    with pytest.raises(ModelError, match="is not the file that was written"):
        export_records.checked(export)


def test_a_record_that_was_changed_counts_for_nothing(tmp_path):
    export = an_export(tmp_path)
    path = export_records.record_file(export)
    path.write_text(path.read_text().replace("logits", "probabilities"))
    assert export_records.read(export) is None
    assert export_records.checked(export) is None


def test_an_export_of_a_model_that_has_gone_or_changed_has_no_origin(tmp_path):
    export = an_export(tmp_path)
    (tmp_path / "model.keras").write_bytes(b"another model")
    assert export_records.origin(export, export_records.read(export)) is None
    assert export_records.of_model(tmp_path / "model.keras") == []
    (tmp_path / "model.keras").unlink()
    assert export_records.origin(export, export_records.read(export)) is None


def test_the_exports_of_other_models_are_not_those_of_this_one(tmp_path):
    an_export(tmp_path, "other.tflite", "other.keras")
    mine = an_export(tmp_path)
    assert export_records.of_model(tmp_path / "model.keras") == [mine]


def test_exports_are_in_the_order_of_their_formats(tmp_path):
    onnx = an_export(tmp_path, "a.onnx", format="onnx")
    litert = an_export(tmp_path, "b.tflite")
    assert export_records.of_model(tmp_path / "model.keras") == [litert, onnx]


def test_a_saved_model_that_is_not_ours_is_not_opened(tmp_path):
    (tmp_path / "saved" / "variables").mkdir(parents=True)
    (tmp_path / "saved" / formats.SAVED_MODEL).write_bytes(b"a graph")
    assert formats.format_of(tmp_path / "saved") == "saved-model"
    with pytest.raises(ModelError, match="a SavedModel is a program"):
        export_records.checked(tmp_path / "saved")


def test_the_hash_of_a_folder_depends_on_names_and_contents(tmp_path):
    def folder(name, **inner):
        (tmp_path / name).mkdir()
        for file, text in inner.items():
            (tmp_path / name / file).write_text(text)
        return export_records.content_sha256(tmp_path / name)

    first = folder("one", a="1", b="2")
    assert folder("same", a="1", b="2") == first
    assert len({first, folder("swapped", a="2", b="1"), folder("less", a="1"), folder("renamed", a="1", c="2")}) == 4
    assert export_records.size(tmp_path / "one") == 2


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match="no such model"):
        formats.format_of(tmp_path / "nothing.keras")
    with pytest.raises(ModelError, match="received another folder"):
        formats.format_of(tmp_path)
    (tmp_path / "model.pt").write_text("")
    with pytest.raises(ModelError, match=r"ends in one of \.keras, \.tflite, \.onnx; received 'model\.pt'"):
        formats.format_of(tmp_path / "model.pt")


def test_names_stand_beside_an_export(tmp_path):
    export = tmp_path / "model.tflite"
    for _ in range(2):
        export_records.write_names(export, ("a", "b"), ("x", "y"))
    assert (names.class_names(export), names.feature_names(export)) == (["a", "b"], ["x", "y"])
    with pytest.raises(OutputError, match=r"classes\.json: names other classes than .* which are b, a"):
        export_records.write_names(export, ["b", "a"], ("x", "y"))
    for features in (("y", "x"), ()):
        with pytest.raises(OutputError, match=r"features\.json: names other features"):
            export_records.check_names(export, ("a", "b"), features)
    for file in (names.CLASSES, names.FEATURES):
        (tmp_path / file).write_text("{}")
        with pytest.raises(OutputError, match=f"{file}: names other"):
            export_records.check_names(export, ["a", "b"], ["x", "y"])
        (tmp_path / file).unlink()


def test_what_is_being_made_is_removed_whatever_happens(tmp_path):
    with contextlib.suppress(KeyboardInterrupt), export_records.making(tmp_path / "model.tflite") as temporary:
        temporary.write_text("half")
        assert temporary.suffix == ".tflite"
        raise KeyboardInterrupt
    with export_records.making(tmp_path / "saved-model") as temporary:
        (temporary / "inner").mkdir(parents=True)
    assert list(tmp_path.iterdir()) == []


def test_what_killed_processes_left_is_removed_after_a_day(tmp_path):
    for age, name in ((2 * files.STALE, "old"), (0, "young")):
        left = tmp_path / f"{export_records.TEMPORARY}1-{name}"
        left.mkdir()
        os.utime(left, (time.time() - age,) * 2)
    with export_records.making(tmp_path / "model.tflite"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [f"{export_records.TEMPORARY}1-young"]


def test_a_folder_is_replaced_whole_and_its_old_record_goes_first(tmp_path):
    place = tmp_path / "saved-model"
    place.mkdir()
    (place / "old").write_text("old")
    export_records.record_file(place).write_text("{}")
    with export_records.making(place) as temporary:
        temporary.mkdir()
        (temporary / "new").write_text("new")
        export_records.put(temporary, place)
    assert [path.name for path in place.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["saved-model"]


def test_a_record_is_json_for_others_to_read(tmp_path):
    export = an_export(tmp_path)
    assert json.loads(export_records.record_file(export).read_text())["format"] == "litert"


def test_how_inputs_are_made_is_kept_with_an_export(tmp_path):
    export = tmp_path / "model.tflite"
    export_records.write_names(export, ("a", "b"), (), {"bits": 16})
    export_records.check_names(export, ("a", "b"), (), {"bits": 16})
    for other in (None, {"bits": 8}):
        with pytest.raises(OutputError, match="says how the inputs of another model are made"):
            export_records.check_names(export, ("a", "b"), (), other)
