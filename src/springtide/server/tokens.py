"""Signed tokens (JWT, ES256) and the keys that sign them.

    <folder>/sa.key               the key that signs, P-256
    <folder>/sa-retired-<id>.pub  keys that signed before: their tokens stay good until they expire

Without a folder the key lives as long as the process. Keys are read or made when first needed, so that a
server nobody asks for a token never loads them. Used by `token_accounts`; `documents` publishes the public
keys.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

Json = dict[str, Any]

_ALGORITHM = "ES256"
_HALF_BYTES = 32
_REMEMBERED = 2048
_LONGEST_BYTES = 16 * 1024


class TokenRejected(Exception):
    """The token is not one of ours, or no longer good; the text says why."""


class SigningKeys:
    """One key that signs, and all that verify."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._private: ec.EllipticCurvePrivateKey | None = None
        self._public: dict[str, ec.EllipticCurvePublicKey] = {}
        self._current = ""
        self._loaded = (0, 0)
        self._verified: dict[bytes, Json] = {}

    def sign(self, claims: Json) -> str:
        """A token that says this."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

        key = self._load()
        head = _encode(msgspec.json.encode({"alg": _ALGORITHM, "kid": self._current}))
        text = f"{head}.{_encode(msgspec.json.encode(claims))}"
        r, s = decode_dss_signature(key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        signature = r.to_bytes(_HALF_BYTES, "big") + s.to_bytes(_HALF_BYTES, "big")
        return f"{text}.{_encode(signature)}"

    def verify(self, token: str) -> Json:
        """What a token says, if one of the keys signed it. Raises TokenRejected. Do not change the answer."""
        digest = hashlib.sha256(token.encode("utf-8", "replace")).digest()
        claims = self._verified.get(digest)
        if claims is None:
            claims = self._verify(token)
            if len(self._verified) >= _REMEMBERED:
                self._verified.clear()
            self._verified[digest] = claims
        return claims

    def jwks(self) -> bytes:
        """The public keys as a JSON Web Key Set."""
        self._load()
        return msgspec.json.encode({"keys": [_jwk(name, key) for name, key in self._public.items()]})

    def reload(self) -> bool:
        """Take a signing key into use that replaced ours on disk; says whether there was one."""
        if self._folder is None or self._private is None or self._stamp() == self._loaded:
            return False
        self._private = None
        self._load()
        return True

    def rotate(self) -> str:
        """Sign with a new key from now on; the old one goes on verifying. Returns the new key's id."""
        from cryptography.hazmat.primitives import serialization

        old = self._load()
        if self._folder is not None:
            pem = old.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            _write(self._folder / f"sa-retired-{self._current[:16]}.pub", pem)
        self._make()
        return self._current

    def _verify(self, token: str) -> Json:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

        parts = token.split(".")
        if len(parts) != 3 or len(token) > _LONGEST_BYTES:
            raise TokenRejected("the bearer token is not a signed token")
        try:
            head, claims = (msgspec.json.decode(_decode(part), type=dict[str, Any]) for part in parts[:2])
            signature = _decode(parts[2])
        except (ValueError, msgspec.MsgspecError):
            raise TokenRejected("the bearer token is not a signed token") from None
        self._load()
        key = self._public.get(str(head.get("kid")))
        if head.get("alg") != _ALGORITHM or key is None or len(signature) != 2 * _HALF_BYTES:
            raise TokenRejected("the bearer token was not signed by a key of this server")
        r = int.from_bytes(signature[:_HALF_BYTES], "big")
        s = int.from_bytes(signature[_HALF_BYTES:], "big")
        try:
            signed = f"{parts[0]}.{parts[1]}".encode()
            key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            raise TokenRejected("the bearer token's signature is wrong") from None
        return claims

    def _load(self) -> ec.EllipticCurvePrivateKey:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        if self._private is not None:
            return self._private
        if self._folder is not None:
            for file in sorted(self._folder.glob("sa-retired-*.pub")):
                public = serialization.load_pem_public_key(file.read_bytes())
                if isinstance(public, ec.EllipticCurvePublicKey):
                    self._public[_key_id(public)] = public
            file = self._folder / "sa.key"
            if file.exists():
                found = serialization.load_pem_private_key(file.read_bytes(), None)
                if not isinstance(found, ec.EllipticCurvePrivateKey):
                    raise ValueError(f"{file}: not a P-256 key; remove the file to have a new one made")
                return self._use(found)
        return self._make()

    def _make(self) -> ec.EllipticCurvePrivateKey:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        key = ec.generate_private_key(ec.SECP256R1())
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            pem = key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            _write(self._folder / "sa.key", pem)
        return self._use(key)

    def _use(self, key: ec.EllipticCurvePrivateKey) -> ec.EllipticCurvePrivateKey:
        self._private, self._current, self._loaded = key, _key_id(key.public_key()), self._stamp()
        self._public = {self._current: key.public_key(), **self._public}
        return key

    def _stamp(self) -> tuple[int, int]:
        if self._folder is None:
            return 0, 0
        found = (self._folder / "sa.key").stat()
        return found.st_mtime_ns, found.st_ino


def _key_id(key: ec.EllipticCurvePublicKey) -> str:
    """As Kubernetes names keys: the digest of the public key."""
    from cryptography.hazmat.primitives import serialization

    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return _encode(hashlib.sha256(der).digest())


def _jwk(name: str, key: ec.EllipticCurvePublicKey) -> Json:
    numbers = key.public_numbers()
    return {
        "use": "sig",
        "kty": "EC",
        "kid": name,
        "crv": "P-256",
        "alg": _ALGORITHM,
        "x": _encode(numbers.x.to_bytes(_HALF_BYTES, "big")),
        "y": _encode(numbers.y.to_bytes(_HALF_BYTES, "big")),
    }


def _write(file: Path, data: bytes) -> None:
    from springtide.server.ca import write_private

    write_private(file, data)


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ValueError(str(error)) from error
