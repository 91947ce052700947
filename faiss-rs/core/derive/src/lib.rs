//! `#[derive(Object)]`: the description of a type, made from its public fields.
//!
//! ```ignore
//! /// Exact search over stored vectors.
//! #[derive(Object, Default)]
//! pub struct IndexFlat {
//!     #[object(parent)]
//!     pub codes: IndexFlatCodes,       // inherited: found by Deref in Rust, by the base class in Python
//!     /// True while the norms below are in step with the vectors.
//!     pub norms_valid: bool,           // a field of that name, type and doc
//!     #[object(skip)]
//!     cache: Cache,                    // private fields are skipped anyway
//! }
//! ```
//!
//! On the type: `#[object(name = "OtherName")]` where the Faiss name differs, `#[object(abstract)]` where no constructor exists,
//! `#[object(methods)]` where an `impl` of the type is under [`macro@methods`], `#[object(methods(OTHER))]` where that of another type is, `#[object(implements(Index, InvertedFile))]` the traits that objects of the type can
//! be seen as, `#[object(new)]` that it is made without arguments, by `Default`, `#[object(fields)]` that its fields can be given with keywords as
//! well, and `#[object(copy)]` says that `Clone` makes a deep copy. Where it does not, `#[object(copy(index, own_fields = true))]` says which fields are
//! copied by their own `DeepCopy`, as handles and parents with handles are, or get a value; and `#[object(copy = METHOD)]` names a method
//! `fn(&self) -> Result<Self>`. On a field: `parent`, `skip`, `readonly`, `name = "..."`, and `default = ...`, a value other than its type's: with one,
//! the derive implements `Default`, which the type must have, since a default-constructed object gives each field's default value.

mod functions;
mod memory;
mod methods;

use proc_macro::TokenStream;
use proc_macro2::{Group, Ident, TokenTree};
use quote::quote;
use syn::{Data, DeriveInput, Expr, Lit, Meta, parse_macro_input};

#[derive(Default)]
struct Options {
    parent: bool,
    skip: bool,
    readonly: bool,
    is_abstract: bool,
    new: bool,
    fields: bool,
    name: Option<String>,
    /// The type whose `impl` declares methods and constructors.
    declares: Option<syn::Type>,
    implements: Vec<syn::Path>,
    copy: Option<Copied>,
    /// A field's value in a default-constructed object.
    default: Option<Expr>,
}

/// How a deep copy is made.
enum Copied {
    Clone,
    Method(Ident),
    /// By `Clone`, but for these fields: copied deeply, or with a value.
    Fields(Vec<(Ident, Option<Expr>)>),
}

