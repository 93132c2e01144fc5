"""Decoding: every kind of image, and every kind of broken one."""

import io
import os
import pathlib
import struct
import threading
import warnings
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import skimage
from numpy.typing import NDArray
from PIL import Image, ImageOps

from fs_runtime.errors import ImageError
from fs_runtime.preprocess.decode import MAX_PIXELS, decode

PHOTOS = pathlib.Path(skimage.__file__).parent / "data"
UINT8_DIGEST = "1d54f0231190b3a3152a584cfb3e6ad30c10aca4a17488d354bdd884f9759bd3"
FLOAT_DIGEST = "d95bc43792d640b80a2bab003939f7aa1d413582f1a37baa3fbcf2ec7c8b24c9"


def photo(mode: str = "RGB") -> Image.Image:
    return Image.open(PHOTOS / "chelsea.png").convert("RGB").resize((90, 60)).convert(mode)


def saved(folder: pathlib.Path, image: Image.Image, name: str, **options: Any) -> pathlib.Path:
    image.save(folder / name, **options)
    return folder / name


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises `width` x `height` RGB pixels and holds none."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 10) + b"IDAT" + b"\x00" * 10 + b"\x00" * 4


# Good images


@pytest.mark.parametrize("as_path", [str, pathlib.Path])
def test_decode_gives_the_pixels_when_image_is_a_path(
    tmp_path: pathlib.Path, as_path: Callable[[object], str | pathlib.Path]
) -> None:
    path = saved(tmp_path, photo(), "photo.png")
    decoded = decode(as_path(path))
    np.testing.assert_allclose(decoded.pixels * 255.0, np.asarray(photo()), atol=1e-4)
    assert decoded.pixels.dtype == np.float32
    assert decoded.pixels.shape == (60, 90, 3)
    assert decoded.name == str(path)


def test_decode_gives_the_pixels_when_image_is_pil_or_array() -> None:
    assert decode(photo()).name == "<PIL image>"
    assert decode(np.asarray(photo())).name == "<array>"
    np.testing.assert_array_equal(decode(photo()).pixels, decode(np.asarray(photo())).pixels)


def test_decode_maps_black_and_white_exactly_when_image_is_uint8() -> None:
    levels = np.repeat(np.arange(256, dtype=np.uint8)[:, np.newaxis, np.newaxis], 3, axis=2)
    pixels = decode(levels).pixels
    np.testing.assert_array_equal(pixels[:, 0, 0], np.arange(256, dtype=np.float32) / np.float32(255))
    assert pixels.max() == 1.0


@pytest.mark.parametrize("orientation", range(1, 9))
def test_decode_turns_the_image_upright_when_exif_says_so(tmp_path: pathlib.Path, orientation: int) -> None:
    upright = np.random.default_rng(0).integers(0, 256, (5, 8, 3), np.uint8)
    # What a camera held this way stores: the inverse of the transposition that a reader must apply.
    store: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(store[orientation](upright)))
    path = saved(tmp_path, stored, "turned.png", exif=exif)
    np.testing.assert_array_equal(np.round(decode(path).pixels * 255), upright)
    assert decode(path).sha256 == decode(upright).sha256
    with Image.open(path) as image:
        np.testing.assert_array_equal(np.asarray(ImageOps.exif_transpose(image)), upright)
        assert decode(image).sha256 == decode(upright).sha256
        assert image.getexif()[0x0112] == orientation  # the caller's image is left as it was


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK", "YCbCr", "HSV", "PA", "RGBX"])
def test_decode_converts_like_pillow_when_mode_is(mode: str) -> None:
    source = photo("LA").convert("PA") if mode == "PA" else photo(mode)
    np.testing.assert_array_equal(np.round(decode(source).pixels * 255), np.asarray(source.convert("RGB")))


@pytest.mark.parametrize(
    ("mode", "name"),
    [("L", "grey.png"), ("L", "grey.jpg"), ("CMYK", "print.jpg"), ("CMYK", "print.tif"), ("P", "palette.png"),
     ("P", "palette.gif"), ("1", "bits.png"), ("LA", "grey-alpha.png"), ("RGBA", "alpha.png"), ("RGB", "photo.webp"),
     ("RGB", "photo.bmp"), ("RGB", "photo.ppm")],
)  # fmt: skip
def test_decode_reads_the_file_when_mode_and_format_are(tmp_path: pathlib.Path, mode: str, name: str) -> None:
    path = saved(tmp_path, photo(mode), name)
    with Image.open(path) as image:
        expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(np.round(decode(path).pixels * 255), expected)


