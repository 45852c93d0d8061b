"""Every process takes a new password of Redis from its file, and none is restarted."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from tests.support.admins import admin_token
from tests.support.servers import MailServer, RedisServer, free_port, store, valkey_server
from tests.support.service_processes import Service

USER = "ann"
OLD, NEW = "hunter2", "correct-horse"


@pytest.fixture
def server() -> Iterator[tuple[RedisServer, int]]:
    port = free_port()
    with store(valkey_server(), "--port", str(port)) as running:
        yield running, port


def create(admin: httpx.Client, email: str) -> int:
    body = {"email": email, "org_id": "acme", "payment_amount": 1, "currency": "NGN"}
    return admin.post("/payment-links", json=body).status_code


def test_links_are_created_and_mailed_before_and_after(
    server: tuple[RedisServer, int], mails: MailServer, tmp_path: Path
) -> None:
    running, port = server
    file = tmp_path / "password"
    url = f"redis://{USER}@127.0.0.1:{port}?password_file={file}"
    with redis.Redis.from_url(running.url, decode_responses=True) as connection:
        command: Any = connection.execute_command
        command("ACL", "SETUSER", USER, "on", f">{OLD}", "~*", "&*", "+@all")
        file.write_text(f"{OLD}\n")
        with (
            Service(tmp_path, url, mails.url) as service,
            httpx.Client(
                base_url=service.url, headers={"Authorization": f"Bearer {admin_token()}"}
            ) as admin,
        ):
            assert create(admin, "before@shop.example.com") == 201
            mails.mailbox.wait_for("before@shop.example.com")
            command("ACL", "SETUSER", USER, "resetpass", f">{NEW}")
            assert command("CLIENT", "KILL", "USER", USER) >= 4
            assert create(admin, "meanwhile@shop.example.com") == 503
            time.sleep(2)  # RQ's worker and scheduler meet the refusal
            file.write_text(f"{NEW}\n")
            assert create(admin, "after@shop.example.com") == 201
            mails.mailbox.wait_for("after@shop.example.com")
            assert [process.process.poll() for process in service.processes] == [None] * 3
            logs = service.logs()
    assert "it rejects the user or the password" in logs
    assert [word for word in ("worker_died", OLD, NEW) if word in logs] == []
