"""The certificate authority of the embedded control plane, and the files a first start makes.

    <folder>/ca.crt, ca.key            the authority: P-256, ten years
    <folder>/server.crt, server.key    the API server: loopback and this machine's name, one year
    <folder>/admin.token               the administrator's bearer token

Everything is kept between starts and made again when missing; certificates also when thirty days are left.
Files are written whole or not at all, readable by this user only. Called by `up` before the server listens.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_AUTHORITY_LIFE = timedelta(days=3650)
_LEAF_LIFE = timedelta(days=365)
_RENEW_WITHIN = timedelta(days=30)
_CLOCK_SKEW = timedelta(hours=1)
_SERVER, _CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH


@dataclass(frozen=True, slots=True)
class Credentials:
    """Where the files are, and the token itself."""

    ca_certificate: Path
    server_certificate: Path
    server_key: Path
    admin_token: str
    hosts: tuple[str, ...] = ()
    """Names and addresses the server is reached by, beyond those of this machine."""

    @property
    def folder(self) -> Path:
        return self.ca_certificate.parent

    @property
    def ca_data(self) -> bytes:
        """The authority's certificate as PEM, for kubeconfigs."""
        return self.ca_certificate.read_bytes()

    def issue_client(self, name: str, groups: Sequence[str], now: datetime) -> tuple[bytes, bytes]:
        """Certificate and key (PEM) of a user, good for a year, for a kubeconfig."""
        authority = _load(self.folder / "ca.crt", self.folder / "ca.key")
        if authority is None:
            raise FileNotFoundError(f"{self.folder}: ca.crt and ca.key are missing or do not belong together")
        certificate, key = _issue(authority, _subject(name, groups), now, usage=_CLIENT)
        return certificate.public_bytes(serialization.Encoding.PEM), _private_pem(key)


def ensure(folder: Path, now: datetime, hosts: Sequence[str] = ()) -> Credentials:
    """Make what is missing or near its end. `hosts` are more names and addresses the server is reached by."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    names = _names(hosts)
    authority = _load(folder / "ca.crt", folder / "ca.key")
    if authority is None or not _lasts(authority[0], now):
        authority = _make_authority(now)
        _store(folder / "ca.crt", folder / "ca.key", *authority)
    server = _load(folder / "server.crt", folder / "server.key")
    if server is None or not _fits(server[0], authority[0], names, now):
        server = _issue(authority, _subject("springtide-apiserver"), now, usage=_SERVER, names=names)
        _store(folder / "server.crt", folder / "server.key", *server)
    return Credentials(
        folder / "ca.crt",
        folder / "server.crt",
        folder / "server.key",
        _token(folder / "admin.token"),
        tuple(hosts),
    )


def renew(folder: Path, now: datetime) -> None:
    """A new serving certificate and key for the same names. Raises FileNotFoundError without an authority."""
    authority = _load(folder / "ca.crt", folder / "ca.key")
    if authority is None:
        raise FileNotFoundError(f"{folder}: ca.crt and ca.key are missing or do not belong together")
    old = _load(folder / "server.crt", folder / "server.key")
    names = sorted(_covered(old[0])) if old is not None else _names(())
    subject = _subject("springtide-apiserver")
    _store(
        folder / "server.crt",
        folder / "server.key",
        *_issue(authority, subject, now, usage=_SERVER, names=names),
    )


_Pair = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def _names(hosts: Sequence[str]) -> list[str]:
    known = [
        "localhost",
        "127.0.0.1",
        "::1",
        socket.gethostname(),
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        *hosts,
    ]
    return sorted({name for name in known if name and name not in ("0.0.0.0", "::")})


def _make_authority(now: datetime) -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "springtide-ca")])
    certificate = (
        _builder(name, name, key.public_key(), now, _AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate, key


def _subject(name: str, groups: Sequence[str] = ()) -> x509.Name:
    """In Kubernetes' way: the user is the common name, each group an organization."""
    listed = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*listed, x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _issue(
    authority: _Pair,
    subject: x509.Name,
    now: datetime,
    *,
    usage: x509.ObjectIdentifier,
    names: Sequence[str] = (),
) -> _Pair:
    certificate, authority_key = authority
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(subject, certificate.subject, key.public_key(), now, _LEAF_LIFE)
    if names:
        listed = x509.SubjectAlternativeName([_general_name(name) for name in names])
        builder = builder.add_extension(listed, critical=False)
    leaf = (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
        )
        .sign(authority_key, hashes.SHA256())
    )
    return leaf, key


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _load(certificate_file: Path, key_file: Path) -> _Pair | None:
    """The stored pair, or None if a file is missing, unreadable as PEM, or the two do not belong together."""
    try:
        certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        key = serialization.load_pem_private_key(key_file.read_bytes(), None)
    except (FileNotFoundError, ValueError):
        return None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or certificate.public_key() != key.public_key():
        return None
    return certificate, key


def lasts(certificate: bytes, now: datetime) -> bool:
    """Whether a certificate (PEM) is good for some time yet; False for what is none."""
    try:
        return _lasts(x509.load_pem_x509_certificate(certificate), now)
    except ValueError:
        return False


def _lasts(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_after_utc > now + _RENEW_WITHIN


def _fits(leaf: x509.Certificate, authority: x509.Certificate, names: Sequence[str], now: datetime) -> bool:
    """Whether the server's certificate is of this authority, for all names, and lasts."""
    try:
        leaf.verify_directly_issued_by(authority)
    except (InvalidSignature, TypeError, ValueError):
        return False
    return _lasts(leaf, now) and _covered(leaf).issuperset(names)


def _covered(leaf: x509.Certificate) -> set[str]:
    """Names and addresses a certificate is good for."""
    listed = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(entry.value) for entry in listed}


def _store(
    certificate_file: Path, key_file: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> None:
    write_private(key_file, _private_pem(key))
    write_private(certificate_file, certificate.public_bytes(serialization.Encoding.PEM))


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _token(file: Path) -> str:
    try:
        found = file.read_text().strip()
    except FileNotFoundError:
        found = ""
    if not found:
        found = os.urandom(32).hex()
        write_private(file, f"{found}\n".encode())
    return found


def write_private(file: Path, data: bytes) -> None:
    """Write a file that only this user can read, whole or not at all."""
    draft = file.with_name(f".{file.name}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(file)
