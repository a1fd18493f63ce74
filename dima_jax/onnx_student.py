"""An exported student on onnxruntime: what a car runs. Needs neither JAX nor TensorFlow."""

from pathlib import Path

import numpy as np

from dima_jax.errors import UserError
from dima_jax.interface import INPUTS, ModelInfo, Outputs


class OnnxStudent:
    """A file that `python -m dima_jax.export` wrote, ready to run. info: its `ModelInfo`; batch_size: fixed in the file.

    threads: of onnxruntime, 0 for as many as there are cores. UserError if the file is absent or no exported student.
    """

    def __init__(self, file: str | Path, threads: int = 0):
        if not Path(file).is_file():
            raise UserError(f"{file}: no such file; `python -m dima_jax.export --out={file}` writes it")
        try:
            self.session = open_session(str(file), threads)
        except Exception as error:  # onnxruntime's exceptions have no base class of their own
            raise UserError(
                f"{file} is no ONNX file that onnxruntime can load: {' '.join(str(error).split())}"
            ) from error
        self.info = ModelInfo.from_metadata(self.session.get_modelmeta().custom_metadata_map, str(file))
        shapes = {value.name: value.shape for value in self.session.get_inputs()}
        self._bev_shape, self.batch_size = shapes["prev_bev"], shapes["prev_bev"][0]

    def __call__(self, images, lidar2img, can_bus, command, prev_bev=None) -> tuple[Outputs, None]:
        """(outputs, None) of a batch; prev_bev None: there is no frame before. Shapes: `jax_student.input_specs`."""
        has_prev_bev = np.full(self.batch_size, prev_bev is not None)
        prev_bev = np.zeros(self._bev_shape, np.float32) if prev_bev is None else prev_bev
        feed = dict(zip(INPUTS, (images, lidar2img, can_bus, command, prev_bev, has_prev_bev), strict=True))
        return Outputs(*self.session.run(list(Outputs._fields), feed)), None


def open_session(model: str | bytes, threads: int = 0, provider: str = "CPUExecutionProvider"):
    """An onnxruntime session for a file or its bytes; threads 0: as many as there are cores. provider: of onnxruntime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(model, options, providers=[provider])
