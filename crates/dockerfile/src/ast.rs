//! What a Dockerfile says, instruction by instruction, each with its place. Nothing is expanded here.

mod flag;

use std::time::Duration;

pub use flag::{Flag, MountFlag, MountOption, NetworkMode, SecurityMode};

use crate::Span;

/// A file that could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dockerfile {
    /// What its first comments ask for.
    pub directives: Directives,
    /// The `ARG`s before the first `FROM`.
    pub globals: Vec<Instruction>,
    /// The stages, in the order of the file; at least one.
    pub stages: Vec<Stage>,
}

/// The parser directives: the comments `# name=value` that stand before everything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directives {
    /// `# syntax=`: the frontend that the file asks for. Ours is always the same; kept for messages.
    pub syntax: Option<Word>,
    /// `# escape=`: the character that ends a continued line and escapes in words, `\` unless it is a backtick.
    pub escape: char,
    /// `# check=skip=…`: the rules that are not to be checked.
    pub skip: Vec<Word>,
    /// `# check=skip=all`.
    pub skip_all: bool,
    /// `# check=experimental=…`: the rules that are checked only when they are asked for.
    pub experimental: Vec<Word>,
    /// `# check=experimental=all`.
    pub experimental_all: bool,
    /// `# check=error=true`: findings of the rules are errors.
    pub check_errors: bool,
}

impl Default for Directives {
    fn default() -> Self {
        Self {
            syntax: None,
            escape: '\\',
            skip: Vec::new(),
            skip_all: false,
            experimental: Vec::new(),
            experimental_all: false,
            check_errors: false,
        }
    }
}

/// A stage: a `FROM` and what follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// Its number, from 0.
    pub index: usize,
    /// Its name, as written; names are compared without regard to case.
    pub name: Option<Word>,
    /// What it starts from, unexpanded: `scratch`, an earlier stage, or an image.
    pub base: Word,
    /// `--platform`, unexpanded.
    pub platform: Option<Word>,
    /// What the comment directly above says of it, when that begins with the stage's name.
    pub description: Option<String>,
    /// Its instructions, without the `FROM`.
    pub instructions: Vec<Instruction>,
    /// The `FROM` line.
    pub span: Span,
    /// The `FROM` line's text, with continued lines joined.
    pub source: String,
    /// The keyword as it is written, such as `FROM` or `from`.
    pub keyword: Word,
    /// The word `AS` as it is written, when there is one.
    pub as_keyword: Option<Word>,
    /// The comments above it.
    pub comments: Vec<String>,
}

/// An instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// What it says.
    pub command: Command,
    /// From its keyword to its last line's end, here-documents too.
    pub span: Span,
    /// Its text with continued lines joined and without its here-documents: what progress and history show.
    pub source: String,
    /// The keyword as it is written.
    pub keyword: Word,
    /// The comments above it.
    pub comments: Vec<String>,
}

/// A piece of text with its place. In a parsed file its quotes, escapes and variables are still there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Word {
    /// The text.
    pub text: String,
    /// Where it stands.
    pub span: Span,
}

/// What an instruction says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `ADD`.
    Add(Transfer),
    /// `ARG`.
    Arg(Vec<Argument>),
    /// `CMD`.
    Cmd(CommandLine),
    /// `COPY`.
    Copy(Transfer),
    /// `ENTRYPOINT`.
    Entrypoint(CommandLine),
    /// `ENV`.
    Env(Vec<Pair>),
    /// `EXPOSE`: ports, ranges, each with or without its protocol.
    Expose(Vec<Word>),
    /// `HEALTHCHECK`.
    Healthcheck(Healthcheck),
    /// `LABEL`.
    Label(Vec<Pair>),
    /// `MAINTAINER`.
    Maintainer(Word),
    /// `ONBUILD`: the text that is kept; it was checked to be an instruction.
    Onbuild(Word),
    /// `RUN`.
    Run(Box<Run>),
    /// `SHELL`.
    Shell(Vec<String>),
    /// `STOPSIGNAL`.
    StopSignal(Word),
    /// `USER`.
    User(Word),
    /// `VOLUME`.
    Volume(Vec<Word>),
    /// `WORKDIR`.
    Workdir(Word),
}

