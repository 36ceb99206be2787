"""Lock files, atomic writes and private folders."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import portalocker
import pytest

from qdrant_static.files import (
    LockFile,
    LockHeldError,
    LockOwner,
    is_locked,
    make_private,
    replace_file,
)


def test_a_second_lock_is_refused_and_names_the_owner(tmp_path: Path) -> None:
    first, second = LockFile(tmp_path / "lock"), LockFile(tmp_path / "lock")
    with first.held("writing to articles"):
        with pytest.raises(LockHeldError, match=rf"process {os.getpid()} on .*writing to articles"):
            second.acquire()
        with pytest.raises(LockHeldError) as caught:
            second.acquire(timeout_s=0.01)
        assert caught.value.owner.is_this_process
        assert is_locked(tmp_path / "lock")
    second.acquire()
    second.release()
    assert not is_locked(tmp_path / "lock")
    assert (tmp_path / "lock").read_text() == ""


def test_a_lock_that_an_earlier_version_holds_is_respected(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with path.open("w+") as file:
        portalocker.lock(file, portalocker.LOCK_EX | portalocker.LOCK_NB)
        file.write("12")
        file.flush()
        with pytest.raises(LockHeldError, match=r"^process 12$"):
            LockFile(path).acquire()


@pytest.mark.parametrize(
    ("line", "shown", "ours"),
    [
        ("", "an unknown process", False),
        (str(os.getpid()), f"process {os.getpid()}", True),
        (f"process {os.getpid()} on elsewhere", f"process {os.getpid()} on elsewhere", False),
        (f"process {os.getpid()} since 10:00:00 UTC: writing", None, True),
        ("another tool", "another tool", False),
    ],
)
def test_owners_of_all_versions_are_read(line: str, shown: str | None, ours: bool) -> None:
    owner = LockOwner(line)
    assert str(owner) == (line if shown is None else shown)
    assert owner.is_this_process is ours


def test_a_lock_without_timeout_waits_until_it_is_free(tmp_path: Path) -> None:
    first, second = LockFile(tmp_path / "lock"), LockFile(tmp_path / "lock")
    first.acquire()
    taken = threading.Event()

    def take() -> None:
        with second.held(timeout_s=None):
            taken.set()

    thread = threading.Thread(target=take)
    thread.start()
    assert not taken.is_set()
    first.release()
    thread.join(60)
    assert taken.is_set()


def test_a_removed_lock_file_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock = LockFile(path)
    lock.acquire()
    lock.remove()
    assert not path.exists()
    with lock.held():
        assert path.exists()
        assert path.stat().st_mode & 0o077 == 0


def test_the_lock_of_a_process_that_died_is_free(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom qdrant_static.files import LockFile\n"
        "LockFile(Path(sys.argv[1])).acquire()\nos._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    assert path.read_text().startswith("process ")
    with LockFile(path).held():
        pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_does_not_keep_the_lock(tmp_path: Path) -> None:
    lock = LockFile(tmp_path / "lock")
    lock.acquire()
    ended, end = os.pipe()
    child = os.fork()
    if not child:
        os.close(end)
        os.read(ended, 1)  # lives until the parent has taken the lock again
        os._exit(0)
    os.close(ended)
    lock.release()
    with LockFile(tmp_path / "lock").held():
        pass
    os.close(end)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_file_is_replaced_whole_and_privately(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    make_private(folder)
    replace_file(folder / "file", b"old")
    replace_file(folder / "file", b"new")
    assert [one.name for one in folder.iterdir()] == ["file"]
    assert (folder / "file").read_bytes() == b"new"
    assert folder.stat().st_mode & 0o077 == (folder / "file").stat().st_mode & 0o077 == 0
