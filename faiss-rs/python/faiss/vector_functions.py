"""More of Faiss's functions on pointers: vectors by number, bits and signs, histograms, rounding of tables. Each checks that the pointers lead
as far as it reads or writes; numpy arrays are taken for pointers too."""

from typing import Any

import numpy as np

from faiss import _faiss
from faiss.arrays import elements
from faiss.binary import _codes

__all__ = [
    "BitstringReader",
    "BitstringWriter",
    "bincode_hist",
    "bitvec_print",
    "bitvecs2fvecs",
    "fvec2bitvec",
    "fvec_L2sqr_by_idx",
    "fvec_L2sqr_ny_nearest",
    "fvec_inner_products_by_idx",
    "fvec_madd_and_argmin",
    "fvecs2bitvecs",
    "generalized_hamming_64",
    "generalized_hammings_knn_hc",
    "inner_product_to_L2sqr",
    "kmeans1d",
    "knn_L2sqr_by_idx",
    "knn_inner_products_by_idx",
    "lo_build",
    "lo_listno",
    "lo_offset",
    "merge_result_table_with",
    "pairwise_indexed_L2sqr",
    "pairwise_indexed_inner_product",
    "popcount32",
    "popcount64",
    "quantize_LUT_and_bias",
    "ranklist_handle_ties",
    "reflection",
    "round_uint8_per_column",
    "round_uint8_per_column_multi",
    "simd_histogram_8",
    "simd_histogram_16",
]


