"""The first losses of Vesica and of Keras, from the same weights on the same batches.

Everything is float32, with direct convolutions.
"""

import argparse
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from engines.cases import KERAS_CASES, OUTSIDE, VESICA_CASES, Case
from engines.setting import EPSILON, RHO, Setting, draw_batch
from engines.vesica_engine import use_direct
from engines.worker import report
from vesica.losses import parse_loss
from vesica.networks import FCN, Weights, build_network

STEPS = 5


class RootRMSprop(torch.optim.Optimizer):
    """RMSprop with epsilon inside the root, as in Keras 3: `lr * g / sqrt(mean(g^2) + eps)`."""

    def __init__(self, params: Iterable[Tensor], lr: float) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Change every parameter."""
        for group in self.param_groups:
            for parameter in group["params"]:
                grad = parameter.grad
                state = self.state[parameter]
                square = state.setdefault("square", torch.zeros_like(parameter))
                square.mul_(RHO).addcmul_(grad, grad, value=1 - RHO)
                parameter.addcdiv_(grad, (square + EPSILON).sqrt(), value=-group["lr"])


def make_model(setting: Setting) -> FCN:
    """Vesica's network with direct convolutions, a drawn score layer and drawn batch norms.

    With scores of 0, means of 0 and variances of 1, a tensor in the wrong place or another epsilon
    would hardly show.
    """
    spelled = f"{setting.network}:freeze=paper:width={setting.width}"
    model = build_network(spelled, Weights("none"), seed=0)
    assert isinstance(model, FCN)
    use_direct(model)
    generator = torch.Generator().manual_seed(1)
    nn.init.kaiming_normal_(model.score.weight, generator=generator)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            for tensor in (layer.weight.data, layer.running_var):
                nn.init.uniform_(tensor, 0.5, 1.5, generator=generator)
            for tensor in (layer.bias.data, layer.running_mean):
                nn.init.uniform_(tensor, -0.5, 0.5, generator=generator)
    return model.train()


def vesica_losses(setting: Setting, case: Case) -> list[float]:
    """The first losses of Vesica's network."""
    model = make_model(setting)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer: torch.optim.Optimizer = {  # type: ignore[no-untyped-call]
        "sgd": lambda: torch.optim.SGD(trained, lr=case.lr),
        "rmsprop": lambda: RootRMSprop(trained, lr=case.lr),
        OUTSIDE: lambda: torch.optim.RMSprop(trained, lr=case.lr, alpha=RHO, eps=EPSILON),
    }[case.optimizer]()
    loss = parse_loss(case.loss)

    def step(seed: int) -> float:
        images, targets = draw_batch(setting.batch, setting.size, seed)
        image = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
        value = loss(model(image)[:, 0], torch.from_numpy(targets)).mean()
        optimizer.zero_grad()
        torch.autograd.backward(value)
        optimizer.step()
        return value.item()

    return [step(seed) for seed in range(STEPS)]


def keras_losses(setting: Setting, case: Case) -> list[float]:
    """The first losses of the same network in Keras."""
    import keras

    from engines.keras_networks import LOSSES, build_network, copy_weights, to_format

    vesica = make_model(setting)
    normalise: dict[str, Any] = {
        name: tensor.flatten().tolist() for name, tensor in vesica.normalise.named_buffers()
    }
    normalise["scale"] = normalise["scale"][0]
    keras.backend.clear_session()
    model = build_network(setting.network, setting.size, setting.width, normalise)
    copy_weights(model, {name: tensor.numpy() for name, tensor in vesica.state_dict().items()})
    del vesica
    if case.optimizer == "sgd":
        optimizer = keras.optimizers.SGD(case.lr)
    else:
        optimizer = keras.optimizers.RMSprop(case.lr, rho=RHO, epsilon=EPSILON)
    model.compile(optimizer, LOSSES[case.loss], jit_compile=False)

    def step(seed: int) -> float:
        images, targets = draw_batch(setting.batch, setting.size, seed)
        model.reset_metrics()  # or the loss is a mean over all steps so far
        return float(model.train_on_batch(to_format(images), targets))

    return [step(seed) for seed in range(STEPS)]


SIDES: dict[str, tuple[Callable[[Setting, Case], list[float]], tuple[Case, ...]]] = {
    "vesica": (vesica_losses, VESICA_CASES),
    "keras": (keras_losses, KERAS_CASES),
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("side", choices=SIDES)
    parser.add_argument("--network", required=True)
    for name in ("size", "width", "batch"):
        parser.add_argument(f"--{name}", type=int, required=True)
    args = parser.parse_args()
    torch.set_num_threads(2)
    setting = Setting(args.network, args.size, args.width, args.batch)
    losses_of, cases = SIDES[args.side]
    report({"losses": {case.name: losses_of(setting, case) for case in cases}})
