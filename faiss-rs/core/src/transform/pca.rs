//! Principal component analysis.

use faiss_derive::{Object, methods};

use super::linear::{LinearTransform, random_rotation};
use super::{VectorTransform, maybe_subsample};
use crate::base::{Error, Handle, Result};
use crate::blas::{Product, principal_components};
use crate::grammar::{Grammar, number_after};
use crate::registry::Row;

/// Rotates vectors to their principal components and keeps the first `d_out`; may whiten and rotate again.
///
/// `d_in`, `d_out`: dimensions before and after. `eigen_power = -0.5` whitens; `random_rotation` spreads the variance over the components again.
#[derive(Object, Clone)]
#[object(methods, implements(VectorTransform), copy)]
pub struct PCAMatrix {
    /// The matrix.
    #[object(parent, default = LinearTransform { have_bias: true, ..Default::default() })]
    pub linear: LinearTransform,
    /// Components are scaled by the eigenvalue to this power: -0.5 whitens.
    pub eigen_power: f32,
    /// Added to eigenvalues before the power, so that none is 0.
    pub epsilon: f32,
    /// Rotate at random afterwards.
    pub random_rotation: bool,
    /// Training uses at most this many vectors a dimension.
    #[object(default = 1000)]
    pub max_points_per_d: usize,
    /// Distribute the components to this many groups of similar total variance; 0 for none.
    pub balanced_bins: i32,
    /// The mean of the training vectors, `d_in` numbers.
    pub mean: Vec<f32>,
    /// Sums of squares along the components.
    pub eigenvalues: Vec<f32>,
    /// The components, one a row of `d_in`.
    pub PCAMat: Vec<f32>,
}

pub(crate) const ROW: Row = Row::of::<PCAMatrix>()
    .grammar(Grammar::Transform(|d, part| {
        // The longer names first: a shorter one would take them for a number.
        let kinds = [("PCAWR", -0.5, true), ("PCAW", -0.5, false), ("PCAR", 0.0, true), ("PCA", 0.0, false)];
        let found = kinds.iter().find_map(|(name, power, rotate)| Some((number_after(part, name)?, *power, *rotate)));
        let Some((d_out, power, rotate)) = found else { return Ok(None) };
        Ok(Some(Handle::new(PCAMatrix::new(d, d_out, power, rotate)?)))
    }))
    .format(crate::file_format!(PCAMatrix, ["Pcam", "PcAm", "PCAm"], |pca, code| {
        pca.eigen_power;
        old (!code.is("Pcam")) { pca.epsilon = 0.0; } else { pca.epsilon; }
        pca.random_rotation;
        old (code.is("PCAm")) { pca.balanced_bins = 0; } else { pca.balanced_bins; }
        pca.mean;
        pca.eigenvalues;
        pca.PCAMat;
        pca.linear;
    }));

#[methods]
impl PCAMatrix {
    /// The `d_out` main directions of `d_in` numbers, divided by their deviation to the power of `-2 * eigen_power`.
    #[new]
    pub fn new(
        #[default = 0] d_in: i64,
        #[default = 0] d_out: i64,
        #[default = 0.0] eigen_power: f32,
        #[default = false] random_rotation: bool,
    ) -> Result<Self> {
        let linear = LinearTransform::new(d_in, d_out, true)?;
        Ok(PCAMatrix { linear, eigen_power, random_rotation, ..Default::default() })
    }

    /// Makes `A` and `b` from the mean, the eigenvalues and the components.
    pub fn prepare_Ab(&mut self) -> Result<()> {
        let (d_in, d_out) = self.dims();
        if d_in * d_out > self.PCAMat.len() || self.eigenvalues.len() < d_out || self.mean.len() != d_in {
            let rows = self.PCAMat.len() / d_in.max(1);
            let message =
                format!("PCA matrix cannot output {d_out} dimensions from {d_in} ({rows} components are known)");
            return Err(Error::failed("static_cast<size_t>(d_out) * d_in <= PCAMat.size()", message));
        }
        let mut scaled = self.PCAMat[..d_in * d_out].to_vec();
        let scale = |i: usize| (self.eigenvalues[i] + self.epsilon).powf(self.eigen_power);
        if self.eigen_power != 0.0 {
            for (i, row) in scaled.chunks_exact_mut(d_in.max(1)).enumerate() {
                let factor = scale(i);
                row.iter_mut().for_each(|v| *v *= factor);
            }
        }
        if self.balanced_bins != 0 {
            Error::check(
                !self.random_rotation,
                "both balancing bins and applying a random rotation does not make sense",
            )?;
            scaled = self.balance(&scaled, d_in, d_out)?;
        }
        if self.random_rotation {
            let rotation = random_rotation(d_out, d_out, 5)?;
            let mut rotated = vec![0f32; d_in * d_out];
            Product::of(&rotation, &scaled).write(d_out, d_in, d_out, &mut rotated)?;
            scaled = rotated;
        }
        self.b = scaled
            .chunks_exact(d_in.max(1))
            .map(|row| row.iter().zip(&self.mean).fold(0f32, |sum, (a, m)| sum - m * a))
            .collect();
        self.A = scaled;
        self.is_orthonormal = self.eigen_power == 0.0;
        self.is_trained = true;
        Ok(())
    }
}

impl PCAMatrix {
    /// The rows of `scaled`, each in the group that has the least variance so far and room.
    fn balance(&self, scaled: &[f32], d_in: usize, d_out: usize) -> Result<Vec<f32>> {
        let bins = usize::try_from(self.balanced_bins).unwrap_or(0);
        Error::check(bins > 0 && d_out.is_multiple_of(bins), "d_out % balanced_bins == 0")?;
        let room = d_out / bins;
        let (mut totals, mut counts) = (vec![0f32; bins], vec![0usize; bins]);
        let mut balanced = vec![0f32; d_in * d_out];
        for (i, row) in scaled.chunks_exact(d_in.max(1)).enumerate() {
            let open = (0..bins).filter(|b| counts[*b] < room);
            let bin = open.min_by(|a, b| totals[*a].total_cmp(&totals[*b])).unwrap_or(0);
            let at = (bin * room + counts[bin]) * d_in;
            balanced[at..at + d_in].copy_from_slice(row);
            totals[bin] += self.eigenvalues[i];
            counts[bin] += 1;
        }
        Ok(balanced)
    }
}

impl VectorTransform for PCAMatrix {
    vector_transform_base!();

    fn train(&mut self, x: &[f32]) -> Result<()> {
        let (d_in, d_out) = self.dims();
        Error::check(d_in > 0 && x.len() >= d_in, "n > 0 && d_in > 0")?;
        let x = maybe_subsample(x, d_in, self.max_points_per_d.saturating_mul(d_in), 1234)?;
        let n = x.len() / d_in;
        if n.min(d_in) < d_out {
            let message = format!("PCA matrix cannot output {d_out} dimensions from {n} vectors of {d_in}");
            return Err(Error::failed("static_cast<size_t>(d_out) * d_in <= PCAMat.size()", message));
        }
        let found = principal_components(&x, n, d_in)?;
        (self.mean, self.eigenvalues, self.PCAMat) = (found.mean, found.eigenvalues, found.vectors);
        self.prepare_Ab()
    }
    fn apply_noalloc(&self, x: &[f32], xt: &mut [f32]) -> Result<()> {
        self.linear.apply_noalloc(x, xt)
    }
    fn reverse_transform(&self, xt: &[f32], x: &mut [f32]) -> Result<()> {
        self.linear.reverse_transform(xt, x)
    }
}
