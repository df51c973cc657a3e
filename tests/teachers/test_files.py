"""The files of teachers: found, with the runs that they are of, and checked before TensorFlow is started."""

import pytest
from small_experiment import session

from kdistill import modelfiles
from kdistill.core.errors import ModelError
from kdistill.runs import Experiment, Run, joint_identity
from kdistill.teachers import files


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ModelError, match="no such model file"):
        modelfiles.check_exists(tmp_path / "m.keras")
    modelfiles.check_exists(tmp_path)


def test_the_run_that_a_model_is_of_is_found_and_is_complete(experiment_copy, tmp_path):
    run = session(experiment_copy).experiment.run("teacher", 0)
    elsewhere = tmp_path / "t.keras"
    elsewhere.write_bytes(run.model_file.read_bytes())
    found = files.find([run.model_file, elsewhere, tmp_path / "gone.keras"])
    assert found.runs == (run, None, None)
    assert found.recorded_identity is None
    assert files.find([run.model_file]).recorded_identity == joint_identity([run.result["weights_sha256"]])
    run.model_file.write_bytes(b"another")
    assert files.find([run.model_file]).runs == (None,)


def test_a_student_is_not_its_own_teacher(tmp_path):
    run = Run(tmp_path / "seed-0" / "distilled", "distilled", 0)
    other = tmp_path / "seed-0" / "teacher" / "model.keras"
    for path in (run.model_file, other):
        path.parent.mkdir(parents=True)
        path.touch()
    with pytest.raises(ModelError, match="its own teacher"):
        files.check([run.model_file], run)
    files.check([other], run)


def test_a_teacher_given_twice_is_refused(tmp_path):
    run = Experiment(tmp_path / "e").run("distilled", 0)
    first, second = tmp_path / "a.keras", tmp_path / "b.keras"
    first.touch()
    second.touch()
    files.check([first, second], run)
    with pytest.raises(ModelError, match="given twice"):
        files.check([first, second, tmp_path / ".." / tmp_path.name / "a.keras"], run)
    with pytest.raises(ModelError, match="no such file of logits"):
        files.check([first, tmp_path / "c.npz"], run)
