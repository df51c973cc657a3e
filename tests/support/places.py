"""Where things are: the checkout, and the data sets that may be beside it."""

from pathlib import Path

ROOT = next(folder for folder in Path(__file__).parents if (folder / "pyproject.toml").exists())
HELPERS = Path(__file__).parent
DATA = ROOT.parent / "shared" / "data"
