"""A Lightning module with one optimizer. The Trainer keeps devices, checkpoints and loggers.

`pip install lightning`. The constraint is a submodule, so its critics, γ, λ and averages are in
every checkpoint.
"""

import argparse

import lightning
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import mireg

FEATURES, CODE = 16, 4


class Disentangler(lightning.LightningModule):
    """Creates two encoders, a decoder and the constraint.

    Arguments:
        epsilon: The target in nats.
    """

    def __init__(self, epsilon: float = 0.125) -> None:
        super().__init__()

        self.save_hyperparameters()
        self.pose, self.appearance = mlp(FEATURES, 2 * CODE), mlp(FEATURES, CODE)
        self.decoder = mlp(2 * CODE, FEATURES)
        self.constraint = mireg.RobustMIConstraint(CODE, CODE, epsilon=epsilon)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Returns the optimizer, with a group for encoders and decoder and one for the critics."""
        networks = (self.pose, self.appearance, self.decoder)
        parameters = [p for network in networks for p in network.parameters()]
        return torch.optim.Adam(
            [
                {"params": parameters, "lr": 1e-3},
                {"params": self.constraint.parameters(), "lr": 3e-3},
            ]
        )

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        """Returns the loss of encoders, decoder and critics."""
        x1, x2 = batch
        posterior = mireg.diagonal_gaussian(*self.pose(x2).chunk(2, dim=1))
        pi, alpha = posterior.rsample(), self.appearance(x1)

        penalty = self.penalty = self.constraint(pi, alpha, posterior)
        self.log_dict({f"mireg/{name}": value for name, value in penalty.metrics.items()})
        output = self.decoder(torch.cat((pi, alpha), dim=1))
        task = 10 * (output - x2).square().sum(1).mean()
        return task + penalty.loss + penalty.critic_loss

    def on_train_batch_end(self, *_: object) -> None:
        """Moves λ, γ and the averages, after the step of the optimizer."""
        self.constraint.update(self.penalty)


def mlp(inputs: int, outputs: int, width: int = 64) -> nn.Sequential:
    """Creates a network with a hidden layer."""
    return nn.Sequential(nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, outputs))


def pairs(n: int) -> TensorDataset:
    """Draws pairs that share half of what they are made of."""
    appearance, *poses = torch.randn(3, n, FEATURES // 2)
    return TensorDataset(*(torch.cat((appearance, pose), dim=1) for pose in poses))


def main() -> None:
    """Trains, then goes on from a checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--smoke", action="store_true", help="a few steps")
    options = parser.parse_args()
    steps = 10 if options.smoke else options.steps

    lightning.seed_everything(0, verbose=False)
    # The last batch would have another size, and one of a single sample has no marginal pairs.
    loader = DataLoader(pairs(10_000), batch_size=128, shuffle=True, drop_last=True)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    model = Disentangler()
    trainer = lightning.Trainer(
        accelerator="cpu", max_steps=steps, enable_checkpointing=False, **quiet
    )
    trainer.fit(model, loader)
    for name in ("mi_average", "mi_shadow_average", "kl", "gamma", "multiplier"):
        print(f"{name:20}{trainer.callback_metrics[f'mireg/{name}']:8.3f}")


if __name__ == "__main__":
    main()
