//! Product additive quantizers: vectors are cut into parts, each with an additive quantizer of its own.

use faiss_derive::{Object, methods};

use super::local_search::LocalSearchQuantizer;
use super::residual::ResidualQuantizer;
use super::*;
use crate::base::Shared;
use crate::stream::fields::Stored;
use crate::stream::{Reader, Writer};

/// Base of the additive quantizers of parts of vectors.
#[derive(Object, Default, Clone)]
#[object(abstract)]
pub struct ProductAdditiveQuantizer {
    /// The codebooks.
    #[object(parent)]
    pub aq: AdditiveQuantizer,
    /// Number of parts.
    pub nsplits: usize,
}

pub(crate) const ROW: Row = Row::of::<ProductAdditiveQuantizer>();

impl ProductAdditiveQuantizer {
    /// `nbits` has an entry for each codebook of all parts.
    fn new(d: usize, nsplits: usize, nbits: Vec<usize>, search_type: i32) -> Result<Self> {
        if nsplits == 0 || !d.is_multiple_of(nsplits) {
            return Err(Error::failed(
                "d % nsplits == 0",
                format!("{d} dimensions can't be cut into {nsplits} equal parts"),
            ));
        }
        Ok(ProductAdditiveQuantizer { aq: AdditiveQuantizer::new(d, nbits, search_type, nsplits)?, nsplits })
    }
}

/// The coordinates of part `s` of each vector.
fn part_of(x: &[f32], d: usize, nsplits: usize, s: usize) -> Vec<f32> {
    let dim = d / nsplits;
    x.chunks_exact(d).flat_map(|row| &row[s * dim..(s + 1) * dim]).copied().collect()
}

