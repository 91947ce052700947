"""Types that are compared with faiss-cpu program by program, as in test_same_as_faiss.py: one program a family.

A program has `np`, `faiss`, data `xt`, `xb`, `xq` of 16 dimensions, binary data `bb`, `bq` of 32 bits, and puts what it finds into `found`. What is
found by distances that repeat is compared by distances (`near`), as ids of equal distances may come in another order.
"""

import pickle
import traceback
from typing import Any

import faiss
import numpy as np
import pytest
from test_same_as_faiss import PROLOGUE, compare

PROGRAMS = {
    "spectral hash": """
quantizer = faiss.IndexFlatL2(16)
quantizer.add(xt[:6])
for kind in range(4):
    index = faiss.IndexIVFSpectralHash(quantizer, 16, 6, 12, 0.3)
    index.threshold_type = kind
    found += [index.code_size, index.vt.d_out, index.is_trained, index.by_residual, index.own_fields, index.period]
    index.train(xt)
    index.add(xb)
    index.nprobe = 3
    lists = index.invlists
    for i in range(6):
        found.append(faiss.rev_swig_ptr(lists.get_codes(i), 2 * lists.list_size(i)).copy())
    found += [near(index.search(xq, 5)), near(index.search(xb[:20] + 0.01, 1)), index.sa_code_size()]
    if kind < 3:
        found += [faiss.vector_to_array(index.trained), len(faiss.serialize_index(index))]
    again = faiss.deserialize_index(faiss.serialize_index(index))
    found += [type(again).__name__, near(again.search(xq, 5)), again.threshold_type]
    found += [error(lambda: index.reconstruct(3))]
rotation = faiss.RandomRotationMatrix(16, 12)
rotation.init(5)
index.replace_vt(rotation)
found += [faiss.vector_to_array(faiss.downcast_VectorTransform(index.vt).A)[:5]]
for text in ("IVF4,ITQ8,SH2", "IVF4,PCAR8,SH1.5c", "IVF4,PCA8,SHm", "IVF4,ITQ,SH1e3g", "IVF4,ITQ8,SH"):
    index = faiss.index_factory(16, text)
    found += [type(index).__name__, index.nbit, index.period, index.threshold_type, type(faiss.downcast_VectorTransform(index.vt)).__name__]
for text in ("IVF4,ITQ8,SH2x", "IVF4,ITQ8,SH2h", "IVF4,SH", "IVF4,RR8,SH2", "IVF4,ITQ8,SH+2"):
    found.append(error(lambda: faiss.index_factory(16, text)))
""",
    "split vectors": """
index, low, high = faiss.IndexSplitVectors(16), faiss.IndexFlatL2(6), faiss.IndexFlatL2(10)
index.add_sub_index(low)
found += [index.sum_d, error(lambda: index.search(xq, 1))]
index.add_sub_index(high)
low.add(np.ascontiguousarray(xb[:20, :6]))
high.add(np.ascontiguousarray(xb[:20, 6:]))
index.sync_with_sub_indexes()
found += [index.sum_d, index.ntotal, index.search(xb[:20], 1), index.search(xq, 1), index.is_trained]
found += [error(lambda: index.search(xq, 2)), error(lambda: index.add(xb))]
""",
    "shards of inverted files": """
quantizer = faiss.IndexFlatL2(16)
for successive in (True, False):
    index = faiss.IndexShardsIVF(quantizer, 8, False, successive)
    parts = [faiss.IndexIVFFlat(quantizer, 16, 8) for _ in range(3)]
    for part in parts:
        part.nprobe = 3
        index.add_shard(part)
    if successive:
        index.train(xt)
    index.add(xb)
    found += [index.ntotal, [part.ntotal for part in parts], index.is_trained, index.nlist, index.search(xq, 5)]
    found += [error(lambda: index.add_shard(faiss.IndexFlatL2(16)))]
index.add_with_ids(xb[:30], np.arange(5000, 5030))
found += [index.ntotal, index.search(xb[:3] + 0.01, 2)]
""",
    "independent quantizer": """
rotation = faiss.RandomRotationMatrix(16, 8)
inner = faiss.IndexIVFPQ(faiss.IndexFlatL2(8), 8, 6, 4, 4)
index = faiss.IndexIVFIndependentQuantizer(faiss.IndexFlatL2(16), inner, rotation)
found += [index.is_trained, index.d]
index.train(xt)
index.add(xb)
inner.nprobe = 3
found += [index.is_trained, index.ntotal, inner.ntotal, index.search(xq, 4)]
again = faiss.deserialize_index(faiss.serialize_index(index))
found += [len(faiss.serialize_index(index)), again.search(xq, 4), type(again).__name__]
small = faiss.IndexIVFFlat(faiss.IndexFlatL2(8), 8, 6)
found += [error(lambda: faiss.IndexIVFIndependentQuantizer(faiss.IndexFlatL2(16), small))]
found += [error(lambda: index.search(xq, 2, params=faiss.SearchParametersIVF()))]
plain = faiss.IndexIVFIndependentQuantizer(faiss.IndexFlatL2(16), faiss.IndexIVFFlat(faiss.IndexFlatL2(16), 16, 6))
plain.train(xt)
plain.add(xb)
found += [plain.search(xq, 4)]
""",
    "binary shards": """
for successive in (True, False):
    index = faiss.IndexBinaryShards(32, False, successive)
    plain = [faiss.IndexBinaryFlat(32) for _ in range(3)]
    parts = plain if successive else [faiss.IndexBinaryIDMap(part) for part in plain]
    for part in parts:
        index.add_shard(part)
    index.add(bb)
    found += [index.ntotal, index.count(), index.at(1).ntotal, near(index.search(bq, 5)), near(index.search(bq, 300))]
    index.reset()
    found += [index.ntotal, parts[0].ntotal]
replicas = faiss.IndexBinaryReplicas(32)
parts = [faiss.IndexBinaryFlat(32) for _ in range(2)]
for part in parts:
    replicas.add_replica(part)
replicas.add(bb)
found += [replicas.ntotal, parts[1].ntotal, near(replicas.search(bq, 5)), replicas.reconstruct(3)]
found += [error(lambda: replicas.add_replica(faiss.IndexBinaryFlat(16)))]
""",
    "LSH": """
for bits, rotate, thresholds in ((16, False, False), (11, False, True), (24, True, False), (40, True, True)):
    index = faiss.IndexLSH(16, bits, rotate, thresholds)
    found += [index.is_trained, index.code_size, index.nbits, index.rrot.is_trained]
    index.train(xt)
    index.add(xb)
    found += [faiss.vector_to_array(index.thresholds), faiss.vector_to_array(index.codes), near(index.search(xq, 5))]
    if bits > 11:
        found += [index.reconstruct(3), index.sa_decode(index.sa_encode(xq))]
        found += [index.range_search(xq, 30.0)]
    found += [len(faiss.serialize_index(index)), near(reread(index).search(xq, 5))]
    found += [near(index.search(xq, 250)), index.remove_ids(np.arange(10)), index.ntotal]
found += [error(lambda: faiss.IndexLSH(16, 17, False)), error(lambda: index.search(xq, 2, params=faiss.SearchParameters()))]
transform = faiss.LinearTransform(16, 40, False)
index.transfer_thresholds(transform)
found += [faiss.vector_to_array(transform.b), index.train_thresholds]
for text in ("LSH", "LSHr", "LSHt", "LSHrt", "LSH12", "PCA8,LSH"):
    index = faiss.index_factory(16, text)
    index.train(xt)
    index.add(xb)
    found += [near(index.search(xq, 5))]
found += [error(lambda: faiss.index_factory(16, "LSHtr"))]
""",
    "Hadamard rotation": """
for d, seed in ((16, 12345), (5, 7), (1, 3), (32, 12345)):
    rotation = faiss.HadamardRotation(d, seed)
    x = np.ascontiguousarray(np.resize(xb, (20, d)))
    found += [rotation.d_out, rotation.is_trained, rotation.apply(x), faiss.vector_to_array(rotation.signs3)]
    if d > 5:
        found += [rotation.reverse_transform(rotation.apply(x))]
index = faiss.index_factory(16, "HR,Flat")
index.add(xb)
found += [index.search(xq, 3), faiss.serialize_index(index)]
""",
    "ITQ": """
# The rotation itself is another: Faiss multiplies by the transpose of the right singular vectors, which the paper does not.
for d_out, pca in ((16, False), (6, True)):
    transform = faiss.ITQTransform(16, d_out, pca)
    found += [transform.is_trained, transform.do_pca, transform.max_train_per_dim, transform.itq.max_iter, transform.itq.seed]
    transform.train(xt)
    y = transform.apply(xq)
    A = faiss.vector_to_array(transform.itq.A).reshape(d_out, d_out)
    found += [faiss.vector_to_array(transform.mean), np.linalg.norm(y, axis=1), A @ A.T]
    again = faiss.IndexPreTransform(transform, faiss.IndexFlatL2(d_out))
    found += [len(faiss.serialize_index(again)), reread(again).d]
found += [error(lambda: faiss.ITQTransform(16, 8, False)), error(lambda: faiss.ITQTransform(16, 8, True).apply(xq))]
""",
    "packed product-quantized codes": """
for d, M, bbs, metric in ((16, 8, 32, 1), (16, 16, 64, 1), (15, 5, 32, 1), (16, 4, 96, 0), (2, 1, 32, 1)):
    crop = lambda x: np.ascontiguousarray(x[:, :d])
    index = faiss.IndexPQFastScan(d, M, 4, metric, bbs)
    found += [index.is_trained, index.M2, index.code_size, index.bbs, index.implem]
    index.train(crop(xt))
    index.add(crop(xb))
    found += [index.ntotal, index.ntotal2, index.codes.size(), near(index.search(crop(xq), 20)), near(index.search(crop(xq), 1))]
    found += [near(index.search(crop(xq), 210)), index.sa_encode(crop(xq))]
    found += [faiss.serialize_index(index), near(reread(index).search(crop(xq), 5))]
    found += [error(lambda: index.search(crop(xq), 2, params=faiss.SearchParameters()))]
    for implem in (12, 13, 14, 15) if bbs == 32 else (14, 15):
        index.implem = implem
        found += [near(index.search(crop(xq), 10))]
    index.implem = 0
    # With blocks of more than 32, Faiss unpacks other vectors than those that are meant.
    if bbs == 32:
        found += [index.reconstruct(7), index.reconstruct_n(30, 40)]
        found += [index.remove_ids(np.arange(3, 20)), index.ntotal, index.ntotal2, near(index.search(crop(xq), 10))]
        other = reread(index)
        index.merge_from(other)
        found += [index.ntotal, other.ntotal, index.reconstruct_n(0, 183)]
plain = faiss.IndexPQ(16, 8, 4)
plain.train(xt)
plain.add(xb)
index = faiss.IndexPQFastScan(plain)
for implem in (0, 2, 3, 4, 12):
    index.implem = implem
    found += [near(index.search(xq, 10))]
index.implem = 5
found += [error(lambda: index.search(xq, 3)), error(lambda: faiss.IndexPQFastScan(16, 8, 8)), error(lambda: faiss.IndexPQFastScan(16, 8, 4, 1, 33))]
for text in ("PQ8x4fs", "PQ8x4fs_64", "PQ8x4fs,RFlat", "OPQ8,PQ8x4fs", "IDMap,PQ8x4fs"):
    index = faiss.index_factory(16, text)
    index.train(xt)
    (index.add_with_ids(xb, np.arange(200) + 7) if "IDMap" in text else index.add(xb))
    found += [near(index.search(xq, 5)) if "OPQ" not in text else index.ntotal]
found += [error(lambda: faiss.index_factory(16, "PQ8x4fsr")), error(lambda: faiss.index_factory(16, "PQ8fs"))]
""",
    "lists of packed codes": """
for residual, metric, bbs in ((True, 1, 32), (False, 1, 64), (True, 0, 32), (False, 0, 32)):
    index = faiss.IndexIVFPQFastScan(faiss.IndexFlat(16, metric), 16, 8, 8, 4, metric, bbs)
    found += [index.by_residual, index.M2, index.code_size, index.bbs, index.is_trained]
    index.by_residual = residual
    index.train(xt)
    index.add(xb)
    index.nprobe = 3
    found += [index.use_precomputed_table, index.ntotal, near(index.search(xq, 10)), near(index.search(xq, 1))]
    found += [len(faiss.serialize_index(index)), near(reread(index).search(xq, 5)), index.sa_code_size(), index.sa_encode(xq)]
    if bbs != 32:
        continue
    for implem in (10, 11, 12, 13, 14, 15):
        index.implem = implem
        found += [near(index.search(xq, 10))]
    index.implem = 0
    radius = 0.9 if metric else 0.5
    lims, D, I = index.range_search(xq, radius)
    found += [lims, [sorted(I[lims[q]:lims[q + 1]]) for q in range(len(xq))], np.sort(D)]
    some = faiss.SearchParametersIVF(sel=faiss.IDSelectorRange(30, 90), nprobe=8)
    found += [near(index.search(xq, 10, params=some)), near(index.search(xq, 10, params=faiss.SearchParametersIVF(nprobe=1)))]
    D, I = index.quantizer.search(xq, 3)
    found += [near(index.search_preassigned(xq, 5, I, D))]
    index.make_direct_map()
    found += [index.reconstruct(7)]
    index.make_direct_map(False)
    found += [index.reconstruct_n(5, 60), index.remove_ids(np.arange(20)), index.ntotal, near(index.search(xq, 10))]
    other = reread(index)
    index.merge_from(other, 1000)
    found += [index.ntotal, other.ntotal, near(index.search(xq, 10))]
plain = faiss.IndexIVFPQ(faiss.IndexFlatL2(16), 16, 8, 8, 4)
plain.train(xt)
plain.add(xb)
plain.nprobe = 4
index = faiss.IndexIVFPQFastScan(plain)
found += [index.nprobe, index.by_residual, index.ntotal, near(index.search(xq, 10))]
found += [error(lambda: faiss.IndexIVFPQFastScan(faiss.IndexFlatL2(16), 16, 8, 8, 8))]
for text in ("IVF8,PQ8x4fs", "IVF8,PQ8x4fsr", "IVF8,PQ8x4fsr_64", "IVF8,PQ8x4fs,RFlat", "PCA8,IVF8,PQ4x4fs"):
    index = faiss.index_factory(16, text)
    index.train(xt)
    index.add(xb)
    found += [near(index.search(xq, 5))]
""",
    "code packers": """
packer = faiss.CodePackerFlat(6)
found += [packer.nvec, packer.code_size, packer.block_size]
blocks = np.zeros((4, 6), "u1")
packer.pack_1(np.arange(1, 7, dtype="u1"), 0, blocks)
found += [blocks, packer.unpack_1(blocks, 0)]
index = faiss.IndexPQFastScan(16, 8, 4)
packer = index.get_CodePacker()
found += [packer.nvec, packer.code_size, packer.block_size]
blocks = np.zeros((3, packer.block_size), "u1")
for i in (0, 1, 8, 15, 16, 40, 95):
    packer.pack_1(np.array([i, 2, 3, 200], "u1"), i, blocks)
found += [blocks, packer.unpack_1(blocks, 40), packer.unpack_1(blocks, 7)]
lists = faiss.BlockInvertedLists(5, 32, 128)
found += [lists.nlist, lists.n_per_block, lists.block_size, lists.list_size(2)]
index = faiss.index_factory(16, "IVF8,PQ8x4fs")
index.train(xt)
index.add(xb)
lists = faiss.downcast_InvertedLists(index.invlists)
found += [type(lists).__name__, lists.n_per_block, lists.block_size, [lists.list_size(i) for i in range(8)]]
plain = faiss.ArrayInvertedLists(3, 4)
capped = faiss.CappedInvertedLists(plain, 2)
plain.add_entries(1, 5, faiss.swig_ptr(np.arange(5)), faiss.swig_ptr(np.arange(20, dtype="u1")))
found += [capped.list_size(1), capped.real_list_size(1), capped.compute_ntotal(), capped.get_single_id(1, 1)]
""",
    "residual quantizer": """
# Without growing dimensions, whose k-means is chaotic: a difference of 1e-7 grows.
rq = faiss.ResidualQuantizer(16, 3, 4)
found += [rq.d, rq.M, rq.code_size, rq.tot_bits, rq.max_beam_size, rq.train_type, rq.is_trained]
rq.train(xt[:600])
codes = rq.compute_codes(xb)
found += [v2a(rq.codebooks), codes, rq.decode(codes), rq.norm_min, rq.norm_max]
for kind in range(10):
    for metric in (faiss.METRIC_L2, faiss.METRIC_INNER_PRODUCT):
        index = faiss.IndexResidualQuantizer(16, 2, 4, metric, kind)
        index.rq.train_type = 0
        index.train(xt[:600])
        index.add(xb)
        D, I = index.search(xq, 10)
        found += [index.code_size, index.rq.norm_bits, index.ntotal]
        # Sums of values of norms are those of another k-means where there are two of them.
        found += [np.abs(D - 0.0) if kind < 8 else D.shape]
index = faiss.IndexResidualQuantizer(16, 2, 6)
index.rq.train_type = 0
index.rq.max_beam_size = 20
index.train(xt)
index.add(xb)
found += [v2a(index.codes), near(index.search(xq, 10)), index.reconstruct(7), index.range_search(xq, 0.3)[0]]
found += [len(faiss.serialize_index(index)), near(reread(index).search(xq, 5))]
for text in ("RQ2x4", "RQ2x4_Nfloat", "RQ2x4_Nqint8", "IVF8,RQ2x4", "IVF8,RQ2x4_Nfloat", "IVF16(RCQ2x2),Flat", "IVF16(RCQ2x2),RQ2x4_Nfloat"):
    for metric in (faiss.METRIC_L2, faiss.METRIC_INNER_PRODUCT):
        index = faiss.index_factory(16, text, metric)
        for part in (index, getattr(index, "quantizer", None)):
            if hasattr(part, "rq"):
                part.rq.train_type = 0
        index.train(xt[:600])
        index.add(xb)
        if "IVF" in text:
            index.nprobe = 4
        D = index.search(xq, 5)[0]
        # Two trainings one after the other are too chaotic to be compared by their results; test_additive.py compares from one state.
        found += [text, D.shape if "IVF" in text else D, np.abs(reread(index).search(xq, 5)[0] - D).max() < 1e-5]
coarse = faiss.ResidualCoarseQuantizer(16, 2, 4)
found += [coarse.is_trained, coarse.ntotal, coarse.beam_factor]
coarse.rq.train_type = 0
coarse.train(xt)
found += [coarse.is_trained, coarse.ntotal, near(coarse.search(xq, 8)), coarse.reconstruct(37), coarse.reconstruct_n(0, 256)]
found += [near(coarse.search(xq, 8, params=faiss.SearchParametersResidualCoarseQuantizer(beam_factor=2)))]
coarse.set_beam_factor(-1)
found += [near(coarse.search(xq, 8)), error(lambda: coarse.add(xb))]
""",
    "functions on pointers": """
ptr = faiss.swig_ptr
out, ids = np.zeros((3, 4), "f4"), np.array([[1, 5, -1, 7], [0, 0, 3, 2], [9, 8, 7, 6]])
faiss.fvec_inner_products_by_idx(ptr(out), ptr(xq), ptr(xb), ptr(ids), 16, 3, 4)
found += [out.copy()]
faiss.fvec_L2sqr_by_idx(ptr(out), ptr(xq), ptr(xb), ptr(ids), 16, 3, 4)
found += [out.copy()]
dis = np.zeros(5, "f4")
faiss.pairwise_indexed_L2sqr(16, 5, ptr(xq), ptr(np.arange(5)), ptr(xb), ptr(np.arange(5) * 3), ptr(dis))
found += [dis.copy()]
buffer, code = np.zeros(50, "f4"), np.zeros((7, 2), "u1")
found += [faiss.fvec_L2sqr_ny_nearest(ptr(buffer), ptr(xq), ptr(xb), 16, 50), buffer]
found += [faiss.fvec_madd_and_argmin(16, ptr(xq), 2.0, ptr(xb), ptr(buffer)), buffer[:16]]
faiss.fvecs2bitvecs(ptr(xq), ptr(code), 16, 7)
back = np.zeros((7, 16), "f4")
faiss.bitvecs2fvecs(ptr(code), ptr(back), 16, 7)
found += [code, back, faiss.popcount64(12345), faiss.lo_build(3, 7), faiss.lo_listno(3 << 32 | 7), faiss.lo_offset(3 << 32 | 7)]
hist = np.zeros(32, "i4")
faiss.bincode_hist(200, 32, ptr(bb), ptr(hist))
found += [hist]
writer = faiss.BitstringWriter(ptr(code), 14)
for value, bits in ((5, 3), (1000, 10), (1, 1), (2**40 + 3, 41)):
    writer.write(value, bits)
reader = faiss.BitstringReader(ptr(code), 14)
found += [code.copy(), [reader.read(bits) for bits in (3, 10, 1, 41)]]
LUT, bias = np.ascontiguousarray(xb[:15].reshape(3, 5, 16)), np.array([3, 1, 2], "f4")
for three, biased in ((False, False), (False, True), (True, True)):
    LUTq, biasq, a, b = np.zeros((3 if three else 1, 6, 16), "u1"), np.zeros(3, "u2"), np.zeros(1, "f4"), np.zeros(1, "f4")
    faiss.quantize_LUT_and_bias(3, 5, 16, three, ptr(LUT), ptr(bias) if biased else None, ptr(LUTq), 6, ptr(biasq) if biased else None, ptr(a), ptr(b))
    found += [LUTq, biasq, a, b]
I, D = np.array([3, 1, 2, 9, 5]), np.array([1, 1, 1, 2, 3], "f4")
faiss.ranklist_handle_ties(5, ptr(I), ptr(D))
found += [I]
centroids = np.zeros(6, "f4")
numbers = np.ascontiguousarray(xb[:, 0])
found += [faiss.kmeans1d(ptr(numbers), 200, 6, ptr(centroids)), np.sort(centroids)]
counts, data = np.zeros(16, "i4"), (np.arange(300) * 7 % 400).astype("u2")
faiss.simd_histogram_8(ptr(data), 300, 20, 5, ptr(counts))
found += [counts.copy()]
""",
    "RaBitQ": """
for metric in (faiss.METRIC_L2, faiss.METRIC_INNER_PRODUCT):
    index = faiss.IndexRaBitQ(16, metric)
    found += [index.is_trained, index.code_size, index.qb]
    index.train(xt)
    index.add(xb)
    found += [v2a(index.center), v2a(index.codes).reshape(200, -1)[:, :2], index.sa_decode(index.sa_encode(xq)), index.reconstruct(7)]
    for qb in (0, 2, 4, 8):
        params = faiss.RaBitQSearchParameters(qb=qb)
        found += [index.search(xq, 10, params=params)[0], index.range_search(xq, 0.5, params=params)[0]]
    found += [len(faiss.serialize_index(index)), reread(index).search(xq, 5)[0], index.search(xq, 5)[0]]
    lists = faiss.IndexIVFRaBitQ(faiss.IndexFlat(16, metric), 16, 6, metric)
    lists.train(xt)
    lists.add(xb)
    lists.nprobe = 3
    found += [lists.by_residual, lists.code_size, lists.search(xq, 10)[0]]
    found += [lists.search(xq, 10, params=faiss.IVFRaBitQSearchParameters(nprobe=6, qb=0))[0]]
    lists.make_direct_map()
    found += [lists.reconstruct(7), reread(lists).search(xq, 5)[0], len(faiss.serialize_index(lists))]
for text in ("RaBitQ", "IVF6,RaBitQ", "RR16,RaBitQ"):
    index = faiss.index_factory(16, text)
    index.train(xt)
    index.add(xb)
    found += [index.search(xq, 5)[0] if "RR" not in text else index.ntotal]
""",
    "RaBitQ of several bits": """
ptr = faiss.swig_ptr
for metric in (faiss.METRIC_L2, faiss.METRIC_INNER_PRODUCT):
    for bits in (2, 3, 5, 9):
        index = faiss.IndexRaBitQ(16, metric, bits)
        index.train(xt)
        index.add(xb)
        found += [index.code_size, index.rabitq.nb_bits, index.rabitq.compute_code_size(16, 4)]
        found += [v2a(index.codes).reshape(200, -1)[:, :2], index.sa_decode(index.sa_encode(xq)), index.reconstruct(7)]
        for qb, centered in ((0, False), (4, False), (8, False), (4, True), (1, True)):
            params = faiss.RaBitQSearchParameters(qb=qb, centered=centered)
            # Of nine bits, some numbers differ by one where a scale is as good as another but for rounding.
            found += [index.search(xq, 10, params=params)[0] / (100 if bits == 9 else 1)]
        computer = index.get_quantized_distance_computer(4, True)
        computer.set_query(ptr(xq))
        found += [np.array([computer(i) for i in range(5)]) / 100, len(faiss.serialize_index(index))]
        if metric == faiss.METRIC_L2:
            found += [np.array([computer.symmetric_dis(3, i) for i in range(5)])]
        found += [index.search(xq, 5, params=faiss.RaBitQSearchParameters(sel=faiss.IDSelectorRange(20, 90)))[0] / 100]
        lists = faiss.index_factory(16, f"IVF6,RaBitQ{bits}", metric)
        lists.train(xt)
        lists.add(xb)
        lists.nprobe = 3
        found += [lists.by_residual, lists.code_size, lists.search(xq, 10)[0] / 100]
        found += [reread(lists).search(xq, 5)[0] / 100, len(faiss.serialize_index(lists))]
found += [error(lambda: faiss.IndexRaBitQ(16, 1, 10))]
quantizer = faiss.RaBitQuantizer(16, faiss.METRIC_L2, 3)
codes = quantizer.compute_codes(xb[:20])
found += [codes[:, :2], quantizer.decode(codes)]
computer = quantizer.get_distance_computer(4)
computer.set_query(ptr(xq))
found += [np.array([computer.distance_to_code(ptr(code)) for code in codes])]
stats = faiss.RaBitQStats()
stats.n_1bit, stats.n_refine = 10, 3
found += [stats.refine_ratio(), faiss.RaBitQStats().refine_ratio()]
""",
    # Between two steps, the last bit of the center decides which one a query's number is rounded to, and whether a code's signs rule it out at a
    # limit depends on what came before: single results differ, medians do not.
    "RaBitQ packed": """
for metric in (faiss.METRIC_L2, faiss.METRIC_INNER_PRODUCT):
    for bits, bbs in ((1, 64), (3, 32)):
        index = faiss.IndexRaBitQFastScan(16, metric, bbs, bits)
        found += [index.M, index.M2, index.code_size, index.qb, index.bbs, index.compute_per_vector_storage_size()]
        found += [index.get_block_stride(), index.fast_scan_code_size()]
        index.train(xt)
        index.add(xb)
        tables = np.zeros((7, index.M, 16), "f4")
        index.compute_float_LUT(faiss.swig_ptr(tables), 7, faiss.swig_ptr(xq), faiss.FastScanDistancePostProcessing())
        found += [tables]
        for qb, centered in ((8, False), (4, False), (2, False), (4, True)):
            index.qb, index.centered = qb, centered
            found += [np.median(index.search(xq, 10)[0], 1) / 100]
        found += [index.reconstruct(7), len(faiss.serialize_index(index)), reread(index).search(xq, 5)[1].shape]
        found += [index.remove_ids(np.arange(20)), index.ntotal]
        # faiss-cpu leaves the numbers beside the signs where they were, in blocks of more than 32.
        found += [np.median(index.search(xq, 5)[0], 1) / 100] if bbs == 32 else []
        plain = faiss.index_factory(16, f"RaBitQ{bits}", metric)
        plain.train(xt)
        plain.add(xb)
        packed = faiss.IndexRaBitQFastScan(plain, bbs)
        found += [packed.qb, packed.ntotal, np.median(packed.search(xq, 5)[0], 1) / 100]
        lists = faiss.index_factory(16, f"IVF6,RaBitQfs{bits}_{bbs}", metric)
        lists.train(xt)
        lists.add(xb)
        lists.nprobe = 3
        found += [lists.qb, lists.code_size, np.median(lists.search(xq, 10)[0], 1) / 100, len(faiss.serialize_index(lists))]
        found += [np.median(reread(lists).search(xq, 5)[0], 1) / 100]
for text in ("RaBitQfs", "RaBitQfs4_64", "IVF6,RaBitQfs", "HNSW8,RaBitQ", "HNSW8,RaBitQ4"):
    index = faiss.index_factory(16, text)
    index.train(xt)
    index.add(xb)
    found += [type(faiss.downcast_index(index)).__name__, len(faiss.serialize_index(index)), reread(index).ntotal]
found += [error(lambda: faiss.index_factory(16, "HNSW8,RaBitQ", 0))]
""",
    "EDEN": """
for metric in (faiss.METRIC_L2, faiss.METRIC_INNER_PRODUCT):
    for bits, scale in ((1, 1), (2, 2), (3, 1), (4, 2), (8, 1)):
        index = faiss.IndexEDEN(16, metric, bits, scale)
        found += [index.is_trained, index.code_size, index.scale_type, index.sq.qtype]
        index.train(xt)
        index.add(xb)
        size = (16 * bits + 7) // 8
        found += [v2a(index.center), v2a(index.codes).reshape(200, -1)[:, :size], index.search(xq, 10)[0]]
        found += [index.sa_decode(index.sa_encode(xq)), index.reconstruct(7), len(faiss.serialize_index(index))]
        found += [index.range_search(xq, 0.5)[0], reread(index).search(xq, 5)[0]]
        lists = faiss.IndexIVFEDEN(faiss.IndexFlat(16, metric), 16, 6, metric, True, bits, scale)
        lists.train(xt)
        lists.add(xb)
        lists.nprobe = 3
        found += [lists.by_residual, lists.code_size, lists.search(xq, 10)[0], reread(lists).search(xq, 5)[0]]
        found += [len(faiss.serialize_index(lists))]
for text in ("EDEN", "EDEN4", "IVF6,EDEN2"):
    found += [type(faiss.downcast_index(faiss.index_factory(16, text))).__name__]
found += [error(lambda: faiss.IndexEDEN(16, 1, 9))]
""",
    "full vectors stored once": """
index = faiss.IndexIVFFlatDedup(faiss.IndexFlatL2(16), 16, 4)
several = np.vstack([xb[:50], xb[:20], xb[:5]])
index.train(np.vstack([xt, xt[:100]]))
index.add_with_ids(several, np.arange(75) + 100)
index.nprobe = 4
found += [index.ntotal, index.invlists.compute_ntotal(), near(index.search(xq, 6)), near(index.search(xb[:5], 4))]
found += [error(lambda: index.range_search(xq, 1.0)), near(reread(index).search(xb[:5], 4)), len(faiss.serialize_index(index))]
index.add(xb[100:])
found += [index.ntotal, near(index.search(xq, 6)), type(faiss.index_factory(16, "IVF4,FlatDedup")).__name__]
index.reset()
found += [index.ntotal]
""",
    "codes of two steps": """
index = faiss.IndexIVFPQR(faiss.IndexFlatL2(16), 16, 6, 4, 4, 8, 4)
found += [index.k_factor, index.refine_pq.M, index.is_trained, index.refine_pq.cp.max_points_per_centroid]
index.train(xt)
index.add(xb)
index.nprobe = 4
found += [index.refine_codes.size(), index.search(xq, 5)[0], near(index.search(xq, 5))]
index.k_factor = 1
found += [near(index.search(xq, 5)), near(reread(index).search(xq, 5)), len(faiss.serialize_index(index))]
found += [error(lambda: index.remove_ids(np.arange(3)))]
index = faiss.index_factory(16, "IVF4,PQ4+8")
found += [type(index).__name__, index.refine_pq.M, index.refine_pq.nbits, index.pq.M]
""",
    "spreading-out graphs": """
index = faiss.IndexNSGFlat(16, 12)
found += [index.GK, index.nsg.R, index.nsg.L, index.nsg.C, index.nsg.search_L, index.is_built, index.is_trained]
index.add(xb)
index.nsg.search_L = 60
# Few vectors: both graphs lead to the nearest.
found += [index.is_built, index.ntotal, index.search(xq, 5), index.reconstruct(3), error(lambda: index.add(xb))]
found += [reread(index).search(xq, 5), error(lambda: index.search(xq, 2, params=faiss.SearchParameters()))]
index.reset()
found += [index.is_built, index.ntotal]
for text in ("NSG12", "NSG12,Flat", "NSG12,SQ8", "NSG12_SQ8"):
    index = faiss.index_factory(16, text)
    index.train(xt)
    index.add(xb)
    found += [type(index).__name__, index.is_built]
""",
    "random results": """
for metric in (faiss.METRIC_L2, faiss.METRIC_INNER_PRODUCT):
    index = faiss.IndexRandom(16, 50, 7, metric)
    found += [index.search(xq, 5), index.reconstruct(3), index.ntotal, index.seed]
    index.add(xb)
    found += [index.ntotal, index.search(xq, 3)]
found += [error(lambda: faiss.IndexRandom(16).search(xq, 1))]
""",
}


