//! The passes of a local search over the numbers of codes (iterated conditional modes, ICM), and who makes them: the CPU, or what a factory gives.

use faiss_derive::{Object, methods};

use super::MIN_ROWS;
use crate::base::{Object, Result, threads};
use crate::blas::sgemm_nt;
use crate::registry::Row;

/// Codebooks as passes need them: `M` of `K` entries of `d` numbers.
#[derive(Clone, Copy)]
pub struct IcmTables<'a> {
    /// Dimension of the vectors.
    pub d: usize,
    /// Number of codebooks.
    pub M: usize,
    /// Entries of a codebook.
    pub K: usize,
    /// Passes over the codebooks.
    pub icm_iters: usize,
    /// `M * K * d` numbers.
    pub codebooks: &'a [f32],
    /// Twice the products of any two entries, `(M * K)^2`.
    pub pairs: &'a [f32],
    /// Squared norms of the entries.
    pub norms: &'a [f32],
}

/// Makes the passes for one state of the codebooks.
pub trait Icm {
    /// Gives each number of each code, in turn, its best value for the others as they are, the lowest of equals: `numbers` has `M` a row of `x`.
    fn descend(&mut self, numbers: &mut [u32], x: &[f32]) -> Result<()>;
}

/// Gives an encoder for a state of the codebooks.
pub trait IcmFactory: Object {
    /// An encoder for a state of the codebooks.
    fn encoder<'a>(&self, tables: IcmTables<'a>) -> Result<Box<dyn Icm + 'a>>;
}

crate::view!(IcmFactory, "IcmEncoderFactory");

/// Gives encoders of the CPU.
#[derive(Object, Clone, Default)]
#[object(methods, implements(IcmFactory), copy)]
pub struct IcmEncoderFactory {}

pub(crate) const ROW: Row = Row::of::<IcmEncoderFactory>();

#[methods(new)]
impl IcmEncoderFactory {}

impl IcmFactory for IcmEncoderFactory {
    fn encoder<'a>(&self, tables: IcmTables<'a>) -> Result<Box<dyn Icm + 'a>> {
        Ok(Box::new(OnCpu(tables)))
    }
}

/// By threads of the CPU.
pub struct OnCpu<'a>(pub IcmTables<'a>);

impl Icm for OnCpu<'_> {
    fn descend(&mut self, numbers: &mut [u32], x: &[f32]) -> Result<()> {
        let IcmTables { d, M: m, K: k, icm_iters, codebooks, pairs, norms } = self.0;
        let total = m * k;
        threads::parallel_rows(numbers, m, MIN_ROWS, |first, numbers| {
            let n = numbers.len() / m;
            let mut own = vec![0.0; n * total];
            sgemm_nt(n, total, d, -2.0, &x[first * d..(first + n) * d], codebooks, &mut own);
            let mut values = vec![0f32; k];
            for (code, own) in numbers.chunks_exact_mut(m).zip(own.chunks_exact_mut(total)) {
                own.iter_mut().zip(norms).for_each(|(v, norm)| *v += norm);
                for _ in 0..icm_iters {
                    settle(
                        code,
                        &mut values,
                        |part| &own[part * k..(part + 1) * k],
                        |other, entry, part| &pairs[(other * k + entry) * total + part * k..][..k],
                    );
                }
            }
            Ok(())
        })
    }
}

/// One pass over the numbers of a code: `own` is what the entries of a part alone add to the error, `pair` what they add beside an entry of
/// another part.
#[inline]
pub(super) fn settle<'a>(
    code: &mut [u32],
    values: &mut [f32],
    own: impl Fn(usize) -> &'a [f32],
    pair: impl Fn(usize, usize, usize) -> &'a [f32],
) {
    for part in 0..code.len() {
        values.copy_from_slice(own(part));
        for other in (0..code.len()).filter(|other| *other != part) {
            let row = pair(other, code[other] as usize, part);
            values.iter_mut().zip(row).for_each(|(v, pair)| *v += pair);
        }
        let least = values.iter().enumerate();
        let (at, _) = least.fold((0, f32::INFINITY), |a, (i, v)| if *v < a.1 { (i, *v) } else { a });
        code[part] = at as u32;
    }
}
