"""`mobilevd device bench`: repeats put together, cores, the cool-down gate, bars, baselines."""

import itertools
import json

import numpy as np
import pytest
from adbd_emulator import Phone
from hypothesis import given
from hypothesis import strategies as st
from mobilevd.device import Device
from mobilevd.device.bars import against_baseline, check_comparable, choose_baseline, parse_bars
from mobilevd.device.cores import choose_cores, mask, parse_cores
from mobilevd.device.op_profile import Event, summary
from mobilevd.device.results import Repeat, combine, parse_result
from mobilevd.device.thermal import CoolDown, cpu_temperature_c, wait_until_cool
from mobilevd.errors import UsageError
from stand_in import CLIP_MS, result

ZONE = "/sys/class/thermal/thermal_zone0/temp"


@pytest.fixture(scope="module")
def the_phone(emulator):
    """Core 0 is its fast one: every machine that emulates it has that."""
    return emulator.add(Phone(cores_khz=(3_000_000, 1_800_000)))


@pytest.fixture
def bench(mobilevd, phone, package, picture, tmp_path):
    def run(*further):
        given = ("--serial", phone.serial, "--package", package, "--image", picture)
        return mobilevd("device", "bench", *given, "--repeats", 2, *further)

    yield run
    phone.root.inside(CLIP_MS).unlink(missing_ok=True)
    phone.root.set_file(ZONE, "38000\n")


def test_a_result_in_the_runners_schema(bench, phone, tmp_path):
    ended = bench("--json", tmp_path / "b.json", "-o", tmp_path / "clip.mp4", "--seed", 5)
    assert ended.code == 0, ended.err
    written = parse_result((tmp_path / "b.json").read_text())
    assert written["repeat"] == 2
    assert written["total_ms"] == 100
    assert written["stages"]["unet"]["calls"] == 4
    op = {"name": "mobilevd::temporal_attention", "isa": "neon", "calls": 8, "total_ms": 7.0}
    assert written["stages"]["unet"]["ops"] == [op]
    assert written["cores"] == [0]
    assert written["temperature_c"] == 38
    assert [row["temperature_before_c"] for row in written["repeats"]] == [38, 38]
    assert written["device"]["soc"] == "SM8650"
    assert written["clip"] == "clip.mp4"
    assert (tmp_path / "clip.mp4").is_file()
    ran = [line for line in phone.commands if "mobilevd_runner" in line and "--image" in line]
    assert len(ran) == 2
    for line in ran:
        assert "/cache taskset 1 /data/local/tmp/" in line
        assert "--seed 5 --threads 1 --warmup 1 --repeat 1" in line


def test_bars_and_baseline(bench, phone, tmp_path):
    base, report = tmp_path / "base.json", tmp_path / "junit.xml"
    assert bench("--json", base, "--bar", "total_ms=100", "--bar", "unet.p90_ms=30").code == 0
    phone.root.inside(CLIP_MS).write_text("109\n")
    assert bench("--baseline", base).code == 0
    phone.root.inside(CLIP_MS).write_text("112\n")
    ended = bench("--baseline", base, "--bar", "load_ms=7", "--junit", report)
    assert ended.code == 4
    assert "total_ms 112 is OVER 110, its baseline (100 before, 10% noise" in ended.err
    assert "load_ms 8 is OVER 7, its bar" in ended.err
    failed = [case.name for case in cases(report) if case.result]
    assert failed == ["bar load_ms", "baseline total_ms"]
    assert bench("--baseline", base, "--noise", 0.2).code == 0


def cases(report):
    from junitparser import JUnitXml

    return list(itertools.chain.from_iterable(JUnitXml.fromfile(str(report))))


def test_what_cannot_be_compared_is_said_before_the_long_work(bench, phone, tmp_path):
    base = tmp_path / "base.json"
    assert bench("--json", base).code == 0
    phone.commands.clear()
    for change, line in [
        ({"device": {"model": "Pixel 9", "emulated": False}}, "they are of Pixel 9"),
        ({"device": {"model": "Pixel 9"}}, "device.emulated is missing"),
        ({"bundle": {"preset": "mini"}}, "the baseline has preset mini, this bench has toy"),
        ({"steps": 25}, "the baseline has steps 25, this bench has 1"),
        ({"stages": {}}, "no stages"),
    ]:
        (tmp_path / "other.json").write_text(json.dumps(json.loads(base.read_text()) | change))
        ended = bench("--baseline", tmp_path / "other.json")
        assert ended.code == 2
        assert line in ended.err
    assert not any("--image" in line for line in phone.commands)


