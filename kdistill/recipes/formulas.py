"""The formula of the loss of each arm, as one line of text."""

from kdistill.config.formula import hard_formula, hard_term, with_hard_term, words_of_weights
from kdistill.config.initial_weights import FROM_BASELINE
from kdistill.recipes.session import Session
from kdistill.runs import Run


def formula_of_run(session: Session, run: Run, teachers: int) -> str:
    """Return the loss of a run with its numbers; `teachers` is how many taught it, 0 without one."""
    return _formula(session, run, teachers) + session.config.formula_end(run.arm)


def _formula(session: Session, run: Run, teachers: int) -> str:
    config = session.config
    task, weights = config.data.task, config.data.class_weights
    of_model, labels_alone = f"{task.activation}(student)", hard_formula(weights)
    hard, end = hard_term(weights, task), f"{words_of_weights(weights)}{task.summed}"
    match run.arm:
        case "distilled":
            return session.formula_of(teachers)
        case "smoothed":
            share = float(config.controls["smoothed"] or 0)
            return f"loss = {share:g} * KL(equal probabilities || {of_model}) + {1 - share:g} * {hard}{end}"
        case "pseudo":
            answer = f"{task.cross_entropy}(the teacher's answer, {of_model})"
            return with_hard_term(answer, config.distill, weights, task, config.data.has_unlabelled)
        case "shuffled":
            among = "all examples" if config.controls["shuffled"] == "all" else "those of the same answer"
            return f"{session.formula_of(teachers)}, the teacher's outputs exchanged among {among}"
        case "self":
            layers = ", in hints by the student's layers" if config.distill.hints else ""
            return f"{session.formula_of(1)}, teacher: the baseline{layers}"
        case "continued":
            return f"{labels_alone}{FROM_BASELINE}"
    return labels_alone
