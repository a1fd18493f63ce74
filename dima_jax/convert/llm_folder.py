"""The frozen LLM on disk: what `python -m dima_jax.convert llama` writes and `config.teacher.weights` names.

    <folder>/llm.json           sizes for config.teacher.llm, dtype, {path: shape}, and the sliding window if there is one
    <folder>/<path>.bin         one weight, raw, C order; "/" in the path is "." in the name
    <folder>/tokenizer.json     (and tokenizer_config.json) for config.teacher.tokenizer

Raw files because a stacked weight is filled and read layer by layer: neither side ever holds a whole model, or even a
whole stacked weight, in the host's memory, but less than twice the checkpoint's largest tensor
(`tests/convert/test_memory.py`). `llm.json` is written last, so a conversion that was killed is refused.
"""

import contextlib
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_dtypes  # noqa: F401  (numpy learns bfloat16)
import numpy as np

from dima_jax.convert.rules import Target
from dima_jax.errors import UserError

INDEX = "llm.json"
OWN = re.compile(  # names of the files in such a folder
    r"llm\.json|tokenizer(_config)?\.json|(layers\.\w+\.(kernel|scale)|(embed|head)\.table|norm\.scale)\.bin"
)
BLOCK = 2**22  # numbers that are cast and written at once


def shapes_of(sizes: Mapping) -> dict[str, tuple[int, ...]]:
    """{path below teacher/llm: shape} of an LLM with these sizes (`config.teacher.llm`'s names)."""
    layers, width, ffn_width = sizes["layers"], sizes["width"], sizes["ffn_width"]
    kv_width = width // sizes["heads"] * sizes["kv_heads"]
    out = {"q": width, "k": kv_width, "v": kv_width, "o": width, "gate": ffn_width, "up": ffn_width}
    shapes = {f"layers/{name}/kernel": (layers, width, size) for name, size in out.items()}
    shapes["layers/down/kernel"] = (layers, ffn_width, width)
    shapes |= {f"layers/{name}/scale": (layers, width) for name in ("attn_norm", "ffn_norm")}
    shapes |= {"embed/table": (sizes["vocab"], width), "norm/scale": (width,)}
    return shapes if sizes["tied"] else {**shapes, "head/table": (sizes["vocab"], width)}


