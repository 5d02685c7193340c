//! The URL of a store.

/// The parts of a store's URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) kind: Kind,
    /// The bucket, container or directory.
    pub(super) name: String,
    /// The URL without prefix and without a slash at its end.
    pub(super) root: String,
    /// What precedes the names of all objects; may be empty.
    pub(super) prefix: String,
}

/// The kind of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    S3,
    Google,
    Azure,
    Directory,
}

impl Place {
    /// Takes a URL apart.
    ///
    /// # Errors
    /// What is wrong with it. The URL itself is not repeated if it contains credentials.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let forms = "use s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX or file:///DIRECTORY";
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(format!("{url:?} is no URL: {forms}"));
        };
        if rest.contains('@') {
            return Err(
                "it contains a user: credentials belong into the environment or a file".to_owned(),
            );
        }
        let kind = match scheme {
            "s3" | "s3a" => Kind::S3,
            "gs" => Kind::Google,
            "az" | "azure" => Kind::Azure,
            "file" => Kind::Directory,
            other => return Err(format!("{other}:// is unknown: {forms}")),
        };
        if rest.contains(['?', '#', '%', '\\']) || rest.chars().any(char::is_control) {
            return Err("it contains '?', '#', '%', '\\' or a control character".to_owned());
        }
        if kind == Kind::Directory {
            if !rest.starts_with('/') || rest.split('/').any(|part| part == "..") {
                return Err(format!(
                    "{url:?} is no absolute path: use file:///DIRECTORY"
                ));
            }
            return Ok(Self {
                kind,
                name: rest.to_owned(),
                root: url.trim_end_matches('/').to_owned(),
                prefix: String::new(),
            });
        }
        let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if name.is_empty() {
            return Err(format!("{url:?} has no bucket: {forms}"));
        }
        Ok(Self {
            kind,
            name: name.to_owned(),
            root: format!("{scheme}://{name}"),
            prefix: prefix.trim_matches('/').to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Place;

    #[test]
    fn a_url_is_taken_apart_and_a_wrong_one_is_rejected_with_the_reason() {
        let place = Place::parse("s3://bucket/a/b/").unwrap();
        assert_eq!(
            (place.root.as_str(), place.prefix.as_str()),
            ("s3://bucket", "a/b")
        );
        assert_eq!(
            Place::parse("file:///data/x/").unwrap().root,
            "file:///data/x"
        );
        for (url, reason) in [
            ("bucket", "no URL"),
            ("ftp://x", "ftp:// is unknown"),
            ("s3:///x", "no bucket"),
            ("file://x", "no absolute path"),
            ("file:///x/../y", "no absolute path"),
            ("s3://key:s3cr3t@bucket", "a user"),
            ("s3://bucket/a?sig=s3cr3t", "contains '?'"),
        ] {
            let error = Place::parse(url).unwrap_err();
            assert!(
                error.contains(reason) && !error.contains("s3cr3t"),
                "{url}: {error}"
            );
        }
    }
}
