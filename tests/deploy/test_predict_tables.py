"""From a table as people have it to predictions of new rows, through the command line."""

import csv
import io
import json

import numpy as np
import pytest
from command_line import run

from kdistill.core.errors import DataError, ModelError
from kdistill.datasets.table_columns import Column
from kdistill.datasets.table_format import Format
from kdistill.deploy.read_inputs import Inputs, Reader
from kdistill.modelfiles import names

COLUMNS = (Column("size", None, (2.5,)), Column("colour", ("blue", "red")))


def read(path, shape, inputs, **options):
    reader = Reader(shape, inputs=inputs, **options)
    return np.concatenate([rows for _, rows in reader.read(str(path))]), reader


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a teacher that was trained on a table in German format, with categories and missing values."""
    folder = tmp_path_factory.mktemp("table")
    random = np.random.default_rng(0)
    lines = ["nr;size;colour;kind"]
    for number in range(60):
        kind = number % 2
        size = "" if number == 5 else f"{random.normal() + 4 * kind:.3f}".replace(".", ",")
        lines.append(f"{number};{size};{['blue', 'red'][kind]};{['small', 'large'][kind]}")
    (folder / "a.csv").write_text("\n".join(lines) + "\n")
    (folder / "a.yaml").write_text(
        "data: {dataset: csv, path: a.csv, label: kind, test: 0.2, missing: mean}\n"
        "teacher: {hidden: [8]}\nstudent: {hidden: [4]}\n"
        "training: {epochs: 20, batch_size: 8, learning_rate: 0.03}\n"
    )
    run("train-teacher", "-c", folder / "a.yaml", "--output-dir", folder / "runs")
    return folder / "runs/a/seed-0/teacher"


def predicted(model, source, **options):
    result = run("predict", model, source, **options)
    return [row["class"] for row in csv.DictReader(io.StringIO(result.stdout))], result.stderr


def test_the_mapping_is_beside_the_model_and_hashed_with_it(trained):
    assert names.feature_names(trained / "model.keras") == ["size", "colour=blue", "colour=red"]
    found = json.loads((trained / "inputs.json").read_text())
    assert (found["separator"], found["decimal"]) == (";", ",")
    assert [column["name"] for column in found["columns"]] == ["size", "colour"]
    assert "inputs.json" in json.loads((trained / "manifest.json").read_text())["files"]


def test_new_rows_are_read_as_train_was(trained, tmp_path):
    (tmp_path / "new.csv").write_text("colour,size\nred,4.5\nblue,-0.5\nred,\ngreen,4\n")
    classes, said = predicted(trained, tmp_path / "new.csv")
    assert classes[:3] == ["large", "small", "large"]
    assert "column 'colour' has 1 value that train has not: green" in said
    (tmp_path / "german.csv").write_text("nr;colour;size\n1;red;4,5\n2;blue;-0,5\n")
    assert predicted(trained, tmp_path / "german.csv")[0] == ["large", "small"]
    assert predicted(trained, "-", input="colour;size\nred;4,5\nblue;-0,5\n")[0] == ["large", "small"]
    assert predicted(trained, "-", input="colour,size\nred,4.5\nblue,-0.5\n")[0] == ["large", "small"]


def test_rows_that_cannot_be_read_are_refused(trained, tmp_path):
    def refused(text):
        (tmp_path / "new.csv").write_text(text)
        return run("predict", trained, tmp_path / "new.csv", code=4).stderr

    assert "expected rows below the names of the columns; there are none" in refused("colour,size\n")
    assert "colour is missing" in refused("size\n1\n")
    assert "line 2, column 'size': expected a finite number; received 'big'" in refused("colour,size\nred,big\n")


def test_a_mapping_that_is_damaged_is_refused(trained, tmp_path):
    for name in ("model.keras", "classes.json", "features.json"):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    (tmp_path / "new.csv").write_text("colour,size\nred,4.5\n")
    for content in ("[1]", "{", '{"columns": 5}', '{"columns": [{}]}', '{"columns": [{"name": "a", "means": ["x"]}]}',
                    '{"columns": [{"name": "a"}]}', '{"separator": 5}'):  # fmt: skip
        (tmp_path / "inputs.json").write_text(content)
        assert "inputs.json" in run("predict", tmp_path / "model.keras", tmp_path / "new.csv", code=4).stderr


def test_missing_values_without_a_mean_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text("colour,size\nred,\n?,2\n")
    with pytest.raises(DataError, match=r"values are missing: colour \(1 of 2\); the first is in line 3"):
        read(tmp_path / "a.csv", (3,), Inputs(COLUMNS))


def test_tables_without_names_are_taken_by_place(tmp_path):
    inputs = Inputs((Column("2"), Column("3")), Format(header=False))
    (tmp_path / "a.csv").write_text("1,2\n3,4\n")
    np.testing.assert_array_equal(read(tmp_path / "a.csv", (2,), inputs)[0], [[1, 2], [3, 4]])
    (tmp_path / "b.csv").write_text("x,1,2\ny,3,4\n")  # the label first, as in train
    np.testing.assert_array_equal(read(tmp_path / "b.csv", (2,), inputs)[0], [[1, 2], [3, 4]])


def test_a_model_of_an_early_version_may_know_a_column_without_a_name(tmp_path):
    (tmp_path / "a.csv").write_text(",a\n7,1\n8,2\n")
    rows, _ = read(tmp_path / "a.csv", (2,), Inputs(), features=("", "a"))
    np.testing.assert_array_equal(rows, [[7, 1], [8, 2]])


def test_columns_are_known_from_their_documents():
    for column in COLUMNS:
        assert Column.of(json.loads(json.dumps(column.document()))) == column
    for document in (5, {}, {"name": 5}, {"name": "a", "categories": "b"}, {"name": "a", "means": [1, 2]}):
        with pytest.raises(ValueError, match="column"):
            Column.of(document)


def test_an_export_has_the_mapping_too(tmp_path):
    names.write(tmp_path, ["a", "b"], ["x"], {"bits": 16})
    assert names.inputs(tmp_path / "model.keras") == {"bits": 16}
    (tmp_path / "inputs.json").write_text("[]")
    with pytest.raises(ModelError, match="expected a JSON object"):
        names.inputs(tmp_path / "model.keras")
