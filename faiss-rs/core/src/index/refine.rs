//! A coarse index, whose results a finer one ranks again.

use faiss_derive::{Object, methods};
use parking_lot::Mutex;

use super::flat::IndexFlat;
use super::flat_ip::IndexFlatIP;
use super::flat_l2::IndexFlatL2;
use super::{Index, IndexBase, RangeSearchResult, SearchParameters};
use crate::base::object::{FieldMut, Object, cast};
use crate::base::{Error, Handle, MetricType, Result, Shared, Value, threads};
use crate::distance::results::InRadius;
use crate::grammar::{Around, Grammar};
use crate::index::header::check_d;
use crate::index::tuning::{self, Tuned};
use crate::registry::{Format, Row};
use crate::selector::IDSelectorRange;

/// Ranks the results of `base_index` again by the distances of `refine_index`.
///
/// Distances and order of the results are those of `refine_index`, which gets every vector too. `k_factor`: a search for k asks the base index for
/// `k * k_factor` candidates.
#[derive(Object, Clone)]
#[object(methods, implements(Index, Tuned), copy(base_index, refine_index, own_fields = true, own_refine_index = true))]
pub struct IndexRefine {
    /// What every index has.
    #[object(parent)]
    pub base: IndexBase,
    /// Gives the candidates.
    pub base_index: Option<Shared<dyn Index>>,
    /// Ranks them.
    pub refine_index: Option<Shared<dyn Index>>,
    /// Whether the base index belongs to this one. Memory is managed by reference counts, whatever this says.
    pub own_fields: bool,
    /// Whether the refining index does.
    pub own_refine_index: bool,
    /// How many candidates there are for each result.
    #[object(default = 1.0)]
    pub k_factor: f32,
}

pub(crate) const ROW: Row = Row::of::<IndexRefine>()
    .grammar(Grammar::Around(Around {
        name: "Refine",
        leads: false,
        trails: true,
        nested: true,
        make: |base, refine| {
            let refine = refine.ok_or_else(|| Error::value("Refine wants the description of an index"))?;
            let mut index = IndexRefine::new(base, refine)?;
            (index.own_fields, index.own_refine_index) = (true, true);
            Ok(Handle::new(index))
        },
    }))
    .format(Format {
        // The code is that of an IndexRefineFlat too.
        read: |input, code| {
            let made = (FIELDS.read)(input, code)?;
            let refine = made.view::<IndexRefine>()?;
            let flat = |index: &Shared<dyn Index>| cast::<IndexFlat>(&*index.read()).is_some();
            let flat = refine.read().refine_index.as_ref().is_some_and(flat);
            let refine = refine.read().clone();
            Ok(if flat { Handle::new(IndexRefineFlat { refine }) } else { made })
        },
        ..FIELDS
    });

/// Parameters of one search in an [`IndexRefine`].
#[derive(Object, Clone)]
#[object(fields)]
pub struct IndexRefineSearchParameters {
    /// What all searches take.
    #[object(parent)]
    pub base: SearchParameters,
    /// How many candidates there are for each result.
    #[object(default = 1.0)]
    pub k_factor: f32,
    /// Parameters of the search for candidates.
    pub base_index_params: Option<Shared<SearchParameters>>,
}

pub(crate) const PARAMETERS: Row = Row::of::<IndexRefineSearchParameters>();

#[methods(new)]
impl IndexRefine {
    /// Over two indexes of the same vectors.
    #[new]
    pub fn new(base_index: Shared<dyn Index>, refine_index: Shared<dyn Index>) -> Result<Self> {
        let base = {
            let (b, r) = (base_index.read(), refine_index.read());
            Error::check(b.base().d == r.base().d, "base_index->d == refine_index->d")?;
            Error::check(
                b.base().metric_type == r.base().metric_type,
                "base_index->metric_type == refine_index->metric_type",
            )?;
            Error::check(b.base().ntotal == r.base().ntotal, "base_index->ntotal == refine_index->ntotal")?;
            IndexBase { is_trained: b.base().is_trained && r.base().is_trained, ..b.base().clone() }
        };
        Ok(IndexRefine { base, base_index: Some(base_index), refine_index: Some(refine_index), ..Default::default() })
    }
}

