"""Peers that need an environment of their own: NGBoost and XGBoostLSS, each fitted by a script in `.peers`."""

from __future__ import annotations

import os
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import orjson
from scipy.signal import fftconvolve

from actors.ensemble import COUNTS_PER_MAP
from stores.domain.props import PropType
from stores.errors import InvalidError, RiftlineError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.evaluation.methods import Method
    from training.evaluation.peer_rows import PeerRows
    from training.evaluation.questions import Question

PEERS = {"NGBoost": "ngboost", "XGBoostLSS": "xgboostlss"}
PEER_PYTHON = Path(__file__).parents[2] / ".peers" / "bin" / "python"
PEER_FIT = Path(__file__).with_name("peer_fit.py")
LIMIT_S = 3_600  # each takes minutes on one core


def require_peers() -> None:
    """Raises InvalidError if the peers are not installed; ask before the model is trained."""
    if not PEER_PYTHON.exists():
        raise InvalidError("the peers NGBoost and XGBoostLSS are not installed; run `make peers` first", "--peers")


def fit_peers(rows: PeerRows) -> tuple[dict[PropType, dict[str, Method]], dict[str, object]]:
    """Every peer on both props, and what each chose on the newest series.

    All peers run at the same time, one core each, and read the rows from a folder that is removed again. Raises
    RiftlineError with the peer's last words if one fails.
    """
    require_peers()
    with tempfile.TemporaryDirectory(prefix="riftline-peers-") as name:
        folder = Path(name)
        _write_rows(rows, folder)
        with ThreadPoolExecutor(len(PEERS)) as at_once:
            list(at_once.map(lambda peer: _run(peer, folder), PEERS))
        methods: dict[PropType, dict[str, Method]] = {prop: {} for prop in PropType}
        chosen: dict[str, object] = {}
        for peer, module in PEERS.items():
            with np.load(folder / f"{module}.npz", allow_pickle=False) as of_prop:
                for prop in PropType:
                    methods[prop][peer] = independent_maps(of_prop[prop], rows.asked_at)
            chosen[peer] = orjson.loads((folder / f"{module}.json").read_bytes())
    return methods, chosen


def independent_maps(pmf: NDArray[np.float64], row_at: NDArray[np.int64]) -> Method:
    """Sums over maps by convolution, from distributions of single maps of shape [asked, counts].

    ``row_at`` leads from a row of the training set to its distribution. The baselines sum in the same way: as
    independent maps.
    """

    def summed(question: Question) -> NDArray[np.float64]:
        total = np.zeros((len(question.actual), question.counts))
        first, *more = (pmf[row_at[part]] for part in question.parts)
        for one in more:
            first = np.maximum(fftconvolve(first, one, axes=1), 0.0)  # zeros come back as ±1e-17
        total[:, : first.shape[1]] = first
        return np.asarray(total / total.sum(axis=1, keepdims=True))

    return summed


def _write_rows(rows: PeerRows, folder: Path) -> None:
    parts = {"fit": rows.fit, "validation": rows.validation, "asked": rows.asked}
    arrays: dict[str, NDArray[np.float32] | NDArray[np.int64]] = {
        f"{name}_features": part.features for name, part in parts.items()
    }
    for prop in PropType:
        arrays |= {f"{name}_{prop}": parts[name].counts[prop] for name in ("fit", "validation")}
    np.savez(folder / "rows.npz", allow_pickle=False, **arrays)


def _run(peer: str, folder: Path) -> None:
    # -I: neither our packages nor our environment variables reach the peer's interpreter
    command = [str(PEER_PYTHON), "-I", str(PEER_FIT), PEERS[peer], str(folder), str(COUNTS_PER_MAP), *PropType]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}  # the same cores for all
    try:
        done = subprocess.run(  # noqa: S603 — our own script, told our own names
            command, capture_output=True, text=True, check=False, timeout=LIMIT_S, env=environment
        )
    except subprocess.TimeoutExpired:
        raise RiftlineError(f"the peer {peer} did not finish within {LIMIT_S} s") from None
    if done.returncode:
        words = (done.stderr.strip() or "nothing was said").splitlines()[-1]
        raise RiftlineError(f"the peer {peer} failed ({words}); `rm -r .peers` and `make peers` install it anew")
