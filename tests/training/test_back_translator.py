"""Back-translations whose sources follow the policy: who translates when, and that such a run resumes to the bit."""

from types import SimpleNamespace

import pytest

from eclectus.config import TaskConfig
from eclectus.segment import Segment
from eclectus.training import run
from eclectus.training.back_translator import BackTranslator
from eclectus.training.reinforce import Reinforcer
from eclectus.training.synthetic import as_back_translated
from tests.tiny_run import same_weights, settings, stopped
from tests.training.back_translating import TASK, upper


def of(*refreshes):
    return [SimpleNamespace(config=SimpleNamespace(back_translated_refresh=every)) for every in refreshes]


class Lender:
    """Lends translators that sign with their interval, and counts their calls."""

    def __init__(self):
        self.calls = []

    def lend(self, every):
        def translate(segments):
            self.calls.append((every, len(segments)))
            return [text and f"{every}:{text}" for text in upper(segments)]

        return translate


def made(reference, source="old"):
    return as_back_translated(Segment(source, "en", "fr", reference, "fr:1"))


def test_only_back_translations_of_tasks_that_ask_for_it_are_made_again():
    lender = Lender()
    translator = BackTranslator(of(0, 2, 3, 2), lender)
    real = Segment("a cat", "en", "fr", "un chat", attributes={"corpus": "x"})
    prompts = [(1, made("un")), (0, made("deux")), (2, made("trois")), (1, real), (3, made("none")), (3, made("six"))]
    assert translator(prompts, 2) == prompts and lender.calls == []
    third = translator(prompts, 3)
    assert [s.source for _, s in third] == ["2:en:UN", "old", "old", "a cat", "old", "2:en:SIX"]
    assert lender.calls == [(2, 3)]
    assert third[0][1] == made("un", "2:en:UN") and third[3][1] is real
    assert [owner for owner, _ in third] == [owner for owner, _ in prompts]
    assert [s.source for _, s in translator(prompts, 4)][2] == "3:en:TROIS"
    assert translator([], 9) == []


def test_what_is_made_again_must_have_been_made():
    with pytest.raises(ValueError, match="set back_translated, or back_translated_refresh: 0"):
        TaskConfig(**TASK | {"back_translated_refresh": 5})


def test_sources_are_those_of_the_policy_after_the_last_renewal(corpus, tmp_path, monkeypatch):
    task = TASK | {"back_translated": 20, "back_translated_refresh": 2}
    config = settings(
        corpus,
        data__max_pairs={"es": 10},
        reinforce__tasks=[task],
        reinforce__learning_rate=0.05,
        reinforce__warmup=0,
        controls=["constant_reward"],
    )
    config.reinforce.tasks[0].kl = 0.0
    advance, policies, seen = Reinforcer._advance, {}, []

    def spy(self):
        if self.step % 2 == 1:  # as it is after an even step
            with self.updater.means_in_place():
                policies[self.stage, self.step] = self.policy.copy()
        return advance(self)

    call = BackTranslator.__call__

    def record(self, prompts, step):
        new = call(self, prompts, step)
        seen.extend((len(policies), step, segment) for _, segment in new)
        return new

    monkeypatch.setattr(Reinforcer, "_advance", spy)
    monkeypatch.setattr(BackTranslator, "__call__", record)
    run.start(config, tmp_path / "whole")

    stages = list(policies)
    changed = set()
    for count, step, segment in seen:
        if segment.attributes != as_back_translated(segment).attributes:
            continue
        stage = stages[count - 1][0]
        first = policies[stage, 1]  # the start
        later = policies[stage, (step - 1) // 2 * 2 + 1]
        back = Segment(segment.reference, "es", "en")
        said, begun = later.translate([back], 8)[0], first.translate([back], 8)[0]
        assert segment.source == (said if said.strip() else begun)
        if segment.source != begun:
            changed.add(stage)
    assert changed == {"reinforce", "constant_reward"}  # each follows itself

    stopped(config, tmp_path / "stopped", monkeypatch, lambda at, note: note.startswith("reward") and at == 5)
    run.resume(tmp_path / "stopped")
    assert same_weights(tmp_path / "whole", tmp_path / "stopped")
