import re

import pytest
from pydantic import ValidationError

from eclectus import config as cfg
from eclectus import recipes
from eclectus.config import PromptConfig
from eclectus.errors import ConfigError
from eclectus.schedule import value_at

MINIMAL = "data: {languages: [en, es], corpora: [{type: cldr}]}\nsupervised: {steps: 5}\npolicy: {new: {}}"


TASK = """
reinforce:
  tasks: [{name: pairs, directions: [en-es], references: true, reward: {terms: [{type: chrf}]}}]
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "data: {languages: [en, es], corpora: [{type: cldr}], deev: 3}",
            "key 'data.deev'; did you mean 'dev'",
        ),
        (MINIMAL + "\nsupervized: {}", "unknown key 'supervized'; did you mean 'supervised'"),
        (MINIMAL.replace("steps: 5", "stepz: 5"), "unknown key 'supervised.stepz'; did you mean 'steps'"),
        (MINIMAL.replace("steps: 5", "steps: 0"), "'supervised.steps': input should be greater than or equal to 1"),
        (MINIMAL.replace("steps: 5", "steps: many"), "'supervised.steps': .*valid integer.*got 'many'"),
        ("supervised: {steps: 5}", "'data' is missing"),
        ("policy: {new: {}}\ndata: {languages: [en, es], corpora: [{type: cldr}]}", "add a 'supervised' part"),
        ("data: {languages: [en, es], corpora: [{type: cldr}]}", "nothing to do"),
        (MINIMAL + "\ncontrols: [best_of_n]", "add a 'reinforce' part"),
        ("seed: -1\n" + MINIMAL, "'seed': input should be greater than or equal to 0"),
        (MINIMAL.replace("steps: 5", "directions: []"), "'supervised.directions': list should have at least 1 item"),
        (MINIMAL + "\nevaluation: {directions: []}", "'evaluation.directions': list should have at least 1 item"),
        (MINIMAL.replace("new: {}", "new: {d_model: 10}"), "d_model 10 cannot be shared among 4 heads"),
        (MINIMAL.replace("new: {}", "new: {}, path: runs/a"), "policy.path names another .'runs/a'., drop one"),
        (MINIMAL + TASK + "controls: [supervised, supervised]", "a control stands there twice"),
        (
            MINIMAL + TASK + "  algorithm: grpo",
            r"'reinforce.algorithm': a part is named by its type; write {type: grpo}",
        ),
        ("a: [1, 2", "not valid YAML at line"),
        (MINIMAL + "\nseed: 1\nthreads: 1\nseed: 2", r"not valid YAML at line \d+: 'seed' stands twice"),
        (MINIMAL.replace("steps: 5", "steps: 5, steps: 6"), "'steps' stands twice"),
        (MINIMAL.replace("steps: 5", "learning_rate: .inf"), "'supervised.learning_rate': .*finite number"),
        (MINIMAL + TASK.replace("name: pairs", "name: ''"), "'reinforce.tasks.0.name': .*at least 1 character"),
        (MINIMAL + TASK + "  algorithm: null", r"'reinforce.algorithm': a part is named by its type"),
        (MINIMAL.replace("new: {}", "path: ''"), "'policy.path': .*at least 1 character"),
        ("- just\n- a list", "must hold keys and values"),
        (MINIMAL + "\ntitle: 2024-13-45", r"'config' is not valid YAML: month must be in 1..12 .*quotes"),
        ("[" * 3000, "'config' is not valid YAML: it is nested too deeply"),
        ("a: &a [*a]", "'config' is not valid YAML: it is nested too deeply"),
    ],
)
def test_mistakes_are_one_sentence(text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        cfg.parse(text)
    assert "\n" not in str(caught.value)


def test_only_true_and_false_are_true_and_false():
    data = cfg.parse("data: {languages: [en, no], corpora: [{type: cldr}], max_pairs: {no: 3}}\nsupervised: {}").data
    assert (data.languages, data.max_pairs) == (["en", "no"], {"no": 3})
    assert cfg.parse(MINIMAL, ["data.languages=[en, no]"]).data.languages == ["en", "no"]
    for written, meant in (("true", True), ("False", False), ("yes", True), ("off", False)):
        assert cfg.parse(MINIMAL, [f"evaluation.reference_tokens={written}"]).evaluation.reference_tokens is meant
    assert cfg.parse(cfg.dump(cfg.parse(MINIMAL, ["data.languages=[en, no]"]))).data.languages == ["en", "no"]


def test_task_with_likelihood_needs_references():
    task = {"name": "a", "directions": ["en-es"], "mle": 0.1, "reward": {"terms": [{"type": "chrf"}]}}
    with pytest.raises(ConfigError, match="mle > 0 but references: false"):
        cfg.parse(MINIMAL, [f"reinforce.tasks=[{task}]"])


def test_two_tasks_of_one_name_are_refused():
    task = {"name": "a", "directions": ["en-es"], "reward": {"terms": [{"type": "constant"}]}}
    with pytest.raises(ConfigError, match=r"reinforce.tasks': two tasks have the name 'a', rename one"):
        cfg.parse(MINIMAL, [f"reinforce.tasks=[{task}, {task}]"])


def test_overrides_reach_into_lists_and_make_parts():
    loaded = cfg.parse(MINIMAL, ["data.corpora.0.phrases=7", "supervised.steps=9", "evaluation.beams=4"])
    assert loaded.data.corpora[0].options == {"phrases": 7}
    assert (loaded.supervised.steps, loaded.evaluation.beams) == (9, 4)


def test_an_override_changes_one_of_the_places_that_share_an_anchor():
    task = "{{name: {0}, directions: [en-es], references: true, reward: {1}}}"
    reward = "&shared {terms: [{type: chrf, weight: 1}]}"
    tasks = f"[{task.format('a', reward)}, {task.format('b', '*shared')}]"
    change = "reinforce.tasks.0.reward.terms.0.weight=5"
    loaded = cfg.parse(f"{MINIMAL}\nreinforce: {{tasks: {tasks}}}", [change]).reinforce
    assert [task.reward.terms[0].weight for task in loaded.tasks] == [5, 1]
    loaded = cfg.parse(MINIMAL, [f"reinforce={{tasks: {tasks}}}", change]).reinforce
    assert [task.reward.terms[0].weight for task in loaded.tasks] == [5, 1]


def test_a_folder_does_not_hide_a_recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quickstart").mkdir()
    assert cfg.find("quickstart") == cfg.parse(recipes.read("quickstart"))
    (tmp_path / "mine").write_text(MINIMAL, encoding="utf-8")
    assert cfg.find("mine") == cfg.parse(MINIMAL)


def test_an_override_may_name_the_same_index_twice():
    rewarded = MINIMAL + TASK
    loaded = cfg.parse(rewarded, ["reinforce.tasks.0.reward.terms.0={type: bleu}"])
    assert loaded.reinforce.tasks[0].reward.terms[0].type == "bleu"
    with pytest.raises(ConfigError, match="'7' must be an index below 1"):
        cfg.parse(rewarded, ["reinforce.tasks.7.reward.terms.7={type: bleu}"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("supervised.steps", "not of the form"),
        ("data.corpora.5.type=tsv", "must be an index below 1"),
        ("seed.deep=1", "'seed' holds a single value"),
        ("supervised.stebs=1", "did you mean 'steps'"),
        ("data.dev=[1", "not valid YAML"),
        ("title=2024-13-45", "'title=2024-13-45': the value is not valid YAML: month must be in 1..12 .*quotes"),
        ("title=" + "[" * 3000, "the value is not valid YAML: it is nested too deeply"),
    ],
)
def test_wrong_overrides_are_one_sentence(override, message):
    with pytest.raises(ConfigError, match=message):
        cfg.parse("seed: 1\n" + MINIMAL, [override])


@pytest.mark.parametrize("name", recipes.names())
def test_recipes_parse_and_survive_a_round_trip(name):
    loaded = cfg.parse(recipes.read(name))
    assert cfg.parse(cfg.dump(loaded)) == loaded
    assert 20 < len(recipes.summary(name)) < 120


def test_missing_file_points_to_the_recipes(tmp_path):
    with pytest.raises(ConfigError, match=r"no file .* recipe list"):
        cfg.load(tmp_path / "none.yaml")


REINFORCE = "\nreinforce: {tasks: [{name: a, directions: [en-es], reward: {terms: [{type: fluency}]}}]}\n"


def test_temperature_may_be_a_schedule():
    loaded = cfg.parse(MINIMAL + REINFORCE, ["reinforce.temperature={start: 1.2, end: 0.8, steps: 4}"]).reinforce
    assert [value_at(loaded.temperature, step) for step in (2, 4, 9)] == pytest.approx([1.0, 0.8, 0.8])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("reinforce.temperature=0", "must be above 0"),
        ("reinforce.temperature={start: 1, end: 0, steps: 9}", "must be above 0"),
        ("reinforce.entropy.target=1", "set weight above 0"),
        ("reinforce.explore.epsilon=1", "less than 1"),
        ("reinforce.kl.estimator=k2", "'k1', 'k3' or 'exact'"),
        ("reinforce.updates=0", "greater than or equal to 1"),
        ("reinforce.truncate.top_p=0", "greater than 0"),
        ("reinforce.min_length=65", "min_length 65 is above max_length 64"),
        ("reinforce.truncate.top_k=5 reinforce.explore.epsilon=0.1", "truncate cuts off what explore adds"),
    ],
)
def test_settings_of_exploration_that_make_no_sense_are_refused(override, message):
    with pytest.raises(ConfigError, match=message):
        cfg.parse(MINIMAL + REINFORCE, re.findall(r"reinforce\..*?(?= reinforce\.|$)", override))


def test_a_check_of_several_keys_does_not_repeat_them_all():
    with pytest.raises(ConfigError) as error:
        cfg.parse(MINIMAL + REINFORCE, ["reinforce.min_length=65"])
    assert str(error.value) == "config: 'reinforce': min_length 65 is above max_length 64, lower it"


@pytest.mark.parametrize("wanted", ["on", "off", "auto"])
def test_chat_is_switched_as_the_errors_say(wanted):
    loaded = cfg.parse(MINIMAL.replace("new: {}", f"prompt: {{chat: {wanted}}}"))
    assert loaded.policy.prompt.chat == wanted
    assert cfg.parse(cfg.dump(loaded)) == loaded


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("template", "no place for it", "a template has {source}"),
        ("template", "{source} {lang}", "a template has {source}"),
        ("template", "{source", "not a template"),
        ("template", "{source:d}", "not a template .* write its fields as {source}"),
        ("template", "{source!x}", "not a template"),
        ("template", "{source:{width}}", "not a template"),
        ("template", "{source:{}}", "not a template"),
        ("stop", [""], "must not be empty"),
    ],
)
def test_a_prompt_that_cannot_ask_is_refused(key, value, message):
    with pytest.raises(ValidationError, match=message):
        PromptConfig(**{key: value})


def test_a_file_may_be_named_by_a_string(tmp_path):
    (tmp_path / "a.yaml").write_text(MINIMAL, encoding="utf-8")
    assert cfg.load(str(tmp_path / "a.yaml"), ["seed=3"]).seed == 3
    with pytest.raises(ConfigError, match=r"no file '.*b\.yaml'"):
        cfg.load(str(tmp_path / "b.yaml"))
