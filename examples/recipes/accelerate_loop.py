"""The loop under Accelerate: `accelerate launch examples/recipes/accelerate_loop.py`, on one device
or many.

`pip install accelerate`. Encoders, decoder and the optimizer are prepared; the constraint is moved
to the device, agrees between processes by itself, and is checkpointed with the rest.
"""

import argparse
import tempfile

import torch
import torch._dynamo  # torch 2.13 never ends a process group that is older than it
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, set_seed
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import mireg

FEATURES, CODE = 16, 4


class Model(nn.Module):
    """Creates two encoders and a decoder."""

    def __init__(self) -> None:
        super().__init__()

        self.pose, self.appearance = mlp(FEATURES, 2 * CODE), mlp(FEATURES, CODE)
        self.decoder = mlp(2 * CODE, FEATURES)

    def forward(self, x1: Tensor, x2: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Returns the codes, the parameters of the posterior, and the reconstruction of x2."""
        mean, log_var = self.pose(x2).chunk(2, dim=1)
        pi, alpha = mireg.diagonal_gaussian(mean, log_var).rsample(), self.appearance(x1)
        return pi, alpha, mean, log_var, self.decoder(torch.cat((pi, alpha), dim=1))


def mlp(inputs: int, outputs: int, width: int = 64) -> nn.Sequential:
    """Creates a network with a hidden layer."""
    return nn.Sequential(nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, outputs))


def pairs(n: int) -> TensorDataset:
    """Draws pairs that share half of what they are made of."""
    appearance, *poses = torch.randn(3, n, FEATURES // 2)
    return TensorDataset(*(torch.cat((appearance, pose), dim=1) for pose in poses))


def main() -> None:
    """Trains, saves, and loads."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--smoke", action="store_true", help="a few steps")
    options = parser.parse_args()

    accelerator = Accelerator()
    set_seed(0)
    model = Model()
    constraint = mireg.RobustMIConstraint(CODE, CODE, epsilon=0.125).to(accelerator.device)
    optimizer = torch.optim.Adam(
        [
            {"params": model.parameters(), "lr": 1e-3},
            {"params": constraint.parameters(), "lr": 3e-3},
        ]
    )
    loader = DataLoader(
        pairs(1280 if options.smoke else 10_000), batch_size=128, shuffle=True, drop_last=True
    )
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    mireg.ranks.broadcast(constraint)
    accelerator.register_for_checkpointing(constraint)

    for _ in range(1 if options.smoke else options.epochs):
        for x1, x2 in loader:
            pi, alpha, mean, log_var, output = model(x1, x2)

            penalty = constraint(pi, alpha, mireg.diagonal_gaussian(mean, log_var))
            task = 10 * (output - x2).square().sum(1).mean()
            optimizer.zero_grad()
            accelerator.backward(task + penalty.loss + penalty.critic_loss)
            mireg.ranks.average_gradients(constraint.parameters())
            optimizer.step()
            constraint.update(penalty)

    with tempfile.TemporaryDirectory() as own:
        # The first process saves the model, and all load it.
        (folder,) = broadcast_object_list([own])
        accelerator.save_state(folder)
        saved = constraint.multiplier.value.clone()
        constraint.load_state_dict(mireg.RobustMIConstraint(CODE, CODE).state_dict())
        accelerator.wait_for_everyone()
        accelerator.load_state(folder)
        accelerator.wait_for_everyone()
    for name in ("mi_average", "mi_shadow_average", "kl", "gamma", "multiplier"):
        accelerator.print(f"{name:20}{penalty.metrics[name]:8.3f}")
    same = "" if saved == constraint.multiplier.value else "not "
    accelerator.print(f"λ after loading a checkpoint is {same}the same")
    # DDP's wrapper holds the process group: freed after it, a process on gloo may never end.
    model, optimizer, loader = accelerator.free_memory(model, optimizer, loader)
    accelerator.end_training()


if __name__ == "__main__":
    main()
