"""The README.md of a trained model: what it is, what it learned from, how well it does, how to load it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from eclectus import atomic
from eclectus import config as cfg
from eclectus.config import RunConfig
from eclectus.corpora.dataset import Dataset
from eclectus.evaluation.results import Results
from eclectus.policies.adapters import CONFIG_FILE, adapted_base, adapter_folders
from eclectus.policies.causal import MODEL_TYPES
from eclectus.policies.load import BASE


def write_card(folder: Path, config: RunConfig, dataset: Dataset, results: Results, rewards: list[str]) -> None:
    """Write `README.md` into a model folder."""
    described: dict[str, Any] = dataset.describe()
    adapted = adapted_base(folder)
    base = adapted[0] if adapted else _hub_id(config)
    front = {
        "library_name": "peft" if adapted else "transformers",
        "pipeline_tag": "text-generation" if _decoder_only(folder) else "translation",
        **({"base_model": base} if base else {}),
        "language": dataset.languages,
        "tags": ["eclectus", "translation", *(["reinforcement-learning"] if config.reinforce else [])],
    }
    lines = [
        "---",
        yaml.safe_dump(front, sort_keys=False).strip(),
        "---",
        f"# {config.title}",
        "",
        *(f"{sentence}\n" for sentence in results.headline),
        "How each kind of model is told its languages: the table in eclectus's docs/models.md"
        f" (this one was begun from `{config.policy.path if config.policy.new is None else 'random weights'}`).",
        "",
        "## Scores on held-out text",
        "",
        f"Seed {config.seed}. " + "; ".join(f"{name}: `{value}`" for name, value in results.signatures.items()) + ".",
        "",
        "| direction | n | system | BLEU | chrF++ | off-target |",
        "|---|---:|---|---:|---:|---:|",
    ]
    for name, by_system in results.scores.items():
        for system in results.systems:
            scores = by_system.get(system.name)
            if scores is not None:
                off = "–" if scores.off_target is None else f"{scores.off_target:.1%}"
                label = f"**{system.label}**" if system.role == "system" else f"{system.label} ({system.role})"
                lines.append(f"| {name} | {scores.n} | {label} | {scores.bleu:.1f} | {scores.chrf:.1f} | {off} |")
    lines += ["", "## Data", "", *(f"- {signature}" for signature in described["signatures"])]
    if described["max_pairs"]:
        caps = ", ".join(f"{language} {cap}" for language, cap in described["max_pairs"].items())
        lines.append(f"- sentence pairs capped: {caps}")
    if rewards:
        lines += ["", "## Rewards", "", *(f"- `{signature}`" for signature in rewards)]
    versions = ", ".join(f"{name} {value}" for name, value in results.versions.items())
    lines += ["", "## Recipe", "", f"Made with {versions}.", "", "```yaml", cfg.dump(config).strip(), "```", ""]
    atomic.write(folder / "README.md", "\n".join(lines))


def _decoder_only(folder: Path) -> bool:
    """Whether the model in a folder is decoder-only, or the one that the adapters there belong to."""
    path = folder / "config.json"
    if path.exists():
        return json.loads(path.read_text(encoding="utf-8"))["model_type"] in MODEL_TYPES
    files = [path / CONFIG_FILE for path in adapter_folders(folder).values()]
    return any(json.loads(file.read_text(encoding="utf-8"))["task_type"] == "CAUSAL_LM" for file in files)


def _hub_id(config: RunConfig) -> str | None:
    """The model on a hub that a run began from, if it did."""
    path = config.policy.path
    return None if config.policy.new is not None or path == BASE or Path(path).exists() else path
