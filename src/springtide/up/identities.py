"""A kubeconfig for each part that may run beside the API server, with no more rights than the part needs.

`parts.serve_api` writes them into the data folder at every start; the roles behind the groups are among those
every server begins with (`server/rbac_defaults.py`).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

from springtide.client import Connection, load_kubeconfig, write_context
from springtide.server import Credentials, certificate_lasts

FOLDER = "kubeconfigs"
GROUPS = {
    "scheduler": "springtide:schedulers",
    "controllers": "springtide:controllers",
    "node": "springtide:nodes",
    "collect": "springtide:collectors",
}
"""Part to the group that its user is in."""


def write_identities(data_dir: Path, admin: Connection, credentials: Credentials, now: datetime) -> None:
    """Bring the kubeconfigs to this address and authority; certificates are kept while they last."""
    folder = data_dir / FOLDER
    folder.mkdir(exist_ok=True, mode=0o700)
    for part, group in GROUPS.items():
        place = folder / part
        kept = load_kubeconfig(place) if place.exists() else None
        if kept is None or kept.ca_data != admin.ca_data or not certificate_lasts(kept.certificate_data, now):
            certificate, key = credentials.issue_client(f"springtide:{part}", (group,), now)
        else:
            certificate, key = kept.certificate_data, kept.key_data
        own = replace(admin, token="", certificate_data=certificate, key_data=key)
        if kept is None or (kept.server, kept.certificate_data) != (own.server, certificate):
            write_context(place, own, shared=False)
            place.chmod(0o600)
