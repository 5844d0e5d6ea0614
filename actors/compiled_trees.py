"""Boosted trees as one table of nodes that machine code walks: a row costs microseconds, xgboost's call alone 150.

The sums run in float32 and in xgboost's order, so the answers are xgboost's own to the bit. A node is eight bytes, a
tree lies breadth first with both children side by side, and a leaf leads to itself: a step is one comparison without a
branch, and the steps of the trees of a row wait for nothing but their own last one, so that the processor overlaps them
(after Asadi, Lin and de Vries 2014).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numba
import numpy as np
import orjson
import xgboost as xgb
from numba import types

from stores.errors import InvalidError
from stores.features.schema import RESULTS
from stores.kernels import kernel, plain, record_type

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

LOG_LINK = {"count:poisson": True, "reg:tweedie": True, "reg:squarederror": False}  # the objectives that are understood

# One node: x[column] < threshold leads to the node `step` further on, everything else to the one behind that.
NODE = np.dtype([("threshold", np.float32), ("column", np.uint16), ("step", np.uint16)])
MAX_SMALL = 2**16 - 1  # of a column and of a step

_SIGNATURE = types.void(
    types.Array(numba.from_dtype(NODE), 1, "C"),
    types.Array(types.uint64, 1, "C"),
    types.Array(types.uint64, 2, "C"),
    types.int64,
    types.int64,
    types.float32,
    types.boolean,
    types.Array(types.float32, 2, "C"),
    types.Array(types.float64, 2, "C"),
)


@dataclass(frozen=True, slots=True, eq=False)
class Walk:
    """Which trees a row walks, and how they add up.

    ``roots`` are the first nodes of different trees; ``sums``, of shape [sums, trees], the places among them of each
    sum's trees, in xgboost's order; ``depth`` is the number of steps.
    """

    roots: NDArray[np.uint64]
    sums: NDArray[np.uint64]
    depth: int


class TreeTables(NamedTuple):
    """The trees of one walk as other kernels take them (`walk_trees` says what is what)."""

    nodes: NDArray[np.void]
    roots: NDArray[np.uint64]
    sums: NDArray[np.uint64]
    depth: int
    features: int
    base_score: np.float32
    log_link: bool


TREE_TABLES = record_type(TreeTables, *_SIGNATURE.args[:7])


@dataclass(frozen=True, slots=True, eq=False)
class CompiledTrees:
    """The trees of one booster. Immutable, safe to share between threads, which walk without the interpreter's lock.

    A row's answer has the same bits alone and in a batch. Missing values are NaN. ``ubjson`` is what xgboost writes of
    them, to be stored.
    """

    features: int
    base_score: np.float32
    log_link: bool
    nodes: NDArray[np.void]
    walk: Walk
    walk_by_result: Walk
    ubjson: bytes

    @classmethod
    def of(cls, booster: xgb.Booster) -> CompiledTrees:
        """The trees of a booster. Raises InvalidError if it has parts that are not understood."""
        return cls.of_json(bytes(booster.save_raw("json")), bytes(booster.save_raw("ubj")))

    @classmethod
    def of_ubjson(cls, ubjson: bytes) -> CompiledTrees:
        """Those that were stored, whole: what is cut can end the process. Raises InvalidError as `of`."""
        booster = xgb.Booster()
        booster.load_model(bytearray(ubjson))
        return cls.of_json(bytes(booster.save_raw("json")), ubjson)

    @classmethod
    def of_json(cls, model: bytes, ubjson: bytes) -> CompiledTrees:
        """From xgboost's JSON, of which nothing is executed; ``ubjson`` is kept as it is. Raises as `of`."""
        try:
            with np.errstate(over="ignore"):  # what is too large becomes infinite, which is refused
                return _compiled(orjson.loads(model)["learner"], ubjson)
        except (IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
            raise InvalidError(f"these are no trees in xgboost's JSON ({error!r}); train again", "learner") from error

    def predict(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """What xgboost predicts, of shape [n], for rows of shape [n, features].

        Raises InvalidError if they are of another shape or type.
        """
        return self._walked(self.walk, rows, self.features)[:, 0]

    def predict_by_result(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """What xgboost predicts, of shape [n, 2], when the last feature, the result, is 0 (lost) and when it is 1.

        ``rows`` hold the other features, of shape [n, features - 1]. Trees that do not look at the result are walked
        once. Raises InvalidError as `predict`.
        """
        return self._walked(self.walk_by_result, rows, self.features - 1)

    def whole(self, columns: int) -> TreeTables:
        """For another kernel what `predict` walks. Raises InvalidError if rows have another number of columns."""
        return self._tables(self.walk, columns, self.features)

    def by_result(self, columns: int) -> TreeTables:
        """For another kernel what `predict_by_result` walks. Raises InvalidError as `whole`."""
        return self._tables(self.walk_by_result, columns, self.features - 1)

    def _tables(self, walk: Walk, columns: int, wanted: int) -> TreeTables:
        if columns != wanted:
            raise InvalidError(f"these trees look at {wanted} columns, not at {columns}; train again", "num_feature")
        parts = self.nodes, walk.roots, walk.sums, walk.depth, self.features, self.base_score, self.log_link
        return TreeTables(*parts)

    def _walked(self, walk: Walk, rows: NDArray[np.float32], columns: int) -> NDArray[np.float64]:
        if rows.ndim != 2 or rows.shape[1] != columns or rows.dtype != np.float32:
            raise InvalidError(f"give float32 rows of shape [n, {columns}], not {rows.dtype} of {rows.shape}", "rows")
        predicted = np.empty((len(rows), len(walk.sums)))
        walk_trees()(*self._tables(walk, columns, columns), plain(rows), predicted)
        return predicted


@kernel(_SIGNATURE)
def walk_trees(  # noqa: PLR0913, PLR0917 — plain arrays and numbers cross into machine code in no time
    nodes: NDArray[np.void],
    roots: NDArray[np.uint64],
    sums: NDArray[np.uint64],
    depth: int,
    features: int,
    base_score: np.float32,
    log_link: bool,
    rows: NDArray[np.float32],
    predicted: NDArray[np.float64],
) -> None:
    """Walk all trees of a row together, step by step. Indexes are unsigned: none is tested for being negative."""
    seen = np.empty(2 * features + 1, np.float32)  # the row with NaN as -inf, then as inf, then what a leaf compares
    seen[2 * features] = -np.inf
    at = np.empty(len(roots), np.uint64)
    start = np.float32(math.log(base_score)) if log_link else base_score
    for row in range(len(rows)):
        for column in range(rows.shape[1]):
            value = rows[row, column]
            missing = np.isnan(value)
            seen[column] = -np.inf if missing else value
            seen[features + column] = np.inf if missing else value
        for tree in range(len(roots)):
            at[tree] = roots[tree]
        for _ in range(depth):
            for tree in range(len(roots)):
                node = nodes[at[tree]]
                right = not seen[node.column] < node.threshold
                at[tree] += np.uint64(node.step) + np.uint64(right)
        for one in range(len(sums)):
            margin = start
            for place in sums[one]:
                margin += nodes[at[place]].threshold
            predicted[row, one] = math.exp(margin) if log_link else margin


def _compiled(learner: Mapping[str, Any], ubjson: bytes) -> CompiledTrees:
    parameters, boosted = learner["learner_model_param"], learner["gradient_booster"]
    objective = learner["objective"]["name"]
    base_scores = [float(score) for score in parameters["base_score"].strip("[]").split(",")]
    outputs = (len(base_scores), max(int(parameters["num_class"]), 1), max(int(parameters["num_target"]), 1))
    if boosted["name"] != "gbtree" or objective not in LOG_LINK or outputs != (1, 1, 1):
        raise InvalidError(
            f"trees of the kind gbtree with one output and an objective of {', '.join(LOG_LINK)} can be compiled, not "
            f"{boosted['name']} with {objective} and {max(outputs)} outputs; train such ones",
            "learner",
        )
    features, log_link = int(parameters["num_feature"]), LOG_LINK[objective]
    if not 1 <= features <= MAX_SMALL // 2:
        raise InvalidError(f"{features} features cannot be compiled; train on 1 to {MAX_SMALL // 2}", "num_feature")
    base_score = np.float32(base_scores[0])
    if not (np.isfinite(base_score) and (base_score > 0 or not log_link)):
        raise InvalidError(f"the base score {base_score} has no margin; train again", "base_score")
    forest = _Forest.of(boosted["model"]["trees"], features)
    nodes, walk, walk_by_result = forest.walks()
    return CompiledTrees(features, base_score, log_link, nodes, walk, walk_by_result, ubjson)


@dataclass(frozen=True, slots=True, eq=False)
class _Layout:
    """Trees breadth first, one after the other."""

    nodes: NDArray[np.void]
    roots: NDArray[np.int64]
    depth: int


@dataclass(frozen=True, slots=True, eq=False)
class _Forest:
    """All trees of a booster as xgboost keeps them; a leaf leads to -1 and its threshold is its value."""

    features: int
    roots: NDArray[np.int64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    feature: NDArray[np.int64]
    threshold: NDArray[np.float32]
    default_left: NDArray[np.bool_]
    tree: NDArray[np.int64]

    @classmethod
    def of(cls, trees: Sequence[Mapping[str, Any]], features: int) -> _Forest:
        """Join the trees. Raises InvalidError if one is not whole or has splits of another kind."""
        lengths = np.array([len(tree["left_children"]) for tree in trees], dtype=np.int64)
        roots = np.cumsum(lengths) - lengths
        tree = np.repeat(np.arange(len(trees)), lengths)

        def joined(name: str, dtype: type[np.generic]) -> NDArray[Any]:
            parts = [np.asarray(one[name], dtype=dtype) for one in trees]
            if [part.shape for part in parts] != [(length,) for length in lengths]:
                raise InvalidError(f"{name} of a tree has not one entry per node; train again", name)
            return np.concatenate(parts)

        children = np.stack([joined(name, np.int64) for name in ("left_children", "right_children")])
        leaf = children[0] == -1
        feature, threshold = joined("split_indices", np.int64), joined("split_conditions", np.float32)
        if any(int(one["tree_param"]["size_leaf_vector"]) > 1 for one in trees) or joined("split_type", np.int64).any():
            raise InvalidError(
                "leaves of several values and splits by category cannot be compiled; train without", "split_type"
            )
        inside = (children > 0) & (children < lengths[tree])
        if not (np.where(leaf, children == -1, inside).all() and ((feature >= 0) & (feature < features)).all()):
            raise InvalidError("a tree leads to a node or a feature that is not there; train again", "left_children")
        if not np.isfinite(threshold).all():
            raise InvalidError("a threshold or leaf of a tree is not finite; train again", "split_conditions")
        left, right = np.where(leaf, -1, children + roots[tree])
        return cls(features, roots, left, right, feature, threshold, joined("default_left", np.bool_), tree)

    def walks(self) -> tuple[NDArray[np.void], Walk, Walk]:
        """All nodes, the walk of a row, and that of a row without its last feature: as if it were 0, and as if 1."""
        every = np.arange(len(self.roots))
        asking = np.unique(self.tree[(self.left >= 0) & (self.feature == self.features - 1)])
        others = np.setdiff1d(every, asking)
        whole = self._laid_out(every)
        layouts = [whole, *(self._laid_out(asking, float(result)) for result in range(len(RESULTS)))]
        lengths = np.array([len(layout.nodes) for layout in layouts])
        roots = [layout.roots + begin for layout, begin in zip(layouts, np.cumsum(lengths) - lengths, strict=True)]
        sums = np.empty((len(RESULTS), len(every)), dtype=np.uint64)
        sums[:, others] = np.arange(len(others))
        sums[:, asking] = len(others) + np.arange(len(asking) * len(RESULTS)).reshape(len(RESULTS), -1)
        by_result = Walk(
            np.concatenate([whole.roots[others], *roots[1:]]).astype(np.uint64),
            sums,
            max(layout.depth for layout in layouts),
        )
        nodes = np.concatenate([layout.nodes for layout in layouts])
        return nodes, Walk(whole.roots.astype(np.uint64), every[None].astype(np.uint64), whole.depth), by_result

    def _laid_out(self, trees: NDArray[np.int64], last: float | None = None) -> _Layout:
        """Some trees breadth first; with ``last`` no node is left that looks at the last feature.

        Raises InvalidError if a tree leads back to itself or is too large.
        """
        owner, level = np.arange(len(trees)), self.roots[trees]
        owners, levels = [owner], [self._decided(level, last)]
        while (inner := self.left[levels[-1]] >= 0).any():
            parents = levels[-1][inner]
            owners.append(np.repeat(owners[-1][inner], 2))
            levels.append(self._decided(np.column_stack([self.left[parents], self.right[parents]]).ravel(), last))
            if sum(map(len, levels)) > len(self.tree):
                raise InvalidError("a tree leads back to itself; train again", "left_children")
        chosen = np.concatenate(levels)
        order = np.argsort(np.concatenate(owners), kind="stable")
        place = np.argsort(order)
        inner = self.left[chosen] >= 0
        step = np.zeros(len(chosen), dtype=np.int64)
        step[inner] = place[len(trees) :: 2] - place[inner]  # behind the roots lie the children of each node in turn
        if (step > MAX_SMALL).any():
            raise InvalidError(f"a level of a tree has more than {MAX_SMALL} nodes; train shallower trees", "max_depth")
        column = self.feature[chosen] + np.where(self.default_left[chosen], 0, self.features)
        nodes = np.empty(len(chosen), dtype=NODE)
        nodes["threshold"] = self.threshold[chosen][order]
        nodes["column"] = np.where(inner, column, 2 * self.features)[order]
        nodes["step"] = step[order]
        return _Layout(nodes, place[: len(trees)], len(levels) - 1)

    def _decided(self, nodes: NDArray[np.int64], last: float | None) -> NDArray[np.int64]:
        """Where these nodes lead while the next question is about the last feature and that is known."""
        while last is not None:
            asks = (self.left[nodes] >= 0) & (self.feature[nodes] == self.features - 1)
            if not asks.any():
                break
            nodes = np.where(asks, np.where(last < self.threshold[nodes], self.left[nodes], self.right[nodes]), nodes)
        return nodes
