//! An inverted file whose coarse quantizer sees the vectors as they are, while its codes are of transformed vectors.

use faiss_derive::{Object, methods};

use super::edit::to_encode;
use super::pq::IndexIVFPQ;
use super::{IndexIVF, InvertedFile, edit, search};
use crate::base::object::{Object, cast, cast_mut};
use crate::base::{Error, Result, Shared};
use crate::index::ivf::train::Level1;
use crate::index::{Index, IndexBase};
use crate::registry::Row;
use crate::stream::fields::{Form, Stored};
use crate::stream::{Reader, Writer};
use crate::transform::VectorTransform;

/// A coarse quantizer of vectors as they are, beside an inverted file of transformed ones.
#[derive(Object, Clone, Default)]
#[object(methods, implements(Index), copy(quantizer, vt, index_ivf, own_fields = true))]
pub struct IndexIVFIndependentQuantizer {
    /// What every index has.
    #[object(parent)]
    pub base: IndexBase,
    /// Assigns vectors to lists, before the transform.
    pub quantizer: Option<Shared<dyn Index>>,
    /// What is done to vectors before they are encoded; none for nothing.
    pub vt: Option<Shared<dyn VectorTransform>>,
    /// Stores the codes.
    pub index_ivf: Option<Shared<dyn InvertedFile>>,
    /// Whether these objects belong to this one. Memory is managed by reference counts, whatever this says.
    pub own_fields: bool,
}

pub(crate) const ROW: Row = Row::of::<IndexIVFIndependentQuantizer>().format(
    crate::file_format!(IndexIVFIndependentQuantizer, ["IwIQ"], |index| {
    index.base;
    index.quantizer;
    index.vt => MaybeThere;
    index.index_ivf => WithTableKind;
    read { index.own_fields = true; }
}, index.check()),
);

/// Whether there is a transform, and the transform.
struct MaybeThere;

impl Form<Option<Shared<dyn VectorTransform>>> for MaybeThere {
    fn read(&self, vt: &mut Option<Shared<dyn VectorTransform>>, input: &mut Reader<'_>) -> Result<()> {
        if input.bool("has_vt")? {
            vt.read_from(input, "vt")?;
            Error::check(vt.is_some(), "vt")?;
        }
        Ok(())
    }
    fn write(&self, vt: &Option<Shared<dyn VectorTransform>>, out: &mut Writer<'_>) -> Result<()> {
        out.bool(vt.is_some())?;
        if vt.is_some() { vt.write_to(out) } else { Ok(()) }
    }
}

/// An inverted file, and which precomputed table it has where it can have one.
struct WithTableKind;

impl Form<Option<Shared<dyn InvertedFile>>> for WithTableKind {
    fn read(&self, file: &mut Option<Shared<dyn InvertedFile>>, input: &mut Reader<'_>) -> Result<()> {
        file.read_from(input, "index_ivf")?;
        if let Some(file) = file
            && let Some(pq) = cast_mut::<IndexIVFPQ>(&mut *file.write())
        {
            pq.use_precomputed_table = input.i32()?;
        }
        Ok(())
    }
    fn write(&self, file: &Option<Shared<dyn InvertedFile>>, out: &mut Writer<'_>) -> Result<()> {
        file.write_to(out)?;
        if let Some(file) = file
            && let Some(pq) = cast::<IndexIVFPQ>(&*file.read())
        {
            out.i32(pq.use_precomputed_table)?;
        }
        Ok(())
    }
}

#[methods(new)]
impl IndexIVFIndependentQuantizer {
    /// The inverted file's dimension is the one that the transform gives, or the quantizer's.
    #[new]
    pub fn new(
        quantizer: Shared<dyn Index>,
        index_ivf: Shared<dyn InvertedFile>,
        #[default = None] vt: Option<Shared<dyn VectorTransform>>,
    ) -> Result<Self> {
        let (d, metric) = {
            let quantizer = quantizer.read();
            (i64::from(quantizer.base().d), index_ivf.read().base().metric_type)
        };
        let mut base = IndexBase::new(d, metric)?;
        base.is_trained = false;
        let made = IndexIVFIndependentQuantizer {
            base,
            quantizer: Some(quantizer),
            vt,
            index_ivf: Some(index_ivf),
            own_fields: false,
        };
        made.check()?;
        if let Some(pq) = cast_mut::<IndexIVFPQ>(&mut *made.file()?.write()) {
            // Distances to centroids are between vectors before the transform: they are not those of the formula.
            pq.use_precomputed_table = -1;
        }
        {
            let (quantizer, file) = (made.quantizer()?.read(), made.file()?.read());
            let ready = quantizer.base().is_trained && quantizer.base().ntotal == file.ivf().nlist as i64;
            let trained =
                ready && file.base().is_trained && made.vt.as_ref().is_none_or(|vt| vt.read().base().is_trained);
            drop((quantizer, file));
            Ok(IndexIVFIndependentQuantizer { base: IndexBase { is_trained: trained, ..made.base.clone() }, ..made })
        }
    }
}

