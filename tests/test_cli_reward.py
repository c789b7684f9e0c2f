"""`eclectus reward …` as a user meets it, and every mistake as one sentence."""

import json
import os
import re
import subprocess
import sys

import pytest

from eclectus import recipes, registry, scoring
from eclectus.config import RewardTermConfig
from eclectus.rewards.base import Reward
from eclectus.rewards.bleu import Bleu
from eclectus.segment import Segment
from tests.commands import eclectus, heavy_imports, refused

DIRECTION = ("--from", "en", "--to", "de")
HYP = """\
source\treference\thypothesis
The black cat sleeps here.\tDie schwarze Katze schläft hier.\tDie schwarze Katze schläft jetzt.
Two dogs play in the snow.\tZwei Hunde spielen im Schnee.\tZwei Hunde spielen im Schnee.
A man reads a newspaper.\tEin Mann liest eine Zeitung.\t
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # As an installed command: the folder that it is run in is not where Python looks for modules.
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    (tmp_path / "hyp.tsv").write_text(HYP, encoding="utf-8")
    return tmp_path


def table(text):
    head, *rows = (line.split("\t") for line in text.splitlines())
    return [dict(zip(head, row, strict=True)) for row in rows]


# list and describe


def test_list_names_every_reward_with_its_range_and_needs():
    lines = eclectus("reward", "list").out.splitlines()
    rows = {line.split()[0]: line for line in lines[1:]}
    assert list(rows) == [*registry.names("rewards"), *recipes.reward_names()]
    assert re.match(r"bleu +\[0, 1\] +reference +Sentence BLEU of", rows["bleu"])
    assert re.match(r"language +\{0, 1\}  +1 if", rows["language"])
    assert re.match(r"pivot +\[0, 1\] +policy ", rows["pivot"])
    assert re.match(r"fluency +\[0, 1\] +text ", rows["fluency"])
    assert "`" not in "".join(lines)


@pytest.mark.parametrize("name", registry.names("rewards"))
def test_describe_says_all(name):
    text = eclectus("reward", "describe", name).out
    for wanted in ("How it is cheated:", "Example:", "Source:", "Needs:", "Range"):
        assert wanted in text
    options = registry.find("rewards", name, Reward).Options.model_fields
    assert all(re.search(rf"^  {option} +\S", text, re.MULTILINE) for option in options)
    assert "$$" not in text


def test_describe_shows_options_with_defaults():
    text = eclectus("reward", "describe", "bleu").out
    assert re.search(r"max_order +4 +int, ≥ 1, ≤ 8", text)
    assert re.search(r"smooth_value +null +float \| null, ≥ 0 +for add-k", text)
    assert "No options." in eclectus("reward", "describe", "nonempty").out
    assert eclectus("reward", "describe", "default").out == recipes.read_reward("default")


def test_describe_knows_rewards_of_the_users_own(here):
    (here / "own_rewards.py").write_text('def polite(prompts, completions, **kwargs):\n    """1 for bitte."""\n')
    assert "1 for bitte." in eclectus("reward", "describe", "own_rewards:polite").out
    (here / "own_classes.py").write_text(
        "from eclectus.rewards.base import Reward\n\nclass Bare(Reward):\n"
        "    def __call__(self, segments, hypotheses):\n        return [2.0 for _ in hypotheses]\n"
    )
    said = eclectus("reward", "describe", "own_classes:Bare").out
    assert said == "own_classes:Bare\n\nNo documentation.\n\nNeeds: nothing.\n\nNo options.\n"
    scored = eclectus("reward", "score", "hyp.tsv", *DIRECTION, "--config", "own_classes:Bare")
    assert scored.out.startswith("line\ttotal\tBare\n") and "1*[own_classes:Bare]" in scored.err
    assert "names a file; write the module as Python imports it: 'own_classes:Bare'" in refused(
        "reward", "describe", "own_classes.py:Bare"
    )
    assert "did you mean 'bleu'" in refused("reward", "describe", "blue")
    assert "'own_rewards:rude' (module 'own_rewards' has no attribute 'rude'); known: " in refused(
        "reward", "describe", "own_rewards:rude"
    )
    assert "did you mean 'polite'?" in refused("reward", "describe", "own_rewards:polit")
    assert f"with the module in {os.getcwd()} or installed" in refused("reward", "describe", "no_such:polite")
    assert "cannot load ':polite' (it names no module)" in refused("reward", "describe", ":polite")


def test_a_module_that_fails_is_said_with_its_line(here):
    (here / "own_broken.py").write_text("import sys\n\nlimit = int('many')\n")
    (here / "own_unread.py").write_text("def polite(:\n    pass\n")
    for kind, message in (
        ("own_broken:polite", r"own_broken.py' line 3 fails when 'own_broken:polite' is loaded .ValueError: invalid"),
        ("own_unread:polite", r"own_unread.py' line 1 fails when 'own_unread:polite' is loaded .SyntaxError"),
    ):
        assert re.search(message, refused("reward", "describe", kind))


def test_a_file_here_stands_in_for_no_package(here):
    (here / "own_h2.py").write_text("raise SystemExit('imported')\n")
    script = "import sys; from eclectus.cli.app import main; sys.argv = ['eclectus', 'reward', 'list']\ntry: main()\n"
    script += "except SystemExit: pass\nprint(__import__('importlib').util.find_spec('own_h2'))"
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.splitlines()[-1] == "None"


def test_help_needs_nothing_heavy(tmp_path):
    commands = [["reward", "--help"], *(["reward", c, "--help"] for c in ("list", "describe", "score", "audit"))]
    assert heavy_imports(tmp_path, commands).stdout == "[]\n"


def test_the_list_of_commands_cuts_no_summary():
    assert "..." not in eclectus("reward", "--help").out.partition("Commands:")[2]


# score


def test_score_writes_a_line_for_each(here):
    outcome = eclectus("reward", "score", "hyp.tsv", *DIRECTION, "--config", "bleu")
    assert outcome.code == 0, outcome
    rows = table(outcome.out)
    wanted = Bleu()(
        [Segment("", "en", "de", line.split("\t")[1]) for line in HYP.splitlines()[1:]],
        [line.split("\t")[2] for line in HYP.splitlines()[1:]],
    )
    assert [row["line"] for row in rows] == ["2", "3", "4"]
    assert [float(row["total"]) for row in rows] == pytest.approx(wanted, abs=1e-6)
    assert [row["bleu"] for row in rows] == [row["total"] for row in rows]
    assert f"total: {sum(wanted) / 3:.4f} over 3 lines" in outcome.err
    assert "BLEU|nrefs:var" in outcome.err


def test_score_reads_several_references_as_a_run_does(here):
    hypothesis, references = "Der Hund schläft im grünen Garten.", ["Ein Hund schläft dort.", "Der Hund ist im Garten."]
    lines = [{"source": "x", "hypothesis": hypothesis, "reference": references}]
    (here / "list.jsonl").write_text("".join(map(json.dumps, lines)))
    (here / "columns.tsv").write_text(
        "\t".join(["source", "hypothesis", "reference", "reference2"])
        + "\n"
        + "\t".join(["x", hypothesis, *references]),
        encoding="utf-8",
    )
    segment = Segment("x", "en", "de", references[0], alternatives=(references[1],))
    wanted = Bleu()([segment], [hypothesis])[0]
    alone = [Bleu()([Segment("x", "en", "de", text)], [hypothesis])[0] for text in references]
    assert wanted > max(alone)  # n-grams of both count
    for name in ("list.jsonl", "columns.tsv"):
        outcome = eclectus("reward", "score", name, *DIRECTION, "--config", "bleu")
        assert float(table(outcome.out)[0]["total"]) == pytest.approx(wanted, abs=1e-6)
        shown = eclectus("reward", "audit", name, *DIRECTION, "--config", "bleu").out
        assert re.search(rf"real output +1 +100 % +{wanted:.3f}", shown), shown


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"hypothesis": None},
            r"score: 'hyp.jsonl' line 2 has no 'hypothesis'; write \"\" where a system gave nothing",
        ),
        ({"hypothesis": 5}, "score: 'hyp.jsonl' line 2 holds the number 5 in 'hypothesis'; write it in quotes"),
        ({}, "line 2 has no 'hypothesis'"),
        ({"hypothesis": "gato", "reference": ["gato", 5]}, "line 2 holds the number 5 in 'reference 2'"),
        ({"hypothesis": "gato", "reference": None}, "'hyp.jsonl:2' .* has no reference"),
    ],
)
def test_score_takes_nothing_but_text_for_text(here, row, message):
    rows = [{"hypothesis": "gato"}, row]
    lines = [json.dumps({"source": "cat", "reference": ["gato"], **row}) for row in rows]
    (here / "hyp.jsonl").write_text("\n".join(lines))
    assert re.search(message, refused("reward", "score", "hyp.jsonl", *DIRECTION, "--config", "exact"))


def test_score_shows_the_parts_and_abstentions(here):
    (here / "r.yaml").write_text("reward: {terms: [{type: chrf}, {type: placeholders}], gates: [{type: nonempty}]}")
    outcome = eclectus("reward", "score", "hyp.tsv", *DIRECTION, "--config", "r.yaml", "--format", "jsonl")
    rows = [json.loads(line) for line in outcome.out.splitlines()]
    assert rows[1] == {"line": 3, "total": 1.0, "chrf": 1.0, "placeholders": None, "nonempty": 1.0}
    assert rows[2]["total"] == 0.0
    assert "placeholders: abstains everywhere over 3 lines" in outcome.err
    plain = eclectus("reward", "score", "hyp.tsv", *DIRECTION, "--config", "r.yaml").out
    assert plain.splitlines()[2] == "3\t1\t1\t\t1"


def test_score_saves_and_never_overwrites(here):
    command = ("reward", "score", "hyp.tsv", *DIRECTION, "--save")
    outcome = eclectus(*command, "out.jsonl")
    assert (outcome.code, outcome.out) == (0, "")
    assert len([json.loads(line) for line in (here / "out.jsonl").read_text(encoding="utf-8").splitlines()]) == 3
    assert "'out.jsonl' exists" in refused(*command, "out.jsonl")
    assert "no folder 'none'" in refused(*command, "none/out.tsv")


def test_score_reads_a_run_and_its_task(here):
    outcome = eclectus("reward", "score", "hyp.tsv", *DIRECTION, "--config", "quickstart", "--task", "supervised")
    assert list(table(outcome.out)[0]) == ["line", "total", "bleu", "chrf"]
    assert "several tasks; choose one with --task: zero-shot, low-resource" in refused(
        "reward", "score", "hyp.tsv", *DIRECTION, "--config", "quickstart"
    )
    assert "no task 'supervisd'; did you mean 'supervised'" in refused(
        "reward", "score", "hyp.tsv", *DIRECTION, "--config", "quickstart", "--task", "supervisd"
    )
    # A recipe with one task needs no --task.
    assert eclectus("reward", "score", "hyp.tsv", *DIRECTION, "--config", "my-corpus").code == 0


def test_a_name_of_a_reward_and_of_a_recipe_is_the_reward(here):
    """`joint` alone is both; a task can only be the recipe's."""
    kinds, recipe = set(registry.names("rewards")), set(recipes.names())
    assert kinds & recipe == {"joint"} and not kinds & set(recipes.reward_names())
    assert scoring.settings("joint").reward.terms == [RewardTermConfig(type="joint")]
    assert len(scoring.settings("joint", "eight languages").reward.terms) == 2
    assert eclectus("reward", "describe", "joint").out.startswith("joint\n")
    assert "reward 'joint' translates with a starting policy" in refused(
        "reward", "score", "hyp.tsv", *DIRECTION, "--config", "joint"
    )
    assert "no task 'eight'; known: eight languages" in refused(
        "reward", "score", "hyp.tsv", *DIRECTION, "--config", "joint", "--task", "eight"
    )


