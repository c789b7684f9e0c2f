"""`metrics.jsonl` and `samples.jsonl` of a run folder, as they are after a crash, a kill or a resume."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Record = dict[str, Any]


def read(path: Path) -> list[Record]:
    """Read the objects of a JSONL file; [] where there is none.

    A line that is no JSON object is left out: a run that was killed leaves a half-written one.
    """
    if not path.exists():
        return []
    found = []
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            found.append(record)
    return found


def latest(records: Iterable[Record], *keys: str) -> list[Record]:
    """Keep the last record for each value of `keys`, in the order of steps.

    A resumed run repeats the steps after its checkpoint; what it did the second time is what counts.
    """
    kept = {
        tuple(str(record.get(key)) for key in keys): record
        for record in records
        if isinstance(record.get("step"), int | float)
    }
    return sorted(kept.values(), key=lambda record: record["step"])


def metrics(run: Path) -> list[Record]:
    """Read `metrics.jsonl`, each step once."""
    return latest(read(run / "metrics.jsonl"), "kind", "stage", "step")


def samples(run: Path) -> list[Record]:
    """Read `samples.jsonl`, each source of a step once."""
    return latest(read(run / "samples.jsonl"), "stage", "step", "task", "direction", "source")
