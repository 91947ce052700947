//! The ids of a list: in memory, or in a file that is mapped.

use std::any::Any;
use std::borrow::Cow;

use crate::base::object::{ElementKind, VectorField};
use crate::base::{Error, Result};
use crate::storage::codes::viewed;
use crate::stream::SharedBytes;

const WIDTH: usize = size_of::<i64>();

/// Ids, owned or seen where they lie.
#[derive(Clone, Debug)]
pub enum Ids {
    /// In memory of its own.
    Owned(Vec<i64>),
    /// Where a file is mapped.
    Viewed(SharedBytes),
}

impl Default for Ids {
    fn default() -> Self {
        Ids::Owned(Vec::new())
    }
}

impl Ids {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Ids::Owned(ids) => ids.len(),
            Ids::Viewed(bytes) => bytes.len() / WIDTH,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The ids, copied where they do not lie as numbers must.
    pub fn get(&self) -> Cow<'_, [i64]> {
        match self {
            Ids::Owned(ids) => Cow::Borrowed(ids),
            Ids::Viewed(bytes) => numbers(bytes.as_slice()),
        }
    }

    /// The ids, to be changed; an error where they are only seen.
    pub fn owned(&mut self) -> Result<&mut Vec<i64>> {
        match self {
            Ids::Owned(ids) => Ok(ids),
            Ids::Viewed(_) => Err(viewed()),
        }
    }

    /// Copies what is only seen.
    fn own(&mut self) -> &mut Vec<i64> {
        if let Ids::Viewed(_) = self {
            *self = Ids::Owned(self.get().into_owned());
        }
        match self {
            Ids::Owned(ids) => ids,
            Ids::Viewed(_) => unreachable!("copied above"),
        }
    }
}

/// Bytes as the numbers that they are, copied where they do not lie as numbers must.
pub fn numbers(bytes: &[u8]) -> Cow<'_, [i64]> {
    match bytemuck::try_cast_slice(bytes) {
        Ok(numbers) => Cow::Borrowed(numbers),
        Err(_) => Cow::Owned(bytes.as_chunks::<WIDTH>().0.iter().map(|id| i64::from_le_bytes(*id)).collect()),
    }
}

impl VectorField for Ids {
    fn element(&self) -> ElementKind {
        ElementKind::I64
    }
    fn len(&self) -> usize {
        Ids::len(self)
    }
    fn bytes(&self) -> &[u8] {
        match self {
            Ids::Owned(ids) => bytemuck::cast_slice(ids),
            Ids::Viewed(bytes) => bytes.as_slice(),
        }
    }
    /// Of ids that are only seen, a copy takes their place.
    fn bytes_mut(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(self.own())
    }
    fn resize(&mut self, n: usize) -> Result<()> {
        let ids = self.owned()?;
        ids.try_reserve(n.saturating_sub(ids.len())).map_err(|e| Error::Memory(e.to_string()))?;
        ids.resize(n, 0);
        Ok(())
    }
    fn detach(&mut self) -> Box<dyn Any + Send + Sync> {
        let copy = self.clone();
        Box::new(std::mem::replace(self, copy))
    }
}
