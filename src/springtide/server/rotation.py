"""Certificates and signing keys change while the server runs, and nobody notices.

Once a minute the files are looked at: a serving certificate near its end is made anew (`ca.ensure`), and a
certificate or signing key that changed on disk, by us or by `springtide certs rotate`, is taken into use. New
connections get the new certificate; open ones go on. Tokens signed with an earlier key stay good. Run by `up`
beside the HTTPS server.
"""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

from springtide.runtime.clock import Clock
from springtide.runtime.log import logger
from springtide.server.asgi import HttpsServer
from springtide.server.ca import Credentials, ensure
from springtide.server.tokens import SigningKeys

CHECK_SECONDS = 60.0

log = logger("server.rotation")


async def keep_fresh(https: HttpsServer, credentials: Credentials, keys: SigningKeys, clock: Clock) -> None:
    """Run until cancelled."""
    seen = _stamp(credentials.server_certificate)
    while True:
        await asyncio.sleep(CHECK_SECONDS)
        try:
            await asyncio.to_thread(ensure, credentials.folder, clock.now(), credentials.hosts)
            changed = _stamp(credentials.server_certificate)
            if changed != seen:
                https.reload_certificate(credentials)
                seen = changed
                log.info("serving certificate renewed", file=str(credentials.server_certificate))
            if keys.reload():
                log.info("signing key renewed", folder=str(credentials.folder))
        except (OSError, ValueError, ssl.SSLError) as error:
            log.error("certificates could not be renewed", folder=str(credentials.folder), error=str(error))


def _stamp(file: Path) -> tuple[int, int]:
    found = file.stat()
    return found.st_mtime_ns, found.st_ino
