import hashlib
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from vqindex.datasets.download import fetch
from vqindex.errors import CorruptFileError

BODY = bytes(range(256)) * 9000 + b"end"
SHA256 = hashlib.sha256(BODY).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves BODY; `server.ranges` honours Range, `server.cut` stops an answer after some bytes."""

    def do_GET(self):
        asked = self.headers.get("Range")
        self.server.asked.append(asked)
        self.server.agents.append(self.headers["User-Agent"])
        start = int(asked[6:-1]) if asked and self.server.ranges else 0
        if self.path != "/set.hdf5" or start >= len(BODY):
            self.send_error(416 if start else 404)
            return
        self.send_response(206 if asked and self.server.ranges else 200)
        self.send_header("Content-Length", str(len(BODY) - start))
        if asked and self.server.ranges:
            self.send_header("Content-Range", f"bytes {start}-{len(BODY) - 1}/{len(BODY)}")
        self.end_headers()
        self.wfile.write(BODY[start:][: self.server.cut])

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.ranges, server.cut, server.asked, server.agents = True, None, [], []
    server.url = f"http://127.0.0.1:{server.server_port}/set.hdf5"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join(timeout=10)
    server.server_close()
    assert not thread.is_alive()


@pytest.fixture
def target(tmp_path):
    return tmp_path / "new" / "set.hdf5"


def files(target):
    return sorted(path.name for path in target.parent.iterdir())


def test_whole_file(server, target, capsys):
    fetch(server.url, target, sha256=SHA256)
    assert target.read_bytes() == BODY
    assert files(target) == ["set.hdf5"]
    assert server.asked == [None]
    assert not server.agents[0].startswith("Python")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("cut", [0, 1, 2, 100_000, len(BODY) - 1])
@pytest.mark.parametrize("ranges", [True, False])
def test_cut_off_and_resumed(server, target, cut, ranges):
    server.cut, server.ranges = cut, ranges
    with pytest.raises(OSError, match=f"cut off after {cut} of {len(BODY)} bytes"):
        fetch(server.url, target, sha256=SHA256)
    assert files(target) == ["set.hdf5.part"]
    server.cut = None
    fetch(server.url, target, sha256=SHA256)
    assert target.read_bytes() == BODY
    assert files(target) == ["set.hdf5"]
    assert server.asked == [None, f"bytes={cut - 1}-" if cut else None]


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("left", [BODY, BODY + b"more"])
def test_part_that_is_whole_or_too_long(server, target, left, ranges):
    server.ranges = ranges
    target.parent.mkdir()
    (target.parent / "set.hdf5.part").write_bytes(left)
    fetch(server.url, target)
    assert target.read_bytes() == BODY
    assert files(target) == ["set.hdf5"]


def test_wrong_hash_leaves_nothing(server, target):
    with pytest.raises(CorruptFileError, match=f"got {SHA256}"):
        fetch(server.url, target, sha256="0" * 64)
    assert files(target) == []


def test_errors_name_the_address(server, target):
    with pytest.raises(OSError, match=r"/none\.hdf5 was not downloaded.*404"):
        fetch(server.url.replace("set", "none"), target)
    with pytest.raises(OSError, match="was not downloaded"):
        fetch("http://127.0.0.1:9/closed", target)
    assert files(target) == []


def test_progress_goes_to_stderr(server, target, capsys):
    fetch(server.url, target, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith("\rset.hdf5: 2 of 2 MiB\n")
