"""Samples drawn in parts, each judged while the next is drawn: the same run, with the rewards' time hidden."""

import threading
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch

from eclectus.errors import ConfigError, RunError
from eclectus.rewards.base import Reward
from eclectus.rewards.embeddings import Embeddings
from eclectus.segment import Segment
from eclectus.training import run
from eclectus.training.rewarding import in_parts
from eclectus.training.sampling import Sampler
from tests.tiny_run import lines, settings, weights

PIVOT = {"terms": [{"type": "pivot"}, {"type": "round_trip"}], "gates": [{"type": "nonempty"}]}
NEW = {"name": "new", "directions": ["es-fr"], "select_by": "reward", "reward": PIVOT}
OLD = {"name": "old", "directions": ["en-es"], "references": True, "reward": {"terms": [{"type": "chrf"}]}}
JOINT = {
    "name": "joint",
    "directions": ["en-es", "en-fr"],
    "joint": True,
    "reward": {"terms": [{"type": "joint"}, {"type": "round_trip"}], "normalise": "terms"},
}


@pytest.mark.parametrize(
    ("algorithm", "tasks"),
    [
        ({"type": "rloo"}, [NEW, OLD]),
        ({"type": "self_critical"}, [NEW, OLD]),
        ({"type": "grpo"}, [JOINT, NEW]),
        ({"type": "mixer"}, [OLD]),
        ({"type": "q_learning", "demonstrations": 0.5}, [OLD]),
        ({"type": "sarsa"}, [NEW, OLD]),
    ],
    ids=["rloo", "self_critical", "joint", "mixer", "demonstrations", "guided"],
)
def test_a_run_in_parts_is_the_run_in_one(corpus, tmp_path, algorithm, tasks):
    for overlap in (1, 3):
        config = settings(corpus, reinforce__tasks=tasks, reinforce__algorithm=algorithm, reinforce__overlap=overlap)
        run.start(config, tmp_path / str(overlap))
    one, three = weights(tmp_path / "1"), weights(tmp_path / "3")
    assert all(torch.allclose(one[name], three[name], atol=1e-5) for name in one)
    shown = [[r for r in lines(tmp_path / n) if r["kind"] == "step"] for n in ("1", "3")]
    for first, second in zip(*shown, strict=True):
        assert first["reward"] == pytest.approx(second["reward"], abs=1e-5)
        assert first["entropy"] == pytest.approx(second["entropy"], abs=1e-5)


class Watched(Reward):
    """Says in which thread it was asked, and can wait for the sampler."""

    threads: ClassVar[list[int]] = []
    drawing = threading.Event()
    waits = False

    def __call__(self, segments, hypotheses):
        if self.step is not None:
            type(self).threads.append(threading.get_ident())
            if type(self).waits:
                assert self.drawing.wait(60), "the next part was not drawn meanwhile"
        return [float(len(text) > 3) for text in hypotheses]


def watched(corpus, overlap, **options):
    task = {"name": "new", "directions": ["es-fr"], "select_by": "reward"}
    task["reward"] = {"terms": [{"type": f"{__name__}:{options.pop('kind', 'Watched')}"}]}
    return settings(corpus, reinforce__tasks=[task], reinforce__overlap=overlap, **options)


def test_a_part_is_judged_while_the_next_is_drawn(corpus, tmp_path, monkeypatch):
    """Each first part's reward waits until the second is being drawn: in one thread this would never end."""
    call, calls = Sampler.__call__, []

    def drawn(self, *arguments):
        calls.append(1)
        if len(calls) % 2 == 0:
            Watched.drawing.set()
        else:
            Watched.drawing.clear()
        return call(self, *arguments)

    monkeypatch.setattr(Sampler, "__call__", drawn)
    monkeypatch.setattr(Watched, "waits", True)
    monkeypatch.setattr(Watched, "threads", [])
    run.start(watched(corpus, 2), tmp_path / "run")
    assert len(calls) == len(Watched.threads) == 12
    assert threading.get_ident() not in Watched.threads


def test_without_overlap_no_thread_is_started(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(Watched, "threads", [])
    run.start(watched(corpus, 1), tmp_path / "run")
    assert Watched.threads == [threading.get_ident()] * 6


class Broken(Reward):
    def __call__(self, segments, hypotheses):
        return [float("nan") if self.step else 0.0 for _ in hypotheses]


def test_what_goes_wrong_aside_ends_the_run(corpus, tmp_path):
    with pytest.raises(RunError, match="gave nan to the hypothesis"):
        run.start(watched(corpus, 3, kind="Broken"), tmp_path / "run")


def test_parts_are_of_like_size_and_keep_a_joint_source_together():
    def task(joint):
        return SimpleNamespace(config=SimpleNamespace(joint=joint))

    def sources(*texts):
        return [Segment(text, "en", "es") for text in texts]

    tasks = [task(False), task(True)]
    assert in_parts(tasks, [0] * 5, sources(*"aabcd"), 2) == [[0, 1], [2, 3, 4]]
    assert in_parts(tasks, [0] * 5, sources(*"aabcd"), 1) == [[0, 1, 2, 3, 4]]
    assert in_parts(tasks, [0] * 2, sources(*"ab"), 7) == [[0], [1]]
    # Of a joint task three directions of `a`, then of `b`: the cut goes before what it would fall into.
    assert in_parts(tasks, [1] * 6, sources(*"aaabbb"), 3) == [[0, 1, 2], [3, 4, 5]]
    assert in_parts(tasks, [0, 0, 1, 1, 1, 1], sources(*"ababbb"), 2) == [[0, 1, 2], [3, 4, 5]]
    assert in_parts(tasks, [0, 1, 1, 1], sources(*"aaaa"), 2) == [[0], [1, 2, 3]]


class Ranked(Watched):
    requires = frozenset({"batch"})


def test_a_reward_that_compares_the_sources_of_a_step_is_refused(corpus, tmp_path):
    with pytest.raises(ConfigError, match=r"compares with the other sources of a step; set reinforce.overlap: 1"):
        run.start(watched(corpus, 2, kind="Ranked"), tmp_path / "two")
    assert "batch" in Embeddings.requires
    run.start(watched(corpus, 1, kind="Ranked"), tmp_path / "one")


def test_an_engine_that_draws_all_at_once_is_refused(corpus, tmp_path):
    config = settings(corpus, reinforce__overlap=2, reinforce__engine={"type": "bfloat16"})
    with pytest.raises(ConfigError, match=r"'reinforce.overlap': the engine 'bfloat16' draws all samples of a step"):
        run.start(config, tmp_path / "run")
