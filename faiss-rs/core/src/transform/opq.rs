//! Optimized product quantization: the rotation after which a product quantizer loses least.

use faiss_derive::{Object, methods};

use super::linear::LinearTransform;
use super::{VectorTransform, maybe_subsample};
use crate::base::{Error, Handle, Result, Shared, interrupt};
use crate::blas::{Product, orthonormal_columns, singular_vectors};
use crate::grammar::{Grammar, number};
use crate::quantize::ProductQuantizer;
use crate::quantize::product::TRAIN_HOT_START;
use crate::random::float_randn;
use crate::registry::Row;

/// A rotation trained so that a product quantizer of `M` parts loses least afterwards.
///
/// `d`, `M`: dimension and parts of that quantizer; `d2`: dimension afterwards, if not `d`. Ge, He, Ke and Sun, Optimized product quantization, 2014.
#[derive(Object, Clone)]
#[object(methods, implements(VectorTransform), copy)]
pub struct OPQMatrix {
    /// The matrix.
    #[object(parent)]
    pub linear: LinearTransform,
    /// Number of parts of the product quantizer.
    #[object(default = 1)]
    pub M: i32,
    /// Number of iterations.
    #[object(default = 50)]
    pub niter: i32,
    /// Iterations of k-means in each.
    #[object(default = 4)]
    pub niter_pq: i32,
    /// Iterations of k-means in the first.
    #[object(default = 40)]
    pub niter_pq_0: i32,
    /// Training uses at most this many vectors.
    #[object(default = 256 * 256)]
    pub max_train_points: usize,
    /// Used in training, in place of a quantizer of 8 bits of its own, where it is set; it is trained then.
    pub pq: Option<Shared<ProductQuantizer>>,
}

/// In files it is a linear transform, as Faiss has it.
pub const ROW: Row = Row::of::<OPQMatrix>().grammar(Grammar::Transform(|d, part| {
    let Some(sizes) = part.strip_prefix("OPQ") else { return Ok(None) };
    let (m, d_out) = sizes.split_once('_').map_or((sizes, None), |(m, d_out)| (m, Some(d_out)));
    let (Some(m), Some(d_out)) = (number(m), d_out.map_or(Some(d), number)) else { return Ok(None) };
    Ok(Some(Handle::new(OPQMatrix::new(d, m, d_out)?)))
}));

#[methods]
impl OPQMatrix {
    /// From `d` dimensions to `d2`, or `d` again where that is -1.
    #[new]
    pub fn new(#[default = 0] d: i64, #[default = 1] M: i64, #[default = -1] d2: i64) -> Result<Self> {
        let M = i32::try_from(M).map_err(|_| Error::overflow("M is out of range for int"))?;
        let linear = LinearTransform::new(d, if d2 == -1 { d } else { d2 }, false)?;
        Ok(OPQMatrix { linear, M, ..Default::default() })
    }
}

impl VectorTransform for OPQMatrix {
    vector_transform_base!();

    fn train(&mut self, x: &[f32]) -> Result<()> {
        let (d_in, d_out) = self.dims();
        Error::check(d_in > 0 && d_out > 0 && self.niter >= 0, "d_in > 0 && d_out > 0 && niter >= 0")?;
        let x = maybe_subsample(x, d_in, self.max_train_points, 1234)?;
        let n = x.len() / d_in;
        let M = usize::try_from(self.M).unwrap_or(0);
        let mut pq = match &self.pq {
            Some(pq) => pq.read().clone(),
            None => ProductQuantizer::new(d_out, M, 8)?,
        };
        Error::check(pq.d == d_out && pq.M == M, "pq->d == d_out && pq->M == M")?;
        if n < pq.ksub {
            let message = format!(
                "Number of training points ({n}) should be at least as large as number of clusters ({})",
                pq.ksub
            );
            return Err(Error::failed("nx >= static_cast<idx_t>(k)", message));
        }
        // With more dimensions out than in, vectors are padded with zeros.
        let d = d_in.max(d_out);
        let mut mean = vec![0f32; d_in];
        x.chunks_exact(d_in).for_each(|row| mean.iter_mut().zip(row).for_each(|(m, v)| *m += v));
        mean.iter_mut().for_each(|m| *m /= n as f32);
        let mut centered = vec![0f32; n * d];
        for (to, from) in centered.chunks_exact_mut(d).zip(x.chunks_exact(d_in)) {
            to.iter_mut().zip(from.iter().zip(&mean)).for_each(|(t, (v, m))| *t = v - m);
        }
        let mut rotation = if self.A.is_empty() {
            let mut random = vec![0f32; d * d];
            float_randn(&mut random, 1234)?;
            orthonormal_columns(d, d, &mut random)?;
            random.truncate(d * d_out);
            random
        } else {
            Error::check(self.A.len() == d * d_out, "A.size() == d * d2")?;
            self.A.clone()
        };
        let mut projected = vec![0f32; n * d_out];
        let mut decoded = vec![0f32; n * d_out];
        let mut codes = vec![0u8; n * pq.code_size];
        for iter in 0..self.niter {
            interrupt::check()?;
            Product { transpose_b: true, ..Product::of(&centered, &rotation) }.write(n, d_out, d, &mut projected)?;
            pq.cp.max_points_per_centroid = 1000;
            pq.cp.niter = if iter == 0 { self.niter_pq_0 } else { self.niter_pq };
            pq.verbose = self.verbose;
            pq.train(&projected)?;
            pq.compute_codes(&projected, &mut codes)?;
            pq.decode(&codes, &mut decoded)?;
            if self.verbose {
                let error = crate::simd::fvec_L2sqr(&decoded, &projected) / n as f32;
                println!("    Iteration {iter} ({n} vectors): PQ error {error}");
            }
            // The rotation nearest to the products of what was and what is wanted.
            let mut products = vec![0f32; d * d_out];
            Product { transpose_a: true, ..Product::of(&centered, &decoded) }.write(d, d_out, n, &mut products)?;
            let (u, v) = singular_vectors(d, d_out, &mut products)?;
            let least = d.min(d_out);
            Product { transpose_a: true, ..Product::of(&v[..least * d_out], &u[..least * d]) }.write(
                d_out,
                d,
                least,
                &mut rotation,
            )?;
            pq.train_type = TRAIN_HOT_START;
        }
        if let Some(own) = &self.pq {
            *own.write() = pq;
        }
        self.A = match d > d_in {
            true => rotation.chunks_exact(d).flat_map(|row| &row[..d_in]).copied().collect(),
            false => rotation,
        };
        self.is_trained = true;
        self.is_orthonormal = true;
        Ok(())
    }

    fn apply_noalloc(&self, x: &[f32], xt: &mut [f32]) -> Result<()> {
        self.linear.apply_noalloc(x, xt)
    }
    fn reverse_transform(&self, xt: &[f32], x: &mut [f32]) -> Result<()> {
        self.linear.reverse_transform(xt, x)
    }
}