/// Search parameters as this index's.
fn own_params(params: Option<&dyn Object>) -> Result<Option<&IndexRefineSearchParameters>> {
    let wrong = || Error::failed("!(params)", "IndexRefine params have incorrect type");
    params.map(|params| cast(params).ok_or_else(wrong)).transpose()
}

const FIELDS: Format = crate::file_format!(IndexRefine, ["IxRF"], |index| {
    *index;
});

crate::stored!(IndexRefine, |index| {
    index.base;
    index.base_index;
    index.refine_index;
    index.k_factor;
    read {
        (index.own_fields, index.own_refine_index) = (true, true);
        Error::check((1.0..=1000.0).contains(&index.k_factor), "k_factor >= 1 && k_factor <= 1000")?;
        for part in [&index.base_index, &index.refine_index] {
            check_d(part.as_ref(), &index.base, "base_index->d == d && refine_index->d == d")?;
        }
    }
});

impl IndexRefine {
    fn pair(&self) -> Result<(&Shared<dyn Index>, &Shared<dyn Index>)> {
        match (&self.base_index, &self.refine_index) {
            (Some(base), Some(refine)) => Ok((base, refine)),
            _ => Err(Error::failed("base_index && refine_index", "an index is missing")),
        }
    }
}

impl Index for IndexRefine {
    fn base(&self) -> &IndexBase {
        self
    }
    fn base_mut(&mut self) -> &mut IndexBase {
        self
    }
    fn train(&mut self, x: &[f32]) -> Result<()> {
        let (base, refine) = self.pair()?;
        base.write().train(x)?;
        refine.write().train(x)?;
        self.is_trained = true;
        Ok(())
    }
    fn add(&mut self, x: &[f32]) -> Result<()> {
        Error::check(self.is_trained, "is_trained")?;
        let (base, refine) = self.pair()?;
        // Both or none: the finer index, from which vectors can be removed again, comes first.
        let before = refine.read().base().ntotal;
        refine.write().add(x)?;
        let ntotal = refine.read().base().ntotal;
        let added = base.write().add(x);
        if let Err(error) = added {
            refine.write().remove_ids(&IDSelectorRange::new(before, ntotal))?;
            return Err(error);
        }
        self.ntotal = ntotal;
        Ok(())
    }
    fn reset(&mut self) -> Result<()> {
        let (base, refine) = self.pair()?;
        base.write().reset()?;
        refine.write().reset()?;
        self.ntotal = 0;
        Ok(())
    }
    fn search(
        &self,
        x: &[f32],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [f32],
        labels: &mut [i64],
    ) -> Result<()> {
        let own = own_params(params)?;
        let n = self.queries(x, k, distances, labels)?;
        Error::check(self.is_trained, "is_trained")?;
        let k_base = (k as f32 * own.map_or(self.k_factor, |p| p.k_factor)) as usize;
        Error::check(k_base >= k, "k_base >= k")?;
        let (base, refine) = self.pair()?;
        let size = n.checked_mul(k_base).ok_or_else(|| Error::failed("n * k_base fits", ""))?;
        let (mut base_distances, mut base_labels) = (vec![0f32; size], vec![-1i64; size]);
        let mut search =
            |p: Option<&dyn Object>| base.read().search(x, k_base, p, &mut base_distances, &mut base_labels);
        match own {
            Some(own) => Shared::with(own.base_index_params.as_ref(), search)?,
            None => search(None)?,
        }
        let (refine, d) = (refine.read(), self.dim());
        let share = n.div_ceil(threads::available() * 4).max(1);
        let pieces: Vec<Mutex<(&mut [f32], &mut [i64])>> =
            distances.chunks_mut(share * k).zip(labels.chunks_mut(share * k)).map(Mutex::new).collect();
        threads::parallel_for(pieces.len(), |i| {
            let (distances, labels) = &mut *pieces[i].lock();
            let queries = i * share..(i * share + labels.len() / k);
            let candidates = &base_labels[queries.start * k_base..queries.end * k_base];
            refine.search_subset(&x[queries.start * d..queries.end * d], k_base, candidates, k, distances, labels)
        })
    }
    /// What the base index has in range, and the finer index too, by the finer index's distances.
    fn range_search(&self, x: &[f32], radius: f32, params: Option<&dyn Object>) -> Result<RangeSearchResult> {
        let own = own_params(params)?;
        Error::check(self.is_trained, "is_trained")?;
        let (base, refine) = self.pair()?;
        let search = |p: Option<&dyn Object>| base.read().range_search(x, radius, p);
        let coarse = match own {
            Some(own) => Shared::with(own.base_index_params.as_ref(), search)?,
            None => search(None)?,
        };
        let (refine, d, n) = (refine.read(), self.dim(), coarse.lims.len() - 1);
        let found = InRadius::new(self.metric_type, n);
        threads::parallel_for(n, |q| {
            let candidates = &coarse.labels[coarse.lims[q]..coarse.lims[q + 1]];
            let k = candidates.len();
            let (mut distances, mut labels) = (vec![0f32; k], vec![-1i64; k]);
            if k > 0 {
                refine.search_subset(&x[q * d..(q + 1) * d], k, candidates, k, &mut distances, &mut labels)?;
            }
            let keys = distances.iter().map(|distance| found.limit(*distance)).zip(labels);
            found.put(q, keys.filter(|(key, label)| *label >= 0 && *key < found.limit(radius)).collect());
            Ok(())
        })?;
        Ok(found.finish())
    }
    fn reconstruct(&self, key: i64, out: &mut [f32]) -> Result<()> {
        self.pair()?.1.read().reconstruct(key, out)
    }
    fn sa_code_size(&self) -> Result<usize> {
        let (base, refine) = self.pair()?;
        Ok(base.read().sa_code_size()? + refine.read().sa_code_size()?)
    }
    fn sa_encode(&self, x: &[f32], codes: &mut [u8]) -> Result<()> {
        let (base, refine) = self.pair()?;
        let (base, refine) = (base.read(), refine.read());
        let (first, second, n) = (base.sa_code_size()?, refine.sa_code_size()?, self.rows(x)?);
        Error::check(codes.len() == n * (first + second), "bytes.size() == n * sa_code_size()")?;
        let (mut a, mut b) = (vec![0u8; n * first], vec![0u8; n * second]);
        base.sa_encode(x, &mut a)?;
        refine.sa_encode(x, &mut b)?;
        for (i, code) in codes.chunks_exact_mut((first + second).max(1)).enumerate() {
            code[..first].copy_from_slice(&a[i * first..(i + 1) * first]);
            code[first..].copy_from_slice(&b[i * second..(i + 1) * second]);
        }
        Ok(())
    }
    /// By the finer code.
    fn sa_decode(&self, codes: &[u8], x: &mut [f32]) -> Result<()> {
        let (base, refine) = self.pair()?;
        let (first, refine) = (base.read().sa_code_size()?, refine.read());
        let second = refine.sa_code_size()?;
        let fine: Vec<u8> = codes.chunks_exact((first + second).max(1)).flat_map(|c| &c[first..]).copied().collect();
        refine.sa_decode(&fine, x)
    }
}

