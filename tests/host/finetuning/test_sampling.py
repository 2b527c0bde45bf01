from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from reds.finetuning.sampling import turns

PARAMETERS = [100, 90, 80, 10, 70, 60]


def test_few_subnetworks_train_all_together() -> None:
    assert turns([9, 4, 3, 6], seed=0, epoch=5) == ((0, 1, 2, 3),)


@settings(derandomize=True, deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.integers(0, 1000))
def test_of_many_the_full_and_the_smallest_always_train(seed: int, epoch: int) -> None:
    chosen = turns(PARAMETERS, seed, epoch)
    for turn in chosen:
        assert turn[0] == 0
        assert 3 in turn
        assert len(set(turn)) == 4
        assert turn == tuple(sorted(turn))
    assert chosen == turns(PARAMETERS, seed, epoch)


@settings(derandomize=True, deadline=None, max_examples=30)
@given(st.integers(5, 12), st.integers(0, 1000), st.integers(0, 20))
def test_every_subnetwork_trains_as_often_in_each_epoch(count: int, seed: int, epoch: int) -> None:
    parameters = [100, *range(90, 90 - count + 2, -1), 1]
    chosen = turns(parameters, seed, epoch)
    trained = Counter(index for turn in chosen for index in turn)
    often = 1 if count % 2 == 0 else 2
    assert [trained[index] for index in range(count)] == [len(chosen), *[often] * (count - 2), len(chosen)]


def test_each_epoch_begins_with_another_turn() -> None:
    epochs = [turns(PARAMETERS, 0, epoch) for epoch in range(3)]
    assert set(epochs[0]) == set(epochs[1])
    assert epochs[0][0] == epochs[2][0] != epochs[1][0] == epochs[0][1]
