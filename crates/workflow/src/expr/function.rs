/// The functions that tell how the run or job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StatusFunction {
    /// All that came before succeeded.
    Success,
    /// Something that came before failed.
    Failure,
    /// The run was cancelled.
    Cancelled,
    /// Always true.
    Always,
}

/// Every function of the language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Function {
    /// `contains(search, item)`.
    Contains,
    /// `startsWith(text, prefix)`.
    StartsWith,
    /// `endsWith(text, suffix)`.
    EndsWith,
    /// `format(template, …)`.
    Format,
    /// `join(array, separator = ',')`.
    Join,
    /// `toJSON(value)`.
    ToJson,
    /// `fromJSON(text)`.
    FromJson,
    /// `hashFiles(pattern, …)`.
    HashFiles,
    /// `case(predicate, value, …, default)`.
    Case,
    /// `success()` and its kin.
    Status(StatusFunction),
}

impl StatusFunction {
    /// Its name as documented.
    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Cancelled => "cancelled",
            Self::Always => "always",
        }
    }
}

impl Function {
    /// Every function.
    pub const ALL: [Function; 13] = [
        Self::Contains,
        Self::StartsWith,
        Self::EndsWith,
        Self::Format,
        Self::Join,
        Self::ToJson,
        Self::FromJson,
        Self::HashFiles,
        Self::Case,
        Self::Status(StatusFunction::Success),
        Self::Status(StatusFunction::Failure),
        Self::Status(StatusFunction::Cancelled),
        Self::Status(StatusFunction::Always),
    ];

    /// The function of this name, ignoring case.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|f| f.name().eq_ignore_ascii_case(name))
    }

    /// Its name as documented.
    pub fn name(self) -> &'static str {
        match self {
            Self::Contains => "contains",
            Self::StartsWith => "startsWith",
            Self::EndsWith => "endsWith",
            Self::Format => "format",
            Self::Join => "join",
            Self::ToJson => "toJSON",
            Self::FromJson => "fromJSON",
            Self::HashFiles => "hashFiles",
            Self::Case => "case",
            Self::Status(s) => s.name(),
        }
    }

    /// How few and how many arguments it takes.
    pub fn arity(self) -> (usize, usize) {
        match self {
            Self::Contains | Self::StartsWith | Self::EndsWith => (2, 2),
            Self::Format | Self::HashFiles => (1, 255),
            Self::Join => (1, 2),
            Self::ToJson | Self::FromJson => (1, 1),
            Self::Case => (3, 255),
            Self::Status(StatusFunction::Success | StatusFunction::Failure) => (0, 255),
            Self::Status(_) => (0, 0),
        }
    }
}
