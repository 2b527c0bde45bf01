from collections.abc import Callable

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

from reds.errors import UsageError
from reds.forward import predict
from reds.graph import INPUT, Add, Conv2D, Dense, DepthwiseConv2D, Graph, Multiply, Pad, Pool2D, Subtract
from reds.tracing import SUPPORTED_LAYERS, trace


def with_random_weights(model: keras.Model) -> keras.Model:
    """Positive and negative weights, and positive variances, so that every layer matters."""
    generator = np.random.default_rng(0)
    model.set_weights([generator.uniform(0.1, 1.0, w.shape) for w in model.get_weights()])
    for layer in model._flatten_layers():
        for name in ("kernel", "depthwise_kernel", "pointwise_kernel", "beta", "moving_mean"):
            variable = getattr(layer, name, None)
            if variable is not None:
                variable.assign(generator.normal(0, 0.5, variable.shape))
    return model


def depthwise_separable() -> keras.Model:
    return keras.Sequential(
        [
            layers.Input((13, 9, 2)),
            layers.Conv2D(6, (5, 3), strides=(2, 1), padding="same", use_bias=False),
            layers.BatchNormalization(epsilon=0.01, scale=False),
            layers.ReLU(max_value=6),
            layers.Dropout(0.5),
            layers.DepthwiseConv2D(3, strides=2, padding="same"),
            layers.BatchNormalization(center=False),
            layers.Activation("relu"),
            layers.SeparableConv2D(7, 3, activation="relu6"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(4),
            layers.Softmax(),
        ],
        name="separable",
    )


def flattened() -> keras.Model:
    inputs = layers.Input((10, 8, 3))
    x = layers.Conv2D(5, 3, dilation_rate=2, activation="relu")(inputs)
    x = layers.MaxPooling2D(2)(x)
    x = layers.SpatialDropout2D(0.1)(x)
    x = layers.Flatten()(x)
    x = layers.Dropout(0.1)(x)
    x = layers.ReLU()(x)
    x = layers.Dense(11)(x)
    x = layers.BatchNormalization()(x)
    x = layers.Dense(9, activation="relu")(x)
    return keras.Model(inputs, layers.Dense(4, activation="softmax")(x), name="flattened")


def nested() -> keras.Model:
    stem = keras.Sequential([layers.Conv2D(4, 3, padding="same"), layers.BatchNormalization()], name="stem")
    inner = layers.Input((8, 8, 4))
    head = keras.Model(inner, layers.Dense(3)(layers.GlobalMaxPooling2D(keepdims=True)(inner)), name="head")
    inputs = layers.Input((8, 8, 1))
    return keras.Model(inputs, layers.Flatten()(head(layers.ReLU()(stem(inputs)))), name="nested")


def dense_on_map() -> keras.Model:
    return keras.Sequential(
        [
            layers.Input((4, 4, 2)),
            layers.Dense(3, activation="relu"),
            layers.AveragePooling2D((3, 2), strides=(2, 1), padding="same"),
            layers.Conv2D(2, 1),
            layers.Flatten(),
        ],
        name="dense_on_map",
    )


def dense_only() -> keras.Model:
    return keras.Sequential([layers.Input((7,)), layers.Dense(5, activation="relu"), layers.Dense(3)])


def residual() -> keras.Model:
    """Three maps in one sum, a shortcut with a layer of its own, and a branch that leads nowhere."""
    inputs = layers.Input((8, 8, 3))
    x = stem = layers.Conv2D(6, 3, padding="same", activation="relu", name="stem")(inputs)
    x = layers.Conv2D(6, 3, padding="same", name="first")(x)
    x = layers.BatchNormalization(name="first_bn")(x)
    y = layers.SeparableConv2D(6, 3, padding="same", name="second")(x)
    x = layers.Add(name="three")([stem, x, y])
    shortcut = layers.Conv2D(4, 1, strides=2, name="shortcut")(x)
    x = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu6", name="strided")(x)
    layers.Conv2D(9, 1, name="nowhere")(x)
    x = layers.ReLU(name="relu")(layers.Add(name="two")([x, shortcut]))
    return keras.Model(inputs, layers.Dense(5, name="classes")(layers.GlobalAveragePooling2D()(x)))


def joined() -> keras.Model:
    """Vectors and maps side by side, in a nested model with branches."""
    inner = layers.Input((6, 6, 2))
    left = layers.Conv2D(3, 3, padding="same", activation="relu")(inner)
    right = layers.MaxPooling2D(3, strides=1, padding="same")(inner)
    block = keras.Model(inner, layers.Concatenate(axis=3, name="maps")([left, inner, right]), name="block")
    inputs = layers.Input((6, 6, 2))
    x = layers.Conv2D(4, 3, name="after")(block(inputs))
    average, largest = layers.GlobalAveragePooling2D()(x), layers.GlobalMaxPooling2D()(x)
    x = layers.Concatenate(name="vectors")([average, largest, layers.Dense(3)(average)])
    return keras.Model(inputs, layers.Dense(4)(x), name="joined")


def gated() -> keras.Model:
    """Squeeze and excitation with a vector and with a 1 x 1 map, and a difference and a product of maps."""
    inputs = layers.Input((6, 5, 3))
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="stem")(inputs)
    squeezed = layers.Dense(3, activation="relu", name="squeeze")(layers.GlobalAveragePooling2D()(x))
    x = layers.Multiply(name="excite")([layers.Dense(8, activation="sigmoid", name="gate")(squeezed), x])
    x = layers.Subtract(name="less")([x, layers.GlobalMaxPooling2D(keepdims=True)(x)])
    y = layers.Conv2D(8, 1, name="side")(x)
    x = layers.ReLU()(layers.Multiply(name="product")([x, y, layers.Subtract(name="difference")([x, y])]))
    return keras.Model(inputs, layers.Dense(5)(layers.GlobalAveragePooling2D()(x)), name="gated")


