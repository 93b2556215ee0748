//! What a job wants of a container: its keys, evaluated.

use windlass_workflow::expr::Value;
use windlass_workflow::model::{Container, ContainerSetting, List, Services, Spanned};
use windlass_workflow::template::Template;

use crate::context::StepScope;

/// A container that is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) image: String,
    pub(crate) credentials: Option<(String, String)>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) ports: Vec<String>,
    pub(crate) volumes: Vec<String>,
    pub(crate) options: Vec<String>,
    pub(crate) entrypoint: Option<String>,
    pub(crate) command: Vec<String>,
}

impl Wanted {
    /// What the setting of a job's own container asks for; nothing if its image is empty.
    pub(crate) fn of(setting: &ContainerSetting, scope: &StepScope<'_>) -> Result<Option<Self>, String> {
        Self::evaluated(setting, scope)?.checked()
    }

    /// What a service's setting asks for; nothing if its image is empty.
    fn of_service(setting: &ContainerSetting, scope: &StepScope<'_>) -> Result<Option<Self>, String> {
        Self::evaluated(setting, scope)?.with_own_entrypoint()?.checked()
    }

    fn evaluated(setting: &ContainerSetting, scope: &StepScope<'_>) -> Result<Self, String> {
        match setting {
            ContainerSetting::Written(container) => Self::written(container, scope),
            ContainerSetting::Expression(template) => {
                Self::computed(&template.value.render(scope).map_err(|e| e.to_string())?)
            }
        }
    }

    /// A service's `options` may say its entry point, as its key `entrypoint` does, which counts before it.
    fn with_own_entrypoint(mut self) -> Result<Self, String> {
        let mut rest = std::mem::take(&mut self.options).into_iter();
        while let Some(word) = rest.next() {
            let value = match word.strip_prefix("--entrypoint") {
                Some("") => rest.next(),
                Some(value) if value.starts_with('=') => Some(value[1..].to_owned()),
                _ => {
                    self.options.push(word);
                    continue;
                }
            };
            let value = value.ok_or("`--entrypoint` in `options` has no value")?;
            self.entrypoint.get_or_insert(value);
        }
        Ok(self)
    }

    fn checked(self) -> Result<Option<Self>, String> {
        let wanted = self;
        let image = wanted.image.trim();
        let image = image.strip_prefix("docker://").unwrap_or(image).to_owned();
        if image.starts_with('-') {
            return Err(format!("`{image}` is not the name of an image"));
        }
        for option in &wanted.options {
            let name = option.split('=').next().unwrap_or(option);
            if ["--network", "--net", "--entrypoint"].contains(&name) {
                return Err(format!("`options` must not hold `{name}`"));
            }
        }
        Ok((!image.is_empty()).then_some(Self { image, ..wanted }))
    }

    fn written(container: &Container, scope: &StepScope<'_>) -> Result<Self, String> {
        let text = |template: &Spanned<Template>| scope.text(&template.value).map_err(|e| e.to_string());
        let option = |template: &Option<Spanned<Template>>| template.as_ref().map(text).transpose();
        let credentials = container
            .credentials
            .as_ref()
            .map(|credentials| Ok::<_, String>((text(&credentials.username)?, text(&credentials.password)?)));
        Ok(Self {
            image: text(&container.image)?,
            credentials: credentials.transpose()?,
            env: scope.map(&container.env).map_err(|e| e.to_string())?,
            ports: list(&container.ports, scope)?,
            volumes: list(&container.volumes, scope)?,
            options: words(&option(&container.options)?.unwrap_or_default())?,
            entrypoint: option(&container.entrypoint)?.filter(|entrypoint| !entrypoint.is_empty()),
            command: words(&option(&container.command)?.unwrap_or_default())?,
        })
    }

