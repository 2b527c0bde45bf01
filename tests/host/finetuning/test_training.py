import numpy as np
import pytest

from reds.finetuning.training import FINAL_LEARNING_RATE, Schedule, learning_rate


@pytest.mark.parametrize(
    ("decay", "expected"),
    [("cosine", [1.0, 0.505, 0.01]), ("steps", [1.0, 1.0, 0.1, 0.01, 0.01])],
)
def test_learning_rate_over_the_training(decay: str, expected: list[float]) -> None:
    rates = learning_rate(Schedule(10, 2.0, 100, 0, decay), 20)
    steps = np.linspace(0, 200, len(expected))
    np.testing.assert_allclose([float(rates(step)) for step in steps], 2.0 * np.array(expected), rtol=1e-5)
    assert expected[-1] == FINAL_LEARNING_RATE