impl Command {
    /// The keyword in its usual form, such as `RUN`.
    pub const fn keyword(&self) -> &'static str {
        match self {
            Self::Add(_) => "ADD",
            Self::Arg(_) => "ARG",
            Self::Cmd(_) => "CMD",
            Self::Copy(_) => "COPY",
            Self::Entrypoint(_) => "ENTRYPOINT",
            Self::Env(_) => "ENV",
            Self::Expose(_) => "EXPOSE",
            Self::Healthcheck(_) => "HEALTHCHECK",
            Self::Label(_) => "LABEL",
            Self::Maintainer(_) => "MAINTAINER",
            Self::Onbuild(_) => "ONBUILD",
            Self::Run(_) => "RUN",
            Self::Shell(_) => "SHELL",
            Self::StopSignal(_) => "STOPSIGNAL",
            Self::User(_) => "USER",
            Self::Volume(_) => "VOLUME",
            Self::Workdir(_) => "WORKDIR",
        }
    }
}

/// A command: a list of arguments, or a line for the shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandLine {
    /// The JSON form: executed as it is.
    Exec(Vec<String>),
    /// The shell form: one argument for the shell of `SHELL`.
    Shell(Word),
}

/// `NAME`, or `NAME=default`, of an `ARG`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// The name, unexpanded.
    pub name: Word,
    /// The default, unexpanded.
    pub default: Option<Word>,
}

/// A pair of `ENV` or `LABEL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The name, unexpanded.
    pub name: Word,
    /// The value, unexpanded.
    pub value: Word,
    /// Whether it was written as `NAME value`, the form of old.
    pub legacy: bool,
}

/// A here-document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heredoc {
    /// Its name, without quotes.
    pub name: String,
    /// The number before `<<`: the file descriptor, 0 when there is none.
    pub descriptor: u32,
    /// Its lines, each with its end; `<<-` has already taken the tabs away in front of them where a *file* is
    /// made of it, see [`Heredoc::content`].
    pub data: String,
    /// Whether variables are expanded in it: its name had no quotes.
    pub expand: bool,
    /// Whether it was written `<<-`.
    pub chomp: bool,
    /// Its lines in the file, without the one that ends it.
    pub span: Span,
}

impl Heredoc {
    /// The text without the tabs in front of its lines, if it was written `<<-`.
    pub fn content(&self) -> String {
        if !self.chomp {
            return self.data.clone();
        }
        self.data.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect()
    }
}

/// `COPY` or `ADD`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transfer {
    /// What is copied, unexpanded, without here-documents.
    pub sources: Vec<Word>,
    /// Files that are written in the Dockerfile itself.
    pub inline: Vec<Heredoc>,
    /// Where to, unexpanded.
    pub destination: Word,
    /// `--from` (COPY).
    pub from: Option<Word>,
    /// `--chown`.
    pub chown: Option<Word>,
    /// `--chmod`.
    pub chmod: Option<Word>,
    /// `--link`.
    pub link: bool,
    /// `--parents` (COPY).
    pub parents: bool,
    /// `--exclude`, as often as given.
    pub exclude: Vec<Word>,
    /// `--keep-git-dir` (ADD).
    pub keep_git_dir: Option<bool>,
    /// `--checksum` (ADD).
    pub checksum: Option<Word>,
    /// `--unpack` (ADD).
    pub unpack: Option<bool>,
}

/// `HEALTHCHECK`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Healthcheck {
    /// `HEALTHCHECK NONE`.
    None,
    /// `HEALTHCHECK … CMD …`.
    Test {
        /// What is run.
        command: CommandLine,
        /// `--interval`; zero where it is not said.
        interval: Duration,
        /// `--timeout`.
        timeout: Duration,
        /// `--start-period`.
        start_period: Duration,
        /// `--start-interval`.
        start_interval: Duration,
        /// `--retries`; 0 where it is not said.
        retries: u32,
    },
}

/// `RUN`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// What is run.
    pub line: CommandLine,
    /// Its here-documents.
    pub heredocs: Vec<Heredoc>,
    /// `--mount`, as often as given.
    pub mounts: Vec<MountFlag>,
    /// `--network`.
    pub network: NetworkMode,
    /// `--security`.
    pub security: SecurityMode,
}
