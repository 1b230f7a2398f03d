"""Pyramids that stream: read back by OpenSlide and tifffile, whole or not at all, in the memory of a few rows."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from MedSRLib.errors import OptionError, OutputError
from MedSRLib.io.slide_write import level_sizes, write_pyramid
from MedSRLib.io.slides import open_slide

openslide = pytest.importorskip("openslide")
tifffile = pytest.importorskip("tifffile")
pytest.importorskip("imagecodecs")


@pytest.fixture(scope="module")
def part(data_dir):
    """(1301, 1501, 3): a part of a real slide, odd in both directions."""
    with tifffile.TiffFile(data_dir / "wsi" / "CMU-1-Small-Region.svs") as file:
        return file.pages[0].asarray()[900:2201, 300:1801]


def bands(picture: np.ndarray, height: int = 77):
    return (picture[start : start + height] for start in range(0, len(picture), height))


def test_what_is_written_is_read_back_pixel_by_pixel_with_its_size_and_levels(part, tmp_path):
    path = tmp_path / "ä whole.ome.tif"
    write_pyramid(path, bands(part), (1501, 1301), (0.499, 0.51))
    with openslide.OpenSlide(path) as other:
        assert other.dimensions == (1501, 1301)
        assert float(other.properties["openslide.mpp-x"]) == pytest.approx(0.499, rel=1e-6)
        assert float(other.properties["openslide.mpp-y"]) == pytest.approx(0.51, rel=1e-6)
        assert np.array_equal(np.asarray(other.read_region((0, 0), 0, (1501, 1301)))[..., :3], part)
    with tifffile.TiffFile(path) as file:
        levels = [level.asarray() for level in file.series[0].levels]
        assert file.is_ome and 'PhysicalSizeX="0.499"' in file.ome_metadata and file.pages[0].tile == (512, 512)
    assert np.array_equal(levels[0], part) and [level.shape[:2] for level in levels] == [(1301, 1501), (651, 751)]
    mean = part[:1300, :1500].reshape(650, 2, 750, 2, 3).mean((1, 3))
    assert np.array_equal(levels[1][:650, :750], np.floor(mean + 0.5))
    assert np.array_equal(levels[1][650, 750], part[1300, 1500]), "an odd corner stands for itself"
    with open_slide(path) as slide:
        assert slide.mpp_um == pytest.approx((0.499, 0.51)) and slide.levels[1].step == (2.0, 2.0)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_jpeg_is_smaller_and_close(part, tmp_path):
    for name in ("deflate", "jpeg"):
        write_pyramid(tmp_path / f"{name}.ome.tif", bands(part), (1501, 1301), (0.5, 0.5), compression=name)
    assert (tmp_path / "jpeg.ome.tif").stat().st_size < 0.4 * (tmp_path / "deflate.ome.tif").stat().st_size
    with openslide.OpenSlide(tmp_path / "jpeg.ome.tif") as other:
        read = np.asarray(other.read_region((0, 0), 0, (1501, 1301)))[..., :3].astype(int)
    assert 0 < np.abs(read - part).mean() < 5


def test_levels_are_halved_until_they_fit_a_screen():
    assert level_sizes((20000, 9001)) == [(20000, 9001), (10000, 4501), (5000, 2251), (2500, 1126), (1250, 563), (625, 282)]
    assert level_sizes((640, 300)) == [(640, 300)]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="VmHWM, which begins anew with the process, is Linux's")
def test_a_large_picture_is_never_held(tmp_path, root):
    """432 MB of pixels: the process stays below that with all its libraries, by the operating system's own count."""
    code = (
        "import sys, numpy as np\n"
        "from MedSRLib.io.slide_write import write_pyramid\n"
        "band = np.full((500, 12000, 3), 200, np.uint8)\n"
        "write_pyramid(sys.argv[1], (band for _ in range(24)), (12000, 12000), (0.25, 0.25))\n"
        "print(next(int(l.split()[1]) for l in open('/proc/self/status') if l.startswith('VmHWM')))\n"
    )
    done = run(code, tmp_path / "big.ome.tif", root)
    assert int(done.stdout) * 1024 < 432e6
    with openslide.OpenSlide(tmp_path / "big.ome.tif") as other:
        assert other.dimensions == (12000, 12000)
        assert (np.asarray(other.read_region((11990, 11990), 0, (10, 10)))[..., :3] == 200).all()


def run(code: str, path: Path, root: Path) -> subprocess.CompletedProcess[str]:
    """Python code in a process of its own, with `path` as its argument."""
    environment = os.environ | {"PYTHONPATH": str(root / "MedSR")}
    return subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, env=environment, check=True)


class Stopped(Exception):
    pass


def test_after_a_failure_the_old_file_is_there_and_nothing_else(part, tmp_path):
    def stops():
        yield part[:600]
        raise Stopped

    path = tmp_path / "a.ome.tif"
    path.write_bytes(b"old")
    with pytest.raises(Stopped):
        write_pyramid(path, stops(), (1501, 1301), (0.5, 0.5))
    with pytest.raises(OutputError, match="ended after 600 of 1301 rows"):
        write_pyramid(path, iter([part[:600]]), (1501, 1301), (0.5, 0.5))
    with pytest.raises(OutputError, match="does not fit a picture of 1501 x 1301"):
        write_pyramid(path, iter([part[:, :99]]), (1501, 1301), (0.5, 0.5))
    with pytest.raises(OptionError, match="'lzw' is no compression"):
        write_pyramid(path, bands(part), (1501, 1301), (0.5, 0.5), compression="lzw")
    with pytest.raises(OutputError, match="folder does not exist"):
        write_pyramid(tmp_path / "gone" / "a.ome.tif", bands(part), (1501, 1301), (0.5, 0.5))
    assert path.read_bytes() == b"old" and [file.name for file in tmp_path.iterdir()] == ["a.ome.tif"]


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path, root):
    code = (
        "import resource, signal, sys, numpy as np\n"
        "from MedSRLib.errors import OutputError\n"
        "from MedSRLib.io.slide_write import write_pyramid\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "noise = np.random.default_rng(0).integers(0, 255, (900, 900, 3), np.uint8)\n"
        "try:\n    write_pyramid(sys.argv[1], iter([noise]), (900, 900), (0.5, 0.5))\n"
        "except OutputError as error:\n    print(error)\n"
    )
    done = run(code, tmp_path / "a.ome.tif", root)
    assert "the disk is full, nothing was written" in done.stdout
    assert list(tmp_path.iterdir()) == []
