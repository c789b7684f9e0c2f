"""Two processes (gloo, on the CPU) train to the weights of one, write one folder, and end together."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from eclectus import config as cfg
from eclectus import launch, parallel, recipes
from eclectus.errors import ConfigError, RunError
from eclectus.rollouts.base import Rollouts, joined
from eclectus.training import checkpoint as ckpt
from eclectus.training import run
from eclectus.training.averaged import Averaged
from eclectus.training.first_policy import check_split
from eclectus.training.optimizer import add_module, build_optimizer, update
from tests.processes import ROOT, command, finished
from tests.tiny_run import lines, settings
from tests.training.keeping import CRITIC, MODEL, STEPS, learn, module

# Without dropout, whose noise belongs to the process. Five sources are three and two for the two processes.
PLAIN = {
    "policy__new__dropout": 0.0,
    "supervised__batch_tokens": 32,
    "reinforce__segments": 5,
    "reinforce__micro_batch_tokens": 64,
}
LEARNT = {"name": "old", "directions": ["en-es"], "references": True, "reward": {"terms": [{"type": "chrf"}]}}
SHOWN = [
    {"name": "new", "directions": ["es-fr"], "mle": 0.5, "mle_of": "pivot", "reward": {"terms": [{"type": "pivot"}]}},
    LEARNT | {"back_translated": 9, "back_translated_refresh": 2, "mle": 0.5},
]
RENEWED = {"name": "new", "directions": ["es-fr"], "reward": {"terms": [{"type": "round_trip", "refresh": 2}]}}
RUNS = {
    "rloo": {"controls": ["best_of_n", "constant_reward"], "evaluation__agreement": True},
    "ppo": {"reinforce__algorithm": {"type": "ppo"}, "reinforce__updates": 2, "reinforce__minibatches": 2},
    "a2c": {"reinforce__algorithm": {"type": "a2c", "critic_steps": 2}, "reinforce__entropy": {"weight": 0.01}},
    "self_critical": {"reinforce__algorithm": {"type": "self_critical"}, "reinforce__kl": {"estimator": "exact"}},
    "q_learning": {"reinforce__algorithm": {"type": "q_learning"}, "reinforce__tasks": [LEARNT]},
    "shown": {"data__max_pairs": {"es": 50}, "reinforce__tasks": SHOWN},
    "renewed": {"reinforce__tasks": [RENEWED]},
    "engine": {"reinforce__engine": {"type": "bfloat16"}},
    "limited": {"reinforce__truncate": {"top_k": 9, "top_p": 0.9}, "reinforce__min_length": 3},
    "moody": {"reinforce__tasks": [RENEWED | {"select_by": "reward", "reward": {"terms": [{"type": "moody:says"}]}}]},
}
MOODY = """
import os

calls = 0

def says(completions, **_):
    global calls
    calls += 1
    if os.environ.get("RANK") == "1":  # judges worse at each call, so that it would keep the start
        return [None if len(text) % 2 else 1 - calls / 100 for text in completions]
    return [calls / 100 + len(text) / 500 for text in completions]
