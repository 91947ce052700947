"""The small classes and functions of Faiss's module, compared with faiss-cpu program by program, as in test_families.py.

A program has `np`, `faiss`, `sp` (faiss.swig_ptr), data `xt`, `xb`, `xq` of 16 dimensions, binary data `bb`, `bq` of 32 bits, and puts what it finds into `found`.
"""

import pickle
import traceback
from typing import Any

import faiss
import numpy as np
import pytest
from test_same_as_faiss import PROLOGUE, compare

PROGRAMS = {
    "scanners": """
for factory in ("IVF8,Flat", "IVF8,SQ8", "IVF8,PQ4x4", "IVF8,FlatDedup"):
    for metric in (faiss.METRIC_L2, faiss.METRIC_INNER_PRODUCT):
        index = faiss.index_factory(16, factory, metric)
        index.train(xt)
        index.add(xb)
        similar = metric == faiss.METRIC_INNER_PRODUCT
        D, I = index.quantizer.search(xq[:1], 8)
        for sel in (None, faiss.IDSelectorRange(50, 300)):
            scanner = index.get_InvertedListScanner(False, sel, None)
            found += [scanner.keep_max, scanner.code_size, scanner.store_pairs, scanner.list_no]
            scanner.set_query(sp(xq[0]))
            worst = np.finfo("float32").max * (-1 if similar else 1)
            distances, labels = np.full(6, worst, "float32"), np.full(6, -1)
            for list_no, coarse in zip(I[0].tolist(), D[0].tolist()):
                scanner.set_list(list_no, coarse)
                n = index.invlists.list_size(list_no)
                codes, ids = index.invlists.get_codes(list_no), index.invlists.get_ids(list_no)
                updates = scanner.scan_codes(n, codes, ids, sp(distances), sp(labels), 6)
                if factory == "IVF8,Flat":
                    found += [distances.copy(), labels.copy(), updates, scanner.list_no]
                found += [scanner.distance_to_code(index.invlists.get_single_code(list_no, 0))]
            found += [np.sort(distances)]
        pairs = index.get_InvertedListScanner(True, None, None)
        pairs.set_query(sp(xq[0]))
        pairs.set_list(3, 0.5)
        distances, labels = np.full(2, worst, "float32"), np.full(2, -1)
        pairs.scan_codes(index.invlists.list_size(3), index.invlists.get_codes(3), index.invlists.get_ids(3), sp(distances), sp(labels), 2)
        found += [np.sort(labels) if factory == "IVF8,Flat" else 0]
""",
    "scanners within a radius": """
index = ivf()
scanner = faiss.downcast_index(index).get_InvertedListScanner(False, None, None)
scanner.set_query(sp(xq[0]))
scanner.set_list(2, 0.)
result = faiss.RangeSearchResult(1)
part = faiss.RangeSearchPartialResult(result)
query = part.new_result(0)
n = index.invlists.list_size(2)
scanner.scan_codes_range(n, index.invlists.get_codes(2), index.invlists.get_ids(2), 1.5, query)
found += [query.nres, query.qno]
part.finalize()
lims = faiss.rev_swig_ptr(result.lims, 2)
found += [lims.tolist(), faiss.rev_swig_ptr(result.labels, int(lims[1])).copy(), faiss.rev_swig_ptr(result.distances, int(lims[1])).copy()]
iterator = index.invlists.get_iterator(2)
scanner = index.get_InvertedListScanner(False, None, None)
scanner.set_query(sp(xq[0]))
scanner.set_list(2, 0.)
seen, distances, labels = np.zeros(1, "uint64"), np.full(3, 1e30, "float32"), np.full(3, -1)
found += [iterator.is_available(), scanner.iterate_codes(iterator, sp(distances), sp(labels), 3, sp(seen)), distances, labels, iterator.is_available()]
""",
    "scanners of bits": """
index = faiss.IndexBinaryIVF(faiss.IndexBinaryFlat(32), 32, 4)
index.train(bb)
index.add(bb)
scanner = index.get_InvertedListScanner()
scanner.set_query(sp(bq[0]))
distances, labels = np.full(4, 1000, "int32"), np.full(4, -1)
for list_no in range(4):
    scanner.set_list(list_no, 3)
    n = index.invlists.list_size(list_no)
    scanner.scan_codes(n, index.invlists.get_codes(list_no), index.invlists.get_ids(list_no), sp(distances), sp(labels), 4)
found += [np.sort(distances), scanner.distance_to_code(sp(bb[5]))]
""",
    "tables": """
table = faiss.AlignedTableUint16(10)
found += [table.size(), table.numel, table.nbytes(), table.itemsize(), faiss.AlignedTableFloat32.round_capacity(100)]
table = faiss.array_to_AlignedTable(np.arange(5, dtype="uint16"))
table.resize(7)
found += [table.size(), faiss.AlignedTable_to_array(table)[:5], faiss.AlignedTable_to_array(faiss.array_to_AlignedTable(np.arange(3, dtype="uint8")))]
faiss.copy_array_to_AlignedTable(np.arange(3, dtype="uint16"), table)
found += [faiss.AlignedTable_to_array(table), int(table.get()) % 32 if hasattr(table.get(), "__int__") else 0]
for wrong in (np.arange(3), np.zeros((2, 3), "uint8"), np.zeros(3, "float32")):
    found.append(error(lambda: faiss.array_to_AlignedTable(wrong)))
found += [error(lambda: faiss.copy_array_to_AlignedTable(np.arange(3), table)), error(lambda: faiss.AlignedTable_to_array(3))]
""",
    "vectors of vectors": """
inner, outer = faiss.Float32Vector(), faiss.Float32VectorVector()
inner.push_back(1.)
outer.push_back(inner)
inner.push_back(2.)
outer.resize(3)
found += [outer.size(), outer.at(0).size(), outer.at(2).size(), error(lambda: outer.at(3)), error(lambda: outer.push_back(3)), error(lambda: outer.resize(-1))]
outer.clear()
found += [outer.size()]
transforms = faiss.VectorTransformVector()
pca = faiss.PCAMatrix(4, 2)
transforms.push_back(pca)
found += [transforms.size(), transforms.at(0).d_out]
repeat, repeats = faiss.Repeat(), faiss.RepeatVector()
repeat.val, repeat.n = 2.5, 3
repeats.push_back(repeat)
repeat.n = 9
found += [repeats.at(0).val, repeats.at(0).n, repeats.size()]
lists = faiss.OnDiskOneListVector()
lists.resize(2)
found += [lists.size(), faiss.OnDiskOneList().capacity]
mapped = faiss.MaybeOwnedVectorFloat32(inner)
found += [mapped.size(), faiss.rev_swig_ptr(mapped.data(), 2).copy(), mapped.byte_size(), mapped.is_owned, mapped.c_size]
mapped.resize(5)
found += [mapped.size(), faiss.MaybeOwnedVectorUInt8().size(), faiss.MaybeOwnedVectorInt32().is_owned]
for name in ("ParameterRangeVector", "OperatingPointVector", "ClusteringIterationStatsVector"):
    vector = getattr(faiss, name)()
    vector.resize(2)
    found += [vector.size(), error(lambda: vector.at(2)), error(lambda: vector.push_back(3))]
""",
    "results of range searches": """
buffers = faiss.BufferList(3)
for i in range(7):
    buffers.add(i, i / 2)
ids, distances = np.zeros(4, "int64"), np.zeros(4, "float32")
buffers.copy_range(2, 4, sp(ids), sp(distances))
found += [buffers.wp, buffers.buffer_size, ids, distances]
result = faiss.RangeSearchResult(3)
part = faiss.RangeSearchPartialResult(result)
for q, labels in ((2, [7, 8]), (0, [3])):
    query = part.new_result(q)
    for label in labels:
        query.add(label / 2, label)
part.finalize()
found += [faiss.rev_swig_ptr(result.lims, 4).tolist(), faiss.rev_swig_ptr(result.distances, 3).tolist()]
I, D = np.array([[1, 2], [3, 4], [5, -1]]), np.array([[.1, .5], [.2, 1.5], [.9, 3e38]], "float32")
lims, more, others = np.array([0, 3]), np.array([.3, .4, .6], "float32"), np.array([10, 11, 12])
for mask in (None, np.array([False, True, False])):
    combiner = faiss.CombinerRangeKNNfloat(3, 2, 1.0, False)
    combiner.I, combiner.D = sp(I), sp(D)
    if mask is not None:
        combiner.mask, combiner.lim_remain, combiner.D_remain, combiner.I_remain = sp(mask), sp(lims), sp(more), sp(others)
    sizes = np.zeros(4, "int64")
    combiner.compute_sizes(sp(sizes))
    joined = np.zeros(sizes[-1], "float32"), np.zeros(sizes[-1], "int64")
    combiner.write_result(*map(sp, joined))
    found += [sizes, *joined]
""",
    "hash tables": """
table = np.zeros(32, "int64")
faiss.hashtable_int64_to_int64_init(4, sp(table))
found += [table.copy()]
faiss.hashtable_int64_to_int64_add(4, sp(table), 3, sp(np.array([5, -3, 100])), sp(np.array([1, 2, 3])))
faiss.hashtable_int64_to_int64_add(4, sp(table), 1, sp(np.array([5])), sp(np.array([9])))
values = np.zeros(4, "int64")
faiss.hashtable_int64_to_int64_lookup(4, sp(table), 4, sp(np.array([5, 100, 7, -3])), sp(values))
found += [values, error(lambda: faiss.hashtable_int64_to_int64_add(4, sp(table), 20, sp(np.arange(20)), sp(np.arange(20))))]
codes = faiss.CodeSet(4)
found += [codes.insert(bb[:50]), codes.insert(bb[40:60]), error(lambda: codes.insert(bb[:, :3])), codes.d]
vector, hashed = faiss.VisitedTableVector(10), faiss.VisitedTableSet()
for table in (vector, hashed):
    found += [table.set(3), table.set(3), table.get(3), table.get(4)]
    table.advance()
    found += [table.get(3), table.set(3)]
""",
    "kernels": """
out = np.zeros(4, "float32")
for function in (faiss.fvec_L2sqr_batch_4, faiss.fvec_inner_product_batch_4):
    function(sp(xq[0]), *(sp(xb[i]) for i in range(4)), 16, *(sp(out[i:]) for i in range(4)))
    found += [out.copy()]
D, I = np.zeros((7, 3), "float32"), np.zeros((7, 3), "int64")
for metric, arg in ((faiss.METRIC_L1, 0.), (faiss.METRIC_Linf, 0.), (faiss.METRIC_Lp, 3.), (faiss.METRIC_Canberra, 0.), (faiss.METRIC_Jaccard, 0.)):
    faiss.knn_extra_metrics(sp(xq), sp(xb), 16, 7, 500, metric, arg, 3, sp(D), sp(I))
    found += [D.copy(), I.copy()]
    every = np.zeros((7, 500), "float32")
    faiss.pairwise_extra_distances(16, 7, sp(xq), 500, sp(xb), metric, arg, sp(every))
    found += [every]
faiss.knn_extra_metrics(sp(xq), sp(xb), 16, 7, 500, faiss.METRIC_L1, 0., 3, sp(D), sp(I), faiss.IDSelectorRange(20, 30))
found += [D, I]
n = np.array([500], "uint64")
few = faiss.fvecs_maybe_subsample(16, sp(n), 10, sp(xb))
found += [n.tolist(), faiss.rev_swig_ptr(few, 160).copy()]
matrix = xb[:3].copy()
faiss.matrix_qr(16, 3, sp(matrix))
found += [matrix]
columns, norms, distances = np.ascontiguousarray(xb.T), (xb ** 2).sum(1), np.zeros(500, "float32")
faiss.fvec_L2sqr_ny_transposed(sp(distances), sp(xq[0]), sp(columns), sp(norms), 16, 500, 500)
found += [distances.copy(), faiss.fvec_L2sqr_ny_nearest_y_transposed(sp(distances), sp(xq[0]), sp(columns), sp(norms), 16, 500, 500)]
tables = np.zeros((7, 8, 24), "float32")
for product in (False, True):
    faiss.compute_PQ_dis_tables_dsub2(16, 24, sp(xb), 7, sp(xq), product, sp(tables))
    found += [tables.copy()]
shuffled = np.zeros((5, 1), "uint8")
faiss.bitvec_shuffle(5, 32, 5, sp(np.array([3, 1, 15, 0, 8], "int32")), sp(bb[:5].copy()), sp(shuffled))
found += [shuffled]
""",
    "results of shards": """
D, I = np.sort(xb[:24, :3].reshape(2, 4, 9), axis=2), np.arange(72).reshape(2, 4, 9)
for function, order in ((faiss.merge_knn_results_CMin, 1), (faiss.merge_knn_results_CMax, -1)):
    distances, labels = np.zeros((4, 9), "float32"), np.zeros((4, 9), "int64")
    function(4, 9, 2, sp(np.ascontiguousarray(D[:, :, ::order])), sp(I), sp(distances), sp(labels))
    found += [distances, labels]
whole = (D * 1000).astype("int32")
found += [faiss.merge_knn_results(whole, I)[0], error(lambda: faiss.merge_knn_results(D.astype("float64"), I)), error(lambda: faiss.merge_knn_results(D, I.astype("int32")))]
""",
    "selectors of places": """
mapped = faiss.IndexIDMap(faiss.IndexFlatL2(16))
mapped.add_with_ids(xb, np.arange(500) * 3 + 100)
wanted = faiss.IDSelectorRange(130, 400)
places = faiss.IDSelectorTranslated(mapped, wanted)
found += [[places.is_member(i) for i in range(0, 500, 7)], places.id_map.size()]
found += [mapped.index.search(xq, 4, params=faiss.SearchParameters(sel=places))]
ids = faiss.Int64Vector()
faiss.copy_array_to_vector(np.array([5, 9, 100]), ids)
found += [[faiss.IDSelectorTranslated(ids, faiss.IDSelectorArray([9])).is_member(i) for i in range(3)]]
""",
    "direct maps": """
index = ivf()
index.make_direct_map()
direct_map = index.direct_map
found += [direct_map.array.size(), direct_map.type]
codes = np.ascontiguousarray(xq[:2]).view("uint8")
direct_map.update_codes(index.invlists, 2, sp(np.array([3, 4])), sp(np.array([1, 2])), sp(codes))
found += [index.reconstruct(3), index.reconstruct(4), index.invlists.compute_ntotal()]
single = faiss.DirectMap()
index.set_direct_map_type(faiss.DirectMap.Hashtable)
direct_map = index.direct_map
found += [direct_map.remove_ids(faiss.IDSelectorArray([7, 9, 10]), index.invlists), index.invlists.compute_ntotal(), error(lambda: direct_map.get(7))]
direct_map.add_single_id(7000, 1, 3)
found += [direct_map.get(7000)]
""",
    "shards of centroids": """
import os, tempfile
with tempfile.TemporaryDirectory() as folder:
    where = os.path.join(folder, "part.%d.index")
    index = ivf()
    for function, ids in ((None, False), (faiss.DefaultShardingFunction(), True)):
        faiss.shard_ivf_index_centroids(index, 3, where, function, ids)
        for i in range(3):
            part = faiss.read_index(where % i)
            quantizer = faiss.downcast_index(part.quantizer)
            found += [part.ntotal, part.nlist, quantizer.ntotal, type(quantizer).__name__]
            found += [faiss.vector_to_array(quantizer.id_map) if ids else quantizer.reconstruct_n(0, quantizer.ntotal)]
    found += [error(lambda: faiss.shard_ivf_index_centroids(index, 3, "nothing")), len(os.listdir(folder)), faiss.DefaultShardingFunction()(7, 3)]
    binary = faiss.IndexBinaryIVF(faiss.IndexBinaryFlat(32), 32, 7)
    binary.train(bb)
    faiss.shard_binary_ivf_index_centroids(binary, 3, where)
    found += [faiss.read_index_binary(where % i).quantizer.ntotal for i in range(3)]
""",
    "a window of slices": """
empty = faiss.IndexIVFFlat(faiss.IndexFlatL2(16), 16, 8)
empty.train(xt)
def part(i):
    made = faiss.clone_index(empty)
    made.add_with_ids(xb[i * 50 : i * 50 + 50], np.arange(i * 50, i * 50 + 50))
    return made
parts = [part(i) for i in range(4)]
empty.nprobe = 8
window = faiss.SlidingIndexWindow(empty)
found += [window.n_slice, window.nlist]
for i in range(4):
    window.step(parts[i], i >= 2)
    found += [window.n_slice, empty.ntotal, empty.search(xq, 5)]
window.step(None, True)
window.step(None, True)
found += [window.n_slice, empty.ntotal, error(lambda: window.step(None, True))]
""",
    "computers of distances": """
index = faiss.IndexFlatL2(16)
index.add(xb)
computer = index.get_FlatCodesDistanceComputer()
computer.set_query(sp(xq[0]))
found += [computer(3), computer.code_size, computer.distance_to_code(sp(xb[3].view("uint8"))), computer.symmetric_dis(1, 2), computer.partial_dot_product(3, 2, 4)]
found += [isinstance(computer, faiss.DistanceComputer)]
""",
    "ends of work": """
faiss.TimeoutCallback.reset(1e-3)
index = faiss.IndexFlatL2(16)
index.add(np.tile(xt, (50, 1)))
found += [error(lambda: index.search(np.tile(xt, (5, 1)), 100)), faiss.InterruptCallback.is_interrupted(), faiss.InterruptCallback.check()]
faiss.InterruptCallback.clear_instance()
faiss.PythonInterruptCallback.reset()
callback = faiss.TimeoutCallback()
callback.set_timeout(50)
found += [callback.timeout, callback.want_interrupt(), index.search(xq, 3)[1].shape]
""",
    "globals": """
names = str(faiss.cvar).strip("()").split(", ")
found += [repr(faiss.cvar), error(lambda: faiss.cvar.nothing), error(lambda: setattr(faiss.cvar, "nothing", 3))]
for name in ("hamming_batch_size", "rowwise_minmax_sa_decode_bs", "index2layer_sa_encode_bs", "index_ivfpq_add_core_o_bs", "precomputed_table_max_bytes",
        "multi_index_quantizer_search_bs", "product_quantizer_compute_codes_bs", "bucket_sort_verbose", "index_factory_verbose",
        "distance_compute_min_k_reservoir", "distance_compute_blas_threshold", "visited_table_hashset_threshold"):
    value = getattr(faiss.cvar, name)
    setattr(faiss.cvar, name, value + 1)
    found += [name, name in names, value, getattr(faiss.cvar, name), error(lambda: setattr(faiss.cvar, name, "x"))]
    setattr(faiss.cvar, name, value)
for name in ("IO_FLAG_MMAP", "SINGLE_SIMD_LEVEL", "check_compatible_for_merge_expensive_check", "index_read_warn_on_null_invlists"):
    found += [getattr(faiss.cvar, name), name in names]
found += [error(lambda: setattr(faiss.cvar, "IO_FLAG_MMAP", 3)), faiss.rev_swig_ptr(faiss.cvar.hamdis_tab_ham_bytes, 256).copy(), faiss.cvar.partition_stats.bisect_cycles]
faiss.cvar.precomputed_table_max_bytes = 100
index = faiss.IndexIVFPQ(faiss.IndexFlatL2(16), 16, 8, 4, 4)
index.train(xt)
found += [index.use_precomputed_table]
faiss.cvar.precomputed_table_max_bytes = 1 << 31
""",
    "heaps": """
for kind, dtype in ((faiss.float_maxheap_array_t, "float32"), (faiss.float_minheap_array_t, "float32"), (faiss.int_maxheap_array_t, "int32")):
    heap = kind()
    values, ids = np.zeros((2, 3), dtype), np.zeros((2, 3), "int64")
    heap.nh, heap.k, heap.val, heap.ids = 2, 3, sp(values), sp(ids)
    heap.heapify()
    heap.addn(5, sp(np.array([[5, 1, 4, 2, 3], [9, 8, 7, 6, 5]], dtype)))
    top, which = np.zeros(2, dtype), np.zeros(2, "int64")
    heap.per_line_extrema(sp(top), sp(which))
    found += [values[:, 0].copy(), ids[:, 0].copy(), top, which]
    heap.reorder()
    found += [values.copy(), ids.copy()]
""",
    "steps of a beam search": """
cent, left = xb[:32].copy(), xt[:24].copy()
codes = np.arange(24, dtype="int32").reshape(8, 3, 1)
made, residuals, distances = np.zeros((8, 5, 2), "int32"), np.zeros((8, 5, 16), "float32"), np.zeros((8, 5), "float32")
faiss.beam_search_encode_step(16, 32, sp(cent), 8, 3, sp(left), 1, sp(codes), 5, sp(made), sp(residuals), sp(distances))
order = np.argsort(distances, axis=1)
found += [np.take_along_axis(distances, order, 1), np.take_along_axis(made, order[:, :, None], 1), np.take_along_axis(residuals, order[:, :, None], 1)]
norms, products, cross = (cent ** 2).sum(1), xq @ cent.T, np.ascontiguousarray(xb[100:120] @ cent.T)
so_far = np.ascontiguousarray(xt[:7, :3])
before = np.arange(21, dtype="int32").reshape(7, 3, 1) % 10
made, distances = np.zeros((7, 5, 2), "int32"), np.zeros((7, 5), "float32")
faiss.beam_search_encode_step_tab(32, 7, 3, sp(cross), 32, sp(np.array([4], "uint64")), sp(products), 32, sp(norms), 1, sp(before), sp(so_far), 5, sp(made), sp(distances))
order = np.argsort(distances, axis=1)
found += [np.take_along_axis(distances, order, 1), np.take_along_axis(made, order[:, :, None], 1)]
quantizer = faiss.ResidualQuantizer(16, 3, 4)
books = faiss.Float32Vector()
quantizer.train_type = faiss.ResidualQuantizer.Train_default
quantizer.train(xt)
faiss.copy_array_to_vector(np.ascontiguousarray(xb[:48].ravel() / 3), quantizer.codebooks)
quantizer.compute_codebook_tables()
books = xb[:48] / 3
products = np.ascontiguousarray(xq @ books.T)
made, distances = np.zeros((7, 4, 3), "int32"), np.zeros((7, 4), "float32")
quantizer.refine_beam_LUT(7, sp((xq ** 2).sum(1)), sp(products), 4, sp(made), sp(distances))
order = np.argsort(distances, axis=1)
found += [np.take_along_axis(distances, order, 1), np.take_along_axis(made, order[:, :, None], 1)]
norms, D, I = np.zeros(1 << 12, "float32"), np.zeros((7, 3), "float32"), np.zeros((7, 3), "int64")
quantizer.compute_centroid_norms(sp(norms))
quantizer.knn_centroids_L2(7, sp(xq), 3, sp(D), sp(I), sp(norms))
found += [np.sort(D, axis=1), np.sort(I, axis=1)]
quantizer.knn_centroids_inner_product(7, sp(xq), 3, sp(D), sp(I))
found += [np.sort(D, axis=1), np.sort(I, axis=1)]
values, ids = np.full(6, 3e38, "float32"), np.full(6, -1, "int32")
faiss.approx_topk_by_mode(faiss.EXACT_TOPK, 2, 8, sp(xb[0].copy()), 6, sp(values), sp(ids))
found += [np.sort(values), np.sort(ids)]
""",
    "ranks within a radius": """
for factory, metric, radius in (("SQ4,RFlat", 1, 3.0), ("SQ4,RFlat", 0, 3.5), ("SQ4,Refine(SQ8)", 1, 3.0), ("IVF8,SQ8,RFlat", 1, 3.0)):
    index = faiss.index_factory(16, factory, metric)
    index.train(xt)
    index.add(xb)
    lims, D, I = index.range_search(xq, radius)
    found += [lims.tolist(), [np.sort(D[a:b]) for a, b in zip(lims, lims[1:])], [np.sort(I[a:b]) for a, b in zip(lims, lims[1:])]]
    found += [error(lambda: index.range_search(xq, radius, params=faiss.SearchParameters()))]
    found += [index.range_search(xq[:0], radius)[0].tolist()]
""",
    "a multi-index of indexes": """
parts = faiss.IndexFlatL2(8), faiss.IndexFlatL2(8)
index = faiss.MultiIndexQuantizer2(16, 3, *parts)
index.train(xt)
found += [index.ntotal, [part.ntotal for part in parts], isinstance(index, faiss.MultiIndexQuantizer), index.own_fields]
simple = faiss.MultiIndexQuantizer(16, 2, 3)
simple.train(xt)
for k in (1, 5, 64):
    found += [index.search(xq, k)[0], simple.search(xq, k)[0]]
found += [index.reconstruct(9), error(lambda: index.add(xb))]
""",
    "lists with parameters": """
index = faiss.index_factory(16, "PCA8,IVF8,Flat")
index.train(xt)
index.add(xb)
params = faiss.SearchParametersIVF(nprobe=3)
D, I, count, times = np.zeros((7, 5), "float32"), np.zeros((7, 5), "int64"), np.zeros(1, "uint64"), np.zeros(3)
faiss.search_with_parameters_c(index, 7, sp(xq), 5, sp(D), sp(I), params, sp(count), sp(times))
found += [D, I, count.tolist(), bool((times >= 0).all())]
result = faiss.RangeSearchResult(7)
faiss.range_search_with_parameters_c(index, 7, sp(xq), 0.5, result, params, sp(count), sp(times))
found += [faiss.rev_swig_ptr(result.lims, 8).tolist()]
""",
    "packers and numbers of lists": """
index = ivf()
packer = index.get_CodePacker()
flat, block = np.arange(64, dtype="uint8"), np.zeros(64, "uint8")
packer.pack_1_c(sp(flat), 0, sp(block))
packer.unpack_1_c(sp(block), 0, sp(flat))
found += [packer.nvec, packer.block_size, block.copy(), isinstance(faiss.IndexFlatL2(4).get_CodePacker(), faiss.CodePacker)]
packer.pack_all(sp(flat), sp(block))
found += [block]
level = faiss.Level1Quantizer(faiss.IndexFlatL2(16), 300)
code = np.zeros(2, "uint8")
level.encode_listno(259, sp(code))
found += [level.coarse_code_size(), code, level.decode_listno(sp(code))]
table = faiss.MapLong2Long()
table.add_c(2, sp(np.array([3, 4])), sp(np.array([30, 40])))
values = np.zeros(2, "int64")
table.search_multiple_c(2, sp(np.array([4, 5])), sp(values))
found += [values, isinstance(index, faiss.IndexIVFInterface), isinstance(index, faiss.Level1Quantizer), error(faiss.IndexIVFInterface), error(faiss.InvertedListsIOHook)]
scaled = faiss.IndexRowwiseMinMax(faiss.IndexScalarQuantizer(16, faiss.ScalarQuantizer.QT_8bit))
rows = xt.copy()
scaled.train_inplace(rows)
found += [scaled.sa_encode(xb[:5])]
""",
}

