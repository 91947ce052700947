"""What a program with types uses of the module, from end to end: pyright and mypy read it in their strict modes, and a test runs it."""

import tempfile
from pathlib import Path

import faiss
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]

D = 16
RNG = np.random.default_rng(0)
XT: Floats = RNG.random((1000, D), dtype=np.float32)
XB: Floats = RNG.random((400, D), dtype=np.float32)
XQ: Floats = RNG.random((5, D), dtype=np.float32)


def flat() -> None:
    index = faiss.IndexFlatL2(D)
    index.add(XB)
    distances, ids = index.search(XQ, 3)
    assert distances.shape == ids.shape == (5, 3)
    assert index.ntotal == 400
    assert index.is_trained
    lims, found, labels = index.range_search(XQ, 1.0)
    assert len(found) == len(labels) == lims[-1]
    vector = index.reconstruct(7)
    assert np.array_equal(vector, XB[7])
    assert np.array_equal(index.reconstruct_n(0, 3), XB[:3])
    assert np.array_equal(index.reconstruct_batch(np.array([1, 5])), XB[[1, 5]])
    assert index.assign(XQ, 1).shape == (5, 1)
    removed: int = index.remove_ids(np.arange(10))
    assert removed == 10
    index.reset()
    other: faiss.Index = faiss.IndexFlat(D, faiss.METRIC_INNER_PRODUCT)
    other.add(XB)
    assert other.metric_type == faiss.METRIC_INNER_PRODUCT
    assert faiss.IndexFlatIP(D).d == D


def inverted_files() -> None:
    quantizer = faiss.IndexFlatL2(D)
    index = faiss.IndexIVFFlat(quantizer, D, 8, faiss.METRIC_L2)
    index.train(XT)
    index.add_with_ids(XB, np.arange(400))
    index.nprobe = 4
    parameters = faiss.SearchParametersIVF(nprobe=8, sel=faiss.IDSelectorRange(0, 100))
    _, ids = index.search(XQ, 3, params=parameters)
    assert ids.max() < 100
    coarse_distances, lists = index.quantizer.search(XQ, 4)
    assert index.search_preassigned(XQ, 3, lists, coarse_distances)[1].shape == (5, 3)
    sizes = [index.invlists.list_size(i) for i in range(index.nlist)]
    assert sum(sizes) == 400
    index.make_direct_map()
    assert index.reconstruct(3).shape == (D,)
    compressed = faiss.IndexIVFPQ(faiss.IndexFlatL2(D), D, 8, 4, 8)
    compressed.train(XT)
    compressed.add(XB)
    assert compressed.pq.M == 4
    assert compressed.pq.nbits == 8
    assert compressed.code_size == 4
    scalar = faiss.IndexIVFScalarQuantizer(faiss.IndexFlatL2(D), D, 8, faiss.ScalarQuantizer.QT_8bit)
    scalar.train(XT)
    scalar.add(XB)
    copy = faiss.clone_index(scalar)
    assert copy.ntotal == 400


def graphs() -> None:
    index = faiss.IndexHNSWFlat(D, 16)
    index.hnsw.efConstruction = 40
    index.hnsw.efSearch = 32
    index.add(XB)
    _, ids = index.search(XQ, 3, params=faiss.SearchParametersHNSW(efSearch=64))
    assert ids.min() >= 0
    nsg = faiss.IndexNSGFlat(D, 16)
    nsg.add(XB)
    assert nsg.ntotal == 400


def around_others() -> None:
    mapped = faiss.IndexIDMap2(faiss.IndexFlatL2(D))
    mapped.add_with_ids(XB, np.arange(1000, 1400))
    _, ids = mapped.search(XB[:1], 1)
    assert ids[0, 0] == 1000
    assert faiss.vector_to_array(mapped.id_map)[0] == 1000
    reduced = faiss.IndexPreTransform(faiss.PCAMatrix(D, 8), faiss.IndexFlatL2(8))
    reduced.train(XT)
    reduced.add(XB)
    assert reduced.chain.size() == 1
    refined = faiss.IndexRefineFlat(faiss.IndexPQ(D, 4, 8))
    refined.train(XT)
    refined.add(XB)
    refined.k_factor = 10
    shards = faiss.IndexShards(D)
    for start in (0, 200):
        part = faiss.IndexFlatL2(D)
        part.add(XB[start : start + 200])
        shards.add_shard(part)
    shards.successive_ids = True
    assert shards.ntotal == 400


