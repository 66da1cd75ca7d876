"""Unix sockets: how they are named, what is at their place when we come, and what is left when we go."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from penstock.errors import UsageError
from penstock.wire.unix_socket import SocketFile, is_same_socket, open_unix_socket, socket_path
from penstock.wire.url import UrlOrigin, split_origin

pytestmark = pytest.mark.real


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("unix:/run/app.sock", "/run/app.sock"),
        ("unix:///run/app.sock", "/run/app.sock"),
        ("unix:app.sock", "app.sock"),
        ("unix:/run/a b.sock", "/run/a b.sock"),
    ],
)
def test_names(text: str, path: str) -> None:
    assert socket_path(text) == path
    origin = split_origin(text)
    assert (origin.path, origin.authority, str(origin)) == (path, "localhost", f"unix:{path}")


@pytest.mark.parametrize("text", ["unix:", "unix://", "unix:/a\0b", "unix:/" + "x" * 107, "unix:/" + "é" * 54])
def test_what_names_no_socket(text: str) -> None:
    with pytest.raises(UsageError, match="unix:"):
        split_origin(text)


def test_an_origin_over_tcp_is_as_before() -> None:
    assert split_origin("http://shop.example:81") == UrlOrigin("http", "shop.example", 81)
    with pytest.raises(UsageError, match="without a path"):
        split_origin("http://shop.example/a")


def test_one_that_listens_is_not_taken_away(tmp_path: Path) -> None:
    path = str(tmp_path / "sock")
    with open_unix_socket(path), pytest.raises(UsageError, match="another process listens there"):
        open_unix_socket(path)
    assert os.path.exists(path), "the file stays behind: nobody has removed it"
    with open_unix_socket(path) as second, socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        second.accept()[0].close()


def test_one_without_room_listens_all_the_same(tmp_path: Path) -> None:
    path = str(tmp_path / "sock")
    with socket.socket(socket.AF_UNIX) as full, socket.socket(socket.AF_UNIX) as waiting:
        full.bind(path)
        full.listen(0)
        waiting.connect(path)
        with pytest.raises(UsageError, match="another process listens there"):
            open_unix_socket(path)


def test_what_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("kept")
    target = tmp_path / "link"
    target.symlink_to(path)
    for each in (path, target):
        with pytest.raises(UsageError, match="no socket"):
            open_unix_socket(str(each))
    assert path.read_text() == "kept"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file or directory"):
        open_unix_socket(str(tmp_path / "no" / "sock"))


@pytest.mark.parametrize(("mode", "expected"), [(None, 0o755), (0o660, 0o660), (0o666, 0o666), (0o600, 0o600)])
def test_its_mode(tmp_path: Path, mode: int | None, expected: int) -> None:
    before = os.umask(0o022)
    try:
        with open_unix_socket(str(tmp_path / "sock"), mode):
            assert stat.S_IMODE((tmp_path / "sock").stat().st_mode) == expected
        assert os.umask(0o022) == 0o022, "the umask is as it was"
    finally:
        os.umask(before)


def test_only_our_own_file_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "sock"
    with open_unix_socket(str(path)):
        ours = SocketFile(str(path))
        path.rename(tmp_path / "away")
        ours.remove()
        with open_unix_socket(str(path)):
            ours.remove()
            assert path.exists(), "it is another one"
            SocketFile(str(path)).remove()
            assert not path.exists()


def test_one_file_by_two_names(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    assert is_same_socket(f"{tmp_path}/sock", f"{tmp_path}/sub/../sock")
    assert not is_same_socket(f"{tmp_path}/sock", f"{tmp_path}/other")
