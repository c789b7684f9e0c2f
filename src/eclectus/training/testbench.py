"""The test set: each system translates it once, the translations are kept, the scores come at the end."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from eclectus import atomic
from eclectus.config import EvaluationConfig, RunConfig
from eclectus.engines.base import engine_of
from eclectus.evaluation import results as results_module
from eclectus.evaluation import translations
from eclectus.evaluation.agreement import Translate, agreement
from eclectus.evaluation.reference_tokens import reference_tokens
from eclectus.evaluation.results import Group, Results, System
from eclectus.languages import Direction, direction, expand_directions
from eclectus.policies.base import Policy
from eclectus.segment import Segment

Outputs = dict[str, list[str]]


def groups(config: RunConfig, directions: Sequence[Direction]) -> list[Group]:
    """One group of test directions for each task, in the tasks' order."""
    names = [direction(*pair) for pair in directions]
    found = []
    for task in config.reinforce.tasks if config.reinforce is not None else []:
        own = [direction(*pair) for pair in expand_directions(task.directions, config.data.languages)]
        tested = [name for name in own if name in names]
        if tested:
            found.append(Group(name=task.name, label=task.name, directions=tested, description=task.description))
    return found


class TestBench:
    """Collects what each system makes of the test set.

    Args:
        folder: the run folder; translations are kept in `outputs/<system>.json`.
        segments: test segments by direction.
        resume: take over translations that are there already.

    `beam` is a bench of its own in `beam/`, for the same policies with `config.also_beams`; None without it.
    """

    __test__ = False  # not a test, whatever pytest makes of the name

    def __init__(
        self, folder: Path, segments: Mapping[str, Sequence[Segment]], config: EvaluationConfig, *, resume: bool = False
    ) -> None:
        self.folder, self.config, self._resume = folder, config, resume
        self.segments = {name: list(rows) for name, rows in segments.items()}
        self._outputs: dict[str, Outputs] = {}
        self._entropies: dict[str, dict[str, list[float]]] = {}
        self._references: dict[str, dict[str, dict[str, float]]] = {}
        self.beam: TestBench | None = None
        if config.also_beams is not None:
            again = config.model_copy(update={"beams": config.also_beams, "also_beams": None})
            self.beam = TestBench(folder / "beam", segments, again, resume=resume)

    def add(self, system: str, policy: Policy) -> None:
        """Translate the whole test set with `policy`; with `reference_tokens`, ask what it thinks of the references."""
        if self.beam is not None:
            self.beam.add(system, policy)
        if self._kept(system):
            return
        with policy.whole():
            self._translate(system, policy)

    def _translate(self, system: str, policy: Policy) -> None:
        texts, entropies = self._decode(policy, [segment for rows in self.segments.values() for segment in rows])
        asked = {
            name: asdict(reference_tokens(policy, rows))
            for name, rows in (self.segments.items() if self.config.reference_tokens else ())
        }
        self._keep(system, _split(self.segments, texts), _split(self.segments, entropies) if entropies else {}, asked)

    def translate(self, policy: Policy, segments: Sequence[Segment]) -> list[str]:
        """Translate as the systems of this bench do, greedily or with its beams, and with its engine."""
        with policy.whole():
            return self._decode(policy, segments)[0]

    def _decode(self, policy: Policy, segments: Sequence[Segment]) -> tuple[list[str], list[float] | None]:
        """Texts, and where they are the policy's own greedy ones its entropies."""
        engine = engine_of(self.config.engine, policy, "evaluation.engine")
        if self.config.beams > 1 or engine is not None:
            return (engine or policy).beam_search(segments, self.config.beams, self.config.max_length), None
        return policy.translate_with_entropy(segments, self.config.max_length)

    def add_outputs(self, system: str, outputs: Outputs) -> None:
        """Take translations of some directions, made elsewhere."""
        self._keep(system, outputs, {}, {})

    def has(self, system: str) -> bool:
        """Whether a resumed run has this system's translations already."""
        return self._kept(system)

    def results(
        self,
        config: RunConfig,
        languages: Sequence[str],
        systems: Sequence[System],
        tested: Sequence[Group],
        translate: Translate,
    ) -> Results:
        """Score everything that was collected; systems without translations here are left out.

        Args:
            translate: reads translations in the first language, where `agreement` is asked for.
        """
        systems = [system for system in systems if system.name in self._outputs]
        measured: dict[str, dict[str, dict[str, float]]] = {}
        for system in systems:
            parts = {name: dict(values) for name, values in self._references[system.name].items()}
            if self.config.agreement:
                found = agreement(self.segments, self._outputs[system.name], translate, languages[0])
                for name, value in found.items():
                    parts.setdefault(name, {})["agreement"] = value
            measured[system.name] = parts
        return results_module.build(
            config.title,
            config.seed,
            languages,
            self.segments,
            self._outputs,
            systems=systems,
            groups=tested,
            entropies=self._entropies,
            measured=measured,
            resamples=self.config.resamples,
        )

    def publish(self, results: Results) -> None:
        """Write `evaluation.json` and `translations.jsonl`."""
        results.save(self.folder)
        translations.write(self.folder, self.segments, self._outputs)

    def _keep(
        self,
        system: str,
        outputs: Outputs,
        entropies: dict[str, list[float]],
        references: dict[str, dict[str, float]],
    ) -> None:
        self._outputs[system], self._entropies[system], self._references[system] = outputs, entropies, references
        path = self.folder / "outputs" / f"{system}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = {"decoding": self._decoding, "outputs": outputs, "entropies": entropies, "references": references}
        atomic.write(path, json.dumps(kept, ensure_ascii=False))

    @property
    def _decoding(self) -> dict[str, Any]:
        """What the translations of all systems have in common."""
        decoding = {"beams", "max_length", "engine", "reference_tokens"}
        return {"directions": list(self.segments), **self.config.model_dump(mode="json", include=decoding)}

    def _kept(self, system: str) -> bool:
        path = self.folder / "outputs" / f"{system}.json"
        if system in self._outputs:
            return True
        if not (self._resume and path.exists()):
            return False
        kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if kept.get("decoding", self._decoding) != self._decoding:
            return False  # the settings were changed since: all systems of a table are to be translated alike
        self._outputs[system], self._entropies[system] = kept["outputs"], kept["entropies"]
        self._references[system] = kept.get("references", {})
        return True


def _split(segments: Mapping[str, Sequence[Any]], values: Sequence[Any]) -> dict[str, list[Any]]:
    """Cut one flat list into the directions it was made from."""
    remaining = iter(values)
    return {name: [next(remaining) for _ in rows] for name, rows in segments.items()}
