"""The ranks of a job agreeing with each other; used by `checkpointer` when it restores and before each save.

One operation is enough: everyone says something, everyone hears all. Through torch.distributed where that is
initialised; else through small files in the checkpoint folder, which is how JAX and other programs have it.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from springtide.sdk.checkpoint.arrays import loaded
from springtide.sdk.checkpoint.layout import CheckpointError
from springtide.sdk.checkpoint.reading import Survey, in_memory, in_storage
from springtide.sdk.checkpoint.sharing import Place
from springtide.sdk.place import rank, world_size

_POLL_SECONDS = 0.005
_TIMEOUT_SECONDS = 600.0
_NOTHING: Any = object()


class Crew(Protocol):
    """All processes of a job."""

    rank: int
    world: int

    def gather(self, word: Any) -> list[Any]:
        """What each rank says, in their order; returns when all have spoken. Words are JSON."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the job: who the ranks are, and what is there to restore.

    Parts of different runs never mix.
    """

    crew: Crew
    place: Place
    session: str
    surveys: list[Survey]


def meet(storage: Path, memory: Path | None) -> Run:
    """The ranks learn who is on their node, and name their run (its number is the greatest so far)."""
    ranks = crew(storage)
    surveys = [in_memory(memory, ranks.rank, ranks.world)] if memory is not None else []
    surveys.append(in_storage(storage))
    word = {
        "node": node_of(memory or storage),
        "generation": max(survey.generation for survey in surveys),
        "token": secrets.token_hex(8),
    }
    words = ranks.gather(word)
    together = tuple(rank for rank, one in enumerate(words) if one["node"] == word["node"])
    session = f"{max(one['generation'] for one in words) + 1:06d}-{words[0]['token']}"
    return Run(ranks, Place(ranks.rank, ranks.world, together), session, surveys)


def node_of(folder: Path) -> str:
    """The same for processes that see the same memory, on the same machine."""
    known = folder.stat()
    return f"{socket.gethostname()}:{known.st_dev}:{known.st_ino}"


def crew(folder: Path) -> Crew:
    """The crew of this process, as it stands when the first checkpoint is saved or restored."""
    torch = loaded("torch")
    if torch is not None and torch.distributed.is_available() and torch.distributed.is_initialized():
        return TorchCrew(torch.distributed)
    if world_size() == 1:
        return Alone()
    return FileCrew(folder / ".crew", rank(), world_size())


class Alone:
    """One process needs no agreement."""

    rank, world = 0, 1

    def gather(self, word: Any) -> list[Any]:
        return [word]


class TorchCrew:
    """Over the default process group: collective, as training is."""

    def __init__(self, distributed: Any) -> None:
        self._distributed = distributed
        self.rank: int = distributed.get_rank()
        self.world: int = distributed.get_world_size()

    def gather(self, word: Any) -> list[Any]:
        words: list[Any] = [None] * self.world
        self._distributed.all_gather_object(words, word)
        return words


class FileCrew:
    """Over files that all ranks see. Files of an earlier run are told apart by what each rank made up at its
    start.

    Rank 0 collects everybody's token, says which run they make, and goes on once all have said yes to it;
    from then on words go by that run's name. A rank that starts anew breaks the run, as it breaks training.
    """

    def __init__(
        self,
        folder: Path,
        rank: int,
        world: int,
        *,
        timeout: float = _TIMEOUT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.rank, self.world = rank, world
        self._folder = folder
        self._token = secrets.token_hex(8)
        self._timeout = timeout
        self._clock = clock
        self._run = ""
        self._round = 0

    def gather(self, word: Any) -> list[Any]:
        if not self._run:
            self._meet()
        self._round += 1
        self._put(f"{self._run}-{self._round}-{self.rank}", word)
        words = [
            self._take(f"{self._run}-{self._round}-{rank}", f"rank {rank} to speak")
            for rank in range(self.world)
        ]
        if self._round > 2:  # whoever is in this round has read the one before the last
            (self._folder / f"{self._run}-{self._round - 2}-{self.rank}").unlink(missing_ok=True)
        return words

    def _meet(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._put(f"token-{self.rank}", self._token)
        self._run = self._lead() if self.rank == 0 else self._follow()

    def _lead(self) -> str:
        for old in self._folder.glob("*-*-*"):
            old.unlink(missing_ok=True)
        tokens: list[Any] = []
        run = ""
        until = self._clock() + self._timeout
        while True:
            heard = [self._look(f"token-{rank}") for rank in range(self.world)]
            if _NOTHING not in heard and heard != tokens:
                tokens, run = heard, secrets.token_hex(8)
                self._put("run", {"run": run, "tokens": tokens})
            if run and all(self._look(f"yes-{rank}") == run for rank in range(1, self.world)):
                self._put("go", run)
                return run
            absent = [rank for rank, token in enumerate(heard) if token is _NOTHING]
            self._pause(until, f"ranks {absent or 'to agree'}")

    def _follow(self) -> str:
        until = self._clock() + self._timeout
        said = ""
        while True:
            run = self._look("run")
            if (
                run is not _NOTHING
                and run["tokens"][self.rank : self.rank + 1] == [self._token]
                and run["run"] != said
            ):
                said = run["run"]
                self._put(f"yes-{self.rank}", said)
            if said and self._look("go") == said:
                return said
            self._pause(until, "rank 0")

    def _pause(self, until: float, what: str) -> None:
        if self._clock() > until:
            raise CheckpointError(
                f"rank {self.rank} waited {self._timeout:.0f} s for {what} in {self._folder}; all ranks must "
                "save and restore together, and see the same folder"
            )
        time.sleep(_POLL_SECONDS)

    def _take(self, name: str, what: str) -> Any:
        until = self._clock() + self._timeout
        while (word := self._look(name)) is _NOTHING:
            self._pause(until, what)
        return word

    def _put(self, name: str, word: Any) -> None:
        partial = self._folder / f".{name}.{os.getpid()}"
        partial.write_text(json.dumps(word))
        partial.replace(self._folder / name)

    def _look(self, name: str) -> Any:
        try:
            return json.loads((self._folder / name).read_text())
        except (FileNotFoundError, ValueError):
            return _NOTHING
