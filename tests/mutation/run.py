"""Mutation check: make one small mistake at a time in the core and see that a test notices.

    python -m tests.mutation.run                      # everything, one process for each core
    python -m tests.mutation.run losses kl --jobs 2   # modules whose path contains one of these words
    python -m tests.mutation.run --write              # also bring the table in docs/testing.md up to date

Processes are forked, so it needs Linux or macOS.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.mutation.catalogue import EQUIVALENT, NAMED, SURVIVORS, TARGETS, Target
from tests.mutation.operators import Mutant, generated, replaced
from tests.mutation.swap import judge

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "eclectus"
PAGE = ROOT / "docs" / "testing.md"
BEGIN, END = "<!-- mutation check: begin -->", "<!-- mutation check: end -->"
REQUIRED = 0.9


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant: `killer` is the test that failed, "" where none did."""

    mutant: Mutant
    killer: str

    @property
    def equivalent(self) -> bool:
        return self.mutant.name in EQUIVALENT.get(self.mutant.module, {})


def mutants(target: Target) -> list[Mutant]:
    """All mutants of a module.

    Raises:
        LookupError: the catalogue names a mutant that the source does not give.
    """
    source = (PACKAGE / target.module).read_text(encoding="utf-8")
    found = generated(target.module, source, target.skip)
    found += [replaced(target.module, source, *named) for named in NAMED.get(target.module, ())]
    names = {mutant.name for mutant in found}
    for title, listed in (("EQUIVALENT", EQUIVALENT), ("SURVIVORS", SURVIVORS)):
        for name in listed.get(target.module, {}):
            if name not in names:
                raise LookupError(f"{title} of tests/mutation/catalogue.py: {target.module} gives no mutant '{name}'")
    return found


def table(verdicts: Sequence[Verdict]) -> str:
    """Markdown: a row for each module, then the survivors with their reasons."""
    rows = ["| module | mutants | equivalent | killed | survived |", "|---|---:|---:|---:|---:|"]
    for module in [*dict.fromkeys(v.mutant.module for v in verdicts), ""]:
        own = [v for v in verdicts if module in ("", v.mutant.module)]
        equivalent = sum(v.equivalent for v in own)
        killed = sum(bool(v.killer) for v in own if not v.equivalent)
        alive = len(own) - equivalent - killed
        title = f"`{module}`" if module else "**all**"
        share = f" ({killed / max(1, len(own) - equivalent):.1%})" if not module else ""
        rows.append(f"| {title} | {len(own)} | {equivalent} | {killed}{share} | {alive} |")
    survivors = [v.mutant for v in verdicts if not v.killer and not v.equivalent]
    for mutant in survivors:
        reason = SURVIVORS.get(mutant.module, {}).get(mutant.name, "**not explained**")
        rows.append(f"{'' if mutant is not survivors[0] else chr(10)}- `{mutant.module}`, {mutant.name}: {reason}")
    return "\n".join(rows)


def reasons() -> str:
    """Markdown: the mutants that nothing could tell from the original."""
    return "\n".join(
        f"- `{module}`, {name}: {reason}" for module, listed in EQUIVALENT.items() for name, reason in listed.items()
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the check; 0 where enough mutants were killed and each survivor is explained."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation.run", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("modules", nargs="*", help="parts of paths under src/eclectus (default: all)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="mutants at a time")
    parser.add_argument("--limit", type=float, default=300.0, help="seconds after which a mutant hangs and is killed")
    parser.add_argument("--only", default="", help="mutants whose name contains this")
    parser.add_argument("--list", action="store_true", help="print the mutants and run nothing")
    parser.add_argument("--write", action="store_true", help="write the table into docs/testing.md")
    options = parser.parse_args(arguments)
    if options.write and (options.modules or options.only):
        parser.error("--write takes the whole table anew; leave out modules and --only, or edit the rows by hand")
    chosen = [t for t in TARGETS if not options.modules or any(part in t.module for part in options.modules)]
    if options.list:
        for mutant in (m for target in chosen for m in mutants(target) if options.only in m.name):
            print(f"{mutant.module}:{mutant.line}: {mutant.name}")
        return 0
    os.chdir(ROOT)
    sys.path[:0] = [str(ROOT / "src")]
    # Before torch is imported, which the tests do.
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    found: list[Verdict] = []

    def say(mutant: Mutant, killer: str) -> None:
        found.append(Verdict(mutant, killer))
        state = "equivalent" if found[-1].equivalent else "killed" if killer else "SURVIVED"
        print(f"{state:10} {mutant.module}:{mutant.line}: {mutant.name}  [{killer}]", flush=True)

    begun = time.monotonic()
    for target in chosen:
        judge(target.tests, [m for m in mutants(target) if options.only in m.name], options.jobs, options.limit, say)
    print(f"\n{table(found)}\n\n{len(found)} mutants in {(time.monotonic() - begun) / 60:.1f} minutes")
    if options.write:
        page = PAGE.read_text(encoding="utf-8")
        before, after = page[: page.index(BEGIN) + len(BEGIN)], page[page.index(END) :]
        PAGE.write_text(f"{before}\n{table(found)}\n{after}", encoding="utf-8")
    counted = [v for v in found if not v.equivalent]
    wrong = [v.mutant.name for v in found if v.equivalent and v.killer]
    unexplained = [
        v.mutant.name for v in counted if not v.killer and v.mutant.name not in SURVIVORS.get(v.mutant.module, {})
    ]
    for title, names in (("called equivalent, but killed", wrong), ("survived without a reason", unexplained)):
        if names:
            print(f"{title}: {len(names)}; see EQUIVALENT and SURVIVORS in tests/mutation/catalogue.py")
    enough = sum(bool(v.killer) for v in counted) >= REQUIRED * len(counted)
    return 0 if enough and not wrong and not unexplained else 1


if __name__ == "__main__":
    sys.exit(main())
