//! RaBitQ's parts by name, with Faiss's argument lists: single bits and numbers of codes, the numbers beside them, and distances from those.

use faiss_derive::functions;

use super::RaBitQuantizer;
use super::encode::Sums;
use super::utils::{ExtraBitsFactors, QueryFactorsData, SignBitFactors, SignBitFactorsWithError};
use crate::base::{Error, MetricType, Result, Shared};
use crate::storage::packer::{CodePacker, CodePackerPQ4};

pub use declared::*;

/// Bytes that hold so many numbers of so many bits.
fn bytes_for(numbers: usize, bits: usize) -> usize {
    numbers.saturating_mul(bits).div_ceil(8)
}

/// A half goes up.
fn rounded(x: f32, most: f32) -> f32 {
    (x.max(0.0) + 0.5).min(most).floor()
}

fn sign(code: &[u8], i: usize) -> bool {
    code[i / 8] >> (i % 8) & 1 != 0
}

fn number(code: &[u8], i: usize, bits: usize) -> u32 {
    (0..bits).fold(0, |number, bit| number | u32::from(sign(code, i * bits + bit)) << bit)
}

#[functions]
mod declared {
    use super::*;

    /// The nearest whole number from 0 to 255.
    pub fn round_nonnegative_to_uint8(x: f32) -> u8 {
        rounded(x, 255.0) as u8
    }

    /// The nearest whole number from 0 to 65535.
    pub fn round_nonnegative_to_uint16(x: f32) -> u16 {
        rounded(x, 65535.0) as u16
    }

    /// The nearest whole number from 0 to max_code.
    pub fn round_clamped_to_uint8(x: f32, max_code: i32) -> u8 {
        rounded(x, max_code.clamp(0, 255) as f32) as u8
    }

    /// Whether the sign of a coordinate is positive.
    pub fn extract_bit_standard(#[len = bit_index / 8 + 1] code: &[u8], bit_index: usize) -> Result<bool> {
        Ok(sign(code, bit_index))
    }

    /// Makes the sign of a coordinate positive.
    pub fn set_bit_standard(#[len = bit_index / 8 + 1] code: &mut [u8], bit_index: usize) -> Result<()> {
        code[bit_index / 8] |= 1 << (bit_index % 8);
        Ok(())
    }

    /// As extract_bit_standard: numbers of four signs lie in the order of the signs.
    pub fn extract_bit_fastscan(#[len = bit_index / 8 + 1] code: &[u8], bit_index: usize) -> Result<bool> {
        extract_bit_standard(code, bit_index)
    }

    /// As set_bit_standard.
    pub fn set_bit_fastscan(#[len = bit_index / 8 + 1] code: &mut [u8], bit_index: usize) -> Result<()> {
        set_bit_standard(code, bit_index)
    }

    /// A coordinate's number of ex_bits bits in the second part of a code.
    pub fn extract_code_inline(
        #[len = bytes_for(index + 1, ex_bits)] ex_code: &[u8],
        index: usize,
        ex_bits: usize,
    ) -> Result<u32> {
        Error::check(ex_bits <= 32, "ex_bits <= 32")?;
        Ok(number(ex_code, index, ex_bits))
    }

    /// As extract_code_inline.
    pub fn extract_code(
        #[len = bytes_for(index + 1, nb_bits)] codes: &[u8],
        index: usize,
        nb_bits: usize,
    ) -> Result<u32> {
        extract_code_inline(codes, index, nb_bits)
    }

    /// Writes the signs of the vector at a place of packed codes, nsq numbers of four signs, one after the other.
    pub fn unpack_sign_bits_from_packed(
        #[len] block: &[u8],
        bbs: usize,
        nsq: usize,
        offset: usize,
        block_stride: usize,
        #[len = nsq.div_ceil(2)] sign_bits_out: &mut [u8],
    ) -> Result<()> {
        let packer = CodePackerPQ4::new(nsq, bbs)?;
        let first = (offset / bbs).checked_mul(block_stride);
        let end = first.and_then(|first| first.checked_add(packer.base().block_size));
        let own = first.zip(end).and_then(|(first, end)| block.get(first..end));
        let own = own.ok_or_else(|| Error::value("the pointer leads to fewer blocks than that"))?;
        let mut signs = vec![0; packer.base().code_size];
        packer.unpack_1(own, offset % bbs, &mut signs);
        sign_bits_out.copy_from_slice(&signs[..sign_bits_out.len()]);
        Ok(())
    }

