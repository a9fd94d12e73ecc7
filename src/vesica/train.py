"""The only training loop."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor

from vesica.average import Average
from vesica.checkpoint import load_checkpoint, save_checkpoint
from vesica.data.augment import derive_seed
from vesica.errors import Stopped
from vesica.evaluate import validate
from vesica.features import Inputs
from vesica.losses import Loss, reduce_values, values_and_weights
from vesica.networks import Network
from vesica.optim import make_optimizer, rate_factor, read_schedule
from vesica.plan import Recipe

CHECKPOINT_EVERY_S = 60.0


class Diverged(RuntimeError):  # noqa: N818 - it names what happened to the run
    """The loss is no number any more; nothing that follows would mean anything."""


@dataclass(frozen=True)
class Epoch:
    """A row of the history; epochs count from 1.

    Attributes:
        train_loss: Mean over the training images, each as its batch saw it.
        is_one_class: Every validation image was predicted as one class.
    """

    epoch: int
    train_loss: float
    val_loss: float
    val_iou: float
    is_one_class: bool
    time_s: float


@dataclass
class State:
    """Where a training run stands; with the tensors, all that a checkpoint holds.

    Attributes:
        epoch: Finished epochs.
        step: Finished steps of the epoch that is under way.
        loss_sum: Over the images of those steps.
        kept: The epoch whose weights would be scored now; 0 before the first.
        time_s: Spent in the epoch under way.
        notes: What a user should know, such as that a checkpoint was damaged.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    kept: int = 0
    time_s: float = 0.0
    history: list[Epoch] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "State":
        """Undo `asdict`."""
        history = [Epoch(**row) for row in values.pop("history", [])]
        return cls(**values, history=history)


@dataclass(frozen=True)
class Fit:
    """How a training run ended; the network holds the kept weights.

    Attributes:
        history: One row per epoch.
        kept: The epoch whose weights the network holds.
        ended_by: "patience" (converged) or "epochs" (stopped at the limit: the number of epochs
            to convergence is not known).
        notes: What a user should know of it.
        beside: The average that is scored beside these weights, as it was at the end; may be empty.
    """

    history: list[Epoch]
    kept: int
    ended_by: Literal["patience", "epochs"]
    notes: list[str] = field(default_factory=list)
    beside: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def is_collapsed(self) -> bool:
        """At the kept epoch every validation image was predicted as one class."""
        return self.history[self.kept - 1].is_one_class


