"""Our folder on the device: no path leads outside, nothing without our marker is touched."""

import posixpath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mobilevd.device import Device, DeviceError, DeviceFolder
from mobilevd.device.folder import folders, own_label
from mobilevd.errors import UsageError

parts = st.sampled_from(["..", ".", "", "a", "-rf", "$(x)", "'", '"', "\n", " ", "~", "*", "\0"])
paths = st.lists(parts | st.text(max_size=5), max_size=6).map("/".join)


@given(paths)
@example("../x")
@example("a/../../x")
@example("/etc")
@example("")
@example("a/")
@example("x" * 300)
@example("é" * 200)
@example("\udc80")
def test_every_path_lies_inside_or_is_refused(relative):
    folder = DeviceFolder(Device("x"), "test")
    try:
        path = folder.at(relative)
    except UsageError:
        return
    assert posixpath.normpath(path) == path
    assert path.startswith("/data/local/tmp/mobilevd-test/")
    assert path.endswith("/" + relative)


@given(st.text(max_size=40))
@example("..")
@example("")
@example("a/b")
@example("-x")
def test_labels(label):
    try:
        path = DeviceFolder(Device("x"), label).path
    except UsageError:
        return
    assert path == posixpath.normpath(path) == f"/data/local/tmp/mobilevd-{label}"
    assert path.isascii()
    assert not set(path) & set(" '\"$\n")


@pytest.mark.parametrize("user", ["Ann.Lee", "--", "", "ü", "a" * 80])
def test_own_label_is_one(monkeypatch, user):
    monkeypatch.setattr("getpass.getuser", lambda: user)
    DeviceFolder(Device("x"), own_label())


def test_created_found_and_removed(device, folder):
    assert not folder.is_ours()
    folder.create()
    folder.create()
    device.push_bytes(b"x", folder.make("a b/c") + "/-f")
    assert [f.path for f in folders(device)] == [folder.path]
    assert folder.clean()
    assert not folder.clean()
    assert device.shell(["ls", "-A", "/data/local/tmp"]).stdout == b""


def test_what_is_not_ours_stays(device, folder):
    device.shell(["mkdir", folder.path])
    device.push_bytes(b"theirs", folder.path + "/photo.jpg")
    assert not folder.clean()
    assert folders(device) == []
    with pytest.raises(DeviceError, match="is not ours"):
        folder.create()
    assert device.read(folder.path + "/photo.jpg") == b"theirs"


def test_a_link_in_its_place_is_not_followed(device, folder):
    device.shell(["mkdir", "/data/local/tmp/precious"])
    device.push_bytes(b"x", "/data/local/tmp/precious/.mobilevd-folder")
    device.shell(["ln", "-s", "precious", folder.path])
    assert not folder.clean()
    with pytest.raises(DeviceError, match="is not ours"):
        folder.create()
    assert device.read("/data/local/tmp/precious/.mobilevd-folder") == b"x"


def test_a_folder_left_without_its_marker_is_taken_over_when_empty(device, folder):
    device.shell(["mkdir", folder.path])
    folder.create()
    assert folder.is_ours()
