//! Workflow commands: what a step says to the runner on its output (workflow contract, section 9).
//! Text in, value out; what a command does stands in `transcript`.

/// A workflow command, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) name: Name,
    properties: Vec<(String, String)>,
    pub(crate) data: String,
}

/// The commands there are. Anything else on a line is plain text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    Debug,
    Notice,
    Warning,
    Error,
    Group,
    EndGroup,
    AddMask,
    AddMatcher,
    RemoveMatcher,
    Echo,
    StopCommands,
    SetOutput,
    SaveState,
    SetEnv,
    AddPath,
}

const NAMES: &[(&str, Name)] = &[
    ("debug", Name::Debug),
    ("notice", Name::Notice),
    ("warning", Name::Warning),
    ("error", Name::Error),
    ("group", Name::Group),
    ("endgroup", Name::EndGroup),
    ("add-mask", Name::AddMask),
    ("add-matcher", Name::AddMatcher),
    ("remove-matcher", Name::RemoveMatcher),
    ("echo", Name::Echo),
    ("stop-commands", Name::StopCommands),
    ("set-output", Name::SetOutput),
    ("save-state", Name::SaveState),
    ("set-env", Name::SetEnv),
    ("add-path", Name::AddPath),
];

impl Name {
    /// The command called `text`, whatever its case.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, kind)| *kind)
    }

    /// The command's name as written in workflows.
    pub(crate) fn as_str(self) -> &'static str {
        NAMES.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }
}

impl Command {
    /// A property's value, its name in any case; an empty one counts as absent.
    pub(crate) fn property(&self, name: &str) -> Option<&str> {
        let found = self.properties.iter().rev().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }
}

/// The command on a line, if there is one: `::name k=v,k=v::data` at its start (spaces before it are fine), or the
/// old `##[name k=v;k=v]data` anywhere in it.
pub(crate) fn parse(line: &str) -> Option<Command> {
    modern(line).or_else(|| old(line))
}

/// Whether the line is `::token::`, which ends a stretch of stopped commands.
pub(crate) fn resumes(line: &str, token: &str) -> bool {
    let rest = line.trim_start().strip_prefix("::");
    rest.and_then(|rest| rest.split_once("::")).is_some_and(|(name, _)| name.eq_ignore_ascii_case(token))
}

fn modern(line: &str) -> Option<Command> {
    let (head, data) = line.trim_start().strip_prefix("::")?.split_once("::")?;
    build(head, ',', data, MODERN_PROPERTY, DATA)
}

fn old(line: &str) -> Option<Command> {
    let start = line.find("##[")? + 3;
    let (head, data) = line[start..].split_once(']')?;
    build(head, ';', data, OLD, OLD)
}

type Escapes = &'static [(&'static str, &'static str)];
/// The per cent sign comes last, so that `%250A` is the text `%0A`.
const DATA: Escapes = &[("%0D", "\r"), ("%0A", "\n"), ("%25", "%")];
const MODERN_PROPERTY: Escapes = &[("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")];
const OLD: Escapes = &[("%0D", "\r"), ("%0A", "\n"), ("%3B", ";"), ("%5D", "]"), ("%25", "%")];

fn build(head: &str, separator: char, data: &str, in_property: Escapes, in_data: Escapes) -> Option<Command> {
    let head = head.trim();
    let (name, rest) = head.split_once(' ').unwrap_or((head, ""));
    let name = Name::parse(name)?;
    let properties = rest
        .split(separator)
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.trim().to_owned(), decode(value, in_property)))
        .filter(|(key, _)| !key.is_empty())
        .collect();
    Some(Command { name, properties, data: decode(data, in_data) })
}

fn decode(text: &str, escapes: Escapes) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    escapes.iter().fold(text.to_owned(), |text, (code, plain)| text.replace(code, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Shape<T> = Option<(T, Vec<(String, String)>, T)>;

    fn shape(line: &str) -> Shape<String> {
        parse(line).map(|c| (c.name.as_str().to_owned(), c.properties, c.data))
    }

    #[test]
    fn lines_become_commands_or_stay_text() {
        let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
        let cases: &[(&str, Shape<&str>)] = &[
            ("::debug::hello", Some(("debug", vec![], "hello"))),
            ("   ::DEBUG::hello", Some(("debug", vec![], "hello"))),
            ("say ::debug::hello", None),
            (
                "::error file=a.rs,line=3,title=x%3Ay%2Cz::bad%0Aworse",
                Some((
                    "error",
                    vec![pair("file", "a.rs"), pair("line", "3"), pair("title", "x:y,z")],
                    "bad\nworse",
                )),
            ),
            ("::warning::100%25 and %250A", Some(("warning", vec![], "100% and %0A"))),
            ("::unknown::x", None),
            ("::error", None),
            (":: ::x", None),
            ("::set-output name=a::b::c", Some(("set-output", vec![pair("name", "a")], "b::c"))),
            ("::group::", Some(("group", vec![], ""))),
            ("build ##[error]broken", Some(("error", vec![], "broken"))),
            (
                "##[warning file=a;line=2]x%5Dy%3Bz",
                Some(("warning", vec![pair("file", "a"), pair("line", "2")], "x]y;z")),
            ),
            ("##[nonsense]x", None),
            ("::error ,=,x::m", Some(("error", vec![], "m"))),
        ];
        for (line, wanted) in cases {
            let wanted = wanted.clone().map(|(n, p, d)| (n.to_owned(), p, d.to_owned()));
            assert_eq!(shape(line), wanted, "{line}");
        }
    }

    #[test]
    fn only_its_own_token_resumes_commands() {
        assert!(resumes("::tok::", "tok"));
        assert!(resumes("  ::TOK::rest", "tok"));
        assert!(!resumes("::other::", "tok"));
        assert!(!resumes("x ::tok::", "tok"));
    }
}
