//! The part of a file that every index begins with.

use super::{Index, IndexBase};
use crate::base::{Error, MetricType, Result, Shared};
use crate::stream::fields::{Form, Stored};
use crate::stream::{IO_FLAG_SKIP_STORAGE, Reader, Writer};

/// Two fields of the format that nothing uses.
const DUMMY: i64 = 1 << 20;
const MAX_D: i32 = 1 << 20;

impl Stored for IndexBase {
    fn read_from(&mut self, input: &mut Reader<'_>, _name: &str) -> Result<()> {
        let d = input.i32()?;
        if !(0..=MAX_D).contains(&d) {
            let condition = format!("(int64_t)(idx.d) >= (int64_t)(0) && (int64_t)(idx.d) < (int64_t)({})", MAX_D + 1);
            return Err(Error::failed(condition, format!("idx.d (= {d}) out of range [0, {})", MAX_D + 1)));
        }
        let ntotal = input.i64()?;
        if ntotal < 0 {
            return Err(Error::failed("idx.ntotal >= 0", format!("invalid ntotal {ntotal} read from index")));
        }
        input.i64()?;
        input.i64()?;
        let is_trained = input.bool("idx.is_trained")?;
        let metric_type = MetricType::try_from(i64::from(input.i32()?))?;
        let metric_arg = if metric_type as i32 > 1 { input.f32()? } else { 0.0 };
        *self = IndexBase { d, ntotal, verbose: false, is_trained, metric_type, metric_arg };
        Ok(())
    }
    fn write_to(&self, out: &mut Writer<'_>) -> Result<()> {
        out.i32(self.d)?;
        out.i64(self.ntotal)?;
        out.i64(DUMMY)?;
        out.i64(DUMMY)?;
        out.bool(self.is_trained)?;
        out.i32(self.metric_type as i32)?;
        if self.metric_type as i32 > 1 { out.f32(self.metric_arg) } else { Ok(()) }
    }
}

/// An error where an index inside another's file has another dimension.
pub(crate) fn check_d(index: Option<&Shared<dyn Index>>, base: &IndexBase, condition: &str) -> Result<()> {
    Error::check(index.is_none_or(|index| index.read().base().d == base.d), condition)
}

/// As [`check_d`], of the storage of a graph, which has the same vectors.
pub(crate) fn check_storage(storage: Option<&Shared<dyn Index>>, base: &IndexBase) -> Result<()> {
    check_d(storage, base, "storage->d == d")?;
    let same = storage.is_none_or(|storage| storage.read().base().ntotal == base.ntotal);
    Error::check(same, "storage->ntotal == ntotal")
}

/// The storage of a graph, which files may be without.
pub(crate) struct Storage;

impl Form<Option<Shared<dyn Index>>> for Storage {
    fn read(&self, storage: &mut Option<Shared<dyn Index>>, input: &mut Reader<'_>) -> Result<()> {
        storage.read_from(input, "storage")
    }
    fn write(&self, storage: &Option<Shared<dyn Index>>, out: &mut Writer<'_>) -> Result<()> {
        if out.has_flag(IO_FLAG_SKIP_STORAGE) { out.fourcc("null") } else { storage.write_to(out) }
    }
}