def activated() -> keras.Model:
    return keras.Sequential(
        [
            layers.Input((6, 5, 2)),
            layers.Conv2D(4, 3, padding="same", activation="sigmoid"),
            layers.GaussianNoise(0.1),
            layers.Conv2D(4, 1),
            layers.LeakyReLU(0.1),
            layers.DepthwiseConv2D(3, activation="tanh"),
            layers.Conv2D(5, 1, activation="leaky_relu"),
            layers.ActivityRegularization(0.1),
            layers.Conv2D(5, 1, activation="hard_swish"),
            layers.Conv2D(4, 1),
            layers.ReLU(negative_slope=0.5),
            layers.GaussianDropout(0.1),
            layers.PReLU(shared_axes=[1, 2]),
            layers.Flatten(),
            layers.Activation("hard_silu"),
            layers.Dense(3),
            layers.PReLU(),
            layers.Activation("sigmoid"),
        ]
    )


def scaled() -> keras.Model:
    """Scales and normalises where no convolution or dense layer can take it in."""
    return keras.Sequential(
        [
            layers.Input((6, 5, 3)),
            layers.Rescaling([1.0, 2.0, 0.5], offset=-0.25),
            layers.BatchNormalization(),
            layers.Conv2D(4, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.MaxPooling2D(2),
            layers.BatchNormalization(),
            layers.GlobalAveragePooling2D(keepdims=True),
            layers.Flatten(),
            layers.Dense(5, activation="relu"),
            layers.BatchNormalization(),
            layers.BatchNormalization(),
            layers.Dense(3),
            layers.Rescaling(2.0),
        ]
    )


def decoder() -> keras.Model:
    return keras.Sequential(
        [
            layers.Input((4, 3, 2)),
            layers.Conv2D(5, 3, padding="same", activation="relu"),
            layers.Conv2DTranspose(6, 3, strides=2, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Conv2DTranspose(4, (2, 3), strides=(3, 1), activation="relu6"),
            layers.Conv2DTranspose(3, 2, strides=2, padding="same"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3),
        ]
    )


def padded() -> keras.Model:
    return keras.Sequential(
        [
            layers.Input((9, 8, 2)),
            layers.ZeroPadding2D(((1, 1), (0, 1))),
            layers.Conv2D(4, 3, strides=2),
            layers.ZeroPadding2D(1),
            layers.DepthwiseConv2D(3),
            layers.ZeroPadding2D(((0, 2), (1, 0))),
            layers.UpSampling2D((2, 3)),
            layers.Cropping2D(((1, 2), (0, 3))),
            layers.MaxPooling2D(2),
            layers.ZeroPadding2D((1, 0)),
            layers.ReLU(),
            layers.Conv2D(3, (2, 1), dilation_rate=2),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )


def reshaped() -> keras.Model:
    return keras.Sequential(
        [
            layers.Input((60,)),
            layers.Reshape((10, 6)),
            layers.Reshape((10, 6, 1)),
            layers.Conv2D(4, 3),
            layers.GlobalMaxPooling2D(),
            layers.Reshape((1, 1, 4)),
            layers.Conv2D(5, 1),
            layers.Reshape((-1,)),
            layers.Dense(6),
            layers.Reshape((1, 1, -1)),
            layers.Conv2D(3, 1),
        ]
    )


def matrix() -> keras.Model:
    return keras.Sequential([layers.Input((7, 4)), layers.Dense(3), layers.Flatten(), layers.Dense(2)])


def multiplied() -> keras.Model:
    return keras.Sequential(
        [
            layers.Input((6, 5, 2)),
            layers.DepthwiseConv2D(3, depth_multiplier=2),
            layers.Conv2D(3, 1),
            layers.DepthwiseConv2D(2, depth_multiplier=3, activation="relu"),
            layers.BatchNormalization(),
            layers.SeparableConv2D(4, 2, depth_multiplier=2),
            layers.BatchNormalization(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3),
        ]
    )


def grouped() -> keras.Model:
    inputs = layers.Input((8, 7, 4))
    x = layers.Conv2D(6, 3, groups=2, strides=(2, 1), padding="same", use_bias=False)(inputs)
    x = layers.BatchNormalization()(x)
    x = layers.Conv2D(5, 1, activation="relu")(x)
    x = layers.Conv2D(6, 1)(x)
    x = layers.ZeroPadding2D(1)(x)
    x = layers.Conv2D(12, 3, groups=3, activation="relu6")(x)
    x = layers.Conv2D(12, 2, groups=12, dilation_rate=2)(x)
    x = layers.Conv2D(7, 1)(x)
    x = layers.Add()([x, layers.Conv2D(7, 3, groups=7, padding="same")(x)])
    x = layers.Conv2D(5, 1)(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(3)(x), name="grouped")


MODELS = [
    *(depthwise_separable, flattened, nested, dense_on_map, dense_only),
    *(activated, scaled, padded, reshaped, matrix, multiplied, grouped),
    *(residual, joined, gated, decoder),
]


@pytest.mark.parametrize("build", MODELS)
def test_graph_computes_what_the_model_does(build) -> None:
    model = with_random_weights(build())
    x = np.random.default_rng(1).normal(size=(3, *model.input_shape[1:])).astype(np.float32)

    graph = trace(model)

    expected = model.predict(x, verbose=0)
    np.testing.assert_allclose(predict(graph, x), expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
    assert graph.input_shape == model.input_shape[1:]
    assert graph.output_shape == model.output_shape[1:]


def operations(graph: Graph) -> list[type]:
    return [type(node.operation) for node in graph.nodes]


def test_dense_after_flatten_is_a_convolution_over_the_whole_map() -> None:
    graph = trace(flattened())

    first, second, third = (node for node in graph.nodes if node.name.startswith("dense") and node.weights)
    assert first.operation == Conv2D((3, 2))
    assert first.weights["kernel"].shape == (3, 2, 5, 11)
    assert second.operation == third.operation == Dense()


def test_separable_convolution_becomes_two_nodes() -> None:
    names = [node.name for node in trace(depthwise_separable()).nodes]
    index = next(i for i, name in enumerate(names) if name.endswith("/depthwise"))
    layer = names[index].removesuffix("/depthwise")
    assert names[index : index + 3] == [f"{layer}/depthwise", f"{layer}/pointwise", f"{layer}/relu6"]


def test_channels_that_move_together_share_a_group() -> None:
    graph = trace(depthwise_separable())

    assert [group.size for group in graph.groups] == [6, 7]
    groups = [(node.input_group, node.output_group) for node in graph.nodes]
    last = operations(graph).index(Dense)
    assert groups[0] == (None, 0)
    assert set(groups[1 : operations(graph).index(DepthwiseConv2D) + 4]) == {(0, 0)}
    assert groups[last] == (1, None)
    assert groups[last + 1] == (None, None)
    assert [node.inputs for node in graph.nodes] == [(index,) for index in range(INPUT, len(graph.nodes) - 1)]


def test_a_layer_with_more_channels_behind_than_before_it_fixes_both() -> None:
    graph = trace(multiplied())

    assert [group.size for group in graph.groups] == [4]
    assert [node.output_group for node in graph.nodes if isinstance(node.operation, Conv2D)] == [None, 0]


def test_a_grouped_convolution_fixes_what_it_reads_and_makes() -> None:
    graph = trace(grouped())

    assert [group.size for group in graph.groups] == [5, 5]
    convolutions = [node for node in graph.nodes if isinstance(node.operation, Conv2D)]
    assert [node.operation.groups for node in convolutions] == [2, 1, 1, 3, 12, 1, 7, 1]
    assert [node.output_group for node in convolutions] == [None, 0, None, None, None, None, None, 1]
    assert convolutions[3].operation.padding == "same"


def test_padding_that_is_the_same_as_same_disappears() -> None:
    graph = trace(padded())

    assert sum(kind is Pad for kind in operations(graph)) == 2
    paddings = [node.operation.padding for node in graph.nodes if isinstance(node.operation, Conv2D | DepthwiseConv2D)]
    assert paddings[:3] == ["same", "same", "valid"]


@settings(derandomize=True, deadline=None, max_examples=40)
@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.tuples(*[st.integers(0, 3)] * 4),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.sampled_from([(1, 1), (2, 1), (2, 2), (1, 3)]),
)
def test_absorbed_padding_keeps_the_function(
    size: tuple[int, int], borders: tuple[int, int, int, int], kernel: tuple[int, int], strides: tuple[int, int]
) -> None:
    above, below, left, right = borders
    size = (max(size[0], kernel[0] - above - below), max(size[1], kernel[1] - left - right))
    model = with_random_weights(
        chain(
            layers.ZeroPadding2D(((above, below), (left, right))),
            layers.Conv2D(2, kernel, strides=strides),
            # TensorFlow's oneDNN convolutions of one channel leave some rows unwritten.
            shape=(*size, 2),
        )
    )
    x = np.random.default_rng(1).normal(size=(2, *size, 2)).astype(np.float32)
    np.testing.assert_allclose(predict(trace(model), x), model(x), rtol=1e-4, atol=1e-5)


def test_an_input_that_is_reshaped_is_read_as_a_map() -> None:
    graph = trace(reshaped())
    assert graph.input_shape == (60,)
    assert graph.input_map == (10, 6, 1)


def test_normalisation_of_what_another_layer_reads_too_follows_ones() -> None:
    model = two_of(lambda pair: layers.Add()([pair[0], layers.BatchNormalization(name="bn")(pair[0])]))
    x = np.random.default_rng(1).normal(size=(2, *model.input_shape[1:])).astype(np.float32)
    graph = trace(with_random_weights(model))
    assert "bn/ones" in [node.name for node in graph.nodes]
    np.testing.assert_allclose(predict(graph, x), model(x), rtol=1e-4, atol=1e-5)


def test_an_input_that_is_read_as_two_maps_is_refused() -> None:
    inputs = layers.Input((12,))
    maps = [layers.Conv2D(2, 1)(layers.Reshape(shape)(inputs)) for shape in ((6, 2, 1), (3, 4, 1))]
    vectors = [layers.GlobalMaxPooling2D()(x) for x in maps]
    with pytest.raises(UsageError, match=r"\(3, 4, 1\) and \(6, 2, 1\)"):
        trace(keras.Model(inputs, layers.Add()(vectors)))


def test_normalisation_that_no_layer_takes_in_follows_ones() -> None:
    graph = trace(scaled())
    ones = [node for node in graph.nodes if node.name.endswith("/ones")]
    assert len(ones) == 4
    assert all(np.all(node.weights["kernel"] == 1) for node in ones)


def test_a_sum_of_three_is_two_sums_and_shares_one_group() -> None:
    graph = trace(residual())

    names = [node.name for node in graph.nodes]
    sums = [index for index, node in enumerate(graph.nodes) if isinstance(node.operation, Add)]
    assert [names[index] for index in sums] == ["three/1", "three", "two"]
    assert graph.nodes[sums[1]].inputs[0] == sums[0]
    assert "nowhere" not in names
    assert [group.name for group in graph.groups] == ["stem", "strided"]
    assert {graph.nodes[index].output_group for index in sums[:2]} == {0}


def test_what_gates_a_map_is_spread_over_it_and_shares_its_group() -> None:
    graph = trace(gated())

    by_name = {node.name: node for node in graph.nodes}
    assert by_name["excite"].operation == Multiply(spread=True)
    assert graph.nodes[by_name["excite"].inputs[0]].name == "stem/relu"
    assert by_name["less"].operation == Subtract(spread=True)
    assert by_name["product/1"].operation == by_name["product"].operation == Multiply()
    assert {by_name[name].output_group for name in ("gate", "excite", "less", "side", "product")} == {0}
    assert [group.name for group in graph.groups] == ["stem", "squeeze"]


def test_what_is_concatenated_belongs_to_no_group() -> None:
    graph = trace(joined())
    assert graph.groups == ()
    assert {node.name for node in graph.nodes} >= {"block/maps", "vectors"}


def test_nested_layers_are_named_by_their_path() -> None:
    names = [node.name for node in trace(nested()).nodes]
    assert names[0].startswith("stem/conv2d")
    assert names[-1].startswith("head/dense")


def test_global_pool_is_a_window_over_the_whole_map() -> None:
    pool = next(node for node in trace(depthwise_separable()).nodes if isinstance(node.operation, Pool2D))
    assert pool.operation == Pool2D("average", (2, 3), (2, 3))


def chain(*middle: keras.layers.Layer, shape: tuple[int, ...] = (6, 6, 4)) -> keras.Model:
    return keras.Sequential([layers.Input(shape), *middle])


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (lambda: chain(layers.Conv2D(4, 3, activation="selu")), "an activation of"),
        (lambda: chain(layers.Conv2D(4, 3), layers.PReLU()), "a slope per channel"),
        (lambda: chain(layers.Conv2D(4, 3), layers.ReLU(max_value=4)), "max_value"),
        (lambda: chain(layers.Conv2D(4, 3), layers.ReLU(max_value=6, negative_slope=0.1)), "negative_slope"),
        (lambda: chain(layers.Conv2D(4, 3), layers.Reshape((8, 8)), layers.Flatten()), "reshape"),
        (lambda: chain(layers.Conv2D(4, 3), layers.Reshape((2, 8, 4))), "reshape"),
        (lambda: chain(layers.Conv2D(4, 3), layers.BatchNormalization(axis=1)), "axis=-1"),
        (lambda: chain(layers.Conv2D(4, 3), layers.UpSampling2D(interpolation="bilinear")), "'nearest'"),
        (lambda: chain(layers.Conv2DTranspose(4, 3, 2, output_padding=1)), "output_padding=None"),
        (lambda: chain(layers.Conv2D(4, 3), layers.UpSampling2D(41)), "size up to 40"),
        (lambda: chain(layers.Conv2D(4, 3), layers.Flatten(), layers.BatchNormalization()), "Flatten"),
        (lambda: chain(layers.Conv2D(4, 3), layers.Flatten(), layers.Softmax()), "flattened"),
        (lambda: chain(layers.MaxPooling2D(2)), "must have a convolution"),
        (lambda: chain(layers.Dense(3), shape=(5, 4)), "fixed shape"),
        (lambda: chain(layers.Conv2D(3, 3), shape=(None, 6, 1)), "fixed shape"),
        (lambda: keras.Sequential([layers.Dense(3)]), "built"),
    ],
)
def test_unsupported_models_are_refused_with_the_reason(model, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        trace(model())


def two_of(join: Callable[[list[keras.KerasTensor]], keras.KerasTensor], filters: int = 2) -> keras.Model:
    """The join of a map and what a convolution makes of it."""
    inputs = layers.Input((4, 4, 2))
    x = layers.Conv2D(filters, 3, padding="same", name="conv")(inputs)
    return keras.Model(inputs, join([x, inputs]))


@pytest.mark.parametrize(
    ("join", "words"),
    [
        (layers.Maximum(name="join"), r"'join' \(Maximum\).*no operation"),
        (layers.Concatenate(axis=1, name="join"), r"'join' \(Concatenate\).*axis=-1"),
        (lambda pair: layers.Concatenate(name="join")([pair[0]] * 11), r"'join' \(Concatenate\).*up to 10 inputs"),
        (lambda pair: layers.Add(name="join")([pair[0], layers.Conv2D(1, 1)(pair[1])]), r"'join'.*one shape"),
        (
            lambda pair: layers.Subtract(name="join")([layers.GlobalMaxPooling2D(keepdims=True)(pair[0]), pair[1]]),
            r"'join'.*one shape, the second",
        ),
        (lambda pair: pair[0] + pair[1], "outside of a layer.*keras.layers.Add"),
        (lambda pair: layers.Add(name="join")([layers.Flatten()(x) for x in pair]), r"'join'.*Flatten"),
    ],
)
def test_joins_that_are_not_supported_are_refused_by_name(join, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        trace(two_of(join))


def test_a_shared_layer_is_refused() -> None:
    shared = layers.Dense(4, name="shared")
    inputs = layers.Input((4,))
    with pytest.raises(UsageError, match=r"'shared'.*twice"):
        trace(keras.Model(inputs, shared(shared(inputs))))


def test_the_refusal_lists_every_supported_layer() -> None:
    with pytest.raises(UsageError) as error:
        trace(chain(layers.PReLU()))
    assert all(layer.__name__ in str(error.value) for layer in SUPPORTED_LAYERS)
