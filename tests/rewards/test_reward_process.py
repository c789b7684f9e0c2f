"""process: a real program that answers late, twice, in disorder, crashes, hangs, and talks nonsense."""

import os
import sys
import time

import pytest

from eclectus.config import RewardConfig
from eclectus.errors import ConfigError, RunError
from eclectus.registry import parse_options
from eclectus.rewards.base import RewardContext
from eclectus.rewards.bridges.program import Program, ProgramError
from eclectus.rewards.composite.combine import CompositeReward
from eclectus.rewards.process import Process
from eclectus.segment import Segment

# The hypothesis is an order, or a number that becomes the score. `once` orders are obeyed once in a folder's life.
PROGRAM = r"""
import json, os, pathlib, sys, time

with open("starts", "a") as starts:
    starts.write("x")
asked = open("asked", "a")

def once(name):
    path = pathlib.Path(name)
    if path.exists():
        return False
    path.touch()
    return True

def say(id, score):
    print(json.dumps({"id": id, "score": score}), flush=True)

batch = []
for line in sys.stdin:
    if line.strip():
        request = json.loads(line)
        asked.write(request["hypothesis"][:20].encode("ascii", "replace").decode() + "\n")
        asked.flush()
        batch.append(request)
        continue
    while batch:
        request = batch.pop()  # the last comes first
        id, order = request["id"], request["hypothesis"]
        if order == "crash" or (order == "crash once" and once("crashed")):
            sys.stderr.write("out of mem\u00f6ry\n")
            sys.exit(3)
        if order == "hang" or (order == "hang once" and once("hung")):
            time.sleep(600)
        if order == "late once" and once("late"):
            time.sleep(1.5)
            say(id, 0.0)
        if order == "close":
            os.close(1)
            time.sleep(600)
        if order == "loud":
            sys.stderr.write("noise " * 200_000)
            sys.stdout.write("no answer\n[1]\n{}\n\n" + "[" * 100_000 + "\n" + '{"id": [1], "score": 1}\n' * 3)
            sys.stdout.write("z" * 3_000_000 + "\n")
        if order == "stale":
            for old in (-1, 0, 1, True, str(id), float(id), None):
                say(old, 1.0)
        if order == "twice":
            say(id, 0.25)
        if order == "bare":
            print(json.dumps({"id": id}), flush=True)
            continue
        odd = {"null": None, "nan": float("nan"), "inf": float("inf"), "text": "0.5", "true": True, "list": [1]}
        odd["huge"] = 10**400
        try:
            score = odd[order] if order in odd else float(order)
        except ValueError:
            score = len(request["source"]) / 100 if order == "source" else 0.5
        if order == "reference":
            score = len(request.get("reference", "")) / 100
        say(id, score)
"""


@pytest.fixture
def make(tmp_path):
    """Make a reward around the program; all are closed in the end."""
    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")
    made = []

    def build(**options):
        values = {"command": [sys.executable, "program.py"], "folder": tmp_path, "timeout": 20, **options}
        made.append(Process(parse_options("reward.terms.0", Process.Options, values)))
        return made[-1]

    yield build
    for reward in made:
        reward.close()


def judge(reward, *hypotheses, source="un gato", reference=None):
    return reward([Segment(source, "es", "en", reference=reference)] * len(hypotheses), list(hypotheses))


def starts(tmp_path):
    return len((tmp_path / "starts").read_text())


def test_answers_in_disorder_find_their_place_and_the_program_is_started_once(make, tmp_path):
    reward = make(batch=3)
    assert judge(reward, "0.1", "0.2", "0.3", "0.4", "0.2") == [0.1, 0.2, 0.3, 0.4, 0.2]
    assert judge(reward, "0.5") == [0.5]
    assert starts(tmp_path) == 1
    assert (tmp_path / "asked").read_text().split() == ["0.1", "0.2", "0.3", "0.4", "0.5"]


def test_nothing_is_started_for_nothing(make, tmp_path):
    assert make()([], []) == []
    assert not (tmp_path / "starts").exists()