def factory_and_tuning() -> None:
    index = faiss.index_factory(D, "IVF8,Flat", faiss.METRIC_L2)
    index.train(XT)
    index.add(XB)
    space = faiss.ParameterSpace()
    space.initialize(index)
    space.set_index_parameters(index, "nprobe=3")
    assert faiss.extract_index_ivf(index).nprobe == 3
    downcast = faiss.downcast_index(index)
    assert type(downcast).__name__ == "IndexIVFFlat"


def codecs() -> None:
    additive = faiss.IndexResidualQuantizer(D, 2, 4)
    additive.rq.max_beam_size = 3
    additive.train(XT)
    additive.add(XB)
    assert additive.rq.code_size == additive.sa_code_size() == additive.sa_encode(XQ).shape[1]
    rounded = faiss.IndexRaBitQ(D)
    rounded.train(XT)
    rounded.add(XB)
    signs = faiss.RaBitQSearchParameters(qb=8, sel=faiss.IDSelectorRange(0, 100))
    assert rounded.search(XQ, 3, params=signs)[1].max() < 100
    packed = faiss.IndexPQFastScan(D, 8, 4)
    packed.train(XT)
    packed.add(XB)
    assert packed.bbs == 32
    scalar = faiss.ScalarQuantizer(D, faiss.ScalarQuantizer.QT_8bit)
    scalar.train(XT)
    assert np.abs(scalar.decode(scalar.compute_codes(XB)) - XB).max() < 0.01
    hashed = faiss.IndexLSH(D, 32)
    hashed.add(XB)
    assert hashed.sa_decode(hashed.sa_encode(XQ)).shape == XQ.shape
    bits: npt.NDArray[np.int32] = RNG.integers(0, 8, (5, 3), dtype=np.int32)
    assert np.array_equal(faiss.unpack_bitstrings(faiss.pack_bitstrings(bits, 3), 3, 3), bits)


def transforms() -> None:
    centering = faiss.CenteringTransform(D)
    centering.train(XT)
    assert np.abs(centering.apply(XT).mean(axis=0)).max() < 1e-5
    turned = faiss.RandomRotationMatrix(D, D)
    turned.init(3)
    assert turned.is_orthonormal
    assert np.allclose(turned.reverse_transform(turned.apply(XQ)), XQ, atol=1e-5)
    assert faiss.vector_to_array(turned.A).size == D * D
    chained = faiss.index_factory(D, "PCA8,IVF4,Flat")
    chained.train(XT)
    chained.add(XB)
    inside = faiss.SearchParametersIVF(nprobe=4)
    parameters = faiss.SearchParametersPreTransform(index_params=inside)
    assert chained.search(XQ, 3, params=parameters)[1].shape == (5, 3)


def inverted_lists(folder: Path) -> None:
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(D), D, 4)
    index.train(XT)
    trained = faiss.clone_index(index)
    index.add(XB[:200])
    trained.add(XB[200:])
    index.check_compatible_for_merge(trained)
    index.merge_from(trained, 200)
    assert (index.ntotal, trained.ntotal) == (400, 0)
    index.set_direct_map_type(faiss.DirectMap.Hashtable)
    index.update_vectors(np.arange(3), XB[3:6])
    assert np.array_equal(index.reconstruct(2), XB[5])
    on_disk = faiss.OnDiskInvertedLists(index.nlist, index.code_size, str(folder / "lists"))
    parts = faiss.InvertedListsPtrVector()
    parts.push_back(index.invlists)
    assert on_disk.merge_from_multiple(parts.data(), parts.size()) == 400
    index.replace_invlists(on_disk, False)
    _, ids, vectors_found = index.search_and_reconstruct(XQ, 2)
    assert vectors_found.shape == (*ids.shape, D)


def binary() -> None:
    codes: npt.NDArray[np.uint8] = RNG.integers(0, 256, (100, 8), dtype=np.uint8)
    index = faiss.IndexBinaryFlat(64)
    index.add(codes)
    distances, ids = index.search(codes[:3], 2)
    assert distances[:, 0].tolist() == [0, 0, 0]
    assert ids[:, 0].tolist() == [0, 1, 2]
    assert faiss.index_binary_factory(64, "BHNSW16").d == 64


