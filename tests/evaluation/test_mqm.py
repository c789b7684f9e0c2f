"""The published form of MQM judgements becomes the audit's table."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "mqm.py"
HEAD = "system\tdoc\tdoc_id\tseg_id\trater\tsource\ttarget\tcategory\tseverity\tcomment"
ROWS = [
    ("B", "1", "r1", "<v>Ein</v> Hund.", "Accuracy/Mistranslation", "Major"),
    ("B", "1", "r1", "Ein Hund<v>.</v>", "Fluency/Punctuation", "Minor"),
    ("B", "1", "r2", "Ein Hund.", "No-error", "No-error"),
    ("A", "1", "r1", "Eine <v>Katz</v>.", "Fluency/Spelling", "Minor"),
    ("ref", "1", "r1", "Eine Katze.", "No-error", "No-error"),
    ("A", "2", "r1", "<v>xyz</v>", "Non-translation!", "Major"),
    ("A", "2", "r1", "xyz", "Style/Awkward", "Neutral"),
    ("ref", "2", "r1", "Zwei.", "No-error", "No-error"),
    ("A", "3", "r1", "Drei.", "No-error", "No-error"),
]
SOURCES = {"1": "A cat.", "2": "Two.", "3": "Three."}


def convert(folder, *options):
    lines = [HEAD]
    for system, segment, rater, target, category, severity in ROWS:
        source = SOURCES[segment]
        lines.append("\t".join((system, "talk", "1", segment, rater, source, target, category, severity, "")))
    (folder / "in.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    command = [sys.executable, "-X", "utf8", str(SCRIPT), str(folder / "in.tsv"), *options]
    return subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout.splitlines()


def test_weights_and_means_by_hand(tmp_path):
    assert convert(tmp_path) == [
        "source\treference\tsystem\thypothesis\tmqm",
        "A cat.\tEine Katze.\tB\tEin Hund.\t2.55",  # (5 + 0.1 and 0) / 2
        "A cat.\tEine Katze.\tA\tEine Katz.\t1",
        "Two.\tZwei.\tA\txyz\t25",
    ]
    assert len(convert(tmp_path, "--segments", "1")) == 3
