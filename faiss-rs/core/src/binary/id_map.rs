//! Ids of the user's own for binary indexes whose ids count up.

use faiss_derive::Object;
use rustc_hash::FxHashMap;

use super::{IndexBinary, IndexBinaryBase, binary_base, header};
use crate::base::object::{Method, MethodCall, cast, cast_mut, receiver, receiver_mut};
use crate::base::{Error, Handle, Object, Result, Shared, Value};
use crate::distance::RangeSearchResult;
use crate::index::{params_with_selector, selector};
use crate::registry::{Format, Row, no_overload};
use crate::selector::IDSelector;
use crate::selector::sets::IDSelectorBitmap;
use crate::stream::{Reader, Writer};

/// Translates the ids of another binary index to the user's.
#[derive(Object, Default, Clone)]
#[object(implements(IndexBinary), copy = deep_copy)]
pub struct IndexBinaryIDMap {
    #[object(parent)]
    pub base: IndexBinaryBase,
    /// The index whose ids count up.
    pub index: Option<Shared<dyn IndexBinary>>,
    /// Whether that index belongs to this one. Memory is managed by reference counts, whatever this says.
    pub own_fields: bool,
    /// The user's id of each vector.
    pub id_map: Vec<i64>,
}

const SIGNATURES: &[&str] = &["()", "(index: IndexBinary)"];

pub const ROW: Row = Row::of::<IndexBinaryIDMap>()
    .construct(
        |args| match args {
            [] => Ok(Handle::new(IndexBinaryIDMap::default())),
            [Value::Handle(index)] => Ok(Handle::new(IndexBinaryIDMap::new(index.view()?)?)),
            _ => Err(no_overload("IndexBinaryIDMap", SIGNATURES)),
        },
        SIGNATURES,
    )
    .format(Format {
        fourccs: &["IBMp"],
        read: |input, _| Ok(Handle::new(IndexBinaryIDMap::read(input)?)),
        write: |object, out| receiver::<IndexBinaryIDMap>(object)?.write("IBMp", out),
    });

impl IndexBinaryIDMap {
    /// Over an empty index.
    pub fn new(index: Shared<dyn IndexBinary>) -> Result<Self> {
        let base = index.read().base().clone();
        if base.ntotal != 0 {
            return Err(Error::failed("!(index_->ntotal == 0)", "index must be empty on input"));
        }
        Ok(IndexBinaryIDMap { base, index: Some(index), ..Default::default() })
    }

    fn deep_copy(&self) -> Result<Self> {
        let index = self.index.as_ref().map(Shared::copy).transpose()?;
        Ok(IndexBinaryIDMap { index, own_fields: true, ..self.clone() })
    }

    fn inner(&self) -> Result<&Shared<dyn IndexBinary>> {
        self.index.as_ref().ok_or_else(|| Error::failed("index", "the index map has no index"))
    }

    /// The selector of the user's ids as one of the inner index's.
    fn translate(&self, sel: &dyn IDSelector) -> IDSelectorBitmap {
        let mut bits = vec![0u8; self.id_map.len().div_ceil(8)];
        for (i, id) in self.id_map.iter().enumerate() {
            bits[i / 8] |= u8::from(sel.is_member(*id)) << (i % 8);
        }
        IDSelectorBitmap::new(self.id_map.len(), bits)
    }

    /// Calls `search` with the parameters as the inner index needs them.
    fn with_params<T>(
        &self,
        params: Option<&dyn Object>,
        search: impl FnOnce(Option<&dyn Object>) -> Result<T>,
    ) -> Result<T> {
        let (Some(sel), Some(params)) = (selector(params), params) else { return search(params) };
        let translated = Handle::new(self.translate(&*sel.read()));
        search(Some(&*params_with_selector(params, translated)?))
    }

    /// From the inner index's labels to the user's; one that has no id, as the inner index was changed by itself, is no result.
    fn map_labels(&self, labels: &mut [i64]) {
        for label in labels.iter_mut().filter(|label| **label >= 0) {
            *label = self.id_map.get(*label as usize).copied().unwrap_or(-1);
        }
    }

    fn write(&self, code: &str, out: &mut Writer<'_>) -> Result<()> {
        out.fourcc(code)?;
        header::write(self, out)?;
        header::write_index(self.index.as_ref(), out)?;
        out.vec(&self.id_map)
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        let base = header::read(input)?;
        let index = header::read_index(input, base.d)?;
        let id_map: Vec<i64> = input.vec()?;
        Error::check(id_map.len() as i64 == base.ntotal, "id_map.size() == ntotal")?;
        Ok(IndexBinaryIDMap { base, index, own_fields: true, id_map })
    }
}

impl IndexBinary for IndexBinaryIDMap {
    binary_base!();

