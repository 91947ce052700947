"""Programs as users of Faiss write them, run here and under faiss-cpu: what they find must be the same.

A program has numpy as `np`, the module as `faiss`, data as `xt`, `xb`, `xq` (16 dimensions) and puts what it finds into `found`.
"""

import traceback
from typing import Any

import faiss
import numpy as np
import programs_of_clustering
import pytest

PROGRAMS = programs_of_clustering.PROGRAMS | {
    "constructors": """
q = faiss.IndexFlatL2(16)
flat, pq = faiss.IndexIVFFlat(q, 16, 8, faiss.METRIC_INNER_PRODUCT), faiss.IndexIVFPQ(q, 16, 8, 4, 8)
found += [flat.metric_type, flat.nprobe, flat.code_size, flat.own_fields, flat.own_invlists, flat.cp.niter, flat.cp.spherical]
found += [pq.pq.M, pq.pq.nbits, pq.pq.ksub, pq.pq.dsub, pq.by_residual, pq.use_precomputed_table, pq.code_size, pq.is_trained]
found += [faiss.IndexPQ(16, 4, 8).pq.M, faiss.ProductQuantizer(16, 4, 5).code_size, faiss.OPQMatrix(16, 4, 8).d_out]
for wrong in ((q, 16, 8, 5, 8), (q, 17, 8, 4, 8), (q, 16, 8), (16, 8, 4, 8)):
    found.append(error(lambda: faiss.IndexIVFPQ(*wrong)))
""",
    "aliases": """
index = ivfpq()
pq, quantizer, cp, invlists = index.pq, index.quantizer, index.cp, index.invlists
cp.niter = 77
found += [index.cp.niter, quantizer.ntotal, pq.M, [invlists.list_size(i) for i in range(8)], invlists.imbalance_factor()]
centroids = faiss.vector_to_array(pq.centroids)
faiss.copy_array_to_vector(centroids * 2, pq.centroids)
found += [faiss.vector_to_array(index.pq.centroids) / 2 - centroids]
index.cp = faiss.ClusteringParameters()
found += [index.cp.niter, faiss.IndexIVFFlat(quantizer, 16, 8).referenced_objects[0] is quantizer]
""",
    "ownership": """
quantizer = faiss.IndexFlatL2(16)
index = faiss.IndexIVFFlat(quantizer, 16, 8)
index.own_fields = True
found += [quantizer.this.own(), quantizer.thisown]
quantizer.this.disown()
found += [quantizer.this.own(), index.thisown, index.quantizer.thisown]
del quantizer
index.train(xt)
index.add(xb)
found += [index.search(xq, 3)]
""",
    "temporaries": """
index = faiss.IndexIVFFlat(faiss.IndexFlatL2(16), 16, 8)
index.train(xt)
index.add(xb)
found += [index.search(xq, 3)]
chained = faiss.IndexPreTransform(faiss.IndexFlatL2(8))
chained.prepend_transform(faiss.PCAMatrix(16, 8))
chained.train(xt)
found += [chained.d, chained.chain.size(), chained.ntotal]
""",
    "memory of vectors": """
index = faiss.IndexFlatL2(16)
index.add(xb)
faiss.rev_swig_ptr(index.get_xb(), 160).reshape(10, 16)[3] = 7
faiss.rev_swig_ptr(index.codes.data(), 640).view("float32")[:16] = 5
found += [index.reconstruct(3), index.reconstruct(0), index.reconstruct(10)]
vector = faiss.Float32Vector()
vector.resize(5)
faiss.rev_swig_ptr(vector.data(), 5)[...] = np.arange(5)
found += [faiss.vector_to_array(vector)]
""",
    "memory of inverted lists": """
index = ivfpq()
invlists = index.invlists
n = invlists.list_size(2)
ids = faiss.rev_swig_ptr(invlists.get_ids(2), n)
codes = faiss.rev_swig_ptr(invlists.get_codes(2), n * 4)
found += [ids.copy(), codes.copy()]
ids += 1000
index.nprobe = 8
found += [np.sort(index.search(xq, 500)[1], axis=1)]
centroids = index.pq.centroids
faiss.rev_swig_ptr(centroids.data(), 4 * 256 * 4)[...] = 1
found += [index.reconstruct_n(0, 0).shape, faiss.vector_to_array(index.pq.centroids)]
""",
    "pointers": """
for dtype in ("f4", "f8", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "c8"):
    found.append(error(lambda: faiss.swig_ptr(np.zeros(3, dtype)) and None))
found += [error(lambda: faiss.swig_ptr(np.zeros((3, 4)).T)), error(lambda: faiss.swig_ptr([1]))]
found += [error(lambda: faiss.rev_swig_ptr(faiss.cast_integer_to_void_ptr(xb.ctypes.data), 3))]
vector = faiss.Float32Vector()
for wrong in (np.zeros((2, 2), "f4"), np.zeros(2), [1.0]):
    found.append(error(lambda: faiss.copy_array_to_vector(wrong, vector)))
""",
    "methods on pointers": """
index = ivf()
index.make_direct_map()
D, I, R = np.empty((7, 2), "f4"), np.empty((7, 2), "i8"), np.empty((7, 2, 16), "f4")
ptr = faiss.swig_ptr
index.search_c(7, ptr(xq), 2, ptr(D), ptr(I))
found += [D.copy(), I.copy()]
index.search_and_reconstruct_c(7, ptr(xq), 2, ptr(D), ptr(I), ptr(R))
found += [R]
labels, one, three = np.empty(7, "i8"), np.empty(16, "f4"), np.empty((3, 16), "f4")
index.assign_c(7, ptr(xq), ptr(labels))
index.reconstruct_c(3, ptr(one))
index.reconstruct_n_c(2, 3, ptr(three))
found += [labels, one, three]
index.nprobe = 2
Dq, Iq = index.quantizer.search(xq, 2)
index.search_preassigned_c(7, ptr(xq), 2, ptr(Iq), ptr(Dq), ptr(D), ptr(I), False)
found += [D.copy(), I.copy()]
index.search_preassigned_c(7, ptr(xq), 2, ptr(Iq), ptr(Dq), ptr(D), ptr(I), True)
found += [I]
result = faiss.RangeSearchResult(7)
index.range_search_preassigned_c(7, ptr(xq), 1.0, ptr(Iq), ptr(Dq), result)
found += [faiss.rev_swig_ptr(result.lims, 8).copy()]
""",
    "vectors into given lists": """
index = ivf()
lists = index.quantizer.assign(xq, 1).ravel()
index.add_core(7, faiss.swig_ptr(xq), None, faiss.swig_ptr(lists))
index.add_core(7, faiss.swig_ptr(xq), faiss.swig_ptr(np.arange(900, 907)), faiss.swig_ptr(lists))
found += [index.ntotal, index.search(xq, 2)]
""",
    "codes of vectors": """
index = ivfpq()
lists = index.quantizer.assign(xq, 1).ravel()
codes, long, x = np.empty((7, 4), "u1"), np.empty((7, 5), "u1"), np.empty((7, 16), "f4")
ptr = faiss.swig_ptr
index.encode_vectors(7, ptr(xq), ptr(lists), ptr(codes))
index.encode_vectors(7, ptr(xq), ptr(lists), ptr(long), True)
index.decode_vectors(7, ptr(codes), ptr(lists), ptr(x))
found += [codes.copy(), long, x.copy()]
index.encode_multiple(7, ptr(lists), ptr(xq), ptr(codes))
index.decode_multiple(7, ptr(lists), ptr(codes), ptr(x))
found += [codes, x, index.sa_encode(xq), index.coarse_code_size()]
code = np.zeros(1, "u1")
index.encode_listno(5, ptr(code))
found += [code, index.decode_listno(ptr(code)), index.check_ids_sorted()]
D, I, codes = index.search_and_return_codes(xq, 3)
found += [D, I, codes]
found += [index.search_and_return_codes(xq, 3, include_listnos=True)[2]]
""",
    "scalar quantizers": """
S = faiss.ScalarQuantizer
for qtype in (S.QT_8bit, S.QT_6bit, S.QT_4bit_uniform, S.QT_bf16, S.QT_4bit_tqmse, S.QT_3bit_eden):
    index = faiss.IndexScalarQuantizer(16, qtype)
    index.sq.rangestat, index.sq.rangestat_arg = S.RS_meanstd, 2.0
    found += [index.is_trained, index.sq.bits, index.sq.code_size, index.code_size]
    index.train(xt)
    index.add(xb)
    index.remove_ids(np.arange(5))
    found += [index.sq.trained.size(), index.search(xq, 3), index.reconstruct_n(0, 4), index.sa_encode(xq)]
    quantizer = faiss.IndexFlatL2(16)
    ivf = faiss.IndexIVFScalarQuantizer(quantizer, 16, 8, qtype, faiss.METRIC_L2, False)
    ivf.train(xt)
    ivf.add_with_ids(xb, np.arange(len(xb)) + 100)
    ivf.nprobe = 3
    found += [ivf.by_residual, ivf.search(xq, 3), ivf.sa_decode(ivf.sa_encode(xq))]
    params = faiss.SearchParametersIVF(nprobe=8, sel=faiss.IDSelectorRange(100, 150))
    found += [ivf.search(xq, 3, params=params)]
found += [error(lambda: faiss.IndexScalarQuantizer(16, 0).add(xb)), error(lambda: S(16, 0).train(xb[:0]))]
""",
    "TurboQuant": """
for bits in (2, 3, 4, 5):
    index = faiss.index_factory(16, f'IVF8,SQtq{bits}')
    index.train(xt)
    index.add(xb)
    found += [index.by_residual, index.sq.qtype, index.sq.code_size]
    for qb, int_qjl in ((0, False), (3, False), (4, True), (8, True)):
        params = faiss.IVFSQTurboQSearchParameters(nprobe=4, qb=qb, int_qjl=int_qjl)
        found += [index.search(xq, 4, params=params)]
    flat = faiss.index_factory(16, f'SQtq{bits}', faiss.METRIC_INNER_PRODUCT)
    flat.train(xt)
    flat.add(xb)
    found += [flat.search(xq, 4), flat.reconstruct(7)]
""",
    "codecs": """
for key in ('SQ8', 'SQ4', 'MinMax,SQ8', 'MinMaxFP16,SQ8', 'SQfp16'):
    index = faiss.index_factory(16, key)
    index.train(xt)
    found += [index.sa_code_size(), index.is_trained]
    found += [index.sa_decode(index.sa_encode(xb))]
""",
    "duplicates": """
index = ivfpq()
index.add(xb[:20])
ids, lims = np.zeros(index.ntotal, "i8"), np.zeros(index.ntotal // 2 + 1, "u8")
n = index.find_duplicates(faiss.swig_ptr(ids), faiss.swig_ptr(lims))
groups = [np.sort(ids[lims[i]:lims[i + 1]]).tolist() for i in range(n)]
found += [n, sorted(groups)]
""",
    "product quantizer": """
index = ivfpq()
pq = index.pq
ptr = faiss.swig_ptr
codes, code, x, tables = np.empty((7, 4), "u1"), np.empty(4, "u1"), np.empty(16, "f4"), np.empty((7, 4, 256), "f4")
pq.compute_codes_c(ptr(xq), ptr(codes), 7)
pq.compute_code(ptr(xq), ptr(code))
pq.decode_c(ptr(code), ptr(x))
pq.compute_distance_tables(7, ptr(xq), ptr(tables))
pq.compute_code_from_distance_table(ptr(tables), ptr(code))
base = pq.compute_codes(xb)
D, I = np.empty((7, 3), "f4"), np.empty((7, 3), "i8")
heaps = faiss.float_maxheap_array_t()
heaps.nh, heaps.k, heaps.val, heaps.ids = 7, 3, ptr(D), ptr(I)
pq.search(ptr(xq), 7, ptr(base), 500, heaps, True)
found += [codes, code, x, tables.sum(axis=2), D, I]
""",
    "one product quantizer's centroids for all parts": """
pq = faiss.ProductQuantizer(16, 4, 4)
pq.train(xt)
first = faiss.vector_to_array(pq.centroids).reshape(4, 16, 4)[0].copy()
for m in range(4):
    pq.set_params(faiss.swig_ptr(first), m)
found += [np.abs(faiss.vector_to_array(pq.centroids).reshape(4, 16, 4) - first).max()]
found += [faiss.rev_swig_ptr(pq.get_centroids(2, 3), 4) - first[3]]
pq.M, pq.nbits = 2, 3
pq.set_derived_values()
found += [pq.dsub, pq.ksub, pq.code_size]
""",
    "inverted lists": """
lists = faiss.ArrayInvertedLists(3, 4)
codes = np.arange(8, dtype="u1").reshape(2, 4)
ptr = faiss.swig_ptr
lists.add_entries(1, 2, ptr(np.array([5, 6])), ptr(codes))
lists.add_entry(2, 9, ptr(codes))
lists.update_entry(1, 0, 55, ptr(codes[1:].copy()))
found += [faiss.rev_swig_ptr(lists.get_ids(1), 2).copy(), faiss.rev_swig_ptr(lists.get_codes(1), 8).copy()]
lists.permute_invlists(ptr(np.array([1, 2, 0])))
lists.resize(0, 1)
found += [[lists.list_size(i) for i in range(3)], lists.compute_ntotal(), lists.imbalance_factor(), lists.get_single_id(0, 0)]
other = faiss.ArrayInvertedLists(3, 4)
found += [lists.copy_subset_to(other, faiss.InvertedLists.SUBSET_TYPE_ID_RANGE, 9, 100), other.compute_ntotal()]
""",
    "direct maps": """
index = ivf()
found += [index.direct_map.no(), error(lambda: index.reconstruct(3))]
index.make_direct_map()
found += [index.direct_map.type, index.direct_map.get(3), index.reconstruct(3), error(lambda: index.direct_map.get(500))]
index.set_direct_map_type(faiss.DirectMap.Hashtable)
found += [index.direct_map.get(3), index.remove_ids(np.arange(0, 500, 3)), error(lambda: index.reconstruct(3)), index.reconstruct(4)]
index.set_direct_map_type(faiss.DirectMap.NoMap)
found += [index.direct_map.no(), index.direct_map.array.size()]
""",
    "given lists": """
index = ivf()
index.nprobe = 4
Dq, Iq = index.quantizer.search(xq, 4)
found += [index.search_preassigned(xq, 3, Iq, Dq), index.search_preassigned(xq, 3, Iq, None)]
lims, D, I = index.range_search_preassigned(xq, 0.9, Iq, Dq)
found += [lims, np.sort(D), np.sort(I), index.range_search_preassigned(xq, 0.9, Iq, None)[0]]
found += [error(lambda: index.search_preassigned(xq, 3, Iq[:, :2], Dq[:, :2]))]
found += [error(lambda: index.search_preassigned(xq, 3, np.full((7, 4), 8), Dq))]
found += [index.search_preassigned(xq, 3, np.full((7, 4), -1), Dq)[1]]
""",
    "ivflib": """
one, two, three = ivf(), ivf(), ivfpq()
faiss.merge_into(one, two, True)
found += [one.ntotal, two.ntotal, one.search(xq, 2)[1], error(lambda: faiss.check_compatible_for_merge(one, three))]
one.nprobe = 3
D, I = faiss.search_with_parameters(one, xq, 4)
found += [D, np.sort(I % 500, axis=1)]
D, I, stats = faiss.search_with_parameters(one, xq, 4, faiss.SearchParametersIVF(nprobe=8), output_stats=True)
found += [D, sorted(stats), stats["ndis"]]
lims, D, I = faiss.range_search_with_parameters(one, xq, 0.8)
found += [lims, np.sort(D)]
ids = np.empty(7, "i8")
faiss.search_centroid(one, faiss.swig_ptr(xq), 7, faiss.swig_ptr(ids))
part = faiss.get_invlist_range(three, 2, 5)
found += [ids, [part.list_size(i) for i in range(3)]]
faiss.set_invlist_range(three, 3, 6, part)
found += [three.ntotal, [three.get_list_size(i) for i in range(8)]]
D, I = np.empty((7, 2), "f4"), np.empty((7, 2), "i8")
query, result = np.empty(7, "i8"), np.empty((7, 2), "i8")
ptr = faiss.swig_ptr
faiss.search_and_return_centroids(ivf(), 7, ptr(xq), 2, ptr(D), ptr(I), ptr(query), ptr(result))
found += [D, I, query, result]
chained = faiss.index_factory(16, "L2norm,IVF8,Flat")
chained.train(xt)
chained.add(xb)
faiss.search_centroid(chained, ptr(xq), 7, ptr(ids))
found += [ids, faiss.search_with_parameters(chained, xq, 2)]
""",
    "random numbers": """
perm, quick = np.empty(50, "i4"), np.empty(50, "i4")
faiss.rand_perm(faiss.swig_ptr(perm), 50, 77)
faiss.rand_perm_splitmix64(faiss.swig_ptr(quick), 50, 77)
found += [perm, quick]
for make in (faiss.RandomGenerator, faiss.SplitMix64RandomGenerator):
    generator = make(123)
    for _ in range(3):
        found += [generator.rand_int(), generator.rand_int(10), generator.rand_int64()]
        found += [generator.rand_float(), generator.rand_double()]
""",
    "matrix statistics": """
x = xb[:60].copy()
matrices = [x, x / np.linalg.norm(x, axis=1, keepdims=True), x + np.arange(16, dtype="f4") * 1000, np.ones((5, 4), "f4")]
matrices += [np.vstack([x, np.zeros((2, 16), "f4")]), np.vstack([x, np.full((1, 16), np.nan, "f4")]), np.hstack([x, x[:, :1] * 0 + 7])]
for m in matrices:
    stats = faiss.MatrixStats(np.ascontiguousarray(m))
    found += [stats.comments.splitlines()[:8], stats.n_valid, stats.n0, stats.min_norm2, stats.max_norm2, int(stats.hash_value)]
found += [faiss.MatrixStats(np.full((5, 4), np.inf, "f4")).comments]
""",
    "k-means": """
weights = np.arange(2000).astype("f4")
settings = [dict(), dict(spherical=True), dict(seed=9), dict(nredo=3), dict(int_centroids=True), dict(update_index=True)]
settings += [dict(max_points_per_centroid=50), dict(niter=200), dict(niter=60, nredo=4, seed=7), dict(frozen_centroids=True)]
settings += [dict(niter=100, early_stop_threshold=1e-3), dict(gpu=False), dict(use_faster_subsampling=True, max_points_per_centroid=50)]
for setting in settings:
    k = faiss.Kmeans(16, 5, **{"niter": 6, **setting})
    k.train(xt)
    D, I = k.assign(xq)
    found += [k.centroids, k.obj, D, I, len(k.iteration_stats), sorted(k.iteration_stats[0])]
k = faiss.Kmeans(16, 5, niter=4)
k.train(xt, weights=weights, init_centroids=xt[:3])
found += [k.centroids]
k.reset(7)
k.train(xt.astype("float64"))
found += [k.centroids, error(lambda: faiss.Kmeans(16, 5, nonsense=3)), error(lambda: faiss.Kmeans(16, 5).train(xt[:4]))]
found += [error(lambda: faiss.Kmeans(16, 5).train(xt[:, :3])), error(lambda: faiss.Kmeans(16, 5).assign(xq))]
""",
    "clustering": """
clustering, index = faiss.Clustering(16, 5), faiss.IndexFlatL2(16)
faiss.copy_array_to_vector(xt[:5].ravel(), clustering.centroids)
clustering.niter = 3
clustering.train(xt, index)
found += [faiss.vector_to_array(clustering.centroids), clustering.iteration_stats.size(), clustering.iteration_stats.at(0).obj]
codec = faiss.IndexPQ(16, 4, 4)
codec.train(xt)
encoded = faiss.Clustering(16, 5)
encoded.niter = 3
encoded.train_encoded(codec.sa_encode(xt), codec, index)
clustering.spherical = True
clustering.post_process_centroids()
found += [faiss.vector_to_array(encoded.centroids), faiss.vector_to_array(clustering.centroids)]
centroids = np.empty((5, 16), "f4")
found += [faiss.kmeans_clustering(16, 2000, 5, faiss.swig_ptr(xt), faiss.swig_ptr(centroids)), centroids]
""",
    "operating points": """
points = faiss.OperatingPoints()
tried = [(0.5, 3, "a", 1), (0.7, 2, "b", 2), (0.6, 5, "c", 3), (0.7, 1, "d", 4), (0.9, 10, "e", 5), (0.9, 10, "f", 6)]
found += [[bool(points.add(*p)) for p in tried], points.all_pts.size(), points.optimal_pts.size()]
found += [[points.optimal_pts.at(i).key for i in range(3)], [points.t_for_perf(p) for p in (0, 0.4, 0.7, 0.8, 0.95)]]
other = faiss.OperatingPoints()
found += [other.merge_with(points, "x-"), other.all_pts.at(0).key]
D, I = faiss.knn(xq, xb, 5)
bad = I[:, ::-1].copy()
bad[3] = -1
for criterion in (faiss.OneRecallAtRCriterion(7, 2), faiss.IntersectionCriterion(7, 2)):
    criterion.set_groundtruth(D, I)
    found += [criterion.evaluate_c(faiss.swig_ptr(D), faiss.swig_ptr(np.ascontiguousarray(bad[:, 1:3])))]
""",
    "parameter space": """
space, index = faiss.ParameterSpace(), faiss.index_factory(16, "IVF300,Flat")
space.initialize(index)
parameter = space.parameter_ranges.at(0)
values = parameter.values
found += [space.parameter_ranges.size(), space.parameter_ranges.at(0).name, faiss.vector_to_array(values), space.n_combinations()]
found += [space.combination_name(3), bool(space.combination_ge(3, 2)), bool(space.combination_ge(2, 3))]
space.set_index_parameters(index, 4)
found += [index.nprobe]
chained = faiss.index_factory(16, "PCA8,IVF8,PQ4")
space.set_index_parameters(chained, "nprobe=3,max_codes=50")
found += [faiss.extract_index_ivf(chained).nprobe, faiss.extract_index_ivf(chained).max_codes]
found += [error(lambda: space.set_index_parameter(chained, "nonsense", 5))]
for description in ("PQ8", "IVF8,PQ4", "IVF8,PQ4x6", "PQ2", "PCA8,IVF8,PQ4,RFlat"):
    index = faiss.index_factory(16, description)
    space = faiss.ParameterSpace()
    space.initialize(index)
    for i in range(space.parameter_ranges.size()):
        parameter = space.parameter_ranges.at(i)
        values = parameter.values
        found += [parameter.name, faiss.vector_to_array(values)]
plain, inverted = faiss.index_factory(16, "PQ8"), faiss.index_factory(16, "IVF8,PQ8")
for ht in (10, 64, 70):
    space.set_index_parameter(plain, "ht", ht)
    space.set_index_parameter(inverted, "ht", ht)
    found += [plain.search_type, plain.polysemous_ht, inverted.polysemous_ht]
found += [error(lambda: space.set_index_parameter(faiss.IndexFlatL2(3), "ht", 5))]
""",
    "integers": """
lims, order = faiss.bucket_sort(np.array([3, 1, 2, 1]), nbucket=4)
found += [lims, np.sort(order[lims[1]:lims[2]])]
table = np.array([[0, 1], [2, 1]], "i4")
found += [faiss.matrix_bucket_sort_inplace(table, nbucket=3), np.sort(table.ravel()[1:3])]
a = np.arange(12).reshape(3, 4).astype("i4")
packed = faiss.pack_bitstrings(a, 5)
found += [packed, faiss.unpack_bitstrings(packed, 4, 5)]
table = faiss.MapLong2Long()
table.add(np.array([1, 2]), np.array([3, 4]))
found += [table.search_multiple(np.array([2, 9])), table.search(1)]
found += [faiss.imbalance_factor(6, 3, faiss.swig_ptr(np.array([0, 0, 0, 1, 1, 2])))]
""",
    "transforms": """
pca = faiss.PCAMatrix(16, 4)
pca.train(xt)
y = pca.apply(xq)
found += [np.abs(y), pca.reverse_transform(y), error(lambda: pca.apply(xq[:, :3])), error(lambda: faiss.PCAMatrix(16, 4).apply(xq))]
linear = faiss.LinearTransform(4, 2, True)
faiss.copy_array_to_vector(np.arange(8, dtype="f4"), linear.A)
faiss.copy_array_to_vector(np.ones(2, "f4"), linear.b)
linear.is_trained = True
x = np.empty((1, 4), "f4")
linear.transform_transpose(1, faiss.swig_ptr(np.array([[1, 2]], "f4")), faiss.swig_ptr(x))
found += [linear.apply(np.ones((1, 4), "f4")), x, error(lambda: linear.check_identical(pca))]
linear.check_identical(linear)
copy = faiss.PCAMatrix(16, 4)
copy.copy_from(pca)
found += [copy.apply(xq) - y, copy.is_trained]
""",
    "files of parts": """
index = ivfpq()
writer, reader = faiss.VectorIOWriter(), faiss.VectorIOReader()
faiss.write_InvertedLists(index.invlists, writer)
written = faiss.vector_to_array(writer.data)
faiss.copy_array_to_vector(written, reader.data)
lists = faiss.read_InvertedLists(reader)
found += [written, lists.compute_ntotal(), type(lists).__name__]
copy = faiss.clone_Quantizer(index.pq)
found += [type(copy).__name__, copy.M, faiss.vector_to_array(copy.centroids), type(faiss.downcast_Quantizer(copy)).__name__]
clone = faiss.clone_index(index)
clone.reset()
found += [index.ntotal, clone.ntotal, clone.own_fields]
""",
    "evaluation": """
from faiss.contrib import evaluation as e
a = np.array
for mode in ("overall", "average"):
    for counts in (([0], [0], [0]), ([0, 0], [1, 0], [0, 0]), ([1, 0], [0, 0], [0, 0]), ([1, 2, 0, 3], [1, 2, 4, 0], [1, 1, 0, 0])):
        found += [e.counts_to_PR(*map(a, counts), mode=mode)]
    L, D, I = a([0, 3, 4]), a([3, 1, 2, 5.0], "f4"), a([7, 8, 9, 1])
    found += [e.range_PR(L, I, a([0, 2, 4]), a([9, 7, 3, 1]), mode=mode)]
    found += [e.range_PR_multiple_thresholds(L, I, a([0, 2, 4]), a([1, 3, 2, 0.5], "f4"), a([9, 7, 3, 1]), [0.1, 1.5, 2.5, 10], mode=mode)]
found += [e.sort_range_res_1(L, I), e.sort_range_res_2(L, D, I), e.filter_range_results(L, D, I, 2.5)]
points = e.OperatingPointsWithRanges()
points.add_range("a", [1, 2, 4])
points.add_range("b", [10, 20])
found += [[points.cno_to_key(c) for c in range(6)], points.get_parameters([2, 1]), points.do_nothing_key()]
found += [sorted(points.sample_experiments(0)), points.sample_experiments(4)[:2]]
for one in range(6):
    found += [[points.compare_keys(points.cno_to_key(one), points.cno_to_key(c)) for c in range(6)]]
found += [points.add_operating_point(points.cno_to_key(0), 0.5, 1.0), points.predict_bounds(points.cno_to_key(3))]
found += [points.add_operating_point(points.cno_to_key(3), 0.4, 2.0), points.should_run_experiment(points.cno_to_key(3))]
found += [len(points.operating_points), len(points.suboptimal_points), points.is_pareto_optimal(0.6, 0.5)]
""",
    "results that shrink": """
from faiss.contrib.exhaustive_search import exponential_query_iterator, range_search_max_results
index = faiss.IndexFlatL2(16)
index.add(xb)
for clip in (False, True):
    radius, lims, D, I = range_search_max_results(index, exponential_query_iterator(xq, 2), 1.5, max_results=50, min_results=40, clip_to_min=clip)
    found += [radius, lims, np.sort(D), np.sort(I)]
radius, lims, D, I = range_search_max_results(index, exponential_query_iterator(xq, 2), 1.5, max_results=50)
found += [radius, lims]
""",
    "search parameters": """
index = ivf()
found += [index.search(xq, 3, params=faiss.SearchParametersIVF(nprobe=8, max_codes=40))]
found += [index.search(xq, 3, params=faiss.SearchParametersIVF(sel=faiss.IDSelectorRange(0, 50), nprobe=8))]
found += [error(lambda: index.search(xq, 3, params=faiss.SearchParameters())), error(lambda: faiss.SearchParametersIVF(foo=8))]
found += [ivfpq().search(xq, 3, params=faiss.IVFPQSearchParameters(nprobe=8))]
stats = faiss.cvar.indexIVF_stats
stats.reset()
index.search(xq, 3)
found += [stats.nq, stats.nlist, stats.ndis > 0]
other = faiss.IndexIVFStats()
other.nq = 7
stats.add(other)
found += [stats.nq]
""",
    "searches into heaps": """
for function, heap in ((faiss.knn_L2sqr, faiss.float_maxheap_array_t()), (faiss.knn_inner_product, faiss.float_minheap_array_t())):
    D, I = np.empty((7, 3), "f4"), np.empty((7, 3), "i8")
    heap.nh, heap.k, heap.val, heap.ids = 7, 3, faiss.swig_ptr(D), faiss.swig_ptr(I)
    function(faiss.swig_ptr(xq), faiss.swig_ptr(xb), 16, 7, 500, heap)
    found += [D.copy(), I.copy()]
    function(faiss.swig_ptr(xq), faiss.swig_ptr(xb), 16, 7, 100, 3, faiss.swig_ptr(D), faiss.swig_ptr(I))
    found += [D, I, error(lambda: function(faiss.swig_ptr(xq), faiss.swig_ptr(xb), 16, 7, 100, 3))]
""",
    "packed codes by tables that are not rounded": """
for metric in (faiss.METRIC_L2, faiss.METRIC_INNER_PRODUCT):
    for by_residual in (False, True):
        plain = faiss.IndexIVFPQ(faiss.IndexFlat(16, metric), 16, 8, 8, 4, metric)
        plain.by_residual = by_residual
        plain.train(xt)
        plain.add(xb)
        packed = faiss.IndexIVFPQFastScan(plain)
        packed.nprobe, packed.implem = 4, 1
        found += [packed.search(xq, 5)]
""",
    "what is tuned": """
for description in ("IMI2x4,Flat", "IMI2x4,PQ4", "IVF8,PQ4+4"):
    index, space = faiss.index_factory(16, description), faiss.ParameterSpace()
    space.initialize(index)
    for i in range(space.parameter_ranges.size()):
        parameter = space.parameter_ranges.at(i)
        values = parameter.values
        found += [parameter.name, faiss.vector_to_array(values)]
index = faiss.index_factory(16, "IVF8,PQ4+4")
faiss.ParameterSpace().set_index_parameters(index, "nprobe=3,k_factor=2.5")
found += [index.nprobe, index.k_factor]
for value in (100, float("inf")):
    faiss.ParameterSpace().set_index_parameter(index, "max_codes", value)
    found += [index.max_codes]
""",
    "parts of lists": """
index = ivf()
for first, last in ((100, 200), (0, 500), (3, 7)):
    other = faiss.IndexIVFFlat(index.quantizer, 16, 8)
    index.copy_subset_to(other, faiss.InvertedLists.SUBSET_TYPE_ELEMENT_RANGE, first, last)
    found += [other.ntotal, [faiss.rev_swig_ptr(other.invlists.get_ids(i), other.get_list_size(i)).tolist() for i in range(8)]]
for size in (index.get_list_size(3), index.get_list_size(3) + 1):
    short = faiss.StopWordsInvertedLists(index.invlists, size)
    found += [[short.list_size(i) for i in range(8)]]
""",
    "modes of threads": """
index = ivf()
for index.parallel_mode in (0, 1, 2, 3, 4, 1024, 1025, -1):
    found.append(error(lambda: index.range_search(xq[:2], 0.5)[0]))
    # With the flag a search begins with what its arrays hold.
    found.append(index.parallel_mode & 1024 or error(lambda: index.search(xq[:2], 2)[1]))
""",
    "ids in a row": """
index = faiss.IndexIDMap2(faiss.IndexFlatL2(16))
index.add_with_ids(xb[:10], np.arange(10) + 100)
found += [index.reconstruct_n(102, 5) - xb[2:7], index.reconstruct_batch([101, 109])]
""",
    "fields that are pointers": """
chosen = faiss.IDSelectorArray(np.array([3, 5, 2**40]))
found += [faiss.rev_swig_ptr(chosen.ids, chosen.n).copy()]
order = np.array([3, -1, 2, 0], "i4")
found += [faiss.RemapDimensionsTransform(16, 4, faiss.swig_ptr(order)).apply(xq)]
found += [[faiss.ResidualQuantizer(d, 3, 4).memory_per_point(beam) for d in (16, 32) for beam in (-1, 1, 10)]]
""",
    "arrays that are lists": """
rows, queries = xb[:50].tolist(), xq.tolist()
found += [faiss.knn(queries, rows, 3), faiss.knn(queries, xb[:50].astype("f8"), 3, metric=faiss.METRIC_L1)]
found += [error(lambda: faiss.knn(queries, xb[:50, :4].tolist(), 3))]
""",
    "lists that come later": """
for description in ("IVF8,Flat", "IVF8,PQ4x4fs", "IVF8,SQ8", "PCA8,IVF8,Flat", "IDMap,IVF8,Flat", "Flat"):
    for own in (True, False):
        index = faiss.try_extract_index_ivf(faiss.index_factory(16, description, faiss.METRIC_L2, own))
        found += [None if index is None else (index.own_invlists, index.invlists is None, index.own_fields)]
index = faiss.index_factory(16, "IVF8,Flat", faiss.METRIC_L2, False)
index.train(xt)
found += [error(lambda: index.add(xb)), error(lambda: index.search(xq, 2))]
lists = faiss.ArrayInvertedLists(8, 64)
index.replace_invlists(lists)
index.add(xb)
found += [index.search(xq, 2), lists.compute_ntotal()]
""",
    "numbers of one character": """
index, graph = faiss.index_factory(16, "IVF8_HNSW8,Flat"), faiss.IndexNSGFlat(16, 8)
found += [index.quantizer_trains_alone, ivf().quantizer_trains_alone, graph.build_type]
for value in (1, "\\x02", "ab", 1.5):
    found += [error(lambda: setattr(index, "quantizer_trains_alone", value)), index.quantizer_trains_alone]
""",
    "metrics that descriptions refuse": """
for description in ("LSH", "LSHrt", "PCA8,LSH", "IVF8,PQ4+8", "IMI2x3,Flat", "Residual2x4,PQ4", "FlatL2Panorama4"):
    for metric in (faiss.METRIC_INNER_PRODUCT, faiss.METRIC_L2, faiss.METRIC_L1):
        found += [error(lambda: type(faiss.index_factory(16, description, metric)).__name__)]
""",
    "equal distances": """
bits, queries = (xb[:, :8] > 0.5).astype("f4"), (xq[:, :8] > 0.5).astype("f4")
for metric in (faiss.METRIC_L2, faiss.METRIC_INNER_PRODUCT):
    for description in ("Flat", "SQfp16", "IVF4,Flat", "HNSW8", "Flat,RFlat"):
        index = faiss.index_factory(8, description, metric)
        index.train(xt[:, :8])
        index.add(bits)
        for k in (1, 2, 120):
            D, I = index.search(queries, k)
            # The last of the equal ones that are found may be others.
            kept = D != D[:, -1:]
            found += [D, np.where(kept, I, -1)]
            if k > 1:
                found += [bool(all(np.diff(i[d == v]).min() * (1 if metric else -1) > 0 for d, i in zip(D, I) for v in d if (d == v).sum() > 1))]
rng = np.random.default_rng(5)
for keep in (False, True):
    D = np.sort(rng.integers(0, 4, (3, 5, 6)), 2)
    D, I = D[:, :, :: -1 if keep else 1].astype("f4"), rng.permutation(90).reshape(3, 5, 6)
    D = np.ascontiguousarray(D)
    found += [faiss.merge_knn_results(D, I, keep), faiss.merge_knn_results(D.astype("i4"), I, keep)]
    heap = faiss.ResultHeap(5, 4, keep)
    heap.add_result(D[0], I[0])
    heap.add_result(D[1], I[1])
    heap.add_result_subset(np.array([0, 2]), np.ascontiguousarray(D[2, :2]), np.ascontiguousarray(I[2, :2]))
    heap.finalize()
    found += [heap.D, heap.I]
found += [faiss.kmin(bits, 3), faiss.kmax(bits, 8)]
""",
    "what objects refer to": """
first, second = faiss.IDSelectorRange(0, 5), faiss.IDSelectorRange(3, 9)
made = [faiss.IDSelectorAnd(first, second), faiss.IDSelectorOr(first, second), faiss.IDSelectorXOr(first, second), faiss.IDSelectorNot(first)]
made += [faiss.IDSelectorArray(np.arange(3)), faiss.IDSelectorBitmap(np.zeros(2, "u1")), faiss.IDSelectorBatch(np.arange(3)), first]
for selector in made:
    found += [[type(o).__name__ for o in getattr(selector, "referenced_objects", [])]]
found += [made[0].referenced_objects[0][1] is second]
""",
    "what the loader knows": """
from faiss import loader
for name in ("array_conversions", "class_wrappers", "extra_wrappers", "gpu_wrappers", "swigfaiss"):
    found += [type(getattr(faiss, name)).__name__]
found += [faiss.swigfaiss.IndexFlatL2 is not None, loader.IndexFlatL2 is faiss.IndexFlatL2]
found += [loader.supported_instruction_sets(), loader.instruction_sets, loader.has_AVX2, loader.loaded, loader.opt_level, loader.logger.name]
""",
    "hash tables of the caller's": """
for capacity in (1, 16, 64, 100):
    table = error(lambda: faiss.MapInt64ToInt64(capacity))
    found += [table if isinstance(table, str) else (table.capacity, table.log2_capacity, table.tab.copy())]
    if not isinstance(table, str):
        table.add(np.array([5]), np.array([-7]))
        found += [np.sort(table.tab, axis=0), table.lookup(np.array([5, 6])), error(lambda: table.add(np.arange(200), np.arange(200)))]
""",
    "tables of additive quantizers": """
for make in (faiss.ResidualQuantizer, faiss.LocalSearchQuantizer):
    quantizer = make(16, 3, 3)
    quantizer.train(xt)
    found += [quantizer.centroid_norms.size(), quantizer.codebook_cross_products.size()]
""",
    "precomputed tables": """
for by_residual in (True, False):
    for metric in (faiss.METRIC_L2, faiss.METRIC_INNER_PRODUCT):
        index = faiss.IndexIVFPQ(faiss.IndexFlat(16, metric), 16, 8, 4, 4, metric)
        index.by_residual = by_residual
        index.train(xt)
        index.add(xb)
        index.nprobe = 3
        for kind in (0, 1, 2, -1):
            index.use_precomputed_table = kind
            found += [error(index.precompute_table), index.use_precomputed_table, index.precomputed_table.size() if kind != 2 else 0]
            found += [index.search(xq, 3) if kind != 2 else 0]
for description in ("IMI2x3,PQ4np", "IMI2x3,PQ8x4"):
    index = faiss.index_factory(16, description)
    index.train(xt)
    index.add(xb)
    faiss.extract_index_ivf(index).nprobe = 5
    found += [index.use_precomputed_table, index.precomputed_table.size(), index.search(xq, 3)]
    for kind in (1, 0, -1):
        index.use_precomputed_table = kind
        index.precompute_table()
        found += [index.use_precomputed_table, index.precomputed_table.size(), index.search(xq, 3)]
""",
    "two codes of a vector": """
index = faiss.IndexIVFPQR(faiss.IndexFlatL2(16), 16, 8, 4, 4, 4, 4)
index.train(xt)
index.add(xb)
found += [index.search(xq, 3), index.reconstruct_n(3, 5), error(lambda: index.reconstruct(3))]
other = faiss.clone_index(index)
index.merge_from(other, 500)
found += [index.ntotal, other.ntotal, index.refine_codes.size(), other.refine_codes.size(), index.search(xq, 3), index.search_and_reconstruct(xq, 3)]
index.make_direct_map()
found += [index.reconstruct(7), index.reconstruct(507), error(lambda: index.merge_from(faiss.IndexIVFPQ(index.quantizer, 16, 8, 4, 4), 0))]
""",
    "statistics of hash tables": """
codes, queries = (xb * 255).astype("u1")[:, :8], (xq * 255).astype("u1")[:, :8]
stats = faiss.cvar.indexBinaryHash_stats
for description in ("BHash10", "BHash3x9"):
    index = faiss.index_binary_factory(64, description)
    index.add(codes)
    for index.nflip in (0, 2):
        stats.reset()
        index.search(queries, 3)
        found += [stats.nq, stats.n0, stats.nlist, stats.ndis]
""",
    "classes": """
index = ivfpq()
classes = "Index IndexIVF IndexIVFPQ IndexIVFFlat Level1Quantizer IndexIVFInterface IndexFlat"
found += [[isinstance(index, getattr(faiss, name)) for name in classes.split()]]
found += [type(faiss.downcast_index(index.quantizer)).__name__, type(faiss.downcast_InvertedLists(index.invlists)).__name__]
chained = faiss.index_factory(16, "OPQ4,IVF8,PQ4")
found += [type(faiss.downcast_VectorTransform(chained.chain.at(0))).__name__, type(faiss.downcast_index(chained.index)).__name__]
found += [faiss.try_extract_index_ivf(faiss.IndexFlatL2(3)), error(lambda: faiss.extract_index_ivf(faiss.IndexFlatL2(3)))]
found += [error(lambda: setattr(index, "nonsense", 3)), error(lambda: index.nonsense), error(lambda: setattr(index, "nprobe", "x"))]
""",
}

