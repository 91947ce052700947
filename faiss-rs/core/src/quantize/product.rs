//! The product quantizer: a vector is cut into `M` parts, each of which becomes the number of the nearest of `2^nbits` centroids.

use faiss_derive::Object;

use super::{Quantizer, bits, product_methods};
use crate::base::object::receiver;
use crate::base::{Error, Handle, Result, Shared, Value, interrupt, threads};
use crate::cluster::{Clustering, ClusteringParameters};
use crate::index::Index;
use crate::index::flat_l2::IndexFlatL2;
use crate::registry::{Row, no_overload};
use crate::simd;
use crate::stream::{Reader, Writer};

/// How the codebooks are trained.
pub const TRAIN_DEFAULT: i32 = 0;
/// The centroids are already close.
pub const TRAIN_HOT_START: i32 = 1;
/// All parts share one codebook.
pub const TRAIN_SHARED: i32 = 2;

/// Product quantizer, trained by k-means.
#[derive(Object, Clone)]
#[object(methods = product_methods::METHODS)]
#[allow(non_snake_case)]
pub struct ProductQuantizer {
    #[object(parent)]
    base: Quantizer,
    /// Number of parts.
    pub M: usize,
    /// Bits of a part's code.
    pub nbits: usize,
    /// Dimension of a part.
    pub dsub: usize,
    /// Number of centroids of a part.
    pub ksub: usize,
    /// Says on stderr how the training goes.
    pub verbose: bool,
    /// How the codebooks are trained: 0 each by itself, 1 from the centroids that are there, 2 one for all parts.
    pub train_type: i32,
    /// Parameters of the k-means.
    pub cp: ClusteringParameters,
    /// If set, this index of dimension dsub assigns points in the training.
    pub assign_index: Option<Shared<dyn Index>>,
    /// The codebooks, `(M, ksub, dsub)`.
    pub centroids: Vec<f32>,
    /// Distances between centroids, `(M, ksub, ksub)`, once `compute_sdc_table` was called.
    pub sdc_table: Vec<f32>,
}

const SIGNATURES: &[&str] = &["()", "(d: int, M: int, nbits: int)"];

pub const ROW: Row = Row::of::<ProductQuantizer>()
    .construct(
        |args| {
            let size = |v: &i64| usize::try_from(*v).map_err(|_| Error::value("a size is negative"));
            Ok(Handle::other(match args {
                [] => ProductQuantizer::default(),
                [Value::Int(d), Value::Int(m), Value::Int(nbits)] => {
                    ProductQuantizer::new(size(d)?, size(m)?, size(nbits)?)?
                }
                _ => return Err(no_overload("ProductQuantizer", SIGNATURES)),
            }))
        },
        SIGNATURES,
    )
    .clone(|object| Ok(Handle::other(receiver::<ProductQuantizer>(object)?.clone())));

impl Default for ProductQuantizer {
    fn default() -> Self {
        ProductQuantizer {
            base: Quantizer::default(),
            M: 1,
            nbits: 0,
            dsub: 0,
            ksub: 1,
            verbose: false,
            train_type: TRAIN_DEFAULT,
            cp: ClusteringParameters::default(),
            assign_index: None,
            centroids: Vec::new(),
            sdc_table: Vec::new(),
        }
    }
}

impl ProductQuantizer {
    /// For `d`-dimensional vectors in `m` parts of `nbits` bits each. The centroids are zeros until they are trained.
    pub fn new(d: usize, m: usize, nbits: usize) -> Result<Self> {
        let mut pq = ProductQuantizer { M: m, nbits, ..Default::default() };
        pq.base.d = d;
        pq.set_derived_values()?;
        let size = d.checked_mul(pq.ksub).ok_or_else(|| Error::failed("d * ksub fits", ""))?;
        pq.centroids
            .try_reserve_exact(size)
            .map_err(|_| Error::Memory(format!("could not get memory for {size} numbers")))?;
        pq.centroids.resize(size, 0.0);
        Ok(pq)
    }

    /// Computes `dsub`, `ksub` and `code_size` from `d`, `M` and `nbits`.
    pub fn set_derived_values(&mut self) -> Result<()> {
        if self.M == 0 {
            return Err(Error::failed("!(M > 0)", "M must be > 0"));
        }
        if !self.d.is_multiple_of(self.M) {
            let message = "The dimension of the vector (d) should be a multiple of the number of subquantizers (M)";
            return Err(Error::failed("!(d % M == 0)", message));
        }
        if self.nbits > 24 {
            return Err(Error::failed("nbits > 24", "nbits larger than 24 is not practical."));
        }
        self.dsub = self.d / self.M;
        self.ksub = 1 << self.nbits;
        self.base.code_size = (self.nbits * self.M).div_ceil(8);
        Ok(())
    }

