"""Neural networks and the codec made of them, beside faiss-cpu and beside numpy."""

from collections.abc import Callable

import faiss
import numpy as np
import pytest

Oracle = Callable[..., dict[str, np.ndarray]]


def test_layers(rng: np.random.Generator) -> None:
    x, w, b = (rng.standard_normal(shape, dtype="float32") for shape in ((3, 4), (5, 4), (5,)))
    tensor = faiss.Tensor2D(x)
    assert (tensor.shape, tensor.numel(), faiss.Tensor2D(2, 3).numpy().tolist()) == ((3, 4), 12, [[0.0] * 3] * 2)
    np.testing.assert_array_equal(tensor.column(1).numpy(), x[:, 1:2])
    np.testing.assert_array_equal(faiss.Tensor2D(2, 6, faiss.swig_ptr(x)).numpy(), x.reshape(2, 6))
    np.testing.assert_array_equal(faiss.rev_swig_ptr(tensor.data(), 12), x.ravel())
    layer = faiss.Linear(4, 5)
    layer.from_array(w, b)
    np.testing.assert_allclose(layer(tensor).numpy(), x @ w.T + b, rtol=1e-5)
    table = faiss.Embedding(5, 4)
    table.from_array(w)
    numbers = faiss.Int32Tensor2D(np.array([[1], [4]], "int32"))
    np.testing.assert_array_equal(table(numbers).numpy(), w[[1, 4]])
    network = faiss.FFN(4, 5)
    network.linear1.from_array(w)
    network.linear2.from_array(np.ascontiguousarray(w.T))
    np.testing.assert_allclose(network(tensor).numpy(), np.maximum(x @ w.T, 0) @ w, rtol=1e-4, atol=1e-5)
    with pytest.raises(RuntimeError, match="ci < num_embeddings"):
        table(faiss.Int32Tensor2D(np.array([[5]], "int32")))
    with pytest.raises(RuntimeError, match="in_features"):
        layer(faiss.Tensor2D(2, 3))
    with pytest.raises(AssertionError):
        layer.from_array(w.T)
    with pytest.raises(RuntimeError, match="no column 4"):
        tensor.column(4)
    with pytest.raises(AttributeError, match="abstract"):
        faiss.NeuralNetCodec(4, 2)
    layer.weight.resize(3)
    with pytest.raises(RuntimeError, match=r"weight\.size"):
        layer(tensor)


def test_codes_are_those_of_faiss(oracle: Oracle, rng: np.random.Generator) -> None:
    x = rng.standard_normal((60, 8), dtype="float32")
    code = """
rs = np.random.RandomState(3)
def fill(vector, scale):
    faiss.copy_array_to_vector((rs.randn(vector.size()) * scale).astype("float32"), vector)
net = faiss.QINCo(8, 16, 2, 3, 12)
fill(net.codebook0.weight, 0.5)
for i in range(2):
    step = net.get_step(i)
    fill(step.codebook.weight, 0.3)
    fill(step.MLPconcat.weight, 0.2)
    fill(step.MLPconcat.bias, 0.1)
    for j in range(2):
        block = step.get_residual_block(j)
        fill(block.linear1.weight, 0.3)
        fill(block.linear2.weight, 0.3)
codes = net.encode(faiss.Tensor2D(given["x"]))
result["codes"] = codes.numpy()
result["x"] = net.decode(codes).numpy()
result["sizes"] = np.array([net.d, net.K, net.L, net.M, net.h])
zeros = faiss.Tensor2D(60, 8)
residuals = faiss.Tensor2D(60, 8)
own = net.get_step(0).encode(zeros, faiss.Tensor2D(given["x"]), residuals)
result["step"], result["residuals"] = own.numpy(), residuals.numpy()
result["back"] = net.get_step(0).decode(zeros, own).numpy()
"""
    theirs = oracle(code, x=x)
    scope = {"faiss": faiss, "np": np, "given": {"x": x}, "result": {}}
    exec(code, scope)
    for key, value in theirs.items():
        np.testing.assert_allclose(scope["result"][key], value, rtol=1e-4, atol=1e-5, err_msg=key)
    net = scope["net"]
    for call in (lambda: net.encode(faiss.Tensor2D(3, 7)), lambda: net.decode(faiss.Int32Tensor2D(3, 2))):
        with pytest.raises(RuntimeError, match="wanted"):
            call()
    assert net.encode(faiss.Tensor2D(0, 8)).shape == (0, 3)


