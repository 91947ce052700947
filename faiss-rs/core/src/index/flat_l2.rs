//! Exact search by L2 distance.

use faiss_derive::Object;

use super::Index;
use super::flat::IndexFlat;
use super::flat_codes::check_same_type;
use crate::base::object::{Method, MethodCall, receiver_mut};
use crate::base::{Handle, MetricType, Object, Result, Value};
use crate::distance;
use crate::registry::{Format, Row, no_overload};
use crate::selector::IDSelector;

/// Exact search by squared L2 distance.
#[derive(Object, Default, Clone)]
#[object(methods = METHODS, implements(Index), copy)]
pub struct IndexFlatL2 {
    #[object(parent)]
    pub flat: IndexFlat,
    /// Squared norms of the stored vectors, if `sync_l2norms` was called; a change of the vectors drops them.
    pub cached_l2norms: Vec<f32>,
}

const SIGNATURES: &[&str] = &["()", "(d: int)"];

pub const ROW: Row = Row::of::<IndexFlatL2>()
    .construct(
        |args| {
            Ok(Handle::new(match args {
                [] => IndexFlatL2::default(),
                [Value::Int(d)] => IndexFlatL2::new(*d)?,
                _ => return Err(no_overload("IndexFlatL2", SIGNATURES)),
            }))
        },
        SIGNATURES,
    )
    .format(Format {
        fourccs: &["IxF2"],
        read: |input, _| Ok(Handle::new(IndexFlatL2 { flat: IndexFlat::read(input)?, cached_l2norms: Vec::new() })),
        write: |object, out| IndexFlat::write(object, "IxF2", out),
    });

const METHODS: &[Method] = &[
    Method {
        name: "sync_l2norms",
        signature: "(self) -> None",
        doc: "Computes the squared norms of the stored vectors, which searches then need not compute.",
        call: MethodCall::Write(|object, args| {
            if !args.is_empty() {
                return Err(no_overload("sync_l2norms", &["()"]));
            }
            receiver_mut::<IndexFlatL2>(object)?.sync_l2norms()?;
            Ok(Value::None)
        }),
    },
    Method {
        name: "clear_l2norms",
        signature: "(self) -> None",
        doc: "Drops the norms and their memory.",
        call: MethodCall::Write(|object, args| {
            if !args.is_empty() {
                return Err(no_overload("clear_l2norms", &["()"]));
            }
            receiver_mut::<IndexFlatL2>(object)?.clear_l2norms();
            Ok(Value::None)
        }),
    },
];

impl IndexFlatL2 {
    pub fn new(d: i64) -> Result<Self> {
        Ok(IndexFlatL2 { flat: IndexFlat::new(d, MetricType::L2)?, cached_l2norms: Vec::new() })
    }

    /// Computes the squared norms of the stored vectors, which searches then need not compute.
    pub fn sync_l2norms(&mut self) -> Result<()> {
        let mut norms = vec![0.0; self.vectors()?];
        distance::fvec_norms_L2sqr(&mut norms, self.get_xb(), self.dim())?;
        self.cached_l2norms = norms;
        Ok(())
    }

    pub fn clear_l2norms(&mut self) {
        self.cached_l2norms = Vec::new();
    }
}

impl Index for IndexFlatL2 {
    crate::inherit_index!(flat);

    fn add(&mut self, x: &[f32]) -> Result<()> {
        self.flat.add(x)?;
        self.clear_l2norms();
        Ok(())
    }

    fn search(
        &self,
        x: &[f32],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [f32],
        labels: &mut [i64],
    ) -> Result<()> {
        let norms = (self.cached_l2norms.len() as i64 == self.ntotal).then_some(&self.cached_l2norms[..]);
        self.flat.search_with_norms(x, k, params, norms, distances, labels)
    }

    fn reset(&mut self) -> Result<()> {
        self.clear_l2norms();
        self.flat.reset()
    }

    fn remove_ids(&mut self, sel: &dyn IDSelector) -> Result<usize> {
        self.clear_l2norms();
        self.flat.remove_ids(sel)
    }

    fn add_sa_codes(&mut self, codes: &[u8], ids: Option<&[i64]>) -> Result<()> {
        self.flat.add_sa_codes(codes, ids)?;
        self.clear_l2norms();
        Ok(())
    }

    fn check_compatible_for_merge(&self, other: &dyn Index) -> Result<()> {
        check_same_type(self, other)?;
        self.flat.flat_codes.check_compatible_for_merge(other)
    }

    fn merge_from(&mut self, other: &mut dyn Index, add_id: i64) -> Result<()> {
        self.check_compatible_for_merge(other)?;
        self.flat.flat_codes.merge_from(other, add_id)?;
        self.clear_l2norms();
        Ok(())
    }
}
