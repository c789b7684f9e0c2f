"""Parts of a reward that teach nothing are found, told once, and found again after a resume."""

import json

import pytest

from eclectus.config import RewardConfig, TaskConfig
from eclectus.rewards.base import RewardContext
from eclectus.rewards.composite.combine import CompositeReward
from eclectus.training.parts import WINDOW, PartCounts, PartWatch, count_parts
from eclectus.training.tasks import Task


def counted(rows, texts=("a", "b")):
    counts = PartCounts()
    for row in rows:
        counts.add(texts, row)
    return counts


def test_counts_by_hand():
    counts = counted([[0.2, 0.4], [0.5, 0.5], [0.5, None], [None, None]])
    assert (counts.asked, counts.judged, counts.groups, counts.equal) == (8, 5, 2, 1)
    assert counts.mean == pytest.approx(0.42) and counts.equal_share == 0.5 and counts.abstained == 0.375
    assert counted([[0.5, 0.5]], texts=("a", "a")).groups == 0  # nothing to tell apart


@pytest.mark.parametrize(
    ("rows", "gate", "verdict"),
    [
        ([[0.4, 0.6]] * 30, False, ""),
        ([[0.5, 0.5]] * 96 + [[0.4, 0.6]] * 4, False, "constant"),
        ([[0.5, 0.5]] * 95 + [[0.4, 0.6]] * 5, False, ""),
        ([[0.5, 0.5]] * 19, False, ""),  # too few to say
        ([[0.99, 0.98]] * 30, False, "saturated"),
        ([[0.0, 0.03]] * 30, False, "saturated"),
        ([[-0.03, 0.03]] * 30, False, ""),  # on another scale
        ([[1.0, 1.0]] * 30, True, "open"),
        ([[0.0, 0.0]] * 30, True, "saturated"),
        ([[None, None]] * 50, False, "silent"),
        ([[None, None]] * 49, False, ""),
    ],
)
def test_verdicts(rows, gate, verdict):
    assert counted(rows).verdict(gate) == verdict


def watch():
    reward = RewardConfig(terms=[{"type": "chrf"}, {"type": "constant"}], gates=[{"type": "nonempty"}])
    config = TaskConfig(name="t", directions=["en-es"], references=True, reward=reward)
    task = Task(config, {}, CompositeReward(reward, RewardContext()))
    counts = count_parts(
        [task], [0, 0], [["a", "b"]] * 2, [{"chrf": [0.3, 0.3], "constant": [1.0, 1.0], "nonempty": [1.0, 1.0]}] * 2
    )
    return PartWatch([task]), counts


def test_windows_warn_once_and_survive_a_checkpoint():
    whole, counts = watch()
    records = {step: r for step in range(1, 121) if (r := whole.add(step, counts, last=step == 120)) is not None}
    assert list(records) == [WINDOW, 2 * WINDOW, 120]
    assert [records[step]["first"] for step in records] == [1, 51, 101]
    rows = {row["part"]: row for row in records[50]["parts"]}
    assert rows["chrf"] == {
        "task": "t", "part": "chrf", "kind": "term", "mean": 0.3, "equal": 1.0, "abstained": 0.0, "verdict": "constant",
    }  # fmt: skip
    assert rows["nonempty"]["verdict"] == "open" and rows["nonempty"]["kind"] == "gate"

    first, _ = watch()
    told = []
    for step in range(1, 78):
        record = first.add(step, counts, last=False)
        told += first.warnings(record) if record else []
    (sentence,) = told
    assert sentence.startswith("task 't': term 'chrf' is constant (one value in 100% of the groups)")
    second, _ = watch()
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    for step in range(78, 121):
        record = second.add(step, counts, last=step == 120)
        assert record == records.get(step)
        assert not (list(second.warnings(record)) if record else [])
