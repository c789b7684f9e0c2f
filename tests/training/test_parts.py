import json
import random
import re
from collections import Counter

import pytest
import torch

from eclectus.config import DenoisingConfig
from eclectus.errors import DataError, RunError
from eclectus.segment import Segment
from eclectus.training import checkpoint as ckpt
from eclectus.training.batches import PairBatches, add_noise
from eclectus.training.guard import Guard
from eclectus.training.optimizer import expected_steps, scheduled
from tests.tiny import segments, tiny_policy


@pytest.mark.parametrize(("step", "expected"), [(1, 0.1), (5, 0.5), (10, 1.0), (60, 0.55), (110, 0.1), (500, 0.1)])
def test_schedule(step, expected):
    assert scheduled(1.0, step, steps=110, warmup=10, floor=0.1) == pytest.approx(expected)


def test_schedule_without_warmup_starts_at_the_peak():
    assert scheduled(2.0, 1, steps=1000, warmup=0, floor=0.1) == pytest.approx(2.0, rel=0.01)


@pytest.mark.parametrize(
    ("step", "spent", "expected"),
    [
        (1, 0.0, 1000),  # nothing is known of the pace yet
        (2, 10.0, 10),  # one step of ten seconds
        (3, 20.0, 10),
        (10, 90.0, 10),
        (11, 99.0, 11),  # the last one took less, and this one is begun
        (2, 0.05, 1000),
    ],
)
def test_a_training_of_a_hundred_seconds_expects_steps_by_its_pace(step, spent, expected):
    assert expected_steps(step, 1000, spent, 100.0) == expected
    assert expected_steps(step, 1000, spent, None) == 1000


def test_guard_stops_only_when_reward_rises_while_the_metric_falls():
    guard = Guard(fall=3.0)
    assert guard.check({"a": 50.0}, {"a": 0.5}) is None
    assert guard.check({"a": 52.0}, {"a": 0.6}) is None  # both rise
    assert guard.check({"a": 48.0}, {"a": 0.5}) is None  # both fall: bad, but not a gamed reward
    assert guard.check({"a": 49.5}, {"a": 0.9}) is None  # within the tolerance
    message = guard.check({"a": 48.9}, {"a": 0.9})
    assert message is not None and "'a'" in message and "0.600 to 0.900" in message and "52.0 to 48.9" in message


def test_guard_cannot_judge_a_task_whose_reward_has_no_dev_value():
    guard = Guard(fall=3.0)
    assert guard.check({"a": 50.0, "b": 50.0}, {"b": 0.5}) is None
    message = guard.check({"a": 10.0, "b": 10.0}, {"b": 0.9})
    assert message is not None and "'b'" in message


def test_guard_watches_each_task_and_survives_a_checkpoint():
    guard = Guard(fall=1.0)
    guard.check({"a": 50.0, "b": 10.0}, {"a": 0.5, "b": 0.5})
    restored = Guard(fall=1.0)
    restored.load_state_dict(json.loads(json.dumps(guard.state_dict())))
    assert "'b'" in restored.check({"a": 51.0, "b": 8.0}, {"a": 0.6, "b": 0.6})


def test_batches_keep_the_budget_cover_directions_and_resume_in_place():
    policy = tiny_policy()
    pairs = {"en-es": segments("en", "es"), "en-fr": segments("en", "fr")[:1], "es-en": []}
    stream = PairBatches(policy, pairs, batch_tokens=40, temperature=1.0, seed=1)
    assert len(stream) == 5
    seen, taken = set(), []
    for _ in range(200):
        batch = stream.next()
        assert len(batch) * max(len(p.target) for p in batch) <= 40 or len(batch) == 1
        seen.update(p.source for p in batch)
        taken.append(batch)
    assert len(seen) == 5
    again = PairBatches(policy, pairs, batch_tokens=40, temperature=1.0, seed=1)
    first = [again.next() for _ in range(77)]
    assert first == taken[:77]
    resumed = PairBatches(policy, pairs, batch_tokens=40, temperature=1.0, seed=1)
    resumed.load_state_dict(json.loads(json.dumps(again.state_dict())))
    assert [resumed.next() for _ in range(100)] == taken[77:177]