    /// Public fields may have been changed: they must fit together before codes are made or read.
    fn check(&self) -> Result<()> {
        let fits = self.dsub.checked_mul(self.M) == Some(self.d)
            && self.nbits <= 24
            && self.ksub == 1 << self.nbits
            && self.centroids.len() == self.d * self.ksub
            && self.code_size == (self.nbits * self.M).div_ceil(8);
        Error::check(fits, "centroids.size() == d * ksub && d == M * dsub && code_size == (nbits * M + 7) / 8")
    }

    /// The codebook of part `m`, `(ksub, dsub)`.
    pub fn get_centroids(&self, m: usize) -> &[f32] {
        let size = self.ksub * self.dsub;
        &self.centroids[m * size..(m + 1) * size]
    }

    /// Trains the codebooks on `n` vectors.
    pub fn train(&mut self, x: &[f32]) -> Result<()> {
        self.check()?;
        Error::check(self.d > 0 && x.len().is_multiple_of(self.d), "x.size() % d == 0")?;
        let size = self.ksub * self.dsub;
        match self.train_type {
            TRAIN_SHARED => {
                // The parts of all vectors together, in their order.
                let centroids = self.train_part(x.to_vec(), None)?;
                (0..self.M).for_each(|m| self.centroids[m * size..(m + 1) * size].copy_from_slice(&centroids));
            }
            TRAIN_DEFAULT | TRAIN_HOT_START => {
                // Codebooks change only when all are trained.
                let mut all = Vec::with_capacity(self.M * size);
                for m in 0..self.M {
                    interrupt::check()?;
                    if self.verbose {
                        eprintln!("Training PQ slice {m}/{}", self.M);
                    }
                    let part = x
                        .chunks_exact(self.d)
                        .flat_map(|row| &row[m * self.dsub..(m + 1) * self.dsub])
                        .copied()
                        .collect();
                    let start = (self.train_type == TRAIN_HOT_START).then(|| self.get_centroids(m).to_vec());
                    all.extend(self.train_part(part, start)?);
                }
                self.centroids = all;
            }
            other => return Err(Error::not_implemented(format!("train_type {other} is not implemented"))),
        }
        Ok(())
    }

    fn train_part(&self, x: Vec<f32>, start: Option<Vec<f32>>) -> Result<Vec<f32>> {
        let mut clustering = Clustering { cp: self.cp.clone(), ..Clustering::new(self.dsub, self.ksub) };
        clustering.centroids = start.unwrap_or_default();
        match &self.assign_index {
            Some(index) => clustering.train(&x, &mut *index.write(), None)?,
            None => clustering.train(&x, &mut IndexFlatL2::new(self.dsub as i64)?, None)?,
        }
        Ok(clustering.centroids)
    }

    /// Encodes vectors to `n * code_size` bytes.
    pub fn compute_codes(&self, x: &[f32], codes: &mut [u8]) -> Result<()> {
        self.check()?;
        let n = x.len().checked_div(self.d).unwrap_or(0);
        Error::check(x.len() == n * self.d && codes.len() == n * self.code_size, "codes.size() == n * code_size")?;
        // Dimension by dimension the centroids of a part lie side by side, so that all are compared at once.
        let mut transposed = vec![0f32; self.centroids.len()];
        for m in 0..self.M {
            let base = m * self.ksub * self.dsub;
            for (k, centroid) in self.get_centroids(m).chunks_exact(self.dsub).enumerate() {
                centroid.iter().enumerate().for_each(|(j, v)| transposed[base + j * self.ksub + k] = *v);
            }
        }
        threads::parallel_rows(codes, self.code_size, 64, |first, rows| {
            let mut distances = vec![0f32; self.ksub];
            for (i, code) in rows.chunks_exact_mut(self.code_size).enumerate() {
                let x = &x[(first + i) * self.d..(first + i + 1) * self.d];
                code.fill(0);
                for m in 0..self.M {
                    let part = &x[m * self.dsub..(m + 1) * self.dsub];
                    simd::fvec_L2sqr_columns(&mut distances, part, &transposed[m * self.ksub * self.dsub..]);
                    bits::put(code, self.nbits, m, nearest(&distances));
                }
            }
            Ok(())
        })
    }

