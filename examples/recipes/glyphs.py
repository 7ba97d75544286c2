"""Letters in the fonts that matplotlib ships: which letter is the content, the font is the style,
and each content can be drawn in each style.

Two glyphs of one font go in. The content code of the second and the style code of the first have to
redraw the second. A fifth of all pairs of letter and font is held out: there the letter of one font
is drawn in the style of another, and compared with the truth.
"""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn

import mireg

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
SIZE, CODE = 24, 16
SCALE = 0.2  # of the decoder's Gaussian


def load() -> tuple[Tensor, list[str]]:
    """Draws all letters in all fonts that have them, with shape (fonts, letters, 576), 0 to 1."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    kinds = ("DejaVuSans*", "DejaVuSerif*", "STIXGeneral*", "cmr10", "cmb10", "cmss10", "cmtt10")
    files = sorted({file for kind in kinds for file in folder.glob(f"{kind}.ttf")})
    files = [file for file in files if "Display" not in file.stem]
    fonts = torch.stack([torch.stack([glyph(c, file) for c in LETTERS]) for file in files])
    return fonts, [file.stem for file in files]


def glyph(letter: str, file: Path) -> Tensor:
    """Draws a letter on its baseline."""
    image = Image.new("L", (SIZE, SIZE))
    font = ImageFont.truetype(str(file), 20)
    ImageDraw.Draw(image).text((SIZE / 2, 18), letter, fill=255, font=font, anchor="ms")
    return torch.tensor(np.asarray(image) / 255, dtype=torch.float32).flatten()


def mlp(inputs: int, outputs: int, width: int = 256) -> nn.Sequential:
    """Creates a network with two hidden layers."""
    return nn.Sequential(
        nn.Linear(inputs, width),
        nn.SiLU(),
        nn.Linear(width, width),
        nn.SiLU(),
        nn.Linear(width, outputs),
    )


class Run:
    """Trains two encoders and a decoder, with the constraint where a target is given."""

    def __init__(self, fonts: Tensor, held_out: Tensor, epsilon: float | None, steps: int) -> None:
        torch.manual_seed(0)
        self.encoders = mireg.EncoderPair(Halves(mlp(SIZE**2, 2 * CODE)), mlp(SIZE**2, CODE))
        self.decoder = mlp(2 * CODE, SIZE**2)
        networks = (self.encoders, self.decoder)
        optimizer = torch.optim.Adam([p for n in networks for p in n.parameters()], lr=1e-3)
        if epsilon is not None:
            constraint = mireg.RobustMIConstraint(CODE, CODE, epsilon=epsilon)
            optimizer.add_param_group({"params": constraint.parameters(), "lr": 3e-3})
        font, letter = (~held_out).nonzero(as_tuple=True)
        # Glyphs are in order of fonts: those of one are neighbours.
        count = font.bincount()
        start = count.cumsum(0) - count
        for _ in range(steps):
            rows = torch.randint(len(font), (128,))
            of_font = font[rows]
            partner = letter[start[of_font] + (torch.rand(128) * count[of_font]).long()]
            x1, x2 = fonts[of_font, partner], fonts[of_font, letter[rows]]
            content, style, posterior = self.encoders(x2, x1)

            output = self.decoder(torch.cat((content, style), dim=1))
            loss = (output - x2).square().sum(1).mean() / (2 * SCALE**2)
            if epsilon is not None:
                penalty = constraint(content, style, posterior)
                loss = loss + penalty.loss + penalty.critic_loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if epsilon is not None:
                constraint.update(penalty)

    @torch.no_grad()
    def recombine(self, content: Tensor, style: Tensor) -> Tensor:
        """Draws letters of some glyphs in the fonts of others, by the mean of the content code."""
        mean, _ = self.encoders.pi_encoder(content)
        return self.decoder(torch.cat((mean, self.encoders.alpha_encoder(style)), dim=1))


class Halves(nn.Module):
    """Creates an encoder that returns the two halves of an output as mean and log-variance."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()

        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_var = self.network(x).chunk(2, dim=1)
        return mean, log_var


