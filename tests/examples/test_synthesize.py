"""A trained model leaves the program: exported it gives the same outputs, and it draws the pictures of a user."""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import processes
import pytest
import torch
from PIL import Image
from pose_appearance.data.puppets import puppets
from pose_appearance.model.exported import CARD, export_model, load_exported
from pose_appearance.model.pretrained import WEIGHTS, load_weights
from pose_appearance.programs import synthesize, train
from pose_appearance.programs.synthesize import SynthesizeOptions
from pose_appearance.training.checkpoint import load_checkpoint, save_checkpoint
from pose_appearance.training.finished import has_ended, trained_model
from pose_appearance.training.options import TrainOptions, write_options
from pose_appearance.training.run import build_trainer, load_images

EXAMPLE = Path(__file__).parents[2] / "examples" / "pose_appearance"
OPTIONS = TrainOptions(identities=6, poses=6, steps=2, identities_per_batch=3, views=2)
NETWORKS = ["pose_encoder.pt2", "appearance_encoder.pt2", "decoder.pt2"]


def write_run(folder, options=OPTIONS, images=None):
    """A run that has made its steps, with weights far from those that it started with."""
    trainer = build_trainer(options, images or load_images(options), torch.device("cpu"))
    for step in range(2):
        trainer.step(step / 2)
    with torch.no_grad():
        for weights in trainer.averaged.parameters():
            weights.add_(0.05 * torch.randn_like(weights))
    folder.mkdir(exist_ok=True)
    write_options(options, folder / "options.json")
    save_checkpoint(trainer.state_dict(), folder / "checkpoint.pt")
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    train.export(run, replace(OPTIONS, export=folder))
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Puppets in files of another size than the model's."""
    folder = tmp_path_factory.mktemp("pictures")
    for i, image in enumerate(puppets(identities=3, poses=4).images):
        Image.fromarray(image).resize((90, 128)).save(folder / f"{i}.png")
    return folder


@pytest.mark.parametrize("count", [1, 2, 7])
@pytest.mark.slow
def test_an_exported_model_gives_the_same_outputs_for_any_batch(run, exported, count):
    model, _ = trained_model(run)
    again = load_exported(exported)
    x, y = 2 * torch.rand(2, count, 3, 64, 64) - 1
    torch.testing.assert_close(again.transfer(x, y), model.transfer(x, y))
    torch.testing.assert_close(again.pose_encoder(x), model.pose_encoder(x))
    torch.testing.assert_close(again.appearance_encoder(x), model.appearance_encoder(x))


def test_exporting_leaves_the_model_as_it_was(run, tmp_path):
    model, _ = trained_model(run)
    layout = [weights.stride() for weights in model.parameters()]
    export_model(model, tmp_path / "new" / "folder", {})
    assert [weights.stride() for weights in model.parameters()] == layout
    assert (tmp_path / "new" / "folder" / CARD).exists()


def test_an_exported_model_needs_no_code_but_torch(run, exported, tmp_path):
    model, _ = trained_model(run)
    x = 2 * torch.rand(3, 3, 64, 64) - 1
    torch.save(x, tmp_path / "x.pt")
    program = (
        "import sys, torch\n"
        f"encode = torch.export.load({str(exported / 'appearance_encoder.pt2')!r}).module()\n"
        f"torch.save(encode(torch.load({str(tmp_path / 'x.pt')!r})), {str(tmp_path / 'y.pt')!r})\n"
        "assert not {'mireg', 'pose_appearance'} & set(sys.modules)\n"
    )
    processes.run(sys.executable, "-I", "-c", program, cwd=tmp_path)
    torch.testing.assert_close(torch.load(tmp_path / "y.pt"), model.appearance_encoder(x))


