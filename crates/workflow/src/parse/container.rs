//! `container`, `services` and `snapshot`.

use super::reader::{Field, Fields, Reader, is_expression};
use crate::diagnostic::Diagnostic;
use crate::keys::{KeyRow, Place, key};
use crate::model::{
    Container, ContainerSetting, Credentials, List, Map, Service, Services, Snapshot, Spanned,
};
use crate::template::Template;
use crate::yaml::{Node, Pair, Value};

/// The options that would take a container out of the job's network.
const NETWORK_OPTIONS: [&str; 2] = ["--network", "--net"];

impl Reader<'_> {
    /// The container of a job; an empty one is none.
    pub(super) fn container(&mut self, field: Field<'_>) -> Option<ContainerSetting> {
        self.container_at(field.row, field.node, Place::Container)
    }

    pub(super) fn services(&mut self, field: Field<'_>) -> Option<Services> {
        if is_expression(field.node, field.row) {
            return self.whole(field.row, field.node).map(Services::Expression);
        }
        let mut services = Vec::new();
        for Pair { key, value } in self.pairs(field.node)? {
            self.check_id(&key.text, key.span);
            if value.is_null() {
                self.error(key.span, "Container image cannot be empty");
                continue;
            }
            if let Some(container) = self.container_at(field.row, value, Place::Service) {
                services.push(Service { id: Spanned { value: key.text.clone(), span: key.span }, container });
            }
        }
        Some(Services::Written(services))
    }

    fn container_at(&mut self, row: &'static KeyRow, node: &Node, place: Place) -> Option<ContainerSetting> {
        let span = node.span;
        if let Value::Mapping(_) = &node.value {
            let fields = self.fields(node, place)?;
            let image = fields.get("image").and_then(|field| self.image(field.row, field.node, place));
            let container = self.container_fields(&fields, image, place)?;
            return Some(ContainerSetting::Written(container));
        }
        let image = self.image(row, node, place)?;
        if image.sole().is_some() {
            return Some(ContainerSetting::Expression(image));
        }
        let (env, ports, volumes) = (Map::default(), List::default(), List::default());
        Some(ContainerSetting::Written(Container {
            image,
            credentials: None,
            env,
            ports,
            volumes,
            options: None,
            entrypoint: None,
            command: None,
            span,
        }))
    }

    fn container_fields(
        &mut self,
        fields: &Fields<'_>,
        image: Option<Spanned<Template>>,
        place: Place,
    ) -> Option<Container> {
        let credentials = fields.get("credentials").and_then(|field| self.credentials(field));
        let env = fields.get("env").and_then(|field| self.map(field)).unwrap_or_default();
        let ports = fields.get("ports").and_then(|field| self.list(field)).unwrap_or_default();
        let volumes = fields.get("volumes").and_then(|field| self.list(field)).unwrap_or_default();
        let options = fields.get("options").and_then(|field| self.options(field, place));
        let entrypoint = fields.get("entrypoint").and_then(|field| self.template(field.row, field.node));
        let command = fields.get("command").and_then(|field| self.template(field.row, field.node));
        let span = fields.span;
        Some(Container {
            image: image?,
            credentials,
            env,
            ports,
            volumes,
            options,
            entrypoint,
            command,
            span,
        })
    }

    /// An image. A job may have none, which an empty text says; a service may not.
    fn image(&mut self, row: &'static KeyRow, node: &Node, place: Place) -> Option<Spanned<Template>> {
        let image = self.template(row, node)?;
        let Some(text) = image.literal() else { return Some(image) };
        let name = text.trim().strip_prefix("docker://").unwrap_or(text.trim());
        if !name.is_empty() {
            return Some(image);
        }
        if place == Place::Service || !text.trim().is_empty() {
            self.error(node.span, "Container image cannot be empty");
        }
        None
    }

    fn credentials(&mut self, field: Field<'_>) -> Option<Credentials> {
        let fields = self.fields(field.node, Place::Credentials)?;
        let username = fields.get("username").and_then(|field| self.template(field.row, field.node));
        let password = fields.get("password").and_then(|field| self.template(field.row, field.node));
        let (username, password) = (username?, password?);
        if let Some(text) = password.literal()
            && !text.is_empty()
        {
            let warning = Diagnostic::warning(password.span, "The password stands in the file");
            self.report(warning.with_help("keep it as a secret, and write ${{ secrets.NAME }}"));
        }
        Some(Credentials { username, password })
    }

    fn options(&mut self, field: Field<'_>, place: Place) -> Option<Spanned<Template>> {
        let options = self.template(field.row, field.node)?;
        for word in options.text().split_whitespace() {
            let name = word.split('=').next().unwrap_or(word);
            let why = if NETWORK_OPTIONS.contains(&name) {
                "the job's containers are on a network of their own"
            } else if name == "--entrypoint" && place == Place::Container {
                // A service's may say it, and published workflows do.
                "what keeps the job's container alive is set"
            } else {
                continue;
            };
            let finding = Diagnostic::error(field.node.span, format!("Unexpected value '{name}'"));
            self.report(finding.with_help(why));
        }
        Some(options)
    }

    pub(super) fn snapshot(&mut self, field: Field<'_>) -> Option<Snapshot> {
        let Value::Mapping(_) = &field.node.value else {
            let row = key(Place::Snapshot, "image-name")?;
            let image_name = self.template(row, field.node)?;
            return Some(Snapshot { image_name, version: None, condition: None });
        };
        let fields = self.fields(field.node, Place::Snapshot)?;
        let version = fields.get("version").and_then(|field| self.template(field.row, field.node));
        if let Some(text) = version.as_ref().and_then(|version| version.literal())
            && !is_version(text)
        {
            let finding = Diagnostic::error(fields.span_of("version"), format!("Unexpected value '{text}'"));
            self.report(finding.with_help("write the major number and a star, such as '1.*'"));
        }
        let condition = fields.get("if").and_then(|field| self.condition(field));
        let image_name = fields.get("image-name").and_then(|field| self.template(field.row, field.node))?;
        Some(Snapshot { image_name, version, condition })
    }
}

/// `MAJOR.*`
fn is_version(text: &str) -> bool {
    let major = text.strip_suffix(".*").unwrap_or("");
    !major.is_empty() && major.bytes().all(|byte| byte.is_ascii_digit())
}