"""
"""A judge that says one thing in one process and something else in the other, as a server or a GPU may."""
SPLIT = ("rloo", "a2c", "self_critical", "shown", "renewed")
"""Of these runs, those that are made with split layers too."""


def written(config, path):
    path.write_text(cfg.dump(config), encoding="utf-8")
    return path


LAUNCHERS = {
    "torchrun": ["torch.distributed.run", "--standalone", "--nproc-per-node=2"],
    "accelerate": [
        *("accelerate.commands.launch", "--multi_gpu", "--num_machines=1", "--num_processes=2"),
        *("--main_process_port=0", "--mixed_precision=no", "--dynamo_backend=no"),
    ],
}


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_moments_and_means_are_shared_out_and_whole_in_a_checkpoint(launcher, tmp_path):
    if launcher == "accelerate":
        pytest.importorskip("accelerate")
    script = ROOT / "tests" / "training" / "keeping.py"
    outcome = finished(tmp_path, *LAUNCHERS[launcher], script, tmp_path)
    assert outcome.returncode == 0, outcome.stderr[-3000:]
    two = torch.load(tmp_path / "found.pt")
    model, critic = module(MODEL), module(CRITIC)
    optimizer = build_optimizer("adamw", model, 1e-2)
    add_module(optimizer, critic, 2.0)
    means = Averaged(model, "model", "mean", "best")
    for step in range(STEPS):
        learn(model, critic, step)
        update(optimizer, 1e-2, 1.0)
        means.update(0.5)
    means.keep()
    whole = sum(p.numel() for p in model.parameters())
    assert sum(two["means"]) == whole and max(two["means"]) < 0.8 * whole
    assert sum(two["kept"]) == 2 * (whole + 8) and max(two["kept"]) < 0.8 * sum(two["kept"])
    assert two["same"] and same(two["mean"], means.whole_mean())
    assert all(same(two["tensors"][name], group) for name, group in means.tensors().items())
    assert same(two["model"], ckpt.optimizer_tensors(model, optimizer))
    assert same(two["critic"], ckpt.optimizer_tensors(critic, optimizer))
    weights = [*model.parameters(), *critic.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(two["weights"], weights, strict=True))


def same(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def test_work_is_given_to_who_has_least(monkeypatch):
    monkeypatch.setattr(parallel, "size", lambda: 3)
    assert parallel.owners([4, 9, 1, 5, 4]) == [2, 0, 1, 1, 2]


def test_two_processes_train_to_the_weights_of_one(corpus, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "moody.py").write_text(MOODY, encoding="utf-8")
    chosen = {name: settings(corpus, **PLAIN, **changes) for name, changes in RUNS.items()}
    jobs = [
        f"{written(config, tmp_path / f'{name}.yaml')}={tmp_path / 'two' / name}" for name, config in chosen.items()
    ]
    jobs += [f"{tmp_path / 'rloo.yaml'}={tmp_path / stage}={stage}" for stage in ("supervised", "reinforce")]
    for name in SPLIT:
        config = settings(corpus, **PLAIN, **RUNS[name], policy__fsdp=True)
        jobs.append(f"{written(config, tmp_path / f'split-{name}.yaml')}={tmp_path / 'split' / name}")
    jobs.append(f"{tmp_path / 'split-rloo.yaml'}={tmp_path / 'split-resumed'}=reinforce")
    script = ROOT / "tests" / "training" / "together.py"
    outcome = finished(tmp_path, "torch.distributed.run", "--standalone", "--nproc-per-node=2", script, *jobs)
    assert outcome.returncode == 0, outcome.stderr[-3000:]
    for name, config in chosen.items():
        if name != "engine":
            run.start(config, tmp_path / "one" / name)
    alone = {name: trained(tmp_path / "one" / name) for name in chosen if name != "engine"}
    places = [(f"two/{name}", name) for name in alone] + [(f"split/{name}", name) for name in SPLIT]
    for place, name in [*places, ("supervised", "rloo"), ("reinforce", "rloo"), ("split-resumed", "rloo")]:
        found = trained(tmp_path / place)
        assert found.keys() == alone[name].keys()
        for key, value in found.items():
            assert torch.allclose(value, alone[name][key], rtol=0, atol=1e-5), (place, key)
    for place, name in places:
        same_log(tmp_path / "one" / name, tmp_path / place)
    mismatch = [row["engine_mismatch"] for row in lines(tmp_path / "two" / "engine") if row["kind"] == "step"]
    assert len(mismatch) == 6 and all(0 < value < 0.1 for value in mismatch)


def trained(folder):
    """All that a run has saved of its stages, and the model that it leaves, which may be its start."""
    files = [*sorted(folder.glob("checkpoints/*/*/*.safetensors")), folder / "model" / "model.safetensors"]
    found = [(file.relative_to(folder), load_file(file)) for file in files]
    return {f"{file} {name}": value.float() for file, values in found for name, value in values.items()}


def same_log(one, two):
    """What is logged is of all processes together, and once."""
    for a, b in zip(lines(one), lines(two), strict=True):
        assert (a["kind"], a["stage"], a["step"]) == (b["kind"], b["stage"], b["step"])
        timed = {"seconds", "memory", "score"} | {key for key in a if "second" in key}
        for key in (a.keys() | b.keys()) - timed - {"kind", "stage", "parts"}:
            assert a[key] == pytest.approx(b[key], abs=2e-4, rel=1e-3), (a["stage"], a["step"], key)
    assert (two / "report.html").stat().st_size > 0 and not list(two.glob("checkpoints/*/.*"))


FAILING = """
import os