def test_score_without_references(here):
    (here / "bare.tsv").write_text("source\thypothesis\nThe cat sleeps in the garden\tDie Katze schläft im Garten\n")
    assert "reward 'bleu' needs references, and 'bare.tsv' has none" in refused(
        "reward", "score", "bare.tsv", *DIRECTION
    )
    outcome = eclectus("reward", "score", "bare.tsv", *DIRECTION, "--config", "language")
    assert table(outcome.out)[0]["total"] == "1"
    assert "are withheld from it" in refused("reward", "score", "hyp.tsv", *DIRECTION, "--withhold-references")


def test_withheld_references_are_not_seen(here):
    """Without references `placeholders` goes by the source."""
    (here / "p.tsv").write_text(
        "source\treference\thypothesis\n50 cats\tfünfzig Katzen\tfünfzig Katzen\n", encoding="utf-8"
    )
    command = ("reward", "score", "p.tsv", *DIRECTION, "--config", "placeholders")
    assert table(eclectus(*command).out)[0]["total"] == ""
    assert table(eclectus(*command, "--withhold-references").out)[0]["total"] == "0"


def test_what_a_reward_needs_is_asked_for(here):
    command = ("reward", "score", "hyp.tsv", *DIRECTION, "--config")
    assert "reward 'round_trip' translates with a starting policy; name one with --model" in refused(
        *command, "round_trip"
    )
    assert "needs text of the target language; give it one text a line with --texts de=FILE" in refused(
        *command, "fluency"
    )
    assert "--texts 'german.txt' is not of the form LANG=FILE" in refused(*command, "fluency", "--texts", "german.txt")
    assert "no file 'german.txt'" in refused(*command, "fluency", "--texts", "de=german.txt")
    assert "--languages lacks 'de'" in refused(*command, "bleu", "--languages", "en,fr")
    assert "cannot load 'none'" in refused(*command, "round_trip", "--model", "none")


