"""Follows a TrainJob: keeps its watches and log streams open and feeds what they bring to `follow.Follower`.

Survives a platform that restarts: everything is listed and watched again, logs continue after the last line
shown. Called by `run` and `logs -f`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import TypeVar

from springtide import client as api
from springtide.api import labels
from springtide.api.core import Pod
from springtide.api.kueue import Workload
from springtide.api.meta import Object
from springtide.api.springtide import Diagnosis
from springtide.api.trainer import TrainJob
from springtide.cli import follow
from springtide.cli.errors import Unreachable
from springtide.cli.phase import JobPhase, Phase
from springtide.cli.screen import Screen
from springtide.cli.session import closing
from springtide.cli.verdict import Verdict, deleted, newest, verdict

T = TypeVar("T", bound=Object)

TICK_SECONDS = 0.25
RETRY_SECONDS = 1.0
PATIENCE_SECONDS = 60.0
"""How long a platform may be away before following is given up."""


class Following:
    """One job being followed. `created_now`: we created it just now, so how long it takes is measured."""

    def __init__(
        self,
        client: api.Client,
        job: TrainJob,
        screen: Screen,
        *,
        created_now: bool = False,
        progress: bool = True,
    ) -> None:
        self._client = client
        self._name = job.metadata.name
        self._namespace = job.metadata.namespace
        self._uid = job.metadata.uid
        self._screen = screen
        self._created_now = created_now
        self._progress = progress
        self._began = _monotonic()
        self._phase = JobPhase(Phase.CREATED)
        self._lost_since: float | None = None
        self._seen: asyncio.Queue[follow.Seen | None] = asyncio.Queue()
        self._follower = follow.Follower()

    def stop(self) -> None:
        """End following without a verdict (Ctrl-C); the job goes on."""
        self._seen.put_nowait(None)

    async def run(self) -> Verdict | None:
        """Follow until the job ends; None if stopped before. Raises Unreachable if the platform stays off."""
        watches = (
            self._watch(TrainJob, self._job, field_selector=f"metadata.name={self._name}"),
            self._watch(
                Workload, self._workload, field_selector=f"metadata.name={workload_name(self._name)}"
            ),
            self._watch(Pod, self._pod, label_selector=f"{labels.JOBSET_NAME}={self._name}"),
            self._tick(),
        )
        async with _Tasks() as tasks:
            for watch in watches:
                tasks.start(watch)
            try:
                finish = await self._consume(tasks)
            finally:
                self._screen.end()
        return None if finish is None else await self._verdict(finish)

    async def _consume(self, tasks: _Tasks) -> follow.Finish | None:
        """Feed the follower and do what it asks, until it finishes or we are stopped."""
        while (seen := await self._seen.get()) is not None:
            tasks.check()
            for effect in self._follower.see(seen, _monotonic()):
                match effect:
                    case follow.Finish():
                        return effect
                    case follow.OpenLog(pod, container):
                        tasks.start(self._log(pod, container))
                    case follow.ListPods():
                        tasks.start(self._list_pods())
                    case _:
                        self._print(effect)
            if isinstance(seen, follow.Tick):
                self._time_passed()
        return None

    def _print(self, effect: follow.Effect) -> None:
        match effect:
            case follow.Line(rank, text):
                self._screen.line(rank, text)
            case follow.Notice(text):
                self._screen.notice(f"{self._name}: {text}")
            case follow.Show(phase):
                self._phase = phase
                self._show(changed=True)
            case _:
                raise AssertionError(f"{effect} is not printed")

    def _time_passed(self) -> None:
        if self._lost_since is not None and _monotonic() - self._lost_since > PATIENCE_SECONDS:
            raise Unreachable(
                f"the platform has not answered for {PATIENCE_SECONDS:g} s",
                f"the job is kept: after `springtide up`, `springtide logs -f {self._name}` follows it again",
            )
        self._show(changed=False)

    def _show(self, *, changed: bool) -> None:
        if self._progress:
            self._screen.show(self._name, self._phase, _monotonic() - self._began, changed=changed)

    async def _verdict(self, finish: follow.Finish) -> Verdict:
        job, ended = self._follower.job, self._follower.finished_at
        if finish.gone or job is None or ended is None:
            return deleted(self._name, _monotonic() - self._began)
        seconds = ended - self._began if self._created_now else None
        diagnosis = (
            None
            if follow.succeeded(job)
            else await newest_diagnosis(self._client, self._name, self._namespace)
        )
        return verdict(job, seconds, diagnosis)

    # -- what brings news --------------------------------------------------------------------------

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self._seen.put_nowait(follow.Tick())

    async def _watch(
        self,
        kind: type[T],
        take: Callable[[str, T | None], None],
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> None:
        """List and watch for ever. `take(name, object)`: the object now, or None when it is gone."""
        known: set[str] = set()
        while True:
            try:
                listing = await self._client.list(
                    kind, self._namespace, label_selector=label_selector, field_selector=field_selector
                )
                self._found_again()
                present = {item.metadata.name for item in listing.items}
                for name in (known - present) | ({self._name} - present if kind is TrainJob else set()):
                    take(name, None)
                known = present
                for item in listing.items:
                    take(item.metadata.name, item)
                events = self._client.watch(
                    kind,
                    self._namespace,
                    resource_version=listing.resource_version,
                    label_selector=label_selector,
                    field_selector=field_selector,
                )
                async with closing(events):
                    async for event in events:
                        if not isinstance(event, api.Bookmark):
                            name = event.object.metadata.name
                            take(name, None if event.type == "DELETED" else event.object)
                            known = known - {name} if event.type == "DELETED" else known | {name}
            except api.Gone:
                continue
            except (api.Unreachable, api.ServerError, api.Unauthorized):
                self._lost()
                await asyncio.sleep(RETRY_SECONDS)

    def _lost(self) -> None:
        if self._lost_since is None:
            self._lost_since = _monotonic()
            self._screen.notice("connection to the platform lost, trying again")

    def _found_again(self) -> None:
        if self._lost_since is not None:
            self._lost_since = None
            self._screen.notice("connected again")

    def _job(self, _name: str, job: TrainJob | None) -> None:
        same = job is not None and job.metadata.uid == self._uid
        self._seen.put_nowait(follow.JobSeen(job) if job is not None and same else follow.JobGone())

    def _workload(self, _name: str, workload: Workload | None) -> None:
        self._seen.put_nowait(follow.WorkloadSeen(workload))

    def _pod(self, name: str, pod: Pod | None) -> None:
        self._seen.put_nowait(follow.PodGone(name) if pod is None else follow.PodSeen(pod))

    async def _list_pods(self) -> None:
        with contextlib.suppress(api.ApiError):  # the follower waits for the answer only so long
            selector = f"{labels.JOBSET_NAME}={self._name}"
            for pod in (await self._client.list(Pod, self._namespace, label_selector=selector)).items:
                self._seen.put_nowait(follow.PodSeen(pod))
            self._seen.put_nowait(follow.PodsListed())

    async def _log(self, pod: str, container: str) -> None:
        """One stream of a pod's log, with timestamps, from its beginning."""
        broken = False
        chunks = self._client.logs(self._namespace, pod, container=container, follow=True, timestamps=True)
        try:
            async with closing(chunks):
                async for chunk in chunks:
                    self._seen.put_nowait(follow.LogChunk(pod, chunk))
        except api.NotFound:
            pass
        except api.ApiError:
            broken = True
        self._seen.put_nowait(follow.LogEnded(pod, broken))


class _Tasks:
    """Background tasks that end with the block; an error in one of them surfaces in `check`."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> _Tasks:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def start(self, work: Coroutine[None, None, None]) -> None:
        self._tasks.add(asyncio.create_task(work))

    def check(self) -> None:
        for task in [task for task in self._tasks if task.done()]:
            self._tasks.discard(task)
            task.result()


def workload_name(job: str) -> str:
    """The Workload that `training` makes of a TrainJob."""
    return f"trainjob-{job}"


async def newest_diagnosis(client: api.Client, job: str, namespace: str) -> Diagnosis | None:
    """Why the job's latest attempt failed, if that is known. None where the kind is not installed."""
    try:
        listing = await client.list(Diagnosis, namespace)
    except api.NotFound:
        return None
    return newest(listing.items, workload_name(job))


def _monotonic() -> float:
    """Seconds of the running loop's clock, which tests let jump."""
    return asyncio.get_running_loop().time()