INDEX = """
rs = np.random.RandomState(3)
def fill(vector, scale):
    faiss.copy_array_to_vector((rs.randn(vector.size()) * scale).astype("float32"), vector)
index = faiss.IndexQINCo(8, 3, 5, 1, 12, metric)
result["sizes"] = np.array([index.d, index.M, index.nbits, index.code_size, index.is_trained, index.ntotal, index.metric_type])
net = index.qinco
result["net"] = np.array([net.d, net.K, net.L, net.M, net.h])
fill(net.codebook0.weight, 0.5)
for i in range(2):
    step = net.get_step(i)
    fill(step.codebook.weight, 0.3)
    fill(step.MLPconcat.weight, 0.2)
    fill(step.get_residual_block(0).linear1.weight, 0.3)
    fill(step.get_residual_block(0).linear2.weight, 0.3)
errors = []
for call in (lambda: index.train(given["x"]), lambda: index.add(given["x"])):
    try:
        call()
    except RuntimeError as e:
        errors.append("Training not implemented" in str(e) or "is_trained" in str(e))
result["errors"] = np.array(errors)
index.is_trained = True
index.add(given["x"])
result["codes"] = index.sa_encode(given["x"])
result["decoded"] = index.sa_decode(result["codes"])
result["D"], result["I"] = index.search(given["q"], 4)
result["rD"] = np.sort(index.range_search(given["q"], float(result["D"][:, 3].mean()))[1])
result["one"], result["all"] = index.reconstruct(3), index.reconstruct_n(0, 10)
result["removed"] = np.array([index.remove_ids(np.arange(5)), index.ntotal])
result["D5"] = index.search(given["q"], 4)[0]
"""


@pytest.mark.parametrize("metric", [faiss.METRIC_L2, faiss.METRIC_INNER_PRODUCT])
def test_indexes(oracle: Oracle, rng: np.random.Generator, metric: int) -> None:
    given = {"x": rng.standard_normal((60, 8), dtype="float32"), "q": rng.standard_normal((7, 8), dtype="float32")}
    theirs, result = oracle(f"metric = {metric}\n{INDEX}", **given), {}
    exec(INDEX, {"faiss": faiss, "np": np, "given": given, "result": result, "metric": metric})
    for key, value in theirs.items():
        if key == "I":
            # Few codes: of two vectors with the same one, either comes first.
            np.testing.assert_array_equal(result["codes"][result[key]], theirs["codes"][value])
        else:
            np.testing.assert_allclose(result[key], value, rtol=1e-4, atol=1e-4, err_msg=key)
    empty = faiss.IndexNeuralNetCodec(8, 3, 4)
    assert (empty.code_size, empty.net, empty.is_trained) == (2, None, False)
    empty.is_trained = True
    with pytest.raises(RuntimeError, match="no network"):
        empty.add(given["x"])
    with pytest.raises(RuntimeError, match="no network"):
        empty.search(given["q"], 2)
    net = faiss.QINCo(8, 16, 1, 3, 4)
    empty.net = net
    empty.add(given["x"])
    assert empty.ntotal == 60
    np.testing.assert_array_equal(empty.reconstruct(2), empty.sa_decode(empty.sa_encode(given["x"][2:3]))[0])


