//! Exact search on a GPU over binary vectors, by Hamming distance.

use std::sync::Arc;

use faiss_core::base::object::Object;
use faiss_core::base::{Error, Result};
use faiss_core::binary::flat::IndexBinaryFlat;
use faiss_core::binary::{IndexBinary, IndexBinaryBase, WORST};
use faiss_core::index::selector;
use faiss_core::registry::Row;
use faiss_derive::{Object, methods};

use crate::config::{GpuIndexBinaryFlatConfig, GpuIndexConfig};
use crate::device::check_device;
use crate::ops::hamming::{self, Binary};
use crate::ops::select::Best;
use crate::resources::{Context, GpuResources, Held};
use crate::standard::GpuResourcesProvider;
use crate::vectors::DeviceVec;

/// Stores binary vectors on a GPU and searches them exhaustively, for any k.
#[derive(Object, Default)]
#[object(methods, implements(IndexBinary), copy = duplicate)]
pub struct GpuIndexBinaryFlat {
    #[object(parent)]
    pub base: IndexBinaryBase,
    resources: Arc<GpuResources>,
    config: GpuIndexConfig,
    /// Whole words a vector, zeros behind its last byte. Made with the first vectors.
    words: Option<DeviceVec<u32>>,
    held: Held,
}

pub const ROW: Row = Row::of::<GpuIndexBinaryFlat>();

/// Bytes of vectors that go to or from the host at a time.
const PAGE_BYTES: usize = 64 << 20;
/// The longest vector whose queries fit into the shared memory of every GPU.
const MOST_BITS: i64 = 8 * 4096;

#[methods]
impl GpuIndexBinaryFlat {
    /// A copy of a CPU index.
    #[new]
    fn of_index(
        provider: &GpuResourcesProvider,
        index: &IndexBinaryFlat,
        #[default = None] config: Option<&GpuIndexBinaryFlatConfig>,
    ) -> Result<Self> {
        Self::from_cpu(provider.resources().clone(), index, config.unwrap_or(&GpuIndexBinaryFlatConfig::default()))
    }

    #[new]
    fn of(
        provider: &GpuResourcesProvider,
        dims: i64,
        #[default = None] config: Option<&GpuIndexBinaryFlatConfig>,
    ) -> Result<Self> {
        Self::new(provider.resources().clone(), dims, config.unwrap_or(&GpuIndexBinaryFlatConfig::default()))
    }

    /// The GPU on which the index lives.
    #[name = "getDevice"]
    fn device(&self) -> i32 {
        self.config.device
    }

    /// Becomes a copy of a CPU index. On an error this index stays as it was.
    #[name = "copyFrom"]
    pub fn copy_from(&mut self, index: &IndexBinaryFlat) -> Result<()> {
        let config = GpuIndexBinaryFlatConfig { base: self.config.clone() };
        *self = GpuIndexBinaryFlat::from_cpu(self.resources.clone(), index, &config)?;
        Ok(())
    }

    /// Makes a CPU index a copy of this one.
    #[name = "copyTo"]
    fn copy_to(&self, index: &mut IndexBinaryFlat) -> Result<()> {
        *index = self.to_cpu()?;
        Ok(())
    }
}

impl GpuIndexBinaryFlat {
    /// An empty index over vectors of `d` bits.
    pub fn new(resources: Arc<GpuResources>, d: i64, config: &GpuIndexBinaryFlatConfig) -> Result<Self> {
        let base = IndexBinaryBase::new(d)?;
        if d > MOST_BITS {
            return Err(Error::failed("dims <= 32768", format!("vectors of {d} bits are too long for a GPU")));
        }
        config.base.check()?;
        check_device(config.base.device)?;
        Ok(GpuIndexBinaryFlat { base, resources, config: config.base.clone(), ..Default::default() })
    }

    /// A copy of a CPU index.
    pub fn from_cpu(
        resources: Arc<GpuResources>,
        index: &IndexBinaryFlat,
        config: &GpuIndexBinaryFlatConfig,
    ) -> Result<Self> {
        let mut made = GpuIndexBinaryFlat::new(resources, index.d.into(), config)?;
        made.add(index.vectors()?)?;
        Ok(made)
    }

    /// The same index on the CPU.
    pub fn to_cpu(&self) -> Result<IndexBinaryFlat> {
        let mut made = IndexBinaryFlat::new(self.d.into())?;
        let mut x = vec![0; self.ntotal.max(0) as usize * self.bytes()];
        self.read(0, &mut x)?;
        made.add(&x)?;
        made.verbose = self.verbose;
        Ok(made)
    }

    fn duplicate(&self) -> Result<Self> {
        let config = GpuIndexBinaryFlatConfig { base: self.config.clone() };
        GpuIndexBinaryFlat::from_cpu(self.resources.clone(), &self.to_cpu()?, &config)
    }