    fn train(&mut self, x: &[u8]) -> Result<()> {
        let index = self.inner()?.clone();
        let mut index = index.write();
        index.train(x)?;
        self.is_trained = index.base().is_trained;
        Ok(())
    }
    fn add(&mut self, _x: &[u8]) -> Result<()> {
        Err(Error::failed("", "add does not make sense with IndexIDMap, use add_with_ids"))
    }
    fn add_with_ids(&mut self, x: &[u8], ids: &[i64]) -> Result<()> {
        Error::check(self.rows(x)? == ids.len(), "xids.size() == n")?;
        self.id_map.try_reserve(ids.len()).map_err(|e| Error::Memory(e.to_string()))?;
        let index = self.inner()?.clone();
        let mut index = index.write();
        let result = index.add(x);
        // An add that was interrupted may have added some of the vectors.
        let added = usize::try_from(index.base().ntotal - self.ntotal).unwrap_or(0).min(ids.len());
        self.id_map.extend_from_slice(&ids[..added]);
        self.ntotal = index.base().ntotal;
        result
    }
    fn search(
        &self,
        x: &[u8],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [i32],
        labels: &mut [i64],
    ) -> Result<()> {
        self.with_params(params, |params| self.inner()?.read().search(x, k, params, distances, labels))?;
        self.map_labels(labels);
        Ok(())
    }
    fn range_search(&self, x: &[u8], radius: i32, params: Option<&dyn Object>) -> Result<RangeSearchResult> {
        let mut result = self.with_params(params, |params| self.inner()?.read().range_search(x, radius, params))?;
        self.map_labels(&mut result.labels);
        Ok(result)
    }
    fn search_and_reconstruct(
        &self,
        x: &[u8],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [i32],
        labels: &mut [i64],
        recons: &mut [u8],
    ) -> Result<()> {
        self.with_params(params, |params| {
            self.inner()?.read().search_and_reconstruct(x, k, params, distances, labels, recons)
        })?;
        self.map_labels(labels);
        Ok(())
    }
    fn reset(&mut self) -> Result<()> {
        let index = self.inner()?.clone();
        index.write().reset()?;
        self.id_map.clear();
        self.ntotal = 0;
        Ok(())
    }
    fn remove_ids(&mut self, sel: &dyn IDSelector) -> Result<usize> {
        let translated = self.translate(sel);
        let index = self.inner()?.clone();
        let mut index = index.write();
        let removed = index.remove_ids(&translated)?;
        let mut at = 0..;
        self.id_map.retain(|_| at.next().is_some_and(|i| !translated.is_member(i)));
        self.ntotal = index.base().ntotal;
        Ok(removed)
    }
    fn check_compatible_for_merge(&self, other: &dyn IndexBinary) -> Result<()> {
        Error::check(std::ptr::eq(self.info(), other.info()), "typeid(*this) == typeid(*other)")?;
        let Some(other) = cast::<IndexBinaryIDMap>(other) else { return Ok(()) };
        self.inner()?.read().check_compatible_for_merge(&*other.inner()?.read())
    }
    fn merge_from(&mut self, other: &mut dyn IndexBinary, add_id: i64) -> Result<()> {
        self.check_compatible_for_merge(other)?;
        merge(self, other, add_id)
    }
}

fn merge(this: &mut IndexBinaryIDMap, other: &mut dyn IndexBinary, add_id: i64) -> Result<()> {
    let Some(theirs) = cast_mut::<IndexBinaryIDMap>(other) else { return Ok(()) };
    let (from, to) = (theirs.inner()?.clone(), this.inner()?.clone());
    if from.same(&to) {
        return Err(Error::value("both indexes map the same one"));
    }
    let mut to = to.write();
    to.merge_from(&mut *from.write(), 0)?;
    this.id_map.extend(theirs.id_map.drain(..).map(|id| id.wrapping_add(add_id)));
    this.ntotal = to.base().ntotal;
    theirs.ntotal = 0;
    Ok(())
}

/// As [`IndexBinaryIDMap`], with a map back, so that vectors can be reconstructed by the user's ids.
#[derive(Object, Default, Clone)]
#[object(implements(IndexBinary), copy = deep_copy, methods = METHODS)]
pub struct IndexBinaryIDMap2 {
    #[object(parent)]
    pub map: IndexBinaryIDMap,
    rev_map: FxHashMap<i64, i64>,
}

pub const ROW2: Row = Row::of::<IndexBinaryIDMap2>()
    .construct(
        |args| match args {
            [] => Ok(Handle::new(IndexBinaryIDMap2::default())),
            [Value::Handle(index)] => Ok(Handle::new(IndexBinaryIDMap2::new(index.view()?)?)),
            _ => Err(no_overload("IndexBinaryIDMap2", SIGNATURES)),
        },
        SIGNATURES,
    )
    .format(Format {
        fourccs: &["IBM2"],
        read: |input, _| {
            let mut index = IndexBinaryIDMap2 { map: IndexBinaryIDMap::read(input)?, ..Default::default() };
            index.construct_rev_map();
            Ok(Handle::new(index))
        },
        write: |object, out| receiver::<IndexBinaryIDMap>(object)?.write("IBM2", out),
    });

