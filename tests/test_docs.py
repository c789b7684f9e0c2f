"""The documentation says what the code does: the page of settings is up to date, examples and commands run."""

import ast
import importlib
import importlib.util
import re
import shlex
import sys
import textwrap
from pathlib import Path

import pytest
import torch
import yaml

from eclectus import recipes, registry
from eclectus.algorithms.advantages import group_mean
from eclectus.algorithms.base import AdvantageInputs, Algorithm
from eclectus.cli.app import app
from eclectus.config import CompareConfig, DataConfig, PolicyConfig, ReinforceConfig, RewardConfig, TaskConfig
from eclectus.corpora.dataset import prepare
from eclectus.rewards.base import Reward, RewardContext
from eclectus.rewards.composite.combine import CompositeReward
from eclectus.segment import Segment
from eclectus.training import compare, run

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
EXAMPLE = re.compile(r"<!-- example: (\S+) -->\n```\w+\n(.*?)```", re.DOTALL)
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
INDENTED = re.compile(r"^ {4}eclectus .*\n(?: {4}.*\n)*", re.MULTILINE)


@pytest.fixture
def examples(tmp_path, monkeypatch):
    """The folder with the files of docs/extending.md, importable."""
    for name, code in EXAMPLE.findall((DOCS / "extending.md").read_text(encoding="utf-8")):
        (tmp_path / name).write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for path in tmp_path.glob("*.py"):
        sys.modules.pop(path.stem, None)


def test_page_of_settings_is_up_to_date():
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    written = (DOCS / "configuration.md").read_text(encoding="utf-8")
    assert generate.page() == written, "run `python docs/generate.py`"


def test_example_reward(examples):
    config = RewardConfig(**yaml.safe_load((examples / "reward.yaml").read_text(encoding="utf-8")))
    reward = CompositeReward(config, RewardContext(languages=["en", "es"]))
    segment = Segment("Good morning.", "en", "es", reference="Buenos días.")
    (totals,) = reward.score_groups([segment], [["Buenos días.", "Buenos días"]]).total
    (chrf,) = (
        CompositeReward(RewardConfig(terms=config.terms), RewardContext())
        .score_groups([segment], [["Buenos días.", "Buenos días"]])
        .total
    )
    assert totals == [chrf[0], 0.5 * chrf[1]]


def test_example_function(examples):
    reward = CompositeReward(RewardConfig(terms=[{"type": "my_functions:no_shouting"}]), RewardContext())
    segment = Segment("Good morning.", "en", "es")
    assert reward.score_groups([segment], [["BUENOS DÍAS", "Buenos días"]]).total == [[0.5, 1.0]]


def test_example_algorithm(examples):
    algorithm = registry.find("algorithms", "my_algorithms:GroupMean", Algorithm)()
    rewards = torch.tensor([[0.0, 0.5, 1.0], [0.2, 0.2, 0.2]])
    assert torch.equal(algorithm.advantages(AdvantageInputs(rewards, ["en-es", "en-fr"])), group_mean(rewards))


def test_example_corpus(examples):
    (examples / "galician.txt").write_text("Bos días\n\nBoas noites\n", encoding="utf-8")
    (examples / "pairs.tsv").write_text("Good morning\tBos días a todos\n" * 2, encoding="utf-8")
    corpora = [
        {"type": "my_corpora:Lines", "path": "galician.txt", "language": "gl"},
        {"type": "tsv", "path": "pairs.tsv", "columns": ["en", "gl"]},
    ]
    dataset = prepare(DataConfig(languages=["en", "gl"], corpora=corpora), 1)
    assert {"Bos días", "Boas noites", "Bos días a todos"} == set(dataset.monolingual("train", "gl"))


def said(page):
    """Run the code blocks of a page one after the other; its names, and how many results that it tells were checked."""
    names, checked = {}, 0
    for language, code in BLOCK.findall((DOCS / page).read_text(encoding="utf-8")):
        assert language == "python"
        exec(code, names)
        for expression, result in re.findall(r"^(?!from |model, )(\S.*?)  # (.+)$", code, re.MULTILINE):
            assert eval(expression, names) == ast.literal_eval(result), expression
            checked += 1
    return names, checked


def test_three_ideas_run_and_say_what_they_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names, checked = said("three-ideas.md")
    assert checked == 9
    assert names["after"] > names["before"] + 10


def test_the_page_on_python_runs_and_says_what_it_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert said("python.md")[1] == 6


def test_every_reward_and_algorithm_has_a_section():
    for room, page, level in (("rewards", "rewards.md", "## "), ("algorithms", "algorithms.md", "## ")):
        text = (DOCS / page).read_text(encoding="utf-8")
        titles = {line.removeprefix(level).lower() for line in text.splitlines() if line.startswith(level)}
        assert set(registry.names(room)) <= titles


@pytest.mark.parametrize("name", registry.names("rewards"))
def test_the_section_of_a_reward_has_formula_range_and_cheats(name):
    """Its source and an example that runs are in what `eclectus reward describe` prints."""
    page = (DOCS / "rewards.md").read_text(encoding="utf-8")
    section = re.search(rf"^## {name}\n(.*?)(?=^## )", page, re.DOTALL | re.MULTILINE)
    assert section is not None
    assert "$$" in section[1] and "**How it is cheated.**" in section[1]
    assert re.search(r"\b(Range|Values)\b", section[1])


