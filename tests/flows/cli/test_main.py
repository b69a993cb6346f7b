"""The command line: what it lists, how it reads options, and how it says no."""

import json
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.cli.main import COMMANDS, main
from flows.cli.options import read_options
from schemas.errors import BundleError, GateError, TraceError
from schemas.options.simulate import SimulateConfig
from schemas.options.train import TrainConfig

ROOT = Path(__file__).resolve().parents[3]
HEAVY = ("prefect", "torch", "mlflow", "pandas", "numba", "sqlalchemy", "great_expectations")
names = st.from_regex(r"[a-z][a-z_]{0,12}", fullmatch=True)
weights = st.floats(0, 1e6, allow_nan=False)


def test_the_list_names_each_command_in_one_line(capsys):
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name in COMMANDS:
        assert sum(line.split()[:1] == [name] for line in lines) == 1


@pytest.mark.parametrize("flow", COMMANDS)
def test_help_explains_each_option_with_its_default(flow, capsys):
    with pytest.raises(SystemExit) as left:
        main([flow, "--help"])
    assert left.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for name, field in COMMANDS[flow].model_fields.items():
        assert f"--{name.replace('_', '-')} " in text
        assert " ".join(field.description.split()) in text
        if field.default and not field.is_required():
            default = " ".join(field.default) if isinstance(field.default, tuple) else field.default
            assert f"default {default}" in text


@given(
    timesteps=st.integers(1, 10**9),
    learning_rate=st.floats(1e-9, 0.999),
    algorithm=st.sampled_from(["dqn", "ppo", "a2c"]),
    feature_columns=st.lists(names, max_size=4),
    cache_weights=st.dictionaries(names, weights, max_size=4),
    mapping=st.dictionaries(names, names, max_size=3),
)
def test_options_written_as_words_are_read_back(
    timesteps, learning_rate, algorithm, feature_columns, cache_weights, mapping
):
    words = ["--timesteps", str(timesteps), f"--learning-rate={learning_rate!r}", "--algorithm", algorithm]
    for flag, values in (
        ("--feature-columns", feature_columns),
        ("--cache-weights", [f"{k}={v!r}" for k, v in cache_weights.items()]),
        ("--map", [f"{k}={v}" for k, v in mapping.items()]),
    ):
        words += [flag, *values] if values else []
    config, as_json = read_options("train", TrainConfig, words)
    assert not as_json
    assert config == TrainConfig(
        timesteps=timesteps,
        learning_rate=learning_rate,
        algorithm=algorithm,
        feature_columns=tuple(feature_columns),
        cache_weights=cache_weights,
        map=mapping,
    )


def test_an_empty_value_leaves_its_option_as_it_is_by_default():
    words = ["--source=", "--seed", "", "--key-rules=", "--cache-weights", "", "--hold-back=", "--cache-size="]
    assert read_options("train", TrainConfig, words)[0] == TrainConfig()


def test_commas_separate_as_words_do():
    split, _ = read_options("train", TrainConfig, ["--feature-columns", "a", "b", "--cache-weights", "x=1", "y=2"])
    joined, _ = read_options("train", TrainConfig, ["--feature-columns", "a,b", "--cache-weights", "x=1,y=2", "--json"])
    assert split == joined


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("trian", "unknown flow 'trian'; did you mean train or retrain?"),
        ("train --algorithm sac", "algorithm: Input should be 'dqn', 'ppo' or 'a2c', got 'sac'"),
        ("train --cache-size 0", "cache_size: Input should be greater than or equal to 1, got '0'"),
        ("train --cache-size -3", "cache_size: Input should be greater than or equal to 1, got '-3'"),
        ("train --cachesize 3", "unknown option --cachesize; did you mean --cache-size"),
        ("train --cache_size 3", "unknown option --cache_size; did you mean --cache-size"),
        ("train --cache 3", "unknown option --cache; did you mean --cache-"),
        ("train --cache-size 3 --cache-bytes 4", "give one capacity, not cache_size and cache_bytes"),
        ("train --cache-weights load_time_ms", "cache_weights: takes NAME=VALUE, got 'load_time_ms'"),
        ("train --cache-weights a=x", "cache_weights.a: Input should be a valid number"),
        ("train --since yesterday", "since: Input should be a valid datetime"),
        ("train --seed", "argument --seed: expected one argument"),
        ("train access.log", "unexpected 'access.log'"),
        ("ingest", "source: required"),
        ("ingest --source a --format xml", "format: Input should be 'parquet', 'csv', 'jsonl', 'access_log', 'nginx'"),
        ("ingest --source a --key-rules sorted", "key_rules.0: Input should be 'safe', 'none', 'lower-host'"),
        ("curve --key-rules none safe", "key_rules: none stands alone, got none, safe"),
        ("train --drop-parameters a b --keep-parameters b", "drop_parameters and keep_parameters both name b"),
        ("preview", "source: required"),
        ("preview --source a --rows 0", "rows: Input should be greater than or equal to 1, got '0'"),
        ("sweep --space seed", "space: takes NAME=VALUE, got 'seed'"),
        ("sweep --space sed=1", "space: sed is not an option of train; did you mean seed"),
        ("evaluate --version newest", "version: String should match pattern"),
        ("evaluate --version 0", "version: String should match pattern"),
        ("evaluate --bundle b --version 1", "give bundle, or version and decision of a registered policy, not both"),
        ("export --bundle b --decision ttl --into c", "give bundle, or version and decision of a registered policy"),
        ("evaluate --cache-size 3 --cache-fraction 0.1", "give one capacity, not cache_size and cache_fraction"),
        ("evaluate --warm-up 1", "warm_up: Input should be less than or equal to 0.95, got '1'"),
        ("export", "into: required"),
        ("simulate --requests 0", "requests: Input should be greater than or equal to 1, got '0'"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(command, message, capsys):
    assert main(command.split()) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"error: {message}")
    assert shown.err.count("\n") == 1


