import keras
import numpy as np
import pytest
from keras import ops

from reds.finetuning.objectives import InPlaceDistillation, WeightedCrossEntropy, weighted_by_parameters

LABELS = np.array([0, 2, 1, 1])
LOGITS = np.random.default_rng(0).normal(size=(3, 4, 3)).astype(np.float32)


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits)
    return powers / powers.sum(axis=-1, keepdims=True)


def _cross_entropy(logits: np.ndarray) -> float:
    return -np.mean(np.log(_softmax(logits)[np.arange(len(LABELS)), LABELS]))


@pytest.mark.parametrize(("share", "temperature"), [(0.0, 1.0), (0.3, 2.0), (1.0, 4.0)])
def test_distillation_sums_labels_and_divergence_from_the_full_network(share: float, temperature: float) -> None:
    teacher = _softmax(LOGITS[0] / temperature)
    expected = _cross_entropy(LOGITS[0])
    for student in LOGITS[1:]:
        divergence = np.mean(np.sum(teacher * np.log(teacher / _softmax(student / temperature)), axis=-1))
        expected += (1 - share) * _cross_entropy(student) + share * temperature**2 * divergence
    loss = InPlaceDistillation(share, temperature)(LABELS, ops.array(LOGITS), (0, 1, 2))
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_full_network_learns_nothing_from_the_others() -> None:
    tensorflow = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("gradients are taken with TensorFlow here")
    logits = tensorflow.constant(LOGITS)
    with tensorflow.GradientTape() as tape:
        tape.watch(logits)
        loss = InPlaceDistillation(1.0, 2.0)(LABELS, logits, (0, 1, 2))
    expected = (_softmax(LOGITS[0]) - np.eye(3)[LABELS]) / len(LABELS)
    np.testing.assert_allclose(tape.gradient(loss, logits)[0], expected, atol=1e-6)


def test_weighted_cross_entropy_takes_the_weights_of_the_active_subnetworks() -> None:
    loss = WeightedCrossEntropy((1.0, 9.0, 0.5))(LABELS, ops.array(LOGITS[:2]), (0, 2))
    expected = (_cross_entropy(LOGITS[0]) + 0.5 * _cross_entropy(LOGITS[1])) / 1.5
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_weights_of_reds() -> None:
    losses = np.array([_cross_entropy(logits) for logits in LOGITS])
    alpha = np.sqrt([1.0, 0.64, 0.04])
    loss = weighted_by_parameters([10_000, 6_400, 400])(LABELS, ops.array(LOGITS), (0, 1, 2))
    np.testing.assert_allclose(loss, np.sum(alpha / alpha.sum() * losses), rtol=1e-5)
