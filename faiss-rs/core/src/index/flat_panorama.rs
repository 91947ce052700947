//! Exact search over vectors that are cut into levels, of which a search looks at the later ones only where it must.

use faiss_derive::{Object, methods};
use parking_lot::Mutex;

use super::flat::IndexFlat;
use super::flat_codes::check_same_type;
use super::stats::count_scanned;
use super::{DistanceComputer, Index, RangeSearchResult, selector};
use crate::base::declare::{Array, Inside, Shaped};
use crate::base::object::{Object, receiver, receiver_mut};
use crate::base::{ElementKind, Error, Handle, MetricType, Result, interrupt, threads};
use crate::distance::collect::{Collector, Hit, InRange, Reservoir, merge_parts};
use crate::distance::results::{InRadius, TopK};
use crate::grammar::{Grammar, number};
use crate::registry::{Format, Row};
use crate::selector::IDSelector;
use crate::simd;
use crate::storage::panorama::scan::PanoramaQuery;
use crate::storage::panorama::{DEFAULT_BATCH_SIZE, Panorama, floats};
use crate::stream::{Reader, Writer};

/// Vectors that a query is compared with at a time, and queries that take turns on them.
const BLOCK: usize = 512;
const TURNS: usize = 32;
/// Fewer vectors than this are not worth a task of their own.
const MIN_PART: usize = 1 << 14;

/// Stores full vectors cut into levels and searches them exactly, by L2 distance or inner product: what the levels not yet looked at can still
/// change is bounded by their norms, so that most vectors are given up early where the first levels hold most of the variance, as after a PCA.
#[derive(Object, Clone, Default)]
#[object(methods, implements(Index), copy)]
pub struct IndexFlatPanorama {
    /// The vectors.
    #[object(parent)]
    pub flat: IndexFlat,
    /// Vectors of a batch, which lie level by level.
    #[object(readonly)]
    pub batch_size: usize,
    /// Number of levels that were asked for; those that are left without coordinates are dropped.
    #[object(readonly)]
    pub n_levels: usize,
    /// L2 norms of what is left of each vector from each level on.
    pub cum_sums: Vec<f32>,
    pano: Panorama,
}

pub(crate) const ROW: Row = Row::of::<IndexFlatPanorama>().format(Format {
    fourccs: &["IxFP", "IxFp"],
    read: |input, code| {
        let similarity = code.is("IxFp");
        let metric = if similarity { MetricType::InnerProduct } else { MetricType::L2 };
        let panorama = IndexFlatPanorama::read(input, metric)?;
        Ok(if similarity {
            Handle::new(IndexFlatIPPanorama { panorama })
        } else {
            Handle::new(IndexFlatL2Panorama { panorama })
        })
    },
    write: |object, out| receiver::<IndexFlatPanorama>(object)?.write(out),
});

#[methods]
impl IndexFlatPanorama {
    /// With vectors in `n_levels` levels, and `batch_size` vectors beside each other; by L2 or inner product.
    #[new]
    pub fn new(d: i64, metric: MetricType, n_levels: usize, batch_size: usize) -> Result<Self> {
        let known = matches!(metric, MetricType::L2 | MetricType::InnerProduct);
        Error::check(known, "metric == METRIC_L2 || metric == METRIC_INNER_PRODUCT")?;
        let flat = IndexFlat::new(d, metric)?;
        let pano = Panorama::new(flat.code_size, n_levels, batch_size)?;
        Ok(IndexFlatPanorama { flat, batch_size, n_levels, cum_sums: Vec::new(), pano })
    }

    /// A pointer to the stored vectors as they lie, level by level.
    #[name = "get_xb"]
    fn pointer(&self) -> Inside {
        Inside("codes", ElementKind::F32)
    }

    /// Distances of each of `n` queries (n, d) to its own `k` stored vectors (n, k); where a label is -1, the distance is 0.
    #[name = "compute_distance_subset"]
    fn distances_to(&self, x: &[f32], labels: Array<'_, i64>) -> Result<Shaped<f32>> {
        let n = self.rows(x)?;
        let k = labels.items.len().checked_div(n).unwrap_or(0);
        Error::check(k * n == labels.items.len(), "labels.size() == n * k")?;
        let mut distances = vec![0.0; labels.items.len()];
        let mut computer = self.get_distance_computer()?;
        let rows = distances.chunks_exact_mut(k.max(1)).zip(labels.items.chunks_exact(k.max(1)));
        for (query, (distances, labels)) in x.chunks_exact(self.dim().max(1)).zip(rows) {
            computer.set_query(query)?;
            for (distance, label) in distances.iter_mut().zip(labels).filter(|(_, label)| **label >= 0) {
                *distance = computer.distance(self.position(*label)?);
            }
        }
        Ok(Shaped(distances, labels.shape.to_vec()))
    }

