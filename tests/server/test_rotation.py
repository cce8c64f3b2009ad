"""Certificates that are renewed while the server runs, and certificates that are issued to users."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from springtide import client
from springtide.api.core import ConfigMap
from springtide.client import Connection, Forbidden, Unauthorized, Unreachable
from springtide.runtime import SystemClock
from springtide.server import SigningKeys, ensure_credentials
from springtide.server import rotation as rotation_module
from springtide.server.ca import renew
from springtide.server.rotation import keep_fresh
from tests.server.https import Served, eventually, serving_https

NOW = datetime(2026, 1, 1, tzinfo=UTC)


async def serial(served: Served) -> int:
    """Of the certificate that a new connection is shown."""
    url = urlsplit(served.url)
    trust = ssl.create_default_context(cafile=str(served.credentials.ca_certificate))
    _, writer = await asyncio.open_connection(url.hostname, url.port, ssl=trust)
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return x509.load_der_x509_certificate(shown).serial_number


def test_a_users_certificate_names_user_and_groups(tmp_path: Path) -> None:
    certificate, key = ensure_credentials(tmp_path, NOW).issue_client("jane", ("devs", "ops"), NOW)
    leaf = x509.load_pem_x509_certificate(certificate)
    assert [one.value for one in leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == ["jane"]
    groups = leaf.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    assert [one.value for one in groups] == ["devs", "ops"]
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    leaf.verify_directly_issued_by(x509.load_pem_x509_certificate((tmp_path / "ca.crt").read_bytes()))
    assert key.startswith(b"-----BEGIN PRIVATE KEY-----")


def test_a_renewed_certificate_keeps_its_names_and_its_authority(tmp_path: Path) -> None:
    made = ensure_credentials(tmp_path, NOW, ["lab.example"])
    before, authority = made.server_certificate.read_bytes(), made.ca_data
    renew(tmp_path, NOW)
    assert made.server_certificate.read_bytes() != before
    assert ensure_credentials(tmp_path, NOW, ["lab.example"]).ca_data == authority
    leaf = x509.load_pem_x509_certificate(made.server_certificate.read_bytes())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "lab.example" in {str(one.value) for one in names}
    with pytest.raises(FileNotFoundError, match=r"ca\.crt and ca\.key"):
        renew(tmp_path / "nowhere", NOW)


@pytest.mark.realtime
async def test_renewed_files_are_taken_into_use_while_clients_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation_module, "CHECK_SECONDS", 0.05)
    async with serving_https(tmp_path) as served:
        keys = served.server.context.signing_keys
        published = len(keys.jwks())
        work = asyncio.create_task(keep_fresh(served.https, served.credentials, keys, SystemClock()))
        api = client.connect(served.connection)
        try:
            await api.list(ConfigMap, "default")
            before = await serial(served)
            renew(tmp_path / "pki", datetime.now(UTC))
            SigningKeys(tmp_path / "pki").rotate()
            await eventually(lambda: len(keys.jwks()) > published)  # the certificate is looked at first
            assert await serial(served) != before
            await api.list(ConfigMap, "default")
        finally:
            await api.close()
            work.cancel()
            await asyncio.wait([work])


@pytest.mark.realtime
async def test_who_a_certificate_lets_in_and_whom_not(tmp_path: Path) -> None:
    async with serving_https(tmp_path) as served:
        now = datetime.now(UTC)
        own = served.credentials
        stranger = ensure_credentials(tmp_path / "elsewhere", now)
        serving = (own.server_certificate.read_bytes(), own.server_key.read_bytes())
        cases = (
            (own.issue_client("boss", ("system:masters",), now), None),
            (own.issue_client("jane", (), now), Forbidden),
            (stranger.issue_client("boss", ("system:masters",), now), (Unreachable, Unauthorized)),
            (serving, (Unreachable, Unauthorized)),
        )
        for (certificate, key), refusal in cases:
            api = client.connect(
                Connection(server=served.url, ca_data=own.ca_data, certificate_data=certificate, key_data=key)
            )
            try:
                if refusal is None:
                    await api.list(ConfigMap, "default")
                else:
                    with pytest.raises(refusal):
                        await api.list(ConfigMap, "default")
            finally:
                await api.close()
