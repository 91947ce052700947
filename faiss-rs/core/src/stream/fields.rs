//! What a file holds of an object, declared once as a list: reader, writer and a row's [`Format`](crate::registry::Format) come from it.
//!
//! ```ignore
//! .format(crate::file_format!(IndexPQ, ["IxPq", "IxPQ"], |index, code| {    // the code that is written, then those that are read too
//!     index.base;                                             // a field, in its own form: `Stored`
//!     index.codes => Words;                                   // in another: a `Form`
//!     old (code.is("IxPQ")) { index.polysemous_ht = 1; } else {   // what files with this code lack; those that are written do not
//!         index.polysemous_ht;
//!     }
//!     same (index.M2) "M2 == roundup(M, 2)";                  // what follows from what was read: written, and compared when it is read
//!     if (index.is_trained) { index.trained; }                // there only sometimes
//!     read { index.code_size = index.pq.code_size; }          // done when a file is read, to go on with
//! }, index.count()))                                          // what is to hold: tried before the object is written, and after it was read
//! ```
//!
//! A type whose files have one of several codes says which: `["Ixrq", "Ixrr"; if index.nb_bits == 1 { "Ixrq" } else { "Ixrr" }]`. An object that
//! is part of others' files has its list in `stored!`; one that is read has its default values before. A third name, `|index, code, file|`, is the
//! reader or writer, for its flags. What hostile input may not say is refused where it is read: by the `Stored` of the field, or in `read` where it
//! is about several.

use super::{Reader, Writer};
use crate::base::object::{Described, Element, Object};
use crate::base::view::View;
use crate::base::{Error, MetricType, Result, Shared};
use crate::registry::{read_nested, write_nested};
use crate::selector::shared_ids::SharedIds;
use crate::storage::codes::Codes;