def test_bad_usage(bench, tmp_path):
    (tmp_path / "garbled.json").write_bytes(b"\xff{")
    for flags, line in [
        (("--bar", "speed=1"), "no figure speed; there are total_ms, load_ms, peak_rss_mb, image_"),
        (("--bar", "total_ms=fast"), "give FIGURE=LARGEST"),
        (("--baseline", tmp_path / "none.json"), "No such file"),
        (("--baseline", tmp_path / "garbled.json"), "no JSON"),
        (("--cores", "5"), "no core 5, the device has 0, 1"),
        (("--cores", "fast"), "give all, performance or a list"),
        (("--repeats", 0), "--repeats must be at least 1"),
        (("--noise", "nan"), "--noise"),
        (("--threads", 1025), "--threads must be from 1 to 1024"),
    ]:
        ended = bench(*flags)
        assert ended.code == 2, ended
        assert line in ended.err


def test_a_file_that_cannot_be_made_is_said_before_the_long_work(bench, phone, tmp_path):
    (tmp_path / "file").touch()
    for flag, name in [
        ("--json", "file/b.json"),
        ("--junit", "file/new/junit.xml"),
        ("--etdump", "file"),
        ("--etdump", "file/profiles"),
    ]:
        ended = bench(flag, tmp_path / name)
        assert ended.code == 2, ended
        assert f"mobilevd: {flag}: there is no folder {tmp_path / 'file'}" in ended.err
        assert len(ended.err.splitlines()) == 1
    assert not any("--image" in line or "mkdir" in line for line in phone.commands)


def test_a_repeat_that_fails_leaves_no_result(bench, phone, tmp_path):
    phone.faults.kill = "--image"
    ended = bench("--json", tmp_path / "b.json")
    assert ended.code == 3
    assert "was killed (exit code 137)" in ended.err
    assert list(tmp_path.iterdir()) == []
    assert bench("--json", tmp_path / "b.json").code == 0


def test_a_runner_without_the_tracer(bench, tmp_path):
    ended = bench("--etdump", tmp_path / "profiles")
    assert ended.code == 3
    assert "EXECUTORCH_ENABLE_EVENT_TRACER=ON" in ended.err


class Clock:
    """Time that passes only by sleeping; the phone cools 1 degree a 5 s, down to ``least``."""

    def __init__(self, phone, start, least):
        self.now, self.phone, self.start, self.least = 0.0, phone, start, least
        self.sleep(0)

    def sleep(self, seconds):
        self.now += seconds
        celsius = max(self.least, self.start - self.now / 5)
        self.phone.root.set_file(ZONE, f"{round(1000 * celsius)}\n")

    def read(self):
        return self.now


@pytest.mark.parametrize(
    ("least", "cool", "seconds", "said"),
    [
        (30, True, 20, ["44 °C, waiting for 40 °C (60 s at most)"]),
        (42, False, 60, [..., "still 42 °C after 60 s: measured warm"]),
    ],
)
def test_the_gate_waits_and_says_so(phone, least, cool, seconds, said):
    clock, lines = Clock(phone, 44, least), []
    waited = wait_until_cool(
        Device(phone.serial), CoolDown(40, 60), lines.append, clock.sleep, clock.read
    )
    assert waited.cool is cool
    assert waited.seconds == seconds
    assert waited.temperature_c == (40 if cool else 42)
    assert len(lines) == len(said)
    assert lines[-1] == said[-1]


def test_temperatures_that_are_none(phone):
    device = Device(phone.serial)
    for text in ("", "nonsense\n", "-273000\n", "200000\n"):
        phone.root.set_file(ZONE, text)
        assert cpu_temperature_c(device) is None
    assert not wait_until_cool(device, CoolDown(), print).cool
    phone.root.set_file(ZONE, "38000\n")


