"""Nothing half-written, nothing lost."""

from pathlib import Path
from threading import Event, Thread

import pytest
from mobilevd.whole_files import (
    check_new_file,
    recover_folder,
    whole_file,
    whole_folder,
    write_text,
)


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_a_failed_write_keeps_the_older_file(tmp_path):
    write_text(tmp_path / "a.txt", "old")

    def interrupted():
        with whole_file(tmp_path / "a.txt") as temporary:
            temporary.write_text("new, but not finish")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert (tmp_path / "a.txt").read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_file_that_could_not_be_made_is_refused_before_the_work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for fine in ("new.json", tmp_path / "new.json"):
        check_new_file(fine, "--json")
    with pytest.raises(ValueError, match=f"^--json: {tmp_path} is a folder"):
        check_new_file(tmp_path, "--json")
    with pytest.raises(ValueError, match=f"^--json: there is no folder {tmp_path}/none"):
        check_new_file("none/new.json", "--json")
    # Not by permissions: whoever runs this may be root.
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(ValueError, match=f"^--json: cannot write into {tmp_path}; choose another"):
        check_new_file("new.json", "--json")


def test_a_failed_folder_keeps_the_older_one(tmp_path):
    target = tmp_path / "f"
    for text in ("1", "2"):
        with whole_folder(target, lambda folder: True) as folder:
            (folder / "x").write_text(text)

    def full():
        with whole_folder(target, lambda folder: True) as folder:
            (folder / "x").write_text("3")
            raise OSError("disk full")

    with pytest.raises(OSError, match="full"):
        full()
    assert (target / "x").read_text() == "2"
    assert names(tmp_path) == ["f"]


def test_a_rename_that_fails_puts_the_older_one_back(tmp_path, monkeypatch):
    target = tmp_path / "f"
    target.mkdir()
    (target / "x").write_text("old")
    rename = Path.rename

    def fail(self, to):
        if self.name.endswith(".tmp"):
            raise OSError("no")
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="no"), whole_folder(target, lambda folder: True):
        pass
    assert (target / "x").read_text() == "old"
    assert names(tmp_path) == ["f"]


def test_a_kill_between_the_renames_is_recovered(tmp_path):
    (tmp_path / ".f.old").mkdir()
    recover_folder(tmp_path / "f")
    assert names(tmp_path) == ["f"]
    (tmp_path / ".f.old").mkdir()  # a whole newer one is there: the older stays out of the way
    recover_folder(tmp_path / "f")
    assert names(tmp_path) == [".f.old", "f"]


def test_a_writer_that_fails_leaves_what_a_kill_had_put_aside(tmp_path):
    (tmp_path / ".f.old").mkdir()

    def fail():
        with whole_folder(tmp_path / "f", lambda folder: True):
            raise OSError("disk full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert names(tmp_path) == ["f"]


def test_what_a_killed_run_left_is_cleared(tmp_path):
    left = tmp_path / ".f.tmp"
    left.mkdir()
    (left / "half").write_text("written")
    with whole_folder(tmp_path / "f", lambda folder: True) as folder:
        (folder / "x").write_text("1")
    assert names(tmp_path / "f") == ["x"]
    assert names(tmp_path) == ["f"]


def test_other_peoples_folders_and_files_are_refused(tmp_path):
    (tmp_path / "letter").write_text("dear")
    for target in (tmp_path, tmp_path / "letter"):
        with (
            pytest.raises(ValueError, match="holds other files"),
            whole_folder(target, lambda folder: False),
        ):
            pass
    assert (tmp_path / "letter").read_text() == "dear"


def test_a_second_writer_waits_for_the_first(tmp_path):
    """What one writes the other neither clears nor mixes with its own."""
    inside, done = Event(), []

    def second():
        with whole_folder(tmp_path / "f", lambda folder: True) as folder:
            done.append(sorted(p.name for p in (tmp_path / "f").iterdir()))
            (folder / "b").write_text("second")

    with whole_folder(tmp_path / "f", lambda folder: True) as folder:
        (folder / "a").write_text("first")
        other = Thread(target=second)
        other.start()
        inside.wait(0.2)
        assert not done
        assert (folder / "a").is_file()
    other.join(10)
    assert done == [["a"]]
    assert names(tmp_path / "f") == ["b"]
    assert names(tmp_path) == ["f"]