def test_decode_drops_alpha_when_image_is_transparent() -> None:
    image = Image.new("RGBA", (4, 4), (255, 128, 0, 0))
    np.testing.assert_array_equal(np.round(decode(image).pixels[0, 0] * 255), [255, 128, 0])


def test_decode_keeps_16_bits_when_grey_is_deep(tmp_path: pathlib.Path) -> None:
    deep = np.random.default_rng(0).integers(0, 65_536, (12, 9), np.uint16)
    deep[0, :2] = 0, 65_535
    for name in ("deep.png", "deep.tif"):
        pixels = decode(saved(tmp_path, Image.fromarray(deep), name)).pixels
        for channel in range(3):
            np.testing.assert_array_equal(np.round(pixels[:, :, channel].astype(np.float64) * 65_535), deep)
    np.testing.assert_array_equal(decode(Image.fromarray(deep.astype(np.int32))).pixels, pixels)
    assert pixels.max() == 1.0


@pytest.mark.parametrize("orientation", [3, 6])
def test_decode_turns_deep_grey_upright_when_exif_says_so(tmp_path: pathlib.Path, orientation: int) -> None:
    deep = np.random.default_rng(0).integers(0, 65_536, (3, 5), np.uint16)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path, Image.fromarray(deep), "deep.png", exif=exif)
    expected = np.rot90(deep, {3: 2, 6: -1}[orientation])
    np.testing.assert_array_equal(np.round(decode(path).pixels[:, :, 1].astype(np.float64) * 65_535), expected)


def test_decode_reads_float_grey_when_mode_is_f() -> None:
    grey = np.random.default_rng(0).random((6, 7), np.float32)
    np.testing.assert_array_equal(decode(Image.fromarray(grey)).pixels[:, :, 2], grey)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_decode_accepts_floats_when_they_are_in_range(dtype: Any) -> None:
    array = np.random.default_rng(0).random((6, 7, 3)).astype(dtype)
    decoded = decode(array)
    np.testing.assert_array_equal(decoded.pixels, array.astype(np.float32))
    assert decoded.pixels.dtype == np.float32
    assert decoded.pixels.dtype.isnative


def test_decode_does_not_alias_the_array_when_it_is_float32() -> None:
    array = np.zeros((2, 2, 3), np.float32)
    decoded = decode(array)
    array[:] = 1.0
    assert decoded.pixels.max() == 0.0


@pytest.mark.parametrize("name", ["tiny.png", "tiny.jpg", "tiny.gif"])
def test_decode_works_when_image_is_one_pixel(tmp_path: pathlib.Path, name: str) -> None:
    assert decode(saved(tmp_path, Image.new("RGB", (1, 1), "white"), name)).pixels.tolist() == [[[1.0, 1.0, 1.0]]]


def test_decode_takes_the_photo_when_file_is_a_multi_picture_jpeg(tmp_path: pathlib.Path) -> None:
    second = Image.new("RGB", (90, 60))
    path = saved(tmp_path, photo(), "phone.jpg", format="MPO", save_all=True, append_images=[second])
    with Image.open(path) as image:
        assert getattr(image, "n_frames", 1) == 2
    assert decode(path).pixels.mean() > 0.1


# Digest


def test_decode_digest_is_the_same_when_repeated(tmp_path: pathlib.Path) -> None:
    path = saved(tmp_path, photo(), "photo.png")
    assert len({decode(path).sha256, decode(path).sha256, decode(photo()).sha256}) == 1
    assert len(decode(path).sha256) == 64


def test_decode_digest_is_stable_when_versions_change() -> None:
    # A certificate carries this digest, so its definition must not move between releases.
    array = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert decode(array).sha256 == UINT8_DIGEST
    assert decode((array / 32).astype(np.float32)).sha256 == FLOAT_DIGEST


def test_decode_digest_differs_when_pixel_shape_or_dtype_differ() -> None:
    array = np.zeros((4, 6, 3), np.uint8)
    other = array.copy()
    other[3, 5, 2] = 1
    images: list[NDArray[Any]] = [array, other, array.reshape(6, 4, 3), array.astype(np.float32)]
    assert len({decode(image).sha256 for image in images}) == 4


def test_decode_digest_ignores_layout_when_values_are_equal() -> None:
    array = np.random.default_rng(0).random((4, 6, 3), np.float32)
    layouts = [array, np.asfortranarray(array), array.astype(">f4"), array.astype(np.float64)]
    assert len({decode(image).sha256 for image in layouts}) == 1


# Bad files


