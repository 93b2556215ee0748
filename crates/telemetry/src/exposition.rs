//! The Prometheus text format 0.0.4: what `/metrics` answers. Total: any text gives samples or an error with its line.

use std::collections::BTreeMap;

/// The largest answer that is read, in bytes.
const LARGEST: usize = 16 << 20;
/// The most samples of one answer.
const MOST: usize = 50_000;

/// One sample, without its time: the scraper knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The metric's name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

/// All samples of an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exposition {
    /// The samples, in the answer's order.
    pub samples: Vec<Sample>,
}

/// Why an answer cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct ParseError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: &'static str,
}

/// Reads an answer.
pub fn parse(text: &str) -> Result<Exposition, ParseError> {
    if text.len() > LARGEST {
        return Err(ParseError { line: 1, why: "the answer is larger than 16 MiB" });
    }
    let mut samples = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if samples.len() == MOST {
            return Err(ParseError { line: index + 1, why: "more than 50,000 samples" });
        }
        samples.push(sample(line).map_err(|why| ParseError { line: index + 1, why })?);
    }
    Ok(Exposition { samples })
}

fn sample(line: &str) -> Result<Sample, &'static str> {
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')).unwrap_or(line.len());
    let (name, mut rest) = line.split_at(end);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("a metric's name is expected");
    }
    let mut labels = BTreeMap::new();
    if let Some(inner) = rest.strip_prefix('{') {
        (labels, rest) = read_labels(inner)?;
    }
    // A time may follow the value; an exemplar (`# {…}`) too. Neither is kept.
    let value = rest.split_whitespace().next().ok_or("a value is expected")?;
    let value = match value {
        "+Inf" | "Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        "NaN" => f64::NAN,
        other => other.parse().map_err(|_| "the value is not a number")?,
    };
    Ok(Sample { name: name.to_owned(), labels, value })
}

type Read<'a> = (BTreeMap<String, String>, &'a str);

fn read_labels(mut text: &str) -> Result<Read<'_>, &'static str> {
    let mut labels = BTreeMap::new();
    loop {
        text = text.trim_start_matches([' ', ',']);
        if let Some(rest) = text.strip_prefix('}') {
            return Ok((labels, rest));
        }
        let (name, rest) = text.split_once('=').ok_or("a label's `=` is missing")?;
        let rest = rest.trim_start().strip_prefix('"').ok_or("a label's value must be quoted")?;
        let (value, rest) = quoted(rest)?;
        labels.insert(name.trim().to_owned(), value);
        text = rest;
    }
}

fn quoted(text: &str) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, other)) => value.push(other),
                None => break,
            },
            other => value.push(other),
        }
    }
    Err("a label's value does not end")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_read() {
        let text = "# HELP a b\n# TYPE a counter\na 1\nhttp_requests_total{method=\"post\",path=\"/a\\\"b\\\\\\n\",} 1.5e3 1395066363000\n\
                    up NaN\nx_bucket{le=\"+Inf\"} +Inf\n";
        let read = parse(text).unwrap().samples;
        assert_eq!(read.len(), 4);
        assert_eq!(read[1].labels["path"], "/a\"b\\\n");
        assert!((read[1].value - 1500.0).abs() < f64::EPSILON);
        assert!(read[2].value.is_nan() && read[3].value.is_infinite());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for bad in
            ["a 1\n{x=\"1\"} 2", "a 1\nb{x=1} 2", "a 1\nb{x=\"1} 2", "a 1\nb", "a 1\nb one", "a 1\nb{x 2"]
        {
            assert_eq!(parse(bad).unwrap_err().line, 2, "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_survived(text in ".*") {
            let _ = parse(&text);
        }
    }
}
