"""Arrows go down only: which room of src/eclectus may import which, read from the import statements themselves.

An import within a function or for types alone counts as any other: it starts no cycle, but it hides one.
"""

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1] / "src" / "eclectus"

FLOORS = [
    {"errors", "segment", "seeds", "schedule", "atomic"},
    {"languages", "launch", "own", "recipes", "registry", "rollouts"},
    {"config", "exploration", "parallel"},
    {"corpora", "rewards"},
    {"catalogue", "environments", "policies"},
    {"algorithms", "evaluation", "export"},
    {"engines", "inference", "tabular"},
    {"scoring", "training"},
    {"auditing"},
    {"cli"},
    {"__main__"},
]
"""Packages and single modules from the ground up: each imports from floors below its own, nothing beside it."""

APART = {("algorithms", "rewards"), ("policies", "rewards"), ("engines", "rewards")}
"""Pairs (room, other) that meet in the training loop alone, although the floors would let one import the other."""

FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def modules() -> dict[str, Path]:
    """Files by the names that they are imported by, in parts: ("policies", "base")."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[:3] != ("rewards", "bridges", "programs"):  # they run in other environments, without eclectus
            found[".".join(parts).removesuffix(".__init__")] = path
    return found


def imported(path: Path, names: dict[str, Path], at_once: bool = False) -> Iterator[str]:
    """The modules of eclectus that a file imports, without `eclectus.`; `at_once`: when it is imported itself."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body if at_once else ast.walk(tree):
        if isinstance(node, ast.Import):
            full = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            full = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in full:
            package, _, rest = name.partition(".")
            if package != "eclectus" or rest == "__version__":
                continue
            # What is imported is a module, or something in one.
            yield rest if rest in names else rest.rpartition(".")[0]


def room(name: str) -> str:
    return name.partition(".")[0]


def test_every_room_has_a_floor():
    assert {room(name) for name in modules()} - {"__init__"} == set(FLOOR)
    assert sum(map(len, FLOORS)) == len(FLOOR)


def test_arrows_go_down_only():
    names, wrong, arrows = modules(), [], 0
    for name, path in names.items():
        for other in imported(path, names):
            assert other in names, f"{name} imports {other}, which is no module"
            here, there = room(name), room(other)
            arrows += here != there
            if here != there and (FLOOR[there] >= FLOOR[here] or (here, there) in APART):
                wrong.append(f"{name} imports {other}")
    assert not wrong
    assert arrows > 500  # else nothing was read


def test_no_module_imports_itself_through_others():
    names = modules()
    graph = {name: set(imported(path, names, at_once=True)) for name, path in names.items()}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError
