"""Experiment and run folders on disk: what they hold, what is complete, how a run is resumed. No TensorFlow here.

runs/<name>/                     an experiment
  config.yaml                    the resolved config
  seed-0/teacher/                a run
    manifest.json                its specification, data and software; hashes of its files
    history.jsonl                a record for each epoch
    checkpoints/                 of a run that is not complete: from these it is resumed
    model.keras, classes.json    the model, and the names of its classes; features.json: those of a table's columns;
                                 inputs.json: how inputs are made of files, if that has to be known
    result.json                  written last: a run without it is not complete
    failure.json                 why the last attempt failed, until the next one
    test.json                    scores on the test split, once it has been evaluated
    outputs.npz                  the logits behind these scores, for the report
  seed-0/teacher-2/              the second member of a teacher of several
  seed-0/.next-teacher/          a run that will replace a finished one, while it is trained
  cache/                         logits of teachers
"""

from kdistill.runs.experiment import Experiment
from kdistill.runs.logits_cache import LogitsCache
from kdistill.runs.run import Result, Run, ScoresOnTest, run_at, teacher_files
from kdistill.runs.scores import answers_of, known_scores, lacks_parts, own_scores, record_scores
from kdistill.runs.specification import (
    ARMS,
    EVERY_ARM,
    arm_order,
    differences,
    identity,
    joint_identity,
    same_teachers,
    shares_of,
    specification,
    split_identity,
    teacher_identity,
    without_share,
)
from kdistill.runs.status import Status, judge, other_config, refuse_other_config, run_in, run_of_model, tidy
from kdistill.runs.writer import RunWriter

__all__ = [
    "ARMS",
    "EVERY_ARM",
    "Experiment",
    "LogitsCache",
    "Result",
    "Run",
    "RunWriter",
    "ScoresOnTest",
    "Status",
    "answers_of",
    "arm_order",
    "differences",
    "identity",
    "joint_identity",
    "judge",
    "known_scores",
    "lacks_parts",
    "other_config",
    "own_scores",
    "record_scores",
    "refuse_other_config",
    "run_at",
    "run_in",
    "run_of_model",
    "same_teachers",
    "shares_of",
    "specification",
    "split_identity",
    "teacher_files",
    "teacher_identity",
    "tidy",
    "without_share",
]
