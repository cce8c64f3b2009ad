"""Kubeconfig files: read as kubectl reads them, written without harm to anyone else's entries."""

import base64
import os
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from springtide.client import (
    Connection,
    ExecPlugin,
    KubeconfigError,
    contexts,
    in_cluster,
    load_kubeconfig,
    remove_context,
    write_context,
)


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def kubeconfig(path: Path, *, name: str = "one", current: str = "one", **parts: dict[str, Any]) -> Path:
    """A file with one cluster, user and context of the same name; parts are merged into them."""
    cluster = {"server": f"https://{name}:6443/"} | parts.get("cluster", {})
    context = {"cluster": name, "user": name} | parts.get("context", {})
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": current,
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": parts.get("user", {})}],
        "contexts": [{"name": name, "context": context}],
    }
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({}, {"server": "https://one:6443", "namespace": "default", "context": "one"}),
        ({"context": {"namespace": "ml"}}, {"namespace": "ml"}),
        ({"cluster": {"certificate-authority-data": b64("CA")}}, {"ca_data": b"CA"}),
        ({"cluster": {"certificate-authority": "ca.crt"}}, {"ca_data": b"from a file"}),
        (
            {"cluster": {"certificate-authority": "ca.crt", "certificate-authority-data": b64("inline")}},
            {"ca_data": b"inline"},
        ),
        ({"cluster": {"insecure-skip-tls-verify": True}}, {"insecure_skip_tls_verify": True}),
        ({"cluster": {"tls-server-name": "k8s"}}, {"tls_server_name": "k8s"}),
        ({"cluster": {"proxy-url": "http://p:1"}}, {"proxy_url": "http://p:1"}),
        ({"user": {"token": "t"}}, {"token": "t", "token_file": None}),
        ({"user": {"username": "u", "password": "p"}}, {"username": "u", "password": "p"}),
        (
            {"user": {"client-certificate-data": b64("CERT"), "client-key": "ca.crt"}},
            {"certificate_data": b"CERT", "key_data": b"from a file"},
        ),
        (
            {"user": {"as": "eve", "as-groups": ["a", "b"]}},
            {
                "impersonate": (
                    ("Impersonate-User", "eve"),
                    ("Impersonate-Group", "a"),
                    ("Impersonate-Group", "b"),
                )
            },
        ),
        (
            {"user": {"exec": {"command": "aws", "args": ["eks", 1], "env": [{"name": "A", "value": "b"}]}}},
            {"exec_plugin": ExecPlugin("aws", ("eks", "1"), (("A", "b"),))},
        ),
        ({"user": {"unknown": "future"}, "cluster": {"extensions": []}}, {"token": ""}),
    ],
)
def test_every_field_people_use(tmp_path: Path, parts: dict[str, Any], expected: dict[str, Any]) -> None:
    (tmp_path / "ca.crt").write_text("from a file")
    connection = load_kubeconfig(kubeconfig(tmp_path / "config", **parts))
    assert {name: getattr(connection, name) for name in expected} == expected


def test_relative_paths_are_relative_to_their_file(tmp_path: Path) -> None:
    user = {"tokenFile": "token", "token": "unused", "exec": {"command": "./plugin"}}
    connection = load_kubeconfig(kubeconfig(tmp_path / "config", user=user))
    assert connection.token_file == tmp_path / "token"
    assert connection.token == ""
    assert connection.exec_plugin is not None
    assert connection.exec_plugin.command == str(tmp_path / "plugin")