    /// Lays blocks of packed signs out anew: n_blocks of old_block_stride bytes to as many of new_block_stride, behind whose signs there is room for
    /// what else codes have: storage_size bytes a vector, which come from `flat_storage` by id, or by place where no ids are given.
    #[name = "_populate_block_aux"]
    pub fn populate_block_aux_from_flat_storage(
        #[len] flat_storage: &[u8],
        n_blocks: usize,
        num_vectors: usize,
        bbs: usize,
        M2: usize,
        old_block_stride: usize,
        new_block_stride: usize,
        storage_size: usize,
        #[len = num_vectors] id_map: Option<&[i64]>,
        #[len = n_blocks * old_block_stride] codes: &[u8],
        #[len = n_blocks * new_block_stride] out: &mut [u8],
    ) -> Result<()> {
        let signs = bbs * M2 / 2;
        let room = bbs > 0 && num_vectors <= n_blocks * bbs && signs <= old_block_stride;
        Error::check(room, "num_vectors <= n_blocks * bbs && bbs * M2 / 2 <= old_block_stride")?;
        let fits = bbs.saturating_mul(storage_size).saturating_add(signs) <= new_block_stride;
        Error::check(fits, "bbs * (M2 / 2 + storage_size) <= new_block_stride")?;
        out.fill(0);
        for (i, block) in out.chunks_exact_mut(new_block_stride.max(1)).enumerate() {
            block[..signs].copy_from_slice(&codes[i * old_block_stride..][..signs]);
        }
        for place in 0..num_vectors {
            let id = id_map.map_or(Some(place), |ids| usize::try_from(ids[place]).ok());
            let first = id.and_then(|id| id.checked_mul(storage_size));
            if let Some(own) = first.and_then(|first| flat_storage.get(first..first.checked_add(storage_size)?)) {
                let at = place / bbs * new_block_stride + signs + place % bbs * storage_size;
                out[at..at + storage_size].copy_from_slice(own);
            }
        }
        Ok(())
    }

    /// Bytes of a code of nb_bits bits a coordinate behind its signs.
    pub fn compute_per_vector_storage_size(nb_bits: usize, d: usize) -> Result<usize> {
        Ok(RaBitQuantizer::new(d, MetricType::L2, nb_bits)?.base.code_size - d.div_ceil(8))
    }

    /// Writes the squared length of x less the centroid, that of x, and the sum of the former's absolute coordinates.
    pub fn compute_vector_intermediate_values(
        #[len = d] x: &[f32],
        d: usize,
        #[len = d] centroid: Option<&[f32]>,
        #[len = 1] norm_L2sqr: &mut [f32],
        #[len = 1] or_L2sqr: &mut [f32],
        #[len = 1] dp_oO: &mut [f32],
    ) -> Result<()> {
        let sums = sums(x, centroid);
        (norm_L2sqr[0], or_L2sqr[0], dp_oO[0]) = (sums.length, sums.own, sums.product);
        Ok(())
    }

    /// The numbers beside a code's signs, from those sums.
    pub fn compute_factors_from_intermediates(
        norm_L2sqr: f32,
        or_L2sqr: f32,
        dp_oO: f32,
        d: usize,
        metric_type: MetricType,
        #[default = true] compute_error: bool,
    ) -> Shared<SignBitFactorsWithError> {
        let sums = Sums { length: norm_L2sqr, own: or_L2sqr, product: dp_oO };
        let [or_minus_c_l2sqr, dp_multiplier, f_error] = sums.factors(d, metric_type.is_similarity(), compute_error);
        let factors = SignBitFactors { or_minus_c_l2sqr, dp_multiplier };
        Shared::new(SignBitFactorsWithError { factors, f_error })
    }

    /// The numbers beside the signs of a vector.
    pub fn compute_vector_factors(
        #[len = d] x: &[f32],
        d: usize,
        #[len = d] centroid: Option<&[f32]>,
        metric_type: MetricType,
        #[default = true] compute_error: bool,
    ) -> Result<Shared<SignBitFactorsWithError>> {
        let Sums { length, own, product } = sums(x, centroid);
        Ok(compute_factors_from_intermediates(length, own, product, d, metric_type, compute_error))
    }

    /// The distance that signs say, from the sum of FastScan's tables.
    pub fn compute_1bit_adjusted_distance(
        normalized_distance: f32,
        db_factors: &SignBitFactors,
        query_factors: &QueryFactorsData,
        centered: bool,
        qb: u32,
        d: usize,
    ) -> Result<f32> {
        Error::check(qb < 32, "qb < 32")?;
        let product = if centered {
            // The sum is a whole number.
            let most = ((1i64 << qb) - 1).saturating_mul(d as i64);
            query_factors.int_dot_scale * (most - 2 * normalized_distance as i64) as f32
        } else {
            normalized_distance - query_factors.c34
        };
        let distance =
            db_factors.or_minus_c_l2sqr + query_factors.qr_to_c_L2sqr - 2.0 * db_factors.dp_multiplier * product;
        // Without a length, the query is compared by L2.
        let own = query_factors.qr_norm_L2sqr;
        Ok(if own == 0.0 { distance.max(0.0) } else { -0.5 * (distance - own) })
    }

