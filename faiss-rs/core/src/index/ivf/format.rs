//! The parts of files that all inverted files share.

use super::IndexIVF;
use crate::base::{Error, Result, Shared};
use crate::index::header::check_d;
use crate::registry::{self, REGISTRY};
use crate::storage::codes::Codes;
use crate::storage::direct_map::{self, DirectMap};
use crate::storage::ids::Ids;
use crate::storage::lists::{ArrayInvertedLists, InvertedLists};
use crate::stream::fields::{Form, Stored};
use crate::stream::{FourCC, Reader, Writer};

/// What inverted files begin with. The oldest, whose codes begin with `Iv`, have the lists' ids here; until [`Lists`] is read, the lists are of
/// ids without codes.
pub(crate) struct Header(pub FourCC);

crate::form!(Header(code) of IndexIVF, |ivf, file| {
    ivf.base;
    ivf.nlist;
    ivf.nprobe;
    read { file.check_loop(ivf.nlist, "nlist")?; }
    ivf.quantizer;
    read {
        check_d(ivf.quantizer.as_ref(), &ivf.base, "quantizer->d == d")?;
        ivf.own_fields = true;
        if code.0.starts_with(b"Iv") {
            let ids = (0..ivf.nlist).map(|_| file.vec()).collect::<Result<Vec<_>>>()?;
            let mut lists = ArrayInvertedLists::new(ivf.nlist, 0)?;
            let mut numbered = ids.into_iter().enumerate();
            numbered.try_for_each(|(list, ids)| lists.set_list(list, Ids::Owned(ids), Codes::default()))?;
            ivf.invlists = Some(Shared::new(lists));
        }
    }
    ivf.direct_map;
});

/// The lists of an inverted file, whose code size is known.
pub(crate) struct Lists;

impl Form<IndexIVF> for Lists {
    fn read(&self, ivf: &mut IndexIVF, input: &mut Reader<'_>) -> Result<()> {
        ListsOf { floats: false }.read(ivf, input)
    }
    fn write(&self, ivf: &IndexIVF, out: &mut Writer<'_>) -> Result<()> {
        MaybeLists.write(&ivf.invlists, out)
    }
}

/// Lists of any kind, or none.
pub(crate) struct MaybeLists;

impl Form<Option<Shared<dyn InvertedLists>>> for MaybeLists {
    fn read(&self, lists: &mut Option<Shared<dyn InvertedLists>>, input: &mut Reader<'_>) -> Result<()> {
        *lists = read_inverted_lists(input)?;
        Ok(())
    }
    fn write(&self, lists: &Option<Shared<dyn InvertedLists>>, out: &mut Writer<'_>) -> Result<()> {
        match lists {
            Some(lists) => write_inverted_lists(&*lists.read(), out),
            None => out.fourcc("il00"),
        }
    }
}

/// As [`Lists`]; where the ids were in the header, the codes of one list after the other are here, counted as floats or as bytes.
pub(crate) struct ListsOf {
    pub floats: bool,
}

impl Form<IndexIVF> for ListsOf {
    fn read(&self, ivf: &mut IndexIVF, input: &mut Reader<'_>) -> Result<()> {
        if let Some(ids) = ivf.invlists.take() {
            let (ids, mut lists) = (ids.read(), ArrayInvertedLists::new(ivf.nlist, ivf.code_size)?);
            for list in 0..ivf.nlist {
                let codes = if self.floats { input.codes_of_words() } else { input.codes() }?;
                lists.set_list(list, Ids::Owned(ids.ids(list).into_owned()), codes)?;
            }
            return take_lists(ivf, Shared::new(lists));
        }
        match read_inverted_lists(input)? {
            Some(lists) => take_lists(ivf, lists),
            None => {
                eprintln!("read_InvertedLists: WARN! inverted lists not stored with IVF object");
                Ok(())
            }
        }
    }
    fn write(&self, ivf: &IndexIVF, out: &mut Writer<'_>) -> Result<()> {
        Lists.write(ivf, out)
    }
}

impl Stored for DirectMap {
    fn read_from(&mut self, input: &mut Reader<'_>, _name: &str) -> Result<()> {
        let mut map = DirectMap { kind: i32::from(input.u8()?), ..Default::default() };
        let known = (direct_map::NO_MAP..=direct_map::HASHTABLE).contains(&map.kind);
        Error::check(known, "dm->type >= 0 && dm->type < DMT_count")?;
        map.array = input.vec()?;
        if map.kind == direct_map::HASHTABLE {
            let n = input.usize()?;
            let pairs: Vec<i64> = input.elements(n.checked_mul(2).ok_or_else(|| Error::failed("size fits", ""))?)?;
            map.hashtable = pairs.chunks_exact(2).map(|p| (p[0], p[1])).collect();
        }
        *self = map;
        Ok(())
    }
    fn write_to(&self, out: &mut Writer<'_>) -> Result<()> {
        out.u8(self.kind as u8)?;
        out.vec(&self.array)?;
        if self.kind == direct_map::HASHTABLE {
            let mut pairs: Vec<(i64, i64)> = self.hashtable.iter().map(|(id, lo)| (*id, *lo)).collect();
            pairs.sort_unstable();
            out.usize(pairs.len())?;
            for (id, lo) in pairs {
                out.i64(id)?;
                out.i64(lo)?;
            }
        }
        Ok(())
    }
}

/// Lists as their kind has them in files.
pub(crate) fn write_inverted_lists(lists: &dyn InvertedLists, out: &mut Writer<'_>) -> Result<()> {
    let name = lists.info().name;
    let format = registry::row(lists.info()).and_then(|row| row.format);
    let format = format.ok_or_else(|| {
        let message = format!("write_InvertedLists: lists of the type {name} have no form in files");
        Error::failed("", message)
    })?;
    (format.write)(lists, out)
}

/// Lists as they were read, whose entries are what the index has.
pub fn take_lists(ivf: &mut IndexIVF, lists: Shared<dyn InvertedLists>) -> Result<()> {
    {
        let lists = lists.read();
        ivf.check_lists(&*lists)?;
        let entries = (0..ivf.nlist).try_fold(0usize, |sum, list| sum.checked_add(lists.list_size(list)));
        // Vectors that were in no list when they were added are counted all the same.
        let counted = entries.is_some_and(|n| n as u64 <= ivf.ntotal as u64) && ivf.ntotal < i64::MAX >> 8;
        Error::check(counted, "invlists->compute_ntotal() <= ntotal")?;
    }
    (ivf.invlists, ivf.own_invlists) = (Some(lists), true);
    Ok(())
}

/// Lists of whatever kind; `None` where there are none.
pub fn read_inverted_lists(input: &mut Reader<'_>) -> Result<Option<Shared<dyn InvertedLists>>> {
    let code = input.fourcc()?;
    if code.is("il00") {
        return Ok(None);
    }
    let format = REGISTRY.iter().filter_map(|row| row.format).find(|f| f.fourccs.iter().any(|c| code.is(c)));
    let made = format.map(|format| (format.read)(input, code)).transpose()?;
    let unknown = || Error::failed("", format!("read_InvertedLists: unsupported invlist type \"{code}\""));
    made.and_then(|made| made.view().ok()).map(Some).ok_or_else(unknown)
}
