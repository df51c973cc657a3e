"""Experiments of every kind that a report is made of, each made in moments through the real command line."""

import csv
import os
import shutil
import signal

import numpy as np
import own_data
import pytest
from command_line import run
from interrupting import after

from kdistill.core import files
from kdistill.core.listener import EpochDone
from kdistill.runs import ARMS, Experiment
from kdistill.runs.specification import identity

QUICK = ["--set", "training.epochs=6", "--set", "teacher.hidden=[32]", "--workers", "1"]
HOSTILE = (
    "<script>document.title = 'run'</script>",
    "<img src=x onerror=\"document.title = 'run'\">",
    "\"quoted\" & 'so' `on`; {{ 7 * 7 }} {% raw %}",
    "$\\frac{1}{0}$ _under_ *star* | pipe",
    "שלום עולם",
    "\u202eturned round",
    "very " * 39 + "long",
    "W" * 200,
    "snow ☃ 漢字 é",
    "]]> --> </svg> </style>",
)
"""Names of classes as nobody should choose them, ten in all."""

MOST_SHOWN = 12  # characters of a name that have to be on the page, however long it is
OWN = """\
name: mine
data: {{dataset: {dataset}, path: {path}{more}}}
teacher: {{hidden: [32]}}
student: {{hidden: [8]}}
training: {{batch_size: 32, epochs: 8, patience: 8, learning_rate: 1.0e-2}}
"""


def finished(folder):
    """Make an experiment of three seeds, and measure its models."""
    run("reproduce", "--seeds", 3, *QUICK, "--output-dir", folder)
    run("benchmark", "--output-dir", folder, *QUICK[:4])
    return folder / "quickstart"


def of_one_seed(folder):
    """Make an experiment that says nothing of chance."""
    run("reproduce", "--seeds", 1, *QUICK, "--output-dir", folder)
    return folder / "quickstart"


def of_a_hundred_seeds(folder):
    """Make one of which no plot can show every seed by itself: eight are trained, the others are their copies."""
    place = [*QUICK, "--output-dir", folder]
    run("reproduce", "--seeds", 8, *place)
    experiment = Experiment(folder / "quickstart")
    for seed in range(8, 100):
        for arm in ARMS:
            _copy(experiment.run(arm, seed % 8), experiment.run(arm, seed))
    run("reproduce", "--seeds", 100, *place)
    return experiment.folder


def _copy(made, other):
    """Write a complete run once more, as that of another seed."""
    shutil.copytree(made.folder, other.folder)
    spec = made.manifest["spec"] | {"seed": other.seed}
    changed = {"seed": other.seed, "identity": identity(spec)}
    files.write_sealed(other.folder / "manifest.json", made.manifest | changed | {"spec": spec})
    files.write_sealed(other.folder / "result.json", made.result | changed)


def interrupted(folder):
    """Make one that was stopped at its fifth run, the second baseline or student."""
    _stopped_at(5, "reproduce", "--seeds", 3, *QUICK, "--output-dir", folder)
    return folder / "quickstart"


def begun(folder):
    """Make one that was stopped in its very first run: no arm is there."""
    _stopped_at(1, "reproduce", "--seeds", 3, *QUICK, "--output-dir", folder)
    return folder / "quickstart"


def _stopped_at(number, *arguments):
    """Run a command that is interrupted after the second epoch of the run that it makes as its `number`th."""
    seconds = []

    def stop(event):
        if event.record["epoch"] == 2:
            seconds.append(event)
            if len(seconds) == number:
                os.kill(os.getpid(), signal.SIGINT)

    with pytest.MonkeyPatch.context() as patch:
        after(patch, EpochDone, stop)
        run(*arguments, code=130)


def swept(folder):
    """Make a sweep of two keys."""
    grid = ["--grid", "distill.temperature=1,4,8", "--grid", "distill.alpha=0.1,0.5,0.9"]
    run("sweep", *grid, "--seeds", 2, *QUICK, "--output-dir", folder)
    return folder / "quickstart"


def of_colours(folder):
    """Make one on coloured pictures whose classes have hostile names."""
    examples = _examples(shape=(12, 12, 3), spread=255)
    path = own_data.write_npz(folder / "mine.npz", classes=np.array(HOSTILE), **examples)
    return _own(folder, "npz", path.name)


def of_a_table(folder):
    """Make one on rows of a table whose classes have hostile names."""
    found = _examples(shape=(9,), spread=20)
    x, y = np.concatenate([found["x_train"], found["x_test"]]), np.concatenate([found["y_train"], found["y_test"]])
    _write_table(folder / "mine.csv", x, y)
    return _own(folder, "csv", "mine.csv", ", label: kind, test: 0.3")


def _examples(shape, spread, train=400, test=200):
    """Return arrays of ten classes, each of which has a place of its own where its values are higher."""
    random = np.random.default_rng(0)
    made = {}
    for part, count in (("train", train), ("test", test)):
        labels = random.permutation(np.arange(count) % len(HOSTILE))
        values = random.uniform(0, 0.8, (count, *shape))
        flat = values.reshape(count, -1)
        flat[np.arange(count), labels % flat.shape[1]] += 0.2 + 0.3 * random.random(count)
        made |= {f"x_{part}": (np.minimum(values, 1) * spread).astype(np.uint8), f"y_{part}": labels}
    return made


def _write_table(path, x, y):
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow([*(f"length <b>{number}</b> (cm)" for number in range(x.shape[1])), "kind"])
        rows.writerows([*values, HOSTILE[label]] for values, label in zip(x.tolist(), y, strict=True))


def _own(folder, dataset, path, more=""):
    config = folder / "mine.yaml"
    config.write_text(OWN.format(dataset=dataset, path=folder / path, more=more))
    run("reproduce", "-c", config, "--seeds", 2, "--workers", 1, "--output-dir", folder)
    return folder / "mine"


KINDS = {
    "finished": finished,
    "one seed": of_one_seed,
    "a hundred seeds": of_a_hundred_seeds,
    "interrupted": interrupted,
    "begun": begun,
    "sweep": swept,
    "colours, hostile names": of_colours,
    "table, hostile names": of_a_table,
}