def check_out(folder: Path) -> None:
    """UserError unless a conversion may write there: the folder is absent, empty, or holds nothing but a conversion."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--out={folder}: is a file; give a folder of its own")
    for file in sorted(folder.iterdir()) if folder.is_dir() else ():
        if not OWN.fullmatch(file.name) or not file.is_file():
            raise UserError(f"--out={folder}: holds {file.name}, which is of something else; give a folder of its own")


def clear(folder: Path) -> None:
    """Removes an earlier conversion, whole or not, and the folder itself. Only for what passed `check_out`."""
    if folder.is_dir():
        for file in [*folder.glob(INDEX), *folder.iterdir()]:  # the index first: without it nothing is valid
            file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # a folder that somebody is in stays, empty
            folder.rmdir()


class Writer:
    """Fills the weights of a folder, tensor by tensor; `close` makes the folder valid.

    sizes: `config.teacher.llm`'s. dtype: of the matrices on disk, "bfloat16" or "float32"; norms stay float32.
    window: how many positions the model's attention looks back, None for all.
    """

    def __init__(self, folder: Path, sizes: Mapping, dtype: str, window: int | None = None):
        self.folder, self.sizes, self.dtype, self.window = folder, dict(sizes), dtype, window
        self.shapes = shapes_of(sizes)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / INDEX).unlink(missing_ok=True)
        for path, shape in self.shapes.items():
            with _file(folder, path).open("wb") as file:
                file.truncate(int(np.prod(shape)) * _dtype(path, dtype).itemsize)

    def write(self, target: Target, value: np.ndarray) -> None:
        """One weight, or one layer of a stacked weight, to its place on disk, cast to the folder's dtype."""
        dtype, shape = _dtype(target.path, self.dtype), self.shapes[target.path]
        with _file(self.folder, target.path).open("r+b") as file:
            start = 0 if target.index is None else target.index * int(np.prod(shape[1:]))
            file.seek(start * dtype.itemsize)
            rows = max(1, BLOCK * len(value) // value.size)
            for start in range(0, len(value), rows):
                block = np.asarray(value[start : start + rows], dtype, order="C")
                file.write(block.view(np.uint8).data)

    def close(self) -> None:
        index = {"sizes": self.sizes, "dtype": self.dtype, "shapes": self.shapes, "window": self.window}
        (self.folder / INDEX).write_text(json.dumps(index, indent=1))


def read_index(folder: str | Path) -> dict:
    """{sizes, dtype, shapes} of a folder. Raises UserError when it is not one or a weight is cut short."""
    folder = Path(folder)
    path = folder / INDEX
    if not path.is_file():
        raise UserError(f"{path}: no such file; `python -m dima_jax.convert llama` writes the folder")
    try:
        index = json.loads(path.read_text())
        sizes = {
            name: int(math.prod(shape)) * _dtype(name, index["dtype"]).itemsize
            for name, shape in index["shapes"].items()
        }
        dict(index["sizes"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: is damaged ({error}); run `python -m dima_jax.convert llama` again") from error
    for name, size in sizes.items():
        file = _file(folder, name)
        if not file.is_file() or file.stat().st_size != size:
            raise UserError(f"{file}: missing or cut short; run `python -m dima_jax.convert llama` again")
    return index


def check_config(folder: str | Path, llm: Mapping, positions: int) -> None:
    """UserError unless a config describes the LLM of the folder, also where its shapes would fit another one.

    llm: the config group `teacher.llm`. positions: how many the LLM reads at once, scene and text.
    """
    index = read_index(folder)
    needed = {"rope_scaling": None} | index["sizes"]
    for key, value in needed.items():
        given = list(llm[key]) if isinstance(llm.get(key), list | tuple) else llm.get(key)
        if given != value:
            sizes = ", ".join(f"{key}={value}" for key, value in index["sizes"].items())
            raise UserError(f"config.teacher.llm.{key}={given} does not fit {folder}; this folder needs {sizes}")
    window = index.get("window")
    if window is not None and positions > window:
        raise UserError(
            f"{folder}: its model looks back {window} positions, which teacher/llama.py does not imitate, and scene and text "
            f"are {positions}; lower config.data.max_text"
        )


def load(
    folder: str | Path, abstract: Mapping[str, jax.ShapeDtypeStruct], shardings: Mapping[str, jax.sharding.Sharding]
) -> dict[str, jax.Array]:
    """The LLM's weights by their full paths, tensor by tensor: of each, this host reads the rows its devices hold.

    abstract: {path ending in the folder's paths: shape and dtype wanted}; values are cast. shardings: where each lives.
    Raises UserError naming a weight whose shape is not the config's, or that is missing on one side.
    """
    index = read_index(folder)
    shapes = {path: tuple(shape) for path, shape in index["shapes"].items()}
    loaded = {}
    for full, wanted in abstract.items():
        path = full.partition("llm/")[2] or full
        if shapes.pop(path, None) != tuple(wanted.shape):
            sizes = ", ".join(f"{key}={value}" for key, value in index["sizes"].items())
            raise UserError(f"{folder}: {path} does not fit config.teacher.llm; this folder needs {sizes}")
        file, stored = _file(Path(folder), path), _dtype(path, index["dtype"])
        load_weight = _load_layers if _has_whole_layers(wanted.shape, shardings[full]) else _load_tensor
        loaded[full] = load_weight(file, stored, wanted, shardings[full])
    if shapes:
        raise UserError(f"{folder}: {min(shapes)} has no weight in config.teacher.llm; is its `tied` right?")
    return loaded


def _has_whole_layers(shape: tuple[int, ...], sharding: jax.sharding.Sharding) -> bool:
    """Whether the weight is a stack of matrices and no layer lies on some of the devices only."""
    return len(shape) == 3 and sharding.shard_shape(shape)[0] == shape[0]


def _load_layers(file: Path, stored: np.dtype, wanted: jax.ShapeDtypeStruct, sharding) -> jax.Array:
    """A stacked weight, filled on its devices layer by layer."""
    weight = jax.jit(lambda: jnp.zeros(wanted.shape, wanted.dtype), out_shardings=sharding)()
    fill = jax.jit(jax.lax.dynamic_update_index_in_dim, donate_argnums=0, static_argnums=3, out_shardings=sharding)
    layer = jax.ShapeDtypeStruct((1, *wanted.shape[1:]), wanted.dtype)
    for i in range(wanted.shape[0]):
        weight = fill(weight, _load_tensor(file, stored, layer, sharding, first=i), np.int32(i), 0)
        weight.block_until_ready()  # else the layers that are still to be copied pile up
    return weight


def _load_tensor(
    file: Path, stored: np.dtype, wanted: jax.ShapeDtypeStruct, sharding: jax.sharding.Sharding, first: int = 0
) -> jax.Array:
    """A tensor on its devices, read at once. first: where in the file it begins, in its rows (along the first axis)."""
    row_size = int(np.prod(wanted.shape[1:]))
    indices = sharding.addressable_devices_indices_map(wanted.shape).values()
    held = [index[0].indices(wanted.shape[0])[:2] for index in indices]  # rows [begin, end) of each device
    begin, end = min(a for a, _ in held), max(b for _, b in held)
    offset = (first + begin) * row_size * stored.itemsize
    rows = np.fromfile(file, stored, (end - begin) * row_size, offset=offset).reshape(-1, *wanted.shape[1:])
    rows = rows.astype(wanted.dtype, copy=False)

    def part(index):
        a, b, _ = index[0].indices(wanted.shape[0])
        return rows[(slice(a - begin, b - begin), *index[1:])]

    return jax.make_array_from_callback(wanted.shape, sharding, part)


def _file(folder: Path, path: str) -> Path:
    return folder / (path.replace("/", ".") + ".bin")


def _dtype(path: str, dtype: str) -> np.dtype:
    return np.dtype(np.float32 if path.endswith("scale") else dtype)