# What all programs have beyond those of test_same_as_faiss.py.
MORE = """
def near(found):
    "Distances, and the ids of all but the last of them: those of equal distances in ascending order."
    D, I = found[:2]
    ids = np.full(I.shape, -2)
    for q in range(len(D)):
        inside = D[q] != D[q, -1]
        for d in np.unique(D[q][inside]):
            ids[q, D[q] == d] = np.sort(I[q, D[q] == d])
    return D, ids

def v2a(vector):
    return faiss.vector_to_array(vector)

def reread(index):
    return faiss.deserialize_index(faiss.serialize_index(index))
"""

RUNNER = """
import pickle, traceback
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
    rng = np.random.default_rng(43)
    floats = {name: rng.random((n, 16), dtype="f4") - 0.4 for name, n in (("xt", 2000), ("xb", 200), ("xq", 7))}
    return {**floats, "bb": rng.integers(0, 256, (200, 4), "u1"), "bq": rng.integers(0, 256, (5, 4), "u1")}


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(oracle: Any, data: dict[str, np.ndarray], name: str) -> None:
    """What a program finds here and under faiss-cpu."""
    program = PROLOGUE + MORE + PROGRAMS[name]
    answer = pickle.loads(oracle(RUNNER, program=np.array(program), **data)["answer"].tobytes())
    assert isinstance(answer, list), answer
    space: dict[str, Any] = {"np": np, "faiss": faiss, "found": [], **{k: v.copy() for k, v in data.items()}}
    try:
        exec(program, space)
    except Exception:
        pytest.fail(traceback.format_exc())
    compare(space["found"], answer, name)


def test_packed_codes_come_back(data: dict[str, np.ndarray]) -> None:
    """With blocks of any size, after vectors were removed and others added."""
    for bbs in (32, 64, 96):
        index = faiss.IndexPQFastScan(16, 8, 4, faiss.METRIC_L2, bbs)
        index.train(data["xt"])
        index.add(data["xb"])
        decoded = index.sa_decode(index.sa_encode(data["xb"]))
        np.testing.assert_array_equal(index.reconstruct_n(0, 200), decoded)
        index.remove_ids(np.arange(0, 60, 3))
        index.add(data["xb"][:40])
        left = np.concatenate([np.delete(decoded, np.arange(0, 60, 3), axis=0), decoded[:40]])
        np.testing.assert_array_equal(index.reconstruct_n(0, 220), left)


def test_graphs_written_by_faiss_are_read(oracle: Any, data: dict[str, np.ndarray]) -> None:
    """And recall is no worse than Faiss's, of a graph of ours and of theirs."""
    code = """
index = faiss.IndexNSGFlat(16, 16)
index.add(given["xt"])
result["written"] = faiss.serialize_index(index)
result["I"] = index.search(given["xb"], 10)[1]
exact = faiss.IndexFlatL2(16)
exact.add(given["xt"])
result["exact"] = exact.search(given["xb"], 10)[1]
"""
    theirs = oracle(code, **data)
    read = faiss.deserialize_index(theirs["written"])
    mine = faiss.IndexNSGFlat(16, 16)
    mine.add(data["xt"])
    recall = [
        faiss.eval_intersection(found, theirs["exact"])
        for found in (theirs["I"], read.search(data["xb"], 10)[1], mine.search(data["xb"], 10)[1])
    ]
    assert recall[1] >= 0.99 * recall[0], recall
    assert recall[2] >= 0.98 * recall[0], recall


@pytest.mark.parametrize(("bits", "bbs"), [(1, 32), (1, 64), (3, 32), (3, 64)])
@pytest.mark.parametrize("metric", [faiss.METRIC_L2, faiss.METRIC_INNER_PRODUCT])
def test_packed_rabitq_codes_are_removed_with_their_numbers(metric, bits, bbs):
    """The index is then that of the vectors which are left."""
    rng = np.random.default_rng(5)
    x = rng.random((300, 16), dtype="f4")
    left, wanted = (faiss.IndexRaBitQFastScan(16, metric, bbs, bits) for _ in range(2))
    for index in (left, wanted):
        index.train(x)
    left.add(x)
    left.remove_ids(np.arange(20))
    wanted.add(x[20:])
    for a, b in zip(left.search(x[:7], 5), wanted.search(x[:7], 5), strict=True):
        np.testing.assert_array_equal(a, b)
