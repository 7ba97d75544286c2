"""The steps of the flagship on a GPU: `pytest -o addopts= tests/gpu/test_flagship.py`.

`MIREG_GPU_TESTS_ON=cpu` runs what a CPU can, to see that the tests themselves work.
"""

import sys
from pathlib import Path

import pytest
import torch
from test_cuda import DEVICE, needs_cuda, no_sync

FLAGSHIP = Path(__file__).parents[2] / "examples" / "pose_appearance"
sys.path.insert(0, str(FLAGSHIP))

from pose_appearance.training.options import TrainOptions
from pose_appearance.training.run import build_trainer, load_images
from pose_appearance.training.trainer import Diverged

pytestmark = [
    pytest.mark.skipif(
        DEVICE == "cuda" and not torch.cuda.is_available(), reason="needs a CUDA device"
    ),
    pytest.mark.filterwarnings("default"),
]


@pytest.fixture(scope="module")
def images():
    return load_images(options())


def options(**changes):
    values = {"preset": "tiny", "identities": 16, "poses": 12, "steps": 100, "views": 2}
    return TrainOptions(
        **{**values, "colour_noise": 0.1, "width_noise": 0.05, "shape_noise": 0.05, **changes}
    )


def trainer_of(images, device=DEVICE, **changes):
    return build_trainer(options(**changes), images, torch.device(device))


@pytest.mark.parametrize("objective", ["robust", "paper"])
def test_a_captured_step_learns_as_a_step_as_usual_does(images, objective):
    errors = []
    for captured in (True, False):
        trainer = trainer_of(images, precision="float32", objective=objective)
        if not captured:
            trainer.capture = None
        errors.append([float(trainer.step(0.0)["error"]) for _ in range(60)])
    captured, usual = torch.tensor(errors)[:, -10:].mean(1)
    assert captured < 0.7 * errors[0][0]
    torch.testing.assert_close(captured, usual, rtol=0.2, atol=0.0)


@pytest.mark.parametrize("objective", ["supervised", "atsdm"])
def test_a_step_that_waits_or_changes_is_not_captured(images, objective):
    trainer = trainer_of(images, objective=objective)
    assert trainer.capture is None
    for _ in range(8):
        assert trainer.step(0.0)["error"].isfinite()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_step_of_the_flagship_never_waits_for_the_device(images, precision):
    trainer = trainer_of(images, precision=precision)
    for _ in range(8):
        trainer.step(0.0)
    if DEVICE == "cuda":
        with no_sync():
            for _ in range(8):
                metrics = trainer.step(0.5)
    else:
        metrics = trainer.step(0.5)
    assert all(x.isfinite() for x in metrics.values())


@needs_cuda
def test_numbers_that_are_not_finite_stop_a_run_within_twenty_steps(images):
    trainer = trainer_of(images)
    for _ in range(7):
        trainer.step(0.0)
    with torch.no_grad():
        next(trainer.model.parameters()).fill_(float("nan"))
    with pytest.raises(Diverged, match="20 steps before step 20"):
        for _ in range(13):
            trainer.step(0.0)


def test_a_checkpoint_of_a_gpu_goes_on_on_the_cpu(images):
    trainer = trainer_of(images)
    for _ in range(8):
        trainer.step(0.0)
    state = trainer.state_dict()
    other = trainer_of(images, "cpu")
    other.load_state_dict(state)
    assert other.step(0.1)["error"].isfinite()
    back = trainer_of(images)
    back.load_state_dict(other.state_dict())
    assert back.step(0.1)["error"].isfinite()
    assert back.step_count == 10
