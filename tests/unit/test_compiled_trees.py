"""Compiled trees: xgboost's own answers to the bit, and nothing but whole trees gets into machine code."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pytest
import xgboost as xgb
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from actors.compiled_trees import LOG_LINK, MAX_SMALL, CompiledTrees
from stores.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

FEATURES = 6
GROWTHS: dict[str, dict[str, Any]] = {
    "depth 1": {"max_depth": 1},
    "depth 6": {"max_depth": 6},
    "leaves first": {"grow_policy": "lossguide", "max_leaves": 60, "max_depth": 0},
    "single leaves": {"min_child_weight": 1e9},
    "exact": {"tree_method": "exact", "max_depth": 4},
    "forest": {"num_parallel_tree": 3, "subsample": 0.6, "max_depth": 3},
}


def some_rows(rng: np.random.Generator, rows: int) -> NDArray[np.float32]:
    """Few different values, so that thresholds repeat; of the others one in five is missing; the last is a result."""
    values = (rng.integers(-8, 9, (rows, FEATURES)) / 4).astype(np.float32)
    values[rng.random(values.shape) < 0.2] = np.nan
    values[:, -1] = rng.random(rows) < 0.5
    return values


def trained(rng: np.random.Generator, rounds: int = 12, **params: Any) -> xgb.Booster:
    """Trees of some hundred rows in which every feature says something."""
    rows = some_rows(rng, 300)
    mean = np.exp(0.4 * np.nansum(rows * rng.normal(size=FEATURES), axis=1) / np.sqrt(FEATURES) + rng.normal())
    fixed = {"nthread": 1, "min_child_weight": 1.0, "eta": 0.3, "seed": int(rng.integers(2**31))}
    return xgb.train(fixed | params, xgb.DMatrix(rows, rng.poisson(mean)), rounds)


def model_of(booster: xgb.Booster) -> dict[str, Any]:
    """What xgboost writes."""
    model: dict[str, Any] = orjson.loads(bytes(booster.save_raw("json")))
    return model


def trees_of(model: dict[str, Any]) -> list[dict[str, Any]]:
    """The trees of a model, to be read or changed."""
    trees: list[dict[str, Any]] = model["learner"]["gradient_booster"]["model"]["trees"]
    return trees


def asked_rows(rng: np.random.Generator, booster: xgb.Booster, rows: int = 60) -> NDArray[np.float32]:
    """Rows on and right beside thresholds, far off, missing, infinite and of both zeros."""
    thresholds = np.concatenate([np.float32(tree["split_conditions"]) for tree in trees_of(model_of(booster))])
    edges = [np.nextafter(thresholds, np.float32(side), dtype=np.float32) for side in (-np.inf, np.inf)]
    special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, 3e38], dtype=np.float32)
    pool = np.concatenate([thresholds, *edges, np.resize(special, len(thresholds))])
    return np.asarray(rng.choice(pool, (rows, FEATURES)))


def walked(model: dict[str, Any], row: NDArray[np.float32]) -> np.float32:
    """The margin of a row, read off xgboost's JSON one node at a time."""
    margin = np.float32(model["learner"]["learner_model_param"]["base_score"].strip("[]"))
    for tree in trees_of(model):
        node = 0
        while tree["left_children"][node] != -1:
            value = row[tree["split_indices"][node]]
            left = tree["default_left"][node] if np.isnan(value) else value < np.float32(tree["split_conditions"][node])
            node = tree["left_children" if left else "right_children"][node]
        margin += np.float32(tree["split_conditions"][node])
    return margin


@pytest.fixture(scope="module")
def linear_model() -> bytes:
    """Trees for squared error, as JSON: their prediction is their margin."""
    booster = trained(np.random.default_rng(3), rounds=3, objective="reg:squarederror", max_depth=3)
    return orjson.dumps(model_of(booster))


@settings(max_examples=60)
@given(objective=st.sampled_from(list(LOG_LINK)), growth=st.sampled_from(list(GROWTHS)), seed=st.integers(0, 2**32 - 1))
def test_the_answers_are_those_of_xgboost_to_the_bit(objective: str, growth: str, seed: int) -> None:
    """Whatever the objective and the shape of the trees, on thresholds, beside them, missing, infinite and far off."""
    rng = np.random.default_rng(seed)
    booster = trained(rng, objective=objective, **GROWTHS[growth])
    rows = asked_rows(rng, booster)
    assert (
        CompiledTrees.of(booster).predict(rows).astype(np.float32).tobytes() == booster.inplace_predict(rows).tobytes()
    )


