"""The mutation check itself: its operators, its catalogue, and that a swapped function is what tests then meet."""

import pytest
import torch

from eclectus.algorithms import kl
from tests.mutation.catalogue import NAMED, TARGETS
from tests.mutation.operators import Mutant, generated, replaced
from tests.mutation.run import PACKAGE, ROOT, Verdict, mutants, table
from tests.mutation.swap import judge, swap


def bodies(code):
    """What the mutants of a function of two arguments return."""
    source = f"def f(a, b):\n    return {code}\n"
    return {m.source.partition("return ")[2].strip() for m in generated("m.py", source)}


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("a - b", {"((a) + (b))"}),
        ("a * b.mask", {"(b.mask)"}),
        ("a.value / b", {"(a.value)"}),
        ("a < b", {"(a <= b)"}),
        ("a if b else 0.5", {"a if (not (b)) else 0.5", "a if b else 1.0"}),
        ("a and b", {"((a) or (b))"}),
        ("-a", {"(a)"}),
        ("a.detach()", {"(a)"}),
        ("max(a, b)", {"min(a, b)"}),
        ("a[1:]", {"a[2:]"}),
        ("a.sum(dim=1)", {"(a).mean(dim=1)"}),
        ("a.view(2, -1)", set()),
        ("a[0]", set()),
        ("a[-1]", set()),
    ],
)
def test_operators(code, expected):
    assert bodies(code) == expected


def test_names_survive_code_above_them():
    source = "def f(a):\n    return a + 1\n"
    assert [m.name for m in generated("m.py", source)] == [m.name for m in generated("m.py", f"import os\n\n{source}")]


def test_a_call_of_the_parent_that_is_left_out_can_be_swapped():
    source = "class A(B):\n    def f(self):\n        super().f()\n"
    assert [m.source for m in generated("m.py", source)] == [source.replace("super().f()", "super()")]


def test_messages_defaults_and_functions_left_alone_are_not_changed():
    source = "def f(a=1):\n    assert a > 1\n    raise ValueError(f'{a + 1}')\n\n\ndef g(a):\n    return a + 1\n"
    assert generated("m.py", source, frozenset({"g"})) == []


@pytest.mark.filterwarnings("ignore::SyntaxWarning")
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.module)
def test_the_catalogue_fits_the_source(target):
    found = mutants(target)
    assert len({mutant.name for mutant in found}) == len(found)
    for mutant in found:
        compile(mutant.source, mutant.module, "exec")
    assert all((ROOT / path.partition("::")[0]).is_file() for path in target.tests)


def test_every_mistake_by_hand_belongs_to_a_target():
    assert set(NAMED) <= {target.module for target in TARGETS}


def test_a_text_that_is_gone_is_named():
    with pytest.raises(LookupError, match=r"mutant 'no sign': its text stands 0 times in m\.py"):
        replaced("m.py", "a = 1\n", "no sign", "-a", "a")


@pytest.fixture
def restored():
    code = kl.k1.__code__
    yield
    kl.k1.__code__ = code


def test_a_swapped_function_is_what_everybody_calls(restored):
    k1 = kl.k1  # as another module would have imported it
    ones = torch.ones(1, 2)
    source = (PACKAGE / "algorithms/kl.py").read_text(encoding="utf-8")
    swap(
        replaced(
            "algorithms/kl.py", source, "sign", "((logprobs - reference) * mask)", "((logprobs + reference) * mask)"
        )
    )
    assert k1(ones, ones, ones).item() == 4.0


def test_a_mistake_outside_of_functions_is_refused():
    source = (PACKAGE / "algorithms/kl.py").read_text(encoding="utf-8")
    with pytest.raises(LookupError, match="changes no function"):
        swap(replaced("algorithms/kl.py", source, "constant", "_LOG_RATIO = 20.0", "_LOG_RATIO = 21.0"))


def test_a_mutant_that_cannot_be_is_an_error_and_not_a_kill():
    """Were it only a test that failed, it would count as noticed."""
    source = (PACKAGE / "algorithms/kl.py").read_text(encoding="utf-8")
    nothing, told = replaced("algorithms/kl.py", source, "nothing", "_LOG_RATIO = 20.0", "_LOG_RATIO = 20.0 + 0"), []
    with pytest.raises(RuntimeError, match="pytest ended with"):
        judge(("tests/algorithms/test_coefficients.py",), [nothing], 1, 60.0, lambda *one: told.append(one))
    assert not told


def test_the_table_counts_and_lists_survivors():
    def verdict(name, killer):
        return Verdict(Mutant("algorithms/advantages.py", name, 1, ""), killer)

    found = [verdict("a", "test"), verdict("b", ""), verdict("group_mean: 1 becomes 2", "")]
    lines = table(found).splitlines()
    assert "| `algorithms/advantages.py` | 3 | 1 | 1 | 1 |" in lines
    assert "| **all** | 3 | 1 | 1 (50.0%) | 1 |" in lines
    assert lines[-1] == "- `algorithms/advantages.py`, b: **not explained**"
