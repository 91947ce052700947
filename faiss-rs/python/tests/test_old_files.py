"""Files of earlier versions of Faiss, made by hand from their fields: read, searched and written as the oracle does."""

import struct
from collections.abc import Iterator

import faiss
import numpy as np
import pytest

D, NLIST, N = 8, 3, 20
RNG = np.random.default_rng(1)
X = RNG.random((N, D), dtype="f4")
CENTROIDS = RNG.random((NLIST, D), dtype="f4")
LISTS = ((X[:, None] - CENTROIDS) ** 2).sum(2).argmin(1)
IDS = [np.flatnonzero(i == LISTS) for i in range(NLIST)]
L2, IP = 1, 0


def ints(layout: str, *numbers: float) -> bytes:
    return struct.pack("<" + layout, *numbers)


def vec(array: np.ndarray) -> bytes:
    return ints("Q", array.size) + array.tobytes()


def header(code: str, d: int, ntotal: int, metric: int = L2) -> bytes:
    return code.encode() + ints("iqqqBi", d, ntotal, 1 << 20, 1 << 20, 1, metric)


def flat(x: np.ndarray) -> bytes:
    return header("IxF2", x.shape[1], len(x)) + vec(x)


def inverted_file(code: str, *between: bytes, n: int = N) -> bytes:
    """The header of an inverted file without a direct map; `between` stands before where that would be."""
    return b"".join([header(code, D, n), ints("QQ", NLIST, 2), flat(CENTROIDS), *between, ints("BQ", 0, 0)])


def pq(m: int, nbits: int) -> bytes:
    return ints("QQQ", D, m, nbits) + vec(RNG.random(D << nbits, dtype="f4"))


def codes(n: int, size: int, top: int = 256) -> np.ndarray:
    return RNG.integers(0, top, (n, size), dtype="u1")


def of_lists(array: np.ndarray) -> bytes:
    return b"".join(vec(array[ids]) for ids in IDS)


def array_lists(size: int, array: np.ndarray) -> bytes:
    sizes = np.array([len(ids) for ids in IDS])
    full = b"ilar" + ints("QQ", NLIST, size) + b"full" + vec(sizes)
    return full + b"".join(array[ids].tobytes() + ids.tobytes() for ids in IDS)


def linear(d_in: int, d_out: int) -> bytes:
    """The fields of a linear transform without a bias."""
    return ints("B", 0) + vec(RNG.random(d_in * d_out, dtype="f4")) + ints("Q", 0)


def dims(d_in: int, d_out: int) -> bytes:
    return ints("iiB", d_in, d_out, 1)


def additive(old: bool, m: int, nbits: int) -> bytes:
    sizes = ints("QQ", D, m) + vec(np.full(m, nbits)) + ints("B", 1)
    books, kinds = vec(RNG.random(m * D << nbits, dtype="f4")), ints("ii", 2048, 5)
    norms = ints("iff", 0, 0.0, 1.0)
    return sizes + (kinds + books + norms if old else books + norms + kinds)


def by_hand() -> Iterator[tuple[str, bytes]]:
    all_ids = b"".join(map(vec, IDS))
    yield "IvFl", inverted_file("IvFl", all_ids) + of_lists(X)
    yield "IvFL", inverted_file("IvFL", all_ids) + b"".join(vec(X[ids].view("u1")) for ids in IDS)
    two = codes(N, 2)
    yield "IvPQ", inverted_file("IvPQ", all_ids) + ints("BQ", 1, 2) + pq(2, 8) + of_lists(two)
    refined = pq(4, 8) + vec(codes(N, 4)) + ints("f", 4)
    yield "IvQR", inverted_file("IvQR", all_ids) + ints("BQ", 1, 2) + pq(2, 8) + of_lists(two) + refined
    of_bytes = ints("iifQQ", 0, 0, 0, D, D) + vec(RNG.random(2 * D, dtype="f4")) + ints("Q", D)
    yield "IvSQ", inverted_file("IvSQ", all_ids) + of_bytes + of_lists(codes(N, D))
    yield "IwSQ", inverted_file("IwSQ") + of_bytes + array_lists(D, codes(N, D))
    yield "IxPQ", header("IxPQ", D, N, IP) + pq(2, 8) + vec(two)
    yield "IxPo", header("IxPo", D, N, IP) + pq(2, 8) + vec(two) + ints("iBi", 0, 0, 17)
    rotation = b"rrot" + linear(D, 64) + dims(D, 64)
    yield "IxHE", header("IxHE", D, N) + ints("iBBQi", 64, 1, 0, 0, 1) + rotation + vec(codes(N, 8))
    yield "IxRQ", header("IxRQ", D, N) + additive(True, 2, 4) + ints("Q", 1) + vec(codes(N, 1))
    yield "IxRq", header("IxRq", D, N) + additive(False, 2, 4) + ints("Q", 1) + vec(codes(N, 1))
    eigen = vec(RNG.random(D, dtype="f4")) * 2 + vec(RNG.random(D * D, dtype="f4"))
    for code, bins in (("PCAm", b""), ("PcAm", ints("i", 0))):
        pca = code.encode() + ints("fB", 0, 0) + bins + eigen + linear(D, 4) + dims(D, 4)
        yield code, header("IxPT", D, N) + ints("i", 1) + pca + flat(X[:, :4].copy())


def cut(data: bytes, code: str, new: str, at: int, n: int) -> bytes:
    """Under another code and without `n` bytes."""
    assert data.startswith(code.encode()), data[:4]
    return new.encode() + data[4:at] + data[at + n :]


