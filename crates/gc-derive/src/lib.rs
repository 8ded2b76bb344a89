//! `#[derive(Trace)]` for `heapwise-gc`: reports every field but those marked `#[trace(skip)]`.
//!
//! What is derived keeps the contract of `Trace` whatever the type is: each field is reported once, through the
//! field's own `Trace`. Type parameters get the bound `Trace`.
#![forbid(unsafe_code)]

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Data, DeriveInput, Error, Field, Fields, Type, parse_macro_input, parse_quote};

/// Derives `Trace`.
#[proc_macro_derive(Trace, attributes(trace))]
pub fn derive_trace(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand(input).unwrap_or_else(Error::into_compile_error).into()
}

fn expand(mut input: DeriveInput) -> syn::Result<TokenStream> {
    let mut types = Vec::new();
    let arms = match &input.data {
        Data::Struct(data) => vec![arm(&quote!(Self), &data.fields, &mut types)?],
        Data::Enum(data) => {
            let mut arms = Vec::new();
            for variant in &data.variants {
                let name = &variant.ident;
                arms.push(arm(&quote!(Self::#name), &variant.fields, &mut types)?);
            }
            arms
        }
        Data::Union(_) => {
            return Err(Error::new_spanned(&input.ident, "a union does not know which field it owns"));
        }
    };
    // An enum without variants has no value to be matched.
    let body = match arms.is_empty() {
        true => quote!(match *self {}),
        false => quote!(match self { #(#arms)* }),
    };
    for parameter in input.generics.type_params_mut() {
        parameter.bounds.push(parse_quote!(::heapwise_gc::Trace));
    }
    let name = &input.ident;
    let (generics, arguments, bounds) = input.generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        #[allow(unsafe_code)]
        // SAFETY: each field is reported once, as its own type does; nothing else is done.
        unsafe impl #generics ::heapwise_gc::Trace for #name #arguments #bounds {
            #[inline]
            fn trace(&self, tracer: &mut ::heapwise_gc::cc::Tracer<'_>) {
                let _ = &tracer;
                #body
            }

            #[inline]
            fn is_acyclic() -> bool {
                true #(&& <#types as ::heapwise_gc::Trace>::is_acyclic())*
            }
        }
    })
}

/// The arm that reports the fields of a struct or variant; the types of those fields are added to `types`.
fn arm(path: &TokenStream, fields: &Fields, types: &mut Vec<Type>) -> syn::Result<TokenStream> {
    let (mut patterns, mut names) = (Vec::new(), Vec::new());
    let mut skipped = false;
    for (at, field) in fields.iter().enumerate() {
        if is_skipped(field)? {
            skipped = true;
            continue;
        }
        let name = format_ident!("field_{at}");
        let member = match &field.ident {
            Some(ident) => quote!(#ident),
            None => {
                let index = syn::Index::from(at);
                quote!(#index)
            }
        };
        patterns.push(quote!(#member: #name));
        names.push(name);
        types.push(field.ty.clone());
    }
    if skipped {
        // It may drop handles that nobody reports.
        types.push(parse_quote!(::heapwise_gc::cc::Skipped));
    }
    Ok(quote!(#path { #(#patterns,)* .. } => { #(::heapwise_gc::Trace::trace(#names, tracer);)* }))
}

fn is_skipped(field: &Field) -> syn::Result<bool> {
    let mut skipped = false;
    for attribute in field.attrs.iter().filter(|it| it.path().is_ident("trace")) {
        attribute.parse_nested_meta(|meta| match meta.path.is_ident("skip") {
            true => {
                skipped = true;
                Ok(())
            }
            false => Err(meta.error("expected `skip`")),
        })?;
    }
    Ok(skipped)
}