def test_scores_are_mapped_to_the_unit_interval(make):
    assert judge(make(high=100), "-1", "25", "100", "101") == [0.0, 0.25, 1.0, 1.0]
    assert judge(make(low=25, high=0), "25", "20", "0", "30") == [0.0, 0.2, 1.0, 0.0]


def test_what_is_no_finite_number_is_no_judgement(make):
    hypotheses = ["0.5", "null", "nan", "inf", "text", "true", "list", "bare", "huge"]
    assert judge(make(), *hypotheses) == [0.5] + [None] * 8


def test_noise_and_answers_to_other_questions_are_passed_over(make):
    reward = make()
    assert judge(reward, "0.1", "0.2") == [0.1, 0.2]
    assert judge(reward, "loud", "stale", "twice", "0.3") == [0.5, 0.5, 0.25, 0.3]
    assert judge(reward, "0.4", "0.5") == [0.4, 0.5]


def test_scores_are_remembered_up_to_a_bound(make, tmp_path):
    reward = make(cache=2)
    judge(reward, "0.1", "0.2")
    judge(reward, "0.1")
    judge(reward, "0.3")  # now 0.2 is the one that was not used for longest
    judge(reward, "0.1", "0.2")
    assert (tmp_path / "asked").read_text().split() == ["0.1", "0.2", "0.3", "0.2"]
    reward.reset()
    judge(reward, "0.2")
    assert (tmp_path / "asked").read_text().split()[-2:] == ["0.2", "0.2"]
    assert starts(tmp_path) == 1


def test_a_crash_costs_nothing_when_the_program_recovers(make, tmp_path):
    reward = make()
    # The last is answered before the crash, and is not asked again.
    assert judge(reward, "0.1", "crash once", "0.3") == [0.1, 0.5, 0.3]
    assert starts(tmp_path) == 2
    assert (tmp_path / "asked").read_text().count("0.3") == 1


def test_what_crashes_the_program_twice_is_not_judged(make, tmp_path, caplog):
    reward = make(batch=2)
    assert judge(reward, "crash", "0.2", "0.3", "0.4") == [None, 0.2, 0.3, 0.4]
    assert "out of mem" in caplog.text and "1 hypotheses are not judged" in caplog.text
    assert judge(reward, "0.5") == [0.5]
    assert starts(tmp_path) == 3


def test_a_failure_stops_the_run_where_that_is_wished(make):
    with pytest.raises(RunError, match=r"exit status 3; the end of its standard error:\nout of mem\\xf6ry"):
        judge(make(on_failure="stop"), "0.1", "crash", "0.3")


def test_a_program_that_only_fails_stops_the_run(make, tmp_path):
    reward = make(restarts=4, batch=1)
    assert judge(reward, "crash") == [None]
    assert judge(reward, "crash") == [None]
    with pytest.raises(RunError, match="failed 5 times in a row"):
        judge(reward, "crash")
    assert starts(tmp_path) == 5


def test_a_program_that_hangs_is_killed_and_started_again(make, tmp_path):
    reward = make(timeout=0.5, start_timeout=10)
    judge(reward, "0.9")
    started = time.monotonic()
    assert judge(reward, "0.1", "hang once", "0.3") == [0.1, 0.5, 0.3]
    assert time.monotonic() - started < 10
    assert starts(tmp_path) == 2
    assert judge(reward, "0.4") == [0.4]


def test_a_start_may_take_longer_than_an_answer(make):
    reward = make(timeout=20, start_timeout=0.5)
    with pytest.raises(RunError, match=r"no answer in 0\.5 s; it wrote nothing to standard error"):
        judge(make(timeout=20, start_timeout=0.5, on_failure="stop"), "hang")
    judge(make(timeout=0.5, start_timeout=20), "0.1")
    reward.close()


def test_an_answer_that_comes_too_late_is_nobodys(make, tmp_path):
    reward = make(timeout=0.5, start_timeout=10)
    judge(reward, "0.9")
    assert judge(reward, "late once") == [0.5]  # not the late 0.0
    time.sleep(1.5)
    assert judge(reward, "0.7", "0.8") == [0.7, 0.8]
    assert starts(tmp_path) == 2