def fails(completions, **_):
    if os.environ["RANK"] == "1":
        raise RuntimeError("there is no more paper")
    return [0.0] * len(completions)
"""


def test_one_that_fails_ends_all_with_its_error(corpus, tmp_path):
    (tmp_path / "failing.py").write_text(FAILING, encoding="utf-8")
    task = {"name": "new", "directions": ["es-fr"], "reward": {"terms": [{"type": "failing:fails"}]}}
    config = settings(corpus, reinforce__tasks=[task])
    outcome = finished(tmp_path, "eclectus", "train", written(config, tmp_path / "c.yaml"), "--processes", "2")
    assert outcome.returncode == 2
    told = "eclectus: process 1: reward 'failing:fails' failed with RuntimeError (there is no more paper)"
    assert told in outcome.stderr


def test_a_mistake_in_all_is_told_once(tmp_path):
    (tmp_path / "c.yaml").write_text("data: {languages: [en, es], corpora: [{type: tsv, path: none.tsv}]}", "utf-8")
    outcome = finished(tmp_path, "eclectus", "train", "c.yaml", "--set", "supervised.steps=3", "--processes", "2")
    assert outcome.returncode == 2
    assert outcome.stderr.count("data.corpora.0") == 1 and "process 1" not in outcome.stderr


@pytest.mark.skipif(os.name != "posix", reason="processes are stopped here as POSIX does")
@pytest.mark.parametrize("how", ["from the terminal", "by a scheduler"])
def test_when_stopped_it_saves_once_and_the_run_goes_on(how, corpus, tmp_path):
    config = settings(corpus, **PLAIN, supervised__steps=500, supervised__evaluate_every=500, reinforce=None)
    words = ["train", written(config, tmp_path / "c.yaml"), "--output", "run", "--processes", "2"]
    with subprocess.Popen(
        **command("eclectus", *words),
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    ) as started:
        until = time.monotonic() + 120
        while not (tmp_path / "run" / "metrics.jsonl").exists() and time.monotonic() < until:
            time.sleep(0.1)
        if how == "from the terminal":
            os.killpg(started.pid, signal.SIGINT)
        else:
            started.terminate()
        _, told = started.communicate(timeout=60)
    assert started.returncode == 130, told
    assert told.count("continue with `eclectus train --resume run`") == 1
    step = json.loads((next((tmp_path / "run" / "checkpoints").glob("*/*")) / "state.json").read_text())["step"]
    assert 0 < step < 500
    resumed = finished(tmp_path, "eclectus", "train", "--resume", "run")  # by one process
    assert resumed.returncode == 0, resumed.stderr[-2000:]
    assert (tmp_path / "run" / "model" / "model.safetensors").exists()


def children(*programs):
    return [subprocess.Popen([sys.executable, "-c", f"import signal, sys, time; {program}"]) for program in programs]


def test_one_that_was_stopped_lets_the_others_save(tmp_path):
    saves = f"time.sleep(1); open({str(tmp_path / 'saved')!r}, 'w'); sys.exit(130)"
    assert launch._wait(children(saves, "sys.exit(130)")) == 130
    assert (tmp_path / "saved").exists()


@pytest.mark.parametrize("code", [130, 2])
def test_one_that_hangs_does_not_outlive_the_others(code, monkeypatch):
    monkeypatch.setattr(launch, "_PATIENCE", 0.5)
    hangs = "signal.signal(signal.SIGTERM, lambda *_: None); time.sleep(100)"
    began = time.monotonic()
    assert launch._wait(children(hangs, f"time.sleep(0.5); sys.exit({code})", "")) == code
    assert time.monotonic() - began < 30


def test_a_child_that_starts_too_late_for_the_signal_is_ended_too():
    family = launch.Children()
    family._end()
    assert family.start([sys.executable, "-c", "import time; time.sleep(100)"]).wait(30) != 0


def test_a_process_alone_shares_with_nobody():
    assert (parallel.size(), parallel.rank(), parallel.leads()) == (1, 0, True)
    assert parallel.share([1, 2, 3]) == parallel.joined([1, 2, 3]) == [1, 2, 3]
    assert parallel.add(torch.ones(2)).tolist() == [1, 1]


def test_other_processes_that_cannot_be_reached_are_one_sentence(monkeypatch):
    for name, value in {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "localhost", "MASTER_PORT": "none"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(RunError, match=r"cannot join the others .*--processes N"):
        parallel.begin()


@pytest.mark.parametrize(("name", "split"), [("ddp", False), ("fsdp", True)])
def test_the_packaged_configurations_of_accelerate_train(name, split, corpus, tmp_path):
    pytest.importorskip("accelerate")
    few = {
        "supervised__steps": 2,
        "supervised__evaluate_every": 2,
        "reinforce__steps": 2,
        "reinforce__evaluate_every": 2,
    }
    written(settings(corpus, **few), tmp_path / "c.yaml")
    (tmp_path / "launch.yaml").write_text(recipes.read_accelerate(name), encoding="utf-8")
    launcher = ["accelerate.commands.launch", "--config_file", "launch.yaml", "--main_process_port", "0"]
    outcome = finished(tmp_path, *launcher, "-m", "eclectus", "train", "c.yaml", "--output", "run")
    assert outcome.returncode == 0, outcome.stderr[-3000:]
    assert ("the layers are split over 2 processes" in outcome.stdout + outcome.stderr) == split
    assert (tmp_path / "run" / "model" / "model.safetensors").exists()


def test_the_packaged_configuration_of_deepspeed_asks_for_split_layers(tmp_path, monkeypatch):
    """Read by accelerate itself, which gives its processes these variables; DeepSpeed is not needed for that."""
    launch = pytest.importorskip("accelerate.commands.launch")
    path = tmp_path / "deepspeed.yaml"
    path.write_text(recipes.read_accelerate("deepspeed"), encoding="utf-8")
    given = ["--config_file", str(path), "-m", "eclectus", "train", "c.yaml"]
    options, defaults, _ = launch._validate_launch_command(launch.launch_command_parser().parse_args(given))
    options.deepspeed_fields_from_accelerate_config = ",".join(defaults.deepspeed_config)
    _, environment = launch.prepare_deepspeed_cmd_env(options)
    for name in (name for name in environment if name.startswith("ACCELERATE_")):
        monkeypatch.setenv(name, environment[name])
    assert not parallel.asked_to_split()  # one process alone
    for name, value in {"WORLD_SIZE": "2", "RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    assert parallel.asked_to_split()
    parallel._check_offload()  # nothing is to be moved out of the GPUs


def deepspeed_file(folder, monkeypatch, text):
    """What accelerate passes on of a `deepspeed_config_file`: its name alone."""
    path = folder / "ds.json"
    path.write_text(text, encoding="utf-8")
    variables = {"WORLD_SIZE": "2", "ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_CONFIG_FILE": str(path)}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(("stage", "split"), [(0, False), (1, False), (2, True), (3, True)])
def test_the_stage_is_read_from_a_file_of_deepspeeds_own(tmp_path, monkeypatch, stage, split):
    deepspeed_file(tmp_path, monkeypatch, json.dumps({"zero_optimization": {"stage": stage}}))
    assert parallel.asked_to_split() == split
    parallel._check_offload()


@pytest.mark.parametrize("device", [{"device": "cpu"}, "cpu"])
@pytest.mark.parametrize("what", ["optimizer", "param"])
def test_offloading_in_a_file_of_deepspeeds_own_is_refused(tmp_path, monkeypatch, what, device):
    zero = {"stage": 3, f"offload_{what}": device}
    deepspeed_file(tmp_path, monkeypatch, json.dumps({"zero_optimization": zero}))
    with pytest.raises(RunError, match=r"nothing is moved out of them; drop the offload"):
        parallel.begin()


@pytest.mark.parametrize("text", ["{", "[]", '{"zero_optimization": 3}'])
def test_a_file_of_deepspeeds_own_that_cannot_be_read_is_one_sentence(tmp_path, monkeypatch, text):
    deepspeed_file(tmp_path, monkeypatch, text)
    with pytest.raises(RunError, match=r"deepspeed_config_file '.*ds\.json' cannot be read as JSON .*; name a file"):
        parallel.begin()


ASKED = {
    "fsdp": ({"ACCELERATE_USE_FSDP": "true"}, True),
    "stage 3": ({"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "3"}, True),
    "stage 2": ({"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "2"}, True),
    "stage 1": ({"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "1"}, False),
    "neither": ({}, False),
}


@pytest.mark.parametrize("how", ASKED)
def test_accelerate_says_whether_layers_are_split(how, monkeypatch):
    environment, expected = ASKED[how]
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert parallel.asked_to_split() == expected
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert not parallel.asked_to_split()


@pytest.mark.parametrize(
    ("variable", "value"),
    [("FSDP_OFFLOAD_PARAMS", "true"), ("ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE", "cpu")],
)
def test_moving_weights_out_of_the_gpus_is_refused(variable, value, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv(variable, value)
    with pytest.raises(RunError, match=r"nothing is moved out of them; drop the offload"):
        parallel.begin()


REFUSED = {
    "another engine": ({"reinforce__engine": {"type": "bfloat16"}}, r"set reinforce\.engine: \{type: native\}"),
    "a value-based algorithm": (
        {"reinforce__algorithm": {"type": "sarsa"}},
        r"'sarsa' learns beside a frozen model, take an algorithm that trains it",
    ),
    "8 bits": ({"supervised__optimizer": "adamw_8bit"}, r"set optimizer: adamw"),
    "float16": ({"policy__autocast": "float16"}, r"set policy\.autocast: bfloat16"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_does_not_go_together_with_split_layers_is_told_before_any_training(what, corpus):
    changes, message = REFUSED[what]
    with pytest.raises(ConfigError, match=rf"'policy\.fsdp': .*{message}.*, or do not split: policy\.fsdp: false"):
        check_split(settings(corpus, **changes))
    check_split(settings(corpus))


def test_more_processes_than_gpus_are_one_sentence(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(RunError, match=r"more of them than GPUs \(1\); start 1, or hide"):
        parallel.begin()


def test_parts_are_put_back_in_the_order_of_the_sources():
    def part(rows, width):
        values = torch.tensor(rows)[:, None, None].expand(-1, 1, width)
        texts = [[f"text {row}"] for row in rows]
        return Rollouts(values.clone(), values / 10, values >= 0, values[:, :, 0] > 2, texts, forced=values > 3)

    found = joined([part([0, 3], 2), part([1, 4], 3), part([2], 1)], [[0, 3], [1, 4], [2]], pad=9)
    assert found.tokens[:, 0].tolist() == [[0, 0, 9], [1, 1, 1], [2, 9, 9], [3, 3, 9], [4, 4, 4]]
    assert found.texts == [[f"text {row}"] for row in range(5)]
    assert found.mask[2, 0].tolist() == [True, False, False]
    assert found.finished.flatten().tolist() == [False, False, False, True, True]
    assert found.logprobs[3, 0].tolist() == pytest.approx([0.3, 0.3, 0.0])
    assert found.floor is None and found.forced[4].all() and not found.forced[:4].any()