/// Ranks the results of an index again by exact distances.
///
/// Keeps the full vectors beside the index: `4 * d` bytes more a vector. `k_factor`: a search for k compares `k * k_factor` candidates again.
#[derive(Object, Clone, Default)]
#[object(methods, implements(Index), copy(refine))]
pub struct IndexRefineFlat {
    /// The index and the one that refines.
    #[object(parent)]
    pub refine: IndexRefine,
}

pub(crate) const FLAT: Row = Row::of::<IndexRefineFlat>().grammar(Grammar::Around(Around {
    name: "RFlat",
    leads: false,
    trails: true,
    nested: false,
    make: |base, _| {
        let mut index = IndexRefineFlat::new(base, &[])?;
        index.refine.own_fields = true;
        Ok(Handle::new(index))
    },
}));

#[methods(new)]
impl IndexRefineFlat {
    /// Over an index that holds the vectors `xb`.
    #[new]
    pub fn new(base_index: Shared<dyn Index>, #[default = &[]] xb: &[f32]) -> Result<Self> {
        let (d, metric, ntotal) = {
            let base = base_index.read();
            (i64::from(base.base().d), base.base().metric_type, base.base().ntotal)
        };
        let mut flat = flat_index(d, metric)?;
        let missing = "base_index should be empty in the beginning";
        if flat.base().rows(xb)? as i64 != ntotal {
            return Err(Error::failed("base_index->ntotal == 0", missing));
        }
        flat.add(xb)?;
        let flat: Shared<dyn Index> = Shared::new(flat);
        Ok(IndexRefineFlat { refine: IndexRefine { own_refine_index: true, ..IndexRefine::new(base_index, flat)? } })
    }
}

