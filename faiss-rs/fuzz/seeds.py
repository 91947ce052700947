"""Writes the corpora's small files anew: one of each class and code that files know, and the descriptions. Needs numpy, pytest and this `faiss`.

usage: seeds.py [FOLDER]
"""

import sys
from pathlib import Path

import faiss
import numpy as np

sys.path.append(str(Path(__file__).parents[1] / "python" / "tests"))
from test_old_files import FILES as OLD

D, N = 8, 6
RNG = np.random.default_rng(0)
XT, XB = RNG.random((400, D), dtype="f4"), RNG.random((N, D), dtype="f4")
BITS = RNG.integers(0, 256, (60, 4), dtype="u1")

# Made, trained and filled as they are described.
FLOAT = [
    "Flat",
    "IDMap,Flat",
    "IDMap2,Flat",
    "HNSW4",
    "HNSW4,PQ2x4",
    "HNSW4,SQ4",
    "HNSW4_FlatPanorama2",
    "NSG4",
    "NSG4,PQ2x4",
    "NSG4,SQ8",
    "SQ8",
    "SQ4",
    "SQ6",
    "SQfp16",
    "SQ8_direct",
    "SQ0",
    "SQtqmse2",
    "SQtq3",
    "PQ2x4np",
    "PQ2x5",
    "PQ4x4fs",
    "PQ4x4fs_64",
    "LSH4rt",
    "LSH",
    "RQ2x2",
    "RQ2x2_Nfloat",
    "RQ2x2_Ncqint8",
    "LSQ2x2",
    "PRQ2x2x2",
    "PLSQ2x2x2",
    "RQ2x4fs_Nrq2x4",
    "LSQ2x4fs_Nlsq2x4",
    "PRQ2x1x4fs_Nrq2x4",
    "PLSQ2x1x4fs_Nlsq2x4",
    "RaBitQ",
    "RaBitQ3",
    "RaBitQfs",
    "RaBitQfs2",
    "EDEN2",
    "PCA4,Flat",
    "PCAR4,Flat",
    "OPQ2_4,PQ2x4np",
    "RR8,Flat",
    "L2norm,Flat",
    "ITQ4,LSH",
    "Pad10,Flat",
    "MinMax,SQ8",
    "MinMaxFP16,SQ4",
    "Flat,RFlat",
    "SQ8,Refine(SQ4)",
    "PQ2x4np,RFlat",
    "ZnLattice2x2_4",
    "IVF2,Flat",
    "IVF2,FlatDedup",
    "IVF2,SQ8",
    "IVF2,SQ4",
    "IVF2,PQ2x4np",
    "IVF2,PQ2x4fs",
    "IVF2,PQ2x4fsr",
    "IVF2,RQ2x2",
    "IVF2,LSQ2x2",
    "IVF2,PRQ2x2x2",
    "IVF2,PLSQ2x2x2",
    "IVF2,RQ2x4fs_Nrq2x4",
    "IVF2,LSQ2x4fs_Nlsq2x4",
    "IVF2,PRQ2x1x4fs_Nrq2x4",
    "IVF2,PLSQ2x1x4fs_Nlsq2x4",
    "IVF2,RaBitQ",
    "IVF2,RaBitQ3",
    "IVF2,RaBitQfs",
    "IVF2,RaBitQfs2",
    "IVF2,EDEN2",
    "IVF2_HNSW4,Flat",
    "IVF4(RCQ2x1),Flat",
    "IMI2x1,Flat",
    "IVF2,ITQ4,SH1",
    "IVF2,PQ2x4,RFlat",
]
BINARY = ["BFlat", "BIVF2", "BIVF2_HNSW4", "BHNSW4", "BHash8", "BHash2x8", "IDMap,BFlat", "IDMap2,BFlat"]
# Beyond those above: what only the text exercises.
TEXTS = [
    "IVF1024,PQ8x8",
    "IVF4k,Flat",
    "IVF1k_HNSW32,PQ16",
    "OPQ4_8,IVF16(IVF4,Flat),PQ4",
    "IVF65536_HNSW32,RaBitQ4",
    "Cagra32,None",
    "SQbf16",
    "SQtqmse1",
    "PQ8x6np,RFlat",
    "IVF16,PQ4+4",
    "RQ1x4_2x2_Nqint8",
    "LSQ4x4_Nnorm",
    "PCAW4,SQ8",
    "PCAWR4,SQ8",
    "IVF16_NSG8,Flat",
    "IDMap,HNSW8,Flat",
    "IVF16,PQ4x4fs_64,Refine(SQfp16)",
    "HNSW8_PQ4",
    "HNSW8_2,SQ8",
]


