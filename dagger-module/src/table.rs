//! The table that describes a module: plain data, and one function pointer for each function.

use std::collections::BTreeSet;
use std::fmt;
use std::pin::Pin;

use serde_json::Value;

use crate::call::Call;
use crate::error::Error;

/// What a function does when it is called.
pub type Handler = Box<dyn Fn(Call) -> Pin<Box<dyn Future<Output = Result<Value, Error>>>>>;

/// A module: its main object, further objects, and enums.
#[derive(Debug)]
pub struct Module {
    pub description: String,
    pub objects: Vec<Object>,
    pub enums: Vec<Enum>,
}

/// A type of the module. Its state is what its functions return for it: a JSON object.
#[derive(Debug)]
pub struct Object {
    pub name: String,
    pub description: String,
    pub constructor: Option<Function>,
    pub fields: Vec<Field>,
    pub functions: Vec<Function>,
}

/// A part of an object's state that its users see.
#[derive(Debug)]
pub struct Field {
    pub name: String,
    pub description: String,
    pub of: Type,
}

pub struct Function {
    pub name: String,
    pub description: String,
    pub args: Vec<Arg>,
    pub returns: Type,
    pub cache: Cache,
    /// Run by `dagger check`.
    pub check: bool,
    /// Run by `dagger generate`; it returns a Changeset.
    pub generator: bool,
    pub deprecated: Option<String>,
    pub handler: Handler,
}

#[derive(Clone, Debug)]
pub struct Arg {
    pub name: String,
    pub description: String,
    pub of: Type,
    pub default: Option<Value>,
    /// For directories and files: a path in the module's context, where "/" is the root of the repository.
    pub default_path: Option<String>,
    /// Patterns of what a directory leaves out, as in .gitignore.
    pub ignore: Vec<String>,
    pub deprecated: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Enum {
    pub name: String,
    pub description: String,
    pub members: Vec<Member>,
}

#[derive(Clone, Debug)]
pub struct Member {
    /// What an argument of this type arrives as.
    pub name: String,
    pub value: String,
    pub description: String,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Type {
    Void,
    String,
    Integer,
    Float,
    Boolean,
    /// An object of the API (`Directory`, `Container`, ...) or of the module.
    Object(String),
    /// An enum of the module.
    Enum(String),
    List(Box<Type>),
    Optional(Box<Type>),
}

/// How long the engine may answer a call from memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Cache {
    /// As long as the engine keeps things: the function gives the same for the same arguments.
    #[default]
    Default,
    /// At most this long: `10m`, `1h30m`.
    For(String),
    /// Once in every session.
    PerSession,
    /// Every call runs. The engine may still answer single steps from memory.
    Never,
}

impl Module {
    pub fn new(description: impl Into<String>, main: Object) -> Module {
        Module { description: description.into(), objects: vec![main], enums: Vec::new() }
    }

    pub fn object(mut self, object: Object) -> Module {
        self.objects.push(object);
        self
    }

    pub fn enumeration(mut self, enumeration: Enum) -> Module {
        self.enums.push(enumeration);
        self
    }

    /// Refuses a table that no engine could serve: names given twice, enums that are not there.
    pub fn check(&self) -> Result<(), Error> {
        let names = self.objects.iter().map(|object| &object.name).chain(self.enums.iter().map(|e| &e.name));
        unique("type", names)?;
        for object in &self.objects {
            let functions = object.functions.iter().map(|f| camel(&f.name));
            unique(
                &format!("function of {}", object.name),
                functions.chain(object.fields.iter().map(|f| camel(&f.name))),
            )?;
            for function in object.functions.iter().chain(&object.constructor) {
                let place = format!("{}.{}", object.name, function.name);
                unique(&format!("argument of {place}"), function.args.iter().map(|arg| camel(&arg.name)))?;
                for of in function.args.iter().map(|arg| &arg.of).chain([&function.returns]) {
                    if let Type::Enum(name) = of.innermost()
                        && self.enums.iter().all(|e| e.name != *name)
                    {
                        return Err(Error::new(format!("{place} has a type {name}, which is no enum of the module.")));
                    }
                }
            }
        }
        Ok(())
    }
}

fn unique<T: Ord + fmt::Display>(what: &str, names: impl Iterator<Item = T>) -> Result<(), Error> {
    let mut seen = BTreeSet::new();
    for name in names {
        if seen.contains(&name) {
            return Err(Error::new(format!("There are two of {what} {name}.")));
        }
        seen.insert(name);
    }
    Ok(())
}

impl Object {
    pub fn new(name: impl Into<String>, description: impl Into<String>) -> Object {
        let (name, description) = (name.into(), description.into());
        Object { name, description, constructor: None, fields: Vec::new(), functions: Vec::new() }
    }

    /// What makes the object. Its function's name does not matter.
    pub fn constructor(mut self, function: Function) -> Object {
        self.constructor = Some(Function { name: String::new(), ..function });
        self
    }

    pub fn function(mut self, function: Function) -> Object {
        self.functions.push(function);
        self
    }

