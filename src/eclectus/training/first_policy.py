"""The policy that a run begins with: loaded or new, prepared as the run asks, and checked."""

from __future__ import annotations

from pathlib import Path

import torch

from eclectus import parallel, registry
from eclectus.algorithms.base import Algorithm
from eclectus.algorithms.value_based import ValueBased
from eclectus.config import PromptConfig, ReinforceConfig, RunConfig
from eclectus.corpora.dataset import read_pairs
from eclectus.corpora.seen import SeenText
from eclectus.engines.base import NATIVE
from eclectus.errors import ConfigError
from eclectus.languages import Direction, direction, expand_directions
from eclectus.policies.causal import CausalPolicy
from eclectus.policies.fingerprint import fingerprint
from eclectus.policies.folder import model_of_run
from eclectus.policies.load import BASE, load_policy, new_policy
from eclectus.policies.new_language import add_languages
from eclectus.policies.precision import autocast_type
from eclectus.policies.pretrained import PretrainedPolicy
from eclectus.seeds import derive
from eclectus.segment import Segment
from eclectus.training import claim
from eclectus.training.context import RunContext


def first_policy(run: RunContext, device: torch.device) -> tuple[PretrainedPolicy, SeenText | None]:
    """The policy on its device, and which text it has met, where that is known; `run.weights` is set.

    Raises:
        ModelError, ConfigError, RunError: it cannot be loaded, or cannot do what the run asks for.
    """
    config, split = run.config, parallel.size() > 1 and (run.config.policy.fsdp or parallel.asked_to_split())
    autocast = autocast_type(config.policy.autocast, device)
    if split:
        check_split(config)
    policy, seen = _loaded(run)
    policy.model.to(device)
    policy.autocast, policy.gradient_checkpointing = autocast, config.policy.gradient_checkpointing
    policy.merging = config.policy.merge_samples
    policy.check_languages(run.languages)
    if config.supervised is not None or config.back_translation is not None:
        policy.check_supervised()
    policy.check_directions(_directions(config))
    if policy.has_routed_adapters:
        policy.check_trained(_trained_languages(run))
    if split:
        policy.shard()
        run.tracker.say(f"the layers are split over {parallel.size()} processes")
    return policy, seen


def check_split(config: RunConfig) -> None:
    """Raise `ConfigError` for what does not go together with split layers."""
    stages = [part for part in (config.supervised, config.back_translation, config.reinforce) if part is not None]
    engines = {"evaluation.engine": config.evaluation.engine}
    if config.reinforce is not None:
        engines["reinforce.engine"] = config.reinforce.engine
    others = [name for name, engine in engines.items() if engine.type != NATIVE]
    reason = None
    if config.reinforce is not None and _values(config.reinforce):
        reason = f"'{config.reinforce.algorithm.type}' learns beside a frozen model, take an algorithm that trains it"
    elif others:
        reason = f"another engine takes whole weights, set {others[0]}: {{type: {NATIVE}}}"
    elif any(part.optimizer != "adamw" for part in stages):
        reason = "the 8-bit optimizer's blocks do not fit its parts, set optimizer: adamw"
    elif config.policy.autocast == "float16":
        reason = "losses are not scaled in it, set policy.autocast: bfloat16"
    if reason is not None:
        raise ConfigError(f"config: 'policy.fsdp': {reason}, or do not split: policy.fsdp: false, accelerate's ddp")


def _values(config: ReinforceConfig) -> bool:
    return issubclass(registry.find("algorithms", config.algorithm.type, Algorithm), ValueBased)


