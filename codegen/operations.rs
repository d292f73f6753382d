//! The operations: the trait that a service implements, a handler and a route for each, and the document.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};
use serde_json::Value;

use super::{
    amendments, names,
    shape::{Role, Shape, field},
    spec::{Method, Operation, Parameter, Place, Problem, Response, Spec},
};

/// One operation with its parameters looked up.
pub(super) struct Call<'a> {
    pub(super) path: &'a str,
    pub(super) operation: &'a Operation,
    method: Method,
    id: &'a str,
    name: Ident,
    in_path: Option<&'a Parameter>,
    common: Vec<&'a Parameter>,
    query: Vec<&'a Parameter>,
    at: String,
}

pub(super) fn all(spec: &Spec) -> Result<TokenStream, Problem> {
    let calls = calls(spec)?;
    let common = query_struct(
        spec,
        &format_ident!("CommonQuery"),
        " What every operation takes.",
        calls.first().map_or(&[], |it| &it.common),
    )?;
    let queries = each(&calls, |call| call.query_struct(spec))?;
    let operations = operations(&calls);
    let methods = each(&calls, |call| call.trait_method(spec))?;
    let handlers = each(&calls, |call| call.handler(spec))?;
    let router = router(&calls);
    let document = document(spec, &calls)?;
    let amendments = amendments::all(spec, &calls);
    let types = spec.components.schemas.keys().map(|name| names::ident(name, "components.schemas"));
    let types: Vec<_> = types.collect::<Result<_, _>>()?;
    Ok(quote! {
        use std::future::{Future, ready};

        use axum::{Router, extract::{Request, State}, http::StatusCode, response::Response, routing::{get, post}};
        use chrono::{DateTime, Utc};
        use schemars::JsonSchema;
        use serde::Deserialize;
        use utoipa::{IntoParams, OpenApi};
        use uuid::Uuid;

        use super::{ApiError, call::Call, format, reply, server::Server};
        use super::wire::{#(#types),*};

        #common
        #(#queries)*
        #operations

        /// The operations of the contract. One that is not built answers 501.
        pub trait Operations: Clone + Send + Sync + 'static { #(#methods)* }

        #(#handlers)*
        #router
        #document
        #amendments
    })
}

fn each(calls: &[Call], make: impl Fn(&Call) -> Result<TokenStream, Problem>) -> Result<Vec<TokenStream>, Problem> {
    calls.iter().map(make).collect()
}

fn calls(spec: &Spec) -> Result<Vec<Call<'_>>, Problem> {
    let all =
        || spec.paths.iter().flat_map(|(path, methods)| methods.iter().map(move |(method, it)| (path, *method, it)));
    let everywhere = |reference: &str| all().all(|(.., it)| it.parameters.iter().any(|it| it.target == reference));
    all().map(|(path, method, operation)| Call::new(spec, path, method, operation, &everywhere)).collect()
}

impl<'a> Call<'a> {
    fn new(
        spec: &'a Spec,
        path: &'a str,
        method: Method,
        operation: &'a Operation,
        everywhere: &dyn Fn(&str) -> bool,
    ) -> Result<Self, Problem> {
        let id = operation.operation_id.as_str();
        let at = format!("paths.{path}.{}", word(method));
        let name = names::ident(&names::snake(id), &at)?;
        let mut call = Self { path, operation, method, id, name, in_path: None, common: vec![], query: vec![], at };
        for (index, reference) in operation.parameters.iter().enumerate() {
            let at = format!("{}.parameters[{index}]", call.at);
            let parameter = &spec.components.parameters[spec.resolve("parameters", &reference.target, &at)?];
            call.take(parameter, everywhere(&reference.target), &at)?;
        }
        call.template_is_whole()?;
        Ok(call)
    }

    fn take(&mut self, parameter: &'a Parameter, common: bool, at: &str) -> Result<(), Problem> {
        match parameter.place {
            Place::Path if self.in_path.is_some() => return Err(Problem::at(at, "is a second parameter in the path")),
            Place::Path => self.in_path = Some(parameter),
            Place::Query if common => self.common.push(parameter),
            Place::Query => self.query.push(parameter),
        }
        Ok(())
    }

    fn template_is_whole(&self) -> Result<(), Problem> {
        let expected = self.in_path.map(|it| format!("{{{}}}", it.name));
        let found: Vec<_> = self.path.split('/').filter(|segment| segment.starts_with('{')).collect();
        if found == expected.iter().collect::<Vec<_>>() {
            Ok(())
        } else {
            Err(Problem::at(&self.at, "the parameters in the path and in the list are not the same"))
        }
    }

