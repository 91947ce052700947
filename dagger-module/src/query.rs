//! Chains of calls on the engine's API, as GraphQL text.

use std::fmt::Write as _;

/// A value in a query. Strings, numbers, booleans, lists and options convert into it.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    Null,
    Boolean(bool),
    Integer(i64),
    Float(f64),
    String(String),
    /// A member of an enum, written without quotes.
    Enum(String),
    List(Vec<Literal>),
    Object(Vec<(String, Literal)>),
}

impl Literal {
    pub fn member(name: impl Into<String>) -> Literal {
        Literal::Enum(name.into())
    }

    fn write(&self, out: &mut String) {
        match self {
            Literal::Null => out.push_str("null"),
            Literal::Boolean(value) => out.push_str(if *value { "true" } else { "false" }),
            Literal::Integer(value) => drop(write!(out, "{value}")),
            Literal::Float(value) => drop(write!(out, "{value:?}")),
            Literal::String(text) => quote(text, out),
            Literal::Enum(name) => out.push_str(name),
            Literal::List(items) => {
                out.push('[');
                for (place, item) in items.iter().enumerate() {
                    if place > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Literal::Object(fields) => {
                out.push('{');
                write_named(fields, out);
                out.push('}');
            }
        }
    }
}

fn write_named(fields: &[(String, Literal)], out: &mut String) {
    for (place, (name, value)) in fields.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        out.push_str(name);
        out.push(':');
        value.write(out);
    }
}

/// GraphQL's escapes are JSON's; other control characters go as \u.
fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() && u32::from(c) <= 0xffff => drop(write!(out, "\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

impl From<&str> for Literal {
    fn from(text: &str) -> Literal {
        Literal::String(text.to_owned())
    }
}

impl From<String> for Literal {
    fn from(text: String) -> Literal {
        Literal::String(text)
    }
}

impl From<&String> for Literal {
    fn from(text: &String) -> Literal {
        Literal::String(text.clone())
    }
}

impl From<bool> for Literal {
    fn from(value: bool) -> Literal {
        Literal::Boolean(value)
    }
}

impl From<i64> for Literal {
    fn from(value: i64) -> Literal {
        Literal::Integer(value)
    }
}

impl<T: Into<Literal>> From<Vec<T>> for Literal {
    fn from(items: Vec<T>) -> Literal {
        Literal::List(items.into_iter().map(Into::into).collect())
    }
}

impl<T: Clone + Into<Literal>> From<&[T]> for Literal {
    fn from(items: &[T]) -> Literal {
        items.to_vec().into()
    }
}

impl<T: Into<Literal>, const N: usize> From<[T; N]> for Literal {
    fn from(items: [T; N]) -> Literal {
        Literal::List(items.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<Literal>> From<Option<T>> for Literal {
    fn from(value: Option<T>) -> Literal {
        value.map_or(Literal::Null, Into::into)
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Field {
        name: String,
        args: Vec<(String, Literal)>,
    },
    /// `... on Type`, behind `node(id)`
    On(String),
}

/// A chain of calls: `container { from(address: "debian") { withExec(args: ["true"]) } }`. Nothing is sent before a
/// [`Session`](crate::Session) is asked for its result.
///
/// ```
/// use dagger_module::Query;
/// let query = Query::new("container").call("from").arg("address", "debian").call("stdout");
/// assert_eq!(query.to_string(), r#"{container{from(address:"debian"){stdout}}}"#);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Query {
    parts: Vec<Part>,
}

impl Query {
    /// Starts with a field of the API's root.
    pub fn new(field: &str) -> Query {
        Query { parts: Vec::new() }.call(field)
    }

    /// Starts with an object that was made before.
    pub fn node(type_name: &str, id: &str) -> Query {
        let mut query = Query::new("node").arg("id", id);
        query.parts.push(Part::On(type_name.to_owned()));
        query
    }

    /// Goes on with a field of what the chain has led to.
    pub fn call(mut self, field: &str) -> Query {
        self.parts.push(Part::Field { name: field.to_owned(), args: Vec::new() });
        self
    }

    /// An argument of the last call.
    pub fn arg(mut self, name: &str, value: impl Into<Literal>) -> Query {
        if let Some(Part::Field { args, .. }) = self.parts.last_mut() {
            args.push((name.to_owned(), value.into()));
        }
        self
    }

    /// The selection without the braces around it.
    pub(crate) fn selection(&self) -> String {
        let mut out = String::new();
        for (place, part) in self.parts.iter().enumerate() {
            if place > 0 {
                out.push('{');
            }
            match part {
                Part::On(type_name) => drop(write!(out, "... on {type_name}")),
                Part::Field { name, args } => {
                    out.push_str(name);
                    if !args.is_empty() {
                        out.push('(');
                        write_named(args, &mut out);
                        out.push(')');
                    }
                }
            }
        }
        out.extend(std::iter::repeat_n('}', self.parts.len() - 1));
        out
    }

    /// Names of the fields on the way to the result.
    pub(crate) fn path(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Field { name, .. } => Some(name.as_str()),
            Part::On(_) => None,
        })
    }
}

impl std::fmt::Display for Query {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{{{}}}", self.selection())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_value() {
        let object = Literal::Object(vec![("name".into(), "a".into()), ("value".into(), Literal::Null)]);
        let query = Query::new("f")
            .arg("a", "quote \" back \\ line\n\u{1}é")
            .arg("b", [1, 2])
            .arg("c", Literal::member("SHARED"))
            .arg("d", vec![object])
            .arg("e", Some(true))
            .arg("f", Literal::Float(1.0));
        let text = r#"{f(a:"quote \" back \\ line\n\u0001é",b:[1,2],c:SHARED,d:[{name:"a",value:null}],e:true,f:1.0)}"#;
        assert_eq!(query.to_string(), text);
    }

    #[test]
    fn an_object_by_id() {
        let query = Query::node("Directory", "x").call("entries");
        assert_eq!(query.to_string(), r#"{node(id:"x"){... on Directory{entries}}}"#);
        assert_eq!(query.path().collect::<Vec<_>>(), ["node", "entries"]);
    }
}
