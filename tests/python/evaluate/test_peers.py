"""One UNet evaluation by everybody: rows, resuming, failures, answers. How fast is no test's
business."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mobilevd.cli.main import main
from mobilevd.evaluate.peers import compare as comparison
from mobilevd.evaluate.peers import processes
from mobilevd.evaluate.peers.bars import bars, line
from mobilevd.evaluate.peers.compare import Plan, compare
from mobilevd.evaluate.peers.peer import PEERS, SHARED, Peer
from mobilevd.evaluate.peers.reference import Reference
from mobilevd.evaluate.peers.table import COLUMNS, cells, markdown, remarks
from mobilevd.models.diffusers_keys import config_to_diffusers, config_to_ours
from mobilevd.presets import PRESETS, get_preset
from small_networks import UNET_CONFIG

FOLDER = Path(__file__).parent
MINI = get_preset("mini")


def stand_in(name: str, **options) -> Peer:
    return Peer(name, "stand_in_peer", **options)


class OursThatDrifts:
    """In place of the runner: each time it takes longer."""

    def __init__(self) -> None:
        self.measured = 0

    def key(self) -> str:
        return "ours"

    def measure(self):
        self.measured += 1
        ms = 10.0 * self.measured
        return {
            "median_ms": ms,
            "runs_ms": [ms, ms],
            "load_ms": 1.0,
            "peak_rss_mb": 20.0,
            "packed_mb": 4.0,
            "ops": [],
            "peak_gflops": 100.0 + self.measured,
        }

    def profile(self):
        row = {"stage": "unet", "name": "conv2d", "delegated": True, "calls": 1}
        return [{**row, "total_ms": 5.0, "share": 0.5}]


@pytest.fixture
def work(monkeypatch, tmp_path):
    """Weights and our export are stand-ins, too."""
    monkeypatch.setattr(comparison, "SHARED", stand_in("shared"))
    monkeypatch.setattr(comparison, "OURS", stand_in("ours"))
    monkeypatch.setenv("PYTHONPATH", str(FOLDER), prepend=":")
    return tmp_path / "work"


def run(work: Path, *peers: Peer, ours: OursThatDrifts | None = None, repeat: int = 2):
    plan = Plan(MINI, "random:0", 1, work, repeat)
    return compare(plan, peers, reference=lambda bundle, packed: ours or OursThatDrifts())


def test_a_row_for_each_with_ours_before_and_after(work):
    ours = OursThatDrifts()
    *peers, last = run(work, stand_in("first"), stand_in("wrong"), ours=ours)
    assert [row["name"] for row in (*peers, last)] == ["first", "wrong", "ours"]
    first, wrong = peers
    # Each conversion takes so long that what was measured before it is old.
    assert [(row["ours_before_ms"], row["ours_after_ms"]) for row in peers] == [(20, 30), (40, 50)]
    assert ours.measured == 5
    for row in peers:
        assert row["ratio"] == row["median_ms"] * 2 / (row["ours_before_ms"] + row["ours_after_ms"])
        assert row["evaluations"] == len(row["runs_ms"]) == 2
        assert 2 <= row["min_ms"] <= row["median_ms"]
        rate = row["gflops_per_evaluation"] / row["median_ms"] * 1e3
        assert row["gflop_per_s"] == pytest.approx(rate)
        assert row["share_of_fma_peak"] == pytest.approx(rate / row["peak_gflops"])
        assert row["file_mb"] == 2.0
        assert row["convert_s"] > 0
        assert row["peak_rss_mb"] > 1
        assert (row["threads"], row["weights"], row["device"]) == (1, "random:0", "cpu")
    assert first["peak_gflops"] == 103
    assert first["relative_l2"] == 0
    assert wrong["relative_l2"] == pytest.approx(0.5)  # seen, and no failure
    assert last["median_ms"] == 10
    assert (last["file_mb"], last["packed_mb"]) == (3.0, 4.0)
    assert last["profile"][0]["name"] == "conv2d"
    assert [bar["met"] for bar in last["bars"]] == [None, first["ratio"] >= 1]
    said = remarks([*peers, last])
    assert "wrong: not the same function, not counted" in said
    again = "measure again (delete rows/first-* in the work folder)"
    assert f"first: ours took 20.0 ms before it and 30.0 after: {again}" in said
    assert not any(line.startswith("ours: ") for line in said)


def test_a_peer_that_converts_nothing_shares_the_measurement_before_it(work):
    ours = OursThatDrifts()
    reader = stand_in("reader", converts=False)
    first, second, _ = run(work, stand_in("first"), reader, ours=ours)
    assert first["ours_after_ms"] == second["ours_before_ms"] == 30
    assert ours.measured == 4
    assert second["file_mb"] == 2.0  # the weights
    assert "convert_s" not in second


def test_a_second_run_does_nothing_again(work, monkeypatch):
    rows = run(work, stand_in("first"), stand_in("second"))

    def refuse(*arguments):
        raise AssertionError("started a process")

    with monkeypatch.context() as patched:
        patched.setattr(processes, "_run", refuse)
        again = OursThatDrifts()
        assert run(work, stand_in("first"), stand_in("second"), ours=again) == rows
        assert again.measured == 0
        patched.setattr(processes, "convert", refuse)
        with pytest.raises(AssertionError):  # other settings are another measurement
            run(work, stand_in("first"), repeat=3)
    monkeypatch.setattr(processes, "convert", refuse)
    (row, _) = run(work, stand_in("first"), repeat=3)  # of what is converted already
    assert row["evaluations"] == 3


def test_one_that_was_cut_off_while_converting_is_converted_again(work):
    run(work, stand_in("first"))
    (marker,) = work.glob("mini/first-*/converted.json")
    marker.unlink()
    left = marker.with_name("half")
    left.touch()
    (row,) = work.glob("mini/rows/first-*.json")
    row.unlink()
    run(work, stand_in("first"))
    assert marker.is_file()
    assert not left.exists()


@pytest.mark.parametrize(
    ("peer", "error"),
    [
        (stand_in("killed"), "the process was ended by SIGKILL: out of memory?"),
        (stand_in("nan"), "24 values of its answer are NaN or infinite"),
        (stand_in("unconvertible"), "ValueError: no such operator: roll"),
        (Peer("lost", "no_such_peer"), "ModuleNotFoundError: No module named 'no_such_peer'"),
        (
            stand_in("absent", needs=("torch", "no_such_library"), extra="bench"),
            "needs no_such_library: pip install 'mobilevd[bench]'",
        ),
    ],
    ids=lambda value: value.name if isinstance(value, Peer) else "",
)
def test_a_peer_that_fails_is_a_row_and_the_rest_goes_on(work, peer, error):
    failed, other, ours = run(work, peer, stand_in("other"))
    assert failed["name"] == peer.name
    assert failed["error"].startswith(error)
    assert "median_ms" not in failed
    assert other["median_ms"] > 0
    assert ours["median_ms"] > 0
    assert cells(failed) == [peer.name, *["-"] * (len(COLUMNS) - 1)]
    assert f"{peer.name}: {failed['error']}" in remarks([failed, other, ours])
    # It is tried again, not taken for measured.
    assert "error" in run(work, peer, stand_in("other"))[0]


def test_what_was_converted_goes_when_it_is_measured(work):
    plan = Plan(MINI, "random:0", 1, work, 2, delete_converted=True)
    peers = [stand_in("first"), stand_in("second")]
    rows = compare(plan, peers, reference=lambda bundle, packed: OursThatDrifts())
    assert sorted(path.name[:-13] for path in work.glob("mini/*-*")) == ["ours", "shared"]
    ours = OursThatDrifts()
    assert run(work, *peers, ours=ours) == rows  # rows stay
    assert ours.measured == 0


def test_the_runner_that_fails_after_a_peer_is_that_peers_row(work):
    class OursThatFails(OursThatDrifts):
        def measure(self):
            if self.measured == 2:
                self.measured += 1
                raise RuntimeError("ours: no memory")
            return super().measure()

    failed, other, _ = run(work, stand_in("first"), stand_in("second"), ours=OursThatFails())
    assert failed["error"] == "after it, ours: no memory"
    assert other["median_ms"] > 0


def test_the_disk_counts_what_makes_room(tmp_path, monkeypatch):
    from mobilevd.evaluate.peers import room
    from mobilevd.evaluate.peers.kept import Kept

    asked = []
    monkeypatch.setattr(room, "require_disk", lambda what, needed, output: asked.append(needed))
    kept = Kept(tmp_path, "mini")

    def needed(one_by_one: bool, *converted: str) -> int:
        peers = [PEERS[name] for name in ("onnxruntime", "openvino")]
        room.check_room(MINI, peers, set(converted), kept, one_by_one)
        return asked.pop()

    everything = needed(False)
    one = everything - needed(False, "openvino")
    assert needed(True) == everything - one
    assert needed(True, "shared", "ours") == one
    stale = tmp_path / "mini/openvino-0123456789ab"
    stale.mkdir(parents=True)
    (stale / "unet.bin").write_bytes(bytes(10**6))
    assert needed(False) == everything - 10**6


def test_without_room_nothing_begins(work, monkeypatch):
    from mobilevd.export import room

    monkeypatch.setattr(room, "available_memory", lambda: 10**6)
    with pytest.raises(
        OSError, match=r"^first \(--only leaves it out\) at mini takes about 1\.\d GB"
    ):
        run(work, stand_in("first"))
    assert not list(work.glob("mini/*-*"))


def row(name: str, ratio: float | None) -> dict:
    return {"name": name, "ratio": ratio} if ratio else {"name": name, "error": "gone"}


@pytest.mark.parametrize(
    ("preset", "svd", "others", "lines"),
    [
        ("mobilevd-512x256", 4.1, (1.6, 1.5), ["aim met", "openvino: 1.50 times as fast: aim met"]),
        (
            "mobilevd-512x256",
            2.5,
            (1.6, 1.2),
            ["2.50 times as fast: met", "1.20 times as fast: met"],
        ),
        (
            "mobilevd-512x256",
            2.4,
            (0.9, 1.2),
            ["MISSED", "torch-eager: 0.90 times as fast: MISSED"],
        ),
        ("mobilevd-xs", 4.9, (None, 2.0), ["MISSED (must be 5 times as fast)", "openvino: 2.00"]),
        ("mini", None, (None, None), ["not measured", "the same graph: not measured"]),
    ],
)
def test_bars(preset, svd, others, lines):
    names = ("torch-eager", "openvino")
    rows = [row("diffusers-svd", svd)]
    rows += [row(name, ratio) for name, ratio in zip(names, others, strict=True)]
    said = [line(bar) for bar in bars(rows, preset)]
    assert len(said) == 2
    assert said[0].startswith("against diffusers-svd: ")
    for part, whole in zip(lines, said, strict=True):
        assert part in whole


def test_markdown(work):
    rows = run(work, stand_in("first"), stand_in("killed"))
    (work / "rows.json").write_text(json.dumps(rows))
    text = markdown(json.loads((work / "rows.json").read_text()))
    assert text.startswith("## mini, one evaluation, fp32, random:0, threads 1\n")
    assert "| first | " in text
    assert "- killed: the process was ended by SIGKILL" in text
    assert "- against diffusers-svd: not measured" in text
    assert "| conv2d | XNNPACK | 1 | 5.0 | 50.0% |" in text


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--peers"], "--peers needs --preset"),
        (
            ["--preset", "mini"],
            "--preset, --weights, --work, --device and --delete-converted go with",
        ),
        (["--device", "cuda"], "go with --peers"),
        (["--peers", "--preset", "huge"], "unknown preset 'huge'"),
        (["--peers", "--preset", "mini", "--only", "tvm"], "no peer tvm on cpu; there are: diff"),
        (["--peers", "--preset", "mini", "--weights", "random:x"], "random:SEED, a whole number"),
        (["--peers", "--preset", "mini", "--weights", "/none"], "random:SEED or a model folder"),
        (["--peers", "--preset", "mini-hd", "--weights", "mini"], "is a model of mini, not of min"),
        (["--peers", "--preset", "mini", "--repeat", "0"], "--repeats must be at least 1"),
        (["--peers", "--preset", "mini", "--threads", "0"], "--threads must be at least 1"),
        (["--peers", "--preset", "mini", "--threads", "1", "--threads", "2"], "second --threads"),
        (["--peers", "--preset", "mini", "--kernel", "linear"], "--peers takes no --kernel"),
        (["--peers", "--preset", "mini", "--device", "tpu"], "--device must be cpu or cuda"),
        (
            ["--peers", "--preset", "mini", "--device", "cuda", "--only", "openvino"],
            "no peer openvino on cuda; there are: diffusers-svd, torch-eager, torch-compile",
        ),
        (["--bundle", "x", "--only", "torch"], "with --bundle, only --threads"),
    ],
)
def test_bad_usage_is_one_line(capsys, tmp_path, monkeypatch, flags, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["bench", *flags])
    assert stop.value.code == 2
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_cuda_without_a_gpu_is_one_line(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["bench", "--peers", "--preset", "mini", "--device", "cuda"])
    assert stop.value.code == 2
    assert capsys.readouterr().err == "mobilevd: --device cuda: torch finds no CUDA GPU here\n"


def test_a_bundle_of_another_model_is_refused(capsys, mini_bundle):
    with pytest.raises(SystemExit) as stop:
        main(["bench", "--peers", "--preset", "mini-hd", "--bundle", str(mini_bundle)])
    assert stop.value.code == 2
    assert "has preset mini, not mini-hd" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["svd-512x256", "mini"])
def test_diffusers_configuration_there_and_back(name):
    config = PRESETS[name].unet
    assert config_to_ours(config_to_diffusers(config)) == config


def test_diffusers_has_no_compressed_unet():
    compressed = get_preset("mobilevd-xs").unet
    with pytest.raises(ValueError, match="no compressed UNet"):
        config_to_diffusers(compressed)
    assert compressed.uncompressed == get_preset("svd-512x256").unet


# All in one process, each after the other: they are slow to import.
EVERY_PEER = """
import json, sys
from pathlib import Path
from mobilevd.evaluate.peers.worker import work
for job in json.loads(Path(sys.argv[1]).read_text()):
    Path(job["task"]["folder"]).mkdir(exist_ok=True)
    for action in job["actions"]:
        Path(job["result"]).write_text(json.dumps(work({**job, "action": action})))