def test_a_program_that_closes_its_output_is_gone(make):
    with pytest.raises(RunError, match="closed its output"):
        judge(make(on_failure="stop"), "close")


def test_large_batches_do_not_block(make):
    # More than a pipe holds, in both directions.
    reward = make(batch=500)
    text = "x" * 20_000
    assert judge(reward, *[f"{i / 1000}" for i in range(400)], source=text) == [i / 1000 for i in range(400)]


def test_text_of_any_kind_arrives(make):
    for source in ("\ud800 a\udfff", "\x00\x1b\u2028\n\r", "👩‍👩‍👧 \u202eabc", "a" * 100_000):
        expected = min(1.0, len(source) / 100)
        assert judge(make(), "source", source=source) == [expected]


def test_references_are_sent_where_asked(make):
    assert judge(make(), "reference", reference="x" * 40) == [0.0]
    reward = make(references=True)
    assert reward.requires == {"reference"} and not Process.requires
    assert judge(reward, "reference", reference="x" * 40) == [0.4]
    assert judge(reward, "reference", reference="x" * 50) == [0.5]


def test_a_closed_program_is_gone_and_starts_again(make, tmp_path):
    reward = make()
    judge(reward, "0.1")
    process = reward._program._running._process
    reward.close()
    assert process.returncode == 0  # it ended by itself when its input ended
    assert judge(reward, "0.2") == [0.2]
    assert starts(tmp_path) == 2


@pytest.mark.skipif(os.name != "posix", reason="process groups are POSIX")
def test_children_of_the_program_are_killed_with_it(tmp_path):
    child = "import time, os; open('pid', 'w').write(str(os.getpid())); time.sleep(600)"
    parent = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(600)"
    program = Program([sys.executable, "-c", parent], tmp_path, start_timeout=3)
    with pytest.raises(ProgramError, match="no answer"):
        list(program.ask([{"hypothesis": "a"}]))
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 5
    while _runs(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(pid)


def _runs(pid):
    """Whether a process runs; one that ended and was not waited for yet does not."""
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_a_caller_that_leaves_early_leaves_no_answers_behind(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")
    program = Program([sys.executable, "program.py"], tmp_path)
    answers = program.ask([{"hypothesis": "0.1"}, {"hypothesis": "0.2"}])
    next(answers)
    answers.close()
    assert [answer["score"] for _, answer in program.ask([{"hypothesis": "0.3"}])] == [0.3]
    program.close()


def test_environment_and_command_line(tmp_path):
    script = tmp_path / "a program.py"
    script.write_text(
        "import os, sys, json\n"
        "for line in sys.stdin:\n"
        "    if line.strip():\n"
        "        answer = {'id': json.loads(line)['id'], 'score': float(os.environ['SCORE']) + float(sys.argv[1])}\n"
        "        print(json.dumps(answer), flush=True)\n"
    )
    command = f'"{sys.executable}" "{script}" 0.5'
    if os.name == "posix":
        reward = Process(Process.Options(command=command, environment={"SCORE": "0.25"}))
        assert judge(reward, "a") == [0.75]
        reward.close()


def test_what_cannot_run_is_refused_at_the_door():
    config = RewardConfig(terms=[{"type": "process", "command": "no-such-program --x"}])
    with pytest.raises(ConfigError, match=r"there is no program 'no-such-program' to run"):
        CompositeReward(config, RewardContext())
    for values, message in (
        ({"command": ""}, "command is empty"),
        ({"command": "a", "low": 1}, "must differ"),
        ({}, "'p.command' is missing"),
        ({"command": "a", "high": float("nan")}, "finite"),
    ):
        with pytest.raises(ConfigError, match=message):
            parse_options("p", Process.Options, values)


def test_a_program_that_cannot_be_started(tmp_path):
    program = Program([str(tmp_path / "absent")])
    with pytest.raises(ProgramError, match="cannot be started"):
        list(program.ask([{"hypothesis": "a"}]))


def test_the_signature_names_what_is_measured(make):
    signature = make(label="wmt22 comet-da", low=25, high=0).signature
    assert signature == "process|wmt22_comet-da|range:25..0|references:no"
