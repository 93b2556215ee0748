//! What a job wants of a container: its keys, evaluated.

use windlass_workflow::expr::Value;
use windlass_workflow::model::{Container, ContainerSetting, List, Services, Spanned};
use windlass_workflow::template::Template;

use crate::context::StepScope;

/// A container that is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) image: String,
    pub(super) credentials: Option<(String, String)>,
    pub(super) env: Vec<(String, String)>,
    pub(super) ports: Vec<String>,
    pub(super) volumes: Vec<String>,
    pub(super) options: Vec<String>,
    pub(super) entrypoint: Option<String>,
    pub(super) command: Vec<String>,
}

impl Wanted {
    /// What a setting asks for; nothing if its image is empty.
    pub(super) fn of(setting: &ContainerSetting, scope: &StepScope<'_>) -> Result<Option<Self>, String> {
        let wanted = match setting {
            ContainerSetting::Written(container) => Self::written(container, scope)?,
            ContainerSetting::Expression(template) => {
                let value = template.value.render(scope).map_err(|e| e.to_string())?;
                Self::computed(&value)?
            }
        };
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
                let wanted =
                    Wanted::of(&service.container, scope).map_err(|e| format!("service `{name}`: {e}"))?;
                all.extend(wanted.map(|wanted| (name.clone(), wanted)));
            }
        }
        Services::Expression(template) => {
            if let Value::Object(object) = template.value.render(scope).map_err(|e| e.to_string())? {
                for (name, value) in object.iter() {
                    let wanted = Wanted::computed(value).map_err(|e| format!("service `{name}`: {e}"))?;
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
pub(super) fn words(line: &str) -> Result<Vec<String>, String> {
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
