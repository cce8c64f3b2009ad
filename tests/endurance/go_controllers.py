"""kube-scheduler and kube-controller-manager, as they are, against the embedded API server.

    KUBEBUILDER_ASSETS=/folder/with/binaries python -m tests.endurance.go_controllers [--nodes 50]

The server and the simulated nodes are ours and run in processes of their own, without our scheduler and our
controllers; what a cluster does with Deployments, StatefulSets, DaemonSets, Jobs, CronJobs, garbage and
disruption budgets is then done by Kubernetes' own programs, which speak protobuf to us, each as the user that
a cluster knows it as, and each controller with a token of its own service account. One JSON row a step, and a
last one that counts them; exit code 1 if a step failed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.platforms import SPRINGTIDE, kubectl_path
from tests.programs import started

STEP_SECONDS = 90.0
START_SECONDS = 60.0

NODES = """
nodes:
  - namePrefix: n-
    count: {count}
    capacity: {{cpu: 16, memory: 64Gi}}
"""

TEMPLATE = """
    metadata: {labels: {app: NAME}}
    spec: {containers: [{name: main, image: none, resources: {requests: {cpu: 100m}}}]}
"""


@dataclass
class Stage:
    """A running server with its kubeconfig."""

    folder: Path

    def kubectl(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [kubectl_path(), *arguments],
            env={**os.environ, "KUBECONFIG": str(self.folder / "data" / "kubeconfig")},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=STEP_SECONDS,
            check=False,
        )

    def apply(self, text: str) -> None:
        done = self.kubectl("apply", "-f", "-", stdin=text)
        if done.returncode:
            raise RuntimeError(done.stderr)

    def get(self, *arguments: str) -> Any:
        done = self.kubectl("get", *arguments, "-o", "json")
        return json.loads(done.stdout) if done.returncode == 0 else {}

    def status(self, kind: str, name: str) -> dict[str, Any]:
        return dict(self.get(kind, name).get("status", {}))

    def wait(self, holds: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + STEP_SECONDS
        while not holds():
            if time.monotonic() > deadline:
                raise RuntimeError(f"not within {STEP_SECONDS:g} s: {what}")
            time.sleep(0.3)


# -- what Kubernetes' own controllers must get done ------------------------------------------------------


def deployment_of_fifty(stage: Stage) -> None:
    done = stage.kubectl("create", "deployment", "web", "--image=none", "--replicas=50")
    if done.returncode:
        raise RuntimeError(done.stderr)
    stage.wait(lambda: stage.status("deployment", "web").get("availableReplicas") == 50, "50 pods available")


def scaled_and_rolled_out(stage: Stage) -> None:
    stage.kubectl("scale", "deployment", "web", "--replicas=20")
    stage.kubectl("set", "image", "deployment/web", "none=other")
    done = stage.kubectl("rollout", "status", "deployment/web", f"--timeout={STEP_SECONDS:g}s")
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    stage.wait(lambda: len(stage.get("pods", "-l", "app=web")["items"]) == 20, "20 pods left")


def stateful_set(stage: Stage) -> None:
    body = TEMPLATE.replace("NAME", "db")
    stage.apply(
        "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: db}\nspec:\n  replicas: 3\n"
        f"  serviceName: db\n  selector: {{matchLabels: {{app: db}}}}\n  template:{body}"
    )
    stage.wait(lambda: stage.status("statefulset", "db").get("readyReplicas") == 3, "3 members ready")
    names = sorted(pod["metadata"]["name"] for pod in stage.get("pods", "-l", "app=db")["items"])
    if names != ["db-0", "db-1", "db-2"]:
        raise RuntimeError(f"members are called {names}")


def daemon_set(stage: Stage) -> None:
    body = TEMPLATE.replace("NAME", "agent")
    stage.apply(
        "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: agent}\nspec:\n"
        f"  selector: {{matchLabels: {{app: agent}}}}\n  template:{body}"
    )
    nodes = len(stage.get("nodes")["items"])
    stage.wait(lambda: stage.status("daemonset", "agent").get("numberReady") == nodes, f"{nodes} agents")


def job(stage: Stage) -> None:
    body = TEMPLATE.replace("NAME", "batch").replace("spec: {", "spec: {restartPolicy: Never, ")
    body = body.replace(
        "{labels: {app: batch}}", '{annotations: {"simulation.springtide.dev/duration": "1s"}}'
    )
    stage.apply(
        "apiVersion: batch/v1\nkind: Job\nmetadata: {name: batch}\nspec:\n  completions: 5\n"
        f"  parallelism: 5\n  completionMode: Indexed\n  template:{body}"
    )
    stage.wait(lambda: stage.status("job", "batch").get("succeeded") == 5, "5 completions")


def endpoint_slices(stage: Stage) -> None:
    stage.kubectl("expose", "deployment", "web", "--port=80")

    def listed() -> bool:
        pieces = stage.get("endpointslices", "-l", "kubernetes.io/service-name=web").get("items", [])
        return sum(len(piece["endpoints"] or []) for piece in pieces) == 20

    stage.wait(listed, "20 endpoints")


def disruption_budget(stage: Stage) -> None:
    stage.kubectl("create", "poddisruptionbudget", "web", "--selector=app=web", "--min-available=15")
    stage.wait(lambda: stage.status("pdb", "web").get("disruptionsAllowed") == 5, "5 disruptions allowed")


def namespace_emptied(stage: Stage) -> None:
    stage.kubectl("create", "namespace", "short")
    stage.kubectl("-n", "short", "create", "configmap", "one")
    stage.kubectl("delete", "namespace", "short", "--wait=false")
    stage.wait(lambda: not stage.get("namespace", "short"), "the namespace is gone")


def garbage_collected(stage: Stage) -> None:
    stage.kubectl("delete", "deployment", "web", "--wait=false")
    stage.wait(lambda: not stage.get("pods", "-l", "app=web")["items"], "no pods left")


STEPS: tuple[Callable[[Stage], None], ...] = (
    deployment_of_fifty,
    scaled_and_rolled_out,
    stateful_set,
    daemon_set,
    job,
    endpoint_slices,
    disruption_budget,
    namespace_emptied,
    garbage_collected,
)


# -- the processes ---------------------------------------------------------------------------------------


def _identity(stage: Stage, name: str) -> Path:
    """A kubeconfig of the user that a cluster gives this component; its rights are the default roles'."""
    file = stage.folder / f"{name}.kubeconfig"
    command = ["user", f"system:{name}", "--data-dir", str(stage.folder / "data"), "--file", str(file)]
    subprocess.run([*SPRINGTIDE, *command], check=True, capture_output=True)
    return file