/// Ranks the results of an index again by one that is cut into levels ([`IndexFlatL2Panorama`](super::flat_panorama::IndexFlatL2Panorama)).
#[derive(Object, Clone, Default)]
#[object(methods, implements(Index), copy(refine))]
pub struct IndexRefinePanorama {
    /// The index and the one that refines.
    #[object(parent)]
    pub refine: IndexRefine,
}

pub(crate) const PANORAMA: Row = Row::of::<IndexRefinePanorama>()
    .grammar(Grammar::Around(Around {
        name: "RefinePanorama",
        leads: false,
        trails: true,
        nested: true,
        make: |base, refine| {
            let refine = refine.ok_or_else(|| Error::value("RefinePanorama wants the description of an index"))?;
            let mut index = IndexRefinePanorama::new(base, refine)?;
            (index.refine.own_fields, index.refine.own_refine_index) = (true, true);
            Ok(Handle::new(index))
        },
    }))
    .format(crate::file_format!(IndexRefinePanorama, ["IxRP"], |index| {
        index.refine;
    }));

#[methods(new)]
impl IndexRefinePanorama {
    /// Over two indexes of the same vectors.
    #[new]
    pub fn new(base_index: Shared<dyn Index>, refine_index: Shared<dyn Index>) -> Result<Self> {
        Ok(IndexRefinePanorama { refine: IndexRefine::new(base_index, refine_index)? })
    }
}

impl Index for IndexRefinePanorama {
    crate::inherit_index!(refine);
}

fn flat_index(d: i64, metric: MetricType) -> Result<IndexFlat> {
    IndexFlat::new(d, metric)
}

/// A flat index of the class that Faiss chooses for the metric.
pub fn flat_handle(d: i64, metric: MetricType) -> Result<Handle> {
    Ok(match metric {
        MetricType::L2 => Handle::new(IndexFlatL2::new(d)?),
        MetricType::InnerProduct => Handle::new(IndexFlatIP::new(d)?),
        other => Handle::new(IndexFlat::new(d, other)?),
    })
}

impl Index for IndexRefineFlat {
    crate::inherit_index!(refine);
}

impl Tuned for IndexRefine {
    fn set_parameter(&mut self, name: &str, value: f64) -> Option<Result<()>> {
        (name == "k_factor_rf").then(|| self.k_factor.set(Value::Float(value)))
    }
    fn parameter_ranges(&self) -> Vec<(&'static str, Vec<f64>)> {
        vec![("k_factor_rf", tuning::powers(128.0))]
    }
    fn explored(&self) -> Option<Shared<dyn Index>> {
        self.base_index.clone()
    }
}
