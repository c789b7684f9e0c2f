"""A published set of MQM judgements as the file that `eclectus reward audit --human mqm --lower-is-better` reads.

The sets stand at https://github.com/google/wmt-mqm-human-evaluation, one line for each error that an annotator marked
(Freitag et al. 2021, https://arxiv.org/abs/2104.14478). An error counts 5 if major, 1 if minor, 0.1 if minor
punctuation, 25 if the text is no translation; a translation counts the sum of its errors, the mean over its annotators.
The system whose name begins with `ref` is the reference; the first one where there are several.

    python benchmarks/mqm.py mqm_ted_ende.tsv > mqm.tsv
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

_MARKS = re.compile("</?v>")


def weight(category: str, severity: str) -> float:
    """What an error counts."""
    if category.casefold().startswith("non-translation"):
        return 25.0
    if severity.casefold() == "major":
        return 5.0
    if severity.casefold() != "minor":
        return 0.0
    return 0.1 if category.casefold() == "fluency/punctuation" else 1.0


def table(lines: list[str], segments: int | None = None) -> Iterator[str]:
    """Yield the lines of the audit's TSV.

    Args:
        lines: of the published file, its header first.
        segments: only so many, the first.
    """
    head, *rows = (line.split("\t") for line in lines if line)
    texts: dict[str, dict[str, str]] = {}
    sources: dict[str, str] = {}
    errors: defaultdict[tuple[str, str], defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
    for cells in rows:
        row = dict(zip(head, cells, strict=False))
        key = f"{row['doc']} {row['seg_id']}"
        sources[key] = _MARKS.sub("", row["source"])
        texts.setdefault(key, {})[row["system"]] = _MARKS.sub("", row["target"])
        errors[key, row["system"]][row["rater"]] += weight(row["category"], row["severity"])
    yield "source\treference\tsystem\thypothesis\tmqm"
    for key in list(texts)[:segments]:
        references = sorted(system for system in texts[key] if system.startswith("ref"))
        for system, text in texts[key].items():
            if references and system not in references:
                judged = fmean(errors[key, system].values())
                yield "\t".join((sources[key], texts[key][references[0]], system, text, f"{judged:g}"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--segments", type=int, help="only so many, the first")
    arguments = parser.parse_args()
    lines = arguments.file.read_text(encoding="utf-8").split("\n")
    sys.stdout.writelines(f"{line}\n" for line in table(lines, arguments.segments))


if __name__ == "__main__":
    main()
