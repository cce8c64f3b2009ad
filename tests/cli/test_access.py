"""`springtide user` and `springtide rotate`: what they write, and what they say where nothing is."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from click.testing import CliRunner
from cryptography import x509

from springtide.cli.root import root
from springtide.client import Connection, load_kubeconfig, write_context
from springtide.server import ensure_credentials


def platform(folder: Path) -> Path:
    """A data folder as the first start leaves it."""
    made = ensure_credentials(folder / "pki", datetime.now(UTC))
    connection = Connection(
        server="https://127.0.0.1:7443", context="springtide", ca_data=made.ca_data, token=made.admin_token
    )
    write_context(folder / "kubeconfig", connection)
    return folder


def test_a_user_gets_a_kubeconfig_without_the_administrators_token(tmp_path: Path) -> None:
    data, file = platform(tmp_path / "data"), tmp_path / "jane.kubeconfig"
    arguments = ["user", "jane", "--group", "devs", "--data-dir", str(data), "--file", str(file)]
    ran = CliRunner().invoke(root, arguments)
    assert ran.exit_code == 0, ran.output
    assert "user jane in devs" in ran.output
    found = load_kubeconfig(file)
    assert found.server == "https://127.0.0.1:7443"
    assert found.token == ""
    subject = x509.load_pem_x509_certificate(found.certificate_data).subject.rfc4514_string()
    assert subject == "CN=jane,O=devs"
    assert file.stat().st_mode & 0o077 == 0
    assert (data / "pki" / "admin.token").read_text().strip() not in file.read_text()


def test_rotation_renews_certificate_and_signing_key(tmp_path: Path) -> None:
    data = platform(tmp_path)
    before = {name: (data / "pki" / name).read_bytes() for name in ("server.crt", "ca.crt")}
    for _ in range(2):
        ran = CliRunner().invoke(root, ["rotate", "--data-dir", str(data)])
        assert ran.exit_code == 0, ran.output
    assert (data / "pki" / "server.crt").read_bytes() != before["server.crt"]
    assert (data / "pki" / "ca.crt").read_bytes() == before["ca.crt"]
    assert len(list((data / "pki").glob("sa-retired-*.pub"))) == 2


def test_where_nothing_was_started_there_is_nothing_to_do(tmp_path: Path) -> None:
    for arguments in (["user", "jane"], ["rotate"]):
        ran = CliRunner().invoke(root, [*arguments, "--data-dir", str(tmp_path / "none")])
        assert ran.exit_code != 0
        assert "springtide up" in ran.output