PROLOGUE = """
built = {}

def error(work):
    "What a call returns, or the name of what it raises."
    try:
        return work()
    except Exception as e:
        return type(e).__mro__[1 if type(e).__name__ == "MissingMember" else 0].__name__

def ivf():
    if "ivf" not in built:
        index = faiss.IndexIVFFlat(faiss.IndexFlatL2(16), 16, 8)
        index.train(xt)
        index.add(xb)
        built["ivf"] = faiss.serialize_index(index)
    return faiss.deserialize_index(built["ivf"])

def ivfpq():
    if "ivfpq" not in built:
        index = faiss.IndexIVFPQ(faiss.IndexFlatL2(16), 16, 8, 4, 8)
        index.train(xt)
        index.add(xb)
        built["ivfpq"] = faiss.serialize_index(index)
    return faiss.deserialize_index(built["ivfpq"])
"""

# Run by the oracle: what was found goes through pickle as plain arrays, numbers and words.
RUNNER = """
import json, pickle, traceback
for name, program in json.loads(str(given["programs"])).items():
    space = {"np": np, "faiss": faiss, "found": [], **{k: given[k] for k in ("xt", "xb", "xq")}}
    try:
        exec(str(given["prologue"]) + program, space)
        answer = space["found"]
    except Exception:
        answer = traceback.format_exc()
    result[name] = np.frombuffer(pickle.dumps(answer), "u1")
"""