@contextmanager
def staged(assets: Path, nodes: int) -> Iterator[Stage]:
    """Everything running, until the block ends."""
    with tempfile.TemporaryDirectory(prefix="go-controllers-") as name, ExitStack() as stack:
        folder = Path(name)
        stage, kubeconfig = Stage(folder), folder / "data" / "kubeconfig"
        (folder / "nodes.yaml").write_text(NODES.format(count=nodes))
        key = folder / "accounts.key"
        subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)

        def start(what: str, command: list[str]) -> None:
            stack.enter_context(started(command, folder / f"{what}.log", kubeconfig=kubeconfig))

        start("server", [*SPRINGTIDE, "server", "--data-dir", str(folder / "data"), "--port", "0"])
        stage.wait(lambda: stage.kubectl("get", "--raw", "/readyz").returncode == 0, "the server is ready")
        start("nodes", [*SPRINGTIDE, "node", "--simulate", str(folder / "nodes.yaml")])
        own = {name: _identity(stage, name) for name in ("kube-scheduler", "kube-controller-manager")}
        scheduler = [str(assets / "kube-scheduler"), f"--kubeconfig={own['kube-scheduler']}"]
        start("scheduler", [*scheduler, "--secure-port=0"])
        start(
            "controllers",
            [
                str(assets / "kube-controller-manager"),
                f"--kubeconfig={own['kube-controller-manager']}",
                "--use-service-account-credentials",
                f"--service-account-private-key-file={key}",
                "--secure-port=0",
            ],
        )
        stage.wait(lambda: len(stage.get("nodes").get("items", [])) == nodes, "all nodes registered")
        try:
            yield stage
        finally:
            for what in ("scheduler", "controllers"):
                text = (folder / f"{what}.log").read_text(errors="replace")
                errors = [line for line in text.splitlines() if line.startswith("E")]
                print(json.dumps({"log": what, "errors": len(errors), "last": errors[-3:]}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=int, default=50)
    options = parser.parse_args()
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if not assets:
        parser.error("KUBEBUILDER_ASSETS must name the folder of kube-scheduler and kube-controller-manager")
    passed = 0
    with staged(Path(assets), options.nodes) as stage:
        for step in STEPS:
            began = time.monotonic()
            error = ""
            try:
                step(stage)
                passed += 1
            except (RuntimeError, subprocess.TimeoutExpired, KeyError) as failure:
                error = str(failure)
            row = {"step": step.__name__, "seconds": round(time.monotonic() - began, 1), "passed": not error}
            print(json.dumps({**row, **({"error": error} if error else {})}), flush=True)
    print(json.dumps({"steps": len(STEPS), "passed": passed}), flush=True)
    sys.exit(passed != len(STEPS))


if __name__ == "__main__":
    main()
