"""The command line: parse, call one function, print. Nothing heavy is imported before it is needed."""

from __future__ import annotations

import errno
import io
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eclectus import __version__, cli_export, cli_recipe, cli_reward, launch
from eclectus.errors import ConfigError, EclectusError, InterruptedRunError

if TYPE_CHECKING:
    from rich.console import Console

    from eclectus.config import RunConfig
    from eclectus.evaluation.results import Results

app = typer.Typer(
    help="Reinforcement-learning fine-tuning for multilingual translation models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(cli_recipe.app, name="recipe")
app.add_typer(cli_reward.app, name="reward")
app.add_typer(cli_export.app, name="export")

_GRACE = 5.0
"""Seconds in which a launcher ends the processes of a run whose first one has failed."""

Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a setting, e.g. --set reinforce.steps=100; repeatable."),
]
Processes = Annotated[
    int,
    typer.Option(min=1, metavar="N", help="Train with N processes: one per GPU, or sharing the CPU cores."),
]
MaxLength = Annotated[int, typer.Option(min=1, metavar="N", help="Maximum tokens per translation.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only errors and the final table.")]


def main() -> None:
    """Entry point: a user's mistake is one sentence, never a traceback."""
    # Before numpy or torch start their threads; spinning threads fight each other on small machines.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")
    _write_any_language()
    try:
        app(prog_name="eclectus")
    except InterruptedRunError as error:
        if not _follows():
            _complain(str(error))
        raise SystemExit(error.exit_code) from None
    except EclectusError as error:
        _complain(str(error))
        raise SystemExit(error.exit_code) from None
    except (KeyboardInterrupt, SystemExit) as error:  # of Ctrl-C typer makes an exit
        code = error.code if isinstance(error, SystemExit) else InterruptedRunError.exit_code
        if code == InterruptedRunError.exit_code:
            _complain("stopped")
        raise SystemExit(code) from None
    except BrokenPipeError:
        # The reader of our output has gone, as in `eclectus translate … | head`; the interpreter's last flush must not
        # complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(141) from None
    except OSError as error:
        _complain(_describe(error))
        raise SystemExit(2) from None


