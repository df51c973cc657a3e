"""The shape of the house: who may import whom, how long things may be, what help may not load."""

import ast
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import places
import pytest

from kdistill.core import errors

PACKAGE = places.ROOT / "kdistill"
FILES = sorted(PACKAGE.rglob("*.py"))

# The picture in CONTRIBUTING.md: a package may import those on lower floors, and none on its own floor or above.
FLOORS = [
    {"core"},
    {"evaluation"},
    {"config", "modelfiles"},
    {"datasets", "models", "runs"},
    {"teachers", "training"},
    {"recipes"},
    {"deploy", "experiments", "report"},
    {"cli"},
    {"__main__"},
]
FLOOR = {package: floor for floor, packages in enumerate(FLOORS) for package in packages}
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


def name_of(path):
    return str(path.relative_to(PACKAGE))


def package_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def tree_of(path):
    return ast.parse(path.read_text())


def kdistill_imports(path):
    for name in imports_of(tree_of(path)):
        parts = name.split(".")
        if parts[0] == "kdistill" and len(parts) > 1 and parts[1] != "__version__":
            yield parts[1]


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.parent != PACKAGE or path.stem != "__init__"], ids=name_of
)
def test_imports_point_down(path):
    own = package_of(path)
    for imported in set(kdistill_imports(path)) - {own}:
        assert FLOOR[imported] < FLOOR[own], f"{own} may not import {imported}"


def test_every_package_has_a_floor():
    assert {package_of(path) for path in FILES} - {"__init__"} == set(FLOOR)


def modules_below(folder):
    """Return the modules of a package by name, with those that each imports while it is imported."""
    graph = {}
    for path in sorted(folder.rglob("*.py")):
        tree = tree_of(path)
        known = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        names = [name for name in imports_of(ast.Module(known, [])) if name.startswith("kdistill.")]
        graph[".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")] = names
    found = {
        module: (name if name in graph else name.rpartition(".")[0] for name in names)
        for module, names in graph.items()
    }
    return {module: set(others) & set(graph) for module, others in found.items()}


@pytest.mark.parametrize("package", sorted(set(FLOOR) - {"__main__"}))
def test_no_package_imports_itself_in_a_circle(package):
    """A package's face, `__init__`, gathers what its modules offer, so none of these may import the face."""
    TopologicalSorter(modules_below(PACKAGE / package)).prepare()


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_and_functions_are_small(path):
    assert path.read_text().count("\n") <= 400
    for node in ast.walk(tree_of(path)):
        most = {ast.FunctionDef: 40, ast.AsyncFunctionDef: 40, ast.ClassDef: 150}.get(type(node))
        assert not most or node.end_lineno - node.lineno < most, node.name


@pytest.mark.parametrize("path", sorted((PACKAGE / "cli").glob("*.py")), ids=name_of)
def test_commands_are_thin(path):
    """A command has options, one call and one rendering: 25 lines from `def` to its end."""
    for node in tree_of(path).body:
        decorators = [ast.unparse(decorator) for decorator in getattr(node, "decorator_list", [])]
        if any("command" in decorator or "options" in decorator for decorator in decorators):
            assert node.end_lineno - node.lineno < 25, node.name


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_public_things_have_docstrings(path):
    tree = tree_of(path)
    assert ast.get_docstring(tree) is not None
    kinds = ast.FunctionDef | ast.ClassDef
    members = [node for node in tree.body if isinstance(node, kinds)]
    members += [n for c in members if isinstance(c, ast.ClassDef) and c.name[0] != "_" for n in c.body]
    for node in members:
        if isinstance(node, kinds) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{path.name}: {node.name}"


def folders_with(pattern, root):
    return {path.parent.relative_to(root) for path in root.rglob(pattern)}


def test_tests_live_in_folders_of_the_same_names():
    packages = folders_with("*.py", PACKAGE) - {Path()}
    tests = folders_with("test_*.py", places.ROOT / "tests") - {Path(), Path("docs")}  # docs has a folder of its own
    assert packages - {Path("report")} == tests  # a face of which there is nothing to test


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


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_docstrings_name_the_errors_that_are_raised(path):
    """Those of a user's mistakes, by public functions and methods. A command's docstring is its help."""
    if package_of(path) == "cli":
        return
    tree = tree_of(path)
    owners = [tree, *(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name[0] != "_")]
    for node in (node for owner in owners for node in owner.body):
        if isinstance(node, ast.FunctionDef) and node.name[0] != "_":
            unnamed = {kind for kind in raised_in(node) if kind not in ast.get_docstring(node)} & KINDS_OF_ERROR
            assert not unnamed, f"{node.name} raises {', '.join(unnamed)}"


def test_configs_stop_at_the_builders():
    """Losses, the loop and the metrics take flat values."""
    flat = [
        *PACKAGE.glob("evaluation/*.py"),
        *(PACKAGE / f"training/{name}.py" for name in ("losses", "compiled_loop", "fit")),
    ]
    for path in flat:
        assert "config" not in set(kdistill_imports(path)), path.name


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