def training() -> None:
    kmeans = faiss.Kmeans(D, 8, niter=5, seed=1, verbose=False)
    objective: float = kmeans.train(XT)
    assert objective > 0
    assert kmeans.centroids.shape == (8, D)
    distances, lists = kmeans.assign(XQ)
    assert distances.shape == lists.shape == (5,)
    clustering = faiss.Clustering(D, 8)
    clustering.niter = 3
    clustering.train(XT, faiss.IndexFlatL2(D))
    assert faiss.vector_to_array(clustering.centroids).size == 8 * D
    codec = faiss.ProductQuantizer(D, 4, 6)
    codec.train(XT)
    codes = codec.compute_codes(XB)
    assert codec.decode(codes).shape == XB.shape
    rotation = faiss.OPQMatrix(D, 4)
    rotation.niter = 2
    rotation.train(XT)
    assert rotation.apply(XQ).shape == XQ.shape


def functions() -> None:
    distances, ids = faiss.knn(XQ, XB, 3)
    assert np.array_equal(np.argmin(faiss.pairwise_distances(XQ, XB), axis=1), ids[:, 0])
    assert faiss.eval_intersection(ids, ids) == ids.size
    unit = XB.copy()
    faiss.normalize_L2(unit)
    assert np.allclose(np.linalg.norm(unit, axis=1), 1, atol=1e-5)
    assert distances.dtype == np.float32
    assert faiss.randn((3, 4), 1).shape == (3, 4)
    threads: int = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(threads)
    assert faiss.is_similarity_metric(faiss.METRIC_INNER_PRODUCT)
    heap = faiss.ResultHeap(5, 3)
    heap.add_result(distances, ids)
    heap.finalize()
    assert np.array_equal(heap.I, ids)


def vectors() -> None:
    vector = faiss.Float32Vector()
    faiss.copy_array_to_vector(np.arange(4, dtype=np.float32), vector)
    assert faiss.vector_to_array(vector).tolist() == [0, 1, 2, 3]
    assert vector.size() == 4
    assert faiss.rev_swig_ptr(vector.data(), 4)[2] == 2


def files(folder: Path) -> None:
    index = faiss.IndexFlatL2(D)
    index.add(XB)
    path = folder / "vectors.index"
    faiss.write_index(index, str(path))
    again: faiss.Index = faiss.read_index(str(path))
    assert again.ntotal == 400
    blob = faiss.serialize_index(index)
    assert faiss.deserialize_index(blob).ntotal == 400
    with path.open("wb") as to:
        faiss.write_index(index, faiss.BufferedIOWriter(faiss.PyCallbackIOWriter(to.write)))
    with path.open("rb") as source:
        assert faiss.read_index(faiss.PyCallbackIOReader(source.read)).ntotal == 400
    assert faiss.read_index(str(path), faiss.IO_FLAG_MMAP).d == D


def selectors() -> None:
    index = faiss.IndexFlatL2(D)
    index.add(XB)
    for selector in (
        faiss.IDSelectorRange(0, 50),
        faiss.IDSelectorBatch([1, 2, 3]),
        faiss.IDSelectorNot(faiss.IDSelectorRange(50, 400)),
        faiss.IDSelectorAnd(faiss.IDSelectorAll(), faiss.IDSelectorArray([4, 5])),
    ):
        _, ids = index.search(XQ, 2, params=faiss.SearchParameters(sel=selector))
        assert all(selector.is_member(int(i)) for i in ids.ravel())


def gpus() -> None:
    if faiss.get_num_gpus() == 0:
        return
    resources = faiss.StandardGpuResources()
    index = faiss.index_cpu_to_gpu(resources, 0, faiss.IndexFlatL2(D))
    index.add(XB)
    assert faiss.index_gpu_to_cpu(index).ntotal == 400


def errors() -> None:
    words = ""
    try:
        faiss.IndexIVFFlat(faiss.IndexFlatL2(D), D, 8).add(XB)
    except RuntimeError as error:
        words = str(error)
    assert "is_trained" in words


def main() -> None:
    for part in (
        flat,
        inverted_files,
        graphs,
        around_others,
        factory_and_tuning,
        codecs,
        transforms,
        binary,
        training,
        functions,
        vectors,
        selectors,
        gpus,
        errors,
    ):
        part()
    with tempfile.TemporaryDirectory() as folder:
        files(Path(folder))
        inverted_lists(Path(folder))
    print("all parts ran")


if __name__ == "__main__":
    main()