@torch.no_grad()
def measure(run: Run, fonts: Tensor, held_out: Tensor, repeats: int) -> dict[str, float]:
    """Compares recombined glyphs with the truth, and audits all content codes for the style that
    they were seen with.
    """
    torch.manual_seed(1)
    font, letter = held_out.nonzero(as_tuple=True)
    errors = []
    for shift in range(1, len(fonts)):
        # The letter in another font, and another letter in the font asked for: both were seen in
        # training.
        other, partner = (font + shift) % len(fonts), torch.randint(len(LETTERS), font.shape)
        known = ~held_out[other, letter] & ~held_out[font, partner]
        output = run.recombine(fonts[other, letter][known], fonts[font, partner][known])
        errors.append((output - fonts[font, letter][known]).square().sum(1))
    # Several draws of one glyph stay on one side of each split.
    index = torch.arange(len(fonts) * len(LETTERS)).repeat(repeats)
    x = fonts.flatten(0, 1)[index]
    content, _, _ = run.encoders(x, x)
    report = mireg.audit(content, index // len(LETTERS), index, folds=4)
    return {
        "error of held-out glyphs": torch.cat(errors).mean().item(),
        "audited nats about the font": report.mi,
        "standard error": report.standard_error,
        "attackers' accuracy": report.label_accuracy or 0.0,
    }


def draw(runs: dict[str, Run], fonts: Tensor, names: list[str], path: Path) -> None:
    """Draws some letters of one font in the styles of others, given by one letter each."""
    content, style = fonts[names.index("DejaVuSans"), :8], fonts[:, LETTERS.index("g")]
    shown = ("DejaVuSans-Bold", "DejaVuSerif-Italic", "STIXGeneral", "cmtt10")
    figure, axes = plt.subplots(1, len(runs), figsize=(9, 3.2), layout="constrained")
    for ax, (name, run) in zip(axes, runs.items(), strict=True):
        rows = [torch.cat((torch.zeros(1, SIZE**2), content))]
        for font in shown:
            of_font = style[names.index(font)].expand(len(content), -1)
            rows.append(torch.cat((of_font[:1], run.recombine(content, of_font))))
        grid = torch.stack(rows).view(len(rows), -1, SIZE, SIZE).transpose(1, 2)
        ax.imshow(grid.reshape(len(rows) * SIZE, -1).clamp(0, 1), cmap="gray_r", vmin=0, vmax=1)
        ax.set(title=name, xticks=[], yticks=[], xlabel="top: content; left: style")
    figure.savefig(path, dpi=64)
    plt.close(figure)


def main() -> None:
    """Trains without and with the constraint, measures, and draws."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epsilon", type=float, default=0.1, help="the target in nats")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--out", type=Path, default=Path("runs/recipes"))
    parser.add_argument("--smoke", action="store_true", help="a few steps")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    steps = 10 if options.smoke else options.steps

    fonts, names = load()
    held_out = torch.rand(fonts.shape[:2], generator=torch.Generator().manual_seed(0)) < 0.2
    runs, results = {}, {}
    for name, epsilon in (("without", None), ("with", options.epsilon)):
        runs[name] = Run(fonts, held_out, epsilon, steps)
        results[name] = measure(runs[name], fonts, held_out, repeats=1 if options.smoke else 4)
    draw(runs, fonts, names, options.out / "glyphs.png")

    print(f"{len(LETTERS)} letters in {len(names)} fonts, {int(held_out.sum())} pairs held out")
    print(f"{'':32}{'without':>10}{'with':>10}")
    for key, value in results["without"].items():
        print(f"{key:32}{value:10.3f}{results['with'][key]:10.3f}")
    mean = fonts.mean(0, keepdim=True)
    error = (mean - fonts).square().sum(2)[held_out].mean()
    print(f"for comparison: the mean of all fonts has an error of {error:.3f}")
    bound = mireg.leakage.accuracy_bound(options.epsilon, 1 / len(names))
    print(f"chance is {1 / len(names):.3f}; {options.epsilon} nats allow {bound:.3f}")


if __name__ == "__main__":
    main()