@pytest.mark.parametrize("words", [[], ["train", "--algorithm", "sac"], ["simulate", "--help"]])
def test_list_help_and_mistakes_import_nothing_heavy(words):
    code = (
        "import sys\nfrom flows.cli.main import main\n"
        f"try:\n    main({words!r})\nexcept SystemExit:\n    pass\n"
        f"sys.exit(', '.join(set(sys.modules) & set({HEAVY!r})) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _run_with(monkeypatch: pytest.MonkeyPatch, outcome: Any) -> None:
    def run_flow(_name: str, config: SimulateConfig) -> tuple[dict[str, Any], str]:
        print("noise of a library")  # noqa: T201
        if isinstance(outcome, BaseException):
            raise outcome
        return {"requests": config.requests}, outcome

    monkeypatch.setattr("flows.engine.runtime.run_flow", run_flow)


@pytest.mark.parametrize(
    ("error", "status"),
    [(TraceError("bad rows"), 2), (BundleError("bad rows"), 1), (GateError("bad rows"), 3)],
)
def test_an_error_of_a_flow_is_one_line_and_its_status(error, status, monkeypatch, capsys):
    _run_with(monkeypatch, error)
    assert main(["simulate"]) == status
    assert capsys.readouterr().err == "noise of a library\nerror: bad rows\n"


def test_an_error_of_several_lines_is_told_in_one(monkeypatch, capsys):
    _run_with(monkeypatch, TraceError("bad\n  rows"))
    main(["simulate"])
    assert "error: bad rows\n" in capsys.readouterr().err


def test_an_interrupt_is_status_130(monkeypatch, capsys):
    _run_with(monkeypatch, KeyboardInterrupt())
    assert main(["simulate"]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_an_interrupt_that_meets_a_finaliser_is_not_lost(monkeypatch, capsys):
    class Interrupted:
        def __del__(self) -> None:
            raise KeyboardInterrupt

    def flow(*_: object) -> tuple[dict[str, Any], str]:
        Interrupted()  # Python ignores what its finaliser raises
        time.sleep(10)
        return {}, "not interrupted"

    monkeypatch.setattr("flows.engine.runtime.run_flow", flow)
    assert main(["simulate"]) == 130
    assert capsys.readouterr().err == "error: interrupted\n"


def test_what_nobody_foresaw_shows_its_traceback_and_status_1(monkeypatch, capsys):
    _run_with(monkeypatch, ZeroDivisionError("a defect"))
    assert main(["simulate"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_json_is_all_there_is_on_standard_output(monkeypatch, capsys):
    _run_with(monkeypatch, "7 requests")
    assert main(["simulate", "--requests", "7", "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out) == {"requests": 7}
    assert shown.err == "noise of a library\n7 requests\n"


def test_without_json_the_text_is_on_standard_output(monkeypatch, capsys):
    _run_with(monkeypatch, "7 requests")
    assert main(["simulate"]) == 0
    assert capsys.readouterr().out == "7 requests\n"


def _make(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", *words], cwd=ROOT, capture_output=True, text=True, check=False)


def _words_of_train(*variables: str) -> list[str]:
    shown = _make("--dry-run", "train", *variables).stdout
    line = next(line for line in shown.splitlines() if "-m flows train" in line)
    return shlex.split(line)[4:]


def test_make_train_takes_each_option_of_the_flow():
    options = re.search(r"^OPTIONS := ((?:.*\\\n)*.*)", (ROOT / "Makefile").read_text(), re.M)
    assert options
    names = options[1].replace("\\", " ").split()
    assert names == [name.upper() for name in TrainConfig.model_fields]


@pytest.mark.parametrize("source", ["access.log", "a b.log", "it's.log", "$HOME/$(x).log", "a;b&c`d`.log", '"x".log'])
def test_make_train_passes_a_path_on_as_it_is(source):
    assert _words_of_train(f"SOURCE={source}") == [f"--source={source}"]


def test_make_train_passes_on_what_is_given_and_nothing_else():
    assert _words_of_train() == []
    words = _words_of_train(
        "CACHE_WEIGHTS=load_time_ms=1 size_bytes=2",
        "CACHE_FRACTION=0.01",
        "SEED=",
        "JSON=1",
        "KEY_RULES=safe template-ids",
    )
    assert words == [
        "--key-rules=safe,template-ids",
        "--cache-fraction=0.01",
        "--cache-weights=load_time_ms=1,size_bytes=2",
        "--json",
    ]


def test_make_train_refuses_an_unknown_option():
    done = _make("--dry-run", "train", "ALGORITM=ppo")
    assert done.returncode != 0
    assert "unknown option ALGORITM" in done.stderr


def test_make_refuses_a_python_that_is_not_there():
    done = _make("--always-make", "setup", "PYTHON=python-that-is-not-there")
    assert done.returncode != 0
    assert "error: PYTHON=python-that-is-not-there is not a Python 3.11 to 3.14" in done.stderr
