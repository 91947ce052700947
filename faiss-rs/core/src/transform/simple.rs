//! Transforms without a matrix: choice of dimensions, normalization, centering.

use faiss_derive::{Object, methods};

use super::{VectorTransform, VectorTransformBase};
use crate::base::{Error, Handle, Result};
use crate::distance::fvec_renorm_L2;
use crate::grammar::{Grammar, number_after};
use crate::registry::Row;

/// Chooses, repeats or adds dimensions: coordinate `i` is what coordinate `map[i]` was, or 0 where that is -1.
#[derive(Object, Default, Clone)]
#[object(methods, implements(VectorTransform), copy)]
pub struct RemapDimensionsTransform {
    /// What every transform has.
    #[object(parent)]
    pub base: VectorTransformBase,
    /// For each coordinate that goes out, the one that comes in, or -1.
    pub map: Vec<i32>,
}

pub(crate) const REMAP: Row = Row::of::<RemapDimensionsTransform>()
    .grammar(Grammar::Transform(|d, part| {
        let Some(d_out) = number_after(part, "Pad") else { return Ok(None) };
        Ok(Some(Handle::new(RemapDimensionsTransform::new(d, d_out.max(d), false)?)))
    }))
    .format(crate::file_format!(RemapDimensionsTransform, ["RmDT"], |vt| {
        vt.map;
        vt.base;
        read {
            let (base, map) = (vt.base.clone(), std::mem::take(&mut vt.map));
            *vt = RemapDimensionsTransform::with_map(i64::from(base.d_in), i64::from(base.d_out), map)?;
            vt.base = base;
        }
    }));

#[methods(new)]
impl RemapDimensionsTransform {
    #[new]
    fn by_rule(d_in: i64, d_out: i64, #[default = true] uniform: bool) -> Result<Self> {
        RemapDimensionsTransform::new(d_in, d_out, uniform)
    }
    #[new]
    fn by_map(d_in: i64, d_out: i64, map: &[i32]) -> Result<Self> {
        RemapDimensionsTransform::with_map(d_in, d_out, map.to_vec())
    }
}

impl RemapDimensionsTransform {
    /// Keeps the first dimensions and adds zeros at the end; if `uniform`, leaves out or adds dimensions at equal intervals.
    pub fn new(d_in: i64, d_out: i64, uniform: bool) -> Result<Self> {
        let base = VectorTransformBase::new(d_in, d_out, true)?;
        let (n_in, n_out) = base.dims();
        let map = match (uniform, n_in < n_out) {
            (true, true) => {
                let mut map = vec![-1; n_out];
                (0..n_in).for_each(|i| map[i * n_out / n_in] = i as i32);
                map
            }
            (true, false) => (0..n_out).map(|i| (i * n_in / n_out) as i32).collect(),
            (false, _) => (0..n_out).map(|i| if i < n_in { i as i32 } else { -1 }).collect(),
        };
        Ok(RemapDimensionsTransform { base, map })
    }

    /// Coordinate i of the result is coordinate `map[i]`, or 0 where that is negative.
    pub fn with_map(d_in: i64, d_out: i64, map: Vec<i32>) -> Result<Self> {
        let base = VectorTransformBase::new(d_in, d_out, true)?;
        let vt = RemapDimensionsTransform { base, map };
        vt.check()?;
        Ok(vt)
    }

    fn check(&self) -> Result<()> {
        let fits = self.map.len() == self.dims().1 && self.map.iter().all(|m| (-1..self.d_in).contains(m));
        Error::check(fits, "map.size() == d_out && map[i] < d_in")
    }
}

impl VectorTransform for RemapDimensionsTransform {
    vector_transform_base!();

    fn apply_noalloc(&self, x: &[f32], xt: &mut [f32]) -> Result<()> {
        self.check()?;
        let (d_in, d_out) = self.dims();
        self.pair(x, d_in, xt, d_out)?;
        for (to, from) in xt.chunks_exact_mut(d_out.max(1)).zip(x.chunks_exact(d_in)) {
            to.iter_mut().zip(&self.map).for_each(|(t, m)| *t = usize::try_from(*m).map_or(0.0, |m| from[m]));
        }
        Ok(())
    }

    fn reverse_transform(&self, xt: &[f32], x: &mut [f32]) -> Result<()> {
        self.check()?;
        let (d_in, d_out) = self.dims();
        self.pair(xt, d_out, x, d_in)?;
        x.fill(0.0);
        for (to, from) in x.chunks_exact_mut(d_in.max(1)).zip(xt.chunks_exact(d_out)) {
            from.iter().zip(&self.map).filter(|(_, m)| **m >= 0).for_each(|(v, m)| to[*m as usize] = *v);
        }
        Ok(())
    }
}

