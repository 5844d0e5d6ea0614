"""A driver's connection to the running cluster."""

from __future__ import annotations

import contextlib
import logging
import warnings
from typing import TYPE_CHECKING

import ray
import ray.data
from ray.exceptions import RayError

from actors.names import NAMESPACE
from cluster.head import head_address
from stores.errors import RiftlineError, TransientError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stores.settings import Settings


@contextlib.contextmanager
def connected(settings: Settings, address: str | None = None) -> Iterator[None]:
    """Connect to the running cluster, of this machine unless an ``address`` is given, quietly.

    Raises TransientError if there is none.
    """
    for name in ("ray.data", "ray.serve", "ray.tune", "xgboost_ray"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # Ray's lake writer replaces a table by deleting and appending in one commit; the first time nothing is deleted
    warnings.filterwarnings("ignore", message="Delete operation did not match any records")
    warnings.filterwarnings("ignore", message=".*num_actors.*")  # xgboost-ray: one actor is what we ask for
    try:
        address = address or head_address(settings)
        ray.init(address=address, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.ERROR)
    except ConnectionError as error:
        raise TransientError("the cluster does not run; start it with `riftline up`") from error
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    try:
        yield
    except RiftlineError:  # Ray raises a task's error as one that is both
        raise
    except RayError as error:
        raise TransientError(f"the cluster failed in the middle: {str(error)[-1000:]}") from error
    finally:
        ray.shutdown()