def truncated(data: bytes) -> bytes:
    return data[: len(data) // 2]


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def flipped(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 0xFF]) + data[position + 1 :]


BROKEN: dict[str, Callable[[], bytes]] = {
    "text.png": lambda: b"this is no image",
    "empty.jpg": lambda: b"",
    "half.jpg": lambda: truncated(encoded(photo(), "JPEG")),
    "half.png": lambda: truncated(encoded(photo(), "PNG")),
    "half.gif": lambda: truncated(encoded(photo("P"), "GIF")),
    "half.webp": lambda: truncated(encoded(photo(), "WEBP")),
    "half.tif": lambda: truncated(encoded(photo(), "TIFF")),
    "half.bmp": lambda: truncated(encoded(photo(), "BMP")),
    "header.jpg": lambda: encoded(photo(), "JPEG")[:20],
    "header.png": lambda: encoded(photo(), "PNG")[:30],
    "checksum.png": lambda: flipped(encoded(photo(), "PNG"), 20),
    "no-data.png": lambda: png_header(10, 10),
    "no-width.png": lambda: png_header(0, 10),
    "huge.png": lambda: png_header(30_000, 30_000),
    "large.png": lambda: png_header(9_000, 9_000),
    "bomb.png": lambda: png_header(2**31 - 1, 2**31 - 1),
    "figure.eps": lambda: encoded(photo(), "EPS"),
    "moving.gif": lambda: encoded(
        photo(), "GIF", save_all=True, append_images=[Image.new("RGB", (90, 60), c) for c in ("red", "blue")]
    ),
    "moving.webp": lambda: encoded(photo(), "WEBP", save_all=True, append_images=[Image.new("RGB", (90, 60))]),
    "moving.png": lambda: encoded(photo(), "PNG", save_all=True, append_images=[Image.new("RGB", (90, 60))]),
    "pages.tif": lambda: encoded(photo(), "TIFF", save_all=True, append_images=[Image.new("RGB", (90, 60))]),
    "deep.tif": lambda: encoded(Image.fromarray(np.full((4, 4), 70_000, np.int32)), "TIFF"),
    "float.tif": lambda: encoded(Image.fromarray(np.full((4, 4), 1.5, np.float32)), "TIFF"),
    "nan.tif": lambda: encoded(Image.fromarray(np.full((4, 4), np.nan, np.float32)), "TIFF"),
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("name", BROKEN)
def test_decode_names_the_file_when_it_is(tmp_path: pathlib.Path, name: str) -> None:
    (tmp_path / name).write_bytes(BROKEN[name]())
    with pytest.raises(ImageError) as caught:
        decode(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert "; " in str(caught.value)  # the remedy
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"])
@pytest.mark.filterwarnings("ignore")
def test_decode_raises_nothing_but_image_error_when_bytes_are_corrupt(tmp_path: pathlib.Path, kind: str) -> None:
    rng = np.random.default_rng(0)
    data = np.frombuffer(encoded(photo("P" if kind == "GIF" else "RGB"), kind), np.uint8)
    refused = 0
    for _ in range(150):
        corrupt = data.copy()
        reach = len(data) if rng.random() < 0.5 else 100  # half of them aim at the header
        corrupt[rng.integers(0, reach, 5)] = rng.integers(0, 256, 5)
        path = tmp_path / "corrupt"
        path.write_bytes(corrupt[: rng.integers(1, len(data) + 1)].tobytes())
        try:
            decode(path)
        except ImageError:
            refused += 1
    assert refused > 10


def test_decode_names_the_path_when_there_is_no_file(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ImageError, match=r"missing\.png does not exist"):
        decode(tmp_path / "missing.png")


def test_decode_names_the_path_when_it_is_a_folder(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ImageError, match="not a regular file") as caught:
        decode(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_decode_does_not_wait_when_path_is_a_pipe(tmp_path: pathlib.Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ImageError, match=r"pipe\.png is not a regular file"):
        decode(tmp_path / "pipe.png")


@pytest.mark.parametrize("path", ["nul\x00byte.png", "long" * 2000 + ".png", ""])
def test_decode_refuses_the_path_when_no_file_can_have_it(path: str) -> None:
    with pytest.raises(ImageError):
        decode(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_decode_names_the_file_when_it_may_not_be_read(tmp_path: pathlib.Path) -> None:
    path = saved(tmp_path, photo(), "secret.png")
    path.chmod(0)
    with pytest.raises(ImageError, match=r"secret\.png"):
        decode(path)


def test_decode_says_how_many_frames_when_image_is_animated(tmp_path: pathlib.Path) -> None:
    (tmp_path / "moving.gif").write_bytes(BROKEN["moving.gif"]())
    with pytest.raises(ImageError, match=r"moving\.gif has 3 frames.*still"):
        decode(tmp_path / "moving.gif")
    with Image.open(tmp_path / "moving.gif") as image, pytest.raises(ImageError, match="3 frames"):
        decode(image)


# Size limits


def test_decode_refuses_from_the_header_when_there_are_too_many_pixels(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decoded_anyway(*_: object) -> None:
        pytest.fail("the pixels were decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", decoded_anyway)
    (tmp_path / "large.png").write_bytes(png_header(9_000, 8_000))
    with pytest.raises(ImageError, match=rf"large\.png has 9000 x 8000 pixels.*{MAX_PIXELS}.*raise max_pixels"):
        decode(tmp_path / "large.png")


def test_decode_obeys_the_limit_when_the_caller_sets_one() -> None:
    image = np.zeros((10, 12, 3), np.uint8)
    assert decode(image, max_pixels=120).pixels.shape == image.shape
    for kind in (image, Image.fromarray(image)):
        with pytest.raises(ImageError, match="raise max_pixels"):
            decode(kind, max_pixels=119)


@pytest.mark.parametrize("side", [10_000, 40_000])
def test_decode_raises_image_error_when_bomb_warnings_are_errors(tmp_path: pathlib.Path, side: int) -> None:
    (tmp_path / "bomb.png").write_bytes(png_header(side, side))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageError, match=r"bomb\.png is too large"):
            decode(tmp_path / "bomb.png")


def test_decode_leaves_pillow_alone_when_it_refuses(tmp_path: pathlib.Path) -> None:
    (tmp_path / "bomb.png").write_bytes(png_header(40_000, 40_000))
    before, filters = Image.MAX_IMAGE_PIXELS, list(warnings.filters)
    with pytest.raises(ImageError):
        decode(tmp_path / "bomb.png")
    assert before == Image.MAX_IMAGE_PIXELS
    assert filters == list(warnings.filters)


def test_decode_agrees_when_many_threads_read(tmp_path: pathlib.Path) -> None:
    path = saved(tmp_path, photo(), "photo.jpg")
    digests: list[str] = []
    threads = [threading.Thread(target=lambda: digests.append(decode(path).sha256)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(digests) == 8
    assert len(set(digests)) == 1


# Bad arrays and objects


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 1), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((3, 8, 8), np.uint8),
        np.zeros((1, 8, 8, 3), np.uint8),
        np.zeros((), np.uint8),
        np.zeros((8, 8, 3), np.int64),
        np.zeros((8, 8, 3), np.uint16),
        np.zeros((8, 8, 3), bool),
        np.zeros((8, 8, 3), np.complex64),
        np.full((8, 8, 3), None),
        np.full((8, 8, 3), "x"),
        np.full((8, 8, 3), np.nan),
        np.full((8, 8, 3), np.inf, np.float32),
        np.full((8, 8, 3), -1e-6, np.float32),
        np.full((8, 8, 3), 1 + 1e-9, np.float64),
        np.full((8, 8, 3), 128.0, np.float32),
        np.zeros((0, 8, 3), np.uint8),
        np.zeros((8, 0, 3), np.float32),
    ],
    ids=lambda array: f"{array.dtype}-{array.shape}",
)
def test_decode_refuses_the_array_when_it_holds_no_pixels_in_range(array: NDArray[Any]) -> None:
    with pytest.raises(ImageError, match=r"^<array> "):
        decode(array)


def test_decode_refuses_the_array_when_one_value_is_nan() -> None:
    array = np.full((8, 8, 3), 0.5)
    array[3, 4, 1] = np.nan
    with pytest.raises(ImageError, match="NaN"):
        decode(array)


@pytest.mark.parametrize("image", [None, 3, b"photo.png", [[[0, 0, 0]]], io.BytesIO(b"")])
def test_decode_says_what_it_takes_when_image_is_something_else(image: Any) -> None:
    with pytest.raises(ImageError, match="give a path"):
        decode(image)


@pytest.mark.parametrize("size", [(0, 4), (4, 0)])
def test_decode_refuses_the_pil_image_when_it_is_empty(size: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match="<PIL image> is empty"):
        decode(Image.new("RGB", size))


def test_decode_refuses_the_pil_image_when_it_is_closed(tmp_path: pathlib.Path) -> None:
    image = Image.open(saved(tmp_path, photo(), "photo.png"))
    image.close()
    with pytest.raises(ImageError, match="<PIL image>"):
        decode(image)
