"""Packed values come back equal, in one buffer, with tensors as they lay in memory."""

import pytest
import torch
from torch import Tensor

from twinsplit.execution.packing import LINE, pack, unpack

TENSORS = {
    "transposed": torch.arange(12.0).view(3, 4).T,
    "number": torch.tensor(3.0),
    "empty": torch.empty(0, 3),
    "with gaps": torch.arange(30.0).view(5, 6)[:, 2:4],
    "expanded": torch.ones(3).expand(4, 3),
    "bfloat16": torch.arange(5).bfloat16(),
    "bool": torch.tensor([True, False]),
    "conjugate": torch.tensor([1 + 2j]).conj(),
    "inside": torch.arange(10.0)[3:],
    "channels last": torch.arange(96.0).view(2, 3, 4, 4).to(memory_format=torch.channels_last),
    "parameter": torch.nn.Parameter(torch.ones(2)),
    "leaf": torch.ones(2, requires_grad=True),
    "sparse": torch.eye(3).to_sparse(),
}


@pytest.mark.parametrize("name", TENSORS)
def test_a_tensor_comes_back(name: str) -> None:
    tensor = TENSORS[name]
    found = unpack(pack(tensor))
    assert (type(found), found.dtype, found.shape) == (type(tensor), tensor.dtype, tensor.shape)
    assert found.requires_grad == tensor.requires_grad
    assert torch.equal(found.to_dense(), tensor.to_dense()) if tensor.is_sparse else torch.equal(found, tensor)


@pytest.mark.parametrize("name", ["transposed", "inside", "channels last"])
def test_strides_and_place_in_the_cache_line_are_kept(name: str) -> None:
    tensor, found = TENSORS[name], unpack(pack(TENSORS[name]))
    assert found.stride() == tensor.stride()
    assert found.data_ptr() % LINE == tensor.data_ptr() % LINE


def test_one_tensor_stays_one_and_views_part() -> None:
    whole = torch.zeros(4)
    first, again, view = unpack(pack((whole, whole, whole[1:])))
    assert first is again
    first += 1
    assert not view.any()


def test_a_module_comes_back() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4)).eval()
    x = torch.ones(2, 3)
    assert torch.equal(unpack(pack(module))(x), module(x))


def test_a_view_does_not_bring_its_storage() -> None:
    assert len(pack(torch.zeros(1_000_000)[:10])) < 1000


def grown(x: Tensor) -> Tensor:
    return x


def test_functions_travel_by_name() -> None:
    assert unpack(pack(grown)) is grown
