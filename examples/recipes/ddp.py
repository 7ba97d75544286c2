"""A plain DDP script: `torchrun --nproc-per-node 2 examples/recipes/ddp.py`, on any number of
processes, CPU or GPU.

The encoders are in `DistributedDataParallel`, the constraint is not: it has buffers that move in
each step, which DDP would overwrite. It agrees between ranks by itself, and three lines do the
rest, marked with +.
"""

import argparse
import gc
import os

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

import mireg

FEATURES, CODE = 16, 4


class Model(nn.Module):
    """Creates two encoders and a decoder in one module, so that DDP sees one forward pass."""

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


def batch(n: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Draws pairs that share half of what they are made of."""
    appearance, *poses = torch.randn(3, n, FEATURES // 2, device=device)
    x1, x2 = (torch.cat((appearance, pose), dim=1) for pose in poses)
    return x1, x2


def main() -> None:
    """Trains on all ranks, and shows that they agree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch", type=int, default=64, help="the samples of a step and rank")
    parser.add_argument("--smoke", action="store_true", help="a few steps")
    options = parser.parse_args()
    cuda = torch.cuda.is_available()
    device = torch.device(f"cuda:{os.environ['LOCAL_RANK']}" if cuda else "cpu")

    torch.manual_seed(0)
    model = Model().to(device)
    constraint = mireg.RobustMIConstraint(CODE, CODE, epsilon=0.125).to(device)
    # The optimizer comes before the group: it loads torch._dynamo, and torch 2.13 never ends a
    # group that is older than it.
    optimizer = torch.optim.Adam(
        [
            {"params": model.parameters(), "lr": 1e-3},
            {"params": constraint.parameters(), "lr": 3e-3},
        ]
    )

    dist.init_process_group("nccl" if cuda else "gloo")
    rank = dist.get_rank()
    model = DistributedDataParallel(model)
    mireg.ranks.broadcast(constraint)  # + all ranks start with the critics of rank 0

    torch.manual_seed(1 + rank)  # + each rank draws samples and noise of its own
    for _ in range(10 if options.smoke else options.steps):
        x1, x2 = batch(options.batch, device)
        pi, alpha, mean, log_var, output = model(x1, x2)

        penalty = constraint(pi, alpha, mireg.diagonal_gaussian(mean, log_var))
        task = 10 * (output - x2).square().sum(1).mean()
        optimizer.zero_grad()
        # DDP averages the gradients of the encoders.
        (task + penalty.loss + penalty.critic_loss).backward()
        mireg.ranks.average_gradients(constraint.parameters())  # + and this those of the critics
        optimizer.step()
        constraint.update(penalty)

    # The weights as they are now, and what moved them last.
    multiplier = constraint.multiplier.value
    state = torch.stack((multiplier, constraint.gamma(multiplier), penalty.metrics["mi"]))
    states = [torch.empty_like(state) for _ in range(dist.get_world_size())]
    dist.all_gather(states, state)
    if rank == 0:
        for i, (multiplier, gamma, mi) in enumerate(torch.stack(states).tolist()):
            print(f"rank {i}: λ {multiplier:.12f}  γ {gamma:.12f}  I_T {mi:+.12f}")
        print("equal" if all(s.equal(state) for s in states) else "the ranks differ")
    dist.barrier()  # nobody leaves while another still gathers
    # The wrapper holds the group. Freed after the group is destroyed, it can wait forever, with the
    # GIL, for a thread of gloo that waits for the GIL.
    del model
    gc.collect()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
