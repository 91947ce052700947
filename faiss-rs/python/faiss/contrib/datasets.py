"""Data sets for tests and benchmarks."""

import importlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

import faiss
from faiss.contrib.vecs_io import bvecs_iter, bvecs_iter_chunked, bvecs_mmap, fvecs_mmap, fvecs_read, ivecs_read

__all__ = [
    "Dataset",
    "DatasetBigANN",
    "DatasetDINO10B",
    "DatasetDeep1B",
    "DatasetGIST1M",
    "DatasetGlove",
    "DatasetMusic100",
    "DatasetSIFT1M",
    "SyntheticDataset",
    "dataset_from_name",
    "sanitize",
    "set_dataset_basedir",
]

# The folder of the data sets that are read from files.
dataset_basedir = "data/"


def set_dataset_basedir(path: str) -> None:
    """Sets the folder that holds the folders of data sets (sift1M, bigann, deep1b, glove, music-100, gist1M,
    dino_vitl_10B)."""
    global dataset_basedir
    dataset_basedir = path


def sanitize(x: np.ndarray) -> np.ndarray:
    """The array as float32, C-contiguous."""
    return np.ascontiguousarray(x, dtype="float32")


class Dataset:
    """Training, database and query vectors, and what their nearest neighbours are."""

    def __init__(self) -> None:
        self.d = -1
        self.metric = "L2"
        self.nq = self.nb = self.nt = -1

    def get_queries(self) -> np.ndarray:
        """The queries, shape (nq, d)."""
        raise NotImplementedError

    def get_train(self, maxtrain: int | None = None) -> np.ndarray:
        """The training vectors, shape (nt, d), or the first maxtrain of them."""
        raise NotImplementedError

    def get_database(self) -> np.ndarray:
        """The database, shape (nb, d)."""
        raise NotImplementedError

    def get_groundtruth(self, k: int | None = None) -> np.ndarray:
        """The ids of each query's k nearest neighbours, shape (nq, k)."""
        raise NotImplementedError

    def get_groundtruth_range(self, thresh: float | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What lies within a radius of each query, as range_search returns it, for data sets made for that."""
        raise NotImplementedError

    def database_iterator(self, bs: int = 128, split: tuple[int, int] = (1, 0)) -> Iterator[np.ndarray]:
        """The database in blocks of bs vectors; split is (number of parts, which part)."""
        return _blocks(self.get_database(), self.nb, bs, split)

    def __str__(self) -> str:
        return f"dataset in dimension {self.d}, with metric {self.metric}, size: Q {self.nq} B {self.nb} T {self.nt}"

    def check_sizes(self) -> None:
        """Fails where the arrays do not have the sizes that the data set states."""
        assert self.get_queries().shape == (self.nq, self.d)
        if self.nt > 0:
            assert self.get_train(maxtrain=123).shape == (min(123, self.nt), self.d)
        assert self.get_database().shape == (self.nb, self.d)
        assert self.get_groundtruth(k=13).shape == (self.nq, 13)


class SyntheticDataset(Dataset):
    """Vectors of low intrinsic dimension: not completely random, but still challenging to index."""

    def __init__(self, d: int, nt: int, nb: int, nq: int, metric: str = "L2", seed: int = 1338) -> None:
        super().__init__()
        self.d, self.nt, self.nb, self.nq = d, nt, nb, nq
        self.metric = metric
        latent = 10
        rs = np.random.RandomState(seed)
        x = rs.normal(size=(nt + nb + nq, latent)) @ rs.rand(latent, d)
        x = np.sin(x * (rs.rand(d) * 4 + 0.1)).astype("float32")
        self.xt, self.xb, self.xq = x[:nt], x[nt : nt + nb], x[nt + nb :]

    def get_queries(self) -> np.ndarray:
        return self.xq

    def get_train(self, maxtrain: int | None = None) -> np.ndarray:
        return self.xt[:maxtrain]

    def get_database(self) -> np.ndarray:
        return self.xb

    def get_groundtruth(self, k: int | None = 100) -> np.ndarray:
        metric = faiss.METRIC_L2 if self.metric == "L2" else faiss.METRIC_INNER_PRODUCT
        _, labels = faiss.knn(self.xq, self.xb, k or 100, metric)
        return labels


class _Files(Dataset):
    """A data set of files below dataset_basedir; vectors are read as they are needed."""

    folder = ""

    def __init__(self) -> None:
        super().__init__()
        self.basedir = f"{Path(dataset_basedir) / self.folder}/"

    def path(self, name: str) -> str:
        """The path of a file of the data set."""
        return self.basedir + name


class _Texmex(_Files):
    """The layout of corpus-texmex.irisa.fr: NAME_base.fvecs and so on."""

    prefix = ""

    def get_queries(self) -> np.ndarray:
        return fvecs_read(self.path(f"{self.prefix}_query.fvecs"))

    def get_train(self, maxtrain: int | None = None) -> np.ndarray:
        return sanitize(fvecs_mmap(self.path(f"{self.prefix}_learn.fvecs"))[:maxtrain])

    def get_database(self) -> np.ndarray:
        return fvecs_read(self.path(f"{self.prefix}_base.fvecs"))

    def get_groundtruth(self, k: int | None = None) -> np.ndarray:
        return _first(ivecs_read(self.path(f"{self.prefix}_groundtruth.ivecs")), k)


def _first(gt: np.ndarray, k: int | None) -> np.ndarray:
    """The first k columns."""
    assert k is None or k <= gt.shape[1], f"the ground truth has {gt.shape[1]} neighbours, not {k}"
    return gt[:, :k]


class DatasetSIFT1M(_Texmex):
    """SIFT descriptors: a million of 128 dimensions."""

    folder, prefix = "sift1M", "sift"

    def __init__(self) -> None:
        super().__init__()
        self.d, self.nt, self.nb, self.nq = 128, 100_000, 1_000_000, 10_000


class DatasetGIST1M(_Texmex):
    """GIST descriptors: a million of 960 dimensions."""

    folder, prefix = "gist1M", "gist"

    def __init__(self) -> None:
        super().__init__()
        self.d, self.nt, self.nb, self.nq = 960, 500_000, 1_000_000, 1_000


class DatasetBigANN(_Files):
    """The first nb_M millions of a billion SIFT descriptors of bytes."""

    folder = "bigann"

    def __init__(self, nb_M: int = 1000) -> None:
        super().__init__()
        assert nb_M in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000), f"{nb_M} millions have no ground truth"
        self.nb_M = nb_M
        self.d, self.nt, self.nb, self.nq = 128, 100_000_000, nb_M * 1_000_000, 10_000

    def get_queries(self) -> np.ndarray:
        return sanitize(bvecs_mmap(self.path("bigann_query.bvecs")))

    def get_train(self, maxtrain: int | None = None) -> np.ndarray:
        return sanitize(bvecs_mmap(self.path("bigann_learn.bvecs"))[:maxtrain])

    def get_database(self) -> np.ndarray:
        assert self.nb_M < 100, "the database is large: take database_iterator"
        return sanitize(bvecs_mmap(self.path("bigann_base.bvecs"))[: self.nb])

    def get_groundtruth(self, k: int | None = None) -> np.ndarray:
        return _first(ivecs_read(self.path(f"gnd/idx_{self.nb_M}M.ivecs")), k)

    def database_iterator(self, bs: int = 128, split: tuple[int, int] = (1, 0)) -> Iterator[np.ndarray]:
        return _blocks(bvecs_mmap(self.path("bigann_base.bvecs")), self.nb, bs, split)


class DatasetDeep1B(_Files):
    """The first nb of a billion descriptors of a network: 96 dimensions."""

    folder = "deep1b"

    def __init__(self, nb: int = 10**9) -> None:
        super().__init__()
        names = {10**5: "deep100k", 10**6: "deep1M", 10**7: "deep10M", 10**8: "deep100M", 10**9: "deep1B"}
        assert nb in names, f"{nb} vectors have no ground truth: {', '.join(map(str, names))} have"
        self.d, self.nt, self.nb, self.nq = 96, 358_480_000, nb, 10_000
        self.gt_fname = self.path(f"{names[nb]}_groundtruth.ivecs")

    def get_queries(self) -> np.ndarray:
        return fvecs_read(self.path("deep1B_queries.fvecs"))

    def get_train(self, maxtrain: int | None = None) -> np.ndarray:
        return sanitize(fvecs_mmap(self.path("learn.fvecs"))[:maxtrain])

    def get_database(self) -> np.ndarray:
        assert self.nb <= 10**8, "the database is large: take database_iterator"
        return sanitize(fvecs_mmap(self.path("base.fvecs"))[: self.nb])

    def get_groundtruth(self, k: int | None = None) -> np.ndarray:
        return _first(ivecs_read(self.gt_fname), k)

    def database_iterator(self, bs: int = 128, split: tuple[int, int] = (1, 0)) -> Iterator[np.ndarray]:
        return _blocks(fvecs_mmap(self.path("base.fvecs")), self.nb, bs, split)


class DatasetGlove(_Files):
    """Word vectors of 100 dimensions, compared by cosine: an HDF5 file of ann-benchmarks, read by h5py."""

    folder = "glove"

    def __init__(self, loc: str | None = None, download: bool = False) -> None:
        super().__init__()
        if download:
            raise NotImplementedError("DatasetGlove(download=True) is not implemented: put the file there yourself")
        h5py = importlib.import_module("h5py")
        self.file = h5py.File(self.path("glove-100-angular.hdf5") if loc is None else loc, "r")
        # Cosines are inner products of unit vectors.
        self.metric = "IP"
        self.nb, self.d = self.file["train"].shape
        self.nt, self.nq = 0, self.file["test"].shape[0]

    def _unit(self, name: str) -> np.ndarray:
        x = sanitize(self.file[name])
        faiss.normalize_L2(x)
        return x

    def get_queries(self) -> np.ndarray:
        return self._unit("test")

    def get_database(self) -> np.ndarray:
        return self._unit("train")

    def get_groundtruth(self, k: int | None = None) -> np.ndarray:
        return _first(np.asarray(self.file["neighbors"]), k)


class DatasetMusic100(_Files):
    """A million vectors of songs of 100 dimensions, compared by inner product (Morozov and Babenko 2018)."""

    folder = "music-100"

    def __init__(self) -> None:
        super().__init__()
        self.d, self.nt, self.nb, self.nq = 100, 0, 1_000_000, 10_000
        self.metric = "IP"

    def _read(self, name: str) -> np.ndarray:
        return np.fromfile(self.path(name), dtype="float32").reshape(-1, self.d)

    def get_queries(self) -> np.ndarray:
        return self._read("query_music100.bin")

    def get_database(self) -> np.ndarray:
        return self._read("database_music100.bin")

    def get_groundtruth(self, k: int | None = None) -> np.ndarray:
        _, labels = faiss.knn(self.get_queries(), self.get_database(), k or 100, faiss.METRIC_INNER_PRODUCT)
        return labels


class DatasetDINO10B(_Files):
    """The first nb of ten billion descriptors of image patches, of bytes, by a network (DINOv3): 1,024 dimensions."""

    folder = "dino_vitl_10B"

    def __init__(self, nb: int, ignore_supported: bool = False) -> None:
        super().__init__()
        known = [digit * 10**power for power in range(5, 10) for digit in (1, 2, 5)] + [10**10]
        if nb not in known and not ignore_supported:
            raise ValueError(f"Unsupported dataset size: {nb}, supported values are: {known}")
        self.d, self.nt, self.nb, self.nq = 1024, 99_000_000, nb, 100_000
        self.indexdir = self.path("chunked_base_10B")
        self.queriesdir = self.path("queries_clean.bvecs")
        self.gtsdir = self.path(f"gts/gts_dino_patch_{nb}_k10.npy")
        self.train_queriesdir = self.path("train_queries_99M.bvecs")
        if not Path(dataset_basedir).is_dir():
            raise ValueError(f"Provided dataset base directory does not exist: {dataset_basedir}")
        for path in (self.indexdir, self.queriesdir):
            assert Path(path).exists(), f"the data set wants {path}"

    def get_queries(self) -> np.ndarray:
        return sanitize(bvecs_mmap(self.queriesdir))

    def get_train(self, maxtrain: int | None = None) -> np.ndarray:
        if maxtrain is None or maxtrain > 10**7:
            raise NotImplementedError(
                "the training set is large: take train_iterator, or a maxtrain of at most 10,000,000"
            )
        return sanitize(bvecs_mmap(self.train_queriesdir)[:maxtrain])

    def train_iterator(self, bs: int = 10000) -> Iterator[np.ndarray]:
        """The training vectors in blocks of bs."""
        return map(sanitize, bvecs_iter(self.train_queriesdir, bs))

    def get_database(self) -> np.ndarray:
        if self.nb > 10**7:
            raise NotImplementedError("the database is large: take database_iterator, or a size of at most 10,000,000")
        return np.concatenate(list(self.database_iterator()))

    def database_iterator(self, bs: int = 10000, split: tuple[int, int] = (1, 0)) -> Iterator[np.ndarray]:
        if split != (1, 0):
            raise NotImplementedError(
                "the files of this data set are read from the first to the last: there are no parts"
            )
        left = self.nb
        for block in bvecs_iter_chunked(self.indexdir, bs):
            if left <= 0:
                return
            yield sanitize(block[:left])
            left -= len(block)

    def get_groundtruth(self, k: int | None = 10) -> np.ndarray:
        if k is not None and k > 10:
            raise NotImplementedError("Ground truth files only available for k<=10")
        return _first(np.load(self.gtsdir), k)

    def distance(self) -> str:
        """The name of the metric."""
        return "euclidean"


def _blocks(x: np.ndarray, nb: int, bs: int, split: tuple[int, int]) -> Iterator[np.ndarray]:
    """A part of the first nb rows in blocks of bs."""
    parts, rank = split
    start, end = nb * rank // parts, nb * (rank + 1) // parts
    for i in range(start, end, bs):
        yield sanitize(x[i : min(i + bs, end)])


def dataset_from_name(dataset: str = "deep1M", download: bool = False) -> Dataset:
    """The data set of a name: sift1M, gist1M, music-100, glove, bigann1M to bigann1B, deep1M to deep1B, dino1B to dino10B."""
    millions = {
        "1M": 1,
        "2M": 2,
        "5M": 5,
        "10M": 10,
        "20M": 20,
        "50M": 50,
        "100M": 100,
        "200M": 200,
        "500M": 500,
        "1B": 1000,
    }
    if dataset == "sift1M":
        return DatasetSIFT1M()
    if dataset == "gist1M":
        return DatasetGIST1M()
    if dataset == "music-100":
        return DatasetMusic100()
    if dataset == "glove":
        return DatasetGlove(download=download)
    if (billions := re.fullmatch(r"dino(\d+)B", dataset)) is not None:
        return DatasetDINO10B(int(billions[1]) * 10**9)
    sized: dict[str, Callable[[int], Dataset]] = {"bigann": DatasetBigANN, "deep": lambda n: DatasetDeep1B(n * 10**6)}
    for prefix, make in sized.items():
        if dataset.startswith(prefix) and dataset.removeprefix(prefix) in millions:
            return make(millions[dataset.removeprefix(prefix)])
    raise RuntimeError(f"unknown dataset {dataset}")