def test_the_card_tells_what_the_networks_take_and_how_they_were_trained(exported):
    card = json.loads((exported / CARD).read_text())
    assert card["sizes"]["size"] == card["native_size"] == 64
    assert card["sizes"]["pi_features"] == 8
    assert (card["data"], card["objective"], card["epsilon"]) == ("puppets", "robust", 0.125)
    assert card["steps"] == 2 and card["seconds"] >= 0
    assert sorted(card["files"].values()) == sorted(NETWORKS)


def test_the_averaged_weights_are_exported(run, exported):
    state = load_checkpoint(run / "checkpoint.pt")
    weights = dict(load_exported(exported).decoder.named_parameters())
    torch.testing.assert_close(weights["layout.weight"], state["averaged"]["decoder.layout.weight"])
    assert not torch.equal(weights["layout.weight"], state["model"]["decoder.layout.weight"])


@pytest.mark.parametrize("name", [CARD, *NETWORKS])
@pytest.mark.parametrize("damage", ["truncated", "text", "missing"])
def test_a_broken_file_of_an_exported_model_is_named(exported, tmp_path, name, damage):
    for path in exported.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).unlink()
    if damage != "missing":
        broken = content[: len(content) // 2] if damage == "truncated" else b"hello"
        (tmp_path / name).write_bytes(broken)
    error = FileNotFoundError if damage == "missing" else ValueError
    with pytest.raises(error, match=re.escape(str(tmp_path / name))):
        load_exported(tmp_path)


def test_a_card_of_another_format_is_refused(exported, tmp_path):
    card = json.loads((exported / CARD).read_text())
    (tmp_path / CARD).write_text(json.dumps({**card, "format": 99}))
    with pytest.raises(ValueError, match=r"model\.json must have format 1, got 99"):
        load_exported(tmp_path)


@pytest.mark.slow
def test_training_exports_at_its_end_and_an_ended_run_later(tmp_path, capsys):
    options = replace(OPTIONS, out=tmp_path / "run", export=tmp_path / "first", compile="no")
    assert train.main(options) == 0
    assert f"model.json are in {tmp_path / 'first'}" in capsys.readouterr().out
    model, saved = trained_model(tmp_path / "run")
    assert has_ended(tmp_path / "run", saved)
    before = (tmp_path / "run" / "checkpoint.pt").stat().st_mtime_ns

    again = TrainOptions(resume=tmp_path / "run", export=tmp_path / "second")
    assert train.main(again) == 0
    assert (tmp_path / "run" / "checkpoint.pt").stat().st_mtime_ns == before
    x, y = 2 * torch.rand(2, 2, 3, 64, 64) - 1
    for name in ("first", "second"):
        found = load_exported(tmp_path / name).transfer(x, y)
        torch.testing.assert_close(found, model.transfer(x, y))


def test_weights_in_half_precision_draw_the_same_and_a_broken_file_is_named(run, tmp_path):
    train.export(run, replace(OPTIONS, weights=tmp_path))
    model, card = load_weights(tmp_path)
    assert card["data"] == "puppets" and card["native_size"] == 64
    x, y = 2 * torch.rand(2, 2, 3, 64, 64) - 1
    expected = trained_model(run)[0].transfer(x, y)
    torch.testing.assert_close(model.transfer(x, y), expected, atol=0.05, rtol=0)
    file = tmp_path / WEIGHTS
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"must hold model\.safetensors and its card model\.json"):
        load_weights(tmp_path)


def test_the_demo_draws_a_table_and_a_film_with_the_weights_that_come_with_it(tmp_path):
    synthesize.main(SynthesizeOptions(demo=True, zoom=1, out=tmp_path / "any.png"))
    with Image.open(tmp_path / "demo.png") as table, Image.open(tmp_path / "demo.gif") as film:
        assert table.width > 8 * 64 and film.n_frames == 48
    weights = synthesize.PRETRAINED / WEIGHTS
    assert weights.stat().st_size <= 5_000_000