def test_text_lent_to_a_reward(here):
    (here / "de.txt").write_text("".join(f"Der Hund Nummer {n} schläft im Garten.\n" for n in range(200)))
    outcome = eclectus("reward", "score", "hyp.tsv", *DIRECTION, "--config", "fluency", "--texts", "de=de.txt")
    assert outcome.code == 0, outcome
    assert float(table(outcome.out)[2]["total"]) == 0.0


def test_a_model_lent_to_a_reward(here):
    (here / "ui.tsv").write_text("source\thypothesis\nSave changes\tÄnderungen speichern\nSave changes\tHund\n")
    outcome = eclectus("reward", "score", "ui.tsv", *DIRECTION, "--config", "round_trip", "--model", "base")
    assert outcome.code == 0, outcome
    right, wrong = (float(row["total"]) for row in table(outcome.out))
    assert right > wrong
    message = refused(
        "reward", "score", "ui.tsv", "--from", "en", "--to", "ja", "--config", "round_trip", "--model", "base"
    )
    assert "model: it has no language 'ja'" in message


def test_a_reward_of_the_users_own(here):
    (here / "my_scores.py").write_text(
        "def half(prompts, completions, **kwargs):\n    return [0.5 if text else 1 / 0 for text in completions]\n"
    )
    message = refused("reward", "score", "hyp.tsv", *DIRECTION, "--config", "my_scores:half")
    assert "'my_scores:half' failed with ZeroDivisionError" in message
    assert "my_scores.py:2" in message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["hyp.tsv", "--config", "blue"], "no file and no reward 'blue'; did you mean 'bleu'"),
        (["hyp.tsv", "--config", "none.yaml"], "no file 'none.yaml'"),
        (["hyp.tsv", "--config", "bleu", "--task", "x"], "is one reward and has no task 'x'"),
        (["hyp.tsv", "--config", "default", "--task", "x"], "is a reward alone and has no task 'x'"),
        (["hyp.tsv", "--config", "none:none"], "cannot load 'none:none'"),
        (["hyp.tsv", "--config", "base"], "'base' holds no reward"),
        (["hyp.tsv", "--config", "broken.yaml"], "not valid YAML"),
        (["hyp.tsv", "--config", "typo.yaml"], "unknown key 'gatez'; did you mean 'gates'"),
        (["hyp.tsv", "--config", "number.yaml"], "config: "),
        (["hyp.tsv", "--config", "option.yaml"], "unknown key 'reward.terms.0.word'; did you mean 'words'"),
        (["hyp.tsv", "--hypothesis", "output"], "no column 'output', it has source, reference, hypothesis"),
        (["none.tsv"], "score: no file 'none.tsv'"),
        (["hyp.tsv", "--columns", "source,hypothesis"], "line 1 has 3 columns instead of 2"),
        (["hyp.tsv", "--save", "scores.csv"], "'scores.csv' would hold tabs, or JSON; name it .tsv or .jsonl"),
        (["hyp.tmx"], "'hyp.tmx' is tmx by its name, which is not read here; give TSV or JSONL"),
    ],
)
def test_score_with_a_mistake(here, options, message):
    (here / "hyp.tmx").write_text("<tmx/>")
    (here / "broken.yaml").write_text("terms: [1\nb: }")
    (here / "typo.yaml").write_text("terms: [{type: bleu}]\ngatez: []")
    (here / "number.yaml").write_text("terms: [{type: bleu}]\n5: x")
    (here / "option.yaml").write_text("terms: [{type: chrf, word: 2}]")
    assert re.search(message, refused("reward", "score", *options, *DIRECTION))


