"""Names of devices."""

import pytest

from fs_runtime.backends.device import Device
from fs_runtime.errors import BackendError


@pytest.mark.parametrize(
    ("text", "device", "name"),
    [
        ("cpu", Device("cpu"), "cpu"),
        ("cuda", Device("cuda", 0), "cuda:0"),
        ("cuda:0", Device("cuda", 0), "cuda:0"),
        ("cuda:12", Device("cuda", 12), "cuda:12"),
    ],
)
def test_parse_gives_the_device_when_there_is_such_a_name(text: str, device: Device, name: str) -> None:
    assert Device.parse(text) == device
    assert str(device) == name


@pytest.mark.parametrize(
    "text", ["", "CPU", "gpu", "cuda:", "cuda:-1", "cuda:1.0", "cuda:1 ", "cuda:9999", "cpu:0", "cuda0"]
)
def test_parse_refuses_when_there_is_none(text: str) -> None:
    with pytest.raises(BackendError, match=r"no device .*use --device cpu, cuda, or cuda:1") as caught:
        Device.parse(text)
    assert repr(text) in str(caught.value)
