//! The description of a type: its name, parent, public fields and methods, as data.
//!
//! Python classes, stubs, help texts and the compatibility table are all made from it, so a type is described once, beside its code, with
//! `#[derive(Object)]`. A field held by value that is itself described (`pq`, `cp`) is a *part*: it is reached through its owner.

use std::any::Any;

use super::declare::{Method, Overload};
use super::error::{Error, Result};
use super::handle::{Handle, Shared};
use super::view::View;

/// The kind of a field's value, in C++'s terms where Python shows them.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A bool.
    Bool,
    /// An i32.
    I32,
    /// A u32.
    U32,
    /// An i64.
    I64,
    /// A u8.
    U8,
    /// A usize.
    USize,
    /// An f32.
    F32,
    /// An f64.
    F64,
    /// A string.
    Str,
    /// `std::vector` of these elements.
    Vector(ElementKind),
    /// A described struct held by value.
    Part(fn() -> &'static TypeInfo),
    /// A shared handle (a pointer in C++) to this class or one derived from it; may be null.
    Pointer(&'static str),
    /// `std::vector` of objects of this class, or of pointers to them.
    List(&'static str),
}

/// What a vector holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElementKind {
    /// u8.
    U8,
    /// i8.
    I8,
    /// u16.
    U16,
    /// i16.
    I16,
    /// u32.
    U32,
    /// i32.
    I32,
    /// u64.
    U64,
    /// i64.
    I64,
    /// f32.
    F32,
    /// f64.
    F64,
}

/// A value that crosses the border of the crate: an argument, a result, or what a field holds.
#[derive(Clone, Debug)]
pub enum Value {
    /// Nothing.
    None,
    /// A bool.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number that may be too large for `Int`.
    Unsigned(u64),
    /// A number.
    Float(f64),
    /// A string.
    Str(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// An object.
    Handle(Handle),
    /// An array with its shape, row-major.
    F32(Vec<f32>, Vec<usize>),
    /// An array of f64 with its shape.
    F64(Vec<f64>, Vec<usize>),
    /// An array of i64 with its shape.
    I64(Vec<i64>, Vec<usize>),
    /// An array of i32 with its shape.
    I32(Vec<i32>, Vec<usize>),
    /// An array of bytes with its shape.
    U8(Vec<u8>, Vec<usize>),
    /// A list.
    List(Vec<Value>),
    /// A pointer into the object itself: its vector field of this name, seen as elements of this kind (`get_xb`).
    View(&'static str, ElementKind),
}

/// One public field.
#[derive(Debug)]
pub struct FieldInfo {
    /// The name.
    pub name: &'static str,
    /// The type.
    pub kind: Kind,
    /// The help text.
    pub doc: &'static str,
    /// Whether it is only read.
    pub readonly: bool,
}

/// The description of a type. See `#[derive(Object)]`.
pub struct TypeInfo {
    /// The name in Faiss and in Python.
    pub name: &'static str,
    /// The help text.
    pub doc: &'static str,
    /// The type that it extends.
    pub parent: Option<&'static TypeInfo>,
    /// Whether there are no objects of this type itself.
    pub is_abstract: bool,
    /// Own fields, without the parent's.
    pub fields: &'static [FieldInfo],
    /// Own methods, without the parent's; see `#[methods]`.
    pub methods: &'static [Method],
    /// The ways to make an object of the type.
    pub constructors: &'static [Overload],
    /// What objects of this very type can be seen as: a [`Casts`](super::view::Casts) for each trait.
    pub views: &'static [&'static (dyn Any + Send + Sync)],
    /// A deep copy: objects that this one refers to are copied too.
    pub copy: Option<fn(&dyn Object) -> Result<Handle>>,
    /// Makes an object as it is without arguments.
    pub default: fn() -> Box<dyn Object>,
}

impl TypeInfo {
    /// This description and its ancestors', nearest first.
    pub fn lineage(&'static self) -> impl Iterator<Item = &'static TypeInfo> {
        std::iter::successors(Some(self), |t| t.parent)
    }

    /// Whether it is the type of that name or extends it.
    pub fn is_a(&'static self, name: &str) -> bool {
        self.lineage().any(|t| t.name == name)
    }

    /// The method of that name, of this type or of one that it extends.
    pub fn method(&'static self, name: &str) -> Option<&'static Method> {
        self.lineage().find_map(|t| t.methods.iter().find(|m| m.name == name))
    }

    /// The field of that name, of this type or of one that it extends.
    pub fn field(&'static self, name: &str) -> Option<&'static FieldInfo> {
        self.lineage().find_map(|t| t.fields.iter().find(|f| f.name == name))
    }
}

/// A type that has a description.
pub trait Described {
    /// The description.
    const INFO: &'static TypeInfo;
}

/// An object with a description. Implemented by `#[derive(Object)]` only.
pub trait Object: Any + Send + Sync {
    /// The description of the most derived type.
    fn info(&self) -> &'static TypeInfo;
    /// The object for a cast to its type.
    fn as_any(&self) -> &dyn Any;
    /// The same, to be changed.
    fn as_any_mut(&mut self) -> &mut dyn Any;
    /// The field of that name, the parent's included.
    fn field(&self, name: &str) -> Option<FieldRef<'_>>;
    /// The field of that name, to be changed.
    fn field_mut(&mut self, name: &str) -> Option<&mut dyn FieldMut>;
    /// The embedded parent: what this object is as its base class.
    fn parent_object(&self) -> Option<&dyn Object>;
    /// The parent, to be changed.
    fn parent_object_mut(&mut self) -> Option<&mut dyn Object>;
}

/// What this object is as a `T`: itself, or its part that is its ancestor of that type.
pub fn cast<T: Object>(object: &dyn Object) -> Option<&T> {
    object.as_any().downcast_ref().or_else(|| cast(object.parent_object()?))
}

/// As [`cast`], to change it.
pub fn cast_mut<T: Object>(object: &mut dyn Object) -> Option<&mut T> {
    if object.as_any().is::<T>() {
        return object.as_any_mut().downcast_mut();
    }
    cast_mut(object.parent_object_mut()?)
}

/// As [`cast`], for a method's receiver: the wrong type is an error that names both.
pub fn receiver<T: Object + Described>(object: &dyn Object) -> Result<&T> {
    cast(object).ok_or_else(|| wrong_receiver(T::INFO.name, object.info()))
}

/// As [`receiver`], to change it.
pub fn receiver_mut<T: Object + Described>(object: &mut dyn Object) -> Result<&mut T> {
    let info = object.info();
    cast_mut(object).ok_or_else(|| wrong_receiver(T::INFO.name, info))
}

fn wrong_receiver(wanted: &str, info: &TypeInfo) -> Error {
    Error::type_error(format!("a {wanted} is wanted here, not a {}", info.name))
}

/// A copy that shares nothing with the object: what it refers to is copied too. `#[object(copy)]` implements it.
pub trait DeepCopy: Sized {
    /// The copy.
    fn deep_copy(&self) -> Result<Self>;
}

impl<T: ?Sized + View> DeepCopy for Option<Shared<T>> {
    fn deep_copy(&self) -> Result<Self> {
        self.as_ref().map(Shared::copy).transpose()
    }
}

impl<T: ?Sized + View> DeepCopy for Vec<Shared<T>> {
    fn deep_copy(&self) -> Result<Self> {
        self.iter().map(Shared::copy).collect()
    }
}

/// A deep copy, of the same type.
pub fn copy(object: &dyn Object) -> Result<Handle> {
    let info = object.info();
    let unknown = || Error::failed("", format!("clone not supported for this type of index: {}", info.name));
    info.copy.ok_or_else(unknown)?(object)
}

/// Gives an object the values that another of its type has in its fields; objects that it refers to are shared.
pub fn copy_fields(from: &dyn Object, to: &mut dyn Object) -> Result<()> {
    for field in from.info().lineage().flat_map(|info| info.fields) {
        let (Some(value), Some(target)) = (from.field(field.name), to.field_mut(field.name)) else { continue };
        match value {
            // A list of objects is changed by methods only.
            FieldRef::Value(Value::List(_)) => {}
            FieldRef::Value(value) => target.set(value)?,
            FieldRef::Vector(vector) => {
                if let Some(target) = target.vector_mut() {
                    target.resize(vector.len())?;
                    target.bytes_mut().copy_from_slice(vector.bytes());
                }
            }
            FieldRef::Part(part) => {
                if let Some(target) = target.part_mut() {
                    copy_fields(part, target)?;
                }
            }
        }
    }
    Ok(())
}

/// What a field shows when read.
pub enum FieldRef<'a> {
    /// A value.
    Value(Value),
    /// A vector, where it lies.
    Vector(&'a dyn VectorField),
    /// An object inside this one.
    Part(&'a dyn Object),
}

/// A type that a public field can have.
pub trait Field: FieldMut {
    /// The type.
    const KIND: Kind;
    /// The value, or where it lies.
    fn get(&self) -> FieldRef<'_>;
}

/// How a field is changed from outside. The defaults refuse.
pub trait FieldMut {
    /// Sets the value; an error where its type is another.
    fn set(&mut self, _value: Value) -> Result<()> {
        Err(Error::type_error("this field can't be assigned"))
    }
    /// The vector, to be changed, if it is one.
    fn vector_mut(&mut self) -> Option<&mut dyn VectorField> {
        None
    }
    /// The object inside, to be changed, if it is one.
    fn part_mut(&mut self) -> Option<&mut dyn Object> {
        None
    }
}

/// A `std::vector` as Python sees it.
pub trait VectorField: Send + Sync {
    /// What it holds.
    fn element(&self) -> ElementKind;
    /// How many there are.
    fn len(&self) -> usize;
    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The elements' bytes, native byte order.
    fn bytes(&self) -> &[u8];
    /// The elements as bytes, to be changed.
    fn bytes_mut(&mut self) -> &mut [u8];
    /// Changes the number of elements; new ones are zero.
    fn resize(&mut self, n: usize) -> Result<()>;
    /// Goes on with a copy of the elements, and gives their memory away; see [`exports`](super::exports).
    fn detach(&mut self) -> Box<dyn Any + Send + Sync>;
}

/// An element of a [`VectorField`]: plain old data without padding, for which every bit pattern is a value.
///
/// # Safety
/// The type has no padding, no invalid bit pattern, and `ELEMENT` names its size and meaning.
pub unsafe trait Element: Copy + Default + Send + Sync + 'static {
    /// What it is.
    const ELEMENT: ElementKind;
}

macro_rules! scalar_fields {
    ($($ty:ty => $kind:ident, $element:ident;)*) => {$(
        // SAFETY: primitive numbers have neither padding nor invalid bit patterns.
        unsafe impl Element for $ty { const ELEMENT: ElementKind = ElementKind::$element; }
        impl Field for $ty {
            const KIND: Kind = Kind::$kind;
            fn get(&self) -> FieldRef<'_> {
                FieldRef::Value(i64::try_from(*self).map_or(Value::Unsigned(*self as u64), Value::Int))
            }
        }
        impl FieldMut for $ty {
            fn set(&mut self, value: Value) -> Result<()> {
                let Value::Int(v) = value else { return Err(Error::type_error("an integer is wanted here")) };
                *self = <$ty>::try_from(v).map_err(|_| Error::overflow(concat!("the value is out of range for ", stringify!($ty))))?;
                Ok(())
            }
        }
    )*};
}
scalar_fields! { i32 => I32, I32; u32 => U32, U32; i64 => I64, I64; u8 => U8, U8; usize => USize, U64; }

macro_rules! float_fields {
    ($($ty:ty => $kind:ident;)*) => {$(
        // SAFETY: every bit pattern is a floating-point number.
        unsafe impl Element for $ty { const ELEMENT: ElementKind = ElementKind::$kind; }
        impl Field for $ty {
            const KIND: Kind = Kind::$kind;
            fn get(&self) -> FieldRef<'_> { FieldRef::Value(Value::Float(*self as f64)) }
        }
        impl FieldMut for $ty {
            fn set(&mut self, value: Value) -> Result<()> {
                *self = match value {
                    Value::Float(v) => v as $ty,
                    Value::Int(v) => v as $ty,
                    _ => return Err(Error::type_error("a number is wanted here")),
                };
                Ok(())
            }
        }
    )*};
}
float_fields! { f32 => F32; f64 => F64; }

// SAFETY: as that of the other primitive numbers.
unsafe impl Element for u16 {
    const ELEMENT: ElementKind = ElementKind::U16;
}

impl Field for bool {
    const KIND: Kind = Kind::Bool;
    fn get(&self) -> FieldRef<'_> {
        FieldRef::Value(Value::Bool(*self))
    }
}
impl FieldMut for bool {
    fn set(&mut self, value: Value) -> Result<()> {
        *self = match value {
            Value::Bool(v) => v,
            Value::Int(v) => v != 0,
            _ => return Err(Error::type_error("a bool is wanted here")),
        };
        Ok(())
    }
}

impl Field for String {
    const KIND: Kind = Kind::Str;
    fn get(&self) -> FieldRef<'_> {
        FieldRef::Value(Value::Str(self.clone()))
    }
}
impl FieldMut for String {
    fn set(&mut self, value: Value) -> Result<()> {
        let Value::Str(v) = value else { return Err(Error::type_error("a str is wanted here")) };
        *self = v;
        Ok(())
    }
}

impl<T: Element> VectorField for Vec<T> {
    fn element(&self) -> ElementKind {
        T::ELEMENT
    }
    fn len(&self) -> usize {
        Vec::len(self)
    }
    fn bytes(&self) -> &[u8] {
        // SAFETY: an Element is plain old data; the slice covers exactly the vector's elements.
        unsafe { std::slice::from_raw_parts(self.as_ptr().cast(), std::mem::size_of_val(self.as_slice())) }
    }
    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above; every bit pattern written is a valid element.
        unsafe { std::slice::from_raw_parts_mut(self.as_mut_ptr().cast(), std::mem::size_of_val(self.as_slice())) }
    }
    fn resize(&mut self, n: usize) -> Result<()> {
        self.try_reserve(n.saturating_sub(Vec::len(self)))
            .map_err(|_| Error::Memory(format!("could not get memory for {n} elements of {} bytes", size_of::<T>())))?;
        Vec::resize(self, n, T::default());
        Ok(())
    }
    fn detach(&mut self) -> Box<dyn Any + Send + Sync> {
        let copy = self.clone();
        Box::new(std::mem::replace(self, copy))
    }
}
impl<T: Element> Field for Vec<T> {
    const KIND: Kind = Kind::Vector(T::ELEMENT);
    fn get(&self) -> FieldRef<'_> {
        FieldRef::Vector(self)
    }
}
impl<T: Element> FieldMut for Vec<T> {
    fn vector_mut(&mut self) -> Option<&mut dyn VectorField> {
        Some(self)
    }
}

/// Other objects, of which only methods change which they are.
impl<T: ?Sized + View> Field for Vec<Shared<T>> {
    const KIND: Kind = Kind::List(T::NAME);
    fn get(&self) -> FieldRef<'_> {
        FieldRef::Value(Value::List(self.iter().map(|shared| Value::Handle(shared.object())).collect()))
    }
}
impl<T: ?Sized + View> FieldMut for Vec<Shared<T>> {}

/// A pointer to another object, which may be null.
impl<T: ?Sized + View> Field for Option<Shared<T>> {
    const KIND: Kind = Kind::Pointer(T::NAME);
    fn get(&self) -> FieldRef<'_> {
        FieldRef::Value(self.as_ref().map_or(Value::None, |p| Value::Handle(p.object())))
    }
}
impl<T: ?Sized + View> FieldMut for Option<Shared<T>> {
    fn set(&mut self, value: Value) -> Result<()> {
        *self = match value {
            Value::None => None,
            Value::Handle(handle) => Some(handle.view()?),
            _ => return Err(Error::type_error(format!("{} or None is wanted here", T::NAME))),
        };
        Ok(())
    }
}
