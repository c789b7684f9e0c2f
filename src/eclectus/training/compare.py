"""Many runs of one configuration: variants x sizes of data x seeds, each in its own process, resumable at any point."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from eclectus import atomic, launch
from eclectus import config as cfg
from eclectus.config import RunConfig
from eclectus.config.compare import VARIANT_NAME, CompareConfig, variant_folder
from eclectus.errors import ConfigError, EclectusError, InterruptedRunError, RunError, nearest
from eclectus.evaluation import comparison, efficiency
from eclectus.evaluation.results import FILE
from eclectus.evaluation.sheets import Sheet
from eclectus.languages import expand_directions
from eclectus.training.stages import check_reinforce


@dataclass(frozen=True)
class Variant:
    """A configuration that differs from the common one by some settings.

    Args:
        name: names its folder and its rows.
        overrides: `key.path=value` strings, as after `--set`; None: those of the configuration's variant of this name.
    """

    name: str
    overrides: tuple[str, ...] | None

    @staticmethod
    def parse(text: str) -> Variant:
        """Read `NAME: KEY=VALUE; KEY=VALUE`; the name alone is a variant of the configuration, `NAME:` is no change.

        Raises:
            ConfigError: the text has another form.
        """
        name, colon, rest = text.partition(":")
        name = name.strip()
        overrides = tuple(part.strip() for part in rest.split(";") if part.strip())
        if not name or "=" in name or any("=" not in part for part in overrides):
            raise ConfigError(
                f"compare: '{text}' is not of the form NAME: KEY=VALUE; KEY=VALUE,"
                " as in 'warm: reinforce.temperature=1.2'"
            )
        if not VARIANT_NAME.fullmatch(name):
            raise ConfigError(f"compare: variant '{name}' names a folder; use letters, digits and . + - _")
        return Variant(name, overrides if colon else None)


@dataclass(frozen=True)
class Comparison:
    """What has been written from the runs that are finished.

    Args:
        page: path of the HTML page.
        tables: those of the page.
    """

    page: Path
    tables: Sequence[Sheet]


def algorithm(kind: str) -> Variant:
    """The variant that only names another algorithm."""
    return Variant(kind, (f"reinforce.algorithm={{type: {kind}}}",))


def compare(
    text: str,
    variants: Sequence[Variant],
    seeds: Sequence[int],
    folder: Path,
    console: Console,
    name: str = "config",
    *,
    pairs: Sequence[int] = (),
    against: str | None = None,
    jobs: int = 1,
) -> Comparison:
    """Run every variant with every seed, and write tables and figures anew after each run.

    Args:
        text: the common configuration, YAML.
        variants: at least one, with different names.
        seeds: different numbers.
        folder: `folder/<variant>/seed-<n>` are run folders, with a dot for a colon in the variant; what is finished
            there is not run again.
        name: the configuration's name, for errors.
        pairs: run each variant with so many training pairs of each language beside the pivot, rising, in
            `folder/<variant>-<pairs>`; the page then shows learning curves. Empty: with the data as they are.
        against: see `CompareConfig`.
        jobs: runs at the same time, each with its share of the cores and its output in `folder/<variant>/seed-<n>.log`.

    Raises:
        ConfigError: a variant's configuration is wrong; nothing has been run.
        RunError: the folder holds another comparison, or a run failed.
        InterruptedRunError: Ctrl-C or SIGTERM; the same command goes on.
    """
    for what, values in (("variant", [v.name for v in variants]), ("seed", [str(s) for s in seeds])):
        if not values or len(set(values)) < len(values):
            hint = " (--algorithms, --variant or --like)" if what == "variant" else ""
            raise ConfigError(f"compare: give at least one {what}{hint}, each once; got {', '.join(values) or 'none'}")
    plan = cfg.parse(text, name=name).compare or CompareConfig()
    settings = {variant.name: _settings(variant, plan, name) for variant in variants}
    _check_names([*settings])
    _check_own(settings, {"seed": "--seeds"} | ({"data.max_pairs": "compare.pairs"} if pairs else {}))
    cells = _sized(settings, pairs, cfg.parse(text, name=name).data.languages) if pairs else settings
    configs = {(cell, seed): _config(text, cell, cells[cell], seed, name) for seed in seeds for cell in cells}
    for run_config in configs.values():
        if run_config.reinforce is None:
            raise ConfigError(f"compare: '{name}' has no 'reinforce' part, so its variants cannot be compared")
        if pairs:
            _check_curve(run_config, name)
    _check_tested(configs)
    _claim(folder, configs)

    names = [*settings]

    def show() -> Comparison:
        if pairs:
            return Comparison(folder / efficiency.PAGE, efficiency.write(folder, names, pairs, seeds, against))
        return Comparison(folder / comparison.PAGE, comparison.write(folder, names, seeds, settings))

    failed = threading.Event()
    children = launch.Children()

    def one(number: int, variant_name: str, seed: int) -> None:
        if children.ended:
            raise _stopped(folder)
        if failed.is_set():
            return
        console.print(f"run {number} of {len(configs)}: {variant_name}, seed {seed}", style="bold", markup=False)
        try:
            _run(_run_folder(folder, (variant_name, seed)), folder, jobs, children, console.quiet)
        except EclectusError:
            failed.set()  # here, before this thread takes the next run
            raise

    wanted = [(number, *key) for number, key in enumerate(configs, 1) if not (_run_folder(folder, key) / FILE).exists()]
    if not wanted:
        console.print(f"all {len(configs)} runs are finished; writing the page anew")
        return show()
    with children.ended_together(), ThreadPoolExecutor(jobs) as pool:
        started = [pool.submit(one, *row) for row in wanted]
        try:
            for finished in as_completed(started):
                finished.result()
                shown = show()
        except KeyboardInterrupt as error:
            raise _stopped(folder) from error
        finally:
            # What has begun is let come to its end, or has been interrupted too.
            pool.shutdown(cancel_futures=True)
    return shown


def _settings(variant: Variant, plan: CompareConfig, name: str) -> tuple[str, ...]:
    """The variant's settings, or those that the configuration has for its name.

    Raises:
        ConfigError: it has none.
    """
    if variant.overrides is not None:
        return variant.overrides
    if variant.name not in plan.chosen:
        raise ConfigError(
            f"compare: '{name}' has no variant '{variant.name}'{nearest(variant.name, plan.chosen)}; give its settings,"
            f" or '{variant.name}:' for none, which is the configuration as it stands"
        )
    return tuple(plan.chosen[variant.name])


def _config(text: str, variant: str, changes: Sequence[str], seed: int, name: str) -> RunConfig:
    """The configuration of one run.

    Raises:
        ConfigError: with the variant's name, which may be of another configuration than the one that it does not fit.
    """
    try:
        config = cfg.parse(text, [*changes, "compare=null", f"seed={seed}"], name=name)
        if config.reinforce is not None:
            check_reinforce(config.reinforce)
    except ConfigError as error:
        raise ConfigError(f"compare: variant '{variant}': {error}") from error
    return config


def _check_names(names: Sequence[str]) -> None:
    """Make sure that no two variants have one folder, also where a file system takes capitals for small letters.

    Raises:
        ConfigError: two have.
    """
    found: dict[str, str] = {}
    for name in names:
        other = found.setdefault(variant_folder(name).casefold(), name)
        if other != name:
            raise ConfigError(
                f"compare: the variants '{other}' and '{name}' are one folder where capitals and small letters are the"
                " same file; rename one"
            )


def _check_own(variants: Mapping[str, Sequence[str]], taken: Mapping[str, str]) -> None:
    """Make sure that variants set nothing that the comparison itself sets.

    Args:
        variants: name -> settings.
        taken: key -> what sets it.
    """
    for variant, changes in variants.items():
        for key, by in taken.items():
            if any(f"{change.partition('=')[0]}.".startswith(f"{key}.") for change in changes):
                raise ConfigError(f"compare: variant '{variant}' sets '{key}', as {by} does; leave it to that")


def _check_tested(configs: Mapping[tuple[str, int], RunConfig]) -> None:
    """Make sure that all variants are tested on the same directions, whose means stand side by side.

    Raises:
        ConfigError: two are not.
    """
    tested: dict[str, set[tuple[str, str]]] = {}
    for (variant, _), config in configs.items():
        tested[variant] = set(expand_directions(config.evaluation.directions, config.data.languages))
    first, wanted = next(iter(tested.items()))
    for variant, found in tested.items():
        if found != wanted:
            raise ConfigError(
                f"compare: the variants '{first}' and '{variant}' are tested on other directions; give them the same"
                " 'evaluation.directions' and 'data.languages'"
            )


def _sized(
    variants: Mapping[str, Sequence[str]], pairs: Sequence[int], languages: Sequence[str]
) -> dict[str, Sequence[str]]:
    """The settings of each variant with each number of pairs."""
    return {
        efficiency.cell(name, count): (*changes, f"data.max_pairs={dict.fromkeys(languages[1:], count)}")
        for name, changes in variants.items()
        for count in pairs
    }


def _check_curve(config: RunConfig, name: str) -> None:
    """Make sure that one curve can be drawn through both stages of a training.

    Raises:
        ConfigError: they train other directions, so that their dev scores are not of the same text.
    """
    tasks, languages = config.reinforce.tasks if config.reinforce is not None else [], config.data.languages
    wanted = [set(expand_directions(task.directions, languages)) for task in tasks]
    parts = [part for part in (config.supervised, config.back_translation) if part is not None]
    judged = [set(expand_directions(part.dev_directions or part.directions, languages)) for part in parts]
    if config.supervised is None or any(wanted != [own] for own in judged):
        raise ConfigError(
            f"compare: '{name}' gives pairs, whose curves go through all stages of a training; give it a 'supervised'"
            " part and one task, judged on dev in the same directions"
        )


def _claim(folder: Path, configs: dict[tuple[str, int], RunConfig]) -> None:
    """Write the configurations, or make sure that those of runs that have begun are the same."""
    if folder.exists() and not folder.is_dir():
        raise RunError(f"compare: '{folder}' is a file; choose another --output")
    if (folder / "config.yaml").exists():
        raise RunError(f"compare: '{folder}' is a run; choose another --output")
    for (variant, seed), config in configs.items():
        run = _run_folder(folder, (variant, seed))
        path, wanted, begun = run.with_suffix(".yaml"), cfg.dump(config), (run / "config.yaml").exists()
        if begun and path.exists() and path.read_text(encoding="utf-8") != wanted:
            raise RunError(f"compare: '{path}' is of another comparison; choose another --output, or take it away")
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write(path, wanted)


def _run_folder(folder: Path, key: tuple[str, int]) -> Path:
    variant, seed = key
    return folder / variant_folder(variant) / f"seed-{seed}"


def _stopped(folder: Path) -> InterruptedRunError:
    return InterruptedRunError(f"compare: stopped; the same command goes on where '{folder}' ends")


def _run(run: Path, folder: Path, jobs: int, children: launch.Children, quiet: bool) -> None:
    """Start or continue one run. Its own process gives its peak memory and leaves nothing to the next one."""
    arguments = [str(run.with_suffix(".yaml")), "--output", str(run)]
    if (run / "config.yaml").exists():
        arguments = ["--resume", str(run)]
    command = [sys.executable, "-m", "eclectus", "train", *arguments]
    with ExitStack() as stack:
        settings: dict[str, Any] = {}
        if jobs > 1 or quiet:  # several progress bars in one terminal would be none
            settings["stdout"] = stack.enter_context(run.with_suffix(".log").open("a", encoding="utf-8"))
        if jobs > 1:
            settings["env"] = os.environ | launch.threads(jobs)
        code = children.start(command, **settings).wait()
    if code in (InterruptedRunError.exit_code, -signal.SIGTERM):
        raise _stopped(folder)
    if code:
        raise RunError(f"compare: the run '{run}' ended with exit code {code}, see above; the same command tries again")
