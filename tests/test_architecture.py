"""The shape of the house: who may import whom, how long things may be, what help may not load."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

from kdistill import errors

PACKAGE = ROOT / "kdistill"
FILES = sorted(PACKAGE.rglob("*.py"))

# A module may import those on lower levels, and never one on its own level or above.
LEVELS = [
    {"errors", "stats", "listener", "signals", "parts", "slurm", "scaling", "liveview", "__init__", "layout"},
    {"config", "backend", "files", "modelfiles", "extras", "inputs", "measures"},
    {"arithmetic", "beside"},
    {"augmentation", "losses", "models", "datasets", "runs", "optimizers", "trackers"},
    {"evaluation", "report", "progress", "diagnosis", "checks", "readers", "preprocessing", "comparison"},
    {"engine", "logitsfile", "inventory", "tables", "ledger", "heatmap"},
    {"training", "teachers"},
    {"opening"},
    {"attempts"},
    {"recipes"},
    {"sessions"},
    {"workers", "scoring", "asking"},
    {"beforehand", "chains", "deploy"},
    {"experiments"},
    {"sweeps"},
    {"plans", "pages"},
    {"cli"},
    {"__main__"},
]
LEVEL = {module: level for level, modules in enumerate(LEVELS) for module in modules}
HEAVY = {
    "tensorflow",
    "keras",
    "sklearn",
    "scipy",
    "ray",
    "PIL",
    "onnxruntime",
    "ai_edge_litert",
    "matplotlib",
    "jinja2",
}

# A module is tested in the file of its name (`datasets/npz.py` in `test_datasets_npz.py`), but for these.
ONLY_NAMES = {"__init__", "config/__init__", "deploy/__init__", "pages/__init__", "runs/__init__", "workers/__init__"}
TESTED_IN = {
    "__main__": "test_cli_boundary",  # as the way in
    "attempts": "test_recipes",  # by the recipes that make them
    "beforehand": "test_experiments",  # by what is refused before anything is trained
    "chains": "test_experiments",  # by the runs that come of them
    "cli/experiment": "test_cli",
    "cli/options": "test_cli",
    "cli/spreading": "test_parts",  # together with the parts that it asks for
    "config/paths": "test_config_loading",  # by configs in other folders
    "config/problems": "test_config_loading",  # by configs that are wrong
    "config/section": "test_config_schema",  # by the sections that it is for
    "deploy/fresh": "test_deploy_exports",  # in the process that it is for
    "deploy/measure": "test_deploy_benchmark",  # likewise
    "deploy/runtimes": "test_deploy_convert",  # each runtime on what is made for it
    "diagnosis": "test_cli",
    "errors": "test_docs_reference",  # their exit codes; the rest is a message and a hint
    "listener": "test_recipes",  # it does nothing
    "models/loading": "test_models",
    "pages/answers": "test_pages_collect",  # by the material that comes of them
    "pages/costs": "test_pages_collect",
    "pages/material": "test_pages_collect",
    "pages/material_answers": "test_pages_collect",
    "pages/material_origins": "test_pages_collect",
    "pages/origins": "test_pages_collect",
    "pages/scored": "test_pages_collect",
    "pages/subject": "test_pages_collect",
    "sessions": "test_experiments",  # a session is what experiments are made of
    "sweeps/grid": "test_sweeps",
    "sweeps/sweep": "test_sweeps",
    "sweeps/winner": "test_sweeps",
    "workers/connection": "test_workers_cluster",  # with the cluster that it connects to
    "workers/perform": "test_workers_local",  # in the workers that run it
    "workers/process": "test_workers_local",
    "workers/remote": "test_workers_cluster",
    "workers/stopping": "test_workers_local",  # by workers that are stopped
    "workers/tasks": "test_workers_local",
}


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


def own_test(name):
    return "test_" + name.removesuffix("/__init__").replace("/", "_")


def test_every_module_has_its_tests():
    tests = {path.stem for path in Path(__file__).parent.glob("test_*.py")}
    names = {str(path.relative_to(PACKAGE).with_suffix("")) for path in FILES} - ONLY_NAMES
    without = {name for name in names if own_test(name) not in tests}
    assert without == set(TESTED_IN), "write a test file of its name, or say here where a module is tested"
    assert set(TESTED_IN.values()) <= tests


KINDS_OF_ERROR = {name for name, kind in vars(errors).items() if isinstance(kind, type)}


def raised_in(function):
    """Yield the errors that leave a function from its own `raise`; functions within it are not looked at."""
    for node in ast.iter_child_nodes(function):
        if isinstance(node, ast.Try) and any(
            ast.unparse(each.type or each) == "KdistillError" for each in node.handlers
        ):
            continue
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name):
            yield node.exc.func.id
        elif not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda):
            yield from raised_in(node)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_docstrings_name_the_errors_that_are_raised(path):
    """Those of a user's mistakes, by public functions and methods. A command's docstring is its help."""
    if module_of(path) == "cli":
        return
    tree = ast.parse(path.read_text())
    owners = [tree, *(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name[0] != "_")]
    for node in (node for owner in owners for node in owner.body):
        if isinstance(node, ast.FunctionDef) and node.name[0] != "_":
            unnamed = {kind for kind in raised_in(node) if kind not in ast.get_docstring(node)} & KINDS_OF_ERROR
            assert not unnamed, f"{node.name} raises {', '.join(unnamed)}"


def test_configs_stop_at_the_builders():
    """Losses, the loop and the metrics take flat values."""
    for name in ("losses", "engine", "training", "evaluation", "measures"):
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
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, timeout=300)
