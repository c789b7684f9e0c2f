"""What a step shows of itself: means for the metrics file, and sampled translations for people."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from eclectus.algorithms.advantages import has_signal, judged
from eclectus.evaluation.formats import MISSING
from eclectus.rewards.language import identify, labels
from eclectus.rollouts.base import Rollouts
from eclectus.segment import Segment
from eclectus.training.dense import early_share
from eclectus.training.parts import Part, PartCounts
from eclectus.training.tasks import Task


@dataclass
class StepRewards:
    """Rewards of one step.

    Args:
        values: [B, G] as given; NaN where not judged.
        scaled: [B, G] as used for the advantages.
        parts: for each of the B segments, the G values of each part of its reward, by name.
        tokens: [B, G, T], what each token earned of the scaled reward; None where no task has dense terms.
        scales: [B], what the rewards of each source were divided by, see `Scaled`; None: by 1.
    """

    values: torch.Tensor
    scaled: torch.Tensor
    parts: list[dict[str, list[float | None]]]
    tokens: torch.Tensor | None = None
    scales: torch.Tensor | None = None


def peak_memory(device: torch.device) -> float | None:
    """Largest memory of the process so far in MiB: the device's on CUDA, resident memory elsewhere; None on Windows."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def sampled_metrics(
    tasks: Sequence[Task],
    languages: Sequence[str],
    owners: Sequence[int],
    segments: Sequence[Segment],
    rollouts: Rollouts,
    rewards: StepRewards,
    counts: Mapping[Part, PartCounts],
) -> dict[str, float]:
    """Means of one step for the metrics file; without those of what could not be judged.

    Args:
        tasks: the run's tasks; owners: index of the task of each of the B segments.
        languages: among which off-target translations are identified.
        counts: see `count_parts`.
    """
    means = {"reward": _known_mean(rewards.values)}
    for index, task in enumerate(tasks):
        rows = [row for row, owner in enumerate(owners) if owner == index]
        means[f"reward/{task.name}"] = _known_mean(rewards.values[rows])
    values = {name: mean for name, mean in means.items() if mean is not None}
    for (task_name, name), count in counts.items():
        where = f"{task_name}/{name}"
        values[f"abstained/{where}"] = count.abstained
        if count.mean is not None:
            values[f"parts/{where}"] = count.mean
        if count.equal_share is not None:
            values[f"equal/{where}"] = count.equal_share
    # One sample of each source is enough to see a drift, and keeps language identification out of the step's time.
    found = identify([group[0] for group in rollouts.texts], languages)
    known_labels = labels(languages)
    identified = [
        lang is not None and known_labels[s.target_lang] is not None
        for (lang, _), s in zip(found, segments, strict=True)
    ]
    if any(identified):
        off = [known and lang != s.target_lang for known, (lang, _), s in zip(identified, found, segments, strict=True)]
        values["off_target"] = sum(off) / len(off)
    return values | _rollout_metrics(rollouts, rewards)


def progress(values: Mapping[str, float], best: float) -> str:
    """What the progress bar says of a step, with a dash for what could not be judged.

    Args:
        values: as `sampled_metrics` returns them, with the speed.
        best: highest dev score so far.
    """
    reward = MISSING if values["unjudged"] == 1 else f"{values['reward']:.3f}"
    off_target = f"{values['off_target']:.1%}" if "off_target" in values else MISSING
    return (
        f"reward {reward}  dev {max(best, 0):.1f}  off-target {off_target}"
        f"  {values['samples_per_second']:.0f} samples/s"
    )


def _rollout_metrics(rollouts: Rollouts, rewards: StepRewards) -> dict[str, float]:
    samples = rollouts.finished.numel()
    values = {
        "length": float(rollouts.mask.sum() / samples),
        "unfinished": float((~rollouts.finished).float().mean()),
        "empty": sum(not text for group in rollouts.texts for text in group) / samples,
        "distinct": sum(len(set(group)) for group in rollouts.texts) / samples,
        "unjudged": float(rewards.values.isnan().float().mean()),
    }
    drawn = rollouts.actions.sum()
    if drawn:  # where whole references were given, there is no entropy to see
        values["entropy"] = float(-(rollouts.logprobs * rollouts.actions).sum() / drawn)
    # Asked of the rewards and not of the advantages, which a baseline of other sources keeps from being 0.
    compared = rewards.values[judged(rewards.values).sum(dim=1) > 1]
    if len(compared):
        values["equal_rewards"] = float((~has_signal(compared)).float().mean())
    if drawn and rollouts.floor is not None:
        # The part of a token's probability that exploration gave it is the chance that it was explored.
        values["explored"] = float((rollouts.floor / rollouts.logprobs.exp() * rollouts.actions).sum() / drawn)
    if rewards.tokens is not None:
        values["dense"] = early_share(rewards.tokens, rollouts.mask)
    if rollouts.forced is not None:
        values["forced"] = float(rollouts.forced.sum() / rollouts.mask.sum())
    return values


def sampled_examples(
    tasks: Sequence[Task],
    owners: Sequence[int],
    segments: Sequence[Segment],
    rollouts: Rollouts,
    rewards: StepRewards,
) -> list[dict[str, Any]]:
    """One segment of each task with all its samples and their rewards, for people to read."""
    rows: list[dict[str, Any]] = []
    for index, task in enumerate(tasks):
        row = next((r for r, owner in enumerate(owners) if owner == index), None)
        if row is None:
            continue
        samples = [
            {
                "text": text,
                "reward": None if math.isnan(value) else round(value, 4),
                "parts": {name: part[g] for name, part in rewards.parts[row].items()},
            }
            for g, (text, value) in enumerate(zip(rollouts.texts[row], rewards.values[row].tolist(), strict=True))
        ]
        segment = segments[row]
        rows.append(
            {
                "task": task.name,
                "direction": segment.direction,
                "source": segment.source,
                "samples": samples,
            }
        )
    return rows


def _known_mean(values: torch.Tensor) -> float | None:
    """Mean over what was judged; None where nothing was."""
    known = values[~values.isnan()]
    return float(known.mean()) if len(known) else None