def test_choice_of_cores():
    khz = {0: 1_800_000, 1: 1_800_000, 2: 2_900_000, 3: 3_300_000}
    assert choose_cores("performance", khz) == [2, 3]
    assert choose_cores("all", khz) == [0, 1, 2, 3]
    assert choose_cores("0,2-3", khz) == [0, 2, 3]
    assert mask([2, 3]) == "c"
    assert choose_cores("performance", dict.fromkeys(range(3), 0)) == [0, 1, 2]
    for text in ("", "3-1", "-1", "1-", "0x1", "99999"):
        with pytest.raises(UsageError, match="--cores"):
            parse_cores(text)


times = st.lists(st.floats(0.001, 1e4), min_size=1, max_size=20)


@given(st.lists(times, min_size=1, max_size=6))
def test_repeats_are_pooled_by_the_runners_rules(lists):
    """cpp/runtime/stats.cc: p90 is the nearest rank, the median the mean of the middle two."""
    repeats = []
    for runs in lists:
        one = result()
        one["stages"]["unet"] |= {"calls": len(runs), "runs_ms": runs}
        repeats.append(Repeat(one))
    pooled = combine(repeats)["stages"]["unet"]
    everything = sorted(ms for runs in lists for ms in runs)
    assert pooled["calls"] == len(everything)
    assert pooled["min_ms"] == everything[0]
    assert pooled["p90_ms"] == everything[int(np.ceil(0.9 * len(everything))) - 1]
    assert pooled["median_ms"] == pytest.approx(np.median(everything), abs=1e-3)
    parse_result(json.dumps(combine(repeats)))


@given(st.floats(10, 1e4), st.floats(0, 0.5), st.lists(st.floats(0.5, 2), min_size=2, max_size=9))
def test_the_rule_of_a_regression(old_ms, noise, factors):
    """new > old * (1 + noise) + the larger interquartile range."""

    def bench_of(totals):
        return combine([Repeat({**result(), "total_ms": ms}) for ms in totals])

    old, new = bench_of([old_ms] * 3), bench_of([old_ms * f for f in factors])
    spread = np.subtract(*np.percentile([old_ms * f for f in factors], [75, 25]))
    verdict = next(v for v in against_baseline(new, old, noise) if v.name == "total_ms")
    limit = old["total_ms"] * (1 + noise) + spread
    assert verdict.limit == pytest.approx(limit, abs=1e-2)
    assert verdict.ok == (new["total_ms"] <= verdict.limit)
    assert ("unsteady" in verdict.note) == (spread > noise * old["total_ms"] > 0)
    assert all(v.ok for v in against_baseline(new, new, noise))


def test_a_baseline_is_chosen_by_serial_then_model():
    def of(serial, model):
        return {"device": {"serial": serial, "model": model}}

    baselines = [of("a", "Pixel"), of("b", "Pixel"), of("c", "Galaxy")]
    assert choose_baseline(baselines, {"serial": "b", "model": "Pixel"}) is baselines[1]
    assert choose_baseline(baselines, {"serial": "z", "model": "Galaxy"}) is baselines[2]
    with pytest.raises(UsageError, match="no baseline of a Fairphone"):
        choose_baseline(baselines, {"serial": "z", "model": "Fairphone"})
    check_comparable(result(), result())
    assert parse_bars(["unet.median_ms=3"], ["unet"]) == {"unet.median_ms": 3}


def test_profile_shares_sum_to_one():
    events = [
        Event("native_call_add.out", False, (1.0, 1.0)),
        Event("OPERATOR_CALL", False, (1.2, 1.2)),
        Event("GEMM #1", True, (2.0, 2.0)),
        Event("GEMM #2", True, (1.0, 1.0)),
        Event("DELEGATE_CALL", False, (4.0, 4.0)),
        Event("Method::execute", False, (6.0, 6.0)),
    ]
    rows = summary(events, "unet")
    assert [(r["name"], r["calls"], r["total_ms"]) for r in rows] == [
        ("GEMM", 4, 6.0),
        ("add.out", 2, 2.0),
        ("not told apart", 0, 2.0),
        ("between ops", 0, 2.0),
    ]
    assert sum(r["share"] for r in rows) == pytest.approx(1, abs=1e-3)
