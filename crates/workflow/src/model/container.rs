//! Containers that a job asks for: the one that its steps run in, and services beside it.

use super::{Map, Spanned};
use crate::diagnostic::Span;
use crate::template::Template;

/// `container`, or a service: written out, or one expression that gives a text (the image; nothing means no
/// container) or an object with the keys of [`Container`].
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "a file has few of them, and the larger one is the usual one")]
pub enum ContainerSetting {
    /// Written out.
    Written(Container),
    /// One expression for the whole.
    Expression(Spanned<Template>),
}

/// A container as it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Container {
    /// `image`; a `docker://` in front of it means nothing. One that evaluates to nothing is no container.
    pub image: Spanned<Template>,
    /// `credentials` for the image's registry.
    pub credentials: Option<Credentials>,
    /// `env`; it may read what steps may read.
    pub env: Map,
    /// `ports`: `80`, `8080:80`, `8080:80/udp`.
    pub ports: List,
    /// `volumes`: `name:/path`, `/host:/path:ro`, `/path`.
    pub volumes: List,
    /// `options`: those of `docker create`, but the network.
    pub options: Option<Spanned<Template>>,
    /// `entrypoint`, of services only.
    pub entrypoint: Option<Spanned<Template>>,
    /// `command`, of services only.
    pub command: Option<Spanned<Template>>,
    /// Where it stands.
    pub span: Span,
}

/// `credentials` of a container's registry.
#[derive(Clone, Debug, PartialEq)]
pub struct Credentials {
    /// `username`
    pub username: Spanned<Template>,
    /// `password`
    pub password: Spanned<Template>,
}

/// A list of texts.
#[derive(Clone, Debug, PartialEq)]
pub enum List {
    /// Written out, in the file's order.
    Items(Vec<Spanned<Template>>),
    /// One expression for the whole list; it must give an array.
    Expression(Spanned<Template>),
}

impl Default for List {
    fn default() -> Self {
        Self::Items(Vec::new())
    }
}

/// `services`.
#[derive(Clone, Debug, PartialEq)]
pub enum Services {
    /// Written out, in the file's order.
    Written(Vec<Service>),
    /// One expression for all; it must give an object of objects.
    Expression(Spanned<Template>),
}

impl Default for Services {
    fn default() -> Self {
        Self::Written(Vec::new())
    }
}

impl Services {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Written(services) if services.is_empty())
    }
}

/// A container that runs beside the job's steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// Its key under `services`: its name on the job's network.
    pub id: Spanned<String>,
    /// What it is.
    pub container: ContainerSetting,
}
