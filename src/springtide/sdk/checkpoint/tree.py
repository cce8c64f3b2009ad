"""A state taken apart into JSON and arrays, and put together again; called by `checkpointer`.

No pickle: what a checkpoint holds is numbers, text, bytes and the structure between them, so that opening one
runs no code. JSON stands for what it can say; the rest is an object whose key `$` says what it is. Objects
with `state_dict` and `load_state_dict` are saved as what the one returns, and given to the other.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from springtide.sdk.checkpoint.arrays import Leaf, kind_of, leaf_of, loaded
from springtide.sdk.checkpoint.layout import CheckpointError

SHARED_STATE = ("torch.nn", "torch.optim", "torch.amp", "torch.cuda.amp")
"""Objects of these packages are the same on all ranks, sharded tensors apart; any other object is the rank's
own.
"""


class Local:
    """Marks a value that each rank has for itself: `{"buffer": Local(tensor)}` saves every rank's.

    Tensors are otherwise taken to be the same on all ranks, or sharded (DTensor). Objects with a state_dict
    that are not PyTorch's models, optimizers, schedulers or scalers (samplers, data loaders) are each rank's
    own anyway, and so are numbers, text and bytes.
    """

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


@dataclass(slots=True)
class Flat:
    """A state taken apart: the structure as JSON, and the arrays by name; `local` names those of this rank
    alone.
    """

    tree: Any = None
    leaves: dict[str, Leaf] = field(default_factory=dict)
    local: set[str] = field(default_factory=set)


def flatten(state: Any, random: Any = None, *, pickle: bool = False) -> Flat:
    """A state, and random states that go with it.

    Raises CheckpointError, naming the key, for what cannot be saved.
    """
    flattener = _Flattener(pickle)
    flattener.flat.tree = {
        "state": flattener.node(state, ""),
        "random": None if random is None else flattener.node(Local(random), "random states"),
    }
    return flattener.flat


def is_stateful(value: object) -> bool:
    return callable(getattr(value, "state_dict", None)) and callable(getattr(value, "load_state_dict", None))


def is_shared(value: object) -> bool:
    """Whether a stateful object is the same on all ranks: it, or what it is derived from, is PyTorch's."""
    return any(cls.__module__.startswith(SHARED_STATE) for cls in type(value).__mro__)


def below(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)


class _Flattener:
    def __init__(self, pickle: bool) -> None:
        self.flat = Flat()
        self._pickle = pickle
        self._local = False
        self._seen: dict[Any, str] = {}

    def node(self, value: Any, path: str) -> Any:
        if value is None or isinstance(value, bool | str) or type(value) is int:
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {"$": "float", "value": repr(value)}
        if isinstance(value, complex) and kind_of(value) is None:
            return {"$": "complex", "value": [self.node(value.real, path), self.node(value.imag, path)]}
        if (kind := kind_of(value)) is not None:
            return self._array(value, kind, path)
        if isinstance(value, Local):
            return {"$": "local", "value": self._apart(value.value, path, local=True)}
        if is_stateful(value):
            kept = self._apart(value.state_dict(), path, local=self._local or not is_shared(value))
            return {"$": "state", "of": f"{type(value).__module__}.{type(value).__qualname__}", "value": kept}
        return self._container(value, path)

    def _apart(self, value: Any, path: str, *, local: bool) -> Any:
        before, self._local = self._local, local
        try:
            return self.node(value, path)
        finally:
            self._local = before

    def _container(self, value: Any, path: str) -> Any:
        if isinstance(value, Counter):
            return {"$": "counter", "items": [[self._key(k, path), n] for k, n in value.items()]}
        if isinstance(value, dict):
            return self._dict(value, path)
        if isinstance(value, list):
            return [self.node(one, below(path, i)) for i, one in enumerate(value)]
        if isinstance(value, tuple):
            items = [self.node(one, below(path, i)) for i, one in enumerate(value)]
            return {"$": "tuple", "items": items}
        if isinstance(value, set | frozenset):
            return {"$": "set", "items": [self._key(one, path) for one in sorted(value, key=repr)]}
        if isinstance(value, int | float):
            return self.node(int(value) if isinstance(value, int) else float(value), path)
        torch = loaded("torch")
        if torch is not None and isinstance(value, torch.dtype | torch.device):
            return {"$": f"torch.{type(value).__name__}", "value": str(value).removeprefix("torch.")}
        return self._other(value, path)

    def _dict(self, value: dict[Any, Any], path: str) -> Any:
        plain = all(isinstance(key, str) for key in value) and "$" not in value
        if plain:
            return {key: self.node(one, below(path, key)) for key, one in value.items()}
        items = [[self._key(key, path), self.node(one, below(path, key))] for key, one in value.items()]
        return {"$": "dict", "items": items}

    def _key(self, key: Any, path: str) -> Any:
        """Keys and members of sets are all in the tree: what they are decides how the rest is read."""
        if isinstance(key, bytes):
            return {"$": "hex", "value": key.hex()}
        if isinstance(key, tuple):
            return {"$": "tuple", "items": [self._key(one, path) for one in key]}
        if kind_of(key) is not None:
            raise CheckpointError(
                f"{path or 'the state'} has an array as a key, which nothing can look up again"
            )
        return self.node(key, path)

    def _array(self, value: Any, kind: str, path: str) -> Any:
        leaf = leaf_of(value, kind, path or "the state")
        made = {"bytes": type(value).__name__}.get(kind, kind)
        numpy = loaded("numpy")
        if kind == "numpy" and numpy is not None and isinstance(value, numpy.generic):
            made = "scalar"
        return {"$": "array", "as": made, "name": self._named(leaf, path)}

    def _named(self, leaf: Leaf, path: str) -> str:
        """The name the array gets; tensors that are one and the same (tied weights) are stored once."""
        same = _identity(leaf)
        if same is not None and (name := self._seen.get((same, self._local))) is not None:
            return name
        name = path or "state"
        number = 2
        while name in self.flat.leaves:
            name, number = f"{path}#{number}", number + 1
        self.flat.leaves[name] = leaf
        if same is not None:
            self._seen[same, self._local] = name
        if self._local or leaf.kind == "bytes":
            self.flat.local.add(name)
        return name

    def _other(self, value: Any, path: str) -> Any:
        jax = loaded("jax")
        if jax is not None and not jax.tree_util.all_leaves([value]):
            leaves = jax.tree_util.tree_leaves(value)
            return {"$": "pytree", "items": [self.node(one, below(path, i)) for i, one in enumerate(leaves)]}
        if self._pickle:
            import pickle

            leaf = leaf_of(pickle.dumps(value), "bytes", path)
            return {"$": "pickle", "name": self._named(leaf, path)}
        raise CheckpointError(
            f"{path or 'the state'} is a {type(value).__module__}.{type(value).__qualname__}, which is "
            "neither numbers, text, bytes, tensors nor an object with state_dict and load_state_dict; "
            "save what it is made of, or allow pickle with Checkpointer(pickle=True)"
        )


