"""Predictions of 300 boosted trees a second, one thread: xgboost's `inplace_predict`, ONNX Runtime and compiled trees.

All walk the same trees over the same rows, 1, 25 and 1000 a call, and the last race asks of each row what is expected
of a lost and of a won map. Every answer is compared with xgboost's: compiled ones to the bit, ONNX Runtime's to 1e-5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import orjson
import xgboost as xgb
from onnx import TensorProto, helper

from actors.compiled_trees import CompiledTrees, walk_trees
from benchmarks.paired import Way, command, race

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from numpy.typing import NDArray

    Predict = Callable[[NDArray[np.float32]], NDArray[Any]]

TREES, DEPTH, FEATURES = 300, 6, 64  # the last feature is the result of the map
TRAINING_ROWS = 8_000
CALLS = {1: 2_000, 25: 400, 1_000: 20}  # rows a call: calls of one run
NEAR = 1e-5  # relative, of ONNX Runtime, which adds up in another order


@dataclass(slots=True)
class Calls:
    """The work of one way: one call per batch; afterwards all answers are compared with what ``right`` allows."""

    predict: Predict
    batches: Sequence[NDArray[np.float32]]
    right: Callable[[NDArray[Any], NDArray[Any]], bool]
    truth: Sequence[NDArray[Any]]
    said: list[NDArray[Any]] = field(default_factory=list)

    def way(self, name: str) -> Way:
        """It, for a race."""
        return Way(name, self.run, check=self.check)

    async def run(self) -> int:
        """Predict."""
        self.said = [self.predict(batch) for batch in self.batches]
        return len(self.batches)

    async def check(self) -> None:
        """Every answer is xgboost's."""
        assert len(self.said) == len(self.truth)
        assert all(self.right(ours, true) for ours, true in zip(self.said, self.truth, strict=True))


async def races(rounds: int) -> AsyncIterator[dict[str, Any]]:
    """One race per number of rows, and one of both results of a row."""
    walk_trees()
    rng = np.random.default_rng(20260314)
    booster = trained(rng)
    compiled, runtime = CompiledTrees.of(booster), onnx_session(booster)

    def by_onnx(rows: NDArray[np.float32]) -> NDArray[Any]:
        return np.asarray(runtime.run(None, {"rows": rows})[0])[:, 0]

    for rows, calls in CALLS.items():
        ways = _ways(booster.inplace_predict, by_onnx, compiled.predict, [some_rows(rng, rows) for _ in range(calls)])
        yield await race(f"{TREES} trees of depth {DEPTH}, {rows} rows a call", "calls/s", ways, rounds)
    batches = [some_rows(rng, 1)[:, :-1].copy() for _ in range(CALLS[1])]
    ways = _ways(_doubled(booster.inplace_predict), _doubled(by_onnx), compiled.predict_by_result, batches)
    yield await race("One row, lost and won", "calls/s", ways, rounds)


def trained(rng: np.random.Generator) -> xgb.Booster:
    """Full trees of counts that most features say a little about, one number in ten missing."""
    rows = some_rows(rng, TRAINING_ROWS)
    weights = rng.normal(size=FEATURES) / math.sqrt(FEATURES)
    counts = rng.poisson(np.exp(0.3 * np.nan_to_num(rows) @ weights + 0.7 * rows[:, -1]))
    params = {"objective": "count:poisson", "max_depth": DEPTH, "eta": 0.05, "nthread": 1, "seed": 1}
    return xgb.train(params, xgb.DMatrix(rows, counts), TREES)


def some_rows(rng: np.random.Generator, rows: int) -> NDArray[np.float32]:
    """Rows of features and a result."""
    values = rng.normal(size=(rows, FEATURES)).astype(np.float32)
    values[rng.random(values.shape) < 0.1] = np.nan
    values[:, -1] = rng.random(rows) < 0.5
    return values


def onnx_session(booster: xgb.Booster) -> onnxruntime.InferenceSession:
    """The same trees in ONNX Runtime, on one thread."""
    learner: dict[str, Any] = orjson.loads(bytes(booster.save_raw("json")))["learner"]
    trees = learner["gradient_booster"]["model"]["trees"]
    base_score = float(learner["learner_model_param"]["base_score"].strip("[]"))
    graph = helper.make_graph(
        [
            helper.make_node(
                "TreeEnsembleRegressor",
                ["rows"],
                ["margins"],
                domain="ai.onnx.ml",
                n_targets=1,
                base_values=[math.log(base_score)],
                **_attributes(trees),
            ),
            helper.make_node("Exp", ["margins"], ["counts"]),
        ],
        "trees",
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, [None, FEATURES])],
        [helper.make_tensor_value_info("counts", TensorProto.FLOAT, [None, 1])],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _attributes(trees: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Nodes and leaves of xgboost's JSON in ONNX's words."""
    names = ("left_children", "right_children", "split_indices", "split_conditions", "default_left")
    nodes = [
        (at, number, *values)
        for at, tree in enumerate(trees)
        for number, values in enumerate(zip(*(tree[name] for name in names), strict=True))
    ]
    leaves = [(tree, number, value) for tree, number, left, _, _, value, _ in nodes if left == -1]
    return {
        "nodes_treeids": [tree for tree, *_ in nodes],
        "nodes_nodeids": [number for _, number, *_ in nodes],
        "nodes_modes": ["LEAF" if left == -1 else "BRANCH_LT" for _, _, left, *_ in nodes],
        "nodes_truenodeids": [max(left, 0) for _, _, left, *_ in nodes],
        "nodes_falsenodeids": [max(right, 0) for _, _, _, right, *_ in nodes],
        "nodes_featureids": [feature for *_, feature, _, _ in nodes],
        "nodes_values": [threshold for *_, threshold, _ in nodes],
        "nodes_missing_value_tracks_true": [int(default_left) for *_, default_left in nodes],
        "target_treeids": [tree for tree, _, _ in leaves],
        "target_nodeids": [number for _, number, _ in leaves],
        "target_ids": [0] * len(leaves),
        "target_weights": [value for _, _, value in leaves],
    }


def _ways(
    xgboost: Predict, onnx_runtime: Predict, compiled: Predict, batches: Sequence[NDArray[np.float32]]
) -> list[Way]:
    """The three, all of whose answers are right before any is timed."""
    truth = [xgboost(batch) for batch in batches]
    calls = {
        "xgboost inplace_predict": Calls(xgboost, batches, np.array_equal, truth),
        "ONNX Runtime": Calls(
            onnx_runtime, batches, lambda ours, true: np.allclose(ours, true, rtol=NEAR, atol=0), truth
        ),
        "compiled trees": Calls(compiled, batches, np.array_equal, truth),
    }
    return [one.way(name) for name, one in calls.items()]


def _doubled(predict: Predict) -> Predict:
    """Both results of rows that lack it, of shape [n, 2], as one call."""

    def both(rows: NDArray[np.float32]) -> NDArray[Any]:
        results = np.repeat(np.arange(2, dtype=np.float32), len(rows))
        return predict(np.column_stack([np.tile(rows, (2, 1)), results])).reshape(2, -1).T

    return both


if __name__ == "__main__":
    command(__doc__, "benchmarks.ensemble", races)