def test_a_run_that_goes_on_is_not_ended(run, tmp_path):
    write_run(tmp_path)
    assert not has_ended(tmp_path, OPTIONS)  # it has no pictures yet
    (tmp_path / "metrics.json").write_text("{}")
    assert has_ended(tmp_path, OPTIONS)
    assert not has_ended(tmp_path, replace(OPTIONS, steps=3))


def pixels_of(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def expected(folder, appearance, pose):
    """What the model itself draws of two files, as pixels."""
    model, _ = trained_model(folder)
    images = synthesize.read_pictures([appearance, pose], 64)
    x = torch.from_numpy(images).float().div(127.5).sub(1).permute(0, 3, 1, 2)
    drawn = model.transfer(x[:1], x[1:])[0].clamp(-1, 1)
    return ((drawn + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()


@pytest.mark.parametrize("source", ["run", "exported"])
def test_one_pair_without_borders_is_the_output_alone(source, run, pictures, tmp_path, request):
    options = SynthesizeOptions(
        request.getfixturevalue(source),
        (pictures / "1.png",),
        (pictures / "6.png",),
        out=tmp_path / "made" / "here.png",
        borders=False,
        zoom=1,
    )
    synthesize.main(options)
    drawn = pixels_of(tmp_path / "made" / "here.png")
    truth = expected(run, pictures / "1.png", pictures / "6.png")
    # Rounding may fall to either side.
    assert drawn.shape == (64, 64, 3)
    assert np.abs(drawn.astype(int) - truth).max() <= 1


def test_a_table_has_poses_across_and_appearances_down(run, pictures, tmp_path, monkeypatch):
    # Less than a row at once: batches must not show.
    monkeypatch.setattr(synthesize, "BATCH", 2)
    appearance = (pictures / "2.png", pictures / "5.png")
    pose = tuple(pictures / f"{i}.png" for i in (0, 7, 11))
    synthesize.main(SynthesizeOptions(run, appearance, pose, out=tmp_path / "t.png", zoom=1))
    table = pixels_of(tmp_path / "t.png")
    assert table.shape == (3 * 66 + 2, 4 * 66 + 2, 3)

    def cell(row, column):
        return table[66 * row + 2 : 66 * row + 66, 66 * column + 2 : 66 * column + 66]

    assert (cell(0, 0) == 255).all()
    inputs = synthesize.read_pictures([*appearance, *pose], 64)
    for i, path in enumerate(appearance):
        np.testing.assert_array_equal(cell(i + 1, 0), inputs[i])
        for j, other in enumerate(pose):
            np.testing.assert_array_equal(cell(0, j + 1), inputs[2 + j])
            truth = expected(run, path, other)
            assert np.abs(cell(i + 1, j + 1).astype(int) - truth).max() <= 1


@pytest.mark.parametrize(
    ("borders", "size"), [(True, (3 * 66 + 2, 2 * 66 + 2)), (False, (134, 68))]
)
def test_a_gif_goes_through_the_poses_of_a_folder(run, pictures, tmp_path, borders, size):
    appearance = (pictures / "2.png", pictures / "5.png")
    out = tmp_path / "a.gif"
    options = SynthesizeOptions(
        run, appearance, (pictures,), out=out, borders=borders, zoom=1, fps=20
    )
    synthesize.main(options)
    with Image.open(out) as gif:
        assert (gif.n_frames, gif.size, gif.info["duration"]) == (12, size, 50)
        gif.seek(10)
        frame = np.asarray(gif.convert("RGB"))
    corner = frame[-66:-2, -66:-2]
    truth = expected(run, appearance[1], pictures / "10.png")
    # A frame has 256 colours.
    assert np.abs(corner.astype(int) - truth).mean() < 12


def test_folders_are_read_in_the_order_of_their_numbers(pictures):
    found = synthesize.find_pictures((pictures / "3.png", pictures))
    assert [path.stem for path in found] == ["3", *map(str, range(12))]


def test_the_sprites_that_were_padded_in_training_are_padded_again(pictures, tmp_path):
    options = replace(OPTIONS, data="sprites", data_root=tmp_path)
    folder = write_run(tmp_path / "run", options, load_images(OPTIONS))
    out = tmp_path / "o.png"
    arguments = (folder, (pictures / "1.png",), (pictures / "2.png",))
    synthesize.main(SynthesizeOptions(*arguments, out=out, borders=False, zoom=1))
    assert pixels_of(out).shape == (60, 60, 3)


def with_broken(run, tmp_path, name, content):
    folder = tmp_path / "broken"
    folder.mkdir()
    for path in ("options.json", "checkpoint.pt"):
        (folder / path).write_bytes(content if path == name else (run / path).read_bytes())
    return folder


@pytest.mark.parametrize("name", ["options.json", "checkpoint.pt"])
@pytest.mark.parametrize("content", [b"", b"hello", b'{"preset": "small", "colour": 3}'])
def test_a_broken_file_of_a_run_is_named(run, pictures, tmp_path, name, content):
    folder = with_broken(run, tmp_path, name, content)
    with pytest.raises(ValueError, match=re.escape(str(folder / name))):
        synthesize.main(SynthesizeOptions(folder, (pictures,), (pictures,), out=tmp_path / "o.png"))


def test_weights_of_another_preset_are_named(run, tmp_path):
    fields = {**json.loads((run / "options.json").read_text()), "preset": "paper"}
    folder = with_broken(run, tmp_path, "options.json", json.dumps(fields).encode())
    with pytest.raises(ValueError, match=r"checkpoint\.pt must hold the model of the preset paper"):
        trained_model(folder)


def test_options_that_are_older_than_some_have_their_defaults(run, tmp_path):
    fields = json.loads((run / "options.json").read_text())
    del fields["export"], fields["images_per_identity"]
    folder = with_broken(run, tmp_path, "options.json", json.dumps(fields).encode())
    assert trained_model(folder)[1] == OPTIONS


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"appearance": "absent.png"}, r"no picture at .*absent\.png"),
        ({"pose": "notes.txt"}, r"notes\.txt must be a picture that Pillow reads"),
        ({"pose": "empty"}, r"empty must hold pictures"),
        ({"model": "nothing"}, r"no run at .*nothing"),
    ],
)
def test_what_is_no_picture_and_no_run_is_named(run, pictures, tmp_path, wrong, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("hello")
    paths = {"model": run, "appearance": pictures, "pose": pictures}
    paths |= {name: tmp_path / value for name, value in wrong.items()}
    options = SynthesizeOptions(
        paths["model"], (paths["appearance"],), (paths["pose"],), out=tmp_path / "o.png"
    )
    with pytest.raises((FileNotFoundError, ValueError), match=message):
        synthesize.main(options)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"out": Path("a.mp4")}, r"--out must end in \.png, \.jpg, \.jpeg or \.gif, got a\.mp4"),
        ({"zoom": 0}, "--zoom must be positive, got 0"),
        ({"fps": -1.0}, r"--fps must be positive, got -1\.0"),
        ({"pose": ()}, "--pose must name at least one picture"),
        ({"demo": True}, "--appearance must name at least one picture, or --demo be given instead"),
    ],
)
def test_options_out_of_range_are_refused(wrong, message):
    given = {"model": Path("run"), "appearance": (Path("a.png"),), "pose": (Path("b.png"),)}
    with pytest.raises(ValueError, match=message):
        SynthesizeOptions(**{**given, **wrong})


def test_the_command_ends_with_an_error_and_no_traceback(run, tmp_path):
    command = [sys.executable, EXAMPLE / "synthesize.py", run, "--appearance", "absent.png"]
    _, err = processes.run(*command, "--pose", "absent.png", cwd=tmp_path, code=1)
    assert err.strip().splitlines()[-1] == "error: there is no picture at absent.png"
    assert "Traceback" not in err