def _identity(leaf: Leaf) -> Any:
    """Equal for two names of the same memory; None where that is not known."""
    array = leaf.array
    if leaf.kind != "torch" or leaf.shares is not None or array.numel() == 0:
        return None
    return array.device, array.data_ptr(), leaf.dtype, leaf.shape, tuple(array.stride())


@dataclass(frozen=True, slots=True)
class Rebuild:
    """How to put a state together: `array(name, kind, like)` gives an array, filled or to be filled."""

    array: Callable[[str, str, Any], Any]
    same_world: bool
    strict: bool = True
    pickle: bool = False
    skipped: list[str] = field(default_factory=list)
    """Paths of what another number of ranks cannot take over."""
    later: list[Callable[[], None]] = field(default_factory=list)
    """load_state_dict of objects, called when all arrays are filled."""

    def of(self, node: Any, like: Any, path: str) -> Any:
        """The value of a node, in the shape and, where there are any, in the arrays and objects of `like`."""
        if isinstance(like, Local):
            inner = node["value"] if _tag(node) == "local" else node
            return Local(self._local(inner, like.value, path))
        tag = _tag(node)
        if tag == "local":
            return self._local(node["value"], like, path)
        if is_stateful(like):
            return self._object(node, like, path)
        if tag is not None:
            return self._tagged(tag, node, like, path)
        if isinstance(node, dict):
            return self._dict([(key, key, one) for key, one in node.items()], like, path)
        if isinstance(node, list):
            return self._items(node, like, path)
        return node

    def _local(self, node: Any, like: Any, path: str) -> Any:
        if self.same_world:
            return self.of(node, like, path)
        self.skipped.append(path)
        return like

    def _object(self, node: Any, like: Any, path: str) -> Any:
        shared = is_shared(like)
        if not shared and not self.same_world:
            self.skipped.append(path)
            return like
        value = node["value"] if _tag(node) == "state" else node
        state = self.of(value, _targets(like), path) if shared else self.of(value, None, path)
        self.later.append(lambda: like.load_state_dict(state))
        return like

    def _tagged(self, tag: str, node: dict[str, Any], like: Any, path: str) -> Any:
        if tag == "array":
            return self.array(node["name"], node["as"], like)
        if tag == "state":
            return self.of(node["value"], like, path)
        if tag == "dict":
            pairs = [(self.of(key, None, path), key, one) for key, one in node["items"]]
            return self._dict(pairs, like, path)
        if tag == "tuple":
            items = self._items(node["items"], like, path)
            return type(like)(*items) if hasattr(like, "_fields") else tuple(items)
        if tag == "set":
            members = {self.of(one, None, path) for one in node["items"]}
            return frozenset(members) if isinstance(like, frozenset) else members
        if tag == "counter":
            return Counter({self.of(key, None, path): count for key, count in node["items"]})
        if tag == "float":
            return float(node["value"])
        if tag == "hex":
            return bytes.fromhex(node["value"])
        if tag == "complex":
            return complex(*(self.of(one, None, path) for one in node["value"]))
        return self._rare(tag, node, like, path)

    def _rare(self, tag: str, node: dict[str, Any], like: Any, path: str) -> Any:
        if tag in {"torch.dtype", "torch.device"}:
            torch = sys.modules["torch"]
            return getattr(torch, node["value"]) if tag == "torch.dtype" else torch.device(node["value"])
        if tag == "pytree":
            jax = loaded("jax")
            items = self._items(node["items"], None, path)
            return items if jax is None or like is None else _unflatten(jax, like, items, path)
        if tag == "pickle":
            if not self.pickle:
                raise CheckpointError(
                    f"{path} was saved with pickle, which runs code when it is opened; "
                    "allow it with Checkpointer(pickle=True) if you trust who wrote it"
                )
            import pickle

            box = self.array(node["name"], "bytes", None)
            return None if box is None else pickle.loads(bytes(box))
        raise CheckpointError(f"{path} is of the unknown sort {tag!r}: it was saved by a newer springtide")

    def _dict(self, items: list[tuple[Any, Any, Any]], like: Any, path: str) -> Any:
        if isinstance(like, Moments):
            return {key: self.of(one, like.below(key), below(path, key)) for key, _, one in items}
        if not isinstance(like, dict):
            return {key: self.of(one, None, below(path, key)) for key, _, one in items}
        stored = {key for key, _, _ in items}
        if self.strict and stored != like.keys():
            raise CheckpointError(_difference(path, stored, set(like)))
        found = {key: self.of(one, like.get(key), below(path, key)) for key, _, one in items if key in like}
        return {key: found.get(key, one) for key, one in like.items()}

    def _items(self, items: list[Any], like: Any, path: str) -> list[Any]:
        likes: list[Any] = [None] * len(items)
        if isinstance(like, list | tuple) and (like or not self.strict):
            if self.strict and len(like) != len(items):
                raise CheckpointError(
                    f"{path} has {len(items)} items in the checkpoint and {len(like)} in this program"
                )
            likes[: len(like)] = list(like)[: len(items)]
        return [self.of(one, likes[i], below(path, i)) for i, one in enumerate(items)]