impl IndexIVFIndependentQuantizer {
    fn quantizer(&self) -> Result<&Shared<dyn Index>> {
        self.quantizer.as_ref().ok_or_else(|| Error::failed("quantizer", "the index has no quantizer"))
    }

    fn file(&self) -> Result<&Shared<dyn InvertedFile>> {
        self.index_ivf.as_ref().ok_or_else(|| Error::failed("index_ivf", "the index has no inverted file"))
    }

    /// An error where the dimensions do not fit together.
    fn check(&self) -> Result<()> {
        let d = self.quantizer()?.read().base().d;
        let of_codes = self.file()?.read().base().d;
        let fits = match &self.vt {
            Some(vt) => {
                let vt = vt.read();
                vt.base().d_in == d && vt.base().d_out == of_codes
            }
            None => d == of_codes,
        };
        if !fits || d != self.d {
            return Err(Error::failed("!(index_ivf->d == d)", "invalid vector dimensions"));
        }
        Ok(())
    }

    /// Vectors as the inverted file gets them.
    fn transformed<'a>(&self, x: &'a [f32]) -> Result<std::borrow::Cow<'a, [f32]>> {
        match &self.vt {
            Some(vt) => vt.read().apply(x).map(Into::into),
            None => Ok(x.into()),
        }
    }

    /// Trains the inverted file, whose own quantizer gets the transformed centroids, on vectors of which the lists are known.
    fn train_file(&self, x: &[f32], list_nos: &[i64]) -> Result<()> {
        let mut file = self.file()?.write();
        let mut centroids = vec![0f32; file.ivf().nlist * self.dim()];
        self.quantizer()?.read().reconstruct_n(0, file.ivf().nlist, &mut centroids)?;
        let centroids = self.transformed(&centroids)?;
        let inner = file.ivf().quantizer()?.clone();
        if !inner.same(self.quantizer()?) {
            let mut inner = inner.write();
            if !inner.base().is_trained {
                inner.train(&centroids)?;
            }
            inner.reset()?;
            inner.add(&centroids)?;
        }
        let residuals = to_encode(file.ivf(), x, list_nos)?;
        file.train_encoder(&residuals, Some(list_nos))?;
        file.ivf_mut().is_trained = true;
        Ok(())
    }
}

impl Index for IndexIVFIndependentQuantizer {
    fn base(&self) -> &IndexBase {
        self
    }
    fn base_mut(&mut self) -> &mut IndexBase {
        self
    }

    fn train(&mut self, x: &[f32]) -> Result<()> {
        self.check()?;
        let (nlist, alone, cp) = {
            let file = self.file()?.read();
            let ivf: &IndexIVF = file.ivf();
            (ivf.nlist, ivf.quantizer_trains_alone, ivf.cp.clone())
        };
        let quantizer = self.quantizer()?;
        Level1 { quantizer, nlist, trains_alone: alone, cp: &cp, clustering_index: None, base: &self.base }.train(x)?;
        if let Some(vt) = &self.vt
            && !vt.read().base().is_trained
        {
            vt.write().train(x)?;
        }
        let mut list_nos = vec![-1i64; self.rows(x)?];
        quantizer.read().assign(x, 1, &mut list_nos)?;
        self.train_file(&self.transformed(x)?, &list_nos)?;
        self.is_trained = true;
        Ok(())
    }
    /// As in Faiss, the vectors are counted by the inverted file alone.
    fn add(&mut self, x: &[f32]) -> Result<()> {
        Error::check(self.is_trained, "is_trained")?;
        self.check()?;
        let mut list_nos = vec![-1i64; self.rows(x)?];
        self.quantizer()?.read().assign(x, 1, &mut list_nos)?;
        let x = self.transformed(x)?;
        edit::add_core(&mut *self.file()?.write(), &x, None, &list_nos)
    }
    fn search(
        &self,
        x: &[f32],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [f32],
        labels: &mut [i64],
    ) -> Result<()> {
        if params.is_some() {
            return Err(Error::failed("!params", "search parameters not supported"));
        }
        self.check()?;
        let n = self.queries(x, k, distances, labels)?;
        let file = self.file()?.read();
        let nprobe = file.ivf().nprobe.min(file.ivf().nlist).max(1);
        let (mut coarse, mut list_nos) = (vec![0f32; n * nprobe], vec![-1i64; n * nprobe]);
        self.quantizer()?.read().search(x, nprobe, None, &mut coarse, &mut list_nos)?;
        search::search_preassigned(&*file, &self.transformed(x)?, k, &list_nos, &coarse, None, distances, labels, false)
    }
    fn reset(&mut self) -> Result<()> {
        self.file()?.write().reset()
    }
}
