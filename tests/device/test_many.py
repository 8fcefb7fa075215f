"""Several devices at once: one in trouble does not spoil the others; table, JUnit, exit code."""

import itertools
import json
from threading import Event

import pytest
from adbd_emulator import Phone
from junitparser import JUnitXml
from mobilevd.device.bars import Verdict
from mobilevd.device.bench import Plan
from mobilevd.device.connection import Device
from mobilevd.device.junit import write_junit
from mobilevd.device.many import Outcome, on_each
from mobilevd.device.runner import RunnerError
from mobilevd.errors import ExitCode
from stand_in import CLIP_MS


@pytest.fixture(scope="module")
def phones(emulator):
    models = ("Pixel 9", "Galaxy S24", "Fairphone 5")
    return [emulator.add(Phone(model=m, cores_khz=(3_000_000, 1_000_000))) for m in models]


@pytest.fixture
def bench(mobilevd, phones, package, picture, tmp_path):
    files = ("--json", tmp_path / "b.json", "--junit", tmp_path / "junit.xml")

    def run(*further):
        given = ("--package", package, "--image", picture, "--repeats", 1, "--warmup", 0)
        return mobilevd("device", "bench", *given, *files, *further)

    yield run
    for phone in phones:
        phone.root.inside(CLIP_MS).unlink(missing_ok=True)


def suites(tmp_path):
    return {suite.name.rpartition(".bench.")[2]: suite for suite in
            JUnitXml.fromfile(str(tmp_path / "junit.xml"))}  # fmt: skip


def written(tmp_path):
    return sorted(json.loads(p.read_text())["device"]["model"] for p in tmp_path.glob("b-*.json"))


def test_one_of_three_fails(bench, phones, tmp_path):
    phones[1].faults.kill = "--image"
    ended = bench("--all", "-o", tmp_path / "clip.gif")
    assert ended.code == ExitCode.DEVICE
    assert written(tmp_path) == ["Fairphone 5", "Pixel 9"]
    assert len(list(tmp_path.glob("clip-*.gif"))) == 2
    assert ended.err.count("mobilevd: ") == 1
    assert f"mobilevd: {phones[1].serial}: the runner was killed (exit code 137)" in ended.err
    assert ended.out.count("failed") == 1
    found = suites(tmp_path)
    assert {serial: suite.errors for serial, suite in found.items()} == {
        phone.serial: int(phone is phones[1]) for phone in phones
    }
    (case,) = found[phones[1].serial]
    assert case.result[0].type == "device"
    assert "137" in case.result[0].message

    assert bench("--all").code == 0  # a rerun completes
    assert written(tmp_path) == ["Fairphone 5", "Galaxy S24", "Pixel 9"]


def test_one_misses_its_bar(bench, phones, tmp_path):
    serials = itertools.chain.from_iterable(("--serial", phone.serial) for phone in phones[:2])
    phones[0].root.inside(CLIP_MS).write_text("150\n")
    ended = bench(*serials, "--bar", "total_ms=120")
    assert ended.code == ExitCode.FAILED_BAR
    assert f"{phones[0].serial}: total_ms 150 is OVER 120, its bar" in ended.err
    assert len(list(tmp_path.glob("b-*.json"))) == 2  # the figures are there, failed or not
    found = suites(tmp_path)
    assert [found[phone.serial].failures for phone in phones[:2]] == [1, 0]


def test_each_is_held_to_its_own_baseline(bench, phones, tmp_path):
    for phone, ms in zip(phones, (100, 200, 300), strict=True):
        phone.root.inside(CLIP_MS).write_text(f"{ms}\n")
    assert bench("--all").code == 0
    for path in list(tmp_path.glob("b-*.json")):
        path.rename(path.with_name(f"base-{path.name}"))
    baselines = [w for path in tmp_path.glob("base-*.json") for w in ("--baseline", path)]
    assert bench("--all", *baselines).code == 0
    phones[1].root.inside(CLIP_MS).write_text("230\n")
    ended = bench("--all", *baselines)
    assert ended.code == ExitCode.FAILED_BAR
    assert ended.err.count("OVER") == 1
    assert f"{phones[1].serial}: total_ms 230 is OVER 220" in ended.err


def test_a_device_that_is_not_there(mobilevd, phones, package, picture, tmp_path):
    missing = ("--serial", "nowhere", "--serial", phones[0].serial)
    files = ("-o", tmp_path / "clip.gif", "--junit", tmp_path / "junit.xml")
    ended = mobilevd("device", "run", picture, "--package", package, *missing, *files)
    assert ended.code == ExitCode.DEVICE
    assert "mobilevd: nowhere is not attached" in ended.err
    assert len(list(tmp_path.glob("clip-127.0.0.1_*.gif"))) == 1


def test_ctrl_c_ends_the_waits_of_the_others(monkeypatch):
    monkeypatch.setattr(Device, "require_ready", lambda self: None)
    plan, ended, waiting = Plan(), [], Event()

    def work(device):
        if device.serial == "first":
            waiting.wait(60)
            raise KeyboardInterrupt
        waiting.set()
        try:
            plan.pause(600)
        except InterruptedError as error:
            ended.append(str(error))

    with pytest.raises(KeyboardInterrupt):
        on_each([Device("first"), Device("second")], work, plan.stopping)
    assert ended == ["stopped"]
    with pytest.raises(InterruptedError):
        plan.pause(0)


def test_junit_names_what_the_runner_refused(tmp_path):
    refused = RunnerError("phone: --max-memory-mb 1 is too little", 2)
    write_junit(
        tmp_path / "junit.xml",
        "run",
        [Outcome("phone", 1.0, error=str(refused), code=refused.exit_code)],
        [[]],
    )
    ((case,),) = JUnitXml.fromfile(str(tmp_path / "junit.xml"))
    assert case.result[0].type == "usage"


def test_junit_holds_whatever_a_device_says(tmp_path):
    """Control characters cannot be in XML at all; < and quotes have to be escaped."""
    said = 'a\x00b\x1b[31m<c>&"d"\n\ud800'
    outcomes = [
        Outcome('<"serial">', 1.5, error=said, code=ExitCode.DEVICE),
        Outcome("good", 2.0, value=1),
    ]
    held = [[], [Verdict("bar", "total_ms", 2, 1), Verdict("bar", "load_ms", 1, 1)]]
    write_junit(tmp_path / "reports/junit.xml", "bench", outcomes, held)
    document = JUnitXml.fromfile(str(tmp_path / "reports/junit.xml"))
    assert (document.tests, document.errors, document.failures) == (4, 1, 1)
    first, second = document
    assert first.name.endswith('<"serial">')
    message = next(iter(first)).result[0].message
    assert message.startswith('a�b�[31m<c>&"d"')
    assert [case.name for case in second] == ["bench", "bar total_ms", "bar load_ms"]
    assert list(tmp_path.glob("reports/*")) == [tmp_path / "reports/junit.xml"]