def _tag(node: Any) -> str | None:
    return node.get("$") if isinstance(node, dict) else None


def _difference(path: str, stored: set[Any], wanted: set[Any]) -> str:
    parts = []
    if missing := sorted(map(str, wanted - stored)):
        parts.append(f"has no {', '.join(below(path, key) for key in missing[:8])}")
    if extra := sorted(map(str, stored - wanted)):
        parts.append(f"has {', '.join(below(path, key) for key in extra[:8])}, which this program does not")
    more = len(wanted ^ stored) - min(8, len(wanted - stored)) - min(8, len(stored - wanted))
    tail = f" (and {more} more)" if more > 0 else ""
    return f"the checkpoint {' and '.join(parts)}{tail}; restore what both have with strict=False"


def _targets(like: Any) -> Any:
    """What a state is read into: a model's own tensors; an optimizer's as its parameters are."""
    torch = loaded("torch")
    if torch is None:
        return None
    if isinstance(like, torch.nn.Module):
        return like.state_dict()
    if isinstance(like, torch.optim.Optimizer):
        return _optimizer_targets(like)
    return None


def _optimizer_targets(optimizer: Any) -> Any:
    """Where a parameter is sharded, its moments are too: each gets a place of the same sharding."""
    numbered = [one for group in optimizer.param_groups for one in group["params"]]
    if not any(hasattr(one, "device_mesh") for one in numbered):
        return None
    return Moments(dict(enumerate(numbered)))


class Moments:
    """Stands for the state of a sharded optimizer, which has none before its first step: where tensors shall
    go.

    An optimizer numbers its parameters; what it keeps of one, and has its shape, is sharded as the parameter
    is.
    """

    __slots__ = ("parameter", "parameters")

    def __init__(self, parameters: dict[int, Any], parameter: Any = None) -> None:
        self.parameters = parameters
        self.parameter = parameter

    def below(self, key: object) -> Moments | None:
        if self.parameter is not None or key == "state":
            return self
        found = self.parameters.get(key) if isinstance(key, int) else None
        return None if found is None else Moments({}, found)


def _unflatten(jax: Any, like: Any, items: list[Any], path: str) -> Any:
    structure = jax.tree_util.tree_structure(like)
    if structure.num_leaves != len(items):
        raise CheckpointError(
            f"{path} has {len(items)} leaves in the checkpoint and {structure.num_leaves} here"
        )
    return jax.tree_util.tree_unflatten(structure, items)
