"""What controls learn from: which directions are new, which pairs may be seen, and what is left to translate back."""

import pytest

from eclectus.config import DataConfig, TaskConfig
from eclectus.corpora.dataset import prepare
from eclectus.rewards.base import RewardContext
from eclectus.training.material import Material
from eclectus.training.tasks import build_tasks

TEXTS = [(f"one {n}", f"uno {n}", f"um {n}") for n in ("dog", "cat", "bird", "fish", "cow", "hen")]


@pytest.fixture
def material(tmp_path):
    """Tasks over English, Spanish and Brazilian Portuguese, whose tag has a hyphen."""

    def made(*tasks, max_pairs=None):
        path = tmp_path / "pairs.tsv"
        path.write_text("\n".join(["en\tes\tpt-BR", *map("\t".join, TEXTS)]), encoding="utf-8")
        config = DataConfig(
            languages=["en", "es", "pt-BR"],
            corpora=[{"type": "tsv", "path": str(path), "header": True}],
            dev=1,
            test=1,
            max_pairs=max_pairs or {},
        )
        dataset = prepare(config, 1)
        reward = {"terms": [{"type": "length"}]}
        configs = [TaskConfig(name=str(n), reward=reward, **task) for n, task in enumerate(tasks)]
        return Material(dataset, build_tasks(configs, dataset, RewardContext(languages=dataset.languages)))

    return made


def test_directions_whose_pairs_may_not_be_seen_are_new_but_for_those_of_the_pivot(material):
    found = material({"directions": ["es-pt-BR", "en-es"]}, {"directions": ["pt-BR-es"], "references": True})
    assert found.pivot == "en"
    assert found.new_directions == ["es-pt-BR"]
    assert list(found.pairs) == ["en-es", "pt-BR-es"]
    assert list(found.to_distil) == ["es-pt-BR"]
    assert all(segment.reference is None for segment in found.to_distil["es-pt-BR"])


@pytest.mark.parametrize("shown_first", [True, False])
def test_pairs_that_any_task_may_see_are_the_controls_to_learn_from(material, shown_first):
    shown, withheld = {"directions": ["es-pt-BR"], "references": True}, {"directions": ["es-pt-BR", "pt-BR-es"]}
    found = material(*([shown, withheld] if shown_first else [withheld, shown]))
    assert found.new_directions == ["pt-BR-es"]
    assert list(found.pairs) == ["es-pt-BR"] and all(s.reference for s in found.pairs["es-pt-BR"])
    assert list(found.to_distil) == ["pt-BR-es"]
    assert found.missing("supervised") is None


def test_a_direction_of_two_tasks_that_may_not_see_its_pairs_is_new_once(material):
    found = material({"directions": ["es-pt-BR"]}, {"directions": ["es-pt-BR"]})
    assert (found.new_directions, found.pairs) == (["es-pt-BR"], {})


def test_text_in_no_pair_is_left_to_translate_back(material):
    found = material({"directions": ["en-es"], "references": True}, max_pairs={"es": 2})
    known = {segment.reference for segment in found.pairs["en-es"]}
    left = {segment.source for segment in found.to_translate_back["en-es back-translated"]}
    assert len(known) == 2 and left == {es for _, es, _ in TEXTS} & left and not known & left and left


def test_where_references_are_withheld_that_text_alone_is_translated_back(material):
    withheld, shown = {"directions": ["en-es"]}, {"directions": ["en-pt-BR"], "references": True}
    found = material(withheld, shown, max_pairs={"es": 2, "pt-BR": 2})
    assert list(found.to_translate_back) == ["en-es back-translated"]
    assert found.missing("best_of_n") is None


@pytest.mark.parametrize(
    ("control", "task", "told"),
    [
        ("supervised", {"directions": ["es-pt-BR"]}, "no direction has sentence pairs"),
        ("supervised", {"directions": ["en-es"]}, None),
        ("distillation", {"directions": ["en-es"]}, "without the pivot language 'en'"),
        ("distillation", {"directions": ["es-pt-BR"], "references": True}, "without the pivot language 'en'"),
        ("distillation", {"directions": ["es-pt-BR"]}, None),
        ("back_translation", {"directions": ["en-es"], "references": True}, "all target-side text stands in pairs"),
        ("iterative_back_translation", {"directions": ["en-es"]}, "all target-side text stands in pairs"),
        ("back_translation", {"directions": ["es-pt-BR"]}, None),
        ("best_of_n", {"directions": ["en-es"], "references": True}, "every task uses references"),
        ("best_of_n", {"directions": ["en-es"]}, None),
        ("constant_reward", {"directions": ["es-pt-BR"]}, None),
    ],
)
def test_a_control_with_nothing_to_do_says_why(material, control, task, told):
    found = material(task).missing(control)
    assert found is None if told is None else told in found
