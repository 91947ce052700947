//! Views: what an object, known as no more than that, is as its family's trait. A type says which traits it has in its description:
//!
//! ```ignore
//! #[derive(Object, Default)]
//! #[object(implements(Index, InvertedFile))]
//! pub struct IndexIVFFlat { ... }
//! ```
//!
//! A trait becomes one that objects can be seen as by one line beside it: `view!(Index, "Index")`, with the class that Python shows for it.

use super::object::{Described, Object, TypeInfo, cast, cast_mut};
use super::{Error, Result};

/// The way from an object to a view of it. `None` for an object of another type.
pub struct Casts<T: ?Sized + 'static> {
    /// Sees an object as a `T`, if its type can be seen so.
    pub get: fn(&dyn Object) -> Option<&T>,
    /// The same, to be changed.
    pub get_mut: fn(&mut dyn Object) -> Option<&mut T>,
}

/// What objects can be seen as: a trait of [`view!`](crate::view), a concrete type (itself or an ancestor), or no more than an object.
pub trait View: 'static {
    /// The class that Python shows for it.
    const NAME: &'static str;
    /// How objects of that type are seen so, if they are.
    fn casts(info: &'static TypeInfo) -> Option<&'static Casts<Self>> {
        info.views.iter().find_map(|view| view.downcast_ref())
    }
}

impl View for dyn Object {
    const NAME: &'static str = "Object";
    fn casts(_: &'static TypeInfo) -> Option<&'static Casts<Self>> {
        Some(&Casts { get: |object| Some(object), get_mut: |object| Some(object) })
    }
}

impl<T: Object + Described> View for T {
    const NAME: &'static str = T::INFO.name;
    fn casts(info: &'static TypeInfo) -> Option<&'static Casts<Self>> {
        info.is_a(T::INFO.name).then_some(const { &Casts { get: cast::<T>, get_mut: cast_mut::<T> } })
    }
}

/// Makes a trait that extends [`Object`] one that objects can be seen as: `view!(InvertedFile, "IndexIVF")`.
#[macro_export]
macro_rules! view {
    ($trait:ident, $class:literal) => {
        impl $crate::base::View for dyn $trait {
            const NAME: &'static str = $class;
        }
    };
}

/// The promise of a type that its objects can be seen as a `T`; given by `#[object(implements(...))]`.
pub trait Is<T: ?Sized>: Object + Described {}
impl<V: Object + Described> Is<dyn Object> for V {}
impl<V: Object + Described> Is<V> for V {}

/// The object as a `T`, where it is one.
pub fn seen_as<T: ?Sized + View>(object: &dyn Object) -> Option<&T> {
    (T::casts(object.info())?.get)(object)
}

/// As [`seen_as`], to change it.
pub fn seen_as_mut<T: ?Sized + View>(object: &mut dyn Object) -> Option<&mut T> {
    (T::casts(object.info())?.get_mut)(object)
}

/// The object as a `T`; the wrong type is an error that names both.
pub fn view<T: ?Sized + View>(object: &dyn Object) -> Result<&T> {
    seen_as(object).ok_or_else(|| wrong(T::NAME, object.info()))
}

/// As [`view`], to change it.
pub fn view_mut<T: ?Sized + View>(object: &mut dyn Object) -> Result<&mut T> {
    let info = object.info();
    seen_as_mut(object).ok_or_else(|| wrong(T::NAME, info))
}

pub(super) fn wrong(wanted: &str, info: &TypeInfo) -> Error {
    Error::type_error(format!("{} is wanted here, not {}", with_article(wanted), with_article(info.name)))
}

fn with_article(name: &str) -> String {
    let article = if name.starts_with(['A', 'E', 'I', 'O']) { "an" } else { "a" };
    format!("{article} {name}")
}