@settings(max_examples=40)
@given(growth=st.sampled_from(list(GROWTHS)), seed=st.integers(0, 2**32 - 1))
def test_by_result_is_the_row_with_either_result(growth: str, seed: int) -> None:
    """The two answers have the bits of two rows that end with 0 and with 1."""
    rng = np.random.default_rng(seed)
    booster = trained(rng, objective="count:poisson", **GROWTHS[growth])
    rows = asked_rows(rng, booster)[:, :-1]
    doubled = [np.column_stack([rows, np.full(len(rows), result, dtype=np.float32)]) for result in (0, 1)]
    both = CompiledTrees.of(booster).predict_by_result(np.ascontiguousarray(rows))
    assert both.shape == (len(rows), 2)
    for at, whole in enumerate(doubled):
        assert both[:, at].astype(np.float32).tobytes() == booster.inplace_predict(whole).tobytes()


def test_trees_that_do_not_ask_for_the_result_are_walked_once() -> None:
    """A model that never saw the result differ says the same of both, from as many trees as it has."""
    rng = np.random.default_rng(8)
    rows = some_rows(rng, 300)
    rows[:, -1] = 1.0
    booster = xgb.train({"max_depth": 3, "nthread": 1}, xgb.DMatrix(rows, rng.random(300)), 10)
    compiled = CompiledTrees.of(booster)
    assert len(compiled.walk_by_result.roots) == 10
    lost, won = compiled.predict_by_result(np.ascontiguousarray(rows[:, :-1])).T
    assert lost.tolist() == won.tolist() == compiled.predict(rows).tolist()


def test_one_row_and_many_rows_agree_to_the_bit() -> None:
    """A row alone, in a batch, and in a batch of another order in memory or that nobody may write."""
    rng = np.random.default_rng(4)
    booster = trained(rng, objective="reg:tweedie", max_depth=5)
    compiled, rows = CompiledTrees.of(booster), asked_rows(rng, booster)
    together, both = compiled.predict(rows), compiled.predict_by_result(rows[:, :-1])
    for at in range(len(rows)):
        assert compiled.predict(rows[at : at + 1])[0] == together[at]
        assert compiled.predict_by_result(rows[at : at + 1, :-1])[0].tolist() == both[at].tolist()
    frozen = rows.copy()
    frozen.flags.writeable = False
    for same in (frozen, np.asfortranarray(rows), np.repeat(rows, 2, axis=0)[::2]):
        assert compiled.predict(same).tolist() == together.tolist()
    assert compiled.predict(rows[:0]).shape == (0,)
    assert compiled.predict_by_result(rows[:0, :-1]).shape == (0, 2)


