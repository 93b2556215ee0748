//! Refs and commits.

use windlass_kernel::Timestamp;

use super::{fields, strange};
use crate::{RefName, RepoPath, Repository, Sha, SourceError, git};

const LIMIT: usize = 32 << 20;

/// A branch or a tag with the commit that it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefEntry {
    /// Its full name.
    pub name: RefName,
    /// What it points to: a commit, or an annotated tag.
    pub object: Sha,
    /// The commit that it leads to (its object, if it leads to something else).
    pub commit: Sha,
    /// The commit's (or the tag's) subject line.
    pub subject: String,
    /// When the commit (or the tag) was made.
    pub at: Timestamp,
}

/// A commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Its id.
    pub sha: Sha,
    /// Its parents.
    pub parents: Vec<Sha>,
    /// Its tree.
    pub tree: Sha,
    /// The author's name.
    pub author: String,
    /// The author's address.
    pub author_email: String,
    /// When it was written.
    pub authored_at: Timestamp,
    /// The committer's name.
    pub committer: String,
    /// The committer's address.
    pub committer_email: String,
    /// When it was committed.
    pub committed_at: Timestamp,
    /// The first paragraph of its message, on one line.
    pub subject: String,
    /// The rest of its message.
    pub body: String,
}

/// Which commits to list, newest first.
#[derive(Clone, Debug)]
pub struct LogQuery {
    /// Where to begin.
    pub from: Sha,
    /// Leave out what this one reaches: the commits of a push are `from` the new, `not` the old.
    pub not: Option<Sha>,
    /// Only those that touch this path.
    pub path: Option<RepoPath>,
    /// Leave out so many.
    pub skip: usize,
    /// At most so many.
    pub limit: usize,
}

impl LogQuery {
    /// The newest `limit` commits from `from`.
    pub fn new(from: Sha, limit: usize) -> Self {
        Self { from, not: None, path: None, skip: 0, limit }
    }
}

/// Fields end in NUL, which no field can hold.
const FORMAT: &str = "--format=%H%x00%P%x00%T%x00%an%x00%ae%x00%at%x00%cn%x00%ce%x00%ct%x00%s%x00%b%x00";
const FIELDS: usize = 11;

impl Repository {
    /// Branches and tags, the one that moved last first; at most `limit`.
    pub async fn refs(&self, limit: usize) -> Result<Vec<RefEntry>, SourceError> {
        let count = format!("--count={}", limit.max(1));
        let format =
            "--format=%(refname)%00%(objectname)%00%(*objectname)%00%(creatordate:unix)%00%(subject)%00";
        let args = ["for-each-ref", &count, "--sort=-creatordate", format, "refs/heads", "refs/tags"];
        let out = git::run(self.path(), &args, LIMIT).await?.complete(LIMIT)?;
        let all: Vec<String> = fields(&out).collect();
        let mut refs = Vec::new();
        for entry in all.chunks_exact(5) {
            let bad = || strange("for-each-ref", entry.join(" "));
            let object: Sha = entry[1].parse().map_err(|_| bad())?;
            refs.push(RefEntry {
                name: entry[0].trim_start_matches('\n').parse().map_err(|_| bad())?,
                commit: entry[2].parse().unwrap_or_else(|_| object.clone()),
                object,
                at: seconds(&entry[3]),
                subject: entry[4].clone(),
            });
        }
        Ok(refs)
    }

    /// The commit that a text stands for: a full id, a branch, a tag, a full ref name, or `HEAD`; none if there is none.
    pub async fn resolve(&self, text: &str) -> Result<Option<Sha>, SourceError> {
        let mut candidates = Vec::new();
        if let Ok(sha) = text.parse::<Sha>() {
            candidates.push(sha.to_string());
        } else if text == "HEAD" {
            candidates.push(text.to_owned());
        } else if let Ok(name) = text.parse::<RefName>() {
            candidates.push(name.to_string());
        } else {
            candidates.extend(
                [RefName::branch(text), RefName::tag(text)].into_iter().flatten().map(|n| n.to_string()),
            );
        }
        for candidate in candidates {
            let commit = format!("{candidate}^{{commit}}");
            if let Some(found) = self.objects().read(self.path(), &[commit], 0).await?.pop().flatten() {
                return Ok(Some(found.sha));
            }
        }
        Ok(None)
    }

    /// Commits, newest first.
    pub async fn log(&self, query: &LogQuery) -> Result<Vec<Commit>, SourceError> {
        let (skip, count) = (format!("--skip={}", query.skip), format!("--max-count={}", query.limit));
        let not = query.not.as_ref().map(|sha| format!("^{sha}"));
        let mut args =
            vec!["log", "--no-color", "--no-show-signature", FORMAT, &skip, &count, query.from.as_str()];
        args.extend(not.as_deref());
        args.push("--");
        args.extend(query.path.as_ref().filter(|p| !p.is_root()).map(RepoPath::as_str));
        let out = git::run(self.path(), &args, LIMIT).await?.complete(LIMIT)?;
        parse_log(&out)
    }

