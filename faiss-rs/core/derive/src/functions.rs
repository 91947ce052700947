//! `#[functions]`: the declarations of free functions.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Item, ItemMod};

use crate::{memory, methods};

pub fn expand(mut module: ItemMod) -> syn::Result<TokenStream> {
    let mut declared = methods::Methods::default();
    let Some((_, items)) = &mut module.content else {
        return Err(syn::Error::new_spanned(module, "the functions are to be inside the braces of a `mod`"));
    };
    for item in items.iter_mut() {
        let Item::Fn(function) = item else { continue };
        if !matches!(function.vis, syn::Visibility::Public(_)) {
            continue;
        }
        let name = methods::name_of(&mut function.attrs, &function.sig)?;
        let given = methods::given(function.sig.inputs.iter_mut())?;
        let overload = methods::overload_of(&function.sig, methods::Of::Nobody, None, &given)?;
        let checks = given.iter().filter_map(memory::check);
        let statements = std::mem::take(&mut function.block.stmts);
        *function.block = syn::parse_quote!({ #(#checks)* #(#statements)* });
        declared.add(name, &function.attrs, overload);
    }
    let declared = declared.declared();
    items.push(syn::parse_quote! {
        /// What Python sees of the functions.
        pub const FUNCTIONS: &[::faiss_core::base::declare::Method] = #declared;
    });
    Ok(quote!(#module))
}
