//! Steps of the beam search of residual quantizers by themselves, with Faiss's argument lists: from the best sums of `m` entries to those of
//! one entry more. Every step looks at all entries.

use faiss_derive::functions;

use super::residual::{ResidualQuantizer, best};
use crate::base::{Error, Result, Shared};
use crate::distance::vectors::pairwise_L2sqr;
use crate::index::Index;

pub use declared::*;

/// Of a vector's `beam * k` distances the places of the `wanted` smallest.
fn choose(distances: &[f32], wanted: usize, order: &mut Vec<u32>) -> Result<()> {
    if wanted > distances.len() {
        let message = format!("{wanted} of {}", distances.len());
        return Err(Error::failed("new_beam_size <= beam_size * K", message));
    }
    best(distances, wanted, order);
    order.truncate(wanted);
    Ok(())
}

/// Numbers from the first of `n` rows of `width` to the end of the last, where rows are `step` apart.
fn reach(n: usize, step: usize, width: usize) -> usize {
    n.checked_sub(1).map_or(0, |last| last.saturating_mul(step).saturating_add(width))
}

/// Writes the codes of chosen sums, each with its new number: those before are of `m` numbers.
fn write_codes(order: &[u32], K: usize, m: usize, codes: &[i32], out: &mut [i32]) {
    for (place, out) in order.iter().zip(out.chunks_exact_mut(m + 1)) {
        let (beam, number) = (*place as usize / K, *place as usize % K);
        out[..m].copy_from_slice(&codes[beam * m..(beam + 1) * m]);
        out[m] = number as i32;
    }
}

#[functions]
mod declared {
    use super::*;

    /// From n * beam_size residuals and their codes of m numbers to the new_beam_size best ones, with one number more.
    ///
    /// cent: K centroids. Outputs may be null. The search is exact, whatever assign_index and the mode are.
    pub fn beam_search_encode_step(
        d: usize,
        K: usize,
        #[len = K * d] cent: &[f32],
        n: usize,
        beam_size: usize,
        #[len = n * beam_size * d] residuals: &[f32],
        m: usize,
        #[len = n * beam_size * m] codes: &[i32],
        new_beam_size: usize,
        #[len = n * new_beam_size * (m + 1)] mut new_codes: Option<&mut [i32]>,
        #[len = n * new_beam_size * d] mut new_residuals: Option<&mut [f32]>,
        #[len = n * new_beam_size] mut new_distances: Option<&mut [f32]>,
        #[default = None] _assign_index: Option<Shared<dyn Index>>,
        #[default = 0] _approx_topk_mode: i32,
    ) -> Result<()> {
        let (width, mut order) = (beam_size * K, Vec::new());
        let mut distances = vec![0f32; width];
        for i in 0..n {
            let (left, numbers) = (&residuals[i * beam_size * d..][..beam_size * d], &codes[i * beam_size * m..]);
            pairwise_L2sqr(d, beam_size, left, K, cent, &mut distances, -1, -1, -1)?;
            choose(&distances, new_beam_size, &mut order)?;
            let own = i * new_beam_size;
            if let Some(out) = &mut new_codes {
                write_codes(&order, K, m, numbers, &mut out[own * (m + 1)..]);
            }
            for (j, place) in order.iter().map(|place| *place as usize).enumerate() {
                if let Some(out) = &mut new_residuals {
                    let (from, entry) = (&left[place / K * d..][..d], &cent[place % K * d..][..d]);
                    let out = &mut out[(own + j) * d..(own + j + 1) * d];
                    out.iter_mut().zip(from).zip(entry).for_each(|((out, v), c)| *out = v - c);
                }
                if let Some(out) = &mut new_distances {
                    out[own + j] = distances[place];
                }
            }
        }
        Ok(())
    }

