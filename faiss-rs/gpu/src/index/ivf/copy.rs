//! To the CPU's inverted files and from them: quantizer, lists and the fields that both have.

use faiss_core::base::object::cast;
use faiss_core::base::{Error, Result, Shared};
use faiss_core::index::Index;
use faiss_core::index::ivf::IndexIVF;
use faiss_core::storage::lists::ArrayInvertedLists;

use super::GpuIndexIVF;
use crate::cloner;
use crate::config::GpuClonerOptions;
use crate::index::GpuIndex;
use crate::kind::{Cloner, Target};
use crate::lists::DeviceLists;

impl GpuIndexIVF {
    /// This index's resources and configuration with everything else of a CPU index. `self` stays as it was.
    pub fn copied_from(&self, index: &IndexIVF) -> Result<GpuIndexIVF> {
        let quantizer = self.quantizer_from(index.quantizer()?)?;
        let mut gpu: GpuIndex = self.gpu.clone();
        gpu.base = index.base.clone();
        let config = self.config.clone();
        let lists = match index.ntotal {
            0 => None,
            _ => {
                let stored = index.lists()?;
                let (space, indices) = (config.base.memory_space, config.indices_options);
                let mut lists = self.with(|context| DeviceLists::upload(context, space, &*stored, indices))?;
                lists.report_to(self.hold_lists());
                Some(lists)
            }
        };
        Ok(GpuIndexIVF {
            gpu,
            quantizer: Some(quantizer),
            nlist: index.nlist,
            quantizer_trains_alone: index.quantizer_trains_alone,
            own_fields: true,
            cp: index.cp.clone(),
            clustering_index: index.clustering_index.clone(),
            nprobe: index.nprobe,
            max_codes: index.max_codes,
            config,
            lists,
            centroids: None,
        })
    }

    /// The quantizer of a CPU index as this index can use it: on its GPU where possible.
    fn quantizer_from(&self, quantizer: &Shared<dyn Index>) -> Result<Shared<dyn Index>> {
        let locked = quantizer.read();
        if cast::<GpuIndex>(&*locked).is_some() {
            return Ok(quantizer.clone());
        }
        if Cloner::of_cpu(locked.info()).is_none() {
            if self.config.allow_cpu_coarse_quantizer {
                return Ok(quantizer.clone());
            }
            let message = format!(
                "This index type is not implemented on GPU: {}, the coarse quantizer, and allowCpuCoarseQuantizer is set to false. \
                 Please set the flag to true to allow the CPU fallback in cloner.",
                locked.info().name
            );
            return Err(Error::failed("", message));
        }
        let flat = &self.config.flat_config;
        let options = GpuClonerOptions {
            use_float16: flat.use_float16,
            store_transposed: flat.store_transposed,
            use_cuvs: self.config.base.use_cuvs,
            ..Default::default()
        };
        let target = Target { resources: self.gpu.resources(), device: self.config.base.device, options: &options };
        cloner::to_gpu(&target, &*locked)?.view()
    }

    /// The same index on the CPU, but for what its family adds.
    pub fn to_cpu(&self, code_size: usize, by_residual: bool) -> Result<IndexIVF> {
        let quantizer = self.quantizer()?.read();
        let quantizer = cloner::to_cpu(&*quantizer)?.view()?;
        let mut copy = IndexIVF::new(quantizer, self.d.into(), self.nlist, code_size, self.metric_type, false)?;
        let lists = match self.lists()? {
            Some(lists) => self.with(|context| Ok(lists.download(context)))??,
            None => ArrayInvertedLists::new(self.nlist, code_size)?,
        };
        copy.base = self.gpu.base.clone();
        copy.invlists = Some(Shared::new(lists));
        copy.own_invlists = true;
        copy.own_fields = true;
        copy.quantizer_trains_alone = self.quantizer_trains_alone;
        copy.cp = self.cp.clone();
        copy.nprobe = self.nprobe;
        copy.max_codes = self.max_codes;
        copy.by_residual = by_residual;
        Ok(copy)
    }
}