def _write_any_language() -> None:
    """Print every text, whatever the encoding of the terminal: escaped where it has no such character."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # In pipes and files Windows takes the old code page, which hardly any other program reads.
            encoding = "utf-8" if os.name == "nt" and not stream.isatty() else None
            stream.reconfigure(encoding=encoding, errors="backslashreplace")


def _complain(sentence: str) -> None:
    """Say what is wrong; where processes train together, once if it is wrong in all of them."""
    if number := _follows():
        # The first process tells its mistake at once, and its launcher then ends the others.
        time.sleep(_GRACE)
        sentence = f"process {number}: {sentence}"
    print(f"eclectus: {sentence}", file=sys.stderr)


def _follows() -> int:
    """The number of this process among those that train together; 0 for the first, and for one alone."""
    return int(os.environ.get("RANK", "0")) if launch.launched() else 0


def _describe(error: OSError) -> str:
    """One sentence about what the system refused."""
    place = f" ('{error.filename}')" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"no space left on the disk{place}; free some, then continue a run with `eclectus train --resume`"
    return f"{error.strerror or error}{place}"


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        print(f"eclectus {__version__}")
        raise typer.Exit


@app.command()
def quickstart(
    output: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Output folder; a number is appended if it exists.")
    ] = Path("runs/quickstart"),
    controls: Annotated[
        bool, typer.Option("--controls", help="Also run the controls (takes three to four times as long).")
    ] = False,
    from_scratch: Annotated[
        bool, typer.Option("--from-scratch", help="Train the base model first instead of using the bundled one.")
    ] = False,
    seed: Annotated[int, typer.Option(metavar="N", help="Random seed.")] = 1,
    overrides: Overrides = None,
    processes: Processes = 1,
    quiet: Quiet = False,
) -> None:
    """Run the demo on the bundled model (minutes).

    Improves it on directions for which it has seen no sentence pairs, and reports what changed.
    """
    _several(processes)
    from eclectus import config, recipes

    changes = [f"seed={seed}", *(overrides or [])]
    if controls:
        changes.append("controls=[constant_reward, supervised, distillation, best_of_n]")
    folder = _agreed(_free(output))
    base = folder / "base"
    if from_scratch:
        changes.append(f"policy.path={base / 'model'}")
        folder = folder / "rl"
    loaded = config.parse(recipes.read("quickstart"), changes, name="quickstart")
    # After the configuration is checked: this import takes seconds.
    from eclectus.training import run

    if from_scratch:
        run.start(config.parse(recipes.read("base"), [f"seed={seed}"], name="base"), base, _console(quiet))
    _finish(run.start(loaded, folder, _console(quiet)), folder)


@app.command()
def train(
    recipe: Annotated[
        str | None, typer.Argument(metavar="CONFIG", help="YAML file or name of a packaged recipe.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="New output folder; default: runs/<name of CONFIG>.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Resume the interrupted run in this folder.")
    ] = None,
    overrides: Overrides = None,
    processes: Processes = 1,
    quiet: Quiet = False,
) -> None:
    """Run a configuration, from text to report.

    Stages: data preparation, supervised training, reinforcement learning, evaluation, report.
    """
    _several(processes)
    if resume is not None:
        if recipe is not None or overrides or output is not None:
            raise ConfigError("--resume continues a run as it was begun; give no CONFIG, --output or --set with it")
        from eclectus.training import run

        _finish(run.resume(resume, _console(quiet)), resume)
        return
    if recipe is None:
        raise ConfigError("train: name a YAML file or a packaged recipe; `eclectus recipe list` shows them")
    loaded = _load(recipe, overrides)
    folder = output or Path("runs") / Path(recipe).stem
    # After the configuration is checked: this import takes seconds.
    from eclectus.training import run

    _finish(run.start(loaded, folder, _console(quiet)), folder)


@app.command()
def compare(
    recipe: Annotated[str, typer.Argument(metavar="CONFIG", help="YAML file or name of a packaged recipe.")],
    algorithms: Annotated[str, typer.Option(metavar="NAMES", help="Algorithms to compare, e.g. rloo,grpo.")] = "",
    variants: Annotated[
        list[str] | None,
        typer.Option(
            "--variant",
            metavar="NAME: KEY=VALUE; ...",
            help="A variant and its settings, or the name of one in CONFIG; repeatable.",
        ),
    ] = None,
    like: Annotated[
        str | None,
        typer.Option(metavar="CONFIG", help="Use the variants and seeds of another configuration, e.g. algorithms."),
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(metavar="SEEDS", help="Seeds, one run per variant each; default: those in CONFIG, else 1,2,3."),
    ] = None,
    output: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Folder for the runs; repeat the command to resume.")
    ] = Path("runs/compare"),
    jobs: Annotated[int, typer.Option(min=1, metavar="N", help="Run N at a time, each on its share of the cores.")] = 1,
    overrides: Overrides = None,
    quiet: Quiet = False,
) -> None:
    """Compare algorithms, settings or data sizes over several seeds.

    Writes a table with intervals over seeds, and curves over time and samples. Without --algorithms, --variant or
    --like, runs CONFIG's `compare` section.
    """
    from eclectus import config

    path = Path(recipe)
    loaded = _load(recipe, overrides)
    plan = loaded.compare or config.CompareConfig()
    if like is not None:
        liked = _load(like, None).compare
        if liked is None or not liked.chosen:
            raise ConfigError(f"compare: '{like}' has no variants under 'compare' to be --like")
        plan = config.CompareConfig(variants=liked.variants, seeds=liked.seeds)
    numbers = [part.strip() for part in seeds.split(",")] if seeds is not None else [str(seed) for seed in plan.seeds]
    if not all(part.isdecimal() for part in numbers):
        raise ConfigError(f"compare: --seeds '{seeds}' must be whole numbers with commas between, as in 1,2,3")
    # After the configuration is checked: this import takes seconds.
    from eclectus.evaluation import sheets, tables
    from eclectus.training import compare as comparing

    own = [comparing.algorithm(part.strip()) for part in algorithms.split(",") if part.strip()]
    own += [comparing.Variant.parse(text) for text in variants or []]
    planned = [comparing.Variant(name, tuple(changes)) for name, changes in plan.chosen.items()]
    page = comparing.compare(
        config.dump(loaded),
        own if own and like is None else [*planned, *own],
        [int(part) for part in numbers],
        output,
        _console(quiet),
        name=path.name,
        pairs=plan.pairs,
        against=None if own else plan.against,
        jobs=jobs,
    )
    console = _console(False)
    tables.show_sheets(sheets.read(page.with_suffix(".md").read_text(encoding="utf-8")), console)
    console.print(f"comparison: {page}", style="bold", markup=False)


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="'base', a model folder or a run folder.")],
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="TSV (a column per language), JSONL (a key per language), TMX or XLIFF."),
    ],
    source: Annotated[str, typer.Option("--from", metavar="LANG", help="Source language.")],
    target: Annotated[str, typer.Option("--to", metavar="LANG", help="Target language.")],
    columns: Annotated[
        str | None,
        typer.Option(metavar="LANGS", help="Languages of a TSV's columns, e.g. en,es; default: its first line."),
    ] = None,
    codes: Annotated[
        str | None,
        typer.Option(
            metavar="drop|keep",
            help="A program's codes inside the text of TMX and XLIFF, e.g. placeholders; default: drop, as in a run.",
        ),
    ] = None,
    beams: Annotated[int, typer.Option(min=1, metavar="N", help="Beam size; 1 is greedy.")] = 1,
    max_length: MaxLength = 128,
    save: Annotated[
        Path | None, typer.Option("--save", metavar="FILE", help="Also write the translations, one per line.")
    ] = None,
) -> None:
    """Score a model on a file of sentence pairs.

    Prints BLEU and chrF++ with their signatures, and diagnostics for what these miss.
    """
    from eclectus import inference

    inference.evaluate(
        model,
        file,
        source,
        target,
        columns=columns,
        codes=codes,
        beams=beams,
        max_length=max_length,
        save=save,
        console=_console(False),
    )


@app.command()
def translate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="'base', a model folder or a run folder.")],
    source: Annotated[str, typer.Option("--from", metavar="LANG", help="Source language.")],
    target: Annotated[str, typer.Option("--to", metavar="LANG", help="Target language.")],
    text: Annotated[
        list[str] | None,
        typer.Argument(metavar="TEXT", help="Texts to translate; default: the lines of --input or standard input."),
    ] = None,
    input_file: Annotated[
        Path | None, typer.Option("--input", metavar="FILE", help="Text file, one segment per line.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File for the translations; default: standard output.")
    ] = None,
    beams: Annotated[int, typer.Option(min=1, metavar="N", help="Beam size; 1 is greedy.")] = 1,
    max_length: MaxLength = 128,
) -> None:
    """Translate texts, a file, or standard input line by line."""
    from eclectus import inference

    inference.translate(model, text or None, input_file, output, source, target, beams=beams, max_length=max_length)


@app.command()
def report(run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder, finished or not.")]) -> None:
    """Rebuild a run's report.html."""
    from eclectus.evaluation import report as reports

    print(f"report: {reports.write(run)}")