    pub fn field(mut self, name: &str, of: Type, description: &str) -> Object {
        self.fields.push(Field { name: name.to_owned(), description: description.to_owned(), of });
        self
    }
}

impl Function {
    /// `name` in whatever case: the engine sees it in camelCase, its command line in kebab-case.
    pub fn new<F: Future<Output = Result<Value, Error>> + 'static>(
        name: impl Into<String>,
        description: impl Into<String>,
        returns: Type,
        handler: impl Fn(Call) -> F + 'static,
    ) -> Function {
        Function {
            name: name.into(),
            description: description.into(),
            args: Vec::new(),
            returns,
            cache: Cache::Default,
            check: false,
            generator: false,
            deprecated: None,
            handler: Box::new(move |call| Box::pin(handler(call))),
        }
    }

    pub fn arg(mut self, arg: Arg) -> Function {
        self.args.push(arg);
        self
    }

    pub fn args(mut self, args: impl IntoIterator<Item = Arg>) -> Function {
        self.args.extend(args);
        self
    }

    pub fn cache(mut self, cache: Cache) -> Function {
        self.cache = cache;
        self
    }

    /// Makes it one of those that `dagger check` runs. All of its arguments must have defaults.
    pub fn check(mut self) -> Function {
        self.check = true;
        self
    }

    /// Makes it one of those that `dagger generate` runs. It must return a Changeset.
    pub fn generator(mut self) -> Function {
        self.generator = true;
        self
    }

    pub fn deprecated(mut self, reason: &str) -> Function {
        self.deprecated = Some(reason.to_owned());
        self
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function").field("name", &self.name).field("args", &self.args).finish_non_exhaustive()
    }
}

impl Arg {
    pub fn new(name: impl Into<String>, of: Type, description: impl Into<String>) -> Arg {
        Arg {
            name: name.into(),
            description: description.into(),
            of,
            default: None,
            default_path: None,
            ignore: Vec::new(),
            deprecated: None,
        }
    }

    pub fn default(mut self, value: impl Into<Value>) -> Arg {
        self.default = Some(value.into());
        self
    }

    pub fn default_path(mut self, path: &str) -> Arg {
        self.default_path = Some(path.to_owned());
        self
    }

    pub fn ignore<T: Into<String>>(mut self, patterns: impl IntoIterator<Item = T>) -> Arg {
        self.ignore.extend(patterns.into_iter().map(Into::into));
        self
    }

    pub fn deprecated(mut self, reason: &str) -> Arg {
        self.deprecated = Some(reason.to_owned());
        self
    }
}

impl Enum {
    pub fn new(name: impl Into<String>, description: impl Into<String>) -> Enum {
        Enum { name: name.into(), description: description.into(), members: Vec::new() }
    }

    pub fn member(mut self, name: &str, value: &str, description: &str) -> Enum {
        let (name, value, description) = (name.to_owned(), value.to_owned(), description.to_owned());
        self.members.push(Member { name, value, description });
        self
    }
}

impl Type {
    pub fn object(name: &str) -> Type {
        Type::Object(name.to_owned())
    }

    pub fn list(self) -> Type {
        Type::List(Box::new(self))
    }

    pub fn optional(self) -> Type {
        Type::Optional(Box::new(self))
    }

    pub fn innermost(&self) -> &Type {
        match self {
            Type::List(inner) | Type::Optional(inner) => inner.innermost(),
            _ => self,
        }
    }
}

/// `build-gpu-wheels`, `build_gpu_wheels` and `buildGpuWheels` as `buildGpuWheels`.
pub(crate) fn camel(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut upper = false;
    for c in name.chars() {
        if c == '-' || c == '_' {
            upper = !out.is_empty();
        } else if upper {
            out.extend(c.to_uppercase());
            upper = false;
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(name: &str) -> Function {
        Function::new(name, "", Type::Void, async |_| Ok(Value::Null))
    }

    fn refusal(module: &Module) -> String {
        module.check().unwrap_err().to_string()
    }

    #[test]
    fn names_in_every_case_are_one_name() {
        assert_eq!(camel("build-gpu-wheels"), "buildGpuWheels");
        assert_eq!(camel("build_gpu_wheels"), "buildGpuWheels");
        assert_eq!(camel("sha256sums"), "sha256sums");
        let object = Object::new("Wheels", "").function(function("as-json")).function(function("as_json"));
        assert_eq!(refusal(&Module::new("", object)), "There are two of function of Wheels asJson.");
    }

    #[test]
    fn bad_tables_are_refused() {
        let twice = Arg::new("a", Type::String, "");
        let object = Object::new("Main", "").function(function("f").arg(twice.clone()).arg(twice));
        assert_eq!(refusal(&Module::new("", object)), "There are two of argument of Main.f a.");
        let unknown = Arg::new("a", Type::Enum("Color".into()).list(), "");
        let object = Object::new("Main", "").function(function("f").arg(unknown));
        assert_eq!(refusal(&Module::new("", object)), "Main.f has a type Color, which is no enum of the module.");
        let module = Module::new("", Object::new("Main", "")).enumeration(Enum::new("Main", ""));
        assert_eq!(refusal(&module), "There are two of type Main.");
    }
}
