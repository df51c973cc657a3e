"""Experiment and run folders on disk: what is there, what is complete, how it goes on. No TensorFlow here.

runs/<name>/                     an experiment
  config.yaml                    the resolved config
  seed-0/teacher/                a run
    manifest.json                who made it, from what, with which software; hashes of its files
    history.jsonl                a record for each epoch
    checkpoints/                 while it is not complete: from where it goes on
    model.keras, classes.json    the model, and the names of its classes; features.json those of a table's columns
    result.json                  written last: a run without it is not complete
    failure.json                 why it ended by itself before, until it is tried again
    test.json                    scores on the test split, once it has been evaluated
    outputs.npz                  the logits that these are of, for pictures of them
  seed-0/.next-teacher/          a run that is to replace a finished one, while it is being made
  cache/                         logits of teachers
"""

from kdistill.runs.checkpoints import Cadence, Checkpoint
from kdistill.runs.experiment import Experiment
from kdistill.runs.logits_cache import LogitsCache
from kdistill.runs.run import REPLACE, SAME_CONFIG, Result, Run, ScoresOnTest, SplitScores, teacher_files
from kdistill.runs.scores import correct_answers, known_scores, own_scores, record_scores
from kdistill.runs.specification import (
    ARMS,
    BETWEEN,
    differences,
    identity,
    joint_weights,
    same_teachers,
    specification,
    taken_apart,
    teacher_identity,
)
from kdistill.runs.status import Status, judge, other_config, refuse_other_config, run_in, run_of_model, tidy
from kdistill.runs.writer import STATE, RunWriter

__all__ = [
    "ARMS",
    "BETWEEN",
    "REPLACE",
    "SAME_CONFIG",
    "STATE",
    "Cadence",
    "Checkpoint",
    "Experiment",
    "LogitsCache",
    "Result",
    "Run",
    "RunWriter",
    "ScoresOnTest",
    "SplitScores",
    "Status",
    "correct_answers",
    "differences",
    "identity",
    "joint_weights",
    "judge",
    "known_scores",
    "other_config",
    "own_scores",
    "record_scores",
    "refuse_other_config",
    "run_in",
    "run_of_model",
    "same_teachers",
    "specification",
    "taken_apart",
    "teacher_files",
    "teacher_identity",
    "tidy",
]