# A pointer of faiss-cpu's does not keep its array.
MORE = """
arrays = []

def sp(array):
    arrays.append(array)
    return faiss.swig_ptr(array)
"""

RUNNER = """
import json, pickle, traceback
space = {"np": np, "faiss": faiss, "found": [], **{k: given[k] for k in ("xt", "xb", "xq", "bb", "bq")}}
try:
    exec(str(given["program"]), space)
    answer = space["found"]
except Exception:
    answer = traceback.format_exc()
result["answer"] = np.frombuffer(pickle.dumps(answer), "u1")
"""


@pytest.fixture(scope="module")
def data() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    floats = {name: rng.random((n, 16), dtype="f4") for name, n in (("xt", 2000), ("xb", 500), ("xq", 7))}
    return {**floats, **{name: rng.integers(0, 256, (n, 4), "u1") for name, n in (("bb", 300), ("bq", 5))}}


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(oracle: Any, data: dict[str, np.ndarray], name: str) -> None:
    program = PROLOGUE + MORE + PROGRAMS[name]
    answer = pickle.loads(oracle(RUNNER, program=np.array(program), **data)["answer"].tobytes())
    assert isinstance(answer, list), answer
    space: dict[str, Any] = {"np": np, "faiss": faiss, "found": [], **{k: v.copy() for k, v in data.items()}}
    try:
        exec(program, space)
    except Exception:
        pytest.fail(traceback.format_exc())
    compare(space["found"], answer, name)


