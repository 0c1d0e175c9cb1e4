"""Downloads from a server on this machine; nothing here needs a network."""

import hashlib
import http.server
import re
import socket
import threading
from pathlib import Path

import pytest

from compliance_xai.corpus import download as room
from compliance_xai.corpus.corpora import load_corpus
from compliance_xai.corpus.download import PUBLIC_FILES, PublicFile, download, fetch_corpus
from compliance_xai.errors import InputError

CONTENT = bytes(range(256)) * 1024  # several chunks
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT; the path says how: /plain ignores ranges, /cut breaks off, /shifted lies about its range."""

    def do_GET(self):
        asked = self.headers.get("Range")
        self.server.asked.append(asked)
        if self.path == "/missing":
            self.send_error(404)
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked and self.path != "/plain" else 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            shown = start + (self.path == "/shifted")
            self.send_header("Content-Range", f"bytes {shown}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        self.wfile.write(CONTENT[start:100_000] if self.path == "/cut" and not start else CONTENT[start:])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.asked = []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def address(server):
    return f"http://127.0.0.1:{server.server_address[1]}"


def test_a_file_arrives_whole_and_is_checked(address, tmp_path):
    seen = []
    path = download(f"{address}/file", tmp_path / "new" / "f.bin", sha256=SHA256, report=lambda *at: seen.append(at))
    assert path.read_bytes() == CONTENT
    assert [entry.name for entry in path.parent.iterdir()] == ["f.bin"]
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [there for there, _ in seen] == sorted({there for there, _ in seen})


def test_a_file_that_is_there_is_checked_but_not_fetched(address, server, tmp_path):
    (tmp_path / "f.bin").write_bytes(CONTENT)
    download(f"{address}/file", tmp_path / "f.bin", sha256=SHA256)
    (tmp_path / "f.bin").write_bytes(b"mine")
    with pytest.raises(
        InputError, match=rf"f\.bin: expected SHA-256 {SHA256}, found \w+ \(4 bytes\)\. Move the file away"
    ):
        download(f"{address}/file", tmp_path / "f.bin", sha256=SHA256)
    assert (tmp_path / "f.bin").read_bytes() == b"mine"
    assert server.asked == []


def test_a_broken_download_goes_on_where_it_stopped(address, server, tmp_path):
    message = (
        r"/cut: expected the published file, found a connection that broke .* 100000 bytes are kept in .*\.f\.bin\.part"
    )
    with pytest.raises(InputError, match=message):
        download(f"{address}/cut", tmp_path / "f.bin", sha256=SHA256)
    assert not (tmp_path / "f.bin").exists()
    seen = []
    download(f"{address}/cut", tmp_path / "f.bin", sha256=SHA256, report=lambda *at: seen.append(at))
    assert server.asked == [None, "bytes=100000-"]
    assert (tmp_path / "f.bin").read_bytes() == CONTENT
    assert seen[0][0] > 100_000
    assert seen[-1] == (len(CONTENT), len(CONTENT))


@pytest.mark.parametrize(
    ("page", "part", "asked"),
    [
        ("plain", CONTENT[:5000], ["bytes=5000-"]),  # the server sends the whole file all the same
        ("file", CONTENT + b"more", [f"bytes={len(CONTENT) + 4}-", None]),  # longer than the file: 416, start over
        ("file", CONTENT, []),  # killed between the last byte and the renaming
        ("file", b"", [None]),
    ],
)
def test_every_kind_of_rest_ends_in_the_right_file(address, server, tmp_path, page, part, asked):
    (tmp_path / ".f.bin.part").write_bytes(part)
    download(f"{address}/{page}", tmp_path / "f.bin", sha256=SHA256)
    assert (tmp_path / "f.bin").read_bytes() == CONTENT
    assert not (tmp_path / ".f.bin.part").exists()
    assert server.asked == asked


def test_a_range_that_was_not_asked_for_is_not_appended(address, tmp_path):
    (tmp_path / ".f.bin.part").write_bytes(CONTENT[:5000])
    with pytest.raises(InputError, match=r"asked for bytes from 5000, sent 'bytes 5001-"):
        download(f"{address}/shifted", tmp_path / "f.bin", sha256=SHA256)
    assert (tmp_path / ".f.bin.part").read_bytes() == CONTENT[:5000]


@pytest.mark.parametrize("rest", [b"", b"another beginning"])
def test_wrong_bytes_are_removed(address, tmp_path, rest):
    (tmp_path / ".f.bin.part").write_bytes(rest)
    with pytest.raises(
        InputError, match=rf"expected SHA-256 {'0' * 64}, found \w{{64}} \({len(CONTENT)} bytes\)\. Fetch again"
    ):
        download(f"{address}/file", tmp_path / "f.bin", sha256="0" * 64)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_page_names_the_status(address, tmp_path):
    with pytest.raises(
        InputError, match=r"/missing: expected the published file, found HTTP status 404 \(Not Found\)\. Open"
    ):
        download(f"{address}/missing", tmp_path / "f.bin", sha256=SHA256)


def test_no_network_is_explained_and_keeps_what_is_there(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    (tmp_path / ".f.bin.part").write_bytes(b"abc")
    with pytest.raises(
        InputError, match=r"found no connection \(.*refused.*\)\. Check the network .* 3 bytes are kept"
    ):
        download(f"http://127.0.0.1:{port}/", tmp_path / "f.bin", sha256=SHA256)
    assert (tmp_path / ".f.bin.part").read_bytes() == b"abc"


def test_a_server_that_hangs_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(InputError, match=r"found .*timed out"):
        download(f"http://127.0.0.1:{silent.getsockname()[1]}/", tmp_path / "f", sha256=SHA256, timeout=0.1)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_is_explained(address, tmp_path):
    (tmp_path / ".f.bin.part").symlink_to("/dev/full")
    with pytest.raises(InputError, match=r"f\.bin\.part: expected a file that can be written, found .*No space left"):
        download(f"{address}/file", tmp_path / "f.bin", sha256=SHA256)


def test_a_folder_that_cannot_be_made_is_explained(address, tmp_path):
    (tmp_path / "data").write_text("a file")
    with pytest.raises(InputError, match=r"expected a file that can be written, found .*data"):
        download(f"{address}/file", tmp_path / "data" / "f.bin", sha256=SHA256)


def test_a_corpus_is_fetched_by_name_to_where_the_reader_looks(address, tmp_path, monkeypatch):
    file = PublicFile(f"{address}/file", PUBLIC_FILES["nzbc-lrml"].filename, SHA256, len(CONTENT), "terms", "citation")
    monkeypatch.setitem(room.PUBLIC_FILES, "nzbc-lrml", file)
    monkeypatch.setenv("COMPLIANCE_XAI_DATA", str(tmp_path))
    path = fetch_corpus("nzbc-lrml", tmp_path / "external")
    assert path.read_bytes() == CONTENT
    with pytest.raises(InputError, match=r"nzbc_lrml_v8\.csv, byte offset 128"):  # it was found, but it is no table
        load_corpus("nzbc-lrml")
    with pytest.raises(
        InputError,
        match=r"corpus to fetch: expected one of nzbc-lrml, code-accord-train, .*, found 'nzbc'\. Check the spelling",
    ):
        fetch_corpus("nzbc", tmp_path)


def test_the_published_file_is_pinned_to_a_commit():
    file = PUBLIC_FILES["nzbc-lrml"]
    assert re.fullmatch(
        r"https://raw\.githubusercontent\.com/[\w.-]+/[\w.-]+/[0-9a-f]{40}/Chapter7/.*\.csv", file.address
    )
    assert re.fullmatch(r"[0-9a-f]{64}", file.sha256)
