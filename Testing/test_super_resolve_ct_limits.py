"""Super-resolution of CT: what is refused in one sentence, what does not fit, large results, cancelling."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import ct_scans
import numpy as np
import pytest
from ct_scans import BICUBIC, a_chest
from MedSRLib import cli, jobs, models, run, tasks
from MedSRLib.errors import Cancelled, InputError, MedSRError, ModelError, ResourceError
from MedSRLib.intensity import PADDING_HU
from MedSRLib.io import formats, slabs
from MedSRLib.run import Progress
from MedSRLib.tasks.super_resolve_ct import Options, super_resolve_ct
from MedSRLib.volume import Volume

own_models = ct_scans.own_models


def no_hu(array, **meta):
    return Volume(array, (0.8, 0.8, 2.0), meta={"name": "image", **meta})


NOISE = np.random.default_rng(0)
BAD = {
    "MRI": (no_hu(NOISE.integers(0, 900, (3, 16, 16)).astype(np.int16), modality="MR"), "is MR, not CT"),
    "no HU": (no_hu(NOISE.integers(0, 900, (3, 16, 16)).astype(np.int16)), "does not say that it is CT"),
    "8-bit": (no_hu(NOISE.integers(0, 255, (3, 16, 16)).astype(np.uint8), modality="CT"), "8-bit values are not HU"),
    "no sign": (no_hu(NOISE.integers(0, 4000, (3, 16, 16)).astype(np.uint16), modality="CT"), "rescale"),
    "0 to 1": (no_hu(NOISE.random((3, 16, 16)).astype(np.float32)), "hold no air"),
    "NaN": (no_hu(np.full((3, 16, 16), np.nan, np.float32)), "NaN"),
    "colour": (no_hu(np.zeros((3, 16, 16, 3), np.uint8)), "channels"),
    "uneven": (a_chest().with_(positions_mm=(0.0, 1.5, 4.5)), "unevenly spaced"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_super_resolved_is_refused_in_one_sentence(name):
    volume, reason = BAD[name]
    with pytest.raises(InputError, match=reason) as found:
        super_resolve_ct((volume,), Options(device="cpu"))
    assert "\n" not in found.value.sentence() and len(found.value.sentence()) < 250


@pytest.mark.parametrize("name", ["MRI", "8-bit", "no sign", "0 to 1"])
def test_it_is_done_all_the_same_where_the_flag_allows_it(name):
    volume, _ = BAD[name]
    result = super_resolve_ct((volume,), Options(any_modality=True, device="cpu"))
    assert result.volume[0].array.dtype == volume.array.dtype
    assert any("was not trained for that" in w for w in result.report["warnings"])
    low, high = volume.array.min(), volume.array.max()
    assert abs(float(result.volume[0].array.mean()) - float(volume.array.mean())) < 0.1 * (high - low)


def test_a_model_with_a_scale_of_its_own_takes_values_as_they_are():
    volume = BAD["8-bit"][0]
    result = super_resolve_ct((volume.with_(meta={"modality": "OT"}),), Options(model="bone", device="cpu"))
    assert result.volume[0].array.dtype == np.uint8 and result.report["units"] == "grey"
    assert all("limited" in w for w in result.report["warnings"])


def test_no_room_in_memory_or_on_the_disk_is_known_before_it_runs(monkeypatch):
    monkeypatch.setattr(run, "available_memory_bytes", lambda: 1000)
    with pytest.raises(ResourceError, match="288 × 320 × 3 voxels needs about"):
        super_resolve_ct((a_chest(),), BICUBIC)
    monkeypatch.setattr(run, "available_memory_bytes", lambda: None)
    monkeypatch.setattr(slabs, "LARGE_BYTES", 1000)
    monkeypatch.setattr(run.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 10}))
    with pytest.raises(ResourceError, match="free"):
        super_resolve_ct((a_chest(),), BICUBIC)


def test_a_disk_too_small_for_the_result_is_known_before_it_runs(monkeypatch, tmp_path):
    formats.write(tmp_path / "in.nrrd", a_chest())
    size = 3 * 288 * 320 * 2
    monkeypatch.setattr(run.shutil, "disk_usage", lambda path: type("Usage", (), {"free": size - 1}))
    spec = jobs.Specification(
        "super_resolve_ct", {"volume": str(tmp_path / "in.nrrd")}, {"volume": str(tmp_path / "o.nrrd")}, {"method": "bicubic"}
    )
    with pytest.raises(ResourceError, match="the result needs about"):
        jobs.run_here(spec)


def test_weights_of_another_network_and_models_of_another_task_are_refused(own_models, tmp_path, monkeypatch):
    import shutil

    monkeypatch.setenv(models.OWN_FOLDER, str(tmp_path))
    with pytest.raises(ModelError, match="use Method bicubic") if not shipped() else pytest.raises(ModelError, match="no model"):
        super_resolve_ct((a_chest(),), Options(model="" if not shipped() else "absent"))
    shutil.copytree(own_models / "tiny", tmp_path / "tiny")
    card = json.loads((tmp_path / "tiny/card.json").read_text(encoding="utf-8"))
    for change, reason in (
        ({"network": "sr_unit", "arguments": {}}, "do not fit"),
        ({"task": "interpolate_slices"}, "is a model for interpolate_slices"),
    ):
        (tmp_path / "tiny/card.json").write_text(json.dumps(card | change), encoding="utf-8")
        with pytest.raises(ModelError, match=reason):
            super_resolve_ct((a_chest(),), Options(model="tiny", device="cpu"))


def shipped() -> bool:
    return any(path.name.startswith("ct") for path in models.SHIPPED.iterdir())


# Streaming, cancelling, the command


def test_cancelling_stops_at_the_next_tile_and_leaves_nothing(tmp_path):
    formats.write(tmp_path / "in.nrrd", a_chest((4, 64, 64)))
    heard = []

    def cancelled() -> bool:
        heard.append(1)
        return len(heard) > 12

    outputs = {"volume": str(tmp_path / "out.nrrd"), "fidelity": str(tmp_path / "f.nrrd")}
    options = {"tile": 24, "device": "cpu", "batch_size": 1}
    spec = jobs.Specification("super_resolve_ct", {"volume": str(tmp_path / "in.nrrd")}, outputs, options)
    with pytest.raises(Cancelled):
        jobs.run_here(spec, Progress(cancelled=cancelled))
    assert len(heard) == 13 and [p.name for p in tmp_path.iterdir()] == ["in.nrrd"]


@pytest.mark.parametrize("name", ["large.nrrd", "large.mha", "large.nii", "large.nii.gz"])
def test_large_results_are_written_slab_by_slab_and_read_back(name, tmp_path, monkeypatch):
    monkeypatch.setattr(slabs, "LARGE_BYTES", 2000)
    monkeypatch.setattr(slabs, "SLAB_BYTES", 1000)
    result = super_resolve_ct((a_chest(),), Options(method="bicubic", roi="ijk 8 20 8 18 0 3"))
    assert isinstance(_owner(result.volume[0].array), np.memmap)
    formats.write(tmp_path / name, result.volume)
    (again,) = formats.read(tmp_path / name)
    assert np.array_equal(again.array, result.volume[0].array) and np.allclose(again.affine, result.volume[0].affine, atol=1e-4)
    packed = name.endswith(".gz")
    assert packed or (tmp_path / name).stat().st_size > result.volume[0].array.nbytes


def _owner(array):
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


CHILD = """
import sys
import numpy as np
from MedSRLib import jobs
from MedSRLib.io import slabs
slabs.LARGE_BYTES = 2**22
folder, slices = sys.argv[1], sys.argv[2]
paths = {"volume": f"{folder}/out{slices}.nrrd", "fidelity": f"{folder}/f{slices}.mha"}
jobs.run_here(jobs.Specification("super_resolve_ct", {"volume": f"{folder}/{slices}.nrrd"}, paths, {"method": "bicubic"}))
# Not ru_maxrss: a child begins with the peak of the process that started it.
print(next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is measured on Linux")
def test_memory_does_not_grow_with_the_number_of_slices(tmp_path):
    """64 slices more are 100 MB of result; the process grows by far less, mapped pages included."""
    peak = {}
    for slices in (6, 70):
        formats.write(tmp_path / f"{slices}.nrrd", a_chest((slices, 64, 64)))
        environment = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).resolve().parents[1])}
        done = subprocess.run([sys.executable, "-c", CHILD, str(tmp_path), str(slices)], capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        peak[slices] = float(done.stdout.splitlines()[-1])
    assert (tmp_path / "f70.mha").stat().st_size > 70 * 512 * 512 * 4
    assert peak[70] - peak[6] < 30


def test_the_task_says_how_large_its_outputs_are():
    task = tasks.load("super_resolve_ct")
    sizes = task.output_bytes((a_chest(),), Options(roi="ijk 0 10 0 10 0 2", slice_spacing_mm=0.75))
    assert sizes == {"volume": 3 * 80 * 80 * 2, "fidelity": 3 * 80 * 80 * 4}


def test_the_command_says_what_is_wrong_in_one_line(tmp_path, capsys):
    formats.write(tmp_path / "mr.nrrd", BAD["no HU"][0])
    assert (
        cli.main(["super-resolve-ct", str(tmp_path / "mr.nrrd"), str(tmp_path / "o.nrrd"), "--device", "cpu", "--quiet"])
        == InputError.exit_code
    )
    said = capsys.readouterr().err.strip()
    assert len(said.splitlines()) == 1 and "--any-modality" in said and [p.name for p in tmp_path.iterdir()] == ["mr.nrrd"]


def test_every_error_of_this_task_is_one_of_the_family():
    assert issubclass(InputError, MedSRError) and PADDING_HU < -1100


def test_a_model_of_grey_values_refuses_ct_in_hu_unless_told_otherwise():
    with pytest.raises(InputError, match="grey values of 0 to 255, the volume is CT in HU"):
        super_resolve_ct((a_chest(),), Options(model="bone", device="cpu"))
    result = super_resolve_ct((a_chest(),), Options(model="bone", device="cpu", any_modality=True, roi="ijk 0 16 0 16 0 1"))
    assert result.report["units"] == "grey"