def test_what_each_reward_needs_is_said_right():
    said = {
        "reference": "a reference",
        "translate": "starting policy",
        "target_texts": "training text",
        "siblings": "joint: true",
        "batch": "all of a step",
    }
    rows = (DOCS / "rewards.md").read_text(encoding="utf-8").splitlines()
    for name in registry.names("rewards"):
        (row,) = (line for line in rows if line.startswith("|") and f"[{name}](#{name})" in line)
        needs = registry.find("rewards", name, Reward).requires
        assert {need for need, words in said.items() if words in row} == needs, row


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        goal = page.parent / path if path else page
        assert goal.exists(), target
        if anchor:
            lines = [line for line in goal.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
            known = {re.sub(r"[^\w -]", "", line.lstrip("#").strip().lower()).replace(" ", "-") for line in lines}
            assert anchor in known, target


def _blocks(language):
    return [
        pytest.param(code, id=f"{page.name}-{number}")
        for page in PAGES
        for number, (kind, code) in enumerate(BLOCK.findall(page.read_text(encoding="utf-8")))
        if kind == language
    ]


def _commands():
    """Blocks of commands: fenced without a language or as bash, or indented; a command that goes on is one line."""
    found = [*_blocks(""), *_blocks("bash")]
    for page in PAGES:
        blocks = INDENTED.findall(page.read_text(encoding="utf-8"))
        found += [pytest.param(textwrap.dedent(code), id=f"{page.name}-indented-{i}") for i, code in enumerate(blocks)]
    return [pytest.param(re.sub(r"\s*\\\n\s*", " ", block.values[0]), id=block.id) for block in found]


def _experiments():
    """The commands of all pages that train."""
    code = "\n".join(block.values[0] for block in _commands())
    lines = [line for line in code.splitlines() if re.match(r"eclectus (train (?!--resume)|compare )", line)]
    return [line for line in lines if "--processes" not in line]


def test_commands_are_found_in_every_kind_of_block():
    lines = _experiments()
    assert any(line.startswith("eclectus compare quickstart --seeds 1,2,3 --algorithms grpo") for line in lines)
    assert any(line.startswith("eclectus compare my.yaml --like algorithms") for line in lines)
    assert any(line.startswith("eclectus train my-corpus.yaml --set data.corpora.0.path=pairs.tsv") for line in lines)


def test_experiments_write_folders_of_their_own_and_start_from_one_that_is_written():
    """Of two runs in one folder the second is refused, or the first would be lost."""
    lines = set(_experiments())
    written = [name for line in lines for name in re.findall(r"--output (runs/\S+)", line)]
    assert sorted(set(written)) == sorted(written)
    assert {name for line in lines for name in re.findall(r"policy\.path=(runs/[^/\s]+)/model", line)} <= set(written)


@pytest.mark.parametrize("code", _commands())
def test_commands_parse(code):
    from typer.main import get_command

    for line in code.splitlines():
        if not line.startswith("eclectus "):
            continue
        words = shlex.split(line, comments=True)[1:]
        # Parsing alone: an unknown command, option or a missing argument raises here.
        command = get_command(app)
        with command.make_context("eclectus", words[:]) as context:
            name, sub, rest = command.resolve_command(context, words)
            while hasattr(sub, "resolve_command"):
                name, sub, rest = sub.resolve_command(context, rest)
            sub.make_context(name, rest).close()


@pytest.mark.parametrize("line", _experiments())
def test_experiments_begin(line, tmp_path, monkeypatch):
    """Settings and variants of each command fit each other, up to the first thing that a run does."""

    class BegunError(Exception):
        pass

    def begin(*_, **__):
        raise BegunError

    monkeypatch.setattr(run, "start", begin)
    monkeypatch.setattr(compare, "_claim", begin)
    monkeypatch.chdir(tmp_path)
    words = shlex.split(line, comments=True)[1:]
    if words[1] == "my-corpus.yaml" or words[1] == "my.yaml":
        text = recipes.read("my-corpus" if words[1] == "my-corpus.yaml" else "quickstart")
        Path(words[1]).write_text(text, encoding="utf-8")
    with pytest.raises(BegunError):
        app(words, standalone_mode=False)


@pytest.mark.parametrize("code", _blocks("yaml"))
def test_settings_parse(code):
    """Parts of configurations shown in the pages are accepted where they belong."""
    values = yaml.safe_load(code)
    if isinstance(values, list):
        values = {"corpora": values}
    values = values.get("data", values)
    if "max_pairs" in values or "corpora" in values:
        merged = {"languages": ["en", "de", "gl"], "corpora": [{"type": "cldr"}], **values}
        assert DataConfig(**merged)
    elif "terms" in values or "reward" in values:
        assert RewardConfig(**values.get("reward", values))
    elif "tasks" in values:
        assert [TaskConfig(**task) for task in values["tasks"]]
    elif "compare" in values:
        assert CompareConfig(**values["compare"])
    elif "policy" in values:
        assert PolicyConfig(**values["policy"])
    else:
        assert "reinforce" in values
    if "reinforce" in values:
        task = {"name": "t", "directions": ["en-de"], "reward": {"terms": [{"type": "bleu"}]}}
        assert ReinforceConfig(**{"tasks": [task], **values["reinforce"]})
