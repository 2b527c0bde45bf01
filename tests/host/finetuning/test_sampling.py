from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from reds.finetuning.sampling import sandwich

PARAMETERS = [100, 90, 80, 10, 70, 60]


def test_few_subnetworks_train_all_together() -> None:
    assert sandwich([9, 4, 3, 6], seed=0, epoch=5) == (0, 1, 2, 3)


@settings(derandomize=True, deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.integers(0, 1000))
def test_of_many_the_full_and_the_smallest_always_train(seed: int, epoch: int) -> None:
    chosen = sandwich(PARAMETERS, seed, epoch)
    assert chosen[0] == 0
    assert 3 in chosen
    assert len(set(chosen)) == 4
    assert chosen == tuple(sorted(chosen)) == sandwich(PARAMETERS, seed, epoch)


@settings(derandomize=True, deadline=None, max_examples=30)
@given(st.integers(5, 12), st.integers(0, 1000))
def test_every_subnetwork_trains_as_often(count: int, seed: int) -> None:
    parameters = [100, *range(90, 90 - count + 2, -1), 1]
    others = count - 2
    trained = Counter(index for epoch in range(others) for index in sandwich(parameters, seed, epoch))
    assert [trained[index] for index in range(count)] == [others, *[2] * others, others]
