"""The folder of an experiment: the runs of all its arms and seeds."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdistill.core import documents, files
from kdistill.core.errors import OutputError
from kdistill.evaluation.measures import ACCURACY, MEASURES, NLL, Measure
from kdistill.runs import shapes
from kdistill.runs.run import Run, run_at

if TYPE_CHECKING:
    from kdistill.config import Config

SUMMARY_FILE = "summary.json"
SWEEP_FILE = "sweep.json"
WINNER_FILE = "winner.yaml"

CHOSEN_HERE = (
    "The winner was selected among all cells on these same runs, so its scores are optimistically biased; "
    "`reproduce` with its config estimates them on fresh seeds."
)


def chosen_by(measure: Measure) -> str:
    """Return by what the cell of a sweep is chosen."""
    if measure is NLL:
        return "mean validation NLL of the distilled student: the lowest"
    return f"mean validation {measure.words} of the distilled student; the lower NLL where two are equal"


def verdict_measure(summary: Mapping[str, Any] | None, config: "Config") -> Measure:
    """Return the measure of the verdict in a `summary.json`, by default accuracy; without one, that of a config."""
    if not summary:
        return MEASURES[config.verdict.measure]
    return MEASURES[summary["comparison"].get("measure", ACCURACY.name)]


class Experiment:
    """The folder of one experiment: the runs of all its arms and seeds.

    Args:
        folder: `<output dir>/<name>`; it need not exist.
        cache: the folder of the teachers' logits, by default within `folder`; cells of a sweep share that of the sweep.
    """

    def __init__(self, folder: Path, cache: Path | None = None) -> None:
        self.folder = folder
        self.cache = cache or folder / "cache"

    @property
    def name(self) -> str:
        """The name of the experiment."""
        return self.folder.name

    def run(self, arm: str, seed: int) -> Run:
        """Return the run of `arm`, or of a teacher's member, with `seed`: see `run_at`; its folder need not exist."""
        return run_at(self.folder / f"seed-{seed}", arm, seed)

    def seeds(self) -> list[int]:
        """Return the seeds that have a folder."""
        names = (path.name.removeprefix("seed-") for path in self.folder.glob("seed-*"))
        return sorted(int(name) for name in names if name.isdecimal())

    def compared_by(self, config: "Config") -> Measure:
        """Return the measure of the last verdict on the experiment; without one, that of its config.

        The config in the folder is that of the first run: no run depends on the measure, which may change.

        Raises:
            DamagedError: the summary with the verdict is damaged; says what is wrong.
        """
        return verdict_measure(documents.read(self.folder / SUMMARY_FILE, shapes.Summary), config)

    def threads(self) -> int | None:
        """Return the number of threads of the runs so far, which last digits depend on; None where there are none."""
        for path in sorted(self.folder.glob("seed-*/[!.]*/manifest.json")):
            if threads := (documents.read_sealed(path, shapes.Manifest) or {}).get("threads"):
                return int(threads)
        return None

    def check_usable(self) -> None:
        """Refuse a folder that is not an experiment's. Whether it can be written, `checks.writable` finds out.

        Raises:
            OutputError: the folder is a file, or holds something else.
        """
        place = self.folder
        if place.exists() and not place.is_dir():
            raise OutputError(f"{place}: expected a folder for the experiment; this is a file")
        # Before the config is written there may be the cache, with the logits of a teacher that was checked, and what a
        # killed process has left.
        if (
            place.is_dir()
            and not (place / "config.yaml").exists()
            and any(path != self.cache and not path.name.startswith(files.TEMPORARY) for path in place.iterdir())
        ):
            raise OutputError(
                f"{place}: the folder is not empty and is not an experiment: it has no config.yaml",
                hint="Choose another --output-dir, or another `name` in the config.",
            )

    def record(self, config_text: str) -> None:
        """Write the resolved config of what was compared last, unless it is there: no run may have been trained for it.

        Raises:
            OutputError: the folder cannot be written.
        """
        path = self.folder / "config.yaml"
        if not path.is_file() or path.read_bytes() != config_text.encode():
            self.create(config_text)

    def create(self, config_text: str) -> None:
        """Make the folder and write the resolved config into it.

        Raises:
            OutputError: the folder cannot be written.
        """
        with files.writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            for folder in (self.folder, self.cache):
                files.remove_stale(folder)
            files.write_text(self.folder / "config.yaml", config_text)