    /// The parameters in the order in which they are served.
    pub(super) fn parameters(&self) -> impl Iterator<Item = &'a Parameter> {
        self.in_path.into_iter().chain(self.common.clone()).chain(self.query.clone())
    }

    pub(super) fn method_name(&self) -> &'static str {
        word(self.method)
    }

    fn query_name(&self) -> Ident {
        format_ident!("{}Query", self.id)
    }

    fn query_struct(&self, spec: &Spec) -> Result<TokenStream, Problem> {
        let doc = format!(" What the query of {} may say.", self.id);
        if self.query.is_empty() { Ok(quote!()) } else { query_struct(spec, &self.query_name(), &doc, &self.query) }
    }

    fn body(&self, spec: &Spec) -> Result<Option<(Ident, bool)>, Problem> {
        let Some(body) = &self.operation.request_body else { return Ok(None) };
        let at = format!("{}.requestBody", self.at);
        match Shape::of(spec, &body.content.json.schema, &at)? {
            Shape::Named(name) => Ok(Some((names::ident(&name, &at)?, body.required))),
            _ => Err(Problem::at(at, "is no named schema")),
        }
    }

    /// The one answer that is no error: its status and its type.
    fn success(&self, spec: &Spec) -> Result<(Ident, &Response, Option<TokenStream>), Problem> {
        let at = format!("{}.responses", self.at);
        let mut found = self.operation.responses.iter().filter(|(status, _)| *status != "default");
        let (Some((status, response)), None) = (found.next(), found.next()) else {
            return Err(Problem::at(at, "has not exactly one success beside default"));
        };
        let status = match status.as_str() {
            "200" => format_ident!("OK"),
            "201" => format_ident!("CREATED"),
            "202" => format_ident!("ACCEPTED"),
            other => return Err(Problem::at(at, format!("{other} is none of 200, 201, 202"))),
        };
        let content = response.content.as_ref();
        let body = content.map(|content| Shape::of(spec, &content.json.schema, &at)?.rust(&at)).transpose()?;
        Ok((status, response, body))
    }

    fn path_type(&self, spec: &Spec) -> Result<Option<TokenStream>, Problem> {
        self.in_path.map(|it| Shape::of(spec, &it.schema, &self.at)?.rust(&self.at)).transpose()
    }

    fn trait_method(&self, spec: &Spec) -> Result<TokenStream, Problem> {
        let Self { name, id, .. } = self;
        let doc = format!(" {}.", self.operation.summary);
        let mut arguments: Vec<(Ident, TokenStream)> = vec![];
        if let (Some(parameter), Some(rust)) = (self.in_path, self.path_type(spec)?) {
            arguments.push((names::ident(&names::snake(&parameter.name), &self.at)?, rust));
        }
        if !self.query.is_empty() {
            let query = self.query_name();
            arguments.push((format_ident!("query"), quote!(#query)));
        }
        if let Some((body, required)) = self.body(spec)? {
            arguments.push((format_ident!("body"), if required { quote!(#body) } else { quote!(Option<#body>) }));
        }
        let (names, types): (Vec<_>, Vec<_>) = arguments.into_iter().unzip();
        let answer = self.success(spec)?.2.unwrap_or_else(|| quote!(()));
        Ok(quote! {
            #[doc = #doc]
            fn #name(&self, #(#names: #types),*) -> impl Future<Output = Result<#answer, ApiError>> + Send {
                let _ = (#(#names,)*);
                ready(Err(ApiError::not_implemented(#id)))
            }
        })
    }

    fn handler(&self, spec: &Spec) -> Result<TokenStream, Problem> {
        let name = &self.name;
        let annotation = self.annotation(spec)?;
        let (status, _, answer) = self.success(spec)?;
        let body = self.body(spec)?.map(|(body, required)| {
            let read = format_ident!("{}", if required { "body" } else { "optional_body" });
            quote!(let body = call.#read::<#body>().await?;)
        });
        let query_type = self.query_name();
        let query = (!self.query.is_empty()).then(|| quote!(let query = call.query::<#query_type>()?;));
        let path = self.in_path.map(|it| &it.name).map(|name| quote!(call.path(#name).await?,));
        let mutable = (body.is_some() || path.is_some()).then(|| quote!(mut));
        let query_argument = query.as_ref().map(|_| quote!(query,));
        let body_argument = body.as_ref().map(|_| quote!(body,));
        let reply = match answer {
            Some(_) => quote!(reply::json(StatusCode::#status, &server.within(&common, answer).await?)),
            None => quote!(reply::empty(StatusCode::#status, server.within(&common, answer).await?)),
        };
        Ok(quote! {
            #annotation
            async fn #name<S: Operations>(State(server): State<Server<S>>, request: Request) -> Result<Response, ApiError> {
                let #mutable call = Call::new(request);
                #body
                #query
                let common = call.common()?;
                let answer = server.service.#name(#path #query_argument #body_argument);
                Ok(#reply)
            }
        })
    }

    fn annotation(&self, spec: &Spec) -> Result<TokenStream, Problem> {
        let Self { path, id, operation, .. } = self;
        let Operation { tags: [tag], summary, description, .. } = operation;
        let method = format_ident!("{}", self.method_name());
        let parameters = self.documented_parameters(spec)?;
        let body = self.documented_body(spec)?;
        let (status, response, answer) = self.success(spec)?;
        let text = &response.description;
        let answer = answer.map(|answer| quote!(body = #answer,));
        Ok(quote! {
            #[utoipa::path(#method, path = #path, operation_id = #id, tag = #tag, summary = #summary,
                description = #description, params(#parameters), #body
                responses((status = #status, description = #text, #answer)))]
        })
    }

    fn documented_parameters(&self, spec: &Spec) -> Result<TokenStream, Problem> {
        let path = match (self.in_path, self.path_type(spec)?) {
            (Some(Parameter { name, description, example, .. }), Some(rust)) => {
                let example = example.as_ref().map(|value| json(value, &self.at)).transpose()?;
                let example = example.map(|value| quote!(, example = #value));
                quote!((#name = #rust, Path, description = #description #example),)
            }
            _ => quote!(),
        };
        let query = self.query_name();
        let query = (!self.query.is_empty()).then(|| quote!(, #query));
        Ok(quote!(#path CommonQuery #query))
    }

    fn documented_body(&self, spec: &Spec) -> Result<TokenStream, Problem> {
        let (Some((rust, _)), Some(body)) = (self.body(spec)?, &self.operation.request_body) else {
            return Ok(quote!());
        };
        let description = &body.description;
        Ok(quote!(request_body(content = #rust, content_type = "application/json", description = #description),))
    }
}

fn word(method: Method) -> &'static str {
    match method {
        Method::Get => "get",
        Method::Post => "post",
    }
}

fn json(value: &Value, at: &str) -> Result<TokenStream, Problem> {
    let text = value.to_string();
    let tokens: TokenStream = text.parse().map_err(|_| Problem::at(at, format!("{text} cannot be written in Rust")))?;
    Ok(quote!(json!(#tokens)))
}

fn query_struct(spec: &Spec, name: &Ident, doc: &str, parameters: &[&Parameter]) -> Result<TokenStream, Problem> {
    let fields = parameters.iter().map(|it| {
        let at = format!("components.parameters.{}.schema", it.name);
        field(spec, &it.name, &it.schema, Some(&it.description), it.required, Role::Param, &at)
    });
    let fields: Vec<_> = fields.collect::<Result<_, _>>()?;
    Ok(quote! {
        #[doc = #doc]
        #[derive(Clone, Debug, Deserialize, IntoParams, JsonSchema)]
        #[into_params(parameter_in = Query)]
        pub struct #name { #(#fields)* }
    })
}

fn operations(calls: &[Call]) -> TokenStream {
    let entries = calls.iter().map(|Call { id, path, .. }| quote!(Operation { id: #id, path: #path },));
    quote! {
        /// An operation of the contract and the template of its path.
        pub struct Operation {
            /// Its published name.
            pub id: &'static str,
            /// The template of its path.
            pub path: &'static str,
        }

        /// Every operation.
        pub const OPERATIONS: &[Operation] = &[#(#entries)*];
    }
}

fn router(calls: &[Call]) -> TokenStream {
    let routes = calls.iter().map(|call| {
        let Call { path, name, .. } = call;
        let method = format_ident!("{}", call.method_name());
        quote!(.route(#path, #method(#name::<S>)))
    });
    quote! {
        /// Routes every operation to `S`.
        pub(super) fn routes<S: Operations>() -> Router<Server<S>> {
            Router::new() #(#routes)*
        }
    }
}

fn document(spec: &Spec, calls: &[Call]) -> Result<TokenStream, Problem> {
    let handlers = calls.iter().map(|call| &call.name);
    let schemas = spec.components.schemas.keys().map(|name| names::ident(name, "components.schemas"));
    let schemas: Vec<_> = schemas.collect::<Result<_, _>>()?;
    let tags = spec.tags.iter().map(|tag| {
        let (name, description) = (&tag.name, &tag.description);
        quote!((name = #name, description = #description))
    });
    let servers = spec.servers.iter().map(|server| &server.url);
    Ok(quote! {
        /// The document, but for [`AMENDMENTS`].
        #[derive(OpenApi)]
        #[openapi(servers(#((url = #servers)),*), tags(#(#tags),*), paths(#(#handlers),*), components(schemas(#(#schemas),*)))]
        pub(super) struct Document;
    })
}
