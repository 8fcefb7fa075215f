"""Push: only what changed, verified on the device; and after each fault, whole files only."""

import hashlib
import json

import pytest
from adbd_emulator import Phone
from mobilevd.device import (
    Device,
    DeviceError,
    DeviceFolder,
    push_bundle,
    push_package,
    push_picture,
    read_package,
    require_complete,
)
from mobilevd.device.errors import (
    DamagedError,
    DeviceTimeoutError,
    DisconnectedError,
    KilledError,
    StorageFullError,
    WrongAbiError,
)
from mobilevd.device.package import folder_files
from mobilevd.device.push import push_tree
from mobilevd.errors import UsageError
from packages import write_package

BIG = "bundle/weights\n$(id).ptd"


@pytest.fixture
def package(tmp_path):
    return read_package(write_package(tmp_path / "package"))


def there(folder):
    """What the device holds of a package: path -> sha256, by its own sha256sum."""
    root = folder.at("package")
    found = folder.device.shell(["find", root, "-type", "f", "-print0"], check=False)
    paths = [path for path in found.stdout.decode().split("\0") if path]
    digests = folder.device.sha256_of_all(paths)
    return {path[len(root) + 1 :]: d for path, d in zip(paths, digests, strict=True)}


def whole(folder, package):
    """That the device holds the package and nothing else."""
    require_complete(folder, "package")
    assert there(folder) == {name: source.sha256 for name, source in package.files.items()}


def no_half_files(folder, package):
    """Every file that has a package's name on the device is that file, and none is for use yet."""
    assert there(folder).items() <= {n: s.sha256 for n, s in package.files.items()}.items()
    with pytest.raises(DeviceError, match="is not complete"):
        require_complete(folder, "package")


def test_only_what_changed_is_sent(folder, package, tmp_path):
    first = push_package(folder, package)
    assert sorted(first.sent) == sorted(package.files)
    assert first.bytes_sent == sum(source.bytes for source in package.files.values())
    whole(folder, package)
    assert folder.device.shell([f"{first.path}/bin/run"]).text == "runs\n"

    again = push_package(folder, package)
    assert (again.sent, again.removed) == ([], [])
    assert sorted(again.kept) == sorted(package.files)

    changed = read_package(write_package(tmp_path / "b", {"bundle/bundle.json": b"[]", "n": b"n"}))
    third = push_package(folder, changed)
    assert sorted(third.sent) == ["bundle/bundle.json", "n", "package.json"]
    fourth = push_package(folder, package)
    assert fourth.removed == ["n"]
    whole(folder, package)


def test_a_rerun_asks_little(phone, folder, package):
    push_package(folder, package)
    phone.commands.clear()
    push_package(folder, package)
    assert len(phone.commands) <= 6
    assert not any("sha256sum" in command for command in phone.commands)


def test_a_file_changed_on_the_device_is_sent_again(folder, package):
    path = push_package(folder, package).path
    folder.device.push_bytes(b"w" * 299_999 + b"x", f"{path}/{BIG}")
    folder.device.shell(["touch", "-d", "@7", f"{path}/{BIG}"])
    folder.device.shell(["rm", f"{path}/bundle/bundle.json"])
    folder.device.shell(["chmod", "600", f"{path}/bin/run"])
    assert sorted(push_package(folder, package).sent) == ["bin/run", "bundle/bundle.json", BIG]
    assert folder.device.shell([f"{path}/bin/run"]).text == "runs\n"
    whole(folder, package)


def test_verify_finds_what_size_and_time_do_not_tell(folder, package):
    path = push_package(folder, package).path
    stat = folder.device.shell(["stat", "-c", "%Y", f"{path}/{BIG}"]).text.strip()
    folder.device.push_bytes(b"w" * 299_999 + b"x", f"{path}/{BIG}")
    folder.device.shell(["touch", "-d", f"@{stat}", f"{path}/{BIG}"])
    assert push_package(folder, package).sent == []
    assert push_package(folder, package, verify=True).sent == [BIG]
    whole(folder, package)


@pytest.mark.parametrize("text", [b"{", b"[]", b'{"schema": 2}', b'{"schema": 1, "files": []}'])
def test_without_a_sound_manifest_files_are_hashed_not_sent(folder, package, text):
    push_package(folder, package)
    folder.device.push_bytes(text, folder.at("package.manifest.json"))
    assert push_package(folder, package).sent == []
    whole(folder, package)


