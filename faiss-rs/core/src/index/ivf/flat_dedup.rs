//! Inverted file of full vectors, each of which is stored once however often it was added.

use std::collections::{BTreeMap, HashMap, HashSet};

use faiss_derive::{Object, methods};

use super::flat::IndexIVFFlat;
use super::{IndexIVF, InvertedFile, Search, Searcher, edit};
use crate::base::object::Object;
use crate::base::{Error, Handle, MetricType, Result, Shared};
use crate::grammar::Grammar;
use crate::index::ivf::format::{Header, Lists};
use crate::index::{Index, RangeSearchResult};
use crate::registry::Row;
use crate::selector::IDSelector;
use crate::stream::fields::Form;
use crate::stream::{Reader, Writer};

/// Stores full vectors in the lists of a coarse quantizer, equal ones once; a search finds all their ids.
#[derive(Object, Clone, Default)]
#[object(methods, implements(Index, InvertedFile), copy(flat))]
pub struct IndexIVFFlatDedup {
    /// The lists of vectors.
    #[object(parent)]
    pub flat: IndexIVFFlat,
    /// For ids that are stored, the others of equal vectors, as they were added.
    instances: BTreeMap<i64, Vec<i64>>,
}

pub(crate) const ROW: Row = Row::of::<IndexIVFFlatDedup>()
    .grammar(Grammar::InvertedFile(|over, part| match part {
        "FlatDedup" => {
            let quantizer = over.quantizer.clone();
            Ok(Some(Handle::new(IndexIVFFlatDedup::new(quantizer, over.d, over.nlist, over.metric, true)?)))
        }
        _ => Ok(None),
    }))
    .format(crate::file_format!(IndexIVFFlatDedup, ["IwFd"], |index, code| {
        index.ivf => Header(code);
        read { index.code_size = index.dim() * size_of::<f32>(); }
        index.instances => Pairs;
        index.ivf => Lists;
    }));

/// Each id that vectors are stored by, with each of the others that they have.
struct Pairs;

impl Form<BTreeMap<i64, Vec<i64>>> for Pairs {
    fn read(&self, instances: &mut BTreeMap<i64, Vec<i64>>, input: &mut Reader<'_>) -> Result<()> {
        let pairs: Vec<i64> = input.vec()?;
        Error::check(pairs.len().is_multiple_of(2), "tab.size() % 2 == 0")?;
        pairs.chunks_exact(2).for_each(|pair| instances.entry(pair[0]).or_default().push(pair[1]));
        Ok(())
    }
    fn write(&self, instances: &BTreeMap<i64, Vec<i64>>, out: &mut Writer<'_>) -> Result<()> {
        let pairs = instances.iter().flat_map(|(id, others)| others.iter().flat_map(move |other| [*id, *other]));
        out.vec(&pairs.collect::<Vec<i64>>())
    }
}

#[methods(new)]
impl IndexIVFFlatDedup {
    /// Over `nlist` lists of `quantizer`.
    #[new]
    pub fn new(
        quantizer: Shared<dyn Index>,
        d: i64,
        nlist: usize,
        #[default = MetricType::L2] metric: MetricType,
        #[default = true] own_invlists: bool,
    ) -> Result<Self> {
        let flat = IndexIVFFlat::new(quantizer, d, nlist, metric, own_invlists)?;
        Ok(IndexIVFFlatDedup { flat, instances: BTreeMap::new() })
    }
}

impl IndexIVFFlatDedup {
    fn add_once(&mut self, x: &[f32], ids: Option<&[i64]>) -> Result<()> {
        Error::check(self.is_trained, "is_trained")?;
        let no_map = self.direct_map.no();
        Error::check(no_map, "direct_map.no()")?;
        let n = self.rows(x)?;
        Error::check(ids.is_none_or(|ids| ids.len() == n), "ids.size() == n")?;
        let first = self.ntotal;
        let list_nos = edit::assign(self, x)?;
        let codes = self.codes_of(x, &list_nos)?.into_owned();
        let size = self.code_size.max(1);
        let handle = self.lists_handle()?.clone();
        let mut lists = handle.write();
        lists.check_can_write()?;
        // What each list has, by its bytes; made once for each list that is added to.
        let mut known: HashMap<i64, HashMap<Vec<u8>, i64>> = HashMap::new();
        for (i, code) in codes.chunks_exact(size).enumerate() {
            let Ok(list) = usize::try_from(list_nos[i]) else { continue };
            let id = ids.map_or(first + i as i64, |ids| ids[i]);
            let own = known.entry(list_nos[i]).or_insert_with(|| {
                let (codes, ids) = (lists.codes(list), lists.ids(list));
                let stored = codes.chunks_exact(size).zip(ids.iter());
                stored.map(|(code, id)| (code.to_vec(), *id)).rev().collect()
            });
            match own.get(code) {
                Some(stored) => self.instances.entry(*stored).or_default().push(id),
                None => {
                    lists.add_entries(list, &[id], code)?;
                    own.insert(code.to_vec(), id);
                }
            }
        }
        drop(lists);
        self.ntotal += n as i64;
        Ok(())
    }
}