macro_rules! product {
    ($(#[$doc:meta])* $name:ident over $part:ident, $row:ident) => {
        $(#[$doc])*
        #[derive(Object, Default, Clone)]
        #[object(methods, implements(Additive), copy(quantizers))]
        pub struct $name {
            /// The codebooks of all parts.
            #[object(parent)]
            pub product: ProductAdditiveQuantizer,
            /// The quantizers of the parts.
            #[object(skip)]
            pub quantizers: Vec<Shared<$part>>,
        }

        pub(crate) const $row: Row = Row::of::<$name>();

        #[methods(new)]
        impl $name {
            /// `nsplits` parts of a vector, each with `Msub` codebooks of `nbits` bits.
            #[new]
            pub fn new(d: usize, nsplits: usize, Msub: usize, nbits: usize, #[default = 0] search_type: i32) -> Result<Self> {
                let codebooks = nsplits.checked_mul(Msub).ok_or_else(|| Error::overflow("nsplits * Msub is too large"))?;
                let product = ProductAdditiveQuantizer::new(d, nsplits, equal_bits(codebooks, nbits)?, search_type)?;
                let part = || Ok(Shared::new($part::equal(d / nsplits, Msub, nbits)?));
                Ok($name { product, quantizers: (0..nsplits).map(|_| part()).collect::<Result<_>>()? })
            }

            /// Becomes a quantizer of `d` dimensions, cut into parts for these quantizers.
            #[name = "_init"]
            fn of_parts(&mut self, d: usize, aqs: Vec<Shared<$part>>, search_type: i32) -> Result<()> {
                let mut nbits = Vec::new();
                for part in &aqs {
                    let part = part.read();
                    Error::check(part.aq.base.d.checked_mul(aqs.len()) == Some(d), "aqs[i]->d * nsplits == d")?;
                    Error::check(part.aq.M > 0 && part.aq.M * (nbits.len() / part.aq.M) == nbits.len(), "aqs[i]->M == aqs[0]->M")?;
                    nbits.extend_from_slice(&part.aq.nbits);
                }
                let product = ProductAdditiveQuantizer::new(d, aqs.len(), nbits, search_type)?;
                *self = $name { product, quantizers: aqs };
                Ok(())
            }

            /// The quantizer of a part.
            fn subquantizer(&self, m: usize) -> Result<Shared<$part>> {
                let part = self.quantizers.get(m).cloned();
                part.ok_or_else(|| Error::failed("m < nsplits", format!("there is no part {m}")))
            }
        }

        impl $name {
            fn trained(&self, x: &[f32]) -> Result<Self> {
                let aq = &self.product.aq;
                aq.check()?;
                let d = aq.base.d;
                Error::check(d > 0 && x.len().is_multiple_of(d), "x.size() % d == 0")?;
                let mut made = self.clone();
                made.quantizers.clear();
                made.product.aq.codebooks.clear();
                for (s, part) in self.quantizers.iter().enumerate() {
                    let mut part = part.read().clone();
                    part.aq.verbose |= aq.verbose;
                    part.train(&part_of(x, d, self.product.nsplits, s))?;
                    made.product.aq.codebooks.extend_from_slice(&part.aq.codebooks);
                    made.quantizers.push(Shared::new(part));
                }
                made.product.aq.is_trained = true;
                let mut decoded = vec![0.0; x.len()];
                made.product.aq.decode_unpacked(&made.compute_unpacked_codes(x)?, &mut decoded);
                let norms: Vec<f32> = decoded.chunks_exact(d).map(simd::fvec_norm_L2sqr).collect();
                made.product.aq.train_norm(&norms)?;
                made.product.aq.compute_needed_tables()?;
                Ok(made)
            }
        }

        impl Stored for $name {
            fn read_from(&mut self, input: &mut Reader<'_>, _name: &str) -> Result<()> {
                let aq = AdditiveQuantizer::read(input, |input| {
                    let nsplits = input.usize()?;
                    input.check_loop(nsplits, "nsplits")?;
                    Ok(nsplits)
                })?;
                let product = ProductAdditiveQuantizer { nsplits: aq.parts, aq };
                let mut quantizers = Vec::new();
                for s in 0..product.nsplits {
                    let mut part = $part::default();
                    part.read_from(input, "quantizers")?;
                    let own = product.aq.M / product.nsplits;
                    let same = part.aq.base.d == product.aq.book_d()
                        && part.aq.nbits[..] == product.aq.nbits[s * own..(s + 1) * own];
                    Error::check(same, "the quantizers of the parts have the codebooks of the whole")?;
                    quantizers.push(Shared::new(part));
                }
                let mut made = $name { product, quantizers };
                if made.product.aq.needs_tables() {
                    made.product.aq.restore_codebook_tables()?;
                }
                *self = made;
                Ok(())
            }
            fn write_to(&self, out: &mut Writer<'_>) -> Result<()> {
                self.product.aq.write_to(out)?;
                out.usize(self.product.nsplits)?;
                self.quantizers.iter().try_for_each(|part| part.read().write_to(out))
            }
        }

        impl Additive for $name {
            fn aq(&self) -> &AdditiveQuantizer {
                &self.product.aq
            }
            fn aq_mut(&mut self) -> &mut AdditiveQuantizer {
                &mut self.product.aq
            }
            fn compute_unpacked_codes(&self, x: &[f32]) -> Result<Vec<u32>> {
                let aq = &self.product.aq;
                let (d, m) = (aq.base.d, aq.M);
                let (n, own) = (x.len() / d.max(1), m / self.product.nsplits.max(1));
                let mut numbers = vec![0; n * m];
                for (s, part) in self.quantizers.iter().enumerate() {
                    let codes = part.read().compute_unpacked_codes(&part_of(x, d, self.product.nsplits, s))?;
                    for (row, code) in numbers.chunks_exact_mut(m).zip(codes.chunks_exact(own)) {
                        row[s * own..(s + 1) * own].copy_from_slice(code);
                    }
                }
                Ok(numbers)
            }
        }

        impl Quantizer for $name {
            additive_quantizer!();
            fn train(&mut self, x: &[f32]) -> Result<()> {
                let trained = self.trained(x)?;
                *self = trained;
                Ok(())
            }
        }
    };
}

product! {
    /// A residual quantizer for each part of the vectors.
    ProductResidualQuantizer over ResidualQuantizer, RESIDUAL
}
product! {
    /// A local search quantizer for each part of the vectors.
    ProductLocalSearchQuantizer over LocalSearchQuantizer, LOCAL_SEARCH
}

impl ResidualQuantizer {
    fn equal(d: usize, m: usize, nbits: usize) -> Result<Self> {
        ResidualQuantizer::new(d, equal_bits(m, nbits)?, ST_DECOMPRESS)
    }
}

impl LocalSearchQuantizer {
    fn equal(d: usize, m: usize, nbits: usize) -> Result<Self> {
        LocalSearchQuantizer::new(d, m, nbits, ST_DECOMPRESS)
    }
}
