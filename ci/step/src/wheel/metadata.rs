//! METADATA: core metadata 2.4, written and read.

use super::Error;

/// The fields of core metadata that a wheel of this project has. Everything is given by the caller, nothing is looked up.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Metadata {
    pub name: String,
    pub version: String,
    pub summary: String,
    /// Not written when it is empty.
    pub author: String,
    /// As users search for them on an index.
    pub keywords: Vec<String>,
    pub classifiers: Vec<String>,
    /// `>=3.10`
    pub requires_python: String,
    /// Lines of `Requires-Dist`, in the order in which they are written; see [`super::requirements`].
    pub requires_dist: Vec<String>,
    /// Names of extras, in their normalized form (`fix-cuda`, never `fix_cuda`).
    pub provides_extra: Vec<String>,
    /// An SPDX expression of everything in the wheel, for example `MIT AND BSD-3-Clause`.
    pub license_expression: String,
    /// Names below `dist-info/licenses/`.
    pub license_files: Vec<String>,
    /// Label and URL; none is written when none is known.
    pub project_urls: Vec<(String, String)>,
    /// The long description, in Markdown.
    pub description: String,
}

const VERSION: &str = "2.4";

impl Metadata {
    /// The text of METADATA.
    pub fn render(&self) -> Result<String, Error> {
        let mut out = Headers(String::new());
        out.line("Metadata-Version", VERSION)?;
        out.line("Name", &self.name)?;
        out.line("Version", &self.version)?;
        out.line("Summary", &self.summary)?;
        if !self.author.is_empty() {
            out.line("Author", &self.author)?;
        }
        if !self.keywords.is_empty() {
            out.line("Keywords", &self.keywords.join(","))?;
        }
        for classifier in &self.classifiers {
            if classifier.starts_with("License ::") {
                let reason = format!("'{classifier}' may not stand beside License-Expression; leave it out");
                return Err(Error::Metadata { field: "Classifier", reason });
            }
            out.line("Classifier", classifier)?;
        }
        for (label, url) in &self.project_urls {
            if label.contains(',') || !url.starts_with("https://") {
                let reason =
                    format!("'{label}, {url}' is not a label without comma and a URL that starts with https://");
                return Err(Error::Metadata { field: "Project-URL", reason });
            }
            out.line("Project-URL", &format!("{label}, {url}"))?;
        }
        out.line("License-Expression", &self.license_expression)?;
        for file in &self.license_files {
            out.line("License-File", file)?;
        }
        out.line("Requires-Python", &self.requires_python)?;
        for requirement in &self.requires_dist {
            out.line("Requires-Dist", requirement)?;
        }
        for extra in &self.provides_extra {
            if super::name::normalize(extra) != *extra {
                let reason = format!("'{extra}' is not normalized: write '{}'", super::name::normalize(extra));
                return Err(Error::Metadata { field: "Provides-Extra", reason });
            }
            out.line("Provides-Extra", extra)?;
        }
        out.line("Description-Content-Type", "text/markdown; charset=UTF-8; variant=GFM")?;
        let mut text = out.0;
        text.push('\n');
        text.push_str(self.description.trim_matches('\n'));
        text.push('\n');
        Ok(text)
    }

    /// Reads METADATA. Fields that [`Metadata`] has no place for are passed over.
    pub fn parse(text: &str) -> Result<Metadata, Error> {
        let (headers, body) = text.split_once("\n\n").unwrap_or((text, ""));
        let mut metadata = Metadata { description: body.trim_matches('\n').to_owned(), ..Metadata::default() };
        for line in headers.lines() {
            // A continuation belongs to a field such as License or Description, none of which is kept here.
            if line.starts_with([' ', '\t']) {
                continue;
            }
            let Some((field, value)) = line.split_once(':') else {
                return Err(Error::Metadata { field: "METADATA", reason: format!("'{line}' is not 'Field: value'") });
            };
            let value = value.trim().to_owned();
            match field.to_ascii_lowercase().as_str() {
                "name" => metadata.name = value,
                "version" => metadata.version = value,
                "summary" => metadata.summary = value,
                "author" => metadata.author = value,
                "keywords" => metadata.keywords = value.split(',').map(|word| word.trim().to_owned()).collect(),
                "classifier" => metadata.classifiers.push(value),
                "requires-python" => metadata.requires_python = value,
                "requires-dist" => metadata.requires_dist.push(value),
                "provides-extra" => metadata.provides_extra.push(value),
                "license-expression" => metadata.license_expression = value,
                "license-file" => metadata.license_files.push(value),
                "project-url" => {
                    let (label, url) = value.split_once(',').unwrap_or(("", &value));
                    metadata.project_urls.push((label.trim().to_owned(), url.trim().to_owned()));
                }
                _ => {}
            }
        }
        Ok(metadata)
    }
}

struct Headers(String);

impl Headers {
    fn line(&mut self, field: &'static str, value: &str) -> Result<(), Error> {
        if value.is_empty() {
            return Err(Error::Metadata { field, reason: "it is empty".to_owned() });
        }
        if value.chars().any(|c| c.is_control()) || value.trim() != value {
            let reason = format!("{value:?} holds a line break or control character, or starts or ends with a space");
            return Err(Error::Metadata { field, reason });
        }
        self.0.push_str(field);
        self.0.push_str(": ");
        self.0.push_str(value);
        self.0.push('\n');
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Metadata {
        Metadata {
            name: "faiss-gpu-cu12".into(),
            version: "1.15.1.0".into(),
            summary: "Similarity search".into(),
            author: "the authors".into(),
            keywords: vec!["faiss".into(), "vectors".into()],
            classifiers: vec!["Programming Language :: Python :: 3".into()],
            requires_python: ">=3.10".into(),
            requires_dist: vec!["numpy>=1.22".into()],
            provides_extra: vec!["fix-cuda".into()],
            license_expression: "MIT AND BSD-3-Clause".into(),
            license_files: vec!["LICENSE".into()],
            project_urls: vec![("Documentation".into(), "https://example.org/faiss".into())],
            description: "# faiss\n\nTwo paragraphs.".into(),
        }
    }

    #[test]
    fn what_is_rendered_parses_to_the_same() {
        let text = sample().render().unwrap();
        assert!(text.starts_with("Metadata-Version: 2.4\nName: faiss-gpu-cu12\nVersion: 1.15.1.0\n"), "{text}");
        assert!(text.ends_with("variant=GFM\n\n# faiss\n\nTwo paragraphs.\n"), "{text}");
        assert_eq!(Metadata::parse(&text).unwrap(), sample());
    }

    #[test]
    fn values_that_would_break_the_format_are_refused() {
        let render = |change: fn(&mut Metadata)| {
            let mut metadata = sample();
            change(&mut metadata);
            metadata.render().unwrap_err().to_string()
        };
        assert_eq!(render(|m| m.summary.clear()), "metadata field Summary: it is empty");
        assert_eq!(
            render(|m| m.summary = "a\nName: b".into()),
            r#"metadata field Summary: "a\nName: b" holds a line break or control character, or starts or ends with a space"#
        );
        assert_eq!(
            render(|m| m.provides_extra = vec!["fix_cuda".into()]),
            "metadata field Provides-Extra: 'fix_cuda' is not normalized: write 'fix-cuda'"
        );
        assert_eq!(
            render(|m| m.classifiers.push("License :: OSI Approved :: MIT License".into())),
            "metadata field Classifier: 'License :: OSI Approved :: MIT License' may not stand beside License-Expression; leave it out"
        );
    }
}
