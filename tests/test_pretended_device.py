"""The device that is not there refuses what a GPU refuses and counts what makes the host wait."""

import pytest
import torch

from tests import device


@pytest.fixture
def there():
    with device.pretended() as pretended:
        yield pretended


def test_a_module_learns_there_what_it_learns_on_the_host(there):
    def learnt(place):
        torch.manual_seed(1)
        module = torch.nn.Sequential(torch.nn.Embedding(7, 5), torch.nn.Linear(5, 7, bias=False)).to(place)
        module[1].weight = module[0].weight
        optimizer = torch.optim.AdamW(module.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            module(torch.tensor([1, 2, 3], device=place)).log_softmax(-1)[[0, 1, 2], [2, 3, 4]].sum().neg().backward()
            optimizer.step()
        assert module[1].weight is module[0].weight
        return module[0].weight.detach()

    here, away = learnt("cpu"), learnt(device.NAME)
    assert away.device == torch.device(device.NAME) and torch.allclose(here, away.cpu())


def test_weights_under_two_names_stay_one(there):
    module = torch.nn.ModuleList([torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)])
    module[1].weight = module[0].weight
    assert module.to(device.NAME)[1].weight is module[0].weight
    assert module[0].weight is not module[0].bias and module[1].bias.device == torch.device(device.NAME)


@pytest.mark.parametrize(
    "mixed",
    [
        lambda away: away + torch.ones(3),
        lambda away: torch.cat([away, torch.ones(3)]),
        lambda away: torch.ones(3)[away.long()],
        lambda away: away.index_put_((torch.tensor([0, 1]),), torch.ones(2)),
        lambda away: torch.ones(3).where(away > 0, 0.0),
    ],
    ids=["add", "cat", "index", "index_put", "where"],
)
def test_tensors_of_the_host_are_refused(there, mixed):
    with pytest.raises(AssertionError, match="beside the device's"):
        mixed(torch.ones(3, device=device.NAME))


@pytest.mark.parametrize(
    "taken",
    [
        lambda away: away + torch.tensor(1.0),
        lambda away: away[torch.tensor([2, 0])],
        lambda away: away[[2, 0]],
        lambda away: away.copy_(torch.ones(3)),
    ],
    ids=["number", "index", "list", "copy"],
)
def test_numbers_indices_and_copies_are_taken_without_waiting(there, taken):
    taken(torch.ones(3, device=device.NAME))
    assert not there.waits


@pytest.mark.parametrize(
    "looked",
    [
        lambda away: away.sum().item(),
        lambda away: bool((away > 0).any()),
        lambda away: away.tolist(),
        lambda away: away.cpu(),
        lambda away: torch.empty(3).copy_(away),
        lambda away: away.nonzero(),
        lambda away: away[away > 0],
        lambda away: away.unique(),
        lambda away: torch.equal(away, away + 1),
    ],
    ids=["item", "bool", "tolist", "cpu", "copy", "nonzero", "mask", "unique", "equal"],
)
def test_what_the_host_waits_for_is_counted(there, looked):
    away = torch.ones(3, device=device.NAME)
    assert not there.waits
    looked(away)
    assert len(there.waits) == 1


def test_double_precision_is_refused_where_there_is_none():
    with device.pretended(doubles=False), pytest.raises(AssertionError, match="in double"):
        torch.ones(3, device=device.NAME).double()


def test_errors_come_through(there):
    with pytest.raises(RuntimeError, match="shape"), torch.inference_mode():
        torch.ones(3, device=device.NAME).view(2)
    with pytest.raises(ZeroDivisionError), torch.inference_mode():
        1 / 0  # noqa: B018
    assert torch.is_grad_enabled()


def test_outside_of_it_nothing_is_left():
    before = torch.autocast, torch.nn.Module.to, torch.inference_mode.__enter__, torch.inference_mode.__exit__
    with device.pretended():
        pass
    assert before == (torch.autocast, torch.nn.Module.to, torch.inference_mode.__enter__, torch.inference_mode.__exit__)
    with torch.inference_mode():
        assert torch.ones(1).is_inference()