def fit(
    network: Network,
    loss: Loss,
    inputs: Inputs,
    train: NDArray[np.int64],
    val: NDArray[np.int64],
    *,
    recipe: Recipe,
    seed: int,
    fabric: Fabric,
    checkpoint: Path,
    on_step: Callable[[State, int], None] = lambda state, num_steps: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Fit:
    """Train the head until it converges, from `checkpoint` if there is one.

    Args:
        network: Changed in place; ends with the kept epoch's weights.
        loss: Value per image; `recipe.reduction` makes one number of a batch.
        inputs: Features and masks of all samples.
        train: Rows of the training images.
        val: Rows of the validation images.
        recipe: Optimiser, schedule, stopping and which epoch is kept.
        seed: Of batch order, augmentation and dropout; the initial weights are the caller's.
        fabric: Device and precision.
        checkpoint: Written about every minute, atomically, and when stopped.
        on_step: Called after each step and each epoch with the state and the steps per epoch.
        should_stop: Asked after each step.

    Raises:
        Diverged: If the training or validation loss is not finite.
        Stopped: If `should_stop` said so, after writing the checkpoint.
    """
    trained = [p for p in network.parameters() if p.requires_grad]
    optimizer = make_optimizer(recipe.optimizer, trained)
    schedule = read_schedule(recipe.schedule)
    rates = [group["lr"] for group in optimizer.param_groups]
    module, optimizer = fabric.setup(network, optimizer)
    module.mark_forward_method("head")
    num_steps = math.ceil(len(train) / recipe.batch)
    average, beside = (
        Average(network, text, recipe.max_epochs * num_steps)
        for text in (recipe.average, recipe.beside)
    )
    values, kept, notes = load_checkpoint(checkpoint, network, optimizer)
    state, best = State.from_dict(values), kept["best"]
    average.load(kept["average"])
    beside.load(kept["beside"])
    state.notes += notes
    saved_at = time.monotonic()

    while not is_over(state, recipe):
        order = train[epoch_order(len(train), seed, state.epoch)]
        module.train()
        while state.step < num_steps:
            started = time.monotonic()
            rows = order[state.step * recipe.batch : (state.step + 1) * recipe.batch]
            passed = state.epoch + state.step / num_steps
            factor = rate_factor(schedule, passed, recipe.max_epochs)
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor
            torch.manual_seed(derive_seed(seed, state.epoch, fabric.global_rank, state.step))
            batch = inputs.training_batch(rows, seed, state.epoch, fabric.device)
            with fabric.autocast():
                logits = module.head(batch.features, inputs.size)
            found = values_and_weights(
                loss, logits, batch.target, batch.valid, is_exclusive=inputs.is_exclusive
            )
            value = reduce_values(*found, recipe.reduction)
            optimizer.zero_grad()
            fabric.backward(value)
            optimizer.step()
            state.loss_sum += float(value.detach()) * (
                len(rows) if recipe.reduction == "mean" else 1
            )
            state.step += 1
            for one in (average, beside):
                one.update(state.epoch * num_steps + state.step)
            state.time_s += time.monotonic() - started
            if not math.isfinite(state.loss_sum):
                raise Diverged(f"the training loss is not finite in epoch {state.epoch + 1}")
            on_step(state, num_steps)
            stopping = should_stop()
            if stopping or time.monotonic() - saved_at > CHECKPOINT_EVERY_S:
                others = {"best": best, "average": average.tensors, "beside": beside.tensors}
                save_checkpoint(checkpoint, asdict(state), network, optimizer, others)
                saved_at = time.monotonic()
            if stopping:
                raise Stopped

        started = time.monotonic()
        with average.applied():
            judged = validate(module, inputs, val, loss, fabric, recipe.batch)
        if not math.isfinite(judged.loss):
            raise Diverged(f"the validation loss is not finite in epoch {state.epoch + 1}")
        state.epoch += 1
        state.history.append(
            Epoch(
                state.epoch,
                state.loss_sum / len(train),
                judged.loss,
                judged.iou,
                judged.is_one_class,
                round(state.time_s + time.monotonic() - started, 3),
            )
        )
        if recipe.keep == "last" or is_best(state.history, recipe.monitor):
            state.kept = state.epoch
            scored = average.tensors or network.trained_state()
            best = {name: tensor.clone() for name, tensor in scored.items()}
        state.step, state.loss_sum, state.time_s = 0, 0.0, 0.0
        on_step(state, num_steps)

    network.load_state_dict(best, strict=False)
    converged = has_converged(state.history, recipe)
    ended_by: Literal["patience", "epochs"] = "patience" if converged else "epochs"
    return Fit(state.history, state.kept, ended_by, state.notes, beside.tensors)


def is_over(state: State, recipe: Recipe) -> bool:
    """Whether training ends here."""
    return state.epoch >= recipe.max_epochs or has_converged(state.history, recipe)


def has_converged(history: list[Epoch], recipe: Recipe) -> bool:
    """`patience` epochs have passed without a better one; a patience of 0 never ends."""
    return (
        recipe.patience > 0
        and len(history) - best_epoch(history, recipe.monitor) >= recipe.patience
    )


def is_best(history: list[Epoch], monitor: str) -> bool:
    """The last epoch is better than every one before it."""
    return best_epoch(history, monitor) == len(history)


def best_epoch(history: list[Epoch], monitor: str) -> int:
    """The first of the best epochs, counted from 1; 0 where there is none yet."""
    if not history:
        return 0
    values = [row.val_loss if monitor == "val_loss" else -row.val_iou for row in history]
    return int(np.argmin(values)) + 1


def epoch_order(num: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order of the training images in an epoch; the same for every loss."""
    return np.random.default_rng([seed, epoch]).permutation(num)
