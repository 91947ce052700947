//! An index of transformed vectors.

use std::borrow::Cow;

use faiss_derive::{Object, methods};

use super::{Index, IndexBase, RangeSearchResult, SearchParameters};
use crate::base::object::{DeepCopy, Field, FieldMut, FieldRef, Kind, Object, cast, receiver, receiver_mut};
use crate::base::{Error, Result, Shared, Value};
use crate::distance::DistanceComputer;
use crate::index::flat_codes::check_same_type;
use crate::index::hnsw::computer::OfShared;
use crate::index::tuning::Tuned;
use crate::registry::{Row, write_nested};
use crate::selector::IDSelector;
use crate::stream::Reader;
use crate::stream::Writer;
use crate::stream::fields::Stored;
use crate::transform::VectorTransform;

/// Transforms that are applied one after the other.
#[derive(Default, Clone)]
pub struct Chain(pub Vec<Shared<dyn VectorTransform>>);

impl Field for Chain {
    const KIND: Kind = Kind::List("VectorTransform");
    fn get(&self) -> FieldRef<'_> {
        FieldRef::Value(Value::List(self.0.iter().map(|t| Value::Handle(t.object())).collect()))
    }
}
impl FieldMut for Chain {}

impl DeepCopy for Chain {
    fn deep_copy(&self) -> Result<Self> {
        self.0.deep_copy().map(Chain)
    }
}

impl Stored for Chain {
    fn read_from(&mut self, input: &mut Reader<'_>, _name: &str) -> Result<()> {
        let n = input.i32()?;
        Error::check((0..=1000).contains(&n), "nt >= 0 && nt <= 1000")?;
        for _ in 0..n {
            let mut transform: Option<Shared<dyn VectorTransform>> = None;
            transform.read_from(input, "chain")?;
            self.0.push(transform.ok_or_else(|| Error::failed("", "a VectorTransform is wanted here"))?);
        }
        Ok(())
    }
    fn write_to(&self, out: &mut Writer<'_>) -> Result<()> {
        out.i32(self.0.len() as i32)?;
        self.0.iter().try_for_each(|transform| write_nested(&*transform.read(), out))
    }
}

/// Applies transforms to vectors before another index gets them.
///
/// `train` trains the transforms that need it, then the index; `search` and `add` apply them in order. What is reconstructed is transformed back.
#[derive(Object, Default, Clone)]
#[object(methods, implements(Index, Tuned), copy(chain, index, own_fields = true))]
pub struct IndexPreTransform {
    /// What every index has.
    #[object(parent)]
    pub base: IndexBase,
    /// The transforms, in the order in which they are applied.
    #[object(readonly)]
    pub chain: Chain,
    /// The index of the transformed vectors.
    pub index: Option<Shared<dyn Index>>,
    /// Whether transforms and index belong to this one. Memory is managed by reference counts, whatever this says.
    pub own_fields: bool,
}

pub(crate) const ROW: Row =
    Row::of::<IndexPreTransform>().format(crate::file_format!(IndexPreTransform, ["IxPT"], |index| {
    index.base;
    index.chain;
    index.index;
    read { index.own_fields = true; }
}, index.check()));

/// Search parameters that are passed on to the index of the transformed vectors.
#[derive(Object, Default, Clone)]
#[object(fields)]
pub struct SearchParametersPreTransform {
    /// What all searches take.
    #[object(parent)]
    pub base: SearchParameters,
    /// The parameters of that index.
    pub index_params: Option<Shared<SearchParameters>>,
}

pub(crate) const PARAMETERS: Row = Row::of::<SearchParametersPreTransform>();

/// The inner index's parameters: those within, or any others as they are.
fn with_params<T>(params: Option<&dyn Object>, search: impl FnOnce(Option<&dyn Object>) -> Result<T>) -> Result<T> {
    match params.and_then(cast::<SearchParametersPreTransform>) {
        Some(own) => Shared::with(own.index_params.as_ref(), search),
        None => search(params),
    }
}

#[methods(new)]
impl IndexPreTransform {
    /// Around an index, without a transform yet.
    #[new]
    pub fn new(index: Shared<dyn Index>) -> Self {
        let base = index.read().base().clone();
        IndexPreTransform { base, index: Some(index), ..Default::default() }
    }

    /// Adds a transform that is applied before all others.
    pub fn prepend_transform(&mut self, ltrans: Shared<dyn VectorTransform>) -> Result<()> {
        let own = ltrans.read().base().clone();
        Error::check(own.d_out == self.d, "ltrans->d_out == d")?;
        self.is_trained &= own.is_trained;
        self.d = own.d_in;
        self.chain.0.insert(0, ltrans);
        Ok(())
    }

