//! Declarations of constructors and methods, as `#[methods]` makes them of Rust functions: signatures, conversions, defaults, keywords,
//! overloads and their errors, and how they are called from outside.
//!
//! Arguments are borrowed: an array is a slice of the caller's memory. A parameter `&T` or `&mut T` is an object, which the call locks; all
//! locks of a call are taken here, in one order for all threads, and an object that would be locked twice, once to be changed, is refused.

use super::handle::{Handle, ReadGuard, Shared, WriteGuard};
use super::link::link;
use super::lock::{read, write};
use super::object::{Element, ElementKind, Kind, Object, TypeInfo, Value};
use super::view::{View, view, view_mut};
use super::{Error, FieldRef, MetricType, Result};

/// The names of the fields that lead from an object to a part of it.
pub type Path = Vec<&'static str>;

/// An argument.
#[derive(Default)]
pub enum Arg<'a> {
    /// Not given: the default holds.
    #[default]
    Missing,
    /// Python's None.
    None,
    /// A bool.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// A string.
    Str(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// An array with its shape, row-major.
    F32(&'a [f32], &'a [usize]),
    /// An array of f64.
    F64(&'a [f64], &'a [usize]),
    /// An array of i64.
    I64(&'a [i64], &'a [usize]),
    /// An array of i32.
    I32(&'a [i32], &'a [usize]),
    /// An array of bytes.
    U8(&'a [u8], &'a [usize]),
    /// An object, or the part of it that the path leads to.
    Object(Handle, Path),
    /// An object that this call has locked.
    Seen(&'a dyn Object),
    /// An object that this call has locked to change it.
    SeenMut(&'a mut dyn Object),
    /// A list or tuple.
    List(Vec<Arg<'a>>),
    /// A pointer, by its place among the arguments that were given, before it is known how far it is to lead.
    Pointer(usize),
    /// The memory that it leads to.
    Memory(&'a [u8]),
    /// The memory that it leads to, to be written.
    MemoryMut(&'a mut [u8]),
}

/// What a call does with the object that a parameter takes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nothing, or what it does by itself with a handle.
    Unlocked,
    /// Reads it.
    Read,
    /// Changes it.
    Write,
}

/// A parameter of a method or a function.
pub struct Parameter {
    /// The name, as keywords have it.
    pub name: &'static str,
    /// The type, as Python's annotations have it: a function, as a type's own methods may name it while it is described.
    pub python: fn() -> &'static str,
    /// Whether None is taken too.
    pub optional: bool,
    /// The default, as Python shows it.
    pub default: Option<&'static str>,
    /// What the call does with an object.
    pub access: Access,
    /// Whether an argument is of the right kind; its value may still be refused.
    pub fits: fn(&Arg<'_>) -> bool,
    /// What a pointer is to lead to.
    pub memory: Option<Memory>,
}

/// The memory of a parameter whose length other arguments tell.
pub struct Memory {
    /// What the pointer points to.
    pub element: ElementKind,
    /// Whether the call changes it.
    pub writes: bool,
    /// How many elements it has; without this, all that the pointer is known to lead to.
    pub len: Option<fn(&mut [Arg<'_>]) -> Result<usize>>,
}

/// A method or a function, with all ways to call it.
pub struct Method {
    /// The name.
    pub name: &'static str,
    /// The help text.
    pub doc: &'static str,
    /// The ways to call it: the first whose parameters fit is taken.
    pub overloads: &'static [Overload],
}

/// One way to call a method or a constructor.
pub struct Overload {
    /// What it takes.
    pub parameters: &'static [Parameter],
    /// The type of what comes back, as Python's annotations have it.
    pub returns: fn() -> &'static str,
    /// The function behind it.
    pub call: Call,
}

/// The function behind a method, a constructor or a function.
pub enum Call {
    /// Makes an object whose fields are then set by keywords.
    Fields(fn() -> Handle),
    /// Makes an object.
    New(fn(&mut [Arg<'_>]) -> Result<Handle>),
    /// Leaves the object as it is; runs beside other reads.
    Read(fn(&dyn Object, &mut [Arg<'_>]) -> Result<Value>),
    /// Changes the object; runs alone.
    Write(fn(&mut dyn Object, &mut [Arg<'_>]) -> Result<Value>),
    /// Has no object of its own.
    Function(fn(&mut [Arg<'_>]) -> Result<Value>),
}

impl Overload {
    /// The parameters' names and defaults.
    pub fn names(&self) -> impl Iterator<Item = (&'static str, Option<&'static str>)> {
        self.parameters.iter().map(|parameter| (parameter.name, parameter.default))
    }

    /// As in `(self, list_no: int, sel: IDSelector | None = None) -> int`, for a type of this description, or of no type.
    pub fn signature(&self, info: Option<&'static TypeInfo>) -> String {
        if let (Call::Fields(_), Some(info)) = (&self.call, info) {
            return fields_signature(info);
        }
        let own = matches!(self.call, Call::Read(_) | Call::Write(_)).then(|| "self".to_owned());
        let parameters = self.parameters.iter().map(|p| {
            let none = if p.optional { " | None" } else { "" };
            let default = p.default.map(|default| format!(" = {default}")).unwrap_or_default();
            format!("{}: {}{none}{default}", p.name, (p.python)())
        });
        let list = own.into_iter().chain(parameters).collect::<Vec<_>>().join(", ");
        match self.call {
            Call::New(_) | Call::Fields(_) => format!("({list})"),
            _ => format!("({list}) -> {}", (self.returns)()),
        }
    }

    /// Where each parameter's argument is among the positional ones and, behind them, those with keywords; or why they do not fit.
    fn bind(&self, args: &[Arg<'_>], keywords: &[(&str, Arg<'_>)]) -> std::result::Result<Vec<Option<usize>>, String> {
        let wanted = self.parameters.len();
        if args.len() > wanted {
            return Err(format!("takes {wanted} arguments but {} were given", args.len()));
        }
        let mut places: Vec<Option<usize>> = (0..wanted).map(|i| (i < args.len()).then_some(i)).collect();
        for (k, (name, _)) in keywords.iter().enumerate() {
            let at = self.parameters.iter().position(|p| p.name == *name);
            let at = at.ok_or_else(|| format!("got an unexpected keyword argument '{name}'"))?;
            if places[at].replace(args.len() + k).is_some() {
                return Err(format!("got multiple values for argument '{name}'"));
            }
        }
        for (parameter, place) in self.parameters.iter().zip(&places) {
            let given = place.map(|i| args.get(i).unwrap_or_else(|| &keywords[i - args.len()].1));
            match given {
                None if parameter.default.is_none() => {
                    return Err(format!("missing required argument: '{}'", parameter.name));
                }
                Some(arg) if !(parameter.fits)(arg) => {
                    return Err(format!("argument '{}' is to be of type {}", parameter.name, (parameter.python)()));
                }
                _ => {}
            }
        }
        Ok(places)
    }

    /// Whether flags are given for flags and numbers for numbers, though one could stand for the other.
    fn is_exact(&self, args: &[Arg<'_>], keywords: &[(&str, Arg<'_>)], places: &[Option<usize>]) -> bool {
        self.parameters.iter().zip(places).all(|(parameter, place)| {
            let given = place.map(|i| args.get(i).unwrap_or_else(|| &keywords[i - args.len()].1));
            match given {
                Some(Arg::Bool(_)) => (parameter.python)() == "bool",
                Some(Arg::Int(_)) => (parameter.python)() != "bool",
                _ => true,
            }
        })
    }
}

/// The fields of a type and its ancestors as parameters with keywords: the farthest ancestor's first.
fn fields_signature(info: &'static TypeInfo) -> String {
    let default = (info.default)();
    let mut lineage: Vec<_> = info.lineage().collect();
    lineage.reverse();
    let fields = lineage.into_iter().flat_map(|info| info.fields).filter(|field| !field.readonly);
    let parameters: Vec<String> = fields
        .filter_map(|field| {
            let value = match default.field(field.name)? {
                FieldRef::Value(value) => value,
                _ => return None,
            };
            let (python, shown) = match (field.kind, value) {
                (Kind::Pointer(class), _) => (format!("{class} | None"), "None".to_owned()),
                (_, Value::Bool(v)) => ("bool".to_owned(), if v { "True" } else { "False" }.to_owned()),
                (_, Value::Int(v)) => ("int".to_owned(), v.to_string()),
                (_, Value::Float(v)) => ("float".to_owned(), v.to_string()),
                (_, Value::Str(v)) => ("str".to_owned(), format!("'{v}'")),
                _ => return None,
            };
            Some(format!("{}: {python} = {shown}", field.name))
        })
        .collect();
    if parameters.is_empty() { "()".to_owned() } else { format!("(*, {})", parameters.join(", ")) }
}

/// Sets a field by an argument.
fn set_field(object: &mut dyn Object, name: &str, arg: Arg<'_>) -> Result<()> {
    let value = match arg {
        Arg::None => Value::None,
        Arg::Bool(v) => Value::Bool(v),
        Arg::Int(v) => Value::Int(v),
        Arg::Float(v) => Value::Float(v),
        Arg::Str(v) => Value::Str(v.to_owned()),
        Arg::Object(object, path) if path.is_empty() => Value::Handle(object),
        Arg::Object(object, path) => Value::Handle(super::object::copy(descend(&*read(&object)?, &path)?)?),
        _ => return Err(Error::type_error(format!("'{name}' can't be set by an argument of this kind"))),
    };
    let type_name = object.info().name;
    let unknown = || Error::Assertion(format!("{type_name} has no parameter '{name}'"));
    object.info().field(name).filter(|field| !field.readonly).ok_or_else(unknown)?;
    object.field_mut(name).ok_or_else(unknown)?.set(value)
}

/// The first overload that takes these arguments, one that takes them exactly where there is one, and the arguments in the order of its
/// parameters.
fn choose<'a, 'o>(
    name: &str,
    info: Option<&'static TypeInfo>,
    overloads: &'o [Overload],
    mut args: Vec<Arg<'a>>,
    keywords: Vec<(&str, Arg<'a>)>,
) -> Result<(&'o Overload, Vec<Arg<'a>>)> {
    let mut why = String::new();
    let mut chosen: Option<(&Overload, Vec<Option<usize>>)> = None;
    for overload in overloads {
        match overload.bind(&args, &keywords) {
            Ok(places) => {
                let exact = overload.is_exact(&args, &keywords, &places);
                if exact || chosen.is_none() {
                    chosen = Some((overload, places));
                }
                if exact {
                    break;
                }
            }
            Err(error) => why = error,
        }
    }
    if let Some((overload, places)) = chosen {
        args.extend(keywords.into_iter().map(|(_, arg)| arg));
        let ordered = places.into_iter().map(|at| at.map(|i| std::mem::take(&mut args[i])).unwrap_or_default());
        return Ok((overload, ordered.collect()));
    }
    if let [only] = overloads {
        return Err(Error::type_error(format!("{name}() {why}\n  It is {name}{}", only.signature(info))));
    }
    let prototypes: String = overloads.iter().map(|o| format!("\n    {name}{}", o.signature(info))).collect();
    Err(Error::type_error(format!(
        "Wrong number or type of arguments for overloaded function '{name}'.\n  Possible prototypes are:{prototypes}"
    )))
}

/// Makes an object by a constructor of its type.
pub fn construct(info: &'static TypeInfo, args: Vec<Arg<'_>>, keywords: Vec<(&str, Arg<'_>)>) -> Result<Handle> {
    if let [Overload { call: Call::Fields(make), .. }] = info.constructors {
        if !args.is_empty() {
            return Err(Error::type_error(format!(
                "{} takes keyword arguments only: {}",
                info.name,
                fields_signature(info)
            )));
        }
        let object = make();
        keywords.into_iter().try_for_each(|(name, arg)| set_field(&mut *object.write(), name, arg))?;
        return Ok(object);
    }
    let (overload, mut args) = choose(&format!("new_{}", info.name), Some(info), info.constructors, args, keywords)?;
    let Call::New(make) = overload.call else { unreachable!("a constructor makes an object") };
    locked(info.name, None, overload.parameters, &mut args, |_, args| make(args))
}

/// Calls a method of an object, or of its part that the path leads to.
pub fn call(
    method: &Method,
    object: &Handle,
    path: &[&'static str],
    args: Vec<Arg<'_>>,
    keywords: Vec<(&str, Arg<'_>)>,
) -> Result<Value> {
    let (overload, mut args) = choose(method.name, Some(object.info()), method.overloads, args, keywords)?;
    let access = if matches!(overload.call, Call::Write(_)) { Access::Write } else { Access::Read };
    // A handle that a method keeps must not lead back to the object.
    let mut kept: Vec<Handle> = Vec::new();
    for (arg, _) in args.iter().zip(overload.parameters).filter(|(_, p)| p.access == Access::Unlocked) {
        if access == Access::Write {
            collect(arg, &mut kept);
        }
    }
    let _linking = if kept.is_empty() { None } else { Some(link(object, &kept)?) };
    let receiver = Some((object.clone(), path.to_vec(), access));
    locked(method.name, receiver, overload.parameters, &mut args, |receiver, args| match (&overload.call, receiver) {
        (Call::Read(work), Arg::Seen(object)) => work(*object, args),
        (Call::Write(work), Arg::SeenMut(object)) => work(*object, args),
        _ => unreachable!("the receiver was locked for its method"),
    })
}

/// The way in which a function takes these arguments, and the arguments in the order of its parameters. Pointers among them are to become
/// [`Arg::Memory`] or [`Arg::MemoryMut`] as the parameters say, before [`run`].
pub fn bind<'a>(
    function: &'static Method,
    args: Vec<Arg<'a>>,
    keywords: Vec<(&str, Arg<'a>)>,
) -> Result<(&'static Overload, Vec<Arg<'a>>)> {
    choose(function.name, None, function.overloads, args, keywords)
}

/// Calls a function with arguments that were bound.
pub fn run(function: &Method, overload: &Overload, args: &mut [Arg<'_>]) -> Result<Value> {
    let Call::Function(work) = overload.call else { unreachable!("a function has no object") };
    locked(function.name, None, overload.parameters, args, |_, args| work(args))
}

/// The objects that an argument is or holds.
fn collect(arg: &Arg<'_>, found: &mut Vec<Handle>) {
    match arg {
        Arg::Object(object, _) => found.push(object.clone()),
        Arg::List(items) => items.iter().for_each(|item| collect(item, found)),
        _ => {}
    }
}

enum Guard<'a> {
    Read(ReadGuard<'a, dyn Object>),
    Write(WriteGuard<'a, dyn Object>),
}

/// Runs `work` with the receiver and the arguments that it reads or changes locked: in the order of their addresses, so that no two
/// threads wait for each other.
fn locked<T>(
    name: &str,
    receiver: Option<(Handle, Path, Access)>,
    parameters: &[Parameter],
    args: &mut [Arg<'_>],
    work: impl FnOnce(&mut Arg<'_>, &mut [Arg<'_>]) -> Result<T>,
) -> Result<T> {
    // Place 0 is the receiver's, the arguments' follow; of a list, with the place in it.
    let mut taken: Vec<((usize, usize), Handle, Path, Access)> =
        receiver.into_iter().map(|(object, path, access)| ((0, 0), object, path, access)).collect();
    for (i, (arg, parameter)) in args.iter_mut().zip(parameters).enumerate() {
        if parameter.access == Access::Unlocked {
            continue;
        }
        let objects = match arg {
            Arg::List(items) => &mut items[..],
            one => std::slice::from_mut(one),
        };
        for (j, object) in objects.iter_mut().enumerate() {
            if let Arg::Object(object, path) = object {
                taken.push(((i + 1, j), object.clone(), std::mem::take(path), parameter.access));
            }
        }
    }
    for (i, (_, object, _, access)) in taken.iter().enumerate() {
        let again = taken[..i]
            .iter()
            .any(|(_, other, _, before)| other.same(object) && (*access == Access::Write || *before == Access::Write));
        if again {
            return Err(Error::type_error(format!("{name} can't take the object itself")));
        }
    }
    taken.sort_by_key(|(_, object, _, _)| object.address());
    let mut guards = Vec::with_capacity(taken.len());
    for (_, object, _, access) in &taken {
        guards.push(match access {
            Access::Write => Guard::Write(write(object)?),
            _ => Guard::Read(read(object)?),
        });
    }
    let mut receiver = Arg::Missing;
    // Arguments as they are, but for those that are locked.
    let mut ordered: Vec<Arg<'_>> = args.iter_mut().map(std::mem::take).collect();
    for ((at, _, path, _), guard) in taken.iter().zip(&mut guards) {
        let seen = match guard {
            Guard::Read(object) => Arg::Seen(descend(&**object, path)?),
            Guard::Write(object) => Arg::SeenMut(descend_mut(&mut **object, path)?),
        };
        let place = match at.0.checked_sub(1) {
            None => &mut receiver,
            Some(i) => &mut ordered[i],
        };
        match place {
            Arg::List(items) => items[at.1] = seen,
            place => *place = seen,
        }
    }
    work(&mut receiver, &mut ordered)
}

/// The part that the names of fields lead to.
pub fn descend<'a>(object: &'a dyn Object, path: &[&'static str]) -> Result<&'a dyn Object> {
    path.iter().try_fold(object, |at, step| match at.field(step) {
        Some(FieldRef::Part(part)) => Ok(part),
        _ => Err(no_field(at.info(), step)),
    })
}

/// The part of an object that the fields of a path lead to, to be changed. An error where there is no such part.
pub fn descend_mut<'a>(object: &'a mut dyn Object, path: &[&'static str]) -> Result<&'a mut dyn Object> {
    path.iter().try_fold(object, |at, step| {
        let info = at.info();
        at.field_mut(step).and_then(|field| field.part_mut()).ok_or_else(|| no_field(info, step))
    })
}

/// An error for a field that a type does not have.
pub fn no_field(info: &TypeInfo, name: &str) -> Error {
    Error::type_error(format!("{} has no field '{name}' of that kind", info.name))
}

/// The type of the part that a path leads to, known without a lock.
pub fn part_info(info: &'static TypeInfo, path: &[&'static str]) -> Option<&'static TypeInfo> {
    path.iter().try_fold(info, |info, step| match info.field(step)?.kind {
        Kind::Part(part) => Some(part()),
        _ => None,
    })
}

/// A type that a parameter can have.
pub trait Argument<'a>: Sized {
    /// The type, as Python's annotations have it.
    const PYTHON: &'static str;
    /// Whether an argument is of the right kind.
    fn fits(arg: &Arg<'_>) -> bool;
    /// The argument as this type; an error where its value is refused.
    fn take(arg: &'a mut Arg<'_>) -> Result<Self>;
}

fn unfit<T>(wanted: &str) -> Result<T> {
    Err(Error::type_error(format!("{wanted} is wanted here")))
}

macro_rules! integers {
    ($($ty:ty, $c:literal;)*) => {$(
        impl Argument<'_> for $ty {
            const PYTHON: &'static str = "int";
            fn fits(arg: &Arg<'_>) -> bool {
                matches!(arg, Arg::Int(_) | Arg::Bool(_))
            }
            fn take(arg: &mut Arg<'_>) -> Result<Self> {
                match arg {
                    Arg::Int(v) => <$ty>::try_from(*v).map_err(|_| Error::overflow(format!(concat!("{} is out of range for ", $c), v))),
                    Arg::Bool(v) => Ok(<$ty>::from(*v)),
                    _ => unfit("an integer"),
                }
            }
        }
        impl Answer for $ty {
            const PYTHON: &'static str = "int";
            fn answer(self) -> Result<Value> {
                i64::try_from(self).map(Value::Int).map_err(|_| Error::overflow("the result does not fit into 64 bits"))
            }
        }
    )*};
}
integers! { i64, "int64"; i32, "int"; u32, "uint32"; u16, "uint16"; u8, "uint8"; usize, "size_t"; }

macro_rules! floats {
    ($($ty:ty),*) => {$(
        impl Argument<'_> for $ty {
            const PYTHON: &'static str = "float";
            fn fits(arg: &Arg<'_>) -> bool {
                matches!(arg, Arg::Float(_) | Arg::Int(_) | Arg::Bool(_))
            }
            fn take(arg: &mut Arg<'_>) -> Result<Self> {
                match arg {
                    Arg::Float(v) => Ok(*v as $ty),
                    Arg::Int(v) => Ok(*v as $ty),
                    Arg::Bool(v) => Ok(<$ty>::from(*v)),
                    _ => unfit("a number"),
                }
            }
        }
        impl Answer for $ty {
            const PYTHON: &'static str = "float";
            fn answer(self) -> Result<Value> {
                Ok(Value::Float(self.into()))
            }
        }
    )*};
}
floats! { f32, f64 }

impl Argument<'_> for bool {
    const PYTHON: &'static str = "bool";
    fn fits(arg: &Arg<'_>) -> bool {
        matches!(arg, Arg::Bool(_) | Arg::Int(_))
    }
    fn take(arg: &mut Arg<'_>) -> Result<Self> {
        match arg {
            Arg::Bool(v) => Ok(*v),
            Arg::Int(v) => Ok(*v != 0),
            _ => unfit("a bool"),
        }
    }
}

impl Argument<'_> for MetricType {
    const PYTHON: &'static str = "int";
    fn fits(arg: &Arg<'_>) -> bool {
        i64::fits(arg)
    }
    fn take(arg: &mut Arg<'_>) -> Result<Self> {
        MetricType::try_from(i64::take(arg)?)
    }
}

impl<'a> Argument<'a> for &'a str {
    const PYTHON: &'static str = "str";
    fn fits(arg: &Arg<'_>) -> bool {
        matches!(arg, Arg::Str(_))
    }
    fn take(arg: &'a mut Arg<'_>) -> Result<Self> {
        match arg {
            Arg::Str(v) => Ok(v),
            _ => unfit("a str"),
        }
    }
}

/// An array of a certain number of axes is asked for with its shape; a plain slice takes any.
#[derive(Clone, Copy)]
pub struct Array<'a, T> {
    /// The numbers, row-major.
    pub items: &'a [T],
    /// The size along each axis.
    pub shape: &'a [usize],
}

macro_rules! arrays {
    ($($ty:ty => $variant:ident;)*) => {$(
        impl<'a> Argument<'a> for Array<'a, $ty> {
            const PYTHON: &'static str = "numpy.ndarray";
            fn fits(arg: &Arg<'_>) -> bool {
                matches!(arg, Arg::$variant(..))
            }
            fn take(arg: &'a mut Arg<'_>) -> Result<Self> {
                match arg {
                    Arg::$variant(items, shape) => Ok(Array { items, shape }),
                    _ => unfit(concat!("an array of ", stringify!($ty))),
                }
            }
        }
        impl<'a> Argument<'a> for &'a [$ty] {
            const PYTHON: &'static str = "numpy.ndarray";
            fn fits(arg: &Arg<'_>) -> bool {
                matches!(arg, Arg::$variant(..))
            }
            fn take(arg: &'a mut Arg<'_>) -> Result<Self> {
                match arg {
                    Arg::Memory(bytes) => elements(bytes),
                    arg => Array::<$ty>::take(arg).map(|array| array.items),
                }
            }
        }
        /// An array of one axis.
        impl Answer for Vec<$ty> {
            const PYTHON: &'static str = "numpy.ndarray";
            fn answer(self) -> Result<Value> {
                let n = self.len();
                Ok(Value::$variant(self, vec![n]))
            }
        }
        impl Answer for Shaped<$ty> {
            const PYTHON: &'static str = "numpy.ndarray";
            fn answer(self) -> Result<Value> {
                Ok(Value::$variant(self.0, self.1))
            }
        }
        /// An array of two axes: rows of so many numbers.
        impl Answer for Rows<$ty> {
            const PYTHON: &'static str = "numpy.ndarray";
            fn answer(self) -> Result<Value> {
                let n = self.0.len().checked_div(self.1).unwrap_or(0);
                Ok(Value::$variant(self.0, vec![n, self.1]))
            }
        }
    )*};
}
arrays! { f32 => F32; f64 => F64; i64 => I64; i32 => I32; u8 => U8; }

/// A slice that a pointer leads to: `Argument` for elements that no argument is an array of.
macro_rules! pointed {
    ($($ty:ty),*) => {$(
        impl<'a> Argument<'a> for &'a [$ty] {
            const PYTHON: &'static str = "Pointer";
            fn fits(arg: &Arg<'_>) -> bool {
                fits_memory(arg)
            }
            fn take(arg: &'a mut Arg<'_>) -> Result<Self> {
                match arg {
                    Arg::Memory(bytes) => elements(bytes),
                    _ => unfit("a pointer"),
                }
            }
        }
    )*};
}
pointed! { u16, u32, usize }

/// A slice that a pointer leads to, to be changed.
impl<'a, T: Element + bytemuck::Pod> Argument<'a> for &'a mut [T] {
    const PYTHON: &'static str = "Pointer";
    fn fits(arg: &Arg<'_>) -> bool {
        fits_memory(arg)
    }
    fn take(arg: &'a mut Arg<'_>) -> Result<Self> {
        match arg {
            // Nowhere is no place that anything could begin at.
            Arg::MemoryMut([]) => Ok(&mut []),
            Arg::MemoryMut(bytes) => bytemuck::try_cast_slice_mut(bytes).map_err(unaligned),
            _ => unfit("a pointer"),
        }
    }
}

/// A pointer, or a null one.
pub fn fits_memory(arg: &Arg<'_>) -> bool {
    matches!(arg, Arg::Pointer(_) | Arg::None)
}

fn elements<T: bytemuck::Pod>(bytes: &[u8]) -> Result<&[T]> {
    if bytes.is_empty() {
        return Ok(&[]);
    }
    bytemuck::try_cast_slice(bytes).map_err(unaligned)
}

fn unaligned(_: bytemuck::PodCastError) -> Error {
    Error::value("the memory of an argument does not begin where its elements may")
}

/// An array of any shape.
pub struct Shaped<T>(pub Vec<T>, pub Vec<usize>);

/// A pointer into the object itself: its vector field of this name, seen as elements of this kind.
pub struct Inside(pub &'static str, pub ElementKind);

impl Answer for Inside {
    const PYTHON: &'static str = "object";
    fn answer(self) -> Result<Value> {
        Ok(Value::View(self.0, self.1))
    }
}

/// Rows of `.1` numbers each, one after the other.
pub struct Rows<T>(pub Vec<T>, pub usize);

/// A handle to an object, which the call may keep. A part of an object, which nothing else can refer to, is copied.
impl<T: ?Sized + View> Argument<'_> for Shared<T> {
    const PYTHON: &'static str = T::NAME;
    fn fits(arg: &Arg<'_>) -> bool {
        fits_object::<T>(arg)
    }
    fn take(arg: &mut Arg<'_>) -> Result<Self> {
        match arg {
            Arg::Object(object, path) if path.is_empty() => object.view(),
            Arg::Object(object, path) => super::object::copy(descend(&*read(object)?, path)?)?.view(),
            _ => unfit(T::NAME),
        }
    }
}

/// Handles to several objects.
impl<T: ?Sized + View> Argument<'_> for Vec<Shared<T>> {
    const PYTHON: &'static str = "list";
    fn fits(arg: &Arg<'_>) -> bool {
        fits_objects::<T>(arg)
    }
    fn take(arg: &mut Arg<'_>) -> Result<Self> {
        match arg {
            Arg::List(items) => items.iter_mut().map(Shared::take).collect(),
            _ => unfit("a list"),
        }
    }
}

impl<'a, T: Argument<'a>> Argument<'a> for Option<T> {
    const PYTHON: &'static str = T::PYTHON;
    fn fits(arg: &Arg<'_>) -> bool {
        matches!(arg, Arg::None) || T::fits(arg)
    }
    fn take(arg: &'a mut Arg<'_>) -> Result<Self> {
        match arg {
            Arg::None => Ok(None),
            arg => T::take(arg).map(Some),
        }
    }
}

/// For parameters `&T` and `&mut T`.
pub fn fits_object<T: ?Sized + View>(arg: &Arg<'_>) -> bool {
    match arg {
        Arg::Object(object, path) => part_info(object.info(), path).is_some_and(|info| T::casts(info).is_some()),
        _ => false,
    }
}

/// As [`fits_object`], for `Option<&T>`.
pub fn fits_object_or_none<T: ?Sized + View>(arg: &Arg<'_>) -> bool {
    matches!(arg, Arg::None) || fits_object::<T>(arg)
}

/// For parameters `Vec<&T>`.
pub fn fits_objects<T: ?Sized + View>(arg: &Arg<'_>) -> bool {
    matches!(arg, Arg::List(items) if items.iter().all(fits_object::<T>))
}

/// The locked objects of a parameter `Vec<&T>`.
pub fn seen_list<'a, T: ?Sized + View>(arg: &'a Arg<'_>) -> Result<Vec<&'a T>> {
    match arg {
        Arg::List(items) => items.iter().map(seen).collect(),
        _ => unfit(T::NAME),
    }
}

/// The locked object of a parameter `&T`.
pub fn seen<'a, T: ?Sized + View>(arg: &'a Arg<'_>) -> Result<&'a T> {
    match arg {
        Arg::Seen(object) => view(*object),
        _ => unfit(T::NAME),
    }
}

/// The locked object of a parameter `&mut T`.
pub fn seen_mut<'a, T: ?Sized + View>(arg: &'a mut Arg<'_>) -> Result<&'a mut T> {
    match arg {
        Arg::SeenMut(object) => view_mut(*object),
        _ => unfit(T::NAME),
    }
}

/// The locked object of a parameter `Option<&T>`.
pub fn seen_or_none<'a, T: ?Sized + View>(arg: &'a Arg<'_>) -> Result<Option<&'a T>> {
    match arg {
        Arg::None | Arg::Missing => Ok(None),
        arg => seen(arg).map(Some),
    }
}

/// A type that a method can return.
pub trait Answer {
    /// The type, as Python's annotations have it.
    const PYTHON: &'static str;
    /// The value that goes back to the caller.
    fn answer(self) -> Result<Value>;
}

macro_rules! answers {
    ($($ty:ty, $python:literal, $value:ident => $made:expr;)*) => {$(
        impl Answer for $ty {
            const PYTHON: &'static str = $python;
            fn answer(self) -> Result<Value> {
                let $value = self;
                Ok($made)
            }
        }
    )*};
}
answers! {
    (), "None", _v => Value::None;
    bool, "bool", v => Value::Bool(v);
    String, "str", v => Value::Str(v);
    Value, "Any", v => v;
}

impl Answer for u64 {
    const PYTHON: &'static str = "int";
    fn answer(self) -> Result<Value> {
        Ok(Value::Unsigned(self))
    }
}

impl<T: ?Sized + View> Answer for Shared<T> {
    const PYTHON: &'static str = T::NAME;
    fn answer(self) -> Result<Value> {
        Ok(Value::Handle(self.object()))
    }
}

impl<T: Answer> Answer for Option<T> {
    const PYTHON: &'static str = T::PYTHON;
    fn answer(self) -> Result<Value> {
        self.map_or(Ok(Value::None), T::answer)
    }
}

impl<T: Answer> Answer for Result<T> {
    const PYTHON: &'static str = T::PYTHON;
    fn answer(self) -> Result<Value> {
        self?.answer()
    }
}

impl<A: Answer, B: Answer> Answer for (A, B) {
    const PYTHON: &'static str = "tuple";
    fn answer(self) -> Result<Value> {
        Ok(Value::List(vec![self.0.answer()?, self.1.answer()?]))
    }
}

impl<A: Answer, B: Answer, C: Answer> Answer for (A, B, C) {
    const PYTHON: &'static str = "tuple";
    fn answer(self) -> Result<Value> {
        Ok(Value::List(vec![self.0.answer()?, self.1.answer()?, self.2.answer()?]))
    }
}
