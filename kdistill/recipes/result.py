"""The result of a run: its model saved and scored on validation, with what it was trained on."""

from typing import Any

from kdistill import models
from kdistill.core import files
from kdistill.datasets.splits import Splits
from kdistill.evaluation import metrics, predict
from kdistill.modelfiles import names
from kdistill.recipes import transfer_set
from kdistill.recipes.budgets import budget_of
from kdistill.recipes.formulas import formula_of_run
from kdistill.recipes.remarks import classes_left_out, examples_in
from kdistill.recipes.session import Session
from kdistill.runs import Result, Run, RunWriter
from kdistill.runs.run import ALL_DONE, NO_IMPROVEMENT
from kdistill.teachers.teacher import AnyTeacher
from kdistill.training.fit import Data, Fit


def saved(session: Session, writer: RunWriter, fit: Fit, teacher: AnyTeacher | None) -> Result:
    """Save the model of a finished fit, and return all of its result but the warnings."""
    run, validation = writer.run, session.splits.validation
    more = transfer_set.adjust(session, run, fit)
    with files.writing(run.folder):
        models.save(fit.model, run.model_file)
        splits = session.splits
        names.write(run.folder, splits.classes, splits.features, splits.inputs, splits.task)
    logits = predict.logits(fit.predict, validation)
    scores = metrics.score(logits, validation.all_labels)
    weights = session.class_weights_of(run.arm)
    if splits.has_unlabelled or classes_left_out(session, run):
        more["trained_on"] = examples_in(fit.data)
    if weights is not None:
        more["class_weights"] = weights
    if fit.data.augmentation:
        more["augmentation"] = fit.data.augmentation.to_json()
    if teacher:
        more["soft_targets"] = _soft_targets(fit.data)
    result: Any = {
        "arm": run.arm,
        "seed": run.seed,
        **_epochs(session, run, len(writer.history)),
        "best_epoch": fit.stopping.best_epoch,
        "stopped": NO_IMPROVEMENT if fit.stopping.patience_left == 0 else ALL_DONE,
        "validation": scores.to_json(),
        **_on_right_labels(splits, logits),
        "parameters": fit.model.count_params(),
        "file_bytes": run.model_file.stat().st_size,
        "weights_sha256": models.fingerprint(fit.model),
        "teacher_validation": teacher.validation_scores.to_json() if teacher else None,
        "teacher_parameters": teacher.parameters if teacher else None,
        "formula": formula_of_run(session, run, len(teacher.paths) if teacher else 0),
        **more,
        "run_info": {
            "seconds": round(sum(record["seconds"] for record in writer.history), 2),
            "compiled": fit.engine.compiled,  # false where XLA cannot take a layer, or is slower
        },
    }
    return result


def _epochs(session: Session, run: Run, done: int) -> dict[str, int]:
    """Return the epochs that are done, and their updates if the config says how many there may be."""
    of_updates = session.config.training_for(run.role).steps is not None
    updates = budget_of(session.config, run.role, session.splits).after(done)
    return {"epochs": done, **({"updates": updates} if of_updates else {})}


def _on_right_labels(splits: Splits, logits: metrics.Floats) -> dict[str, Any]:
    """Return the scores of logits (n, classes) on the right labels of validation, where these are not those in use."""
    right = splits.right_validation
    return {"validation_right": metrics.score(logits, right.all_labels).to_json()} if right else {}


def _soft_targets(data: Data) -> str:
    if not data.teachers and not data.guide:
        return "computed once"
    return "computed for every augmented image" if data.augmentation else "computed in every epoch"
