"""Rewards that change over a run: schedules, renewed policies, joint tasks, and that such a run resumes to the bit."""

import json
from collections import Counter
from functools import partial

import pytest
import torch

from eclectus.config import TaskConfig
from eclectus.errors import ConfigError, DataError
from eclectus.policies.base import Policy
from eclectus.rewards.base import RewardContext
from eclectus.rewards.composite.combine import CompositeReward
from eclectus.segment import Segment
from eclectus.training import checkpoint as ckpt
from eclectus.training import run
from eclectus.training.prompts import WINDOW, PromptStream, PromptWindows
from eclectus.training.renewed import RenewedPolicies
from eclectus.training.tasks import build_tasks
from eclectus.training.tracking import Tracker
from tests.tiny import segments, tiny_policy
from tests.tiny_run import lines, same_weights, settings

JOINT = {
    "name": "joint",
    "directions": ["en-*"],
    "joint": True,
    "select_by": "reward",
    "kl": 0.0,
    "reward": {
        "terms": [
            {"type": "joint", "aggregate": "geometric", "weight": {"start": 0, "end": 1, "steps": 4}},
            {"type": "round_trip", "refresh": 2, "clip": [0.0, 0.9]},
        ],
        "gates": [{"type": "nonempty", "strength": {"start": 0.5, "end": 1, "steps": 3}}],
        "normalise": "terms",
    },
}
PIVOT = {
    "name": "new",
    "directions": ["es-fr"],
    "select_by": "reward",
    "reward": {"terms": [{"type": "pivot", "refresh": 3}], "normalise": "source", "clip": [0.0, 0.8]},
}


def moving(corpus):
    return settings(
        corpus,
        reinforce__tasks=[JOINT, PIVOT],
        reinforce__steps=8,
        reinforce__checkpoint_every=3,
        reinforce__learning_rate=0.05,  # so that a copy soon translates otherwise than the start
        reinforce__warmup=0,
        reinforce__averaging=0.0,
        evaluation__directions=["es-fr", "en-es", "en-fr"],
    )


def test_such_a_run_resumes_to_the_same_weights(corpus, tmp_path, monkeypatch):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    translated = Counter()
    translate = Policy.translate

    def count(self, *args, **kwargs):
        translated[id(self)] += 1
        return translate(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Policy, "translate", count)
        run.start(moving(corpus), whole)
    assert len(translated) == 4  # the policy (dev), the start, and a copy for each of the two intervals

    advance = Tracker.advance

    def die(self, at, note):
        advance(self, at, note)
        if note.startswith("reward") and at == 5:  # the checkpoint is of step 3, with copies of steps 2 and 3
            raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(Tracker, "advance", die)
        with pytest.raises(MemoryError):
            run.start(moving(corpus), killed)
    saved = sorted(p.name for p in (killed / "checkpoints" / "reinforce" / "step-0000003").glob("renewed-*"))
    assert saved == ["renewed-2.safetensors", "renewed-3.safetensors"]
    run.resume(killed)
    assert same_weights(whole, killed)

    def told(folder):
        rows = [r for r in lines(folder) if r["kind"] in ("step", "parts") and r["stage"] == "reinforce"]
        return [{k: v for k, v in r.items() if "second" not in k and k != "memory"} for r in rows]

    assert told(killed) == told(whole)
    record = next(r for r in lines(whole) if r["kind"] == "parts")
    assert [(p["task"], p["part"]) for p in record["parts"]] == [
        ("joint", "joint"),
        ("joint", "round_trip"),
        ("joint", "nonempty"),
        ("new", "pivot"),
    ]
    assert "Parts of the reward, steps 1 to 8" in (whole / "report.html").read_text(encoding="utf-8")


def test_copies_hold_the_weights_of_the_last_step_their_interval_divides():
    policies = {step: tiny_policy(seed=step) for step in range(5)}
    batch = segments("en", "es")
    said = {step: policy.translate(batch, 8) for step, policy in policies.items()}
    assert len({tuple(texts) for texts in said.values()}) == 5
    renewed = RenewedPolicies(lambda: policies[0], max_length=8)
    two, three = renewed.lend(2), renewed.lend(3)
    seen = [(two(batch), three(batch))]
    for step in range(1, 5):
        renewed.renew(step, partial(ckpt.weights, policies[step].model))
        seen.append((two(batch), three(batch)))
    assert seen == [(said[a], said[b]) for a, b in ((0, 0), (0, 0), (2, 0), (2, 3), (4, 3))]
    again = RenewedPolicies(lambda: policies[0], max_length=8)
    translate = again.lend(2), again.lend(3)
    again.load(renewed.tensors())
    assert (translate[0](batch), translate[1](batch)) == (said[4], said[3])
    assert policies[0].translate(batch, 8) == said[0]  # the start itself is left as it was


class Text:
    """A data set of four sentences in three languages."""

    languages = ("en", "es", "fr")

    def __init__(self, pairs=None):
        self._pairs = pairs or {}

    def pairs(self, split, source, target):
        return self._pairs.get((source, target), segments(source, target))

    def monolingual(self, split, language):
        return [s.source for s in segments(language, "en" if language != "en" else "es")]


def tasks(dataset=None, **changes):
    values = JOINT | changes
    context = RewardContext(["en", "es", "fr"], translate=lambda s: [], refreshed=lambda n: lambda s: [])
    return build_tasks([TaskConfig(**values)], dataset or Text(), context)


