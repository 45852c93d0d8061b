"""``DATA_DIR``: one ``up`` at a time, and a secret that is made once."""

import os
import stat
import threading
from pathlib import Path

import pytest

from service.process.data_dir import (
    data_dir_of,
    has_lock_owner,
    load_or_create_secret,
    load_secret,
    lock_data_dir,
)
from service.process.shutdown import wait_for_release
from service.process.startup import StartupError
from tests.support.service_processes import python_process

LOCK = """
import sys, time
from pathlib import Path
from service.process.data_dir import lock_data_dir
with lock_data_dir(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_the_default_is_var(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(data_dir)
    assert data_dir_of({}) == Path.cwd() / "var"


class TestSecret:
    def test_it_is_made_once(self, data_dir: Path) -> None:
        assert load_or_create_secret(data_dir) == load_or_create_secret(data_dir)

    def test_it_is_32_random_bytes_in_hex(self, data_dir: Path) -> None:
        assert len(bytes.fromhex(load_or_create_secret(data_dir))) == 32

    def test_each_data_dir_has_its_own(self, data_dir: Path, tmp_path: Path) -> None:
        assert load_or_create_secret(data_dir) != load_or_create_secret(tmp_path)

    def test_only_its_owner_reads_it(self, data_dir: Path) -> None:
        before = os.umask(0)
        try:
            load_or_create_secret(data_dir)
        finally:
            os.umask(before)
        assert stat.S_IMODE((data_dir / "secret_key").stat().st_mode) == 0o600

    def test_an_existing_secret_is_kept(self, data_dir: Path) -> None:
        (data_dir / "secret_key").write_text("s" * 40 + "\n")
        assert load_or_create_secret(data_dir) == "s" * 40

    def test_an_unfinished_secret_is_made_again(self, data_dir: Path) -> None:
        """The machine may stop between creating the file and writing it."""
        (data_dir / "secret_key").touch(0o600)
        assert len(load_or_create_secret(data_dir)) == 64


class TestFolder:
    """Errors of the file system become one line."""

    def test_a_folder_that_is_a_file_is_named(self, data_dir: Path) -> None:
        (data_dir / "file").touch()
        with (
            pytest.raises(StartupError, match=r"^DATA_DIR: \S+/file: File exists$"),
            lock_data_dir(data_dir / "file"),
        ):
            pass

    def test_a_lock_that_cannot_be_opened_is_named(self, data_dir: Path) -> None:
        (data_dir / "up.lock").mkdir()
        with (
            pytest.raises(StartupError, match=r"^DATA_DIR: \S+: Is a directory$"),
            lock_data_dir(data_dir),
        ):
            pass
        with pytest.raises(StartupError, match=r"^DATA_DIR: \S+: Is a directory$"):
            has_lock_owner(data_dir)

    def test_a_secret_that_cannot_be_written_is_named(self, data_dir: Path) -> None:
        (data_dir / "secret_key.partial").symlink_to("/dev/full")
        with pytest.raises(StartupError, match=r"^DATA_DIR: \S+: No space left on device$"):
            load_or_create_secret(data_dir)

    def test_a_secret_that_cannot_be_read_is_named(self, data_dir: Path) -> None:
        (data_dir / "secret_key").mkdir()
        with pytest.raises(StartupError, match=r"^DATA_DIR: \S+: Is a directory$"):
            load_secret(data_dir)


class TestLock:
    def test_a_second_process_is_refused_in_one_line(self, data_dir: Path) -> None:
        with python_process(LOCK, data_dir) as (holder, said):
            assert said == "held"
            with pytest.raises(StartupError) as refusal, lock_data_dir(data_dir):
                pass
        assert (
            str(refusal.value)
            == f"DATA_DIR: {data_dir} is in use by another `payment-links up` (pid {holder.pid})"
        )

    def test_it_is_free_after_its_holder_has_left(self, data_dir: Path) -> None:
        for _ in range(2):
            with lock_data_dir(data_dir):
                pass

    def test_it_is_free_after_its_holder_was_killed(self, data_dir: Path) -> None:
        with python_process(LOCK, data_dir):
            pass
        with lock_data_dir(data_dir) as lock:
            assert lock.read_text() == f"{os.getpid()}\n"

    def test_the_data_dir_is_made_for_its_owner_only(self, data_dir: Path) -> None:
        with lock_data_dir(data_dir / "a" / "b"):
            assert stat.S_IMODE((data_dir / "a" / "b").stat().st_mode) == 0o700

    def test_waiting_for_its_release_ends_when_the_holder_is_killed(self, data_dir: Path) -> None:
        with python_process(LOCK, data_dir):
            waiting = threading.Thread(target=wait_for_release, args=(data_dir / "up.lock",))
            waiting.start()
            waiting.join(0.2)
            assert waiting.is_alive()
        waiting.join(10)
        assert not waiting.is_alive()
