//! What a server is: asked, not configured.

use serde::Deserialize;

/// A search server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) product: Product,
    /// As the server says it.
    pub(super) version: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Product {
    Elasticsearch,
    OpenSearch,
}

impl Product {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Elasticsearch => "Elasticsearch",
            Self::OpenSearch => "OpenSearch",
        }
    }
}

#[derive(Deserialize)]
struct Root {
    version: Version,
}

#[derive(Deserialize)]
struct Version {
    number: String,
    #[serde(default)]
    distribution: Option<String>,
}

impl Server {
    /// From the answer to `GET /`. The forerunner of OpenSearch and versions of Elasticsearch before 7.9 are not
    /// told apart from later ones: what they do not have is found when it is asked for.
    pub(super) fn read(body: &[u8]) -> Result<Self, serde_json::Error> {
        let Root { version } = serde_json::from_slice(body)?;
        let product = match version.distribution.as_deref() {
            Some("opensearch") => Product::OpenSearch,
            _ => Product::Elasticsearch,
        };
        Ok(Self {
            product,
            version: super::super::answer::one_line(&version.number),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Product, Server};

    #[test]
    fn a_server_says_what_it_is() {
        let opensearch =
            br#"{"name":"n","version":{"distribution":"opensearch","number":"3.1.0"}}"#;
        let server = Server::read(opensearch).unwrap();
        assert_eq!(server.product, Product::OpenSearch);
        assert_eq!(server.version, "3.1.0");
        let elasticsearch =
            br#"{"version":{"number":"8.15.0","build_flavor":"default"},"tagline":"x"}"#;
        let server = Server::read(elasticsearch).unwrap();
        assert_eq!(server.product, Product::Elasticsearch);
        assert!(Server::read(b"<html>nginx</html>").is_err());
    }
}