impl Copied {
    /// The copy of `object`, a struct of `n` fields, as a `Result`.
    fn of(&self, ident: &Ident, n: usize) -> proc_macro2::TokenStream {
        match self {
            Copied::Clone => quote!(Ok(::std::clone::Clone::clone(object))),
            Copied::Method(method) => quote!(object.#method()),
            Copied::Fields(fields) => {
                let given = fields.iter().map(|(field, value)| match value {
                    Some(value) => quote!(#field: #value),
                    None => quote!(#field: ::faiss_core::base::object::DeepCopy::deep_copy(&object.#field)?),
                });
                let rest = (fields.len() < n).then(|| quote!(..::std::clone::Clone::clone(object)));
                quote!(Ok(#ident { #(#given,)* #rest }))
            }
        }
    }
}

fn options(attrs: &[syn::Attribute]) -> syn::Result<Options> {
    let mut found = Options::default();
    for attr in attrs.iter().filter(|a| a.path().is_ident("object")) {
        attr.parse_nested_meta(|meta| {
            if meta.path.is_ident("parent") {
                found.parent = true;
            } else if meta.path.is_ident("skip") {
                found.skip = true;
            } else if meta.path.is_ident("readonly") {
                found.readonly = true;
            } else if meta.path.is_ident("abstract") {
                found.is_abstract = true;
            } else if meta.path.is_ident("new") {
                found.new = true;
            } else if meta.path.is_ident("fields") {
                found.fields = true;
            } else if meta.path.is_ident("name") {
                found.name = Some(meta.value()?.parse::<syn::LitStr>()?.value());
            } else if meta.path.is_ident("methods") && meta.input.peek(syn::token::Paren) {
                let inner;
                syn::parenthesized!(inner in meta.input);
                found.declares = Some(inner.parse()?);
            } else if meta.path.is_ident("methods") {
                found.declares = Some(syn::parse_quote!(Self));
            } else if meta.path.is_ident("implements") {
                meta.parse_nested_meta(|view| {
                    found.implements.push(view.path);
                    Ok(())
                })?;
            } else if meta.path.is_ident("default") {
                found.default = Some(meta.value()?.parse()?);
            } else if meta.path.is_ident("copy") && meta.input.peek(syn::Token![=]) {
                found.copy = Some(Copied::Method(meta.value()?.parse()?));
            } else if meta.path.is_ident("copy") && meta.input.peek(syn::token::Paren) {
                let mut fields = Vec::new();
                meta.parse_nested_meta(|field| {
                    let value = if field.input.peek(syn::Token![=]) { Some(field.value()?.parse()?) } else { None };
                    fields.push((field.path.require_ident()?.clone(), value));
                    Ok(())
                })?;
                found.copy = Some(Copied::Fields(fields));
            } else if meta.path.is_ident("copy") {
                found.copy = Some(Copied::Clone);
            } else {
                return Err(meta.error(
                    "known here: parent, skip, readonly, default, abstract, new, fields, name, methods, implements, copy",
                ));
            }
            Ok(())
        })?;
    }
    Ok(found)
}

fn doc(attrs: &[syn::Attribute]) -> String {
    let mut lines = Vec::new();
    for attr in attrs.iter().filter(|a| a.path().is_ident("doc")) {
        if let Meta::NameValue(pair) = &attr.meta
            && let Expr::Lit(lit) = &pair.value
            && let Lit::Str(text) = &lit.lit
        {
            lines.push(text.value().trim().to_owned());
        }
    }
    without_links(&lines.join("\n"))
}

/// Words in which `[`Index`](super::Index)` is `Index` in its quotes: links lead to places that only Rust's own documentation has.
fn without_links(words: &str) -> String {
    let (mut plain, mut rest) = (String::with_capacity(words.len()), words);
    while let Some((before, link)) = rest.split_once("[`")
        && let Some((name, after)) = link.split_once("`]")
    {
        plain += &format!("{before}`{name}`");
        rest = after.strip_prefix('(').and_then(|address| address.split_once(')')).map_or(after, |(_, after)| after);
    }
    plain + rest
}

/// Makes the declarations of constructors and methods from the functions of an `impl`, for signatures, help, stubs and calls from outside.
///
/// ```ignore
/// #[methods]
/// impl IndexFlatL2 {
///     #[new]
///     pub fn new(d: i64) -> Result<Self> { ... }       // of several constructors, the first that fits the arguments is called
///     /// Computes the norms anew.                      // the help text
///     pub fn sync_l2norms(&mut self) -> Result<()> { ... }
/// }
/// ```
///
/// `&self` reads the object, `&mut self` changes it; instead of either, the first parameter can be `this: &dyn InvertedLists`, for the methods of
/// a trait. Further parameters are numbers, `&str`, arrays (`&[f32]`, or `Array<'_, f32>` with the shape), handles (`Shared<dyn Index>`), objects
/// that the call locks (`&dyn Index`, `&mut IndexFlat`), `Option`s of these, and lists of objects (`Vec<Shared<dyn Index>>`, or locked
/// `Vec<&dyn Index>`). `#[default = 1]` gives one a default, `#[class = "..."]` the class
/// that Python shows, `#[name = "..."]` a function another name. Functions of one name are overloads. `#[methods(new)]` says that the type is also
/// made without arguments, by `Default`.
#[proc_macro_attribute]
pub fn methods(options: TokenStream, input: TokenStream) -> TokenStream {
    let default = options.to_string() == "new";
    let block = parse_macro_input!(input as syn::ItemImpl);
    methods::expand(default, block).unwrap_or_else(|e| e.to_compile_error()).into()
}

/// Makes the declarations of the public functions of a module, as [`macro@methods`] does of methods: `registry::FUNCTIONS` has them.
///
/// ```ignore
/// pub use declared::*;
///
/// #[functions]
/// mod declared {
///     /// c = a + bf * b.                                // the help text
///     pub fn fvec_madd(n: usize, #[len = n] a: &[f32], bf: f32, #[len = n] b: &[f32], #[len = n] c: &mut [f32]) -> Result<()> { ... }
/// }
/// ```
///
/// `#[len = ...]` says how long a slice is: a caller from outside passes a pointer, which is to lead that far, and one in Rust a slice of just that
/// length, which the function checks first. Numbers in it are those of other parameters. With `#[len]` alone, the slice is all that the pointer is
/// known to lead to. An `Option` of a slice may be a null pointer.
#[proc_macro_attribute]
pub fn functions(_: TokenStream, input: TokenStream) -> TokenStream {
    let module = parse_macro_input!(input as syn::ItemMod);
    functions::expand(module).unwrap_or_else(|e| e.to_compile_error()).into()
}

/// Implements `Object`, `Described` and `Field` (and `Deref` to the parent) for a struct with named fields.
#[proc_macro_derive(Object, attributes(object))]
pub fn derive_object(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand(&input).unwrap_or_else(|e| e.to_compile_error()).into()
}

/// [`macro@methods`] for the users of the crate `faiss`, who know `faiss_core` by that name only.
#[proc_macro_attribute]
pub fn facade_methods(options: TokenStream, input: TokenStream) -> TokenStream {
    by_facade(methods(options, input).into()).into()
}

/// [`macro@Object`] for them; the crate `faiss` has it as `Object`.
#[proc_macro_derive(FacadeObject, attributes(object))]
pub fn derive_facade_object(input: TokenStream) -> TokenStream {
    by_facade(derive_object(input).into()).into()
}

/// What is said of `faiss_core`, of `faiss`.
fn by_facade(tokens: proc_macro2::TokenStream) -> proc_macro2::TokenStream {
    let renamed = tokens.into_iter().map(|token| match token {
        TokenTree::Ident(name) if name == "faiss_core" => TokenTree::Ident(Ident::new("faiss", name.span())),
        TokenTree::Group(group) => {
            let mut inside = Group::new(group.delimiter(), by_facade(group.stream()));
            inside.set_span(group.span());
            TokenTree::Group(inside)
        }
        other => other,
    });
    renamed.collect()
}

fn expand(input: &DeriveInput) -> syn::Result<proc_macro2::TokenStream> {
    let Data::Struct(data) = &input.data else {
        return Err(syn::Error::new_spanned(input, "Object describes structs with named fields"));
    };
    let own = options(&input.attrs)?;
    let ident = &input.ident;
    let name = own.name.unwrap_or_else(|| ident.to_string());
    let type_doc = doc(&input.attrs);
    let is_abstract = own.is_abstract;
    let (methods, constructors) = match own.declares {
        // A `static` has no `Self`.
        Some(ty) if ty == syn::parse_quote!(Self) => (quote!(<#ident>::METHODS), quote!(<#ident>::CONSTRUCTORS)),
        Some(ty) => (quote!(<#ty>::METHODS), quote!(<#ty>::CONSTRUCTORS)),
        None if own.new => {
            let made = methods::without_arguments(&syn::parse_quote!(#ident));
            (quote!(&[]), quote!(&[#made]))
        }
        None if own.fields => (
            quote!(&[]),
            quote!(&[::faiss_core::base::declare::Overload {
                parameters: &[],
                returns: || "None",
                call: ::faiss_core::base::declare::Call::Fields(|| {
                    ::faiss_core::base::Handle::new(<#ident as ::std::default::Default>::default())
                }),
            }]),
        ),
        None => (quote!(&[]), quote!(&[])),
    };

    let views = own.implements;
    let (copy, deep_copy) = match &own.copy {
        None => (quote!(None), quote!()),
        Some(copied) => {
            let copied = copied.of(ident, data.fields.len());
            let copy = quote!(Some(|object| {
                let object = ::faiss_core::base::object::receiver::<#ident>(object)?;
                Ok(::faiss_core::base::Handle::new(::faiss_core::base::object::DeepCopy::deep_copy(object)?))
            }));
            let deep_copy = quote! {
                impl ::faiss_core::base::object::DeepCopy for #ident {
                    fn deep_copy(&self) -> ::faiss_core::base::Result<Self> {
                        let object = self;
                        #copied
                    }
                }
            };
            (copy, deep_copy)
        }
    };

    let mut parent = None;
    let (mut infos, mut refs, mut muts) = (Vec::new(), Vec::new(), Vec::new());
    let (mut defaults, mut has_default) = (Vec::new(), false);
    for field in &data.fields {
        let opts = options(&field.attrs)?;
        let Some(field_ident) = &field.ident else {
            return Err(syn::Error::new_spanned(field, "Object describes structs with named fields"));
        };
        let ty = &field.ty;
        has_default |= opts.default.is_some();
        let default = opts.default.as_ref().map_or(quote!(::std::default::Default::default()), |value| quote!(#value));
        defaults.push(quote!(#field_ident: #default));
        if opts.parent {
            parent = Some((field_ident.clone(), ty.clone()));
            continue;
        }
        if opts.skip || !matches!(field.vis, syn::Visibility::Public(_)) {
            continue;
        }
        let field_name = opts.name.unwrap_or_else(|| field_ident.to_string().trim_start_matches("r#").to_owned());
        let field_doc = doc(&field.attrs);
        let readonly = opts.readonly;
        infos.push(quote! {
            ::faiss_core::base::object::FieldInfo {
                name: #field_name, kind: <#ty as ::faiss_core::base::object::Field>::KIND, doc: #field_doc, readonly: #readonly,
            }
        });
        refs.push(quote! { #field_name => Some(::faiss_core::base::object::Field::get(&self.#field_ident)), });
        muts.push(
            quote! { #field_name => Some(&mut self.#field_ident as &mut dyn ::faiss_core::base::object::FieldMut), },
        );
    }
    let (parent_info, parent_ref, parent_mut, parent_object, parent_object_mut, deref) = match &parent {
        Some((field, ty)) => (
            quote!(Some(<#ty as ::faiss_core::base::object::Described>::INFO)),
            quote!(::faiss_core::base::object::Object::field(&self.#field, name)),
            quote!(::faiss_core::base::object::Object::field_mut(&mut self.#field, name)),
            quote!(Some(&self.#field)),
            quote!(Some(&mut self.#field)),
            quote! {
                impl ::std::ops::Deref for #ident {
                    type Target = #ty;
                    fn deref(&self) -> &#ty { &self.#field }
                }
                impl ::std::ops::DerefMut for #ident {
                    fn deref_mut(&mut self) -> &mut #ty { &mut self.#field }
                }
            },
        ),
        None => (quote!(None), quote!(None), quote!(None), quote!(None), quote!(None), quote!()),
    };
    let default = has_default.then(|| {
        quote! {
            impl ::std::default::Default for #ident {
                fn default() -> Self { #ident { #(#defaults),* } }
            }
        }
    });
    Ok(quote! {
        impl ::faiss_core::base::object::Described for #ident {
            const INFO: &'static ::faiss_core::base::object::TypeInfo = {
                static INFO: ::faiss_core::base::object::TypeInfo = ::faiss_core::base::object::TypeInfo {
                    name: #name,
                    doc: #type_doc,
                    parent: #parent_info,
                    is_abstract: #is_abstract,
                    fields: &[#(#infos),*],
                    methods: #methods,
                    constructors: #constructors,
                    views: &[#({
                        static CASTS: ::faiss_core::base::view::Casts<dyn #views> = ::faiss_core::base::view::Casts {
                            get: |object| object.as_any().downcast_ref::<#ident>().map(|seen| seen as _),
                            get_mut: |object| object.as_any_mut().downcast_mut::<#ident>().map(|seen| seen as _),
                        };
                        &CASTS
                    }),*],
                    copy: #copy,
                    default: || ::std::boxed::Box::new(<#ident as ::std::default::Default>::default()),
                };
                &INFO
            };
        }
        #(impl ::faiss_core::base::Is<dyn #views> for #ident {})*
        impl ::faiss_core::base::object::Object for #ident {
            fn info(&self) -> &'static ::faiss_core::base::object::TypeInfo { <Self as ::faiss_core::base::object::Described>::INFO }
            fn as_any(&self) -> &dyn ::std::any::Any { self }
            fn as_any_mut(&mut self) -> &mut dyn ::std::any::Any { self }
            fn field(&self, name: &str) -> Option<::faiss_core::base::object::FieldRef<'_>> {
                match name { #(#refs)* _ => #parent_ref }
            }
            fn field_mut(&mut self, name: &str) -> Option<&mut dyn ::faiss_core::base::object::FieldMut> {
                match name { #(#muts)* _ => #parent_mut }
            }
            fn parent_object(&self) -> Option<&dyn ::faiss_core::base::object::Object> { #parent_object }
            fn parent_object_mut(&mut self) -> Option<&mut dyn ::faiss_core::base::object::Object> { #parent_object_mut }
        }
        impl ::faiss_core::base::object::Field for #ident {
            const KIND: ::faiss_core::base::object::Kind =
                ::faiss_core::base::object::Kind::Part(|| <#ident as ::faiss_core::base::object::Described>::INFO);
            fn get(&self) -> ::faiss_core::base::object::FieldRef<'_> { ::faiss_core::base::object::FieldRef::Part(self) }
        }
        impl ::faiss_core::base::object::FieldMut for #ident {
            fn part_mut(&mut self) -> Option<&mut dyn ::faiss_core::base::object::Object> { Some(self) }
        }
        #deref
        #deep_copy
        #default
    })
}
