"""The TLS side of a connection: whom we trust, and the certificate we show. Called by `http`."""

from __future__ import annotations

import os
import ssl
import tempfile
from pathlib import Path

from springtide.client.credentials import Credential
from springtide.client.errors import KubeconfigError
from springtide.client.kubeconfig import Connection


def tls_context(connection: Connection, credential: Credential) -> ssl.SSLContext:
    """A client context. Raises KubeconfigError for certificates that cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if connection.insecure_skip_tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif connection.ca_data:
        _trust(context, connection)
    else:
        context.load_default_certs()
    if credential.certificate_data:
        _show(context, connection, credential)
    return context


def _trust(context: ssl.SSLContext, connection: Connection) -> None:
    try:
        context.load_verify_locations(cadata=connection.ca_data.decode("ascii"))
    except (ssl.SSLError, UnicodeDecodeError) as error:
        raise KubeconfigError(
            f"context {connection.context!r}: certificate-authority has no PEM certificate: {error}"
        ) from error


def _show(context: ssl.SSLContext, connection: Connection, credential: Credential) -> None:
    # Python loads certificate chains from files only; this one is ours alone and gone at once
    descriptor, name = tempfile.mkstemp(prefix="springtide-client-")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(credential.certificate_data + b"\n" + credential.key_data)
        context.load_cert_chain(name)
    except (ssl.SSLError, OSError) as error:
        raise KubeconfigError(
            f"context {connection.context!r}: client certificate and key do not fit together: {error}"
        ) from error
    finally:
        Path(name).unlink()
