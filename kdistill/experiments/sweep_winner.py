"""The winner of a sweep: the tasks that score it, and its config."""

import shlex
import shutil
from collections.abc import Sequence

from kdistill import runs
from kdistill.config import dump
from kdistill.core import files
from kdistill.evaluation import statistics
from kdistill.experiments.sweep_grid import Cell, Grid
from kdistill.experiments.task_graph import tasks_of, teachers_of
from kdistill.experiments.workers import WINNER, Failure, Outcomes, Task, TaskKey
from kdistill.recipes.session import Session
from kdistill.runs import Run
from kdistill.runs.experiment import WINNER_FILE

LARGEST_SEED = 2**31 - 1  # of a config


def tasks(grid: Grid, best: Cell, seeds: Sequence[int], outcomes: Outcomes) -> list[Task]:
    """Return the tasks that make the folder of a cell a whole experiment, as by `reproduce`.

    A baseline that has failed in the sweep's folder would fail here too: it is recorded as failed, not tried again.
    """
    for seed in seeds:
        for member in best.session.members(best.teacher.experiment.run("teacher", seed)):
            _adopt(best.session, member)
        _adopt(best.session, grid.home.experiment.run("baseline", seed))
        own = TaskKey("baseline", seed)
        if failure := outcomes.failed.get(own):
            again = Failure(f"not tried again, since {own.name} failed", exit_code=failure.exit_code, since=own)
            outcomes.failed[TaskKey("baseline", seed, WINNER)] = again
    whole = tasks_of(best.session, teachers_of(best.session, seeds), WINNER)
    return [task for task in whole if task.key not in outcomes.failed]


def write_config(home: Session, best: Cell, seeds: Sequence[int]) -> dict[str, str]:
    """Write the config of a cell as that of a new experiment, with seeds that had no part in the choice.

    Returns:
        `config`: its path; `command`: the command that runs it, in the output folder of the sweep.
    """
    path = home.experiment.folder / WINNER_FILE
    config = best.session.config
    # The winner of another sweep gets another name, so that their runs do not conflict.
    name = f"{config.name[:80]}-winner-{best.session.experiment.folder.name[:6]}"
    count = max(len(seeds), statistics.LEAST_SEEDS)
    first = max(seeds) + 1
    fresh = {"seed": first if first + count <= LARGEST_SEED else 0, "seeds": count}
    text = dump(config.model_copy(update={"name": name, "sweep": {}, **fresh}))
    output_dir = shlex.quote(str(home.experiment.folder.parent))
    command = f"kdistill reproduce -c {shlex.quote(str(path))} --output-dir {output_dir}"
    header = (
        f"# The winner of a sweep, chosen on validation: {best.name}\n"
        f"# Its seeds are fresh: {', '.join(map(str, seeds))} had a part in the choice.\n"
        f"#\n#   {command}\n"
    )
    with files.writing(path):
        files.write_text(path, header + text)
    return {"config": str(path), "command": command}


def _adopt(session: Session, made: Run) -> None:
    """Copy a finished run from another folder, if a session would otherwise train the same run again."""
    wanted = session.experiment.run(made.name, made.of_seed)
    spec = session.specification(made.arm, made.seed)
    if runs.judge(wanted).counts or not runs.judge(made, spec).counts:
        return
    with wanted.locked(), files.writing(wanted.folder):
        if wanted.finished:
            return
        temporary = files.temporary_for(wanted.folder)
        for left in wanted.folder.parent.glob(f"{files.TEMPORARY}*-{made.name}*"):
            files.remove(left)
        shutil.copytree(made.folder, temporary)
        files.put(temporary, wanted.folder)