/// A value that files hold.
pub trait Stored {
    /// Reads the value; errors call it `name`.
    fn read_from(&mut self, input: &mut Reader<'_>, name: &str) -> Result<()>;
    /// Writes it.
    fn write_to(&self, out: &mut Writer<'_>) -> Result<()>;
}

/// A form of values in files that is not their own.
pub trait Form<T: ?Sized> {
    /// Reads the value.
    fn read(&self, value: &mut T, input: &mut Reader<'_>) -> Result<()>;
    /// Writes it.
    fn write(&self, value: &T, out: &mut Writer<'_>) -> Result<()>;
}

macro_rules! numbers {
    ($($ty:ident),*) => {$(
        impl Stored for $ty {
            fn read_from(&mut self, input: &mut Reader<'_>, _name: &str) -> Result<()> {
                *self = input.$ty()?;
                Ok(())
            }
            fn write_to(&self, out: &mut Writer<'_>) -> Result<()> {
                out.$ty(*self)
            }
        }
    )*};
}
numbers! { u8, i32, i64, usize, f32, f64 }

impl Stored for u32 {
    fn read_from(&mut self, input: &mut Reader<'_>, _name: &str) -> Result<()> {
        *self = input.i32()? as u32;
        Ok(())
    }
    fn write_to(&self, out: &mut Writer<'_>) -> Result<()> {
        out.i32(*self as i32)
    }
}

impl Stored for bool {
    fn read_from(&mut self, input: &mut Reader<'_>, name: &str) -> Result<()> {
        // Of the way to the field, its name.
        *self = input.bool(name.rsplit('.').next().unwrap_or(name))?;
        Ok(())
    }
    fn write_to(&self, out: &mut Writer<'_>) -> Result<()> {
        out.bool(*self)
    }
}

/// A number of 32 bits.
impl Stored for MetricType {
    fn read_from(&mut self, input: &mut Reader<'_>, _name: &str) -> Result<()> {
        *self = MetricType::try_from(i64::from(input.i32()?))?;
        Ok(())
    }
    fn write_to(&self, out: &mut Writer<'_>) -> Result<()> {
        out.i32(*self as i32)
    }
}

impl<T: Element> Stored for Vec<T> {
    fn read_from(&mut self, input: &mut Reader<'_>, _name: &str) -> Result<()> {
        *self = input.vec()?;
        Ok(())
    }
    fn write_to(&self, out: &mut Writer<'_>) -> Result<()> {
        out.vec(self)
    }
}

impl Stored for Codes {
    fn read_from(&mut self, input: &mut Reader<'_>, _name: &str) -> Result<()> {
        *self = input.codes()?;
        Ok(())
    }
    fn write_to(&self, out: &mut Writer<'_>) -> Result<()> {
        out.codes(self.as_slice())
    }
}

/// Codes counted in words of 4 bytes.
pub struct Words;

impl Form<Codes> for Words {
    fn read(&self, codes: &mut Codes, input: &mut Reader<'_>) -> Result<()> {
        *codes = input.codes_of_words()?;
        Ok(())
    }
    fn write(&self, codes: &Codes, out: &mut Writer<'_>) -> Result<()> {
        out.codes_of_words(codes.as_slice())
    }
}

impl Stored for SharedIds {
    fn read_from(&mut self, input: &mut Reader<'_>, _name: &str) -> Result<()> {
        *self = SharedIds::new(input.vec()?);
        Ok(())
    }
    fn write_to(&self, out: &mut Writer<'_>) -> Result<()> {
        out.vec(self)
    }
}

/// The form that a value has by itself, where another may be given.
pub struct Own;

impl<T: Stored> Form<T> for Own {
    fn read(&self, value: &mut T, input: &mut Reader<'_>) -> Result<()> {
        value.read_from(input, "")
    }
    fn write(&self, value: &T, out: &mut Writer<'_>) -> Result<()> {
        value.write_to(out)
    }
}

/// An object with a code of its own, or none.
impl<T: ?Sized + View> Stored for Option<Shared<T>> {
    fn read_from(&mut self, input: &mut Reader<'_>, _name: &str) -> Result<()> {
        let seen = read_nested(input)?.map(|object| object.view()).transpose();
        *self = seen.map_err(|e| Error::failed("", e.to_string()))?;
        Ok(())
    }
    fn write_to(&self, out: &mut Writer<'_>) -> Result<()> {
        Shared::with(self.as_ref(), |object| match object {
            Some(object) => write_nested(object, out),
            None => out.fourcc("null"),
        })
    }
}

/// An object held by value, which in files has its code.
pub struct Nested;

impl<T: Object + Described + Clone> Form<T> for Nested {
    fn read(&self, value: &mut T, input: &mut Reader<'_>) -> Result<()> {
        let mut object: Option<Shared<T>> = None;
        object.read_from(input, "")?;
        let object = object.ok_or_else(|| Error::failed("", format!("{} is wanted here", T::INFO.name)))?;
        *value = object.read().clone();
        Ok(())
    }
    fn write(&self, value: &T, out: &mut Writer<'_>) -> Result<()> {
        write_nested(value, out)
    }
}

/// The format of a type, of what files hold of it. See [`fields`](crate::stream::fields).
#[macro_export]
macro_rules! file_format {
    ($ty:ty, $codes:tt, |$object:ident| $fields:tt $(, $valid:expr)?) => {
        $crate::file_format!($ty, $codes, |$object, code, file| $fields $(, $valid)?)
    };
    ($ty:ty, $codes:tt, |$object:ident, $code:ident| $fields:tt $(, $valid:expr)?) => {
        $crate::file_format!($ty, $codes, |$object, $code, file| $fields $(, $valid)?)
    };
    (
        $ty:ty, [$own:expr $(, $older:expr)* $(; $written:expr)?], |$object:ident, $code:ident, $file:ident| $fields:tt
        $(, $valid:expr)?
    ) => {
        $crate::registry::Format {
            fourccs: &[$own $(, $older)*],
            read: |$file, $code| {
                let _ = $code;
                let mut made = <$ty>::default();
                {
                    let $object = &mut made;
                    $crate::read_fields!($file; $object $fields);
                    $($valid?;)?
                }
                Ok($crate::base::Handle::new(made))
            },
            write: |object, $file| {
                let $object = $crate::base::object::receiver::<$ty>(object)?;
                $($valid?;)?
                let _written = $own;
                $(let _written = $written;)?
                $file.fourcc(_written)?;
                let $code = $crate::stream::FourCC::of(_written);
                let _ = $code;
                $crate::write_fields!($file; $object $fields);
                Ok(())
            },
        }
    };
}

/// What files hold of an object that is part of others: `stored!(VectorTransformBase, |vt| { vt.d_in; vt.d_out; vt.is_trained; })`.
#[macro_export]
macro_rules! stored {
    ($ty:ty, |$object:ident| $fields:tt) => {
        $crate::stored!($ty, |$object, file| $fields);
    };
    ($ty:ty, |$object:ident, $file:ident| $fields:tt) => {
        impl $crate::stream::fields::Stored for $ty {
            fn read_from(&mut self, $file: &mut $crate::stream::Reader<'_>, _name: &str) -> $crate::base::Result<()> {
                let $object = self;
                $crate::read_fields!($file; $object $fields);
                Ok(())
            }
            fn write_to(&self, $file: &mut $crate::stream::Writer<'_>) -> $crate::base::Result<()> {
                let $object = self;
                $crate::write_fields!($file; $object $fields);
                Ok(())
            }
        }
    };
}

/// As [`stored!`], of what depends on the file's code: `struct Header(FourCC); form!(Header(code) of IndexIVF, |ivf, file| { ... });`.
#[macro_export]
macro_rules! form {
    ($form:ident($code:ident) of $ty:ty, |$object:ident, $file:ident| $fields:tt) => {
        impl $crate::stream::fields::Form<$ty> for $form {
            fn read(&self, $object: &mut $ty, $file: &mut $crate::stream::Reader<'_>) -> $crate::base::Result<()> {
                let $code = self.0;
                let _ = $code;
                $crate::read_fields!($file; $object $fields);
                Ok(())
            }
            fn write(&self, $object: &$ty, $file: &mut $crate::stream::Writer<'_>) -> $crate::base::Result<()> {
                let $code = self.0;
                let _ = $code;
                $crate::write_fields!($file; $object $fields);
                Ok(())
            }
        }
    };
}

/// The fields of a list, read one after the other.
#[macro_export]
macro_rules! read_fields {
    ($input:ident; $object:ident {}) => {
        let _ = &*$object;
    };
    ($input:ident; $object:ident { read { $($done:tt)* } $($rest:tt)* }) => {
        $($done)*
        $crate::read_fields!($input; $object { $($rest)* });
    };
    ($input:ident; $object:ident { old ($old:expr) { $($done:tt)* } else $fields:tt $($rest:tt)* }) => {
        if $old {
            $($done)*
        } else {
            $crate::read_fields!($input; $object $fields);
        }
        $crate::read_fields!($input; $object { $($rest)* });
    };
    ($input:ident; $object:ident { if ($there:expr) $fields:tt $($rest:tt)* }) => {
        if $there {
            $crate::read_fields!($input; $object $fields);
        }
        $crate::read_fields!($input; $object { $($rest)* });
    };
    ($input:ident; $object:ident { same ($value:expr) $condition:literal; $($rest:tt)* }) => {
        $crate::stream::fields::read_same(&$value, $input, $condition)?;
        $crate::read_fields!($input; $object { $($rest)* });
    };
    ($input:ident; $object:ident { $field:expr => $form:expr; $($rest:tt)* }) => {
        $crate::stream::fields::Form::read(&$form, &mut $field, $input)?;
        $crate::read_fields!($input; $object { $($rest)* });
    };
    ($input:ident; $object:ident { $field:expr; $($rest:tt)* }) => {
        $crate::stream::fields::Stored::read_from(&mut $field, $input, stringify!($field))?;
        $crate::read_fields!($input; $object { $($rest)* });
    };
}

/// The fields of a list, written one after the other.
#[macro_export]
macro_rules! write_fields {
    ($out:ident; $object:ident {}) => {
        let _ = $object;
    };
    ($out:ident; $object:ident { read $done:tt $($rest:tt)* }) => {
        $crate::write_fields!($out; $object { $($rest)* });
    };
    ($out:ident; $object:ident { old ($old:expr) $done:tt else $fields:tt $($rest:tt)* }) => {
        $crate::write_fields!($out; $object $fields);
        $crate::write_fields!($out; $object { $($rest)* });
    };
    ($out:ident; $object:ident { if ($there:expr) $fields:tt $($rest:tt)* }) => {
        if $there {
            $crate::write_fields!($out; $object $fields);
        }
        $crate::write_fields!($out; $object { $($rest)* });
    };
    ($out:ident; $object:ident { same ($value:expr) $condition:literal; $($rest:tt)* }) => {
        $crate::stream::fields::Stored::write_to(&$value, $out)?;
        $crate::write_fields!($out; $object { $($rest)* });
    };
    ($out:ident; $object:ident { $field:expr => $form:expr; $($rest:tt)* }) => {
        $crate::stream::fields::Form::write(&$form, &$field, $out)?;
        $crate::write_fields!($out; $object { $($rest)* });
    };
    ($out:ident; $object:ident { $field:expr; $($rest:tt)* }) => {
        $crate::stream::fields::Stored::write_to(&$field, $out)?;
        $crate::write_fields!($out; $object { $($rest)* });
    };
}

/// Reads a value that is known.
pub fn read_same<T: Stored + PartialEq + Default>(value: &T, input: &mut Reader<'_>, condition: &str) -> Result<()> {
    let mut stored = T::default();
    stored.read_from(input, condition)?;
    Error::check(stored == *value, condition)
}
