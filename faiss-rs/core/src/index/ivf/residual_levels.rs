//! A residual quantizer cut in two: its first codebooks name the list of an inverted file, the others are the code there. So codes that are
//! there already become entries of an inverted file.

use faiss_derive::functions;

use super::additive::IndexIVFResidualQuantizer;
use super::edit;
use crate::base::object::cast;
use crate::base::{Error, MetricType, Result, Shared};
use crate::index::additive_coarse::ResidualCoarseQuantizer;
use crate::quantize::additive::residual::ResidualQuantizer;
use crate::quantize::bits::BitstringReader;

pub use declared::*;

#[functions]
mod declared {
    use super::*;

    /// An inverted file whose lists are the codes of the first nlevel codebooks of a trained quantizer, and whose codes are those of the others.
    pub fn ivf_residual_from_quantizer(
        rq: &ResidualQuantizer,
        nlevel: usize,
    ) -> Result<Shared<IndexIVFResidualQuantizer>> {
        Error::check(nlevel > 0 && nlevel + 1 < rq.aq.M, "nlevel > 0 && nlevel + 1 < rq.M")?;
        let (d, bits) = (rq.aq.base.d as i64, rq.aq.nbits.iter().map(|n| *n as i64).collect::<Vec<_>>());
        let mut first = ResidualCoarseQuantizer::of_bits(d, &bits[..nlevel], MetricType::L2)?;
        let mut coarse = ResidualCoarseQuantizer::of_bits(d, &bits[..nlevel], MetricType::L2)?;
        first.rq.initialize_from(rq, 0)?;
        coarse.initialize_from(&first)?;
        coarse.set_beam_factor(-1.0)?;
        let nlist = coarse.ntotal as usize;
        let norms = (rq.aq.norm_min, rq.aq.norm_max);
        (coarse.rq.aq.norm_min, coarse.rq.aq.norm_max) = norms;
        let mut index = IndexIVFResidualQuantizer::of_bits(
            Shared::new(coarse),
            d,
            nlist,
            &bits[nlevel..],
            MetricType::L2,
            rq.aq.search_type,
            true,
        )?;
        index.rq.initialize_from(rq, nlevel)?;
        (index.rq.aq.norm_min, index.rq.aq.norm_max) = norms;
        (index.is_trained, index.quantizer_trains_alone) = (true, 1);
        Ok(Shared::new(index))
    }

    /// Adds codes of the quantizer that ivf_residual_from_quantizer was given to what it made. Norms behind codes of code_size bytes are not looked
    /// at; a negative size stands for that of the quantizer's codes.
    pub fn ivf_residual_add_from_flat_codes(
        ivfrq: &mut IndexIVFResidualQuantizer,
        ncode: usize,
        #[len] codes: &[u8],
        #[default = -1] code_size: i64,
    ) -> Result<()> {
        let coarse: Vec<usize> = {
            let quantizer = ivfrq.quantizer()?.read();
            let residual = cast::<ResidualCoarseQuantizer>(&*quantizer);
            let missing = || Error::type_error("the quantizer is to be a ResidualCoarseQuantizer");
            residual.ok_or_else(missing)?.rq.aq.nbits.clone()
        };
        let own = ivfrq.rq.aq.nbits.clone();
        let bits = coarse.iter().chain(&own).sum::<usize>();
        let size = usize::try_from(code_size).unwrap_or((bits + ivfrq.rq.aq.norm_bits).div_ceil(8));
        Error::check(size.saturating_mul(8) >= bits, "code_size * 8 >= rq.tot_bits")?;
        let codes = ncode.checked_mul(size).and_then(|len| codes.get(..len));
        let codes =
            codes.ok_or_else(|| Error::value(format!("{ncode} codes of {size} bytes are more than there are")))?;
        let (mut lists, mut numbers) = (Vec::with_capacity(ncode), Vec::with_capacity(ncode * own.len()));
        for code in codes.chunks_exact(size.max(1)) {
            let mut reader = BitstringReader::new(code);
            let mut next = |nbits: &usize| reader.read(*nbits as u32).unwrap_or(0);
            let (mut list, mut shift) = (0u64, 0);
            for nbits in &coarse {
                list |= next(nbits) << shift;
                shift += nbits;
            }
            lists.push(list as usize);
            numbers.extend(own.iter().map(|nbits| next(nbits) as u32));
        }
        let (head, tail) = (ivfrq.coarse_code_size(), ivfrq.code_size);
        let mut packed = vec![0u8; ncode * tail];
        ivfrq.rq.aq.pack_codes(&numbers, &mut packed, None, None)?;
        let mut whole = vec![0u8; ncode * (head + tail)];
        for (i, (list, row)) in lists.iter().zip(whole.chunks_exact_mut((head + tail).max(1))).enumerate() {
            ivfrq.encode_listno(*list, &mut row[..head]);
            row[head..].copy_from_slice(&packed[i * tail..(i + 1) * tail]);
        }
        edit::add_sa_codes(ivfrq, &whole, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::Index;
    use crate::quantize::Quantizer;

    /// With all lists looked at, distances are those to what the whole codes decode to.
    #[test]
    fn codes_go_to_lists() {
        let (n, d) = (400, 6);
        let mut x = vec![0f32; n * d];
        crate::random::float_rand(&mut x, 1).unwrap();
        let mut rq = ResidualQuantizer::new(d, vec![3, 2, 4, 3], 0).unwrap();
        rq.train(&x).unwrap();
        let size = rq.aq.base.code_size;
        let mut codes = vec![0; n * size];
        rq.compute_codes(&x, &mut codes).unwrap();
        let made = ivf_residual_from_quantizer(&rq, 2).unwrap();
        let index = &mut *made.write();
        ivf_residual_add_from_flat_codes(index, 50, &codes, -1).unwrap();
        assert_eq!((index.nlist, index.ntotal), (32, 50));
        index.nprobe = 32;
        let (mut distances, mut labels, mut decoded) = (vec![0f32; 50], vec![0i64; 50], vec![0f32; n * d]);
        index.search(&x[..d], 50, None, &mut distances, &mut labels).unwrap();
        Quantizer::decode(&rq, &codes, &mut decoded).unwrap();
        for (distance, label) in distances.iter().zip(&labels) {
            let own = &decoded[*label as usize * d..(*label as usize + 1) * d];
            assert!((crate::simd::fvec_L2sqr(&x[..d], own) - distance).abs() < 1e-4);
        }
        assert!(ivf_residual_add_from_flat_codes(index, n + 1, &codes, -1).is_err());
        assert!(ivf_residual_add_from_flat_codes(index, 1, &codes, 1).is_err());
        assert!(ivf_residual_from_quantizer(&rq, 3).is_err() && ivf_residual_from_quantizer(&rq, 0).is_err());
    }
}