def _loaded(run: RunContext) -> tuple[PretrainedPolicy, SeenText | None]:
    config = run.config
    if config.policy.new is None:
        given = config.policy.prompt
        # Earlier versions wrote the defaults into every config.yaml.
        if given == PromptConfig() and run.resume and claim.wrote_every_prompt(run.folder):
            given = None
        # A model that was trained with a prompt brings it along, unless the run has its own.
        policy, seen = load_policy(config.policy.path, given, config.policy.revision)
        run.weights = parallel.leaders(fingerprint(policy.model) if parallel.leads() else None)
        prompt = given or PromptConfig()
        # The defaults are no error, for the same reason.
        if prompt != PromptConfig() and policy.languages:
            raise ConfigError(
                f"config: 'policy.prompt': '{config.policy.path}' is told its languages by tags and is not prompted;"
                " leave policy.prompt out"
            )
        if not isinstance(policy, CausalPolicy) and prompt != PromptConfig(template=prompt.template):
            raise ConfigError(
                f"config: 'policy.prompt': '{config.policy.path}' is an encoder-decoder, which is asked by the template"
                " alone; leave chat, few_shot and stop out"
            )
        if config.policy.add_languages:
            policy = add_languages(policy, config.policy.add_languages)
        few_shot = prompt.few_shot
        if few_shot.k and few_shot.pool is None:
            policy.use_examples(_examples(run))
        elif few_shot.pool is not None:
            policy.use_examples(
                read_pairs("policy.prompt.few_shot.pool", few_shot.pool, run.languages, root=config.data.root)
            )
        lora = config.policy.lora
        if lora is not None:
            path = config.policy.path
            base = str(Path(model_of_run(path)).resolve()) if path != BASE and Path(path).exists() else path
            policy.adapt(lora, base, run.languages, derive(config.seed, "adapters"), config.policy.revision)
        return policy, seen
    texts = [text for language in run.languages for text in run.dataset.monolingual("train", language)]
    return new_policy(config.policy.new, texts, run.languages, derive(config.seed, "weights")), None


def _examples(run: RunContext) -> dict[str, list[Segment]]:
    """Training pairs for prompts to show, without those of directions whose references the run withholds."""
    config, pairs = run.config, run.pairs(["*-*"])
    shown, withheld = set[Direction](), set[Direction]()
    for part in (config.supervised, config.back_translation):
        if part is not None:
            shown.update(expand_directions(part.directions, run.languages))
    for task in config.reinforce.tasks if config.reinforce is not None else ():
        (shown if task.references else withheld).update(expand_directions(task.directions, run.languages))
    names = [direction(*pair) for pair in sorted(withheld - shown) if pairs[direction(*pair)]]
    if names:
        run.tracker.warn(
            f"policy.prompt.few_shot: nothing is shown in {', '.join(names)}, whose references the tasks withhold; a"
            " pool would be shown"
        )
    return {name: rows for name, rows in pairs.items() if name not in names}


def _directions(config: RunConfig) -> list[Direction]:
    """Every direction that the run trains or scores."""
    patterns = list(config.evaluation.directions)
    for part in (config.supervised, config.back_translation):
        if part is not None:
            patterns += part.directions + (part.dev_directions or [])
    if config.back_translation is not None:
        patterns += config.back_translation.synthetic
        patterns += [
            direction(t, s) for s, t in expand_directions(config.back_translation.synthetic, config.data.languages)
        ]
    for task in config.reinforce.tasks if config.reinforce is not None else ():
        patterns += task.directions
        if task.back_translated:
            patterns += [direction(t, s) for s, t in expand_directions(task.directions, config.data.languages)]
    return expand_directions(list(dict.fromkeys(patterns)), config.data.languages)


def _trained_languages(run: RunContext) -> list[str]:
    """Every language that the run trains translations into; supervised training passes directions without pairs by."""
    config, found = run.config, list[str]()
    patterns = [] if config.back_translation is None else list(config.back_translation.synthetic)
    for part in (config.supervised, config.back_translation):
        if part is not None:
            found += [rows[0].target_lang for rows in run.pairs(part.directions).values() if rows]
            found += part.denoising.languages if part.denoising is not None else []
    for task in config.reinforce.tasks if config.reinforce is not None else ():
        patterns += task.directions
    found += [target for _, target in expand_directions(list(dict.fromkeys(patterns)), run.languages)]
    return list(dict.fromkeys(found))