/// Scales each vector to an L2 norm of 1.
#[derive(Object, Clone)]
#[object(methods, implements(VectorTransform), copy)]
pub struct NormalizationTransform {
    /// What every transform has.
    #[object(parent, default = VectorTransformBase { d_in: -1, d_out: -1, is_trained: true })]
    pub base: VectorTransformBase,
    /// Which norm; only 2 is known.
    #[object(default = -1.0)]
    pub norm: f32,
}

pub(crate) const NORMALIZATION: Row = Row::of::<NormalizationTransform>()
    .grammar(Grammar::Transform(|d, part| match part {
        "L2norm" | "L2Norm" => Ok(Some(Handle::new(NormalizationTransform::new(d, 2.0)?))),
        _ => Ok(None),
    }))
    .format(crate::file_format!(NormalizationTransform, ["VNrm"], |vt| {
        vt.norm;
        vt.base;
    }));

#[methods(new)]
impl NormalizationTransform {
    /// Makes vectors of `d` numbers of length 1.
    #[new]
    pub fn new(d: i64, #[default = 2.0] norm: f32) -> Result<Self> {
        Ok(NormalizationTransform { base: VectorTransformBase::new(d, d, true)?, norm })
    }
}

impl VectorTransform for NormalizationTransform {
    vector_transform_base!();

    fn apply_noalloc(&self, x: &[f32], xt: &mut [f32]) -> Result<()> {
        let (d_in, d_out) = self.dims();
        if self.norm != 2.0 {
            return Err(Error::failed("norm == 2.0", "not implemented"));
        }
        Error::check(d_in == d_out, "d_in == d_out")?;
        self.pair(x, d_in, xt, d_out)?;
        xt.copy_from_slice(x);
        fvec_renorm_L2(xt, d_in)
    }
    /// The norms are lost: the vectors stay as they are.
    fn reverse_transform(&self, xt: &[f32], x: &mut [f32]) -> Result<()> {
        let (d_in, d_out) = self.dims();
        Error::check(d_in == d_out, "d_in == d_out")?;
        self.pair(xt, d_out, x, d_in)?;
        x.copy_from_slice(xt);
        Ok(())
    }
}

/// Subtracts the mean of the training vectors.
#[derive(Object, Clone, Default)]
#[object(methods, implements(VectorTransform), copy)]
pub struct CenteringTransform {
    /// What every transform has.
    #[object(parent)]
    pub base: VectorTransformBase,
    /// The mean, `d_in` numbers.
    pub mean: Vec<f32>,
}

pub(crate) const CENTERING: Row =
    Row::of::<CenteringTransform>().format(crate::file_format!(CenteringTransform, ["VCnt"], |vt| {
        vt.mean;
        vt.base;
        read { Error::check(!vt.is_trained || vt.mean.len() == vt.dims().0, "mean.size() == d_in")?; }
    }));

#[methods]
impl CenteringTransform {
    /// Of vectors of `d` numbers.
    #[new]
    pub fn new(#[default = -1] d: i64) -> Result<Self> {
        let base = match d {
            -1 => VectorTransformBase { d_in: -1, d_out: -1, is_trained: false },
            d => VectorTransformBase::new(d, d, false)?,
        };
        Ok(CenteringTransform { base, mean: Vec::new() })
    }
}

impl CenteringTransform {
    /// Writes `from + sign * mean` to `to`.
    fn shift(&self, from: &[f32], to: &mut [f32], sign: f32) -> Result<()> {
        Error::check(self.is_trained, "is_trained")?;
        let d = self.dims().0;
        self.pair(from, d, to, d)?;
        Error::check(self.mean.len() == d, "mean.size() == d_in")?;
        for (to, from) in to.chunks_exact_mut(d).zip(from.chunks_exact(d)) {
            to.iter_mut().zip(from.iter().zip(&self.mean)).for_each(|(t, (v, m))| *t = v + sign * m);
        }
        Ok(())
    }
}

impl VectorTransform for CenteringTransform {
    vector_transform_base!();

    fn train(&mut self, x: &[f32]) -> Result<()> {
        let d = self.dims().0;
        let n = VectorTransformBase::rows(x, d)?;
        if n == 0 {
            return Err(Error::failed("n > 0", "need at least one training vector"));
        }
        let mut mean = vec![0f32; d];
        x.chunks_exact(d).for_each(|row| mean.iter_mut().zip(row).for_each(|(m, v)| *m += v));
        mean.iter_mut().for_each(|m| *m /= n as f32);
        self.mean = mean;
        self.is_trained = true;
        Ok(())
    }
    fn apply_noalloc(&self, x: &[f32], xt: &mut [f32]) -> Result<()> {
        self.shift(x, xt, -1.0)
    }
    fn reverse_transform(&self, xt: &[f32], x: &mut [f32]) -> Result<()> {
        self.shift(xt, x, 1.0)
    }
}