def test_a_file_where_a_folder_was(folder, package, tmp_path):
    push_package(folder, package)
    other = tmp_path / "other" / "package"
    other.mkdir(parents=True)
    (other / "bundle").write_bytes(b"a file now")
    (other / "bin").mkdir()
    (other / "bin/run").mkdir()
    (other / "bin/run/x").write_bytes(b"and the reverse")
    files = folder_files(other)
    push_tree(folder, files, "package")
    require_complete(folder, "package")
    assert folder.device.read(folder.at("package/bin/run/x")) == b"and the reverse"
    push_package(folder, package)
    whole(folder, package)


def test_more_and_longer_names_than_a_line_takes(folder, tmp_path):
    names = {f"{'d' * 200}/{i}{chr(39) * 200}": bytes([i]) for i in range(150)}
    package = read_package(write_package(tmp_path / "p", names))
    assert len(push_package(folder, package).sent) == 155
    assert len(push_package(folder, package, verify=True).kept) == 155
    first = read_package(write_package(tmp_path / "q"))
    assert len(push_package(folder, first).removed) == 150
    whole(folder, first)


FAULTS = {
    "disconnect": ({"disconnect_after": 100_000}, DisconnectedError, "went away"),
    "full": ({"full_after": 100_000}, StorageFullError, "is full"),
    "damaged": ({"damage_after": 100_000}, DamagedError, "damaged"),
    "killed": ({"kill": "sha256sum"}, KilledError, "was killed"),
    "garbled hash": ({"garble": "sha256sum"}, DamagedError, "try again"),
    "garbled list": ({"garble": "find "}, DamagedError, "try again"),
    "cut off": ({"disconnect": "mv -f"}, DisconnectedError, "went away"),
    "rebooting": ({"reboot": "sha256sum", "away_seconds": 0.3}, DisconnectedError, "went away"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_after_a_fault_nothing_half_is_taken_for_whole(emulator, phone, folder, package, fault):
    folder.create()
    fields, error, message = FAULTS[fault]
    phone.faults.begin(**fields)
    with pytest.raises(error, match=message) as raised:
        push_package(folder, package)
    assert "\n" not in str(raised.value)
    assert phone.serial in str(raised.value)
    phone.root.empty()
    emulator.attach(phone)
    no_half_files(folder, package)
    push_package(folder, package)
    whole(folder, package)
    assert "incoming" not in folder.device.shell(["ls", "-RA", folder.path]).text


def test_a_hung_device_is_given_up(monkeypatch, phone, folder, package):
    folder.create()
    monkeypatch.setattr("mobilevd.device.adb.TIMEOUT", 0.5)
    phone.faults.hang = "sha256sum"
    with pytest.raises(DeviceTimeoutError, match="did not answer within"):
        push_package(folder, package)
    monkeypatch.undo()
    no_half_files(folder, package)
    push_package(folder, package)
    whole(folder, package)


def test_a_cut_off_push_goes_on_after_the_last_batch(
    monkeypatch, emulator, phone, folder, tmp_path
):
    monkeypatch.setattr("mobilevd.device.incoming.PART", 400_000)
    names = {f"lib/{i}": bytes([i]) * 150_000 for i in range(6)}
    package = read_package(write_package(tmp_path / "p", names))
    phone.faults.begin(disconnect_after=1_000_000)
    with pytest.raises(DisconnectedError):
        push_package(folder, package)
    emulator.attach(phone)
    phone.faults.begin()
    result = push_package(folder, package)
    assert {"bin/run", "lib/0", "lib/1"} <= set(result.kept)
    assert phone.faults.received < 700_000
    whole(folder, package)


def test_a_large_file_goes_on_after_its_last_part(monkeypatch, emulator, phone, folder, tmp_path):
    monkeypatch.setattr("mobilevd.device.incoming.PART", 400_000)
    large = b"".join(bytes([i]) * 100_000 for i in range(20))
    package = read_package(write_package(tmp_path / "p", {"large": large}))
    phone.faults.begin(disconnect_after=1_800_000)
    with pytest.raises(DisconnectedError):
        push_package(folder, package)
    emulator.attach(phone)
    phone.faults.begin()
    seen = []
    result = push_package(folder, package, lambda done, total, what: seen.append((done, total)))
    assert result.sent == ["large"]
    assert seen[0] == (1_200_000, 2_000_000)
    assert seen[-1] == (2_000_000, 2_000_000)
    assert 800_000 <= phone.faults.received < 900_000
    whole(folder, package)


def test_parts_of_another_file_are_not_taken_for_its_own(monkeypatch, phone, folder, tmp_path):
    monkeypatch.setattr("mobilevd.device.incoming.PART", 400_000)
    package = read_package(write_package(tmp_path / "p", {"large": bytes(900_000)}))
    folder.create()
    incoming = folder.make("incoming")
    folder.device.push_bytes(b"x" * 400_000, f"{incoming}/{package.files['large'].sha256}")
    folder.device.push_bytes(b"x" * 300_000, f"{incoming}/{package.files[BIG].sha256}")
    folder.device.push_bytes(b"x", f"{incoming}/of-an-older-push")
    push_package(folder, package)
    whole(folder, package)
    assert folder.device.shell(["ls", folder.path]).text.split() == [
        "package",
        "package.manifest.json",
    ]


def test_a_slow_link_only_takes_longer(phone, folder, package):
    phone.faults.bytes_per_second = 1_000_000
    push_package(folder, package)
    phone.faults.bytes_per_second = None
    whole(folder, package)


def test_no_room_is_seen_before_anything_is_sent(phone, folder, package):
    folder.create()
    phone.root.fill()
    with pytest.raises(StorageFullError, match=r"0 MB free, the push needs"):
        push_package(folder, package)
    phone.root.empty()
    push_package(folder, package)
    whole(folder, package)


def test_another_abi_is_refused_before_anything_is_sent(emulator, tmp_path):
    device = emulator.add(Phone(abis="x86_64,x86"))
    try:
        folder = DeviceFolder(Device(device.serial), "test")
        package = read_package(write_package(tmp_path / "p"))
        with pytest.raises(WrongAbiError, match="executes x86_64,x86, the package is for arm64"):
            push_package(folder, package)
        assert not folder.is_ours()
    finally:
        emulator.detach(device)


def test_bundles_and_pictures(phone, folder, tmp_path):
    (tmp_path / "my bundle/x").mkdir(parents=True)
    (tmp_path / "my bundle/bundle.json").write_text("{}")
    (tmp_path / "my bundle/x/.hidden").write_text("h")
    pushed = push_bundle(folder, tmp_path / "my bundle")
    assert pushed.path == folder.at("bundles/my bundle")
    assert sorted(pushed.sent) == ["bundle.json", "x/.hidden"]
    picture = tmp_path / "it's.JPG"
    picture.write_bytes(b"picture")
    path = push_picture(folder, picture)
    assert path.endswith(hashlib.sha256(b"picture").hexdigest()[:16] + ".jpg")
    phone.commands.clear()
    assert push_picture(folder, picture) == path
    assert not any("mv" in command for command in phone.commands)


def test_packages_that_are_none(tmp_path):
    with pytest.raises(ValueError, match="no package"):
        read_package(tmp_path)
    write_package(tmp_path / "a", schema=2)
    with pytest.raises(ValueError, match="schema 2"):
        read_package(tmp_path / "a")
    write_package(tmp_path / "b")
    (tmp_path / "b/bundle/bundle.json").write_bytes(b"[]")
    with pytest.raises(ValueError, match=r"bundle\.json is not what package\.json says"):
        read_package(tmp_path / "b")
    (tmp_path / "b/bin/run").unlink()
    with pytest.raises(ValueError, match="lacks 'bin/run'"):
        read_package(tmp_path / "b")
    (tmp_path / "out").write_bytes(b"x")
    row = {"sha256": hashlib.sha256(b"x").hexdigest(), "bytes": 1, "executable": False}
    write_package(tmp_path / "c")
    about = json.loads((tmp_path / "c/package.json").read_text())
    about["files"]["../out"] = row
    (tmp_path / "c/package.json").write_text(json.dumps(about))
    with pytest.raises(ValueError, match=r"'\.\./out' leads outside"):
        read_package(tmp_path / "c")
    for text in ("{", "[]", '{"schema": 1}', '{"schema": 1, "files": {"a": 1}}'):
        (tmp_path / "c/package.json").write_text(text)
        with pytest.raises(ValueError, match="is damaged"):
            read_package(tmp_path / "c")


def test_an_empty_or_absent_folder_is_no_bundle(folder, tmp_path):
    with pytest.raises(ValueError, match="no files"):
        push_bundle(folder, tmp_path)
    with pytest.raises(UsageError, match="leads outside"):
        folder.at("bundles/..")
