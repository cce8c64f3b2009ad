"""The steps of a restore, which all ranks take together; called by `checkpointer`.

Each rank says which steps it could read; all take the newest they share; each checks every byte it needs,
from memory or, if that is damaged, from storage; only when all have found theirs good is the state touched.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from springtide.sdk.checkpoint import randomness, reading
from springtide.sdk.checkpoint.copying import Copier
from springtide.sdk.checkpoint.crew import Run
from springtide.sdk.checkpoint.layout import CheckpointError, DamagedError, warn
from springtide.sdk.checkpoint.loading import Loader
from springtide.sdk.checkpoint.reading import Candidate, Key
from springtide.sdk.checkpoint.tree import Rebuild


@dataclass(frozen=True, slots=True)
class Wish:
    """What `Checkpointer.restore` was asked for."""

    like: Any
    step: int | None
    strict: bool
    pickle: bool
    location: Any


@dataclass(frozen=True, slots=True)
class Restored:
    """Where the state came from. `skipped` names what another number of ranks could not take over."""

    step: int
    where: str
    seconds: float
    skipped: tuple[str, ...] = ()


def restore(
    run: Run, wish: Wish, copier: Copier, began: float, clock: Callable[[], float]
) -> tuple[Any, Restored | None]:
    """Raises CheckpointError, on all ranks, if the state does not fit or nothing that is there is whole."""
    found = _by_key(run, wish)
    bad: list[Key] = []
    while True:
        words = run.crew.gather([list(key) for key in found if key not in bad])
        shared = set.intersection(*({(one[0], one[1], one[2]) for one in word} for word in words))
        if not shared:
            return _nothing(run, wish, found, bad)
        key = max(shared)
        loader, trouble, fatal = _prepare(run, wish, found[key], copier)
        verdicts = run.crew.gather([trouble, fatal])
        _raise_if_fatal(verdicts)
        if all(trouble == "" for trouble, _ in verdicts):
            break
        bad.append(key)
        if loader is not None:
            others = "; ".join(f"rank {rank}: {word}" for rank, (word, _) in enumerate(verdicts) if word)
            warn(f"step {key[1]} is left out: {others}")
    assert loader is not None
    loader.fill(copier)
    value, skipped = _given(run, wish, loader)
    run.crew.gather("read")  # from here on others may write over what this rank has read
    candidate = loader.candidate
    if skipped:
        warn(f"step {key[1]} was saved by {candidate.world} ranks: {', '.join(skipped)} begin anew")
    return value, Restored(key[1], candidate.where, clock() - began, tuple(skipped))


def _by_key(run: Run, wish: Wish) -> dict[Key, list[Candidate]]:
    """What this rank could read; where one step is in several places, memory first."""
    found: dict[Key, list[Candidate]] = {}
    for survey in run.surveys:
        for problem in survey.problems:
            warn(f"{problem}; left out")
        for candidate in survey.candidates:
            if wish.step is None or candidate.step == wish.step:
                found.setdefault(candidate.key, []).append(candidate)
    return found


def _prepare(
    run: Run, wish: Wish, candidates: list[Candidate], copier: Copier
) -> tuple[Loader | None, str, bool]:
    """A loader whose bytes are good, or what is wrong; fatal if it is the program that does not fit."""
    trouble = []
    for candidate in candidates:
        loader = Loader(candidate, run.place.rank, wish.location)
        try:
            _walk(run, wish, loader, loader.plan)
            reading.check(loader.wanted(), copier.threads)
        except (DamagedError, OSError) as error:
            trouble.append(str(error))
            warn(f"step {candidate.step} in {candidate.where}: {error}")
        except CheckpointError as error:
            return None, f"step {candidate.step}: {error}", True
        else:
            return loader, "", False
    return None, "; ".join(trouble), False


def _raise_if_fatal(verdicts: list[Any]) -> None:
    for rank, (trouble, fatal) in enumerate(verdicts):
        if fatal:
            raise CheckpointError(trouble if len(verdicts) == 1 else f"rank {rank}: {trouble}")


def _walk(
    run: Run, wish: Wish, loader: Loader, array: Callable[[str, str, Any], Any]
) -> tuple[Any, Any, Rebuild]:
    """Put state and random states together with these arrays."""
    candidate = loader.candidate
    tree = candidate.base(run.place.rank).manifest.tree
    rebuild = Rebuild(array, candidate.world == run.place.world, wish.strict, wish.pickle)
    state = rebuild.of(tree["state"], wish.like, "")
    random = rebuild.of(tree["random"], None, "random states") if tree["random"] is not None else None
    return state, random, rebuild


def _given(run: Run, wish: Wish, loader: Loader) -> tuple[Any, list[str]]:
    state, random, rebuild = _walk(run, wish, loader, loader.give)
    for load in rebuild.later:
        load()
    if random is not None:
        randomness.put_back(random)
    return state, rebuild.skipped


def _nothing(run: Run, wish: Wish, found: dict[Key, Any], bad: list[Key]) -> tuple[Any, None]:
    """Nothing to restore: fine if nothing was ever saved; an error if it was, since starting anew would hide
    it.
    """
    problems = sum(len(survey.problems) for survey in run.surveys)
    words = run.crew.gather([len(bad) + problems, wish.step, sorted(key[1] for key in found)])
    if wish.step is not None:
        raise CheckpointError(f"step {wish.step} is not there, or not whole")
    if any(damaged for damaged, _, _ in words):
        raise CheckpointError(
            "everything that was saved is damaged (stderr says how); to start from the beginning, remove it"
        )
    for rank, (_, _, steps) in enumerate(words):
        if steps:
            warn(f"rank {rank} has steps {steps}, but no step is whole on all ranks: beginning anew")
    return wish.like, None