class BitstringWriter:
    """Writes numbers of some bits each into bytes, lowest bits first."""

    code: Any = None
    code_size: int = 0
    # The bit that comes next.
    i: int = 0

    def __init__(self, code: Any, code_size: int) -> None:
        """code: a pointer to code_size bytes, which become 0."""
        self.code = elements(code, code_size, "uint8")
        self.code_size, self.i = code_size, 0
        self.code[...] = 0

    def write(self, x: int, nbit: int) -> None:
        """Writes the lowest nbit bits of x."""
        if not 0 <= nbit <= 64 or self.i + nbit > 8 * self.code_size:
            raise RuntimeError("Error: 'code_size * 8 >= nbit + i' failed")
        for bit in range(nbit):
            self.code[(self.i + bit) // 8] |= (x >> bit & 1) << (self.i + bit) % 8
        self.i += nbit


class BitstringReader:
    """Reads what a BitstringWriter wrote."""

    code: Any = None
    code_size: int = 0
    # The bit that comes next.
    i: int = 0

    def __init__(self, code: Any, code_size: int) -> None:
        """code: a pointer to code_size bytes."""
        self.code = elements(code, code_size, "uint8")
        self.code_size, self.i = code_size, 0

    def read(self, nbit: int) -> int:
        """The next number, of nbit bits."""
        if not 0 <= nbit <= 64 or self.i + nbit > 8 * self.code_size:
            raise RuntimeError("Error: 'code_size * 8 >= nbit + i' failed")
        bits = [int(self.code[i // 8]) >> i % 8 & 1 for i in range(self.i, self.i + nbit)]
        self.i += nbit
        return sum(bit << i for i, bit in enumerate(bits))


def _rows(pointer: Any, n: int, d: int) -> np.ndarray:
    return elements(pointer, n * d, "float32").reshape(n, d)


def _by_number(x: Any, y: Any, ids: Any, d: int, nx: int, ny: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Queries, the ny vectors of each, and which of them there are: a negative number is none."""
    numbers = elements(ids, nx * ny, "int64").reshape(nx, ny)
    known = numbers >= 0
    rows = _rows(y, int(numbers.max(initial=-1)) + 1, d)
    chosen = rows[np.where(known, numbers, 0)] if len(rows) else np.zeros((nx, ny, d), "float32")
    return _rows(x, nx, d)[:, None, :], chosen, known


def fvec_inner_products_by_idx(ip: Any, x: Any, y: Any, ids: Any, d: int, nx: int, ny: int) -> None:
    """Inner products of each of nx vectors with the ny vectors of y that ids names for it; -inf for negative ids."""
    queries, chosen, known = _by_number(x, y, ids, d, nx, ny)
    elements(ip, nx * ny, "float32")[...] = np.where(known, (queries * chosen).sum(2), -np.inf).reshape(-1)


def fvec_L2sqr_by_idx(dis: Any, x: Any, y: Any, ids: Any, d: int, nx: int, ny: int) -> None:
    """Squared distances of each of nx vectors to the ny vectors of y that ids names for it; inf for negative ids."""
    queries, chosen, known = _by_number(x, y, ids, d, nx, ny)
    elements(dis, nx * ny, "float32")[...] = np.where(known, ((queries - chosen) ** 2).sum(2), np.inf).reshape(-1)


def pairwise_indexed_L2sqr(d: int, n: int, x: Any, ix: Any, y: Any, iy: Any, dis: Any) -> None:
    """Squared distances of n pairs of vectors, ix of x and iy of y."""
    i, j = elements(ix, n, "int64"), elements(iy, n, "int64")
    a, b = _rows(x, int(i.max(initial=-1)) + 1, d)[i], _rows(y, int(j.max(initial=-1)) + 1, d)[j]
    elements(dis, n, "float32")[...] = ((a - b) ** 2).sum(1)


def pairwise_indexed_inner_product(d: int, n: int, x: Any, ix: Any, y: Any, iy: Any, dis: Any) -> None:
    """Inner products of n pairs of vectors, ix of x and iy of y."""
    i, j = elements(ix, n, "int64"), elements(iy, n, "int64")
    a, b = _rows(x, int(i.max(initial=-1)) + 1, d)[i], _rows(y, int(j.max(initial=-1)) + 1, d)[j]
    elements(dis, n, "float32")[...] = (a * b).sum(1)


def _knn_by_number(similar: bool, args: tuple[Any, ...], ld_ids: int) -> None:
    x, y, subset, d, nx, ny, nsubset, k, vals, ids = args
    stride = nsubset if ld_ids < 0 else ld_ids
    numbers = np.stack(
        [elements(subset, stride * (nx - 1) + nsubset, "int64")[stride * i :][:nsubset] for i in range(nx)]
    )
    if numbers.max(initial=-1) >= ny:
        raise RuntimeError("Error: 'subset[i] < ny' failed")
    queries, chosen, known = _by_number(x, y, np.ascontiguousarray(numbers).reshape(-1), d, nx, nsubset)
    keys = -(queries * chosen).sum(2) if similar else ((queries - chosen) ** 2).sum(2)
    keys = np.where(known, keys, np.inf)
    order = np.argsort(keys, axis=1, kind="stable")[:, :k]
    best = np.full((nx, k), np.inf, "float32")
    labels = np.full((nx, k), -1, "int64")
    best[:, : order.shape[1]] = np.take_along_axis(keys, order, 1)
    labels[:, : order.shape[1]] = np.take_along_axis(np.where(known, numbers, -1), order, 1)
    worst = np.finfo("float32").max
    best = np.where(np.isinf(best), worst, best)
    elements(vals, nx * k, "float32")[...] = (-best if similar else best).reshape(-1)
    elements(ids, nx * k, "int64")[...] = labels.reshape(-1)


def knn_inner_products_by_idx(
    x: Any, y: Any, subset: Any, d: int, nx: int, ny: int, nsubset: int, k: int, vals: Any, ids: Any, ld_ids: int = -1
) -> None:
    """The k most similar of nsubset vectors of y that are named for each query; negative numbers are none."""
    _knn_by_number(True, (x, y, subset, d, nx, ny, nsubset, k, vals, ids), ld_ids)


def knn_L2sqr_by_idx(
    x: Any,
    y: Any,
    subset: Any,
    d: int,
    nx: int,
    ny: int,
    nsubset: int,
    k: int,
    vals: Any,
    ids: Any,
    ld_subset: int = -1,
) -> None:
    """The k nearest of nsubset vectors of y that are named for each query; negative numbers are none."""
    _knn_by_number(False, (x, y, subset, d, nx, ny, nsubset, k, vals, ids), ld_subset)


def fvec_L2sqr_ny_nearest(distances_tmp_buffer: Any, x: Any, y: Any, d: int, ny: int) -> int:
    """The number of the nearest of ny vectors; squared distances go to the buffer."""
    distances = elements(distances_tmp_buffer, ny, "float32")
    distances[...] = ((_rows(x, 1, d) - _rows(y, ny, d)) ** 2).sum(1)
    return int(distances.argmin()) if ny else 0


def fvec_madd_and_argmin(n: int, a: Any, bf: float, b: Any, c: Any) -> int:
    """c = a + bf * b; the position of the smallest number, -1 where there is none."""
    out = elements(c, n, "float32")
    out[...] = elements(a, n, "float32") + np.float32(bf) * elements(b, n, "float32")
    return int(out.argmin()) if n and out.min() < 1e20 else -1


def inner_product_to_L2sqr(dis: Any, nr1: Any, nr2: Any, n1: int, n2: int) -> None:
    """From inner products, n1 rows of n2, to squared distances, by squared norms."""
    table = elements(dis, n1 * n2, "float32").reshape(n1, n2)
    table[...] = elements(nr1, n1, "float32")[:, None] + elements(nr2, n2, "float32") - 2 * table


def fvec2bitvec(x: Any, b: Any, d: int) -> None:
    """The signs of d numbers as bits, lowest first: 1 for those that are not negative."""
    fvecs2bitvecs(x, b, d, 1)


def fvecs2bitvecs(x: Any, b: Any, d: int, n: int) -> None:
    """As fvec2bitvec, for n vectors."""
    bits = np.packbits(_rows(x, n, d) >= 0, axis=1, bitorder="little")
    _codes(b, n, (d + 7) // 8)[...] = bits


def bitvecs2fvecs(b: Any, x: Any, d: int, n: int) -> None:
    """Bits as numbers: 1 and -1."""
    bits = np.unpackbits(_codes(b, n, (d + 7) // 8), axis=1, bitorder="little")[:, :d]
    _rows(x, n, d)[...] = bits * 2.0 - 1


def bitvec_print(b: Any, d: int) -> None:
    """Prints d bits, in groups of eight."""
    bits = np.unpackbits(elements(b, (d + 7) // 8, "uint8"), bitorder="little")[:d]
    print("".join(f"{bit} " if i % 8 == 7 else str(bit) for i, bit in enumerate(bits)))


def popcount32(x: int) -> int:
    """The number of bits that are set."""
    return (x & 0xFFFFFFFF).bit_count()


def popcount64(x: int) -> int:
    """The number of bits that are set."""
    return (x & 0xFFFFFFFFFFFFFFFF).bit_count()


def generalized_hamming_64(a: int) -> int:
    """The number of bytes of 64 bits that are not 0."""
    return sum(1 for i in range(8) if a >> 8 * i & 255)


def generalized_hammings_knn_hc(ha: Any, a: Any, b: Any, nb: int, code_size: int, ordered: int = 1) -> None:
    """The nearest of nb codes for each of the codes a, as many as the heaps `ha` are: by the number of bytes that differ."""
    values, ids = ha._rows()
    n, k = ids.shape
    differ = (_codes(a, n, code_size)[:, None, :] != _codes(b, nb, code_size)[None]).sum(2).astype("int32")
    order = np.argsort(differ, axis=1, kind="stable")[:, :k]
    values[...], ids[...] = np.iinfo("int32").max, -1
    values[:, : order.shape[1]] = np.take_along_axis(differ, order, 1)
    ids[:, : order.shape[1]] = order


def lo_build(list_id: int, offset: int) -> int:
    """The number that stands for an entry of a list."""
    return list_id << 32 | offset


def lo_listno(lo: int) -> int:
    """The list of an entry."""
    return lo >> 32


def lo_offset(lo: int) -> int:
    """Where in its list an entry is."""
    return lo & 0xFFFFFFFF


def bincode_hist(n: int, nbits: int, codes: Any, hist: Any) -> None:
    """How often each bit of n codes is 1: nbits numbers."""
    if nbits % 8:
        raise RuntimeError("Error: 'nbits % 8 == 0' failed")
    ones = np.unpackbits(_codes(codes, n, nbits // 8), axis=1, bitorder="little").sum(0)
    elements(hist, nbits, "int32")[...] = ones


def ranklist_handle_ties(k: int, idx: Any, dis: Any) -> None:
    """Sorts the ids of equal distances."""
    ids, distances = elements(idx, k, "int64"), elements(dis, k, "float32")
    first = 0
    for i in range(1, k + 1):
        if i == k or distances[i] != distances[first]:
            ids[first:i] = np.sort(ids[first:i])
            first = i


def merge_result_table_with(
    n: int, k: int, I0: Any, D0: Any, I1: Any, D1: Any, keep_min: bool = True, translation: int = 0
) -> int:
    """Merges results of n queries, k each, into the first ones; `translation` is added to the second ones' ids. How many of those came in."""
    ids, distances = elements(I0, n * k, "int64").reshape(n, k), elements(D0, n * k, "float32").reshape(n, k)
    others = elements(I1, n * k, "int64").reshape(n, k)
    both = np.concatenate([distances, elements(D1, n * k, "float32").reshape(n, k)], 1)
    labels = np.concatenate([ids, np.where(others < 0, others, others + translation)], 1)
    keys = np.where(labels < 0, np.inf, both if keep_min else -both)
    order = np.argsort(keys, axis=1, kind="stable")[:, :k]
    distances[...], ids[...] = np.take_along_axis(both, order, 1), np.take_along_axis(labels, order, 1)
    return int((order >= k).sum())


def simd_histogram_8(data: Any, n: int, min: int, shift: int, hist: Any) -> None:
    """How many of n numbers of 16 bits fall into each of 8 bins of 2^shift, from min on; shift -1: numbers are bins."""
    _histogram(8, data, n, min, shift, hist)


def simd_histogram_16(data: Any, n: int, min: int, shift: int, hist: Any) -> None:
    """As simd_histogram_8, for 16 bins."""
    _histogram(16, data, n, min, shift, hist)


def _histogram(bins: int, data: Any, n: int, least: int, shift: int, hist: Any) -> None:
    numbers = elements(data, n, "uint16").astype("int64")
    places = numbers if shift < 0 else numbers - least >> shift
    counted = np.bincount(places[(places >= 0) & (places < bins)], minlength=bins)
    elements(hist, bins, "int32")[...] = counted


def tell(out: Any, number: Any) -> None:
    """Writes a number to where a pointer leads, unless that is nowhere."""
    if out is not None:
        elements(out, 1, "float32")[0] = number


def rounded(table: np.ndarray, scale: np.float32, least: Any) -> np.ndarray:
    numbers: np.ndarray = np.floor((table - least) * scale + np.float32(0.5))
    return numbers


def round_uint8_per_column(tab: Any, n: int, d: int, a_out: Any = None, b_out: Any = None) -> None:
    """Rounds n rows of d numbers to whole ones from 0 to 255, each row from its smallest on, all by one scale: `tab / a + b`."""
    table = _rows(tab, n, d)
    least = table.min(1)
    spans = table.max(1) - least
    scale = np.float32(255) / spans.max()
    table[...] = rounded(table, scale, least[:, None])
    tell(a_out, scale)
    tell(b_out, least.sum(dtype="float32"))


def round_uint8_per_column_multi(tab: Any, m: int, n: int, d: int, a_out: Any = None, b_out: Any = None) -> None:
    """As round_uint8_per_column, for m tables whose rows have their smallest number in common."""
    table = elements(tab, m * n * d, "float32").reshape(m, n, d)
    least = table.min((0, 2))
    spans = table.max((0, 2)) - least
    scale = np.float32(255) / spans.max()
    table[...] = rounded(table, scale, least[None, :, None])
    tell(a_out, scale)
    tell(b_out, least.sum(dtype="float32"))


def quantize_LUT_and_bias(
    nprobe: int,
    M: int,
    ksub: int,
    lut_is_3d: bool,
    LUT: Any,
    bias: Any,
    LUTq: Any,
    M2: int,
    biasq: Any,
    a_out: Any = None,
    b_out: Any = None,
) -> None:
    """Rounds a query's tables to bytes and its biases to 16 bits, by one scale: a distance is `b + sum / a`. M2: rows of a table that is written."""
    sets = nprobe if lut_is_3d else 1
    tables = elements(LUT, sets * M * ksub, "float32").reshape(sets, M, ksub)
    least = tables.min(2)
    spans = tables.max(2) - least
    biases = None if bias is None else elements(bias, nprobe, "float32")
    longest = spans.sum(1, dtype="float32")
    if biases is not None:
        longest = longest + ((biases - biases.min()) if lut_is_3d else (biases.max() - biases.min()))
    scale = min(np.float32(255) / spans.max(), np.float32(65535) / longest.max())
    out = elements(LUTq, sets * M2 * ksub, "uint8").reshape(sets, M2, ksub)
    out[...] = 0
    out[:, :M] = rounded(tables, scale, least[:, :, None])
    starts = least.sum(1, dtype="float32")
    if biases is not None:
        starts = starts + biases
        elements(biasq, nprobe, "uint16")[...] = rounded(starts, scale, starts.min())
    tell(a_out, scale)
    tell(b_out, starts.min())


def reflection(u: Any, x: Any, n: int, d: int, nu: int) -> None:
    """Reflects n vectors at nu planes, one after the other, whose normals are the rows of u."""
    rows = _rows(x, n, d)
    for normal in _rows(u, nu, d):
        rows[...] -= 2 * (rows @ normal)[:, None] * normal


def kmeans1d(x: Any, n: int, nclusters: int, centroids: Any) -> float:
    """The nclusters centroids of n numbers that are best of all, in ascending order. Returns the imbalance factor."""
    if not 1 <= nclusters <= n:
        raise RuntimeError("Error: 'n >= nclusters' failed")
    found, imbalance = _faiss.kmeans1d(np.ascontiguousarray(elements(x, n, "float32")), nclusters)
    elements(centroids, nclusters, "float32")[...] = found
    return imbalance
