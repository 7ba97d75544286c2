"""Uses an installed mireg: the version, the type marker, the loop of the README, the command line."""

import subprocess
import sys
from importlib.metadata import files, version
from pathlib import Path

import torch

import mireg

assert version("mireg") == mireg.__version__
assert Path(mireg.__file__).is_relative_to(sys.prefix), mireg.__file__
names = {str(path) for path in files("mireg") or []}
assert "mireg/py.typed" in names and any(name.endswith("licenses/LICENSE") for name in names), names

encoder = torch.nn.Linear(8, 4)
constraint = mireg.RobustMIConstraint(pi_features=4, alpha_features=3, epsilon=0.125)
critic_optimizer = torch.optim.Adam(constraint.critic_parameters(), lr=1e-3)
optimizer = torch.optim.Adam(encoder.parameters(), lr=1e-3)
for _ in range(3):
    x, alpha = torch.randn(16, 8), torch.randn(16, 3)
    posterior = mireg.diagonal_gaussian(encoder(x), torch.zeros(16, 4))
    pi = posterior.rsample()
    critic_optimizer.zero_grad()
    constraint.critic_loss(pi, alpha).backward()
    critic_optimizer.step()
    penalty = constraint(pi, alpha, posterior)
    optimizer.zero_grad()
    penalty.loss.backward()
    optimizer.step()
    constraint.update(penalty)
assert penalty.metrics["mi"].isfinite()

subprocess.run([sys.executable, "-I", "-m", "mireg", "audit", "--help"], check=True, stdout=-3)
print(f"mireg {mireg.__version__} works with torch {torch.__version__}")