    /// Reorders the vectors: vector i becomes what vector perm[i] was. `perm` is a permutation of 0..ntotal.
    pub fn permute_entries(&mut self, perm: &[i64]) -> Result<()> {
        let n = self.check()?;
        let mut seen = vec![false; n];
        let valid = perm.len() == n
            && perm.iter().all(|p| usize::try_from(*p).is_ok_and(|p| p < n && !std::mem::replace(&mut seen[p], true)));
        Error::check(valid, "perm is a permutation of 0..ntotal")?;
        let mut rows = vec![0f32; n * self.dim()];
        for (row, from) in rows.chunks_exact_mut(self.pano.d).zip(perm) {
            self.pano.get(self.flat.get_xb(), *from as usize, row);
        }
        self.put(0, &rows);
        Ok(())
    }
}

impl IndexFlatPanorama {
    /// The number of vectors, after a check that the public fields still fit together.
    fn check(&self) -> Result<usize> {
        let n = usize::try_from(self.ntotal).ok().filter(|n| {
            self.pano.d == self.dim()
                && self.pano.bytes(*n) == Some(self.codes.len())
                && self.cum_sums.len() == self.pano.sums_len(*n)
        });
        n.ok_or_else(|| Error::failed("codes.size() == n_batches * batch_size * code_size", ""))
    }

    /// Writes vectors to the places from `first` on.
    fn put(&mut self, first: usize, x: &[f32]) {
        self.pano.put(self.flat.flat_codes.codes.as_f32_mut(), first, x);
        self.pano.put_sums(&mut self.cum_sums, first, x);
    }

    /// Room for `n` vectors.
    fn resize(&mut self, n: usize) -> Result<()> {
        let bytes = self.pano.bytes(n).ok_or_else(|| Error::Memory("more vectors than can be addressed".into()))?;
        let sums = self.pano.sums_len(n);
        self.cum_sums
            .try_reserve(sums.saturating_sub(self.cum_sums.len()))
            .map_err(|e| Error::Memory(e.to_string()))?;
        self.codes.try_resize(bytes)?;
        self.cum_sums.resize(sums, 0.0);
        self.ntotal = n as i64;
        Ok(())
    }

    fn read(input: &mut Reader<'_>, metric: MetricType) -> Result<Self> {
        let (d, n_levels, batch_size) = (input.i32()?, input.usize()?, input.usize()?);
        let ntotal = input.i64()?;
        let mut index = IndexFlatPanorama::new(i64::from(d), metric, n_levels, batch_size)?;
        index.ntotal = ntotal;
        index.is_trained = input.bool("is_trained")?;
        let codes: Vec<u8> = input.vec()?;
        index.codes.extend_from_slice(&codes)?;
        drop(codes);
        index.cum_sums = input.vec()?;
        index.check()?;
        Ok(index)
    }

    fn write(&self, out: &mut Writer<'_>) -> Result<()> {
        self.check()?;
        out.fourcc(if self.metric_type.is_similarity() { "IxFp" } else { "IxFP" })?;
        out.i32(self.d)?;
        out.usize(self.n_levels)?;
        out.usize(self.batch_size)?;
        out.i64(self.ntotal)?;
        out.bool(self.is_trained)?;
        out.codes(self.codes.as_slice())?;
        out.vec(&self.cum_sums)
    }

    fn check_same_levels(&self, other: &dyn Index) -> Result<()> {
        let theirs = receiver::<IndexFlatPanorama>(other)?;
        let same = theirs.n_levels == self.n_levels && theirs.metric_type == self.metric_type;
        Error::check(same, "other->n_levels == n_levels && other->metric_type == metric_type")
    }

    /// Moves the vectors of an index of the same type here.
    fn take_all(&mut self, other: &mut dyn Index, add_id: i64) -> Result<()> {
        if add_id != 0 {
            return Err(Error::failed("!(add_id == 0)", "cannot set ids in FlatCodes index"));
        }
        let theirs = receiver_mut::<IndexFlatPanorama>(other)?;
        let mut rows = vec![0f32; theirs.check()? * self.dim()];
        theirs.reconstruct_n(0, theirs.check()?, &mut rows)?;
        self.add(&rows)?;
        other.reset()
    }