impl Index for IndexIVFFlatDedup {
    crate::inherit_index!(flat);

    /// On each of equal vectors once.
    fn train(&mut self, x: &[f32]) -> Result<()> {
        let d = self.dim().max(1);
        let mut seen = HashSet::new();
        let once = x.chunks_exact(d).filter(|row| seen.insert(row.iter().map(|v| v.to_bits()).collect::<Vec<u32>>()));
        let x: Vec<f32> = once.flatten().copied().collect();
        self.flat.train(&x)
    }
    fn add(&mut self, x: &[f32]) -> Result<()> {
        self.add_once(x, None)
    }
    fn add_with_ids(&mut self, x: &[f32], ids: &[i64]) -> Result<()> {
        self.add_once(x, Some(ids))
    }
    fn search(
        &self,
        x: &[f32],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [f32],
        labels: &mut [i64],
    ) -> Result<()> {
        self.flat.search(x, k, params, distances, labels)?;
        for (distances, labels) in distances.chunks_exact_mut(k).zip(labels.chunks_exact_mut(k)) {
            if !labels.iter().any(|id| self.instances.contains_key(id)) {
                continue;
            }
            let mut all: Vec<(f32, i64)> = Vec::with_capacity(k);
            for (distance, id) in distances.iter().zip(labels.iter()) {
                all.push((*distance, *id));
                // The last that was added comes first, as in Faiss.
                let others = self.instances.get(id).into_iter().flatten().rev();
                all.extend(others.map(|other| (*distance, *other)));
            }
            for (i, (distance, id)) in all.into_iter().take(k).enumerate() {
                (distances[i], labels[i]) = (distance, id);
            }
        }
        Ok(())
    }
    fn range_search(&self, _x: &[f32], _radius: f32, _params: Option<&dyn Object>) -> Result<RangeSearchResult> {
        Err(Error::failed("", "not implemented"))
    }
    fn reset(&mut self) -> Result<()> {
        self.instances.clear();
        self.flat.reset()
    }
    /// An entry stays where one of its ids does.
    fn remove_ids(&mut self, sel: &dyn IDSelector) -> Result<usize> {
        let handle = self.lists_handle()?.clone();
        let mut lists = handle.write();
        lists.check_can_write()?;
        let mut removed = 0;
        let mut kept: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        for list in 0..self.nlist {
            let (ids, codes) = (lists.ids(list).into_owned(), lists.codes(list).into_owned());
            let size = self.code_size.max(1);
            let (mut new_ids, mut new_codes) = (Vec::new(), Vec::new());
            for (id, code) in ids.iter().zip(codes.chunks_exact(size)) {
                let others = self.instances.get(id).cloned().unwrap_or_default();
                let all = std::iter::once(*id).chain(others);
                let mut left: Vec<i64> = Vec::new();
                for id in all {
                    if sel.is_member(id) {
                        removed += 1;
                    } else {
                        left.push(id);
                    }
                }
                if left.is_empty() {
                    continue;
                }
                let first = left.remove(0);
                new_ids.push(first);
                new_codes.extend_from_slice(code);
                if !left.is_empty() {
                    kept.insert(first, left);
                }
            }
            lists.resize(list, new_ids.len())?;
            lists.update_entries(list, 0, &new_ids, &new_codes)?;
        }
        drop(lists);
        self.instances = kept;
        self.ntotal -= removed as i64;
        Ok(removed)
    }
    fn merge_from(&mut self, _other: &mut dyn Index, _add_id: i64) -> Result<()> {
        Err(Error::failed("", "not implemented"))
    }
}

impl InvertedFile for IndexIVFFlatDedup {
    fn ivf(&self) -> &IndexIVF {
        self.flat.ivf()
    }
    fn ivf_mut(&mut self) -> &mut IndexIVF {
        self.flat.ivf_mut()
    }
    fn encode_vectors(&self, x: &[f32], list_nos: &[i64], codes: &mut [u8]) -> Result<()> {
        self.flat.encode_vectors(x, list_nos, codes)
    }
    fn decode_vectors(&self, codes: &[u8], list_nos: &[i64], x: &mut [f32]) -> Result<()> {
        self.flat.decode_vectors(codes, list_nos, x)
    }
    fn train_encoder(&mut self, x: &[f32], assign: Option<&[i64]>) -> Result<()> {
        self.flat.train_encoder(x, assign)
    }
    fn searcher<'a>(&'a self, search: Search<'a>) -> Result<Option<Box<dyn Searcher + 'a>>> {
        self.flat.searcher(search)
    }
}