@app.command()
def tabular(
    *,
    algorithm: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="q_learning, sarsa or expected_sarsa; repeat to compare; default: all."),
    ] = None,
    exploration: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="epsilon_greedy, boltzmann, entropy_target, count_bonus, greedy (none) or uniform, or YAML such as"
            " '{type: epsilon_greedy, top_k: 3}'; repeat to compare; default: all.",
        ),
    ] = None,
    sentences: Annotated[
        list[str] | None,
        typer.Option(
            metavar="BANDIT",
            help="Chooses the next sentence: uniform, ucb1, thompson or exp3; repeat to compare; default: all.",
        ),
    ] = None,
    episodes: Annotated[int, typer.Option(metavar="N", help="Sentences translated per run.")] = 2000,
    seeds: Annotated[int, typer.Option(metavar="N", help="Runs per setting.")] = 5,
    seed: Annotated[int, typer.Option(metavar="N", help="First seed.")] = 1,
    reward: Annotated[str, typer.Option(metavar="NAME", help="word: after each word; bleu: at the end.")] = "word",
    alpha: Annotated[float, typer.Option(metavar="X", help="Step size of the update.")] = 0.3,
    decay: Annotated[
        float, typer.Option(metavar="X", help="The n-th update of a state-action pair has step size alpha / n ** X.")
    ] = 0.0,
    gamma: Annotated[float, typer.Option(metavar="X", help="Discount of later rewards, 0 to 1.")] = 1.0,
    initial: Annotated[
        float, typer.Option(metavar="X", help="Initial value of every state-action pair; 1 is optimistic.")
    ] = 0.0,
    phrase_table: Annotated[
        Path | None, typer.Option(metavar="FILE", help="TSV or JSON file; default: English-Spanish.")
    ] = None,
    output: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Output folder; a number is appended if it exists.")
    ] = Path("runs/tabular"),
    quiet: Quiet = False,
) -> None:
    """Learn word-by-word translation with a Q-table, in seconds.

    Compares algorithms, exploration strategies and bandits over seeds; plots curves, policy and Q-table.
    """
    from eclectus.tabular import lesson as lessons

    config = lessons.configure(
        algorithms=algorithm, explorations=exploration, choices=sentences, episodes=episodes, seeds=seeds, seed=seed,
        reward=reward, alpha=alpha, decay=decay, gamma=gamma, initial=initial, phrase_table=phrase_table,
    )  # fmt: skip
    folder = _free(output)
    lesson = lessons.run(config, folder, _console(quiet))
    # After the training: this import takes a second.
    from eclectus.tabular import figures as shown

    shown.show(lesson, _console(False))
    for path in shown.draw(lesson, folder):
        print(f"figure: {path}")
    print(f"metrics: {folder / 'metrics.jsonl'}")


