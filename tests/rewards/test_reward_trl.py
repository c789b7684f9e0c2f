"""Our rewards as TRL's reward functions: by the documented call, and in the real GRPOTrainer where it is installed."""

import doctest
import importlib.util
from types import SimpleNamespace

import pytest

from eclectus.config import RewardConfig
from eclectus.errors import ConfigError, DataError
from eclectus.rewards.base import Reward, RewardContext
from eclectus.rewards.bridges import trl as module
from eclectus.rewards.bridges.trl import as_trl_reward
from eclectus.rewards.chrf import ChrF
from eclectus.rewards.composite.combine import CompositeReward
from eclectus.segment import Segment

CALL = {
    "prompts": ["Translate: cat", "Translate: cat", "Translate: dog"],
    "completions": ["gato", "", "chien"],
    "completion_ids": [[5, 2], [2], [6, 2]],
    "source": ["cat", "cat", "dog"],
    "source_lang": ["en"] * 3,
    "target_lang": ["es", "es", "fr"],
    "reference": ["gato", "gato", "chien"],
    "log_extra": lambda column, values: None,
}


def test_the_documented_call():
    chrf = as_trl_reward("chrf")
    assert chrf.__name__ == "chrf"
    assert chrf(**CALL) == [1.0, 0.0, 1.0]
    assert as_trl_reward(ChrF())(**CALL) == [1.0, 0.0, 1.0]
    assert as_trl_reward(ChrF(), name="mine").__name__ == "mine"


def test_a_config_logs_its_parts_and_follows_the_steps():
    logged = {}
    weight = {"start": 0, "end": 1, "steps": 10, "shape": "step"}
    terms = [{"type": "constant", "value": 0.5}, {"type": "chrf", "weight": weight}]
    reward = as_trl_reward({"terms": terms, "gates": [{"type": "nonempty"}]})
    assert reward.__name__ == "eclectus"

    def call(step):
        return reward(**CALL, trainer_state=SimpleNamespace(global_step=step), log_metric=logged.__setitem__)

    assert call(8) == [0.5, 0.0, 0.5]
    assert call(9) == [0.75, 0.0, 0.75]  # TRL's ninth update is made, ours is the tenth
    assert logged == {"parts/eclectus/constant": 0.5, "parts/eclectus/chrf": 2 / 3, "parts/eclectus/nonempty": 2 / 3}


def test_messages_and_a_data_set_of_one_direction():
    prompts = [[{"role": "system", "content": "Translate."}, {"role": "user", "content": "cat"}]]
    completions = [[{"role": "assistant", "content": [{"type": "text", "text": "gato"}]}]]
    reward = as_trl_reward("exact", source_lang="en", target_lang="es")
    assert reward(prompts=prompts, completions=completions, reference=["gato"]) == [1.0]
    with pytest.raises(DataError, match="no column 'target_lang'"):
        as_trl_reward("exact", source_lang="en")(prompts=prompts, completions=completions)


def test_samples_of_a_source_are_judged_together():
    seen = []

    class Spy(Reward):
        def __call__(self, segments, hypotheses):
            return [1.0] * len(segments)

        def score_groups(self, segments, hypotheses):
            seen.append(([(s.source, s.target_lang, s.attributes) for s in segments], hypotheses))
            return super().score_groups(segments, hypotheses)

    as_trl_reward(Spy())(**CALL, topic=["a", "a", "b"])
    assert seen == [([("cat", "es", {"topic": "a"}), ("dog", "fr", {"topic": "b"})], [["gato", ""], ["chien"]])]


@pytest.mark.parametrize(
    "columns",
    [
        {"reference": [["el gato", "un gato"], ["un perro"]]},
        {"reference": [("el gato", None, "", "un gato"), "un perro"]},
        {"reference": ["el gato", "un perro"], "reference2": ["un gato", None]},
        {"references": ["el gato", "un perro"], "reference_3": ["un gato", ""]},
    ],
)
def test_several_references(columns):
    call = {"prompts": ["cat", "dog"], "completions": ["un gato", "un perro"]}
    seen = []

    class Spy(ChrF):
        def score_groups(self, segments, hypotheses):
            seen.extend((segment.references, segment.attributes) for segment in segments)
            return super().score_groups(segments, hypotheses)

    assert as_trl_reward(Spy(), source_lang="en", target_lang="es")(**call, **columns) == [1.0, 1.0]
    assert seen == [(("el gato", "un gato"), {}), (("un perro",), {})]
    bleu = as_trl_reward("bleu", source_lang="en", target_lang="es")(**call, **columns)
    assert bleu == pytest.approx([1.0, 1.0])


def test_an_empty_reference_is_one_where_it_is_all_there_is():
    call = {"prompts": ["cat"], "completions": ["gato"], "reference": [""]}
    assert as_trl_reward("chrf", source_lang="en", target_lang="es")(**call) == [0.0]
    call["reference"] = [None]
    with pytest.raises(DataError, match="has no reference"):
        as_trl_reward("chrf", source_lang="en", target_lang="es")(**call)


@pytest.mark.parametrize("cell", [5, ["gato", 5], {"es": "gato"}, [["gato"]]])
def test_a_reference_that_is_no_text_is_refused(cell):
    reward = as_trl_reward("bleu", source_lang="en", target_lang="es")
    with pytest.raises(
        DataError, match=r"column 'reference' holds (int|dict|list) instead of text in row 2 of the bat"
    ):
        reward(prompts=["dog", "cat"], completions=["perro", "gato"], reference=["perro", cell])