    /// One commit.
    pub async fn commit(&self, sha: &Sha) -> Result<Option<Commit>, SourceError> {
        let read = self.objects().read(self.path(), &[sha.to_string()], LIMIT).await?;
        let Some(object) = read.into_iter().flatten().next() else { return Ok(None) };
        if object.kind != "commit" {
            return Ok(None);
        }
        match parse_commit(&object.sha, &object.bytes) {
            Some(commit) => Ok(Some(commit)),
            // In another encoding, or of an unusual shape: git knows.
            None => Ok(self.log(&LogQuery::new(sha.clone(), 1)).await?.pop()),
        }
    }

    /// The best common ancestor; none if the histories are unrelated.
    pub async fn merge_base(&self, a: &Sha, b: &Sha) -> Result<Option<Sha>, SourceError> {
        let output = git::run(self.path(), &["merge-base", a.as_str(), b.as_str()], 4096).await?;
        match output.code {
            Some(0) => {
                let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
                text.parse().map(Some).map_err(|_| strange("merge-base", text))
            }
            Some(1) => Ok(None),
            _ => Err(output.failure()),
        }
    }

    /// Whether `old` is an ancestor of `new`: a push from one to the other was a fast-forward.
    pub async fn is_ancestor(&self, old: &Sha, new: &Sha) -> Result<bool, SourceError> {
        let args = ["merge-base", "--is-ancestor", old.as_str(), new.as_str()];
        let output = git::run(self.path(), &args, 4096).await?;
        match output.code {
            Some(0) => Ok(true),
            Some(1) => Ok(false),
            _ => Err(output.failure()),
        }
    }
}

/// A commit object in UTF-8: headers, an empty line, the message.
fn parse_commit(sha: &Sha, bytes: &[u8]) -> Option<Commit> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (headers, message) = text.split_once("\n\n").unwrap_or((text.trim_end_matches('\n'), ""));
    let (mut tree, mut author, mut committer) = (None, None, None);
    let mut parents = Vec::new();
    for line in headers.lines() {
        match line.split_once(' ')? {
            ("tree", id) => tree = Some(id.parse::<Sha>().ok()?),
            ("parent", id) => parents.push(id.parse::<Sha>().ok()?),
            ("author", who) => author = Some(signature(who)?),
            ("committer", who) => committer = Some(signature(who)?),
            ("encoding", _) => return None,
            // Others, and the lines that go on with a space.
            _ => {}
        }
    }
    let ((author, author_email, authored_at), (committer, committer_email, committed_at)) =
        (author?, committer?);
    let message = message.trim_start_matches('\n');
    let lines: Vec<&str> = message.lines().map(str::trim_end).collect();
    let end = lines.iter().position(|line| line.is_empty()).unwrap_or(lines.len());
    let subject = lines[..end].join(" ");
    let body: Vec<&str> = message.lines().skip(end).skip_while(|line| line.trim().is_empty()).collect();
    Some(Commit {
        sha: sha.clone(),
        parents,
        tree: tree?,
        author,
        author_email,
        authored_at,
        committer,
        committer_email,
        committed_at,
        subject,
        body: body.join("\n").trim_end().to_owned(),
    })
}

/// `NAME <ADDRESS> SECONDS ZONE`.
fn signature(text: &str) -> Option<(String, String, Timestamp)> {
    let (name, rest) = text.split_once('<')?;
    let (address, time) = rest.rsplit_once('>')?;
    let at = time.split_whitespace().next()?;
    at.parse::<i64>().ok()?;
    Some((name.trim().to_owned(), address.trim().to_owned(), seconds(at)))
}

fn seconds(text: &str) -> Timestamp {
    Timestamp::from_millis(text.parse::<i64>().unwrap_or(0).saturating_mul(1000))
}

fn parse_log(out: &[u8]) -> Result<Vec<Commit>, SourceError> {
    let all: Vec<String> = out.split(|b| *b == 0).map(|f| String::from_utf8_lossy(f).into_owned()).collect();
    let mut commits = Vec::new();
    for entry in all.chunks_exact(FIELDS) {
        let sha = |text: &str| text.parse::<Sha>().map_err(|_| strange("log", text));
        commits.push(Commit {
            sha: sha(entry[0].trim_start_matches('\n'))?,
            parents: entry[1].split_whitespace().map(sha).collect::<Result<_, _>>()?,
            tree: sha(&entry[2])?,
            author: entry[3].clone(),
            author_email: entry[4].clone(),
            authored_at: seconds(&entry[5]),
            committer: entry[6].clone(),
            committer_email: entry[7].clone(),
            committed_at: seconds(&entry[8]),
            subject: entry[9].clone(),
            body: entry[10].trim_end().to_owned(),
        });
    }
    Ok(commits)
}