def _load(recipe: str, overrides: list[str] | None) -> RunConfig:
    from eclectus import config, recipes

    path = Path(recipe)
    if path.suffix in {".yaml", ".yml"} or path.exists():
        return config.load(path, overrides)
    return config.parse(recipes.read(recipe), overrides, name=recipe)


def _console(quiet: bool) -> Console:
    from rich.console import Console

    # Where nothing tells the width (a pipe, a log) tables would be cut at 80 columns.
    width = None if sys.stdout.isatty() else 110
    return Console(quiet=quiet, highlight=False, width=width)


def _several(processes: int) -> None:
    """Run this very command in several processes, where it is not one of them already, and end with them."""
    if processes > 1 and not launch.launched():
        raise typer.Exit(launch.run(processes, sys.argv[1:]))


def _agreed(folder: Path) -> Path:
    """The folder that the first of several processes has found free, before it makes it."""
    if not launch.launched():
        return folder
    from eclectus import parallel

    parallel.begin()
    return parallel.leaders(folder)


def _free(folder: Path) -> Path:
    """The folder, or the first of folder-2, folder-3, ... that does not exist."""
    number, found = 1, folder
    while found.exists():
        number += 1
        found = folder.with_name(f"{folder.name}-{number}")
    return found


def _finish(results: Results, folder: Path) -> None:
    from eclectus import parallel
    from eclectus.evaluation import tables

    if not parallel.leads():
        return
    console = _console(False)
    tables.show(results, console)
    console.print(f"model:  {folder / 'model'}", markup=False)
    console.print(f"report: {folder / 'report.html'}", style="bold", markup=False)
