"""The shape of the house: who may import whom, how long things may be, what help may not load."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "kdistill"
FILES = sorted(PACKAGE.rglob("*.py"))

# A module may import those on lower levels, and never one on its own level or above.
LEVELS = [
    {"errors", "stats", "listener", "signals", "parts", "slurm", "scaling", "liveview", "__init__", "layout"},
    {"config", "backend", "files", "modelfiles", "extras", "inputs"},
    {"arithmetic", "beside"},
    {"augmentation", "losses", "models", "datasets", "runs", "optimizers", "trackers"},
    {"evaluation", "report", "progress", "diagnosis", "checks", "readers", "preprocessing", "comparison"},
    {"engine", "logitsfile", "inventory", "tables", "ledger", "heatmap"},
    {"training", "teachers"},
    {"opening"},
    {"recipes"},
    {"sessions"},
    {"workers", "scoring"},
    {"beforehand", "chains", "deploy"},
    {"experiments"},
    {"sweeps"},
    {"plans"},
    {"cli"},
    {"__main__"},
]
LEVEL = {module: level for level, modules in enumerate(LEVELS) for module in modules}
HEAVY = {"tensorflow", "keras", "sklearn", "scipy", "ray", "PIL", "onnxruntime", "ai_edge_litert"}


def module_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def kdistill_imports(path):
    for name in imports_of(ast.parse(path.read_text())):
        parts = name.split(".")
        if parts[0] == "kdistill" and len(parts) > 1 and parts[1] != "__version__":
            yield parts[1]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path):
    own = module_of(path)
    for imported in set(kdistill_imports(path)) - {own}:
        assert LEVEL[imported] < LEVEL[own], f"{own} may not import {imported}"


def test_every_module_has_a_level():
    assert {module_of(path) for path in FILES} == set(LEVEL)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_and_functions_are_small(path):
    text = path.read_text()
    assert text.count("\n") <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno < 60, node.name


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_public_things_have_docstrings(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree) is not None
    kinds = ast.FunctionDef | ast.ClassDef
    members = [node for node in tree.body if isinstance(node, kinds)]
    members += [n for c in members if isinstance(c, ast.ClassDef) and c.name[0] != "_" for n in c.body]
    for node in members:
        if isinstance(node, kinds) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{path.name}: {node.name}"


def test_configs_stop_at_the_builders():
    """Losses, the loop and the metrics take flat values."""
    for name in ("losses", "engine", "training", "evaluation"):
        assert "config" not in set(kdistill_imports(PACKAGE / f"{name}.py"))


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["reproduce", "--help"], ["config", "ls"], ["config", "check", "article"], ["runs", "ls"]],
    ids=" ".join,
)
def test_light_commands_load_nothing_heavy(arguments):
    program = (
        "import sys; from kdistill.cli import app\n"
        f"try: app({arguments!r})\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        f"heavy = {HEAVY!r} & set(sys.modules); assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, timeout=60)
