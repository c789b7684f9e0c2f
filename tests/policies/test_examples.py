"""Examples for prompts: which of a pool are shown for a source."""

import pytest

from eclectus.config import FewShotConfig
from eclectus.policies.examples import Examples
from eclectus.segment import Segment

POOL = [
    (f"{size} {colour} {thing}", f"{thing} {colour} {size}")
    for size in ("big", "small", "flat")
    for colour in ("red", "green", "black")
    for thing in ("dog", "house", "sea")
]
SOURCES = ["a big red dog", "the flat black sea", "small green houses"]


def shown(sources=SOURCES, **options):
    examples = Examples(FewShotConfig(k=3, **options), {"en-es": POOL})
    return {source: examples.choose(Segment(source, "en", "es")) for source in sources}


def test_the_most_similar_are_shown_the_nearest_last():
    for source, found in shown().items():
        words = set(source.replace("houses", "house").split())
        assert len(words & set(found[-1][0].split())) == 3
        assert all(len(words & set(text.split())) == 2 for text, _ in found[:-1])


def test_random_ones_are_others_and_belong_to_seed_and_source():
    similar, drawn = shown(), shown(choose="random")
    assert all(drawn[source] != similar[source] for source in SOURCES)
    assert shown(SOURCES[::-1], choose="random") == drawn == shown(choose="random")
    assert len({tuple(found) for found in drawn.values()}) == len(SOURCES)
    other = shown(choose="random", seed=2)
    assert all(other[source] != drawn[source] for source in SOURCES)


@pytest.mark.parametrize("choose", ["similar", "random"])
def test_a_sources_own_pair_is_never_shown(choose):
    for source, found in shown([text for text, _ in POOL], choose=choose).items():
        assert len(found) == 3 and source not in {text for text, _ in found}


@pytest.mark.parametrize("choose", ["similar", "random"])
def test_a_source_with_many_translations_leaves_examples_to_others(choose):
    pool = [("Delete", f"borrar {i}") for i in range(20)] + [("Delete the page", "borrar la página")]
    examples = Examples(FewShotConfig(k=1, choose=choose), {"en-es": pool})
    assert examples.choose(Segment("Delete", "en", "es")) == [pool[-1]]