    /// Every query against every vector. `collector` makes what takes a query's results, `done` gets them; of those of several parts, the best
    /// `keep`.
    fn scan<C: Collector>(
        &self,
        x: &[f32],
        params: Option<&dyn Object>,
        collector: impl Fn() -> C + Sync,
        keep: Option<usize>,
        done: impl Fn(usize, Vec<Hit>) + Sync,
    ) -> Result<()> {
        Error::check(self.is_trained, "is_trained")?;
        let (total, n, d) = (self.check()?, self.rows(x)?, self.dim());
        let wanted = selector(params).map(|sel| {
            let mut marks = vec![false; total];
            sel.read().mark(0..total as i64, &mut marks);
            marks
        });
        let (threads, similarity) = (threads::available(), self.metric_type.is_similarity());
        let share = n.div_ceil(threads).clamp(1, TURNS);
        let pieces = n.div_ceil(share);
        let parts = if pieces < threads { threads.div_ceil(pieces.max(1)).min(total / MIN_PART).max(1) } else { 1 };
        let length = total.div_ceil(parts);
        let partial: Vec<Mutex<Vec<Hit>>> = (0..n * parts).map(|_| Mutex::default()).collect();
        threads::parallel_for(pieces * parts, |task| {
            let (piece, part) = (task / parts, task % parts);
            let mut own: Vec<(usize, PanoramaQuery<'_>, C)> = Vec::new();
            for q in piece * share..((piece + 1) * share).min(n) {
                let mut query = PanoramaQuery::new(&self.pano, similarity);
                query.set(&x[q * d..(q + 1) * d])?;
                own.push((q, query, collector()));
            }
            let (mut keys, end) = (vec![0f32; BLOCK], ((part + 1) * length).min(total));
            for first in ((part * length).min(end)..end).step_by(BLOCK) {
                interrupt::check()?;
                let rows = first..(first + BLOCK).min(end);
                let wanted = wanted.as_ref().map(|marks| &marks[rows.clone()]);
                for (_, query, collector) in &mut own {
                    let keys = &mut keys[..rows.len()];
                    let threshold = collector.threshold();
                    query.keys(self.flat.get_xb(), &self.cum_sums, rows.clone(), wanted, threshold, keys);
                    for (i, key) in rows.clone().zip(keys) {
                        if *key < collector.threshold() {
                            collector.push(*key, i as i64);
                        }
                    }
                }
            }
            for (q, query, collector) in own {
                count_scanned(query.scanned);
                *partial[q * parts + part].lock() = collector.finish();
            }
            Ok(())
        })?;
        for q in 0..n {
            done(q, merge_parts(&mut (0..parts).map(|p| std::mem::take(&mut *partial[q * parts + p].lock())), keep));
        }
        Ok(())
    }
}

impl Index for IndexFlatPanorama {
    crate::inherit_index!(flat);

    fn add(&mut self, x: &[f32]) -> Result<()> {
        Error::check(self.is_trained, "is_trained")?;
        let (first, n) = (self.check()?, self.rows(x)?);
        self.resize(first + n)?;
        self.put(first, x);
        Ok(())
    }

    fn add_sa_codes(&mut self, codes: &[u8], ids: Option<&[i64]>) -> Result<()> {
        Error::check(ids.is_none(), "ids of added codes count up and can't be given")?;
        Error::check(codes.len().is_multiple_of(self.code_size), "codes.size() % code_size == 0")?;
        self.add(&floats(codes))
    }

    fn search(
        &self,
        x: &[f32],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [f32],
        labels: &mut [i64],
    ) -> Result<()> {
        self.queries(x, k, distances, labels)?;
        let out = TopK::new(self.metric_type, k, distances, labels);
        self.scan(x, params, || Reservoir::new(k), Some(k), |q, hits| out.write(q, &hits))
    }

    fn range_search(&self, x: &[f32], radius: f32, params: Option<&dyn Object>) -> Result<RangeSearchResult> {
        let out = InRadius::new(self.metric_type, self.rows(x)?);
        let limit = out.limit(radius);
        self.scan(x, params, || InRange::new(limit), None, |q, hits| out.put(q, hits))?;
        Ok(out.finish())
    }

    fn reset(&mut self) -> Result<()> {
        self.cum_sums = Vec::new();
        self.flat.reset()
    }

    fn reconstruct(&self, key: i64, out: &mut [f32]) -> Result<()> {
        self.position(key)?;
        self.reconstruct_n(key, 1, out)
    }

    fn reconstruct_n(&self, i0: i64, ni: usize, out: &mut [f32]) -> Result<()> {
        self.check()?;
        let first = self.checked_range(i0, ni, out)?;
        for (i, row) in out.chunks_exact_mut(self.pano.d).enumerate() {
            self.pano.get(self.flat.get_xb(), first + i, row);
        }
        Ok(())
    }

    fn remove_ids(&mut self, sel: &dyn IDSelector) -> Result<usize> {
        let n = self.check()?;
        let mut removed = vec![false; n];
        sel.mark(0..n as i64, &mut removed);
        let (codes, mut kept) = (self.flat.flat_codes.codes.as_f32_mut(), 0);
        for i in (0..n).filter(|i| !removed[*i]) {
            if i != kept {
                self.pano.move_entry(codes, &mut self.cum_sums, i, kept);
            }
            kept += 1;
        }
        self.resize(kept)?;
        Ok(n - kept)
    }

