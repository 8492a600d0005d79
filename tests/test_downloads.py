import hashlib
import os

import pytest

from bioadv.data import downloads, files
from bioadv.data.downloads import Remote
from tests.mirror import serve

CONTENT = bytes(range(256)) * 1000


@pytest.fixture
def remote(tmp_path):
    """A file on the mirrors' disk, and what is known of it."""
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "x.bin").write_bytes(CONTENT)
    return Remote("x.bin", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture
def fetch(remote, tmp_path):
    def run(*mirrors, **options):
        return downloads.fetch(remote, mirrors, tmp_path / "cache", progress=False, **options)

    return run


def left(tmp_path):
    """Files in the cache, by name with their sizes."""
    return {path.name: path.stat().st_size for path in (tmp_path / "cache").iterdir()}


def test_a_file_is_fetched_once_and_then_needs_no_network(fetch, tmp_path):
    with serve(tmp_path / "mirror") as (url, asked):
        assert fetch(url).read_bytes() == CONTENT
        assert fetch(url).read_bytes() == CONTENT
        assert len(asked) == 1
    assert fetch(offline=True) == tmp_path / "cache" / "x.bin"
    assert left(tmp_path) == {"x.bin": len(CONTENT)}
    (tmp_path / "cache" / "x.bin").write_bytes(b"damaged")
    with pytest.raises(FileNotFoundError, match="x.bin is not in the cache .*; fetch it once with a network, or copy"):
        fetch(offline=True)


def test_a_cached_file_of_the_right_size_with_other_bytes_is_fetched_anew(fetch, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "x.bin").write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(FileNotFoundError, match=r"x\.bin is not in the cache"):
        fetch(offline=True)
    with serve(tmp_path / "mirror") as (url, asked):
        assert fetch(url).read_bytes() == CONTENT
    assert len(asked) == 1


def test_a_mirror_that_has_nothing_is_passed_over(fetch, tmp_path):
    (tmp_path / "empty").mkdir()
    with serve(tmp_path / "empty") as (none, _), serve(tmp_path / "mirror") as (url, asked):
        assert fetch("http://127.0.0.1:9/", none, url).read_bytes() == CONTENT
    assert len(asked) == 1


def test_wrong_bytes_are_never_kept(fetch, tmp_path):
    with serve(tmp_path / "mirror", wrong=True) as (bad, _), serve(tmp_path / "mirror") as (url, asked):
        with pytest.raises(FileNotFoundError, match=r"x\.bin: the file there has another SHA-256"):
            fetch(bad)
        assert left(tmp_path) == {}
        assert fetch(bad, url).read_bytes() == CONTENT
        assert asked == [("/x.bin", None)]  # it does not go on from the wrong ones


def test_more_bytes_than_there_should_be_are_refused(fetch, tmp_path):
    with (
        serve(tmp_path / "mirror", endless=True) as (url, _),
        pytest.raises(FileNotFoundError, match="longer than 256000"),
    ):
        fetch(url)
    assert left(tmp_path) == {}


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_that_broke_off_goes_on(fetch, tmp_path, ranges):
    with serve(tmp_path / "mirror", cut=100_000, ranges=ranges) as (url, asked):
        assert fetch(url).read_bytes() == CONTENT
    assert asked == [("/x.bin", None), ("/x.bin", "bytes=65536-")]  # whole chunks are kept
    assert left(tmp_path) == {"x.bin": len(CONTENT)}


def test_another_process_and_another_mirror_go_on_as_well(fetch, tmp_path):
    """What a killed process left is taken up; a part is worth as much at the next mirror."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "x.bin.part").write_bytes(CONTENT[:70_000])
    with serve(tmp_path / "mirror") as (url, asked):
        assert fetch("http://127.0.0.1:9/", url).read_bytes() == CONTENT
    assert asked == [("/x.bin", "bytes=70000-")]


@pytest.mark.parametrize(
    "address", ["http://localhost:99999", "http://[bad", "http://.x", "http:////", "http://a..b", "http://a b"]
)
def test_an_address_that_cannot_be_used_costs_no_part(fetch, tmp_path, address):
    """Some are refused by requests, some by the libraries below it; all of them as a ``ValueError``."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "x.bin.part").write_bytes(CONTENT[:70_000])
    with pytest.raises(FileNotFoundError, match=r"x\.bin: this address cannot be used \(.*\); correct it") as told:
        fetch(address)
    assert "another SHA-256" not in str(told.value)
    assert left(tmp_path) == {"x.bin.part": 70_000}
    with serve(tmp_path / "mirror") as (url, asked):
        assert fetch(address, url).read_bytes() == CONTENT
    assert asked == [("/x.bin", "bytes=70000-")]


@pytest.mark.parametrize("part", [CONTENT[:10] + b"x" * 1000, CONTENT[:-1] + b"x", CONTENT + b"more"])
def test_a_damaged_part_is_dropped(fetch, tmp_path, part):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "x.bin.part").write_bytes(part)
    with serve(tmp_path / "mirror") as (url, _):
        assert fetch(url, url).read_bytes() == CONTENT
    assert left(tmp_path) == {"x.bin": len(CONTENT)}


def test_a_refusal_names_file_answers_and_remedy(fetch, remote, tmp_path):
    (tmp_path / "empty").mkdir()
    with serve(tmp_path / "empty") as (none, _), pytest.raises(FileNotFoundError) as told:
        fetch(none, "http://127.0.0.1:9")
    text = str(told.value)
    assert "x.bin (0.3 MB) could not be fetched" in text
    assert f"{none}x.bin: 404 Not Found" in text
    assert "http://127.0.0.1:9/x.bin: no connection" in text
    assert "give another mirror with --mirror" in text
    assert remote.sha256 in text
    with pytest.raises(FileNotFoundError, match="there is no mirror"):
        fetch()


@pytest.mark.skipif(os.geteuid() == 0 and not os.path.isdir("/proc"), reason="nothing here refuses root")
def test_a_cache_that_cannot_be_written_is_named(remote, tmp_path):
    (tmp_path / "file").write_text("")
    with serve(tmp_path / "mirror") as (url, _), pytest.raises(OSError, match=r"cannot write .*file/cache/x\.bin"):
        downloads.fetch(remote, [url], tmp_path / "file" / "cache", progress=False)


def test_the_cache_can_be_chosen(monkeypatch, tmp_path):
    monkeypatch.setenv(downloads.CACHE_VARIABLE, str(tmp_path))
    assert downloads.cache() == tmp_path
    monkeypatch.delenv(downloads.CACHE_VARIABLE)
    assert downloads.cache().name == "bioadv"


def test_the_digest_of_the_list_is_the_one_of_files(remote, tmp_path):
    assert files.digest(tmp_path / "mirror" / "x.bin") == remote.sha256
