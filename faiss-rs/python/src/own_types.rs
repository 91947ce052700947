//! Types of the library that exist for Python only: stand-alone vectors. The types that call back are in callbacks.rs.

use std::any::Any;

use faiss_core::base::object::{ElementKind, VectorField};
use faiss_core::base::{Error, Field, FieldMut, FieldRef, Kind, Result, TypeInfo};
use faiss_core::registry::Row;
use faiss_derive::Object;

use crate::callbacks;

/// Whether the type is a vector of its own.
pub fn is_vector(info: &TypeInfo) -> bool {
    VECTORS.contains(&info.name)
}

/// The elements of a stand-alone vector.
#[derive(Default)]
pub struct Items<T>(Vec<T>);

/// What Faiss makes vectors of.
pub trait Item: bytemuck::Pod + Default + Send + Sync {
    const ELEMENT: ElementKind;
}

impl<T: Item> VectorField for Items<T> {
    fn element(&self) -> ElementKind {
        T::ELEMENT
    }
    fn len(&self) -> usize {
        self.0.len()
    }
    fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
    fn bytes_mut(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(&mut self.0)
    }
    fn resize(&mut self, n: usize) -> Result<()> {
        let more = n.saturating_sub(self.0.len());
        self.0.try_reserve(more).map_err(|_| Error::Memory(format!("could not get memory for {n} elements")))?;
        self.0.resize(n, T::default());
        Ok(())
    }
    fn detach(&mut self) -> Box<dyn Any + Send + Sync> {
        let copy = self.0.clone();
        Box::new(std::mem::replace(&mut self.0, copy))
    }
}

impl<T: Item> Field for Items<T> {
    const KIND: Kind = Kind::Vector(T::ELEMENT);
    fn get(&self) -> FieldRef<'_> {
        FieldRef::Vector(self)
    }
}

impl<T: Item> FieldMut for Items<T> {
    fn vector_mut(&mut self) -> Option<&mut dyn VectorField> {
        Some(self)
    }
}

macro_rules! vectors {
    ($($name:ident: $ty:ty, $element:ident;)*) => {
        $(
            impl Item for $ty {
                const ELEMENT: ElementKind = ElementKind::$element;
            }

            /// A `std::vector` of its own.
            #[derive(Object, Default)]
            #[object(new)]
            pub struct $name {
                /// The elements.
                pub items: Items<$ty>,
            }
        )*
        /// Vectors of their own, whose only field is what is in them.
        const VECTORS: &[&str] = &[$(stringify!($name)),*];

        /// The types of this crate.
        pub static REGISTRY: &[Row] = &[
            $(Row::of::<$name>(),)*
            callbacks::SELECTOR,
            callbacks::READER,
            callbacks::WRITER,
        ];
    };
}

vectors! {
    UInt8Vector: u8, U8;
    Int8Vector: i8, I8;
    UInt16Vector: u16, U16;
    Int16Vector: i16, I16;
    UInt32Vector: u32, U32;
    Int32Vector: i32, I32;
    UInt64Vector: u64, U64;
    Int64Vector: i64, I64;
    Float32Vector: f32, F32;
    Float64Vector: f64, F64;
}