def of_new_ones() -> Iterator[tuple[str, bytes]]:
    """From files as they are written today, where only single fields differ."""

    def made(description: str) -> bytes:
        index = faiss.index_factory(D, description)
        index.train(np.repeat(X, 20, axis=0))
        index.add(X)
        return faiss.serialize_index(index).tobytes()

    eden, end = made("EDEN2"), 37 + 28
    yield "IxEd", cut(eden, "IxEe", "IxEd", end, 4)
    ivf = made("IVF3,EDEN2")
    yield "IwEd", cut(ivf, "IwEe", "IwEd", ivf.index(ints("BQ", 0, 0), 100) + 9 + 28, 4)
    cagra = faiss.IndexHNSWCagra(D, 4)
    cagra.add(X)
    yield "IHNc", cut(faiss.serialize_index(cagra).tobytes(), "IHc2", "IHNc", 37 + 6, 4)
    panorama = faiss.IndexIVFFlatPanorama(faiss.IndexFlatL2(D), D, NLIST, 2, faiss.METRIC_L2, True, 128)
    panorama.train(X)
    panorama.add(X)
    data = faiss.serialize_index(panorama).tobytes()
    at = data.index(b"ilp2")
    lists = data[at:]
    yield "IwPn", cut(data[:at], "IwP2", "IwPn", at - 8, 8) + cut(lists, "ilp2", "ilpn", 28, 8)


def without_behind(blocks: bytes, n: int, block: int, parts: int) -> tuple[bytes, list[bytes]]:
    """Packed RaBitQ codes without what stands behind the signs of each block, and that of each vector."""
    signs, stride = block * parts // 2, len(blocks) // -(-n // block)
    aux = (stride - signs) // block
    places = [divmod(i, block) for i in range(n)]
    behind = [blocks[b * stride + signs + i * aux :][:aux] for b, i in places]
    return b"".join(blocks[at : at + signs] for at in range(0, len(blocks), stride)), behind


def of_rabitq() -> Iterator[tuple[str, bytes]]:
    """Packed codes whose factors stood in an array of their own."""
    for bits in (1, 3):
        index = faiss.IndexRaBitQFastScan(D, faiss.METRIC_L2, 32, bits)
        index.train(X)
        index.add(X)
        data = faiss.serialize_index(index).tobytes()
        # Header, quantizer, center, qb, and four sizes of 28 bytes together.
        at = 37 + 28 + 8 + 4 * D + 1
        blocks, behind = without_behind(data[at + 36 :], N, 32, index.M2)
        flat_storage = vec(np.frombuffer(b"".join(behind), "u1"))
        sizes = data[at : at + 28]
        yield f"Irfs{bits}", b"Irfs" + data[4:at] + flat_storage + sizes + vec(np.frombuffer(blocks, "u1"))

        ivf = faiss.index_factory(D, f"IVF{NLIST},RaBitQfs{bits}")
        ivf.train(X)
        ivf.add_with_ids(X, np.arange(N)[::-1].copy())
        data = faiss.serialize_index(ivf).tobytes()
        at = data.index(b"ilbl")
        stride = faiss.downcast_InvertedLists(ivf.invlists).block_size
        storage, lists = [b""] * N, [b"ilbl" + ints("QQQQ", NLIST, 2**64 - 1, 32, 32 * ivf.M2 // 2)]
        for i in range(NLIST):
            ids = faiss.rev_swig_ptr(ivf.invlists.get_ids(i), ivf.invlists.list_size(i)).copy()
            own = -(-len(ids) // 32) * stride
            packed = data[data.index(vec(ids) + ints("Q", own), at) + 16 + 8 * len(ids) :][:own]
            blocks, behind = without_behind(packed, len(ids), 32, ivf.M2)
            for id, part in zip(ids, behind, strict=True):
                storage[id] = part
            lists.append(vec(ids) + vec(np.frombuffer(blocks, "u1")))
        flat_storage = vec(np.frombuffer(b"".join(storage), "u1"))
        yield f"Iwrf{bits}", b"".join([b"Iwrf", data[4:at], flat_storage, *lists])


FILES = dict(by_hand()) | dict(of_new_ones()) | dict(of_rabitq())
PROGRAM = """
import faiss
index = faiss.deserialize_index(data)
if hasattr(index, "nprobe"):
    index.nprobe = index.nlist
distances, labels = index.search(x, 3)
written = faiss.serialize_index(index)
name = type(index).__name__
about = [index.ntotal, int(index.is_trained), int(index.metric_type)]
"""
RESULTS = ("distances", "labels", "written", "name", "about")


@pytest.fixture(scope="module")
def theirs(oracle):
    run = """
for key in given:
    if key != "x":
        space = {"data": given[key], "x": given["x"]}
        exec(PROGRAM, space)
        result.update({f"{key} {name}": space[name] for name in RESULTS})
"""
    files = {name: np.frombuffer(data, "u1") for name, data in FILES.items()}
    return oracle(f"PROGRAM, RESULTS = {PROGRAM!r}, {RESULTS!r}\n{run}", x=X[:7] + np.float32(0.01), **files)


@pytest.mark.parametrize("name", FILES)
def test_read_as_faiss_reads_it(theirs, name):
    space = {"data": np.frombuffer(FILES[name], "u1"), "x": X[:7] + np.float32(0.01)}
    exec(PROGRAM, space)
    for result in RESULTS:
        mine, other = space[result], theirs[f"{name} {result}"]
        if result == "distances":
            np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-5)
        else:
            np.testing.assert_array_equal(mine, other, err_msg=result)


@pytest.mark.parametrize("name", FILES)
def test_cut_at_every_byte(name):
    for n in range(len(FILES[name])):
        with pytest.raises(RuntimeError):
            faiss.deserialize_index(np.frombuffer(FILES[name][:n], "u1"))
