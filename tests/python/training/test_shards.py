"""Shards: what goes in comes out, whole or not at all, in an order that any process can resume."""

import io
import itertools
import json
import tarfile
from collections import Counter

import numpy as np
import pytest
import torch
import webdataset
from encoded_videos import encode
from mobilevd.cli import main
from mobilevd.errors import UsageError
from mobilevd.training.data import clip_rng
from mobilevd.training.data.cached_latents import CachedLatents
from mobilevd.training.data.pack_shards import pack_shards
from mobilevd.training.data.shard_order import ShardOrder
from mobilevd.training.data.shards import LatentShards, ShardClips, VideoShards, index_shard
from mobilevd.training.data.sources import clips_of, open_source
from mobilevd.training.data.video_folder import VideoFolder


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    for i, ending in enumerate(["mp4", "avi", "webm", "mp4", "mkv", "mp4"]):
        options = {"codec": "libvpx-vp9"} if ending == "webm" else {}
        encode(folder / f"class {i % 2}" / f"clip.{i}.{ending}", frames=30 + 5 * i, **options)
    (folder / "broken.mp4").write_text("no video")
    return folder


@pytest.fixture
def everything(monkeypatch):
    for module in ("video_folder", "shards"):
        monkeypatch.setattr(f"mobilevd.training.data.{module}.split_of", lambda name: "train")


def latents(folder, count=11, source="digits"):
    rng = np.random.default_rng(0)
    folder.mkdir()
    (folder / "about.json").write_text(f'{{"source": "{source}"}}')
    np.save(folder / "latents.npy", rng.normal(size=(count, 4, 4, 2, 3)).astype(np.float16))
    np.save(folder / "first.npy", rng.integers(0, 256, (count, 3, 16, 24)).astype(np.uint8))
    conditions = np.stack([np.full(count, 7), np.arange(count)], 1).astype(np.float32)
    np.save(folder / "conditions.npy", conditions)
    return folder


def test_every_index_is_visited_once_an_epoch_and_shards_belong_to_processes():
    order = ShardOrder((5, 3, 7, 4, 6, 5, 5, 5, 5, 5, 5, 5, 5, 3, 5, 5), seed=3)
    by_lane = {lane: {lane, lane + 8} for lane in range(8)}
    for lane, shards in by_lane.items():
        total = sum(order.counts[s] for s in shards)
        numbers = range(lane, 8 * 3 * total, 8)
        seen = [order.locate(i) for i in numbers]
        wanted = {(s, k) for s in shards for k in range(order.counts[s])}
        epochs = [seen[e * total : (e + 1) * total] for e in range(3)]
        assert all(len(e) == total and set(e) == wanted for e in epochs)
        assert epochs[0] != epochs[1] != epochs[2]
        # Shard after shard: one change within an epoch.
        assert all(sum(a[0] != b[0] for a, b in itertools.pairwise(e)) == 1 for e in epochs)
    for world in (2, 4, 8):
        read = [{order.locate(i)[0] for i in range(rank, 600, world)} for rank in range(world)]
        assert sum(len(shards) for shards in read) == 16
    assert [order.locate(i) for i in range(400)] != [
        ShardOrder(order.counts, seed=4).locate(i) for i in range(400)
    ]
    few = ShardOrder((2, 1), seed=0)
    assert Counter(few.locate(i) for i in range(8)) == {(0, 0): 2, (0, 1): 2, (1, 0): 4}


def test_videos_come_out_as_from_the_folder(videos, tmp_path, everything):
    shards = tmp_path / "shards"
    figures = pack_shards(videos, shards, shard_mb=0.008)
    assert figures["kind"] == "videos"
    assert figures["samples"] == 6
    assert figures["shards"] > 1
    assert list(figures["unreadable"]) == ["broken.mp4"]
    folder, packed = VideoFolder(videos), VideoShards(shards)
    assert [(v.name, v.facts) for v in packed.videos] == [(v.name, v.facts) for v in folder.videos]
    for i in range(6):
        a, b = (s.draw(clip_rng(2, i), 5, (32, 48)) for s in (folder, packed))
        assert np.array_equal(a.frames, b.frames)
        assert a.motion_bucket == b.motion_bucket


def test_the_packed_files_are_webdatasets(videos, tmp_path):
    pack_shards(videos, tmp_path / "shards", shard_mb=0.008)
    urls = sorted(str(p) for p in (tmp_path / "shards").glob("*.tar"))
    samples = list(webdataset.WebDataset(urls, shardshuffle=False))
    assert len(samples) == 6
    for sample in samples:
        name = json.loads(sample["json"])["name"]
        assert sample[name.rpartition(".")[2]] == (videos / name).read_bytes()


def test_shards_in_order_resume_anywhere(videos, tmp_path, everything):
    pack_shards(videos, tmp_path / "shards", shard_mb=0.008)
    data = ShardClips(VideoShards(tmp_path / "shards"), 4, (16, 24), seed=1)
    whole = data.batch(range(12))
    assert whole.clips.shape == (12, 4, 3, 16, 24)
    again = ShardClips(VideoShards(tmp_path / "shards"), 4, (16, 24), seed=1)
    assert torch.equal(again.batch([7, 9]).clips, whole.clips[[7, 9]])