    /// One transform before an index.
    #[new]
    fn of(ltrans: Shared<dyn VectorTransform>, index: Shared<dyn Index>) -> Result<Self> {
        let mut made = IndexPreTransform::new(index);
        made.prepend_transform(ltrans)?;
        Ok(made)
    }
}

impl IndexPreTransform {
    fn inner(&self) -> Result<&Shared<dyn Index>> {
        self.index.as_ref().ok_or_else(|| Error::failed("index", "there is no index behind the transforms"))
    }

    /// An error where dimensions do not fit each other.
    fn check(&self) -> Result<()> {
        let mut d = self.d;
        for transform in &self.chain.0 {
            let base = transform.read().base().clone();
            Error::check(base.d_in == d, "chain[i]->d_in == d")?;
            d = base.d_out;
        }
        match &self.index {
            Some(index) => Error::check(index.read().base().d == d, "index->d == d"),
            None => Ok(()),
        }
    }

    /// Vectors as the inner index gets them.
    pub fn apply_chain<'a>(&self, x: &'a [f32]) -> Result<Cow<'a, [f32]>> {
        self.rows(x)?;
        self.chain.0.iter().try_fold(Cow::Borrowed(x), |x, t| Ok(Cow::Owned(t.read().apply(&x)?)))
    }

    /// The reverse of [`IndexPreTransform::apply_chain`], to `n * d` numbers.
    pub fn reverse_chain(&self, xt: Vec<f32>, out: &mut [f32]) -> Result<()> {
        let n = out.len() / self.dim().max(1);
        let mut x = xt;
        for transform in self.chain.0.iter().rev() {
            let transform = transform.read();
            let mut back = vec![0f32; n * transform.base().dims().0];
            transform.reverse_transform(&x, &mut back)?;
            x = back;
        }
        Error::check(x.len() == out.len(), "x.size() == n * d")?;
        out.copy_from_slice(&x);
        Ok(())
    }

    /// Runs `read` on the inner index, which writes vectors, and takes those back through the transforms.
    fn reversed(&self, out: &mut [f32], read: impl FnOnce(&dyn Index, &mut [f32]) -> Result<()>) -> Result<()> {
        let index = self.inner()?.read();
        let mut inner = vec![0f32; out.len() / self.dim().max(1) * index.base().dim()];
        read(&*index, &mut inner)?;
        self.reverse_chain(inner, out)
    }

    /// Runs `change` on the inner index and takes over its number of vectors.
    fn changed<T>(&mut self, change: impl FnOnce(&mut dyn Index) -> Result<T>) -> Result<T> {
        let index = self.inner()?.clone();
        let mut index = index.write();
        let result = change(&mut *index);
        self.ntotal = index.base().ntotal;
        result
    }
}

impl Tuned for IndexPreTransform {
    fn explored(&self) -> Option<Shared<dyn Index>> {
        self.index.clone()
    }
}

/// Compares queries as the index within gets them.
struct OfTransformed<'a> {
    chain: &'a IndexPreTransform,
    inner: OfShared<'a>,
}

impl DistanceComputer for OfTransformed<'_> {
    fn set_query(&mut self, x: &[f32]) -> Result<()> {
        self.inner.set_query(&self.chain.apply_chain(x)?)
    }
    fn distance(&self, i: usize) -> f32 {
        self.inner.distance(i)
    }
    fn symmetric_distance(&self, i: usize, j: usize) -> f32 {
        self.inner.symmetric_distance(i, j)
    }
}

