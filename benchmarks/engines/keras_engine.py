"""Keras 3, on the backend that the environment names, as `fit` trains a compiled model."""

import keras

from engines.keras_networks import LOSSES, build_network, to_format
from engines.setting import EPSILON, LEARNING_RATE, RHO, Setting, draw_batch
from engines.worker import Prepared, serve


def prepare(setting: Setting, *, jit: bool, bf16: bool, channels_first: bool) -> Prepared:
    """Build, compile, and hold one batch.

    Args:
        setting: Network and sizes.
        jit: `jit_compile=True`: XLA with TensorFlow, `torch.compile` with PyTorch.
        bf16: The policy "mixed_bfloat16".
        channels_first: PyTorch's layout of images; TensorFlow has none on a processor.
    """
    if bf16:
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
    if channels_first:
        keras.config.set_image_data_format("channels_first")
    model = build_network(setting.network, setting.size, setting.width)
    optimizer = keras.optimizers.RMSprop(LEARNING_RATE, rho=RHO, epsilon=EPSILON)
    model.compile(optimizer, LOSSES["iou"], jit_compile=jit)
    images, targets = draw_batch(setting.batch, setting.size)
    images = to_format(images)

    def step() -> float:
        model.reset_metrics()  # or the loss is a mean over all steps so far
        return float(model.train_on_batch(images, targets))

    return Prepared(step, {"backend": keras.backend.backend()})


if __name__ == "__main__":
    serve(prepare, "jit", "bf16", "channels_first")
