"""What the classes made from descriptions get beyond them, written in Python: numpy conventions, keywords, pickling."""

import importlib

from faiss import _faiss
from faiss.classes import Object

# Class of Faiss: module and class of this package.
MIXINS = {
    "Index": ("index_methods", "IndexMethods"),
    "IndexBinary": ("binary_methods", "IndexBinaryMethods"),
    "IndexBinaryIVF": ("binary_methods", "IndexBinaryIVFMethods"),
    "IndexFlatCodes": ("index_methods", "FlatCodesMethods"),
    "IndexFlat": ("index_methods", "FlatMethods"),
    "IndexFlat1D": ("index_methods", "Flat1DMethods"),
    "HNSW": ("graph_methods", "HNSWMethods"),
    "NSG": ("graph_methods", "NSGMethods"),
    "IndexNSG": ("graph_methods", "NSGIndexMethods"),
    "IndexHNSW": ("graph_methods", "HNSWIndexMethods"),
    "Level1Quantizer": ("level1_methods", "Level1Methods"),
    "IndexIVF": ("ivf_methods", "IVFMethods"),
    "GpuIndex": ("gpu_arrays", "GpuIndexMethods"),
    "GpuIndexIVF": ("ivf_methods", "GpuIVFMethods"),
    "StandardGpuResources": ("gpu", "GpuResourcesMethods"),
    "IndexIVFPQ": ("ivf_methods", "IVFPQMethods"),
    "ArrayInvertedLists": ("lists_methods", "ArrayInvertedListsMethods"),
    "ArrayInvertedListsPanorama": ("panorama_methods", "ArrayInvertedListsPanoramaMethods"),
    "IndexFlatPanorama": ("panorama_methods", "FlatPanoramaMethods"),
    "IndexHNSWFlatPanorama": ("panorama_methods", "HNSWFlatPanoramaMethods"),
    "Panorama": ("panorama_methods", "PanoramaMethods"),
    "OnDiskInvertedLists": ("lists_methods", "OnDiskInvertedListsMethods"),
    "HStackInvertedLists": ("lists_methods", "StackedInvertedListsMethods"),
    "VStackInvertedLists": ("lists_methods", "StackedInvertedListsMethods"),
    "DirectMap": ("lists_methods", "DirectMapMethods"),
    "LinearTransform": ("transform_methods", "LinearTransformMethods"),
    "PCAMatrix": ("transform_methods", "PCAMatrixMethods"),
    "CodePacker": ("packer_methods", "CodePackerMethods"),
    "ThreadedIndexBase": ("composite_methods", "ThreadedMethods"),
    "ThreadedIndexBaseBinary": ("composite_methods", "ThreadedMethods"),
    "IndexIDMap2": ("composite_methods", "IDMap2Methods"),
    "IndexBinaryIDMap2": ("composite_methods", "IDMap2Methods"),
    "IndexRowwiseMinMaxBase": ("composite_methods", "RowwiseMinMaxMethods"),
    "IndexPreTransform": ("composite_methods", "PreTransformMethods"),
    "IndexRefineFlat": ("composite_methods", "RefineFlatMethods"),
    "Repeats": ("lattice_methods", "RepeatsMethods"),
    "EnumeratedVectors": ("lattice_methods", "EnumeratedVectorsMethods"),
    "ZnSphereSearch": ("lattice_methods", "ZnSphereSearchMethods"),
    "ZnSphereCodec": ("lattice_methods", "ZnSphereCodecMethods"),
    "ZnSphereCodecRec": ("lattice_methods", "ZnSphereCodecRecMethods"),
    "ParameterSpace": ("autotune", "ParameterSpaceMethods"),
    "InvertedLists": ("lists_methods", "InvertedListsMethods"),
    "VectorTransform": ("transform_methods", "VectorTransformMethods"),
    "Clustering": ("clustering", "ClusteringMethods"),
    "Quantizer": ("quantizer_methods", "QuantizerMethods"),
    "AdditiveQuantizer": ("additive_methods", "AdditiveQuantizerMethods"),
    "ResidualQuantizer": ("additive_methods", "ResidualQuantizerMethods"),
    "LocalSearchQuantizer": ("additive_methods", "LocalSearchQuantizerMethods"),
    "IndexAdditiveQuantizer": ("additive_methods", "OverAdditiveQuantizer"),
    "IndexIVFAdditiveQuantizer": ("additive_methods", "OverAdditiveQuantizer"),
    "AdditiveCoarseQuantizer": ("additive_methods", "OverAdditiveQuantizer"),
    "ProgressiveDimClustering": ("clustering", "ProgressiveDimMethods"),
    "Clustering1D": ("clustering", "Clustering1DMethods"),
    "ClusteringInitialization": ("clustering", "ClusteringInitializationMethods"),
    "SuperKMeans": ("clustering", "SuperKMeansMethods"),
    "ScalarQuantizer": ("quantizer_methods", "ScalarQuantizerMethods"),
    "IndexPQ": ("quantizer_methods", "PQIndexMethods"),
    "IndexFastScan": ("fast_scan_methods", "FastScanMethods"),
    "RaBitQuantizer": ("rabitq_functions", "RaBitQuantizerMethods"),
    "IndexRaBitQ": ("rabitq_functions", "RaBitQIndexMethods"),
    "ProductQuantizer": ("quantizer_methods", "ProductQuantizerMethods"),
    "SearchParameters": ("parameters", "SearchParametersMethods"),
    "SearchParametersIVF": ("parameters", "IVFParametersMethods"),
    "InvertedListScanner": ("scanner_methods", "ScannerMethods"),
    "BinaryInvertedListScanner": ("scanner_methods", "BinaryScannerMethods"),
    "IDSelectorTranslated": ("parameters", "SelectorOfPlaces"),
    "IDSelector": ("parameters", "SelectorMethods"),
    "IDSelectorRange": ("parameters", "SelectorOfRange"),
    "IDSelectorArray": ("parameters", "SelectorOfIds"),
    "IDSelectorBatch": ("parameters", "SelectorOfIds"),
    "IDSelectorBitmap": ("parameters", "SelectorOfBits"),
    "PyCallbackIDSelector": ("parameters", "CallbackMethods"),
    "IOReader": ("streams", "ReaderMethods"),
    "IOWriter": ("streams", "WriterMethods"),
    "ZeroCopyIOReader": ("streams", "ReaderOfMemory"),
    "BufferedIOReader": ("streams", "BufferedReader"),
    "BufferedIOWriter": ("streams", "BufferedWriter"),
    "PyCallbackIOReader": ("streams", "ReaderOfCallback"),
    "PyCallbackIOWriter": ("streams", "WriterToCallback"),
}


def find(name: str) -> type[Object] | None:
    if name in MIXINS:
        module, mixin = MIXINS[name]
    elif _faiss.describe(name)["vector"]:
        module, mixin = "vectors", "VectorMethods"
    else:
        return None
    found: type[Object] = getattr(importlib.import_module(f"faiss.{module}"), mixin)
    return found
