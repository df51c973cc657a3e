"""The folder of an experiment: the runs of all its arms and seeds."""

from pathlib import Path

from kdistill.core import files
from kdistill.core.errors import OutputError
from kdistill.runs.run import Run

SUMMARY_FILE = "summary.json"
SWEEP_FILE = "sweep.json"
WINNER_FILE = "winner.yaml"

CHOSEN_BY = "mean validation accuracy of the distilled student; the lower NLL where two are equal"
CHOSEN_HERE = (
    "The winner was selected among all cells on these same runs, so its scores are optimistically biased; "
    "`reproduce` with its config estimates them on fresh seeds."
)


class Experiment:
    """The folder of one experiment: the runs of all its arms and seeds.

    Args:
        folder: `<output dir>/<name>`; it need not exist.
        cache: where the teacher's logits are kept; inside the folder, unless it is that of a whole it is a part of.
    """

    def __init__(self, folder: Path, cache: Path | None = None) -> None:
        self.folder = folder
        self.cache = cache or folder / "cache"

    @property
    def name(self) -> str:
        """The name of the experiment."""
        return self.folder.name

    def run(self, arm: str, seed: int) -> Run:
        """Return the run of `arm` with `seed`; its folder need not exist."""
        return Run(self.folder / f"seed-{seed}" / arm, arm, seed)

    def seeds(self) -> list[int]:
        """Return the seeds of which there is a folder."""
        names = (path.name.removeprefix("seed-") for path in self.folder.glob("seed-*"))
        return sorted(int(name) for name in names if name.isdecimal())

    def threads(self) -> int | None:
        """Return the threads that the runs here were made with, which last digits depend on; None if none are."""
        for path in sorted(self.folder.glob("seed-*/[!.]*/manifest.json")):
            if threads := (files.read_sealed(path) or {}).get("threads"):
                return int(threads)
        return None

    def check_usable(self) -> None:
        """Refuse a folder that is something else. Whether it can be written is for `checks.writable` to find out.

        Raises:
            OutputError: naming the folder and what is in it.
        """
        place = self.folder
        if place.exists() and not place.is_dir():
            raise OutputError(f"{place}: expected a folder for the experiment; this is a file")
        if place.is_dir() and not (place / "config.yaml").exists() and self._strangers():
            raise OutputError(
                f"{place}: the folder is not empty and is not an experiment: it has no config.yaml",
                hint="Choose another --output-dir, or another `name` in the config.",
            )

    def _strangers(self) -> bool:
        """Whether something is there that a process killed while making the folder would not have left."""
        return any(not path.name.startswith(files.TEMPORARY) for path in self.folder.iterdir())

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