@pytest.mark.parametrize("command", ["score", "audit"])
def test_languages_that_are_swapped_are_noticed(here, command):
    (here / "long.tsv").write_text(
        "source\treference\thypothesis\n"
        "The house on the hill is very old.\tDas Haus auf dem Hügel ist sehr alt.\tDas Haus ist alt.\n"
        "We are going to the station now.\tWir gehen jetzt zum Bahnhof.\tWir gehen.\n",
        encoding="utf-8",
    )
    said = "most sources look like en and most references like de: are the two languages swapped?"
    options = ("long.tsv", "--config", "chrf")
    right, wrong = (
        eclectus("reward", command, *options, "--from", source, "--to", target)
        for source, target in (("en", "de"), ("de", "en"))
    )
    assert said in wrong.out + wrong.err
    assert "swapped" not in right.out + right.err


# audit


SYSTEMS = """\
en\tde\tfr\tgood\tbad
The black cat sleeps.\tDie schwarze Katze schläft hier.\tLe chat noir dort.\tEine schwarze Katze schläft hier.\tKatze
Two dogs play in the snow.\tZwei Hunde spielen im Schnee.\tDeux chiens jouent.\tZwei Hunde spielen im Schnee.\tZwei
A man reads a newspaper.\tEin Mann liest eine Zeitung.\tUn homme lit un journal.\tEin Mann liest die Zeitung.\tMann da
"""