@pytest.mark.parametrize(
    ("parts", "complaint"),
    [
        ({"cluster": {"server": "one:6443"}}, r"cluster 'one': server 'one:6443' must start with https://"),
        ({"cluster": {"certificate-authority": "no.crt"}}, r"certificate-authority: .*no\.crt: No such file"),
        ({"cluster": {"certificate-authority-data": "!"}}, "certificate-authority-data is not base64"),
        ({"cluster": {"insecure-skip-tls-verify": "yes"}}, "must be true or false, not 'yes'"),
        ({"context": {"cluster": "two"}}, "clusters has no 'two'; it has one"),
        ({"context": {"user": "two"}}, "users has no 'two'; it has one"),
        ({"user": {"token": 12}}, "user 'one': token must be a string, not 12; put it in quotes"),
        ({"user": {"auth-provider": {"name": "gcp"}}}, r"auth-provider left Kubernetes in 1\.26; use exec"),
        ({"user": {"exec": {"args": []}}}, "user 'one': exec: command is empty"),
        ({"user": {"exec": "aws"}}, "exec must be a mapping"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, parts: dict[str, Any], complaint: str) -> None:
    with pytest.raises(KubeconfigError, match=complaint):
        load_kubeconfig(kubeconfig(tmp_path / "config", **parts))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a: [", "not YAML"),
        ("- a", "a kubeconfig is a mapping"),
        ("clusters: {a: b}", "clusters must be a list of entries that each have a name"),
        ("users: [{user: {}}]", "users must be a list of entries that each have a name"),
        ("", "no current-context"),
        ("current-context: x", "contexts has no 'x'; it has none"),
    ],
)
def test_files_that_are_no_kubeconfig(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(KubeconfigError, match=complaint):
        load_kubeconfig(path)


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigError, match="no such kubeconfig; start `springtide up`"):
        load_kubeconfig(tmp_path / "none")


def test_several_files_are_one_and_the_first_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = kubeconfig(tmp_path / "1", name="one", current="two", user={"token": "first"})
    second = kubeconfig(tmp_path / "2", name="one", current="one", user={"token": "second"})
    third = kubeconfig(tmp_path / "3", name="two", current="", user={"token": "third"})
    monkeypatch.setenv("KUBECONFIG", f"{first}:{tmp_path / 'absent'}:{second}::{third}")
    assert load_kubeconfig().token == "third"
    assert load_kubeconfig(context="one").token == "first"
    assert contexts() == (["one", "two"], "two")
    assert load_kubeconfig([third, first], "one").token == "first"


def test_without_the_variable_it_is_the_file_in_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".kube").mkdir()
    kubeconfig(tmp_path / ".kube" / "config")
    assert load_kubeconfig().server == "https://one:6443"


def test_in_cluster(tmp_path: Path) -> None:
    environment = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    with pytest.raises(KubeconfigError, match="token is missing"):
        in_cluster(environment, tmp_path)
    for name, text in {"token": "t", "ca.crt": "CA", "namespace": "ml\n"}.items():
        (tmp_path / name).write_text(text)
    connection = in_cluster(environment, tmp_path)
    assert (connection.server, connection.namespace) == ("https://[fd00::1]:443", "ml")
    assert (connection.ca_data, connection.token_file) == (b"CA", tmp_path / "token")
    with pytest.raises(KubeconfigError, match="not in a pod"):
        in_cluster({}, tmp_path)


def test_secrets_do_not_show_in_logs() -> None:
    shown = repr(Connection("https://x", token="secret", password="secret", key_data=b"secret"))
    assert "secret" not in shown


OURS = Connection(
    "https://127.0.0.1:6443", context="springtide", namespace="ml", ca_data=b"CA", token="t",
    certificate_data=b"CERT", key_data=b"KEY",
)  # fmt: skip


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    path = tmp_path / "new" / "config"
    write_context(path, OURS)
    assert load_kubeconfig(path) == OURS
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_entries_of_others_are_kept(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "config", user={"token": "t", "unknown": {"a": 1}})
    document = yaml.safe_load(path.read_text()) | {"preferences": {"colors": True}, "extensions": []}
    path.write_text(yaml.safe_dump(document))
    path.chmod(0o644)
    write_context(path, OURS, make_current=False)
    write_context(path, OURS, make_current=False)
    changed = yaml.safe_load(path.read_text())
    assert changed["current-context"] == "one"
    assert [item["name"] for item in changed["users"]] == ["one", "springtide"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert remove_context(path, "springtide")
    assert yaml.safe_load(path.read_text()) == document
    assert not remove_context(path, "springtide")


def test_removing_the_current_context_leaves_none(tmp_path: Path) -> None:
    path = tmp_path / "config"
    assert not remove_context(path, "springtide")
    write_context(path, OURS)
    assert remove_context(path, "springtide")
    assert yaml.safe_load(path.read_text())["current-context"] == ""


def test_a_link_keeps_pointing_at_the_file(tmp_path: Path) -> None:
    target = kubeconfig(tmp_path / "target")
    link = tmp_path / "link"
    link.symlink_to(target)
    write_context(link, OURS)
    assert link.is_symlink()
    assert load_kubeconfig(target, "springtide") == OURS


def test_a_file_that_cannot_be_understood_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("a: [")
    with pytest.raises(KubeconfigError, match="not YAML"):
        write_context(path, OURS)
    assert path.read_text() == "a: ["
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_do_not_meet(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "config")
    (tmp_path / "config.lock").touch()
    with pytest.raises(KubeconfigError, match=r"config\.lock exists: another program is changing"):
        write_context(path, OURS)


def test_a_lock_that_a_killed_program_left_behind_is_no_obstacle(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "config")
    lock = tmp_path / "config.lock"
    lock.touch()
    write_context(path, OURS, shared=False)
    assert lock.exists()
    os.utime(lock, (1, 1))
    write_context(path, OURS)
    assert not lock.exists()


def test_a_connection_without_a_name_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigError, match="without a context name"):
        write_context(tmp_path / "config", Connection("https://x"))