    /// Decodes `n` codes to `n * d` numbers.
    pub fn decode(&self, codes: &[u8], x: &mut [f32]) -> Result<()> {
        self.check()?;
        let n = codes.len().checked_div(self.code_size).unwrap_or(0);
        Error::check(codes.len() == n * self.code_size && x.len() == n * self.d, "x.size() == n * d")?;
        for (code, row) in codes.chunks_exact(self.code_size.max(1)).zip(x.chunks_exact_mut(self.d.max(1))) {
            for m in 0..self.M {
                let k = bits::get(code, self.nbits, m);
                row[m * self.dsub..(m + 1) * self.dsub]
                    .copy_from_slice(&self.get_centroids(m)[k * self.dsub..(k + 1) * self.dsub]);
            }
        }
        Ok(())
    }

    /// Squared distances of the parts of `x` to the centroids, `(M, ksub)` for each vector.
    pub fn compute_distance_tables(&self, x: &[f32], tables: &mut [f32]) -> Result<()> {
        self.tables(x, tables, simd::fvec_L2sqr_ny)
    }

    /// Inner products of the parts of `x` with the centroids, `(M, ksub)` for each vector.
    pub fn compute_inner_prod_tables(&self, x: &[f32], tables: &mut [f32]) -> Result<()> {
        self.tables(x, tables, simd::fvec_inner_products_ny)
    }

    fn tables(&self, x: &[f32], tables: &mut [f32], kernel: fn(&mut [f32], &[f32], &[f32])) -> Result<()> {
        self.check()?;
        let n = x.len().checked_div(self.d).unwrap_or(0);
        let size = self.M * self.ksub;
        Error::check(x.len() == n * self.d && tables.len() == n * size, "dis_tables.size() == n * M * ksub")?;
        threads::parallel_rows(tables, size, 1, |first, rows| {
            for (i, table) in rows.chunks_exact_mut(size).enumerate() {
                let x = &x[(first + i) * self.d..(first + i + 1) * self.d];
                for (m, row) in table.chunks_exact_mut(self.ksub).enumerate() {
                    kernel(row, &x[m * self.dsub..(m + 1) * self.dsub], self.get_centroids(m));
                }
            }
            Ok(())
        })
    }

    /// The distances between the centroids of each part.
    pub fn compute_sdc_table(&mut self) -> Result<()> {
        self.check()?;
        let size = self.ksub.checked_mul(self.ksub).and_then(|s| s.checked_mul(self.M));
        let size = size
            .filter(|s| *s < 1 << 40)
            .ok_or_else(|| Error::failed("M * ksub * ksub fits", "too many centroids for a table"))?;
        let mut table = Vec::new();
        table.try_reserve_exact(size).map_err(|_| Error::Memory(format!("could not get memory for {size} numbers")))?;
        table.resize(size, 0.0);
        for (m, table) in table.chunks_exact_mut(self.ksub * self.ksub).enumerate() {
            simd::fvec_L2sqr_tile(table, self.get_centroids(m), self.get_centroids(m), self.dsub);
        }
        self.sdc_table = table;
        Ok(())
    }

    pub fn write(&self, out: &mut Writer<'_>) -> Result<()> {
        out.usize(self.d)?;
        out.usize(self.M)?;
        out.usize(self.nbits)?;
        out.vec(&self.centroids)
    }

    pub fn read(input: &mut Reader<'_>) -> Result<Self> {
        let (d, m, nbits) = (input.usize()?, input.usize()?, input.usize()?);
        if !(1..=24).contains(&nbits) {
            return Err(Error::failed("nbits >= 1 && nbits <= 24", format!("invalid PQ nbits {nbits}")));
        }
        let mut pq = ProductQuantizer { M: m, nbits, ..Default::default() };
        pq.base.d = d;
        pq.set_derived_values()?;
        pq.centroids = input.vec()?;
        let size = d.checked_mul(pq.ksub);
        Error::check(size == Some(pq.centroids.len()), "pq->centroids.size() == pq->d * pq->ksub")?;
        Ok(pq)
    }
}

/// The number of the smallest distance, the first of equal ones.
#[inline]
fn nearest(distances: &[f32]) -> usize {
    let smallest = simd::fvec_min(distances);
    distances.iter().position(|v| *v == smallest).unwrap_or(0)
}