@pytest.fixture
def systems(here):
    (here / "sys.tsv").write_text(SYSTEMS, encoding="utf-8")
    return here


def test_audit_of_a_cheatable_reward(systems):
    command = ("reward", "audit", "sys.tsv", *DIRECTION, "--systems", "good,bad", "--config", "chrf")
    outcome = eclectus(*command, "--html", "a.html", "--wrong-language", "fr")
    assert outcome.code == 0, outcome
    assert re.search(r"good +3 +100 % +0\.[89]", outcome.out)
    assert re.search(r"doubled +3 +100 % .* above 50 %", outcome.out)
    assert "wrong language (fr)" in outcome.out
    assert "cheats pay: half, doubled, tripled" in outcome.out
    assert "doubled" in (systems / "a.html").read_text(encoding="utf-8")
    assert "'a.html' exists" in refused(*command, "--html", "a.html")
    assert eclectus(*command, "--strict").code == 1
    assert eclectus(*command, "--strict", "--threshold", "2").code == 0
    assert eclectus(*command).out == eclectus(*command).out


def test_an_audit_leaves_out_what_equals_any_reference(here):
    """In the second reference the first is written in lower case, so that the cheat of that name is right."""
    texts = ["Der Hund schläft", "Die Katze schläft"]
    rows = [{"source": f"It {i}", "reference": [text, text.lower()]} for i, text in enumerate(texts)]
    (here / "two.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for options in ([], ["--withhold-references"]):
        kind = "nonempty" if options else "exact"
        shown = eclectus("reward", "audit", "two.jsonl", *DIRECTION, "--config", kind, *options).out
        assert re.search(r"lower-cased +0 ", shown), shown
        assert re.search(r"doubled +2 ", shown), shown


def test_an_audit_judges_a_system_that_gave_nothing(systems):
    """null and a missing key are the empty translation, worth 0, so that they do not lift the system's mean."""
    said = [{"a": "Ein Mann"}, {"a": None}, {}]
    rows = [{"source": f"A man {i}", "reference": "Ein Mann", **row} for i, row in enumerate(said)]
    (systems / "sys.jsonl").write_text("\n".join(map(json.dumps, rows)))
    outcome = eclectus("reward", "audit", "sys.jsonl", *DIRECTION, "--config", "exact", "--systems", "a")
    assert re.search(r"\ba\b.*0\.33", outcome.out)
    rows[1]["a"] = 7
    (systems / "sys.jsonl").write_text("\n".join(map(json.dumps, rows)))
    command = ("reward", "audit", "sys.jsonl", *DIRECTION, "--config", "exact", "--systems", "a")
    assert "line 2 holds the number 7 in 'a'" in refused(*command)


def test_audit_of_the_default(systems):
    outcome = eclectus("reward", "audit", "sys.tsv", *DIRECTION, "--systems", "good", "--strict", "--limit", "2")
    assert outcome.code == 0, outcome
    assert "2 segments" in outcome.out
    assert "None of 11 cheats pays." in outcome.out


def test_audit_with_human_judgements(here):
    lines = ["source\treference\tsystem\thypothesis\tmqm"]
    for n in range(12):
        reference = f"Der alte Mann liest im Garten Nummer {n} eine Zeitung."
        for system, words, errors in (("a", 10, 0), ("b", 7, 1), ("c", 4, 5)):
            hypothesis = " ".join(reference.split()[:words])
            lines.append(f"The old man reads a newspaper {n}.\t{reference}\t{system}\t{hypothesis}\t{errors}")
    (here / "human.tsv").write_text("\n".join(lines), encoding="utf-8")
    command = ("reward", "audit", "human.tsv", *DIRECTION, "--config", "chrf", "--human", "mqm")
    shown = eclectus(*command, "--lower-is-better").out
    assert re.search(r"chrf +36 +0\.\d+ +1\.000 \[1\.000, 1\.000\] +12 +0", shown)
    assert re.search(r"bleu +36 ", shown)
    assert "12 segments" in shown
    assert re.search(r"chrf +36 +−0\.\d+ +−1\.000", eclectus(*command).out)
    assert "Kendall" not in eclectus(*command[:-2]).out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["sys.tsv", "--systems", "god"],
            "no column 'god', it has en, de, fr, good, bad; .*, or name another with --systems",
        ),
        (["sys.tsv", "--human", "score"], "--human judges a column 'hypothesis'"),
        (["sys.tsv", "--wrong-language", "de"], "--wrong-language de is the target language"),
        (["sys.tsv", "--wrong-language", "es"], "no column 'es'.*--wrong-language LANG=FILE"),
        (["sys.tsv", "--wrong-language", "es=es.txt"], "no file 'es.txt'"),
        (["sys.tsv", "--wrong-language", "es=blank.txt"], "'blank.txt' holds nothing visible"),
        (["sys.tsv", "--wrong-language", "klingonian"], "unknown language 'klingonian'"),
        (["hyp.tsv", "--human", "mqm"], "no column 'mqm'"),
        (["words.tsv"], "line 2: 'score' holds 'good' instead of a number"),
        (["source.tsv", "--config", "nonempty"], "neither references nor translations"),
        (["source.tsv"], "needs references"),
        (["empty.tsv"], "is empty"),
        (["sys.tsv", "--html", "none/a.html"], "no folder 'none'"),
    ],
)
def test_audit_with_a_mistake(systems, options, message):
    (systems / "empty.tsv").write_text("")
    (systems / "blank.txt").write_text("\u200b\n", encoding="utf-8")
    (systems / "source.tsv").write_text("source\nOne\n")
    (systems / "words.tsv").write_text("source\treference\thypothesis\tscore\nOne\tEins\tEins\tgood\n")
    assert re.search(message, refused("reward", "audit", *options, *DIRECTION))


def test_wrong_language_from_a_file(systems):
    (systems / "es.txt").write_text("Un hombre lee.\nDos perros.\n", encoding="utf-8")
    command = ("reward", "audit", "sys.tsv", *DIRECTION, "--wrong-language", "es=es.txt", "--config", "language")
    outcome = eclectus(*command)
    assert "wrong language (es)" in outcome.out
    assert "py3langid:de,en,es" in outcome.out


def test_install_writes_a_program_and_says_what_comes_next(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = eclectus("reward", "install", "comet", "--files-only").out
    assert {path.name for path in (tmp_path / "programs" / "comet").iterdir()} >= {"score.py", "requirements.txt"}
    assert "type: process" in shown and "-m venv --clear programs/comet/.venv" in shown
    assert re.search(r"not empty", refused("reward", "install", "comet", "--files-only"))
    assert eclectus("reward", "install", "metricx", "metrics/x", "--files-only").code == 0
    assert (tmp_path / "metrics" / "x" / "score.py").exists()
    assert re.search(r"unknown metric 'komet'; did you mean 'comet'", refused("reward", "install", "komet", "x"))