    /// The distance that a whole code says. qr_base: the squared length of the query less the centroid; of similarities, query times centroid.
    pub fn compute_full_multibit_distance(
        #[len = d.div_ceil(8)] sign_bits: &[u8],
        #[len = bytes_for(d, ex_bits)] ex_code: &[u8],
        ex_fac: &ExtraBitsFactors,
        #[len = d] rotated_q: &[f32],
        qr_base: f32,
        d: usize,
        ex_bits: usize,
        metric_type: MetricType,
    ) -> Result<f32> {
        Error::check(ex_bits <= 16, "ex_bits <= 16")?;
        let middle = (1u32 << ex_bits) as f32 - 0.5;
        let of = |i: usize| (u32::from(sign(sign_bits, i)) << ex_bits) + number(ex_code, i, ex_bits);
        let product: f32 = rotated_q.iter().enumerate().map(|(i, q)| q * (of(i) as f32 - middle)).sum();
        let distance = qr_base + ex_fac.f_add_ex + ex_fac.f_rescale_ex * product;
        Ok(if metric_type.is_similarity() { distance } else { distance.max(0.0) })
    }

    /// Whether a code may be better than the threshold, by its signs and their error.
    pub fn should_refine_candidate(
        est_distance: f32,
        f_error: f32,
        g_error: f32,
        threshold: f32,
        is_similarity: bool,
    ) -> bool {
        let error = f_error * g_error;
        if is_similarity { est_distance + error > threshold } else { est_distance - error < threshold }
    }
}

fn sums(x: &[f32], centroid: Option<&[f32]>) -> Sums {
    match centroid {
        Some(centroid) => Sums::of(x, centroid.iter().copied()),
        None => Sums::of(x, std::iter::repeat(0.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantize::bits;

    #[test]
    fn bits_and_numbers_of_codes() {
        let values = [5u32, 0, 7, 2, 1];
        let mut code = [0u8; 2];
        bits::pack(values.into_iter(), 3, &mut code);
        for (i, value) in values.iter().enumerate() {
            assert_eq!(extract_code(&code[..bytes_for(i + 1, 3)], i, 3).unwrap(), *value);
        }
        assert!(extract_code(&code, 0, 3).is_err());
        set_bit_standard(&mut code, 15).unwrap();
        assert!(extract_bit_fastscan(&code, 15).unwrap() && !extract_bit_standard(&code[..1], 1).unwrap());
        assert_eq!([-1.0, 2.5, 254.6, 1e9].map(round_nonnegative_to_uint8), [0, 3, 255, 255]);
        assert_eq!([0.4, 3.5, 9.0].map(|x| round_clamped_to_uint8(x, 7)), [0, 4, 7]);
        assert_eq!(round_nonnegative_to_uint16(300.4), 300);
    }

    /// A whole code says the distance to the numbers that it stands for.
    #[test]
    fn whole_codes_say_distances() {
        let (d, ex_bits) = (11, 3);
        let mut q = vec![0f32; d];
        crate::random::float_randn(&mut q, 1).unwrap();
        let numbers: Vec<u32> = (0..d as u32).map(|i| i * 7 % 8).collect();
        let (signs, mut code) = ([0b1010_0110, 0b0000_0101], vec![0u8; bytes_for(d, ex_bits)]);
        bits::pack(numbers.iter().copied(), ex_bits, &mut code);
        let factors = ExtraBitsFactors { f_add_ex: 0.5, f_rescale_ex: -2.0 };
        let got =
            compute_full_multibit_distance(&signs, &code, &factors, &q, 100.0, d, ex_bits, MetricType::L2).unwrap();
        let value = |i: usize| f64::from(numbers[i]) + 8.0 * f64::from(signs[i / 8] >> (i % 8) & 1) - 7.5;
        let product: f64 = (0..d).map(|i| f64::from(q[i]) * value(i)).sum();
        assert!((f64::from(got) - (100.5 - 2.0 * product)).abs() < 1e-3);
    }

    #[test]
    fn blocks_get_room_for_numbers() {
        let (bbs, m2, old, new, size) = (2, 4, 5, 9, 2);
        let codes: Vec<u8> = (1..=10).collect();
        let mut out = vec![9u8; 18];
        populate_block_aux_from_flat_storage(
            &[50, 51, 60, 61, 70, 71],
            2,
            3,
            bbs,
            m2,
            old,
            new,
            size,
            Some(&[2, -1, 0]),
            &codes,
            &mut out,
        )
        .unwrap();
        assert_eq!(out, [1, 2, 3, 4, 70, 71, 0, 0, 0, 6, 7, 8, 9, 50, 51, 0, 0, 0]);
        let mut out = vec![0; 14];
        let small = populate_block_aux_from_flat_storage(&[], 2, 3, bbs, m2, old, 7, size, None, &codes, &mut out);
        assert!(small.is_err());
    }
}