def test_temperature_evens_out_the_directions():
    policy = tiny_policy()
    rows = segments("en", "es")
    pairs = {"en-es": rows * 30, "en-fr": segments("en", "fr")}

    def share(temperature):
        stream = PairBatches(policy, pairs, 200, temperature, seed=1)
        french = {tuple(policy.tokenize_targets([r.reference])[0]) for r in pairs["en-fr"]}
        drawn = [tuple(p.target) in french for _ in range(100) for p in stream.next()]
        return sum(drawn) / len(drawn)

    assert share(1e-3) == 0.0  # which no power of a size could be written for
    assert share(1.0) < 0.08
    assert 0.35 < share(100.0) < 0.65


def test_noise_moves_words_a_little_and_keeps_one():
    text = " ".join(str(n) for n in range(200))
    config = DenoisingConfig(languages=["es"], drop=0.2, shuffle=3)
    words = [int(word) for word in add_noise(text, config, random.Random(1)).split()]
    assert 140 <= len(words) <= 178  # 160 expected, deviation 5.7
    assert len(set(words)) == len(words)
    order = sorted(words)
    moves = [abs(place - order.index(word)) for place, word in enumerate(words)]
    assert 1 <= max(moves) <= 3
    assert add_noise("only", DenoisingConfig(languages=["es"], drop=0.99), random.Random(1)) == "only"
    unchanged = DenoisingConfig(languages=["es"], drop=0, shuffle=0)
    assert add_noise(text, unchanged, random.Random(1)) == text


@pytest.mark.parametrize(
    "text",
    [
        "这是一个很长的测试句子，用来看噪声",
        "これは長いテスト文です",
        "นี่คือประโยคทดสอบที่ยาวมาก",
        "用 Python 和 Java 编程 ，很好",
    ],
)
def test_noise_reaches_text_without_spaces(text):
    config, draw = DenoisingConfig(languages=["zh"], drop=0.3, shuffle=3), random.Random(1)
    noised = {add_noise(text, config, draw) for _ in range(100)}
    assert len(noised) > 80
    for made in noised:
        assert not Counter(made.replace(" ", "")) - Counter(text.replace(" ", ""))  # nothing is new
    whole = DenoisingConfig(languages=["zh"], drop=0, shuffle=3)
    moved = [add_noise(text, whole, draw) for _ in range(20)]
    assert {"".join(sorted(made.replace(" ", ""))) for made in moved} == {"".join(sorted(text.replace(" ", "")))}
    assert add_noise(text, DenoisingConfig(languages=["zh"], drop=0, shuffle=0), draw) == text


def test_noise_keeps_marks_on_their_characters_and_words_apart():
    config, draw = DenoisingConfig(languages=["th"], drop=0.4, shuffle=3), random.Random(1)
    for _ in range(50):
        made = add_noise("ที่นี่ Python和Java", config, draw)
        assert not re.search(r"(?:^|[^ทน])[\u0e35\u0e48]", made.replace("\u0e35\u0e48", "\u0e35"))
        assert "PythonJava" not in made and "JavaPython" not in made


def test_pairs_longer_than_the_model_are_left_out():
    policy = tiny_policy()
    rows = segments("en", "es")
    room = policy.target_room
    fits, long = "1" * (room - 1), "1" * room  # and the mark of a word's beginning
    assert [len(ids) for ids in policy.encode_targets([fits, long])] == [room, room + 1]
    more = [Segment("two", "en", "es", fits), Segment("two", "en", "es", long), Segment(long, "en", "es", "dos")]
    stream = PairBatches(policy, {"en-es": [*rows, *more], "en-fr": [more[1]]}, 200, 1.0, seed=1)
    assert (len(stream), stream.too_long) == (len(rows) + 1, 3)
    targets = {tuple(pair.target) for _ in range(300) for pair in stream.next()}
    assert targets == {tuple(ids) for ids in policy.tokenize_targets([*(row.reference for row in rows), fits])}
    with pytest.raises(DataError, match=r"^supervised: each of the 2 sentence pairs is longer than the model reads"):
        PairBatches(policy, {"en-es": more[1:]}, 200, 1.0, seed=1)
    denoising = DenoisingConfig(languages=["es"], share=0.5)
    texts = {"es": [long, "dos"]}
    stream = PairBatches(policy, {"en-es": rows}, 200, 1.0, seed=1, denoising=denoising, texts=texts)
    assert stream.too_long == 1
    with pytest.raises(DataError, match=r"supervised\.denoising: every training text in 'es' is longer than the model"):
        PairBatches(policy, {"en-es": rows}, 200, 1.0, seed=1, denoising=denoising, texts={"es": [long]})


