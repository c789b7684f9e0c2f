"""`eclectus tabular`: the lesson with a Q-table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eclectus.cli.options import Output, Quiet
from eclectus.cli.output import console, free


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
    output: Output = Path("runs/tabular"),
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
    folder = free(output)
    lesson = lessons.run(config, folder, console(quiet))
    # After the training: this import takes a second.
    from eclectus.tabular import figures as shown

    shown.show(lesson, console())
    for path in shown.draw(lesson, folder):
        print(f"figure: {path}")
    print(f"metrics: {folder / 'metrics.jsonl'}")
