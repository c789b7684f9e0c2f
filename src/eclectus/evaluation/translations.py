"""`translations.jsonl`: every test segment with what each system made of it, one line each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from eclectus import atomic
from eclectus.errors import RunError, resuming
from eclectus.segment import Segment

FILE = "translations.jsonl"


class Translation(NamedTuple):
    """One test segment and its translations by system name."""

    direction: str
    id: str
    corpus: str
    source: str
    source_lang: str
    target_lang: str
    reference: str
    systems: dict[str, str]


def write(
    run: Path, segments: Mapping[str, Sequence[Segment]], outputs: Mapping[str, Mapping[str, Sequence[str]]]
) -> Path:
    """Write `translations.jsonl` into a run folder, whole or not at all; arguments as in `results.build`."""
    path = run / FILE
    with atomic.writing(path) as file:
        for direction, part in segments.items():
            texts = {
                name: by_direction[direction] for name, by_direction in outputs.items() if direction in by_direction
            }
            for i, segment in enumerate(part):
                line = Translation(
                    direction,
                    segment.id,
                    segment.attributes.get("corpus", ""),
                    segment.source,
                    segment.source_lang,
                    segment.target_lang,
                    segment.reference or "",
                    {name: hypotheses[i] for name, hypotheses in texts.items()},
                )
                file.write(json.dumps(line._asdict(), ensure_ascii=False) + "\n")
    return path


def read(run: Path) -> list[Translation]:
    """Read `translations.jsonl` of a run folder; [] where there is none.

    Raises:
        RunError: a line is not what `write` writes.
    """
    path = run / FILE
    if not path.exists():
        return []
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if not line:
            continue
        try:
            values = json.loads(line)
            found.append(Translation(*(values[name] for name in Translation._fields)))
        except (ValueError, KeyError, TypeError) as error:
            raise RunError(
                f"translations: line {number} of '{path}' is damaged; write it again with {resuming(run)}"
            ) from error
    return found