def test_denoising_takes_its_share_and_resumes_in_place():
    policy = tiny_policy()
    rows = segments("en", "es")
    texts = {"es": [row.reference for row in rows]}
    config = DenoisingConfig(languages=["es"], share=0.25, drop=0.5)

    def stream():
        return PairBatches(policy, {"en-fr": segments("en", "fr")}, 200, 1.0, seed=1, denoising=config, texts=texts)

    spanish = {tuple(target) for target in policy.tokenize_targets(texts["es"])}
    clean = set(policy.tokenize_sources([Segment(text, "es", "es") for text in texts["es"]]))
    first = stream()
    taken = [first.next() for _ in range(150)]
    restored = [pair for batch in taken for pair in batch if tuple(pair.target) in spanish]
    assert 0.22 < len(restored) / sum(map(len, taken)) < 0.28
    assert {pair.source.ids[0] for pair in restored} == {next(iter(clean)).ids[0]}  # the tag of the language itself
    assert len({pair.source for pair in restored} - clean) > len(clean)  # noised anew each time
    again = stream()
    assert [again.next() for _ in range(60)] == taken[:60]
    resumed = stream()
    resumed.load_state_dict(json.loads(json.dumps(again.state_dict())))
    assert [resumed.next() for _ in range(60)] == taken[60:120]


@pytest.mark.parametrize("part", [{}, {"part": "back_translation"}])
def test_denoising_without_text_is_refused(part):
    denoising = DenoisingConfig(languages=["cy"])
    with pytest.raises(DataError, match=rf"^{part.get('part', 'supervised')}\.denoising: no training text in 'cy'"):
        PairBatches(tiny_policy(), {}, 200, 1.0, seed=1, denoising=denoising, texts={}, **part)


def test_checkpoint_round_trip_keeps_one_and_is_exact(tmp_path):
    tensors = {"model": {"a": torch.randn(3)}, "optimizer": {"a|step": torch.tensor(4.0)}}
    for step in (1, 2):
        ckpt.save(tmp_path, step, ckpt.Checkpoint(tensors, {"step": step, "score": 0.1 + 0.2}))
    assert [p.name for p in tmp_path.iterdir()] == ["step-0000002"]
    found = ckpt.latest(tmp_path)
    assert found.state == {"step": 2, "score": 0.1 + 0.2}
    assert torch.equal(found.tensors["model"]["a"], tensors["model"]["a"])


def test_half_written_checkpoint_is_never_taken(tmp_path):
    ckpt.save(tmp_path, 1, ckpt.Checkpoint({}, {"step": 1}))
    (tmp_path / ".step-0000002.tmp").mkdir()
    assert ckpt.latest(tmp_path).state["step"] == 1


def test_damaged_checkpoint_is_one_sentence(tmp_path):
    ckpt.save(tmp_path, 1, ckpt.Checkpoint({"model": {"a": torch.zeros(2)}}, {"step": 1}))
    (tmp_path / "step-0000001" / "model.safetensors").write_bytes(b"not a tensor")
    with pytest.raises(RunError, match=r"is damaged .* remove that folder"):
        ckpt.latest(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe{}", b"[]", b"null"])
def test_a_damaged_state_is_one_sentence(tmp_path, content):
    ckpt.save(tmp_path, 1, ckpt.Checkpoint({}, {"step": 1}))
    (tmp_path / "step-0000001" / "state.json").write_bytes(content)
    with pytest.raises(RunError, match=r"step-0000001' is damaged .* remove that folder") as caught:
        ckpt.latest(tmp_path)
    assert "\n" not in str(caught.value)


def test_no_space_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    ckpt.save(tmp_path, 1, ckpt.Checkpoint({}, {"step": 1}))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ckpt, "save_file", full)
    with pytest.raises(RunError, match=r"No space left.*free some space"):
        ckpt.save(tmp_path, 2, ckpt.Checkpoint({"model": {"a": torch.zeros(1)}}, {"step": 2}))
    assert ckpt.latest(tmp_path).state["step"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["step-0000001"]
