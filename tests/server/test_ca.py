"""The generated certificates and token: made once, kept, renewed in time, private."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from springtide.server import Authenticator, User, ensure_credentials
from springtide.server.status import Unauthorized

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def names(path: Path) -> set[str]:
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    listed = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name.value) for name in listed}


def test_everything_is_made_once_and_kept(tmp_path: Path) -> None:
    first = ensure_credentials(tmp_path, NOW)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert ensure_credentials(tmp_path, NOW + timedelta(days=200)) == first
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
    assert names(first.server_certificate) >= {"localhost", "127.0.0.1", "::1"}
    assert len(first.admin_token) == 64


def test_files_are_private(tmp_path: Path) -> None:
    ensure_credentials(tmp_path / "pki", NOW)
    modes = {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "pki").iterdir()}
    assert modes == {0o600}


def test_a_certificate_near_its_end_is_renewed_by_the_same_authority(tmp_path: Path) -> None:
    first = ensure_credentials(tmp_path, NOW)
    authority, leaf = first.ca_data, first.server_certificate.read_bytes()
    later = ensure_credentials(tmp_path, NOW + timedelta(days=350))
    assert later.ca_data == authority
    assert later.server_certificate.read_bytes() != leaf
    issued = x509.load_pem_x509_certificate(later.server_certificate.read_bytes())
    issued.verify_directly_issued_by(x509.load_pem_x509_certificate(authority))


@pytest.mark.parametrize("damage", ["missing", "garbage", "another key"])
def test_damaged_files_are_made_again(tmp_path: Path, damage: str) -> None:
    ensure_credentials(tmp_path, NOW)
    ensure_credentials(tmp_path / "other", NOW)
    key = tmp_path / "ca.key"
    if damage == "missing":
        key.unlink()
    else:
        key.write_bytes(b"-" if damage == "garbage" else (tmp_path / "other" / "ca.key").read_bytes())
    made = ensure_credentials(tmp_path, NOW)
    issued = x509.load_pem_x509_certificate(made.server_certificate.read_bytes())
    issued.verify_directly_issued_by(x509.load_pem_x509_certificate(made.ca_data))


def test_a_new_name_gets_a_new_certificate(tmp_path: Path) -> None:
    ensure_credentials(tmp_path, NOW)
    made = ensure_credentials(tmp_path, NOW, ["lab.example", "10.1.2.3"])
    assert names(made.server_certificate) >= {"lab.example", "10.1.2.3", "localhost"}


def test_tokens_and_certificates_name_users() -> None:
    known = Authenticator({"abc": User("jane", ("team",))})
    assert known.identify("Bearer abc", None) == User("jane", ("team",))
    subject = {"subject": ((("organizationName", "team"),), (("commonName", "joe"),))}
    assert known.identify("", subject) == User("joe", ("team", "system:authenticated"))
    for header, says in (("", "no credentials"), ("Bearer abd", "not one of"), ("Digest x", "Digest")):
        with pytest.raises(Unauthorized, match=says):
            known.identify(header, None)
    with pytest.raises(Unauthorized, match="common name"):
        known.identify("", {"subject": ((("organizationName", "team"),),)})
