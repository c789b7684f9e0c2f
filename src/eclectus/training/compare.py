"""Many runs of one configuration: variants x seeds, each in a process of its own, resumable at any point."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from eclectus import config as cfg
from eclectus.config import RunConfig
from eclectus.errors import ConfigError, InterruptedRunError, RunError
from eclectus.evaluation import comparison
from eclectus.evaluation.results import FILE
from eclectus.training.checkpoint import write_atomic
from eclectus.training.directions import check_sampling
from eclectus.training.run import build_algorithm

_NAME = re.compile(r"[\w.+-]+")


@dataclass(frozen=True)
class Variant:
    """A configuration that differs from the common one by some settings.

    Args:
        name: names its folder and its rows.
        overrides: `key.path=value` strings, as after `--set`.
    """

    name: str
    overrides: tuple[str, ...]

    @staticmethod
    def parse(text: str) -> Variant:
        """Read `NAME: KEY=VALUE; KEY=VALUE`; the name alone means no change.

        Raises:
            ConfigError: the text has another form.
        """
        name, _, rest = text.partition(":")
        overrides = tuple(part.strip() for part in rest.split(";") if part.strip())
        if not _NAME.fullmatch(name.strip()) or any("=" not in part for part in overrides):
            raise ConfigError(
                f"compare: '{text}' is not of the form NAME: KEY=VALUE; KEY=VALUE,"
                " as in 'warm: reinforce.temperature=1.2'"
            )
        return Variant(name.strip(), overrides)


def algorithm(kind: str) -> Variant:
    """The variant that only names another algorithm."""
    return Variant(kind, (f"reinforce.algorithm={{type: {kind}}}",))


def compare(
    text: str, variants: Sequence[Variant], seeds: Sequence[int], folder: Path, console: Console, name: str = "config"
) -> Path:
    """Run every variant with every seed, and write table and figures anew after each run.

    Args:
        text: the common configuration, YAML.
        variants: at least one, with different names.
        seeds: different numbers.
        folder: `folder/<variant>/seed-<n>` are run folders; what is finished there is not run again.
        name: the configuration's name, for errors.

    Returns:
        Path of the page.

    Raises:
        ConfigError: a variant's configuration is wrong; nothing has been run.
        RunError: the folder holds another comparison, or a run failed.
        InterruptedRunError: the user pressed Ctrl-C; the same command goes on.
    """
    for what, values in (("variant", [v.name for v in variants]), ("seed", [str(s) for s in seeds])):
        if not values or len(set(values)) < len(values):
            raise ConfigError(f"compare: give at least one {what}, each once; got {', '.join(values) or 'none'}")
    configs = {
        (variant.name, seed): cfg.parse(text, [*variant.overrides, f"seed={seed}"], name=f"{name}, {variant.name}")
        for seed in seeds
        for variant in variants
    }
    for (variant_name, _), run_config in configs.items():
        if run_config.reinforce is None:
            raise ConfigError(f"compare: '{name}' has no 'reinforce' part, so its variants cannot be compared")
        try:
            build_algorithm(run_config.reinforce)
            check_sampling(run_config.reinforce.direction_sampling)
        except ConfigError as error:
            raise ConfigError(f"compare: variant '{variant_name}': {error}") from error
    _claim(folder, configs)
    for number, ((variant_name, seed), _) in enumerate(configs.items(), 1):
        run = folder / variant_name / f"seed-{seed}"
        if not (run / FILE).exists():
            console.print(f"run {number} of {len(configs)}: {variant_name}, seed {seed}", style="bold")
            _run(run, folder)
        comparison.write(folder, list(dict.fromkeys(v.name for v in variants)), list(seeds))
    return folder / comparison.PAGE


def _claim(folder: Path, configs: dict[tuple[str, int], RunConfig]) -> None:
    """Write the configurations, or make sure that the ones already there are the same."""
    for (variant, seed), config in configs.items():
        path = folder / variant / f"seed-{seed}.yaml"
        wanted = cfg.dump(config)
        if path.exists() and path.read_text(encoding="utf-8") != wanted:
            raise RunError(f"compare: '{path}' is of another comparison; choose another --output, or take it away")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, wanted)


def _run(run: Path, folder: Path) -> None:
    """Start or continue one run. Its own process gives its peak memory and leaves nothing to the next one."""
    arguments = [str(run.with_suffix(".yaml")), "--output", str(run)]
    if (run / "config.yaml").exists():
        arguments = ["--resume", str(run)]
    try:
        code = subprocess.run([sys.executable, "-m", "eclectus", "train", *arguments], check=False).returncode
    except KeyboardInterrupt:
        code = InterruptedRunError.exit_code
    if code == InterruptedRunError.exit_code:
        raise InterruptedRunError(f"compare: stopped; the same command goes on where '{folder}' ends")
    if code:
        raise RunError(f"compare: the run '{run}' ended with exit code {code}, see above; the same command tries again")