    /// As beam_search_encode_step, by tables: products of the K centroids with those before, row codebook_offsets[j] + code of number j, and with
    /// each query, and their squared norms; distances are those of the n * beam_size sums so far. Rows are ldc and ldqc apart.
    pub fn beam_search_encode_step_tab(
        K: usize,
        n: usize,
        beam_size: usize,
        #[len] codebook_cross_norms: &[f32],
        ldc: usize,
        #[len] codebook_offsets: &[usize],
        #[len = reach(n, ldqc, K)] query_cp: &[f32],
        ldqc: usize,
        #[len = K] cent_norms_i: &[f32],
        m: usize,
        #[len = n * beam_size * m] codes: &[i32],
        #[len = n * beam_size] distances: &[f32],
        new_beam_size: usize,
        #[len = n * new_beam_size * (m + 1)] mut new_codes: Option<&mut [i32]>,
        #[len = n * new_beam_size] mut new_distances: Option<&mut [f32]>,
        #[default = 0] _approx_topk_mode: i32,
    ) -> Result<()> {
        Error::check(codebook_offsets.len() >= m, "codebook_offsets.size() >= m")?;
        let (mut order, mut table) = (Vec::new(), vec![0f32; beam_size * K]);
        for i in 0..n {
            let (numbers, so_far) = (&codes[i * beam_size * m..], &distances[i * beam_size..]);
            let products = &query_cp[i * ldqc..i * ldqc + K];
            for (b, row) in table.chunks_exact_mut(K.max(1)).enumerate() {
                for (k, out) in row.iter_mut().enumerate() {
                    *out = so_far[b] + cent_norms_i[k] - 2.0 * products[k];
                }
                for (number, offset) in numbers[b * m..(b + 1) * m].iter().zip(codebook_offsets) {
                    let first = usize::try_from(*number).ok().and_then(|number| (offset + number).checked_mul(ldc));
                    let cross = first.and_then(|first| codebook_cross_norms.get(first..first + K));
                    let cross = cross.ok_or_else(|| Error::failed("code < codebook size", ""))?;
                    row.iter_mut().zip(cross).for_each(|(out, product)| *out += 2.0 * product);
                }
            }
            choose(&table, new_beam_size, &mut order)?;
            let own = i * new_beam_size;
            if let Some(out) = &mut new_codes {
                write_codes(&order, K, m, numbers, &mut out[own * (m + 1)..]);
            }
            if let Some(out) = &mut new_distances {
                order.iter().enumerate().for_each(|(j, place)| out[own + j] = table[*place as usize]);
            }
        }
        Ok(())
    }
}