def test_mistakes_are_found_when_it_is_made():
    with pytest.raises(ConfigError, match="unknown type 'blue'; did you mean 'bleu'"):
        as_trl_reward("blue")
    with pytest.raises(ConfigError, match=r"'reward\.terms\.0\.weight'"):
        as_trl_reward({"terms": [{"type": "bleu", "weight": -1}]})
    with pytest.raises(ConfigError, match="refresh: 5, but no policy is trained here"):
        as_trl_reward({"type": "round_trip", "refresh": 5}, RewardContext(translate=lambda segments: []))


def test_a_reward_that_could_only_abstain_is_refused():
    with pytest.raises(ConfigError, match=r"'round_trip' needs 'translate', .* give RewardContext\(translate="):
        as_trl_reward("round_trip")
    with pytest.raises(ConfigError, match=r"'fluency' needs 'target_texts', .* give RewardContext\(target_texts="):
        as_trl_reward({"terms": [{"type": "chrf"}, {"type": "fluency"}]})

    class Alone(ChrF):
        requires = frozenset({"batch"})

    class Typo(ChrF):
        requires = frozenset({"translat"})

    with pytest.raises(ConfigError, match="did you mean 'translate'"):
        as_trl_reward(Typo())
    reward, rest = as_trl_reward(Alone()), {name: cells[:2] for name, cells in CALL.items() if isinstance(cells, list)}
    with pytest.raises(DataError, match="'Alone' compares with the other sources of a step, and the call has one; "):
        reward(**rest)
    assert reward(**CALL) == [1.0, 0.0, 1.0]
    assert reward(**rest) == [1.0, 0.0]  # the rest of a dev set

    class Siblings(ChrF):
        requires = frozenset({"siblings"})

    with pytest.raises(DataError, match="'Siblings' compares the translations of a source into several languages"):
        as_trl_reward(Siblings())(**CALL)
    both = CALL | {"source": ["cat"] * 3}
    assert as_trl_reward(Siblings())(**both) == [1.0, 0.0, 1.0]


def test_the_prompt_as_source_is_said_once(caplog):
    reward, call = as_trl_reward("chrf"), {name: cells for name, cells in CALL.items() if name != "source"}
    assert reward(**CALL) == [1.0, 0.0, 1.0] and not caplog.records
    assert reward(**call) == reward(**call) == [1.0, 0.0, 1.0]
    assert [record.getMessage().partition(",")[0] for record in caplog.records] == [
        "the data set has no column 'source'"
    ]


@pytest.mark.parametrize("name", ["completions", "source", "reference", "topic"])
def test_columns_of_another_length_are_refused(name):
    with pytest.raises(DataError, match=f"3 prompts, but '{name}' has 1; give one for each prompt"):
        as_trl_reward("chrf")(**CALL | {name: ["cat"]})


def test_languages_are_checked():
    with pytest.raises(ConfigError, match="unknown language 'Spanish'"):
        as_trl_reward("chrf", source_lang="en", target_lang="Spanish")
    with pytest.raises(ConfigError, match=r"write 'pt-BR' .* instead of 'pt_BR'"):
        as_trl_reward("chrf")(**CALL | {"target_lang": ["es", "es", "pt_BR"]})
    with pytest.raises(DataError, match="column 'source_lang' holds None; give a language"):
        as_trl_reward("chrf")(**CALL | {"source_lang": ["en", "en", None]})


def test_example_runs():
    assert doctest.testmod(module).failed == 0


needs_trl = pytest.mark.skipif(
    importlib.util.find_spec("trl") is None, reason="TRL is not installed; pip install 'eclectus[trl]'"
)


@needs_trl
def test_trls_own_functions_work_as_they_are():
    terms = [{"type": "trl.rewards:think_format_reward", "conversational": True}]
    reward = CompositeReward(RewardConfig(terms=terms), RewardContext())

    group = ["<think>\nanimal\n</think>\ngato", "gato"]
    assert reward.score_groups([Segment("cat", "en", "es")], [group]).total == [[1.0, 0.0]]


@needs_trl
def test_the_real_trainer(tmp_path):
    import torch
    from datasets import Dataset
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
    from trl import GRPOConfig, GRPOTrainer

    words = ["<pad>", "<s>", "</s>", "<unk>", "cat", "dog", "gato", "perro", "chat", "chien"]
    raw = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    torch.manual_seed(1)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = LlamaForCausalLM(
        LlamaConfig(vocab_size=len(words), pad_token_id=0, bos_token_id=1, eos_token_id=2, **shape)
    )
    before = {name: value.clone() for name, value in model.named_parameters()}
    rows = [("cat", "es", "gato"), ("dog", "es", "perro"), ("cat", "fr", "chat"), ("dog", "fr", "chien")]
    data = Dataset.from_list([{"prompt": s, "source_lang": "en", "target_lang": t, "reference": r} for s, t, r in rows])
    both = as_trl_reward({"terms": [{"type": "chrf"}, {"type": "bleu"}], "gates": [{"type": "nonempty"}]})
    settings = GRPOConfig(
        output_dir=str(tmp_path),
        max_steps=2,
        per_device_train_batch_size=8,
        num_generations=4,
        max_completion_length=4,
        learning_rate=1e-2,
        logging_steps=1,
        report_to=[],
        save_strategy="no",
        use_cpu=True,
        bf16=False,
        seed=1,
    )
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=[both, as_trl_reward("length")],
        args=settings,
        train_dataset=data,
        processing_class=tokenizer,
    )
    trainer.train()
    logs = [row for row in trainer.state.log_history if "rewards/eclectus/mean" in row]
    assert len(logs) == 2 and all(0 <= row["rewards/eclectus/mean"] <= 1 for row in logs)
    assert "rewards/length/mean" in logs[0] and "parts/eclectus/bleu" in logs[0]
    assert any(not torch.equal(before[name], value) for name, value in model.named_parameters())