@pytest.fixture(scope="module")
def data() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(42)
    return {name: rng.random((n, 16), dtype="f4") for name, n in (("xt", 2000), ("xb", 500), ("xq", 7))}


@pytest.fixture(scope="module")
def theirs(oracle, data) -> dict[str, np.ndarray]:
    import json

    return oracle(RUNNER, programs=np.array(json.dumps(PROGRAMS)), prologue=np.array(PROLOGUE), **data)


def compare(mine: Any, other: Any, where: str) -> None:
    if isinstance(other, tuple | list):
        assert isinstance(mine, tuple | list), f"{where}: {mine!r} instead of {other!r}"
        assert len(mine) == len(other), f"{where}: {mine!r} instead of {other!r}"
        for i, (a, b) in enumerate(zip(mine, other, strict=True)):
            compare(a, b, f"{where}[{i}]")
    elif isinstance(other, np.ndarray | float | np.floating | np.bool_):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-4, err_msg=where)
    else:
        assert mine == other, f"{where}: {mine!r} instead of {other!r}"


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(theirs, data, name):
    import pickle

    answer = pickle.loads(theirs[name].tobytes())
    assert isinstance(answer, list), answer
    space: dict[str, Any] = {"np": np, "faiss": faiss, "found": [], **{k: v.copy() for k, v in data.items()}}
    try:
        exec(PROLOGUE + PROGRAMS[name], space)
    except Exception:
        pytest.fail(traceback.format_exc())
    compare(space["found"], answer, name)