impl ResidualQuantizer {
    /// The best sums for vectors that are known by their squared norms (n) and their products with all entries (n, total_codebook_size): numbers
    /// (n, beam, M) and squared distances (n, beam), as many as there are but no more than `new_beam_size`. Needs the codebooks' tables.
    pub fn refine_beam_LUT(
        &self,
        query_norms: &[f32],
        query_cp: &[f32],
        new_beam_size: usize,
    ) -> Result<(Vec<i32>, Vec<f32>)> {
        let (aq, n, total) = (&self.aq, query_norms.len(), self.aq.total_codebook_size);
        if aq.centroid_norms.len() != total {
            let message = "compute_codebook_tables comes first";
            return Err(Error::failed("centroid_norms.size() == total_codebook_size", message));
        }
        Error::check(query_cp.len() == n * total, "query_cp.size() == n * total_codebook_size")?;
        let (mut codes, mut distances, mut beam, mut at) = (Vec::new(), query_norms.to_vec(), 1, 0);
        for m in 0..aq.M {
            let (first, end) = (aq.codebook_offsets[m], aq.codebook_offsets[m + 1]);
            let (own, wanted) = (end - first, new_beam_size.min(beam * (end - first)));
            let (mut made, mut left) = (vec![0i32; n * wanted * (m + 1)], vec![0f32; n * wanted]);
            let cross = aq.codebook_cross_products.get(at..at + first * own);
            let cross = cross.ok_or_else(|| Error::failed("codebook_cross_products.size()", "the tables are old"))?;
            let products = if n == 0 { &[] } else { &query_cp[first..(n - 1) * total + end] };
            let (offsets, norms) = (&aq.codebook_offsets, &aq.centroid_norms[first..end]);
            beam_search_encode_step_tab(
                own,
                n,
                beam,
                cross,
                own,
                offsets,
                products,
                total,
                norms,
                m,
                &codes,
                &distances,
                wanted,
                Some(&mut made),
                Some(&mut left),
                0,
            )?;
            (codes, distances, beam, at) = (made, left, wanted, at + first * own);
        }
        Ok((codes, distances))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both ways of a step find what trying all sums finds.
    #[test]
    fn steps_keep_the_best_sums() {
        let (d, k, n, beam, wanted) = (4, 6, 3, 2, 4);
        let (mut cent, mut first, mut x) = (vec![0f32; k * d], vec![0f32; k * d], vec![0f32; n * d]);
        for (seed, out) in [(1, &mut cent), (2, &mut first), (3, &mut x)] {
            crate::random::float_rand(out, seed).unwrap();
        }
        let codes: Vec<i32> = (0..n * beam).map(|i| (i * 5 % k) as i32).collect();
        let row = |rows: &[f32], i: usize| rows[i * d..(i + 1) * d].to_vec();
        let less = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<f32>>();
        let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        let left: Vec<f32> =
            (0..n * beam).flat_map(|i| less(&row(&x, i / beam), &row(&first, codes[i] as usize))).collect();
        let (mut made, mut residuals, mut distances) =
            (vec![0; n * wanted * 2], vec![0f32; n * wanted * d], vec![0f32; n * wanted]);
        let outputs = (Some(&mut made[..]), Some(&mut residuals[..]), Some(&mut distances[..]));
        let (o, r, t) = outputs;
        beam_search_encode_step(d, k, &cent, n, beam, &left, 1, &codes, wanted, o, r, t, None, 0).unwrap();
        let so_far: Vec<f32> = left.chunks(d).map(|v| product(v, v)).collect();
        let norms: Vec<f32> = cent.chunks(d).map(|v| product(v, v)).collect();
        let table = |rows: &[f32]| -> Vec<f32> {
            rows.chunks(d).flat_map(|a| cent.chunks(d).map(move |b| product(a, b))).collect()
        };
        let (queries, cross) = (table(&x), table(&first));
        let (mut made_2, mut distances_2) = (vec![0; n * wanted * 2], vec![0f32; n * wanted]);
        let (o, t) = (Some(&mut made_2[..]), Some(&mut distances_2[..]));
        beam_search_encode_step_tab(
            k,
            n,
            beam,
            &cross,
            k,
            &[0],
            &queries,
            k,
            &norms,
            1,
            &codes,
            &so_far,
            wanted,
            o,
            t,
            0,
        )
        .unwrap();
        assert_eq!(made, made_2);
        for i in 0..n {
            let mut all: Vec<f32> = (0..beam * k)
                .map(|j| less(&row(&left, i * beam + j / k), &row(&cent, j % k)))
                .map(|v| product(&v, &v))
                .collect();
            all.sort_by(f32::total_cmp);
            for (j, least) in all.iter().enumerate().take(wanted) {
                let at = i * wanted + j;
                assert!((distances[at] - least).abs() < 1e-5 && (distances_2[at] - least).abs() < 1e-5);
                let sum: Vec<f32> = [&first, &cent]
                    .iter()
                    .zip(&made[2 * at..])
                    .fold(row(&x, i), |left, (book, code)| less(&left, &row(book, *code as usize)));
                sum.iter().zip(&residuals[at * d..]).for_each(|(a, b)| assert!((a - b).abs() < 1e-6));
            }
        }
        let none = beam_search_encode_step(d, k, &cent, n, beam, &left, 1, &codes, 13, None, None, None, None, 0);
        assert!(none.is_err());
    }

    #[test]
    fn a_beam_by_tables_is_that_of_the_vectors() {
        let (d, n) = (6, 40);
        let mut x = vec![0f32; 200 * d];
        crate::random::float_rand(&mut x, 5).unwrap();
        let mut rq = ResidualQuantizer::new(d, vec![4, 3, 2], 0).unwrap();
        rq.train(&x).unwrap();
        let x = &x[..n * d];
        let norms: Vec<f32> = x.chunks(d).map(crate::simd::fvec_norm_L2sqr).collect();
        let books = rq.aq.codebooks.clone();
        let products: Vec<f32> = x
            .chunks(d)
            .flat_map(|x| books.chunks(d).map(|b| crate::simd::fvec_inner_product(x, b)).collect::<Vec<_>>())
            .collect();
        let (codes, distances) = rq.refine_beam_LUT(&norms, &products, 5).unwrap();
        let (numbers, wanted, size) = rq.nearest_sums(x, 5).unwrap();
        assert_eq!((codes.len(), size), (n * 5 * 3, 5));
        let same = codes.iter().zip(&numbers).filter(|(a, b)| **a as u32 == **b).count();
        assert!(same * 20 > codes.len() * 19, "{same} of {}", codes.len());
        distances.iter().zip(&wanted).for_each(|(a, b)| assert!((a - b).abs() < 1e-4));
        assert!(rq.refine_beam_LUT(&norms, &products[1..], 5).is_err());
    }
}