def test_threads_share_one_model() -> None:
    """Threads that walk at the same time do not disturb each other."""
    rng = np.random.default_rng(6)
    booster = trained(rng, objective="count:poisson", max_depth=6)
    compiled = CompiledTrees.of(booster)
    batches = [asked_rows(rng, booster, 200) for _ in range(40)]
    alone = [compiled.predict(batch).tobytes() for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        assert [one.tobytes() for one in pool.map(compiled.predict, batches)] == alone


@pytest.mark.parametrize(
    "rows",
    [
        np.zeros((2, FEATURES)),
        np.zeros(FEATURES, dtype=np.float32),
        np.zeros((2, FEATURES + 1), dtype=np.float32),
        np.zeros((2, FEATURES), dtype=">f4"),
    ],
    ids=["float64", "one dimension", "a feature more", "big endian"],
)
def test_rows_of_another_shape_or_type_are_refused(linear_model: bytes, rows: NDArray[Any]) -> None:
    """Machine code trusts its arguments, so they are looked at before; the message says what is needed."""
    with pytest.raises(InvalidError, match=rf"\[n, {FEATURES}\]"):
        CompiledTrees.of_json(linear_model, b"").predict(rows)


@pytest.mark.parametrize(
    "params",
    [
        {"booster": "dart"},
        {"booster": "gblinear", "updater": "coord_descent"},
        {"objective": "binary:logistic"},
        {"objective": "multi:softprob", "num_class": 3},
    ],
    ids=["dart", "gblinear", "logistic", "classes"],
)
def test_other_kinds_of_models_are_refused(params: dict[str, Any]) -> None:
    """What would be answered wrongly is not answered."""
    rng = np.random.default_rng(1)
    booster = xgb.train({"nthread": 1, **params}, xgb.DMatrix(some_rows(rng, 100), rng.integers(0, 2, 100)), 2)
    with pytest.raises(InvalidError, match="can be compiled"):
        CompiledTrees.of(booster)


@pytest.mark.parametrize("strategy", ["one_output_per_tree", "multi_output_tree"])
def test_several_outputs_are_refused(strategy: str) -> None:
    """Neither trees of one output each nor leaves of several values."""
    rng = np.random.default_rng(1)
    params = {"nthread": 1, "multi_strategy": strategy, "tree_method": "hist"}
    booster = xgb.train(params, xgb.DMatrix(some_rows(rng, 100), rng.random((100, 2))), 2)
    with pytest.raises(InvalidError, match="2 outputs"):
        CompiledTrees.of(booster)


def test_splits_by_category_are_refused() -> None:
    """A set of categories is no threshold."""
    rng = np.random.default_rng(1)
    category = rng.integers(0, 8, (200, 1)).astype(np.float32)
    data = xgb.DMatrix(category, np.sin(3 * category[:, 0]), feature_types=["c"], enable_categorical=True)
    booster = xgb.train({"nthread": 1, "max_cat_to_onehot": 1}, data, 2)
    with pytest.raises(InvalidError, match="category"):
        CompiledTrees.of(booster)


def _set(name: str, at: int, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda model: trees_of(model)[1][name].__setitem__(at, value)


def _parameter(name: str, value: str) -> Callable[[dict[str, Any]], None]:
    return lambda model: model["learner"]["learner_model_param"].__setitem__(name, value)


DAMAGES: dict[str, Callable[[dict[str, Any]], None]] = {
    "a child outside": _set("left_children", 0, 10_000),
    "a child before the tree": _set("right_children", 0, -7),
    "a tree that leads back to its root": _set("left_children", 1, 0),
    "a tree in a circle": _set("left_children", 1, 1),
    "one child": _set("right_children", 0, -1),
    "a feature outside": _set("split_indices", 0, FEATURES),
    "a feature before the first": _set("split_indices", 0, -1),
    "a threshold without end": _set("split_conditions", 0, 1e39),
    "a threshold in words": _set("split_conditions", 0, "low"),
    "a category": _set("split_type", 0, 1),
    "a missing field": lambda model: trees_of(model)[1].pop("default_left"),
    "a short field": lambda model: trees_of(model)[1]["default_left"].pop(),
    "a leaf of two values": lambda model: trees_of(model)[1]["tree_param"].update(size_leaf_vector="2"),
    "a tree without nodes": lambda model: trees_of(model)[1].update(
        {name: [] for name, values in trees_of(model)[1].items() if isinstance(values, list)}
    ),
    "no trees": lambda model: trees_of(model).clear(),
    "no features": _parameter("num_feature", "0"),
    "too many features": _parameter("num_feature", str(MAX_SMALL)),
    "two base scores": _parameter("base_score", "[1,2]"),
    "an infinite base score": _parameter("base_score", "[1E99]"),
    "a base score in words": _parameter("base_score", "half"),
    "no learner": lambda model: model.pop("learner"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=list(DAMAGES))
def test_damaged_models_are_refused(linear_model: bytes, damage: Callable[[dict[str, Any]], None]) -> None:
    """Machine code reads where a node leads, so a tree that is not one is never walked."""
    model = orjson.loads(linear_model)
    damage(model)
    with pytest.raises(InvalidError, match="train"):
        CompiledTrees.of_json(orjson.dumps(model), b"")


def test_a_count_model_needs_a_positive_base_score() -> None:
    """The margin is its logarithm."""
    model = model_of(trained(np.random.default_rng(2), rounds=1, objective="count:poisson"))
    model["learner"]["learner_model_param"]["base_score"] = "[0E0]"
    with pytest.raises(InvalidError, match="base score"):
        CompiledTrees.of_json(orjson.dumps(model), b"")


def test_a_cut_model_is_refused(linear_model: bytes) -> None:
    """Half a file is no model."""
    with pytest.raises(InvalidError, match="train again"):
        CompiledTrees.of_json(linear_model[: len(linear_model) // 2], b"")


def test_a_tree_too_wide_for_a_node_is_refused(linear_model: bytes) -> None:
    """A step of more than 16 bits does not wrap around."""
    inner, nodes = 2**17 - 1, 2**18 - 1
    model = orjson.loads(linear_model)
    left = [*range(1, nodes, 2), *[-1] * (nodes - inner)]
    trees_of(model)[1].update(
        left_children=left,
        right_children=[child + 1 if child != -1 else -1 for child in left],
        **{name: [0] * nodes for name in ("split_indices", "split_conditions", "split_type", "default_left")},
    )
    with pytest.raises(InvalidError, match="shallower"):
        CompiledTrees.of_json(orjson.dumps(model), b"")


@settings(max_examples=150, suppress_health_check=[HealthCheck.filter_too_much])
@given(data=st.data())
def test_any_links_are_walked_as_they_say_or_refused(linear_model: bytes, data: st.DataObject) -> None:
    """Children, features and directions of any numbers: InvalidError, or what the JSON says node by node."""
    model = orjson.loads(linear_model)
    tree = trees_of(model)[1]
    nodes = st.integers(0, len(tree["left_children"]) - 1)
    for _ in range(data.draw(st.integers(1, 4))):
        name = data.draw(st.sampled_from(["left_children", "right_children", "split_indices", "default_left"]))
        high = 1 if name == "default_left" else len(tree["left_children"])
        tree[name][data.draw(nodes)] = data.draw(st.integers(-1, high) if high > 1 else st.integers(0, 1))
    rows = some_rows(np.random.default_rng(data.draw(st.integers(0, 9))), 20)
    try:
        said = CompiledTrees.of_json(orjson.dumps(model), b"").predict(rows)
    except InvalidError:
        assume(False)
    assert said.tolist() == [float(walked(model, row)) for row in rows]
