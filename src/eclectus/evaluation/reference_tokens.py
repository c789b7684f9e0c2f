"""What a policy thinks of the reference's own tokens: did training teach it words, or only make it surer of its own?

A policy that is only sharpened (its logits divided by a temperature below 1) ranks every token as before. So where
entropy falls and `first` stays, reinforcement learning has sharpened what was there; where `first` rises, tokens of the
reference have overtaken others. Ranks of the reference's tokens before and after, as a test of what reinforcement
learning changes: Choshen et al. 2020, https://arxiv.org/abs/1907.01752, section 6.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from eclectus.errors import DataError
from eclectus.policies.base import Policy
from eclectus.rollouts.padding import pad_rows
from eclectus.segment import Segment

_BATCH_TOKENS = 4096
"""Padded target tokens that are scored together."""


@dataclass(frozen=True)
class ReferenceTokens:
    """Means over the tokens of the references of a direction, each given the source and the reference before it.

    Tokens that the policy can never say, such as that for unknown characters, are left out.

    Args:
        reference_first: share of tokens that the policy ranks first, 0 to 1.
        reference_rank: geometric mean of their ranks, 1 is the likeliest; a few names would set an arithmetic one.
        reference_entropy: of the distribution at their places, in nats.
        reference_nll: minus their log-probability, in nats.
    """

    reference_first: float
    reference_rank: float
    reference_entropy: float
    reference_nll: float


@torch.no_grad()
def reference_tokens(policy: Policy, segments: Sequence[Segment]) -> ReferenceTokens:
    """Score the references of one direction, end-of-sequence included, at temperature 1.

    Args:
        policy: can say end-of-sequence, so that every reference counts.

    Raises:
        DataError: no segment, or a segment without a reference.
    """
    texts = [segment.reference for segment in segments if segment.reference is not None]
    if not texts or len(texts) < len(segments):
        raise DataError("evaluation: ranks of reference tokens need a reference in every segment; give them all one")
    policy.model.eval()
    sources, targets = policy.tokenize_sources(segments), policy.tokenize_targets(texts)
    order = sorted(range(len(targets)), key=lambda i: (len(targets[i]), i))
    count = first = 0
    logs = entropy = nll = 0.0
    while order:
        # Sorted upwards, so that the last of a batch sets its width.
        size = 1
        while size < len(order) and (size + 1) * len(targets[order[size]]) <= _BATCH_TOKENS:
            size += 1
        rows, order = order[:size], order[size:]
        tokens, mask = pad_rows([targets[i] for i in rows], policy.pad_id, policy.device)
        scores = policy.token_scores([sources[i] for i in rows], tokens, mask, entropy=True, ranks=True)
        assert scores.entropy is not None and scores.ranks is not None
        mask = mask & scores.logprobs.isfinite()
        ranks = scores.ranks[mask]
        count += len(ranks)
        first += int((ranks == 1).sum())
        logs += float(ranks.log().sum())
        entropy += float(scores.entropy[mask].sum())
        nll -= float(scores.logprobs[mask].sum())
    return ReferenceTokens(first / count, math.exp(logs / count), entropy / count, nll / count)