def test_foreign_shards_with_damage(videos, tmp_path, everything, caplog):
    good = (videos / "class 0" / "clip.0.mp4").read_bytes()
    with tarfile.open(tmp_path / "theirs-000.tar", "w") as tar:
        for name, data in (
            ("a/x.mp4", good),
            ("a/x.json", b"{not json"),
            ("a/y.mp4", good[:300]),
            ("a/x.txt", b"a caption"),
            ("README", b"no ending"),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    source = VideoShards(tmp_path)
    assert [v.name for v in source.videos] == ["a/x.mp4"]
    assert list(source.unreadable) == ["a/y.mp4"]
    assert source.draw(clip_rng(0, 0), 5, (16, 16)).frames.shape == (5, 16, 16, 3)
    assert "1 unreadable: a/y.mp4" in caplog.text
    (tmp_path / "theirs-001.tar").write_bytes((tmp_path / "theirs-000.tar").read_bytes()[:700])
    with pytest.raises(ValueError, match=r"theirs-001.tar is not a whole tar file"):
        VideoShards(tmp_path)


def test_latents_come_out_as_they_went_in(tmp_path):
    folder = latents(tmp_path / "cached")
    figures = pack_shards(folder, tmp_path / "shards", shard_mb=0.005)
    assert figures["shards"] > 2
    kept, packed = CachedLatents(folder), LatentShards(tmp_path / "shards")
    assert len(packed) == 11
    batch = packed.batch(range(3 * 11))
    buckets = [int(b) for b in batch.motion_bucket]
    assert set(buckets) == set(range(11))
    wanted = kept.batch(buckets)
    for name in ("latents", "first", "fps", "motion_bucket"):
        assert torch.equal(getattr(batch, name), getattr(wanted, name))
    assert torch.equal(LatentShards(tmp_path / "shards").batch([20]).latents, batch.latents[20:21])
    with pytest.raises(ValueError, match="holds samples of another source"):
        pack_shards(latents(tmp_path / "other", source="videos"), tmp_path / "shards", 0.005)


def test_data_may_be_packed_latents(tmp_path):
    pack_shards(latents(tmp_path / "cached"), tmp_path / "shards", shard_mb=0.005)
    source = open_source(f"shards:{tmp_path / 'shards'}")
    data = clips_of(source, 4, (16, 24), seed=3)
    wanted = LatentShards(tmp_path / "shards", seed=3).batch([5])
    assert torch.equal(data.batch([5]).latents, wanted.latents)
    with pytest.raises(ValueError, match=r"holds 4 frames of 24x16, .* wants 14 of 64x64"):
        clips_of(source, 14, (64, 64))
    with pytest.raises(UsageError, match="a frame rate of their own"):
        open_source(f"shards:{tmp_path / 'shards'}", fps=7)
    with pytest.raises(ValueError, match="holds latents, and this takes videos"):
        source.draw(clip_rng(0, 0), 4, (16, 24))


def test_a_stopped_run_leaves_whole_shards_and_goes_on(tmp_path, monkeypatch):
    folder, output = latents(tmp_path / "cached"), tmp_path / "shards"
    from mobilevd.training.data import pack_shards as module

    write, calls = module._write, []

    def stops(path, samples):
        write(path, samples)
        calls.append(path)
        if len(calls) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "_write", stops)
    with pytest.raises(KeyboardInterrupt):
        pack_shards(folder, output, shard_mb=0.001)
    assert sorted(p.name for p in output.glob("*.tar")) == ["shard-000000.tar", "shard-000001.tar"]
    first = (output / "shard-000000.tar").stat().st_mtime_ns
    (output / ".shard-000002.tmp.99999.tar").write_bytes(b"left by a kill")
    monkeypatch.setattr(module, "_write", write)
    figures = pack_shards(folder, output, shard_mb=0.001)
    assert figures["written"] == figures["shards"] - 2
    assert (output / "shard-000000.tar").stat().st_mtime_ns == first
    assert len(LatentShards(output)) == 11


def test_an_index_follows_its_shard(videos, tmp_path):
    pack_shards(videos, tmp_path / "shards")
    path = tmp_path / "shards" / "shard-000000.tar"
    assert len(index_shard(path)) == 6
    with tarfile.open(path, "a") as tar:
        tar.add(videos / "class 0" / "clip.0.mp4", "new.mp4")
    assert [s.name for s in index_shard(path)][-1] == "new.mp4"


def test_one_line_says_what_is_wrong(videos, tmp_path):
    with pytest.raises(ValueError, match=r"no shards .* mobilevd pack-shards"):
        VideoShards(tmp_path)
    (tmp_path / "theirs.txt").write_text("")
    with pytest.raises(ValueError, match=r"holds other files \(theirs.txt\)"):
        pack_shards(videos, tmp_path)
    pack_shards(videos, tmp_path / "shards")
    with pytest.raises(ValueError, match="does not hold latents"):
        LatentShards(tmp_path / "shards")
    with pytest.raises(ValueError, match="holds samples of another source"):
        pack_shards(latents(tmp_path / "cached"), tmp_path / "shards")
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "a.mp4").write_text("")
    with pytest.raises(ValueError, match=r"no readable video in .*a.mp4 \("):
        pack_shards(tmp_path / "none", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_the_command(videos, tmp_path, capsys):
    arguments = ["pack-shards", str(videos), "-o", str(tmp_path / "shards")]
    with pytest.raises(SystemExit) as done:
        main([*arguments, "--json", str(tmp_path / "figures.json")])
    assert done.value.code == 0
    assert "6 videos in 1 shards, 1 written now; skipped 1 unreadable" in " ".join(
        capsys.readouterr().out.split()
    )
    assert json.loads((tmp_path / "figures.json").read_text())["samples"] == 6
    with pytest.raises(SystemExit) as done:
        main([*arguments, "--shard-mb", "0"])
    assert done.value.code == 2
    with pytest.raises(SystemExit) as done:
        main(["pack-shards", str(tmp_path / "nowhere"), "-o", str(tmp_path / "new")])
    assert done.value.code == 1
    assert "no folder" in capsys.readouterr().err
