//! What a service implements, a handler and a route for each operation, and the document.

use heck::{ToSnakeCase, ToUpperCamelCase};
use proc_macro2::{Ident, Literal, TokenStream};
use quote::{ToTokens, format_ident, quote};

use super::{
    fields::{Field, Type},
    spec::{
        Kind, Operation, Parameter, Place, Problem, Property, RequestBody, Responses, Spec, Success, component, ident,
        problem,
    },
};

/// The common parameter that each operation writes with the least value that it takes.
const VERSION: &str = "api-version";

pub(super) fn all(spec: &Spec) -> Result<TokenStream, Problem> {
    let common = spec.common();
    let calls = spec.operations().map(|(path, method, operation)| Call::of(spec, &common, path, method, operation));
    let calls = calls.collect::<Result<Vec<_>, _>>()?;
    let common = parameter_struct(spec, &quote!(CommonQuery), Place::Query, &common)?;
    let queries = calls.iter().map(|call| &call.query_struct);
    let headers = spec.components.parameters.values().filter(|it| it.place == Place::Header).map(|it| {
        parameter_struct(spec, &format_ident!("{}", it.name.to_upper_camel_case()).to_token_stream(), it.place, &[it])
    });
    let headers = headers.collect::<Result<Vec<_>, _>>()?;
    let (methods, handlers) = (calls.iter().map(Call::trait_method), calls.iter().map(Call::handler));
    let types = spec.components.schemas.keys().map(|name| format_ident!("{name}")).collect::<Vec<_>>();
    let names = calls.iter().map(|call| &call.name).collect::<Vec<_>>();
    let paths = calls.iter().map(|call| call.path).collect::<Vec<_>>();
    let (ids, verbs) = (calls.iter().map(|call| &call.operation.id), calls.iter().map(|call| &call.method));
    Ok(quote! {
        use super::wire::{#(#types),*};

        #common
        #(#queries)*
        #(#headers)*

        /// Every operation.
        pub const OPERATIONS: &[Operation] = &[#(Operation { id: #ids, path: #paths }),*];

        /// The operations of the contract. One that is not built answers 501.
        pub trait Operations: Clone + Send + Sync + 'static { #(#methods)* }

        #(#handlers)*

        /// Routes every operation to `S`.
        pub(super) fn routes<S: Operations>() -> Router<Server<S>> {
            Router::new() #(.route(#paths, #verbs(#names::<S>)))*
        }

        /// The document, but for what only the contract says.
        #[derive(OpenApi)]
        #[openapi(paths(#(#names),*), components(schemas(#(#types),*)))]
        pub(super) struct Document;
    })
}

/// One operation, with all that it refers to looked up.
struct Call<'a> {
    path: &'a str,
    method: Ident,
    operation: &'a Operation,
    name: Ident,
    version: Literal,
    in_path: Vec<Argument>,
    query: Option<Argument>,
    query_struct: Option<TokenStream>,
    headers: Vec<Argument>,
    body: Option<Argument>,
    status: Ident,
    answer: Option<TokenStream>,
    /// Whether the answer can be watched as it changes.
    watched: bool,
}

/// What a method of the trait is given, how its handler reads that, and how it is documented.
struct Argument {
    name: Ident,
    rust: TokenStream,
    read: TokenStream,
    documented: TokenStream,
}

impl<'a> Call<'a> {
    fn of(
        spec: &Spec,
        common: &[&Parameter],
        path: &'a str,
        method: &str,
        operation: &'a Operation,
    ) -> Result<Self, Problem> {
        let at = format!("paths.{path}.{method}");
        if !["get", "post"].contains(&method) {
            return problem(&at, "is neither get nor post");
        }
        let (method, name) = (format_ident!("{method}"), ident(&operation.id.to_snake_case(), &at)?);
        let parameters = parameters(spec, operation, &at)?;
        let version = version(&parameters, &at)?;
        let at_place = |place| parameters.iter().copied().filter(move |it| it.place == place);
        let in_path: Vec<_> = at_place(Place::Path).collect();
        check_template(path, &in_path, &at)?;
        let in_path = in_path.into_iter().map(|it| Argument::in_path(spec, it, &at)).collect::<Result<_, _>>()?;
        let own = own(common, at_place(Place::Query), &at)?;
        let query = (!own.is_empty()).then(|| Argument::query(&operation.id));
        let query_struct =
            query.as_ref().map(|query| parameter_struct(spec, &query.rust, Place::Query, &own)).transpose()?;
        let headers = at_place(Place::Header).map(|it| Argument::header(spec, it, &at)).collect::<Result<_, _>>()?;
        let body = operation.request_body.as_ref().map(|body| Argument::body(spec, body, &at)).transpose()?;
        let Promise { status, answer, watched } = Promise::of(spec, &operation.responses, &format!("{at}.responses"))?;
        Ok(Self {
            path,
            method,
            operation,
            name,
            version,
            in_path,
            query,
            query_struct,
            headers,
            body,
            status,
            answer,
            watched,
        })
    }

    /// The method, and the one that goes on answering.
    fn trait_method(&self) -> TokenStream {
        let (doc, answer) = (format!(" {}.", self.operation.summary), self.answer.clone());
        let answer = answer.unwrap_or_else(|| quote!(()));
        let watched = self.watched.then(|| {
            let doc = format!(" {}, for as long as it changes.", self.operation.summary);
            self.method(&self.watching(), &doc, &quote!(Events<#answer>))
        });
        let asked = self.method(&self.name, &doc, &answer);
        quote!(#asked #watched)
    }

    fn watching(&self) -> Ident {
        format_ident!("watch_{}", self.name)
    }

    fn method(&self, name: &Ident, doc: &str, answer: &TokenStream) -> TokenStream {
        let id = &self.operation.id;
        let (names, types): (Vec<_>, Vec<_>) = self.arguments().map(|it| (&it.name, &it.rust)).unzip();
        quote! {
            #[doc = #doc]
            fn #name(&self, #(#names: #types),*) -> impl Future<Output = Result<#answer, ApiError>> + Send {
                #(let _ = #names;)*
                ready(Err(ApiError::not_implemented(#id)))
            }
        }
    }

    fn arguments(&self) -> impl Iterator<Item = &Argument> {
        self.in_path.iter().chain(&self.query).chain(&self.headers).chain(&self.body)
    }

    /// Reads the arguments in the order in which their faults are reported.
    fn handler(&self) -> TokenStream {
        let Self { name, version, in_path, query, headers, body, status, .. } = self;
        let (annotation, names) = (self.annotation(), self.arguments().map(|it| &it.name).collect::<Vec<_>>());
        let mutable = (body.is_some() || !in_path.is_empty()).then(|| quote!(mut));
        let first = body.iter().chain(query).chain(headers).map(|it| &it.read);
        let last = in_path.iter().map(|it| &it.read);
        let watching = self.watching();
        let watched = self.watched.then(|| {
            quote! {
                if call.wants_events() {
                    let answer = server.service.#watching(#(#names),*);
                    return Ok(events::answer(server.within(&common, answer).await?));
                }
            }
        });
        let reply = format_ident!("{}", if self.answer.is_some() { "json" } else { "empty" });
        quote! {
            #annotation
            async fn #name<S: Operations>(State(server): State<Server<S>>, request: Request) -> Result<Response, ApiError> {
                let #mutable call = Call::new(request);
                #(#first)*
                let common = call.common(#version)?;
                #(#last)*
                #watched
                let answer = server.service.#name(#(#names),*);
                Ok(reply::#reply(StatusCode::#status, server.within(&common, answer).await?))
            }
        }
    }

    fn annotation(&self) -> TokenStream {
        let Self { path, method, operation, status, .. } = self;
        let (id, answer) = (&operation.id, self.documented_answer());
        let [in_path, query, headers, body] =
            [&self.in_path[..], self.query.as_slice(), &self.headers[..], self.body.as_slice()]
                .map(|them| them.iter().map(|it| &it.documented));
        quote! {
            #[utoipa::path(#method, path = #path, operation_id = #id,
                params(#(#in_path,)* CommonQuery #(, #query)* #(, #headers)*), #(request_body = #body,)* responses((status = #status #answer)))]
        }
    }
}

impl Call<'_> {
    /// What the answer holds, as utoipa documents it.
    fn documented_answer(&self) -> Option<TokenStream> {
        let answer = self.answer.as_ref()?;
        Some(if self.watched {
            quote!(, content((#answer = "application/json"), (#answer = "text/event-stream")))
        } else {
            quote!(, body = #answer)
        })
    }
}

impl Argument {
    fn in_path(spec: &Spec, parameter: &Parameter, at: &str) -> Result<Self, Problem> {
        let wire = &parameter.name;
        let (name, rust) = (ident(&wire.to_snake_case(), at)?, plain(spec, &parameter.schema, at)?);
        let (read, documented) = (quote!(let #name = call.path(#wire).await?;), quote!((#wire = #rust, Path)));
        Ok(Self { name, rust, read, documented })
    }

    fn query(operation: &str) -> Self {
        let rust = format_ident!("{operation}Query");
        Self {
            name: format_ident!("query"),
            rust: quote!(#rust),
            read: quote!(let query = call.query()?;),
            documented: quote!(#rust),
        }
    }

    /// A header: a struct of one field, so that it is held to its schema as a query is.
    fn header(spec: &Spec, parameter: &Parameter, at: &str) -> Result<Self, Problem> {
        let (wire, at) = (&parameter.name, format!("{at}.{}", parameter.name));
        let Property { kind: Some(Kind::One(_)), default: None, .. } = &parameter.schema else {
            return problem(&at, "is in the header, but has a default or more than one type");
        };
        let (name, rust) = (ident(&wire.to_snake_case(), &at)?, plain(spec, &parameter.schema, &at)?);
        let documented = format_ident!("{}", wire.to_upper_camel_case()).to_token_stream();
        let read = quote!(let #documented { #name } = call.header(#wire)?;);
        let rust = if parameter.required { rust } else { quote!(Option<#rust>) };
        Ok(Self { name, rust, read, documented })
    }

    fn body(spec: &Spec, body: &RequestBody, at: &str) -> Result<Self, Problem> {
        let documented = plain(spec, &body.content.json.schema, &format!("{at}.requestBody"))?;
        let (rust, read) = if body.required {
            (documented.clone(), quote!(let body = call.body().await?;))
        } else {
            (quote!(Option<#documented>), quote!(let body = call.optional_body().await?;))
        };
        Ok(Self { name: format_ident!("body"), rust, read, documented })
    }
}

fn parameters<'a>(spec: &'a Spec, operation: &Operation, at: &str) -> Result<Vec<&'a Parameter>, Problem> {
    let all = operation.parameters.iter().enumerate().map(|(index, reference)| {
        let at = format!("{at}.parameters[{index}]");
        let (_, parameter) = component("parameters", &spec.components.parameters, &reference.target, &at)?;
        if parameter.schema.values.is_some() && parameter.name != VERSION {
            return problem(&at, format!("has an enum, which only {VERSION} may have"));
        }
        Ok(parameter)
    });
    all.collect()
}

/// The least version that an operation takes: the one value that is written for its parameter.
fn version(parameters: &[&Parameter], at: &str) -> Result<Literal, Problem> {
    let value = parameters.iter().find(|it| it.name == VERSION).and_then(|it| it.schema.values.as_ref());
    match value.and_then(|[value]| value.parse::<f64>().ok()) {
        Some(version) if version.is_finite() => Ok(Literal::f64_unsuffixed(version)),
        _ => problem(at, format!("has no {VERSION} whose one value is a number")),
    }
}

/// What an operation has in its query besides what is common. Only of a version can there be several that are common.
fn own<'a>(
    common: &[&Parameter],
    in_query: impl Iterator<Item = &'a Parameter>,
    at: &str,
) -> Result<Vec<&'a Parameter>, Problem> {
    let mut own = Vec::new();
    for it in in_query {
        match common.iter().find(|common| common.name == it.name) {
            None => own.push(it),
            Some(common) if std::ptr::eq(*common, it) || it.name == VERSION => (),
            Some(_) => return problem(at, format!("has another {} than the operations have in common", it.name)),
        }
    }
    Ok(own)
}

fn check_template(path: &str, in_path: &[&Parameter], at: &str) -> Result<(), Problem> {
    let written = path.split('/').filter(|segment| segment.contains('{'));
    if written.eq(in_path.iter().map(|it| format!("{{{}}}", it.name))) {
        return Ok(());
    }
    problem(at, "the parameters in the path and in the list are not the same")
}

/// The one answer that is no error.
struct Promise {
    status: Ident,
    answer: Option<TokenStream>,
    watched: bool,
}

impl Promise {
    fn of(spec: &Spec, responses: &Responses, at: &str) -> Result<Self, Problem> {
        let (status, success) = success(spec, responses, at)?;
        let Some(content) = &success.content else {
            return Ok(Self { status: format_ident!("{status}"), answer: None, watched: false });
        };
        let answer = plain(spec, &content.json.schema, at)?;
        if let Some(events) = &content.events {
            let at = format!("{at}.text/event-stream");
            if plain(spec, &events.schema, &at)?.to_string() != answer.to_string() {
                return problem(&at, "is not what is in application/json: each event is one such answer");
            }
        }
        Ok(Self { status: format_ident!("{status}"), answer: Some(answer), watched: content.events.is_some() })
    }
}

/// The status of the one answer that is no error, and what it is.
fn success<'a>(spec: &Spec, responses: &'a Responses, at: &str) -> Result<(&'static str, &'a Success), Problem> {
    let Responses { ok, created, accepted, default } = responses;
    component("responses", &spec.components.responses, &default.target, at)?;
    match (ok, created, accepted) {
        (Some(success), None, None) => Ok(("OK", success)),
        (None, Some(success), None) => Ok(("CREATED", success)),
        (None, None, Some(success)) => Ok(("ACCEPTED", success)),
        _ => problem(at, "has not exactly one success beside default"),
    }
}

/// The type of a value that stands alone.
fn plain(spec: &Spec, schema: &Property, at: &str) -> Result<TokenStream, Problem> {
    match Type::of(spec, schema, at)? {
        Type { rust, written: None } => Ok(rust),
        _ => problem(at, "is written in a way of its own, which only a property can be"),
    }
}

/// The struct of what all operations, or only one, may have in the query, or of one header.
fn parameter_struct(
    spec: &Spec,
    name: &TokenStream,
    place: Place,
    fields: &[&Parameter],
) -> Result<TokenStream, Problem> {
    let fields = fields.iter().map(|Parameter { name, schema, description, required, .. }| {
        let field = Field { name, schema, description, required: *required, utoipa: "param" };
        field.rust(spec, &format!("components.parameters.{name}.schema"))
    });
    let fields: TokenStream = fields.collect::<Result<_, _>>()?;
    let (doc, place) = match place {
        Place::Header => (" What one header may say.", quote!(Header)),
        _ => (" What the query may say: of every operation, or of one besides.", quote!(Query)),
    };
    Ok(quote! {
        #[doc = #doc]
        #[derive(Clone, Debug, Deserialize, IntoParams, JsonSchema)]
        #[into_params(parameter_in = #place)]
        pub struct #name { #fields }
    })
}
