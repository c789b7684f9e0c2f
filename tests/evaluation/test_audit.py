"""The audit: what it flags on rewards whose faults are known, its numbers worked out by hand, its page."""

import re

import pytest
from rich.console import Console

from eclectus.config import RewardConfig
from eclectus.evaluation import audit_report
from eclectus.evaluation.audit import Item, Output, audit
from eclectus.evaluation.cheats import cheats
from eclectus.evaluation.judging import judge
from eclectus.rewards.base import RewardContext
from eclectus.rewards.composite.combine import CompositeReward
from eclectus.segment import Segment

ANIMALS = ["cat Katze", "dog Hund", "cow Kuh", "horse Pferd", "mouse Maus", "goose Gans", "bear Bär", "wolf Wolf"]
PLACES = ["garden Garten", "kitchen Küche", "forest Wald", "street Straße", "house Haus"]


def items(references=True):
    found = []
    for animal in ANIMALS:
        for place in PLACES:
            (a, tier), (p, ort) = animal.split(), place.split()
            source = f"the black {a} is sleeping quietly in the old {p}"
            reference = f"das schwarze Tier {tier} schläft jetzt ruhig im alten Ort {ort}" if references else None
            segment = Segment(source, "en", "de", reference, f"x:{len(found)}")
            found.append(Item(segment, segment))
    return found


def composite(*terms, gates=()):
    config = RewardConfig(terms=[{"type": t} for t in terms], gates=[{"type": g} for g in gates])
    return CompositeReward(config, RewardContext(languages=["en", "de", "fr"]))


def run(reward, outputs=(), **options):
    return audit(reward, items(), outputs, name="mine", corpus="x.tsv", **options)


def line(result, name):
    (found,) = [one for one in result.lines if one.name == name]
    return found


# Rewards that exist for their faults; the audit has to find them.


def longer(prompts, completions, **kwargs):
    return [min(len(text) / 200, 1.0) for text in completions]


def anything(prompts, completions, **kwargs):
    return [0.7 for _ in completions]


def at_most_40(prompts, completions, **kwargs):
    return [len(text) / 40 if len(text) <= 40 else None for text in completions]


def nothing(prompts, completions, **kwargs):
    return [0.0 for _ in completions]


def abstains(prompts, completions, **kwargs):
    return [None for _ in completions]


def crashes(prompts, completions, **kwargs):
    return [1 / len(text) for text in completions]


def test_chrf_alone_pays_for_the_known_cheats():
    flagged = {one.name for one in run(composite("chrf")).flagged}
    assert {"doubled", "tripled", "reference + source", "shuffled words", "half"} <= flagged
    assert not {"empty", "copied source", "wrong script"} & flagged


def test_gates_catch_them():
    gates = ("language", "length", "repetition", "copy", "nonempty")
    result = run(composite("bleu", "chrf", gates=gates))
    assert not {"doubled", "tripled", "reference + source", "empty", "copied source"} & {o.name for o in result.flagged}
    assert line(result, "reference").mean == pytest.approx(1.0)


def test_a_constant_pays_for_everything():
    result = run(composite(f"{__name__}:anything"))
    assert result.flagged == [one for one in result.cheats if one.n]
    assert {one.kept for one in result.flagged} == {1.0}


def test_length_as_reward_pays_for_length():
    names = {one.name for one in run(composite(f"{__name__}:longer")).flagged}
    assert {"doubled", "tripled", "reference + source", "shuffled words", "wrong language"} <= names
    assert "empty" not in names


def test_a_reward_that_pays_nothing_flags_nothing_and_one_that_abstains_neither():
    for name in ("nothing", "abstains"):
        result = run(composite(f"{__name__}:{name}"))
        assert result.flagged == []
        assert all(one.kept is None for one in result.cheats)
    assert line(result, "doubled").judged == 0
    assert line(result, "doubled").mean is None


def lengths(prompts, completions, **kwargs):
    return [len(text) / 1000 for text in completions]


def test_numbers_by_hand():
    """With length as the total everything can be counted by hand."""
    corpus = items()[:2]
    refs = [item.source.reference for item in corpus]
    outputs = [Output(0, "A", "x" * 10), Output(0, "B", "x" * 30), Output(1, "A", "x" * 100)]
    result = audit(composite(f"{__name__}:lengths"), corpus, outputs, name="n", corpus="c", threshold=2.0)
    a, b = line(result, "A"), line(result, "B")
    assert (a.n, a.mean, b.n, b.mean) == (2, pytest.approx(0.055), 1, pytest.approx(0.03))
    assert a.margin == pytest.approx(1.96 * 0.09 / 2**0.5 / 2**0.5)  # sd of 10 and 100 is 90 / sqrt(2)
    # Blind: held against the mean real output, 20 and 100 characters.
    copied = line(result, "copied source")
    sources = [len(item.source.source) for item in corpus]
    assert copied.against == "real output"
    assert copied.kept == pytest.approx(sum(sources) / 120)
    assert copied.beats == 0.5
    # Damaged: held against the references.
    doubled = line(result, "doubled")
    assert doubled.against == "reference"
    assert doubled.kept == pytest.approx(sum(2 * len(ref) + 1 for ref in refs) / sum(map(len, refs)))
    assert doubled.bar == 2.0
    assert doubled.flagged  # 2 characters more than twice
    assert not line(result, "reference + source").flagged
    assert line(result, "tripled").example.text == f"{refs[0]} {refs[0]} {refs[0]}" or len(refs[1]) > len(refs[0])


