"""What the processes of `test_sharded` do: `torchrun ... splitting.py FOLDER`, for every family in turn."""

import json
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import torch

from eclectus import parallel
from eclectus.config import LoraConfig
from eclectus.policies.causal import CausalPolicy
from eclectus.policies.seq2seq import Seq2SeqPolicy
from eclectus.rollouts.base import Sampling
from eclectus.training import checkpoint as ckpt
from tests.policies.tiny_models import CAUSAL, SEQ2SEQ, build
from tests.tiny import segments

ROWS = segments("en", "es")[:3]
LONG = replace(ROWS[0], source="one two three " * 40)
"""Much longer than the others: on a processor a whole encoder would run them apart."""


def drawn(policy, rows):
    return policy.sample(rows, 2, Sampling(1.0, 6), torch.Generator().manual_seed(3))


def uneven(policy, rollouts):
    """Gradients of a pass over sources of one length in one process, of very different lengths in the other."""
    policy.model.zero_grad()
    sources = policy.tokenize_sources([ROWS[0], LONG if parallel.leads() else ROWS[0]])
    tokens, mask = rollouts.tokens[[0, 0]], rollouts.mask[[0, 0]]
    policy.token_logprobs(sources, tokens, mask).sum().backward()
    return added(policy)


def gradients(policy, rollouts):
    """Of the sum of the log-probabilities of each process's own sources."""
    rows = list(parallel.share(range(len(ROWS))))
    policy.model.zero_grad()
    for row in [*rows, *rows[:1]][:2]:  # of three sources two and one, and as many passes
        weight = 0.5 if len(rows) == 1 else 1.0
        sources, tokens, mask = policy.tokenize_sources([ROWS[row]]), rollouts.tokens[[row]], rollouts.mask[[row]]
        (weight * policy.token_logprobs(sources, tokens, mask).sum()).backward()
    return added(policy)


def added(policy):
    """The gradients of all processes together, whole; then none is left."""
    parallel.add_gradients(policy.model.parameters())
    found = {n: parallel.whole(p.grad) for n, p in policy.model.named_parameters() if p.grad is not None}
    policy.model.zero_grad()
    return found


def apart(one, two):
    """The largest difference, as a share of the largest value."""
    assert one.keys() == two.keys()
    return max(float((one[name] - two[name]).abs().max()) for name in one) / max(
        float(v.abs().max()) for v in one.values()
    )


def examine(policy):
    """How far the split policy is from the same one that is whole, and how much of it a process keeps."""
    whole = policy.copy(trainable=True)
    policy.shard()
    own = len(ROWS[parallel.rank() :])  # each another number of passes
    with whole.whole(), policy.whole(), policy.whole():
        expected, rollouts = drawn(whole, ROWS[:own]), drawn(policy, ROWS[:own])
        same = torch.equal(expected.tokens, rollouts.tokens) and policy.is_whole
    outside = False
    try:
        drawn(policy, ROWS)
    except RuntimeError:
        outside = True
    rollouts = drawn(whole, ROWS)
    found = {"same": same, "outside": outside, "split": policy.sharded and not policy.is_whole}
    found["gradient"] = apart(gradients(whole, rollouts), gradients(policy, rollouts))
    found["uneven"] = apart(uneven(whole, rollouts), uneven(policy, rollouts))
    policy.gradient_checkpointing = True
    found["recomputed"] = apart(gradients(whole, rollouts), gradients(policy, rollouts))
    policy.gradient_checkpointing = False
    twin, plain = policy.copy(trainable=True), policy.unsplit()
    found["copied"] = apart(ckpt.weights(whole.model), ckpt.weights(twin.model))
    found["twin"] = apart(gradients(whole, rollouts), gradients(twin, rollouts))
    found["unsplit"] = torch.equal(drawn(plain, ROWS).tokens, rollouts.tokens) and not plain.sharded
    with torch.no_grad():
        for parameter in twin.model.parameters():
            parallel.piece(parameter).add_(1.0)
    ckpt.load_weights(twin.model, ckpt.weights(whole.model))
    found["loaded"] = apart(ckpt.weights(whole.model), ckpt.weights(twin.model))
    kept = [sum(parallel.piece(p).numel() for p in policy.model.parameters())]
    found["kept"] = [part[0] for part in parallel.gather(kept)]
    found["of"] = sum(p.numel() for p in whole.model.parameters())
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    parallel.begin()
    folder = Path(sys.argv[1]) / str(parallel.rank())
    results = {}
    for name in [*SEQ2SEQ, *CAUSAL, "llama with adapters", "nllb with adapters"]:
        kind, *adapted = name.split(" with ")
        (folder / name).mkdir(parents=True)
        model, tokenizer = build(kind, folder / name)
        policy = (CausalPolicy if kind in CAUSAL else Seq2SeqPolicy)(model, tokenizer)
        if adapted:
            policy.adapt(LoraConfig(rank=3), kind, ["en", "es"], 1)
            with torch.no_grad():
                for key, weight in policy.model.named_parameters():
                    if "lora_B" in key:
                        weight.fill_(0.01)
        results[name] = examine(policy)
    if parallel.leads():
        (Path(sys.argv[1]) / "found.json").write_text(json.dumps(results), encoding="utf-8")