impl Index for IndexPreTransform {
    fn base(&self) -> &IndexBase {
        self
    }
    fn base_mut(&mut self) -> &mut IndexBase {
        self
    }
    fn train(&mut self, x: &[f32]) -> Result<()> {
        self.rows(x)?;
        self.check()?;
        let index = self.inner()?.clone();
        let mut index = index.write();
        let mut x = Cow::Borrowed(x);
        let stages = self.chain.0.len();
        // What comes after the last that needs training is left alone.
        let needs = |i: usize| !self.chain.0[i].read().base().is_trained;
        let last = if index.base().is_trained { (0..stages).rev().find(|i| needs(*i)) } else { Some(stages) };
        let Some(last) = last else {
            self.is_trained = true;
            return Ok(());
        };
        for transform in &self.chain.0[..stages.min(last + 1)] {
            let mut transform = transform.write();
            if !transform.base().is_trained {
                transform.train(&x)?;
            }
            x = Cow::Owned(transform.apply(&x)?);
        }
        if last == stages {
            index.train(&x)?;
        }
        self.is_trained = true;
        Ok(())
    }
    fn add(&mut self, x: &[f32]) -> Result<()> {
        Error::check(self.is_trained, "is_trained")?;
        let x = self.apply_chain(x)?;
        self.changed(|index| index.add(&x))
    }
    fn add_with_ids(&mut self, x: &[f32], ids: &[i64]) -> Result<()> {
        Error::check(self.is_trained, "is_trained")?;
        let x = self.apply_chain(x)?;
        self.changed(|index| index.add_with_ids(&x, ids))
    }
    fn search(
        &self,
        x: &[f32],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [f32],
        labels: &mut [i64],
    ) -> Result<()> {
        Error::check(self.is_trained, "is_trained")?;
        let x = self.apply_chain(x)?;
        with_params(params, |params| self.inner()?.read().search(&x, k, params, distances, labels))
    }
    fn range_search(&self, x: &[f32], radius: f32, params: Option<&dyn Object>) -> Result<RangeSearchResult> {
        Error::check(self.is_trained, "is_trained")?;
        let x = self.apply_chain(x)?;
        with_params(params, |params| self.inner()?.read().range_search(&x, radius, params))
    }
    fn search_and_reconstruct(
        &self,
        x: &[f32],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [f32],
        labels: &mut [i64],
        recons: &mut [f32],
    ) -> Result<()> {
        Error::check(self.is_trained, "is_trained")?;
        let x = self.apply_chain(x)?;
        self.reversed(recons, |index, recons| {
            with_params(params, |params| index.search_and_reconstruct(&x, k, params, distances, labels, recons))
        })
    }
    fn reset(&mut self) -> Result<()> {
        self.changed(|index| index.reset())
    }
    fn remove_ids(&mut self, sel: &dyn IDSelector) -> Result<usize> {
        self.changed(|index| index.remove_ids(sel))
    }
    fn reconstruct(&self, key: i64, out: &mut [f32]) -> Result<()> {
        self.reversed(out, |index, out| index.reconstruct(key, out))
    }
    fn reconstruct_n(&self, i0: i64, ni: usize, out: &mut [f32]) -> Result<()> {
        self.reversed(out, |index, out| index.reconstruct_n(i0, ni, out))
    }
    fn get_distance_computer(&self) -> Result<Box<dyn DistanceComputer + '_>> {
        Ok(Box::new(OfTransformed { chain: self, inner: OfShared::new(self.inner()?)? }))
    }
    fn sa_code_size(&self) -> Result<usize> {
        self.inner()?.read().sa_code_size()
    }
    fn sa_encode(&self, x: &[f32], codes: &mut [u8]) -> Result<()> {
        let x = self.apply_chain(x)?;
        self.inner()?.read().sa_encode(&x, codes)
    }
    fn sa_decode(&self, codes: &[u8], x: &mut [f32]) -> Result<()> {
        self.reversed(x, |index, x| index.sa_decode(codes, x))
    }
    fn add_sa_codes(&mut self, codes: &[u8], ids: Option<&[i64]>) -> Result<()> {
        self.changed(|index| index.add_sa_codes(codes, ids))
    }
    fn check_compatible_for_merge(&self, other: &dyn Index) -> Result<()> {
        check_same_type(self, other)?;
        let theirs = receiver::<IndexPreTransform>(other)?;
        Error::check(theirs.chain.0.len() == self.chain.0.len(), "chain.size() == other->chain.size()")?;
        for (a, b) in self.chain.0.iter().zip(&theirs.chain.0) {
            let same = a.same(b) || bytes(&*a.read())? == bytes(&*b.read())?;
            Error::check(same, "the transforms are identical")?;
        }
        let theirs = theirs.inner()?.read();
        self.inner()?.read().check_compatible_for_merge(&*theirs)
    }
    fn merge_from(&mut self, other: &mut dyn Index, add_id: i64) -> Result<()> {
        self.check_compatible_for_merge(other)?;
        let theirs = receiver_mut::<IndexPreTransform>(other)?;
        let from = theirs.inner()?.clone();
        if from.same(self.inner()?) {
            return Err(Error::value("both indexes hold the same one"));
        }
        self.changed(|index| index.merge_from(&mut *from.write(), add_id))?;
        theirs.ntotal = 0;
        Ok(())
    }
}

/// A transform as a file has it.
fn bytes(transform: &dyn VectorTransform) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    write_nested(transform, &mut Writer::new(&mut bytes, 0))?;
    Ok(bytes)
}