    fn with<R>(&self, work: impl FnOnce(&Context<'_>) -> crate::Result<R>) -> Result<R> {
        Ok(self.resources.with(self.config.device, work)?)
    }

    fn words_each(&self) -> usize {
        self.bytes().div_ceil(4)
    }

    /// Vectors as whole words.
    fn widened(&self, x: &[u8]) -> Vec<u32> {
        let words = |x: &[u8]| {
            let mut four = [0; 4];
            four[..x.len()].copy_from_slice(x);
            u32::from_le_bytes(four)
        };
        x.chunks_exact(self.bytes().max(1)).flat_map(|x| x.chunks(4).map(words)).collect()
    }

    /// The vectors, after a check that the public fields still fit to them.
    fn stored(&self) -> Result<Option<Binary>> {
        let words_each = self.words_each();
        let count = self.words.as_ref().map_or(0, DeviceVec::len).checked_div(words_each).unwrap_or(0);
        Error::check(self.ntotal == count as i64, "ntotal == number of vectors on the GPU")?;
        let words = self.words.as_ref().filter(|_| count > 0);
        Ok(words.map(|words| Binary { words: words.ptr(), count, words_each, allowed: None }))
    }

    /// Vectors `first..`, as many as `out` has room for.
    fn read(&self, first: usize, out: &mut [u8]) -> Result<()> {
        let (Some(stored), size) = (self.stored()?, self.bytes()) else { return Ok(()) };
        let each = stored.words_each;
        let page = (PAGE_BYTES / 4 / each).max(1);
        self.with(|context| {
            for (i, out) in out.chunks_mut(page * size).enumerate() {
                let mut words = vec![0u32; out.len() / size * each];
                context.download(stored.words.at((first + i * page) * each), &mut words)?;
                for (out, words) in out.chunks_exact_mut(size).zip(words.chunks_exact(each)) {
                    out.iter_mut().zip(words.iter().flat_map(|w| w.to_le_bytes())).for_each(|(to, from)| *to = from);
                }
            }
            Ok(())
        })
    }
}

impl IndexBinary for GpuIndexBinaryFlat {
    fn base(&self) -> &IndexBinaryBase {
        &self.base
    }
    fn base_mut(&mut self) -> &mut IndexBinaryBase {
        &mut self.base
    }

    fn add(&mut self, x: &[u8]) -> Result<()> {
        self.stored()?;
        let n = self.rows(x)?;
        if n == 0 {
            return Ok(());
        }
        let mut words = match self.words.take() {
            Some(words) => words,
            None => {
                self.held = self.resources.hold(self.config.device, "FlatData");
                DeviceVec::new(self.config.device, self.config.memory_space)?
            }
        };
        let host = self.widened(x);
        let before = words.len();
        let added = self.with(|context| {
            let target = words.room(context, host.len())?;
            context.upload_to(&host, target)?;
            context.sync()
        });
        if added.is_ok() {
            words.set_len(before + host.len());
            self.base.ntotal += n as i64;
        }
        self.held.set(4 * words.capacity());
        self.words = Some(words);
        added
    }

    fn reset(&mut self) -> Result<()> {
        self.words = None;
        self.held = Held::default();
        self.base.ntotal = 0;
        Ok(())
    }

    fn search(
        &self,
        x: &[u8],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [i32],
        labels: &mut [i64],
    ) -> Result<()> {
        self.queries(x, k, distances, labels)?;
        let Some(stored) = self.stored()? else {
            distances.fill(WORST);
            labels.fill(-1);
            return Ok(());
        };
        let marks = selector(params).map(|selector| {
            let mut marks = vec![false; stored.count];
            selector.read().mark(0..self.ntotal, &mut marks);
            marks.into_iter().map(u8::from).collect::<Vec<u8>>()
        });
        let (size, page) = (self.bytes(), (PAGE_BYTES / (self.bytes() + 12 * k)).max(1));
        self.with(|context| {
            let marks = marks.map(|marks| context.upload(&marks)).transpose()?;
            let searched = Binary { allowed: marks.as_ref().map(|m| m.ptr()), ..stored };
            let results = distances.chunks_mut(page * k).zip(labels.chunks_mut(page * k));
            for (x, (distances, labels)) in x.chunks(page * size).zip(results) {
                let nq = x.len() / size;
                let queries = context.upload(&self.widened(x))?;
                let (mut values, mut ids) = (context.take::<f32>(nq * k)?, context.take::<i64>(nq * k)?);
                let best = Best { values: values.ptr_mut(), ids: ids.ptr_mut() };
                hamming::knn(context, queries.ptr(), nq, &searched, k, best)?;
                let mut found = vec![0f32; nq * k];
                context.download_both((values.ptr(), &mut found), (ids.ptr(), &mut *labels))?;
                for ((distance, found), label) in distances.iter_mut().zip(&found).zip(&*labels) {
                    *distance = if *label < 0 { WORST } else { *found as i32 };
                }
            }
            Ok(())
        })
    }

    fn reconstruct(&self, key: i64, out: &mut [u8]) -> Result<()> {
        self.position(key)?;
        self.reconstruct_n(key, 1, out)
    }

    fn reconstruct_n(&self, i0: i64, ni: usize, out: &mut [u8]) -> Result<()> {
        let end = i64::try_from(ni).ok().and_then(|n| i0.checked_add(n));
        let inside = i0 >= 0 && end.is_some_and(|end| end <= self.ntotal);
        Error::check(ni == 0 || inside, "ni == 0 || (i0 >= 0 && i0 + ni <= ntotal)")?;
        Error::check(ni.checked_mul(self.bytes()) == Some(out.len()), "recons.size() == ni * code_size")?;
        if ni == 0 { Ok(()) } else { self.read(i0 as usize, out) }
    }
}