@pytest.mark.parametrize("nbits", [1, 5, 8, 13, 16])
def test_numbers_of_some_bits(nbits: int, rng: np.random.Generator) -> None:
    numbers = rng.integers(1 << nbits, size=9)
    kinds = ["Generic", *(["8"] if nbits == 8 else []), *(["16"] if nbits == 16 else [])]
    for kind in kinds:
        code = np.zeros(-(-9 * nbits // 8), "uint8")
        encoder = getattr(faiss, f"PQEncoder{kind}")(faiss.swig_ptr(code), nbits)
        for number in numbers.tolist():
            encoder.encode(number)
        np.testing.assert_array_equal(code, faiss.pack_bitstrings(numbers[None], nbits)[0])
        decoder = getattr(faiss, f"PQDecoder{kind}")(faiss.swig_ptr(code), nbits)
        assert [decoder.decode() for _ in numbers] == numbers.tolist()


def test_pointers_lead_to_the_network_too(rng: np.random.Generator) -> None:
    x = rng.standard_normal((40, 8), dtype="float32")
    index = faiss.IndexQINCo(8, 3, 4, 2, 12)
    for weights in (index.qinco.codebook0.weight, index.qinco.get_step(0).codebook.weight):
        faiss.copy_array_to_vector(rng.standard_normal(weights.size(), dtype="float32"), weights)
    index.is_trained = True
    index.add_c(40, faiss.swig_ptr(x))
    size = index.sa_code_size()
    codes, decoded = np.zeros((40, size), "uint8"), np.zeros((40, 8), "float32")
    index.sa_encode_c(40, faiss.swig_ptr(x), faiss.swig_ptr(codes))
    index.sa_decode_c(40, faiss.swig_ptr(codes), faiss.swig_ptr(decoded))
    np.testing.assert_array_equal(codes, index.sa_encode(x))
    np.testing.assert_array_equal(decoded, index.sa_decode(codes))
    one, some = np.zeros(8, "float32"), np.zeros((3, 8), "float32")
    index.reconstruct_c(5, faiss.swig_ptr(one))
    index.reconstruct_n_c(4, 3, faiss.swig_ptr(some))
    np.testing.assert_array_equal(one, decoded[5])
    np.testing.assert_array_equal(some, decoded[4:7])
    index.reconstruct_batch_c(3, faiss.swig_ptr(np.array([9, 1, 9])), faiss.swig_ptr(some))
    np.testing.assert_array_equal(some, decoded[[9, 1, 9]])
    D, labels = np.zeros((2, 3), "float32"), np.zeros((2, 3), "int64")
    index.search_c(2, faiss.swig_ptr(x), 3, faiss.swig_ptr(D), faiss.swig_ptr(labels))
    wanted = index.search(x[:2], 3)
    np.testing.assert_array_equal(labels, wanted[1])
    np.testing.assert_array_equal(D, wanted[0])
    found = np.zeros((2, 3), "int64")
    index.assign_c(2, faiss.swig_ptr(x), faiss.swig_ptr(found), 3)
    np.testing.assert_array_equal(found, wanted[1])
    recons = np.zeros((2, 3, 8), "float32")
    index.search_and_reconstruct_c(
        2, faiss.swig_ptr(x), 3, faiss.swig_ptr(D), faiss.swig_ptr(labels), faiss.swig_ptr(recons)
    )
    np.testing.assert_array_equal(recons, decoded[labels])
    within = faiss.RangeSearchResult(2)
    index.range_search_c(2, faiss.swig_ptr(x), float(D[0, 1]), within)
    assert faiss.rev_swig_ptr(within.lims, 3)[1] >= 1
    computer = index.get_distance_computer()
    computer.set_query(faiss.swig_ptr(x[0]))
    assert computer(int(labels[0, 0])) == pytest.approx(D[0, 0], rel=1e-5)
    with pytest.raises(RuntimeError, match="Pytorch"):
        index.train_c(40, faiss.swig_ptr(x))