const METHODS: &[Method] = &[
    Method {
        name: "construct_rev_map",
        signature: "(self) -> None",
        doc: "Makes the map back from `id_map`, after that was changed.",
        call: MethodCall::Write(|object, _| {
            receiver_mut::<IndexBinaryIDMap2>(object)?.construct_rev_map();
            Ok(Value::None)
        }),
    },
    Method {
        name: "check_consistency",
        signature: "(self) -> None",
        doc: "Raises where the two maps disagree.",
        call: MethodCall::Read(|object, _| {
            receiver::<IndexBinaryIDMap2>(object)?.check_consistency()?;
            Ok(Value::None)
        }),
    },
];

impl IndexBinaryIDMap2 {
    fn deep_copy(&self) -> Result<Self> {
        Ok(IndexBinaryIDMap2 { map: self.map.deep_copy()?, rev_map: self.rev_map.clone() })
    }

    /// Over an empty index.
    pub fn new(index: Shared<dyn IndexBinary>) -> Result<Self> {
        Ok(IndexBinaryIDMap2 { map: IndexBinaryIDMap::new(index)?, ..Default::default() })
    }

    /// Makes the map back from `id_map`, after that was changed.
    pub fn construct_rev_map(&mut self) {
        self.rev_map = self.map.id_map.iter().enumerate().map(|(i, id)| (*id, i as i64)).collect();
    }

    /// An error where the two maps disagree.
    pub fn check_consistency(&self) -> Result<()> {
        let n = self.id_map.len();
        Error::check(self.rev_map.len() == n && self.ntotal == n as i64, "rev_map.size() == id_map.size()")?;
        let same = |(i, id): (usize, &i64)| self.rev_map.get(id) == Some(&(i as i64));
        Error::check(self.id_map.iter().enumerate().all(same), "rev_map[id_map[i]] == i")
    }
}

impl IndexBinary for IndexBinaryIDMap2 {
    binary_base!();

    fn train(&mut self, x: &[u8]) -> Result<()> {
        self.map.train(x)
    }
    fn add(&mut self, x: &[u8]) -> Result<()> {
        self.map.add(x)
    }
    fn add_with_ids(&mut self, x: &[u8], ids: &[i64]) -> Result<()> {
        let before = self.id_map.len();
        let result = self.map.add_with_ids(x, ids);
        let Self { map, rev_map } = self;
        rev_map.extend(map.id_map.iter().enumerate().skip(before).map(|(at, id)| (*id, at as i64)));
        result
    }
    fn search(
        &self,
        x: &[u8],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [i32],
        labels: &mut [i64],
    ) -> Result<()> {
        self.map.search(x, k, params, distances, labels)
    }
    fn range_search(&self, x: &[u8], radius: i32, params: Option<&dyn Object>) -> Result<RangeSearchResult> {
        self.map.range_search(x, radius, params)
    }
    fn search_and_reconstruct(
        &self,
        x: &[u8],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [i32],
        labels: &mut [i64],
        recons: &mut [u8],
    ) -> Result<()> {
        self.map.search_and_reconstruct(x, k, params, distances, labels, recons)
    }
    fn reset(&mut self) -> Result<()> {
        self.map.reset()?;
        self.rev_map.clear();
        Ok(())
    }
    fn remove_ids(&mut self, sel: &dyn IDSelector) -> Result<usize> {
        let removed = self.map.remove_ids(sel)?;
        self.construct_rev_map();
        Ok(removed)
    }
    fn reconstruct(&self, key: i64, out: &mut [u8]) -> Result<()> {
        match self.rev_map.get(&key) {
            Some(at) => self.inner()?.read().reconstruct(*at, out),
            None => Err(Error::failed("", format!("key {key} not found"))),
        }
    }
    fn check_compatible_for_merge(&self, other: &dyn IndexBinary) -> Result<()> {
        Error::check(std::ptr::eq(self.info(), other.info()), "typeid(*this) == typeid(*other)")?;
        let Some(other) = cast::<IndexBinaryIDMap>(other) else { return Ok(()) };
        self.inner()?.read().check_compatible_for_merge(&*other.inner()?.read())
    }
    fn merge_from(&mut self, other: &mut dyn IndexBinary, add_id: i64) -> Result<()> {
        self.check_compatible_for_merge(other)?;
        merge(&mut self.map, other, add_id)?;
        self.construct_rev_map();
        if let Some(other) = cast_mut::<IndexBinaryIDMap2>(other) {
            other.rev_map.clear();
        }
        Ok(())
    }
}
