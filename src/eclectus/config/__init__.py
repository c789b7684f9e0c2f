"""The whole configuration of a run: pydantic models, defaults that are vetted values, no torch.

YAML in, `RunConfig` out. Components (corpora, rewards, algorithms) are named by `type`; their own options are checked
by their own file when the run is built, still before the first step.
"""

from eclectus.config.base import Component, Model
from eclectus.config.compare import CompareConfig
from eclectus.config.data import DataConfig
from eclectus.config.files import RewardSettings, dump, find, load, parse, parse_reward, read
from eclectus.config.policy import FewShotConfig, LoraConfig, NewModelConfig, PolicyConfig, PromptConfig
from eclectus.config.reinforce import EntropyConfig, KlConfig, ReinforceConfig, TaskConfig
from eclectus.config.reward import RewardConfig, RewardGateConfig, RewardTermConfig
from eclectus.config.run import Control, EvaluationConfig, RunConfig
from eclectus.config.sampling import CorrectionConfig, ExploreConfig, TruncateConfig
from eclectus.config.supervised import BackTranslationConfig, DenoisingConfig, Optimizer, SupervisedConfig

__all__ = [
    "BackTranslationConfig",
    "CompareConfig",
    "Component",
    "Control",
    "CorrectionConfig",
    "DataConfig",
    "DenoisingConfig",
    "EntropyConfig",
    "EvaluationConfig",
    "ExploreConfig",
    "FewShotConfig",
    "KlConfig",
    "LoraConfig",
    "Model",
    "NewModelConfig",
    "Optimizer",
    "PolicyConfig",
    "PromptConfig",
    "ReinforceConfig",
    "RewardConfig",
    "RewardGateConfig",
    "RewardSettings",
    "RewardTermConfig",
    "RunConfig",
    "SupervisedConfig",
    "TaskConfig",
    "TruncateConfig",
    "dump",
    "find",
    "load",
    "parse",
    "parse_reward",
    "read",
]
