"""A full disk, a damaged data folder: nothing acknowledged is lost, and the error says what to do."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.platforms import SPRINGTIDE, Platform, Result
from tests.e2e.test_faults import check_clear

pytestmark = [pytest.mark.e2e, pytest.mark.realtime, pytest.mark.xdist_group("storage")]

LIMIT_BYTES = 3_000_000
LIMITED = "import os, resource, sys; n = int(sys.argv[1]); resource.setrlimit(resource.RLIMIT_FSIZE, (n, n));"
"""No file of the processes it becomes may grow beyond the limit: a full disk without being root."""
WRITES_MAX = 60
PAYLOAD = "x" * 200_000


def up_on_a_small_disk(platform: Platform) -> Result:
    place = ["--port", "0", "--data-dir", str(platform.data_dir)]
    program = f"{LIMITED} os.execv(sys.argv[2], sys.argv[2:])"
    return platform.execute(
        [sys.executable, "-c", program, str(LIMIT_BYTES), *SPRINGTIDE, "up", "--detach", *place]
    )


def write(platform: Platform, name: str) -> Result:
    text = json.dumps(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"text": PAYLOAD}}
    )
    return platform.kubectl("create", "-f", "-", stdin=text)


@pytest.fixture
def full(fresh: Platform) -> Iterator[tuple[Platform, list[str], Result]]:
    """A platform whose disk has just become full, what it acknowledged before, and how it refused."""
    started = up_on_a_small_disk(fresh)
    assert started.code == 0, started.text
    acknowledged: list[str] = []
    for number in range(WRITES_MAX):
        result = write(fresh, f"fill-{number}")
        if result.code != 0:
            yield fresh, acknowledged, result
            return
        acknowledged.append(f"fill-{number}")
    pytest.fail("the disk never became full")


def test_a_full_disk_refuses_writes_and_loses_none(full: tuple[Platform, list[str], Result]) -> None:
    platform, acknowledged, refused = full
    check_clear(refused, "cannot write to", "state.db", "free space")
    assert acknowledged, "some writes fitted"
    assert names(platform) == set(acknowledged), "reads go on, and show what was acknowledged alone"
    assert platform.springtide("get", "nodes").code == 0
    check_clear(platform.springtide("delete", "configmap", acknowledged[0]), "cannot write to", "free space")
    assert platform.down().code == 0
    again = platform.up()
    assert again.code == 0, again.text
    assert names(platform) == set(acknowledged)
    assert write(platform, "later").code == 0, "with space there are writes again"


def names(platform: Platform) -> set[str]:
    found = {one["metadata"]["name"] for one in platform.get("configmaps")["items"]}
    return {name for name in found if name.startswith("fill-")}


@pytest.mark.parametrize(
    ("file", "content", "expected"),
    [
        ("state.db", b"this is no database" * 1000, ("state.db", "cannot be read", "restore")),
        ("format", b"99\n", ("format '99'", "--data-dir")),
    ],
)
def test_a_damaged_data_folder_is_refused(
    fresh: Platform, file: str, content: bytes, expected: tuple[str, ...]
) -> None:
    assert fresh.up().code == 0
    assert fresh.down().code == 0
    for left in fresh.data_dir.glob(f"{file}-*"):
        left.unlink()
    (fresh.data_dir / file).write_bytes(content)
    check_clear(fresh.up(), *expected, "hint:", code=1)
    check_clear(in_the_foreground(fresh), *expected, "hint:", code=1)
    assert (fresh.data_dir / file).read_bytes() == content, "what was found is left as it was"


def in_the_foreground(platform: Platform) -> Result:
    return platform.springtide("up", "--port", "0", "--data-dir", str(platform.data_dir), timeout=30)


def test_an_unreadable_data_folder_is_refused(fresh: Platform) -> None:
    if os.geteuid() == 0:  # root may read everything, but not even root makes a folder in /proc
        fresh.data_dir = Path("/proc/springtide")
        check_clear(fresh.up(), "/proc/springtide cannot be used: ", "--data-dir", code=1)
        return
    fresh.data_dir.mkdir(mode=0o000)
    try:
        check_clear(fresh.up(), "cannot be used: permission denied", "--data-dir", code=1)
    finally:
        fresh.data_dir.chmod(0o700)


def test_a_data_folder_that_is_a_file_is_refused(fresh: Platform) -> None:
    Path(fresh.data_dir).write_text("not a folder")
    check_clear(fresh.up(), str(fresh.data_dir), "--data-dir", code=2)
