"""Each cheat is what its name says, and no cheat is the right translation."""

import pytest

from eclectus.evaluation.cheats import cheats, half, shuffled, wrong_script
from eclectus.segment import Segment


def segment(source, reference, number=0, target="de"):
    return Segment(source, "en", target, reference, id=f"x:{number}")


SEGMENTS = [
    segment("Open %(name)s now", "Öffnen Sie %(name)s jetzt", 1),
    segment("The cat sleeps", "Die Katze schläft", 2),
    segment("The dog sleeps", "Der Hund schläft", 3),
    segment("A dog sleeps", "Der Hund schläft", 4),
    segment("OK", "OK", 5),
]


def made(segments=SEGMENTS, **options):
    return {cheat.name: cheat.hypotheses for cheat in cheats(segments, **options)}


def test_each_cheat():
    found = made()
    assert found["empty"] == [""] * 5
    assert found["copied source"] == ["Open %(name)s now", "The cat sleeps", "The dog sleeps", "A dog sleeps", None]
    assert found["one constant sentence"] == ["Der Hund schläft", "Der Hund schläft", None, None, "Der Hund schläft"]
    assert found["half"][:2] == ["Öffnen Sie", "Die Katze"]
    assert found["doubled"][1] == "Die Katze schläft Die Katze schläft"
    assert found["tripled"][4] == "OK OK OK"
    assert found["reference + source"][1] == "Die Katze schläft The cat sleeps"
    assert sorted(found["shuffled words"][1].split()) == ["Die", "Katze", "schläft"]
    assert found["shuffled words"][1] != "Die Katze schläft"
    assert found["lower-cased"][1] == "die katze schläft"
    assert found["wrong script"][2] == "Дер Хунд сцхлафт"
    assert found["dropped placeholders"] == ["Öffnen Sie jetzt", None, None, None, None]


def test_no_cheat_is_the_right_translation():
    for name, hypotheses in made(others={"fr": ["Ouvrir", None, "Der Hund  schläft", "Un chien", "OK"]}).items():
        for hypothesis, one in zip(hypotheses, SEGMENTS, strict=True):
            assert hypothesis is None or hypothesis.split() != one.reference.split(), name


def test_the_wrong_language_is_another_source_or_the_text_given():
    drawn = made()["wrong language"]
    assert sorted(drawn) == sorted(s.source for s in SEGMENTS)
    assert all(text != s.source for text, s in zip(drawn, SEGMENTS, strict=True))
    given = made(others={"fr": ["un", None, "trois", "quatre", "cinq"]})
    assert given["wrong language (fr)"] == ["un", None, "trois", "quatre", "cinq"]
    assert "wrong language" not in given


def test_the_wrong_language_is_not_that_of_another_direction():
    back = [Segment(f"Das ist der {i}. Satz", "de", "en", f"This is sentence {i}") for i in range(6)]
    for seed in range(9):
        drawn = made([*SEGMENTS, *back], seed=seed)["wrong language"]
        assert sorted(drawn[:5]) == sorted(s.source for s in SEGMENTS)
        assert sorted(drawn[5:]) == sorted(s.source for s in back)
    assert made([*SEGMENTS, back[0]])["wrong language"][-1] is None  # there is no other


def test_there_is_no_wrong_language_between_writings_of_one():
    found = made([Segment(f"Реченица {i}", "sr-Cyrl", "sr-Latn", f"Rečenica {i}") for i in range(3)])
    assert found["wrong language"] == [None] * 3
    assert found["copied source"] == [f"Реченица {i}" for i in range(3)]


def test_what_is_another_reference_is_no_cheat():
    several = [
        Segment("The cat", "en", "de", "Die Katze", alternatives=("die  katze", "Die")),
        Segment("The dog", "en", "de", "Der Hund", alternatives=("The dog",)),
    ]
    found = made(several)
    assert found["lower-cased"] == [None, "der hund"]
    assert found["half"] == [None, "Der"]
    assert found["copied source"] == ["The cat", None]
    assert found["wrong language"] == ["The dog", "The cat"]


def test_the_seed_decides_what_is_drawn():
    many = [segment(f"source {i}", "eins zwei drei vier fünf sechs sieben", i) for i in range(20)]
    assert made(many, seed=1) == made(many, seed=1)
    for name in ("wrong language", "shuffled words"):
        assert made(many, seed=1)[name] != made(many, seed=2)[name]
    assert len(set(made(many)["shuffled words"])) > 10


def test_the_constant_is_of_the_target_language():
    mixed = [*SEGMENTS, segment("The cat", "Le chat", 6, "fr"), segment("The sea", "La mer", 7, "fr")]
    constant = made(mixed)["one constant sentence"]
    assert constant[:2] == ["Der Hund schläft"] * 2
    assert set(constant[5:]) <= {"Le chat", "La mer", None}


def test_without_references_only_blind_cheats_are_made():
    found = cheats([Segment("The cat", "en", "de"), Segment("The dog", "en", "de")])
    applicable = {cheat.name for cheat in found if any(text is not None for text in cheat.hypotheses)}
    assert applicable == {"empty", "copied source", "wrong language"}
    assert all(cheat.blind for cheat in found if cheat.name in applicable)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("one two three", "one two"), ("one two", "one"), ("four", "fo"), ("黑猫在 睡觉了", "黑猫在"), ("a", None)],
)
def test_half(text, wanted):
    assert half(text) == wanted


def test_shuffling():
    assert shuffled("one two", 1, "x") == "two one"
    assert sorted(shuffled("黑猫在睡觉", 1, "x")) == sorted("黑猫在睡觉")
    assert shuffled("黑猫在睡觉", 1, "x") != "黑猫在睡觉"
    assert " " not in shuffled("黑猫在 睡觉了", 1, "x")
    assert [shuffled(text, 1, "x") for text in ("one", "so so so", "")] == [None, None, None]


def test_wrong_script_by_sound():
    assert wrong_script("Zwei Öfen, 3!") == "Звеи Офен, 3!"
    assert wrong_script("Ще їжак") == "Shche izhak"


@pytest.mark.parametrize("text", ["Zwei Hunde, 3 Öfen!", "Ще їжак, 3!", "Γειά σου, 3!", "黑猫在睡觉, 3!", "שלום, 3!"])
def test_wrong_script_keeps_no_letter_and_all_marks(text):
    found = wrong_script(text)
    letters = {c for c in found if c.isalpha()}
    assert letters
    assert not {c for c in text if c.isalpha()} & letters
    assert [c for c in found if c in ",3!"] == [",", "3", "!"]