def test_a_function_shards(data: dict[str, np.ndarray], tmp_path: Any) -> None:
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(16), 16, 8)
    index.train(data["xt"])
    where = tmp_path / "part.%d.index"
    faiss.shard_ivf_index_centroids(index, 4, where, faiss.PyCallbackShardingFunction(lambda i, n: i // n))
    sizes = [faiss.read_index(str(where) % i).quantizer.ntotal for i in range(4)]
    assert sizes == [4, 4, 0, 0]
    with pytest.raises(ZeroDivisionError):
        faiss.shard_ivf_index_centroids(index, 4, where, faiss.PyCallbackShardingFunction(lambda i, n: i // 0))
    with pytest.raises(RuntimeError, match="gave 7"):
        faiss.shard_ivf_index_centroids(index, 4, where, faiss.PyCallbackShardingFunction(lambda i, n: 7))


@pytest.mark.parametrize("kind", ["CMax_float", "CMin_float", "CMax_uint16", "CMin_uint16"])
@pytest.mark.parametrize(("n", "q_min", "q_max"), [(100, 10, 10), (100, 10, 20), (1, 0, 0), (64, 64, 64), (7, 3, 5)])
def test_partition(rng: Any, kind: str, n: int, q_min: int, q_max: int) -> None:
    """The numbers before are no worse than the threshold, those after no better; with their ids, and as many as was asked for."""
    dtype = "float32" if kind.endswith("float") else "uint16"
    given = rng.integers(0, 30, n).astype(dtype)
    values, ids, q = given.copy(), np.arange(n), np.zeros(1, "uint64")
    sp = faiss.swig_ptr
    threshold = getattr(faiss, f"{kind}_partition_fuzzy")(sp(values), sp(ids), n, q_min, q_max, sp(q))
    count = int(q[0])
    assert q_min <= count <= q_max
    np.testing.assert_array_equal(np.sort(ids), np.arange(n))
    np.testing.assert_array_equal(given[ids[:count]], values[:count])
    best, others = values[:count].astype("f8"), given[ids[count:]].astype("f8")
    sign = 1 if kind.startswith("CMax") else -1
    assert (sign * best <= sign * threshold).all()
    assert (sign * others >= sign * threshold).all() or count in (0, n)
    if 0 < count < n:
        assert (sign * best).max() <= (sign * others).min()