    fn computed(value: &Value) -> Result<Self, String> {
        let Value::Object(object) = value else {
            return Ok(Self { image: value.to_text().to_string(), ..Self::default() });
        };
        let text = |name: &str| object.get(name).map(|value| value.to_text().to_string()).unwrap_or_default();
        let texts = |name: &str| match object.get(name) {
            Some(Value::Array(items)) => items.iter().map(|item| item.to_text().to_string()).collect(),
            _ => Vec::new(),
        };
        let pairs = |name: &str| match object.get(name) {
            Some(Value::Object(pairs)) => {
                pairs.iter().map(|(name, value)| (name.to_owned(), value.to_text().to_string())).collect()
            }
            _ => Vec::new(),
        };
        let credentials: std::collections::BTreeMap<String, String> =
            pairs("credentials").into_iter().collect();
        let credential = |name: &str| credentials.get(name).cloned().unwrap_or_default();
        Ok(Self {
            image: text("image"),
            credentials: (!credentials.is_empty()).then(|| (credential("username"), credential("password"))),
            env: pairs("env"),
            ports: texts("ports"),
            volumes: texts("volumes"),
            options: words(&text("options"))?,
            entrypoint: Some(text("entrypoint")).filter(|entrypoint| !entrypoint.is_empty()),
            command: words(&text("command"))?,
        })
    }
}

/// The services that a job wants, by their names.
pub(super) fn services(services: &Services, scope: &StepScope<'_>) -> Result<Vec<(String, Wanted)>, String> {
    let mut all = Vec::new();
    match services {
        Services::Written(services) => {
            for service in services {
                let name = &service.id.value;
                let wanted = Wanted::of_service(&service.container, scope)
                    .map_err(|e| format!("service `{name}`: {e}"))?;
                all.extend(wanted.map(|wanted| (name.clone(), wanted)));
            }
        }
        Services::Expression(template) => {
            if let Value::Object(object) = template.value.render(scope).map_err(|e| e.to_string())? {
                for (name, value) in object.iter() {
                    let wanted = Wanted::computed(value).and_then(Wanted::with_own_entrypoint);
                    let wanted = wanted.map_err(|e| format!("service `{name}`: {e}"))?;
                    all.extend((!wanted.image.is_empty()).then(|| (name.to_owned(), wanted)));
                }
            }
        }
    }
    Ok(all)
}

fn list(list: &List, scope: &StepScope<'_>) -> Result<Vec<String>, String> {
    match list {
        List::Items(items) => {
            items.iter().map(|item| scope.text(&item.value).map_err(|e| e.to_string())).collect()
        }
        List::Expression(template) => match template.value.render(scope).map_err(|e| e.to_string())? {
            Value::Array(items) => Ok(items.iter().map(|item| item.to_text().to_string()).collect()),
            Value::Null => Ok(Vec::new()),
            _ => Err(format!("`{}` must give a list", template.text())),
        },
    }
}

/// Words, as a shell divides them: spaces divide, quotation marks hold together, a backslash takes away meaning.
pub(crate) fn words(line: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => word.get_or_insert_default().extend(chars.next()),
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    if quote.is_some() { Err(format!("`{line}` has a quotation mark that is not closed")) } else { Ok(words) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_services_options_may_say_its_entry_point() {
        let taken = |options: &str, entrypoint: Option<&str>| {
            let wanted = Wanted {
                image: "x".into(),
                options: words(options).unwrap(),
                entrypoint: entrypoint.map(str::to_owned),
                ..Wanted::default()
            };
            let wanted = wanted.with_own_entrypoint()?.checked()?.unwrap();
            Ok::<_, String>((wanted.options.join(" "), wanted.entrypoint))
        };
        let found = |options: &str, entrypoint: &str| Ok((options.to_owned(), Some(entrypoint.to_owned())));
        assert_eq!(taken("--entrypoint redis-server --init", None), found("--init", "redis-server"));
        assert_eq!(taken("--init --entrypoint=/bin/x", None), found("--init", "/bin/x"));
        assert_eq!(taken("--entrypoint x", Some("y")), found("", "y"));
        assert!(taken("--entrypoint", None).is_err());
        assert!(taken("--network host", None).is_err());
        let own = Wanted { image: "x".into(), options: vec!["--entrypoint=x".into()], ..Wanted::default() };
        assert!(own.checked().is_err(), "a job's own container stays what it is");
    }

    #[test]
    fn words_are_those_of_a_shell() {
        for (line, wanted) in [
            ("", vec![]),
            ("  --cpus 1  ", vec!["--cpus", "1"]),
            (
                r#"--health-cmd "pg_isready -U x" --name='a b'"#,
                vec!["--health-cmd", "pg_isready -U x", "--name=a b"],
            ),
            (r#"a\ b "c\"d" '' 'e\f'"#, vec!["a b", "c\"d", "", "e\\f"]),
        ] {
            assert_eq!(words(line).unwrap(), wanted, "{line}");
        }
        assert!(words("\"open").is_err());
    }
}