    fn check_compatible_for_merge(&self, other: &dyn Index) -> Result<()> {
        check_same_type(self, other)?;
        self.check_same_levels(other)
    }

    fn merge_from(&mut self, other: &mut dyn Index, add_id: i64) -> Result<()> {
        self.check_compatible_for_merge(other)?;
        self.take_all(other, add_id)
    }

    fn get_distance_computer(&self) -> Result<Box<dyn DistanceComputer + '_>> {
        self.check()?;
        let similarity = self.metric_type.is_similarity();
        let (pano, codes) = (&self.pano, self.flat.get_xb());
        Ok(Box::new(LevelComputer { pano, codes, similarity, query: vec![0.0; self.dim()] }))
    }
}

/// Compares vectors level by level.
struct LevelComputer<'a> {
    pano: &'a Panorama,
    codes: &'a [f32],
    similarity: bool,
    query: Vec<f32>,
}

impl LevelComputer<'_> {
    fn with(&self, x: impl Fn(usize) -> std::ops::Range<usize>, from: &[f32], i: usize) -> f32 {
        let compare = if self.similarity { simd::fvec_inner_product } else { simd::fvec_L2sqr };
        let levels = 0..self.pano.n_levels;
        levels.map(|level| compare(&from[x(level)], &self.codes[self.pano.place(i, level)])).sum()
    }
}

impl DistanceComputer for LevelComputer<'_> {
    fn set_query(&mut self, x: &[f32]) -> Result<()> {
        Error::check(x.len() == self.pano.d, "x.size() == d")?;
        self.query.copy_from_slice(x);
        Ok(())
    }
    fn distance(&self, i: usize) -> f32 {
        self.with(|level| self.pano.level(level), &self.query, i)
    }
    fn symmetric_distance(&self, i: usize, j: usize) -> f32 {
        self.with(|level| self.pano.place(i, level), self.codes, j)
    }
}

macro_rules! by_metric {
    ($(#[$doc:meta])* $ty:ident, $row:ident, $metric:expr, $name:literal, $condition:literal) => {
        $(#[$doc])*
        #[derive(Object, Clone, Default)]
        #[object(methods, implements(Index), copy)]
        pub struct $ty {
            /// The vectors and their norms.
            #[object(parent)]
            pub panorama: IndexFlatPanorama,
        }

        pub(crate) const $row: Row = Row::of::<$ty>().grammar(Grammar::Index(|d, part, metric| {
            let Some(sizes) = part.strip_prefix($name) else { return Ok(None) };
            let (levels, batch) = sizes.split_once('_').unwrap_or((sizes, ""));
            let batch = if sizes.contains('_') { number(batch) } else { Some(DEFAULT_BATCH_SIZE as i64) };
            let (Some(levels), Some(batch)) = (number(levels), batch) else { return Ok(None) };
            Error::check(metric == $metric, $condition)?;
            Ok(Some(Handle::new($ty::new(d, levels as usize, batch as usize)?)))
        }));

        #[methods]
        impl $ty {
            /// With vectors in `n_levels` levels, and `batch_size` vectors beside each other.
            #[new]
            pub fn new(d: i64, n_levels: usize, #[default = DEFAULT_BATCH_SIZE] batch_size: usize) -> Result<Self> {
                Ok($ty { panorama: IndexFlatPanorama::new(d, $metric, n_levels, batch_size)? })
            }
        }

        impl Index for $ty {
            crate::inherit_index!(panorama);

            fn reconstruct_n(&self, i0: i64, ni: usize, out: &mut [f32]) -> Result<()> {
                self.panorama.reconstruct_n(i0, ni, out)
            }
            fn check_compatible_for_merge(&self, other: &dyn Index) -> Result<()> {
                check_same_type(self, other)?;
                self.panorama.check_same_levels(other)
            }
            fn merge_from(&mut self, other: &mut dyn Index, add_id: i64) -> Result<()> {
                self.check_compatible_for_merge(other)?;
                self.panorama.take_all(other, add_id)
            }
        }
    };
}

by_metric!(
    /// Exact search by squared L2 distance over vectors cut into levels.
    IndexFlatL2Panorama, L2, MetricType::L2, "FlatL2Panorama", "metric == METRIC_L2"
);
by_metric!(
    /// Exact search by inner product over vectors cut into levels.
    IndexFlatIPPanorama, IP, MetricType::InnerProduct, "FlatIPPanorama", "metric == METRIC_INNER_PRODUCT"
);