"""


def test_every_peer_gives_the_same_answer(tmp_path):
    """On a network of SVD's kind that diffusers has, too. The two whose conversion takes a minute
    have their turn in the whole command, below."""
    import numpy as np

    two_levels = {"block_out_channels": (32, 64), "num_attention_heads": (2, 4)}
    unet = dataclasses.replace(UNET_CONFIG, **two_levels, attention_levels=(True, False))
    preset = dataclasses.replace(MINI, name="small", unet=unet)
    jobs = {}
    for peer in (SHARED, *PEERS.values()):
        if peer.name in ("torch-compile", "executorch-xnnpack"):
            continue
        folder = str(tmp_path / peer.name)
        task = processes.Task(preset.to_dict(), "random:3", str(tmp_path / "shared"), folder, 1)
        jobs[peer.name] = {
            "module": peer.module,
            "task": dataclasses.asdict(task),
            "actions": ["convert"] * peer.converts + ["measure"] * (peer is not SHARED),
            "repeat": 1,
            "output": str(tmp_path / f"{peer.name}.npy"),
            "result": str(tmp_path / f"{peer.name}.json"),
        }
    (tmp_path / "jobs.json").write_text(json.dumps(list(jobs.values())))
    command = [sys.executable, "-c", EVERY_PEER, str(tmp_path / "jobs.json")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    reference = np.load(tmp_path / "shared/reference.npy").astype(np.float64)
    for name, job in jobs.items():
        result = json.loads(Path(job["result"]).read_text())
        assert "error" not in result, (name, result["error"])
        if name != "shared":
            assert len(result["runs_ms"]) == 1
            error = np.load(job["output"]) - reference
            assert np.linalg.norm(error) <= 5e-5 * np.linalg.norm(reference), name
    # ONNX keeps no weights but in the one file beside it.
    sizes = {p.name: p.stat().st_size for p in (tmp_path / "onnxruntime").iterdir()}
    assert sizes["unet.onnx"] < 0.5 * sizes["unet.safetensors"]


def test_the_runner_is_measured_with_its_packed_weights_read(mini_bundle, tmp_path):
    ours = Reference(mini_bundle, tmp_path / "packed", 1, 3)
    found = ours.measure()
    assert found["packed_weights"] == "read"
    assert len(found["runs_ms"]) == 3
    assert found["median_ms"] > 0
    assert found["peak_gflops"] > 0.1
    assert {op["name"] for op in found["ops"]} >= {"mobilevd::temporal_attention"}
    profile = ours.profile()
    assert sum(op["share"] for op in profile) == pytest.approx(1, abs=0.01)
    assert any(op["delegated"] for op in profile)
    assert ours.key() == Reference(mini_bundle, tmp_path, 2, 1).key()
    with pytest.raises(RuntimeError, match=r"^ours: mobilevd_runner: .*bundle\.json"):
        Reference(tmp_path, tmp_path / "packed", 1, 1).measure()


@pytest.mark.slow
def test_the_whole_command_on_mini(mini_bundle, tmp_path):
    command = [sys.executable, "-m", "mobilevd", "bench", "--preset", "mini", "--weights", "mini"]
    command += ["--peers", "--threads", "1", "--repeat", "2", "--work", "work", "--json", "p.json"]
    done = subprocess.run(
        [*command, "--bundle", str(mini_bundle)], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads((tmp_path / "p.json").read_text())}
    assert list(rows) == [*PEERS, "ours"]
    for name, figures in rows.items():
        assert "error" not in figures, (name, figures["error"])
        for key in ("median_ms", "ratio", "share_of_fma_peak", "load_ms", "peak_rss_mb", "file_mb"):
            assert figures[key] > 0, (name, key)
        if name == "diffusers-svd":  # another network
            assert figures["relative_l2"] is None
            assert figures["weights"] == "random:0"
        else:
            assert figures["relative_l2"] < 1e-4, name
    assert "against diffusers-svd: " in done.stdout
