"""Arms whose teacher is a folder of files (`teacher_cache.py`): every seed is taught the same.

K seeds, n training frames. `check` needs no JAX.
"""

from pathlib import Path

import numpy as np

from dima_jax.data.records import Records
from dima_jax.errors import UserError
from dima_jax.scoring import npz_file
from dima_jax.study.plan import Arm, Plan, config_of
from dima_jax.teacher_cache import Taught, TeacherCache


def check(plan: Plan) -> None:
    """UserError, with the arm, for a cache that is missing, not whole or of other records, and for a form of distillation
    that needs a plan where it has none.
    """
    for arm in plan.arms:
        if not arm.cache:
            continue
        config, cache = config_of(plan, arm), TeacherCache(arm.cache)
        try:
            if not Path(arm.cache).is_dir():
                raise UserError(
                    f"{arm.cache}: no such folder; `python -m dima_jax.cache_text` writes what an LLM makes of texts, "
                    "`python -m dima_jax.cache_teacher` what a run says"
                )
            cache.check_form(config.distill)
            cache.check(Records(plan.data, config.data.train_split))
        except UserError as error:
            raise UserError(f"arm {arm.name!r}: {error}") from None


def load(plan: Plan, arm: Arm, records: Records) -> tuple[Taught, str]:
    """(what the cache of an arm says of the training frames [K, n, ...], in the sizes of its student, the hash of what the
    files hold). UserError as `TeacherCache.load`.
    """
    cache = TeacherCache(arm.cache)
    raw = cache.load_raw(records)
    found = cache.fit(raw, config_of(plan, arm).student)
    everywhere = (None if x is None else np.broadcast_to(x, (plan.seeds, *x.shape)) for x in found)
    return Taught(*everywhere), npz_file.content_hash({k: x for k, x in raw._asdict().items() if x is not None})
