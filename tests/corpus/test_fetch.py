"""Downloads from a server on this machine; nothing here needs a network."""

import gzip
import hashlib
import http.server
import socket
import threading
import time
from pathlib import Path

import pytest

from compliance_xai.corpus import download as room
from compliance_xai.corpus.corpora import load_corpus
from compliance_xai.corpus.download import PUBLIC_FILES, PublicFile, fetch_corpus
from compliance_xai.errors import InputError
from compliance_xai.pipeline.grid import find_corpus_path
from compliance_xai.study.new_study import Answers, write_study
from compliance_xai.study.settings import load_study

CONTENT = bytes(range(256)) * 1024  # several chunks
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT; the path says how: /cut breaks off, /long sends more, /zipped compresses, /silent waits."""

    def do_GET(self):
        if self.path == "/missing":
            self.send_error(404)
            return
        if self.path == "/silent":
            time.sleep(0.5)
            return
        sent = gzip.compress(CONTENT) if self.path == "/zipped" else CONTENT
        self.send_response(200)
        if self.path == "/zipped":
            self.send_header("Content-Encoding", "gzip")
        if self.path != "/long":
            self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent[:100_000] if self.path == "/cut" else sent)
        if self.path == "/long":
            for _ in range(1000):
                self.wfile.write(CONTENT)

    def log_message(self, *_):
        pass


@pytest.fixture
def serve(monkeypatch, tmp_path):
    """Make the server's page the published file 'nzbc-lrml', to be kept below ``tmp_path``."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("COMPLIANCE_XAI_DATA", str(tmp_path))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()

    def publish(page, sha256=SHA256):
        address = f"http://127.0.0.1:{server.server_address[1]}/{page}"
        file = PublicFile(address, PUBLIC_FILES["nzbc-lrml"].filename, sha256, len(CONTENT), "terms", "citation")
        monkeypatch.setitem(room.PUBLIC_FILES, "nzbc-lrml", file)
        return file

    yield publish
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("page", ["file", "zipped"])
def test_a_file_arrives_whole_and_is_checked(serve, page):
    serve(page)
    path = fetch_corpus("nzbc-lrml")
    assert path.read_bytes() == CONTENT
    assert [entry.name for entry in path.parent.iterdir()] == ["nzbc_lrml_v8.csv"]


def test_a_file_that_is_there_is_checked_but_not_fetched(serve, tmp_path):
    serve("missing")
    (tmp_path / "nzbc_lrml_v8.csv").write_bytes(CONTENT)
    assert fetch_corpus("nzbc-lrml", tmp_path) == tmp_path / "nzbc_lrml_v8.csv"
    (tmp_path / "nzbc_lrml_v8.csv").write_bytes(b"mine")
    with pytest.raises(
        InputError, match=rf"SHA-256 {SHA256}, found another file, \w+ \(4 bytes\)\. Move this file away"
    ):
        fetch_corpus("nzbc-lrml", tmp_path)
    assert (tmp_path / "nzbc_lrml_v8.csv").read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("page", "sha256", "found"),
    [
        ("cut", SHA256, r"no answer that could be used \(.*100000 bytes read"),
        ("missing", SHA256, r"no answer that could be used \(404 Client Error: Not Found.*HTTPS_PROXY"),
        ("silent", SHA256, r"no answer that could be used \(.*timed out"),
        ("long", SHA256, rf"more than {len(CONTENT)} bytes\. Run the command again"),
        ("file", "0" * 64, r"other content\. Run the command again"),
    ],
)
def test_what_is_not_the_published_file_is_not_kept(serve, tmp_path, monkeypatch, page, sha256, found):
    monkeypatch.setattr(room, "TIMEOUT", 0.2)
    serve(page, sha256)
    with pytest.raises(InputError, match=rf"/{page}: expected the published file.*, found {found}"):
        fetch_corpus("nzbc-lrml")
    assert list((tmp_path / "external").iterdir()) == []


def test_without_a_network_the_message_says_where_the_file_belongs(serve, tmp_path, monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    monkeypatch.setattr(Handler, "do_GET", None)
    file = serve("file")
    monkeypatch.setitem(
        room.PUBLIC_FILES,
        "nzbc-lrml",
        PublicFile(f"http://127.0.0.1:{port}/f", file.filename, SHA256, len(CONTENT), "", ""),
    )
    with pytest.raises(InputError, match=r"refused.*save it as .*external.nzbc_lrml_v8\.csv"):
        fetch_corpus("nzbc-lrml")


def test_a_folder_that_cannot_be_made_is_explained(serve, tmp_path):
    serve("file")
    (tmp_path / "data").write_text("a file")
    with pytest.raises(InputError, match=r"expected a file that can be written, found .*data"):
        fetch_corpus("nzbc-lrml", tmp_path / "data")


def test_an_unknown_corpus_is_refused_with_a_suggestion():
    with pytest.raises(InputError, match=r"expected one of nzbc-lrml, code-accord-train, .*Did you mean 'nzbc-lrml'\?"):
        fetch_corpus("nzbc-lmrl")


def test_fetch_study_and_reader_agree_on_the_file(serve, tmp_path):
    """What is fetched is what the shipped study, a new study and load_corpus read."""
    serve("file")
    (tmp_path / "ladders").symlink_to(Path(__file__).parents[2] / "data" / "ladders")
    path = fetch_corpus("nzbc-lrml")
    _, new = write_study(Answers("mine", corpus="nzbc-lrml", strategies=["lora"]), tmp_path / "mine.yaml")
    assert find_corpus_path(load_study("nzbc")) == find_corpus_path(new) == path
    with pytest.raises(InputError, match=rf"{path}, byte offset 128"):  # it was found, but it is not a table
        load_corpus("nzbc-lrml")


def test_the_published_files_are_pinned_to_a_commit():
    for file in PUBLIC_FILES.values():
        commit = file.address.split("/")[5]
        assert len(commit) == 40
        assert int(commit, 16)
        assert len(file.sha256) == 64