def filled(index):
    index.train(XT)
    if isinstance(index, (faiss.IndexIDMap, faiss.IndexIDMap2)):
        index.add_with_ids(XB, np.arange(N) * 10)
    elif not isinstance(index, (faiss.IndexLattice, faiss.ResidualCoarseQuantizer, faiss.IndexRowwiseMinMaxBase)):
        # What is left out has its vectors from the start, or is stored without.
        index.add(XB)
    return index


def by_hand():
    quantizer = faiss.IndexFlatL2(D)
    yield "IVFPQR", filled(faiss.IndexIVFPQR(quantizer, D, 2, 2, 4, 2, 4))
    yield "RCQ", filled(faiss.ResidualCoarseQuantizer(D, 2, 1))
    yield "2Layer", filled(faiss.Index2Layer(quantizer, 2, 2, 4))
    hadamard = faiss.HadamardRotation(D)
    hadamard.train(XT)
    yield "HR-Flat", filled(faiss.IndexPreTransform(hadamard, faiss.IndexFlatL2(D)))
    inner = faiss.IndexIVFFlat(faiss.IndexFlatL2(4), 4, 2)
    rotation = faiss.RandomRotationMatrix(D, 4)
    rotation.init(1)
    yield "IVFIQ", filled(faiss.IndexIVFIndependentQuantizer(quantizer, inner, rotation))
    descent = faiss.IndexNNDescentFlat(D, 3)
    descent.add(XT[:110])
    yield "NND", descent
    yield "HNSW2Level", filled(faiss.IndexHNSW2Level(quantizer, 2, 2, 4))
    cagra = faiss.IndexHNSWCagra(D, 4)
    yield "Cagra", filled(cagra)
    yield "HNSWRaBitQ", filled(faiss.IndexHNSWRaBitQ(D, 4))
    yield "HNSWRaBitQ2", filled(faiss.IndexHNSWRaBitQ(D, 4, 2))
    for kind in (faiss.DirectMap.Array, faiss.DirectMap.Hashtable):
        index = filled(faiss.index_factory(D, "IVF2,Flat"))
        index.set_direct_map_type(kind)
        yield f"IVFFlat-map{kind}", index
    for metric in (faiss.METRIC_INNER_PRODUCT, faiss.METRIC_L1, faiss.METRIC_Lp):
        index = faiss.IndexFlat(D, metric)
        index.metric_arg = 3
        yield f"Flat-{metric}", filled(index)
    yield "FlatIPPanorama", filled(faiss.IndexFlatIPPanorama(D, 2, 4))
    yield "IVF2-FlatPanorama", filled(faiss.IndexIVFFlatPanorama(quantizer, D, 2, 2, faiss.METRIC_L2, True, 4))
    centering = faiss.CenteringTransform(D)
    centering.train(XT)
    yield "VCnt-Flat", filled(faiss.IndexPreTransform(centering, faiss.IndexFlatL2(D)))
    graph = faiss.IndexHNSW(faiss.IndexFlatL2(D), 4)
    graph.own_fields = False
    yield "HNSW-over", filled(graph)
    yield "IVF20-Flat", filled(faiss.index_factory(D, "IVF20,Flat"))
    yield (
        "RefinePanorama",
        filled(faiss.IndexRefinePanorama(faiss.IndexPQ(D, 2, 4), faiss.IndexFlatL2Panorama(D, 2, 4))),
    )


def binary_by_hand():
    yield "BFromFloat", faiss.IndexBinaryFromFloat(faiss.IndexFlatL2(32))
    yield "BHNSWCagra", faiss.IndexBinaryHNSWCagra(32, 4)


def main():
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "corpus")
    for text in FLOAT:
        faiss.write_index(filled(faiss.index_factory(D, text)), str(folder / "read_index" / text.replace(",", "-")))
    for name, index in by_hand():
        faiss.write_index(index, str(folder / "read_index" / name))
    for name, data in OLD.items():
        (folder / "read_index" / f"old-{name}").write_bytes(data)
    lists = (folder / "read_index" / "IVF20-Flat").read_bytes()
    (folder / "read_index" / "IVF20-without-lists").write_bytes(lists[: lists.index(b"ilar")] + b"il00")
    for text in BINARY:
        index = faiss.index_binary_factory(32, text)
        index.train(BITS)
        if text.startswith("IDMap"):
            index.add_with_ids(BITS[:N], np.arange(N) * 10)
        else:
            index.add(BITS[:N])
        faiss.write_index_binary(index, str(folder / "read_index_binary" / text.replace(",", "-")))
    for name, index in binary_by_hand():
        index.train(BITS)
        index.add(BITS[:N])
        faiss.write_index_binary(index, str(folder / "read_index_binary" / name))
    for text in [*FLOAT, *BINARY, *TEXTS]:
        # The first byte is the dimension: a blank is 32.
        (folder / "index_factory" / text.replace(",", "-")).write_text(" " + text)


main()