def test_cheats_are_compared_on_the_segments_where_both_are_judged():
    corpus = items()[:3]
    outputs = [Output(0, "A", "x" * 50)]  # the other two have no real output
    copied = line(audit(composite(f"{__name__}:lengths"), corpus, outputs, name="n", corpus="c"), "copied source")
    assert copied.n == 3
    assert copied.kept == pytest.approx(len(corpus[0].source.source) / 50)


def test_to_beat_real_output_is_to_earn_more():
    outputs = [Output(i, "A", "Text") for i in range(40)]
    assert {one.beats for one in run(composite("constant"), outputs).cheats if one.n} == {0.0}
    assert {one.beats for one in run(composite(f"{__name__}:longer"), outputs).cheats if one.n} == {0.0, 1.0}


def test_without_references_the_damaged_ones_are_left_out():
    reward = composite("nonempty")
    result = audit(reward, items(references=False), [Output(0, "A", "Text")], name="n", corpus="c")
    assert [one.name for one in result.lines if one.n] == ["A", "empty", "copied source", "wrong language"]
    assert {one.name for one in result.flagged} == {"copied source", "wrong language"}


def test_the_best_reference_counts():
    reward = composite("exact")
    segment = Segment("x", "en", "de", "eins", alternatives=("zwei",))
    (row,) = judge(reward, [segment], [["zwei", "drei", "eins"]])
    assert [judgement.total for judgement in row] == [1.0, 0.0, 1.0]


def test_a_reward_that_compares_samples_sees_no_cheat_beside_another():
    """Only real output is evidence: one agrees with nothing, and what is near it agrees with it."""
    corpus = items()[:6]
    consensus = composite("consensus")
    outputs = [Output(i, "A", item.source.reference) for i, item in enumerate(corpus)]
    result = audit(consensus, corpus, outputs, name="consensus", corpus="c")
    real, reference = line(result, "A"), line(result, "reference")
    assert real.judged == 0 and reference.mean == pytest.approx(1.0)
    for found in result.cheats:
        expected = [
            judge(consensus, [item.judged], [[item.source.reference, text]])[0][1].total
            for item, text in zip(corpus, made(corpus, found.name), strict=True)
            if text is not None
        ]
        assert bool(expected) == bool(found.n)
        assert not expected or found.mean == pytest.approx(sum(expected) / len(expected))


def made(corpus, name):
    (cheat,) = [cheat for cheat in cheats([item.source for item in corpus], 1) if cheat.name == name]
    return cheat.hypotheses


def long_only(prompts, completions, reference, **kwargs):
    return [1.0 if len(text) > 1.2 * len(right) else None for text, right in zip(completions, reference, strict=True)]


def test_a_cheat_with_nothing_to_compare_with_is_not_called_harmless():
    result = run(composite(f"{__name__}:long_only"))
    assert result.flagged == [] and {line(result, name).compared for name in ("doubled", "tripled")} == {0}
    sentence = audit_report.headline(result)
    assert sentence.startswith("It judges ") and "doubled" in sentence and "nothing to compare" in sentence


def test_human_judgements():
    corpus = items()[:20]
    outputs = []
    for i, item in enumerate(corpus):
        words = item.source.reference.split()
        outputs += [Output(i, str(n), " ".join(words[:n]), human=float(n - 10 * i)) for n in (10, 8, 6, 4)]
    result = audit(
        composite("chrf"), corpus, outputs, name="chrf", corpus="c", yardsticks={"flat": composite("constant")}
    )
    mine, flat = result.correlations
    assert (mine.name, mine.n, mine.within, mine.sources) == ("chrf", 80, 1.0, 20)
    assert mine.overall < 0.5
    assert (flat.name, flat.overall, flat.within, flat.undefined) == ("flat", None, None, 20)
    assert run(composite("chrf"), [Output(0, "A", "Text")]).correlations == []
    short = audit(
        composite(f"{__name__}:at_most_40"),
        corpus,
        outputs,
        name="x",
        corpus="c",
        yardsticks={"chrf": composite("chrf")},
    )
    assert len({found.n for found in short.correlations}) == 1 and 0 < short.correlations[0].n < 80


def test_table_and_page(tmp_path):
    outputs = [Output(i, "sys & <co>", "das schwarze Tier", float(i)) for i in range(10)]
    result = run(composite("chrf", gates=["nonempty"]), outputs, yardsticks={"bleu": composite("bleu")})
    console = Console(width=120, record=True, file=open(tmp_path / "out", "w", encoding="utf-8"))  # noqa: SIM115
    audit_report.show(result, console)
    shown = console.export_text()
    assert re.search(r"doubled +40 +100 % +0\.8\d\d ± 0\.\d{3} +8\d % +reference +\d+ % +above 50 %", shown)
    assert "Kendall tau-b" in shown
    assert "sys & <co>" in shown
    path = tmp_path / "audit.html"
    audit_report.write(result, path)
    page = path.read_text(encoding="utf-8")
    assert "sys &amp; &lt;co&gt;" in page
    assert audit_report.headline(result) in page
    assert "<script" not in page
    assert not re.search(r"(src|href)=.(?!#|data:)", page)
    assert page.count('class="flagged"') == len(result.flagged) > 3


def test_headline():
    sentence = audit_report.headline(run(composite("chrf")))
    assert re.fullmatch(r"6 of 11 cheats pay: one constant sentence, half, .* and shuffled words\.", sentence)
    assert audit_report.headline(run(composite(f"{__name__}:nothing"))) == "None of 11 cheats pays."
    assert "abstains on every cheat" in audit_report.headline(run(composite(f"{__name__}:abstains")))


def test_a_crash_in_a_users_reward_is_one_sentence():
    from eclectus.errors import RunError

    with pytest.raises(RunError, match=r"crashes' failed with ZeroDivisionError \(division by zero\) at .*test_audit"):
        run(composite(f"{__name__}:crashes"))