def test_each_source_comes_in_all_target_languages():
    stream = PromptStream(tasks(directions=["en-*", "es-*"]), segments=6, temperature=1.0, seed=1)
    sources = Counter()
    for step in range(1, 9):
        batch = [segment for _, segment in stream.next(step)]
        assert len(batch) == 6
        for one, two in zip(batch[::2], batch[1::2], strict=True):
            assert (one.source, one.source_lang, one.reference) == (two.source, two.source_lang, None)
            assert {one.source_lang, one.target_lang, two.target_lang} == {"en", "es", "fr"}
            sources[one.source] += 1
    assert len(sources) == 8 and max(sources.values()) - min(sources.values()) <= 3  # in epochs


@pytest.mark.parametrize(("wanted", "given"), [(1, 2), (2, 2), (4, 4), (5, 6), (7, 8)])
def test_a_share_is_rounded_to_whole_sources_a_half_up(wanted, given):
    stream = PromptStream(tasks(), segments=wanted, temperature=1.0, seed=1)
    assert [len(stream.next(step)) for step in (1, 2, 3)] == [given] * 3


def test_a_joint_stream_resumes_in_place():
    one, two = (PromptStream(tasks(directions=["*-*"]), 6, 5.0, seed=3) for _ in range(2))
    for step in range(1, 6):
        one.next(step)
    two.load_state_dict(json.loads(json.dumps(one.state_dict())))
    assert [one.next(step) for step in range(6, 12)] == [two.next(step) for step in range(6, 12)]


def test_references_are_those_of_every_direction():
    (task,) = tasks(references=True)
    assert [[s.reference for s in family] for family in task.families["en"]][2] == ["dos", "deux"]
    french = segments("en", "fr")[2:]
    (task,) = tasks(Text({("en", "fr"): french}), references=True)
    assert [family[0].source for family in task.families["en"]] == [s.source for s in french]


def test_joint_tasks_that_cannot_work():
    with pytest.raises(ConfigError, match=r"'joint' is joint.*one target language only for 'en'"):
        tasks(directions=["en-es"])
    other = [Segment("nothing else", "en", "fr", "rien d'autre")]
    with pytest.raises(DataError, match="no 'en' text has training pairs in all its target languages"):
        tasks(Text({("en", "fr"): other}), references=True)
    with pytest.raises(ConfigError, match="set joint: true"):
        tasks(joint=False)


def test_weights_are_copied_not_shared():
    renewed = RenewedPolicies(tiny_policy, max_length=8)
    renewed.lend(1)
    weights = {name: value.detach().clone() for name, value in tiny_policy(2).model.named_parameters()}
    renewed.renew(1, lambda: weights)
    for value in weights.values():
        value.zero_()
    assert all(torch.any(value != 0) for name, value in renewed.tensors()["renewed-1"].items() if "embed" in name)


def test_windows_tell_rewards_ahead_and_draw_the_same_again_after_a_resume(monkeypatch):
    told = []
    monkeypatch.setattr(CompositeReward, "prepare", lambda self, segments: told.append(list(segments)))

    def windows():
        made = tasks(directions=["*-*"])
        return PromptWindows(PromptStream(made, 6, 5.0, seed=3), PromptStream(made, None, 5.0, 4), made, WINDOW + 3)

    plain = PromptStream(tasks(directions=["*-*"]), 6, 5.0, seed=3)
    expected = {step: (plain.next(step), []) for step in range(1, WINDOW + 4)}
    one = windows()
    assert [one.next(step) for step in range(1, 8)] == [expected[step] for step in range(1, 8)]
    assert told == [[segment for step in range(1, WINDOW + 1) for _, segment in expected[step][0]]]
    saved = json.loads(json.dumps(one.state_dict()))
    one.rewind()
    two = windows()
    two.load_state_dict(saved)
    for step in range(8, WINDOW + 4):
        assert one.next(step) == two.next(step) == expected[step]
    assert told[1] == told[2] == told[0]  # both drew the first window again
    assert [len(segments) for segments in told[3:]] == [18, 18]  # three steps are left for the second


@pytest.mark.parametrize("teacher", ["pivot", "references"])
def test_sources_that_are_only_shown_come_beside_the_others_and_in_an_order_of_their_own(monkeypatch, teacher):
    told = []
    monkeypatch.setattr(CompositeReward, "prepare", lambda self, segments: told.append(list(segments)))
    changes = {"joint": False, "mle": 1.0, "mle_of": teacher, "mle_segments": 5, "references": teacher == "references"}
    changes["reward"] = {"terms": [{"type": "pivot"}]}
    made = tasks(directions=["es-fr", "fr-es"], **changes)

    def windows():
        return PromptWindows(PromptStream(made, 3, 5.0, 3), PromptStream(made, None, 5.0, 4), made, steps=30)

    one, two = windows(), windows()
    first = [one.next(step) for step in range(1, 11)]
    assert all((len(batch.sampled), len(batch.shown)) == (3, 5) for batch in first)
    assert len({segment.direction for batch in first for _, segment in batch.shown}) == 2
    assert [batch.sampled for batch in first] != [batch.shown[:3] for batch in first]
    # Nothing is asked of the reward for a source whose reference is what is shown.
    assert len(told[0]) == WINDOW * (8 if teacher == "pivot" else 3)
    two.load_state_dict(json.loads(json.dumps(one.state_dict())))
    assert [two.next(step) for step in range(1, 11)] == first
