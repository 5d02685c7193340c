//! Configuration in layers: defaults, a TOML file, the environment, flags; each value keeps its
//! origin.

use std::{collections::BTreeMap, fmt};

use toml::{Table, Value};

/// The origin of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    Default,
    /// The configuration file.
    File(String),
    /// A variable of the environment.
    Environment(String),
    /// The command line.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {path}"),
            Self::Environment(variable) => write!(f, "environment {variable}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

/// The tables that a file may contain several times.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    /// `[[capture]]`.
    pub captures: Vec<Value>,
    /// `[[client]]`.
    pub clients: Vec<Value>,
}

/// Values by their dotted keys.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    values: BTreeMap<String, (Value, Origin)>,
}

/// Errors of a layer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayerError {
    /// There is no such key.
    #[error("{origin}: there is no setting {key:?}{}", hint(near.as_deref()))]
    Unknown {
        /// The key.
        key: String,
        /// A key with a similar spelling.
        near: Option<String>,
        /// The origin of the key.
        origin: Origin,
    },
    /// The value has the wrong type.
    #[error("{origin}: {key} = {value}: give {wanted}")]
    Kind {
        /// The key.
        key: String,
        /// Its value.
        value: String,
        /// The expected type.
        wanted: &'static str,
        /// The origin of the value.
        origin: Origin,
    },
    /// The layer cannot be parsed.
    #[error("{origin}: {reason}")]
    Syntax {
        /// The origin.
        origin: Origin,
        /// The parser's error.
        reason: String,
    },
}

fn hint(near: Option<&str>) -> String {
    near.map_or_else(
        || "; `captured config defaults` lists them all".to_owned(),
        |near| format!("; did you mean {near:?}?"),
    )
}

const PREFIX: &str = "CAPTURED_";

/// Variables that are not settings of the daemon: arguments of `captured` itself.
const OTHERS: [&str; 2] = ["CAPTURED_LOG", "CAPTURED_CONFIG"];

impl Layers {
    /// The lowest layer, which defines the keys and their types.
    pub fn defaults(text: &str) -> Result<Self, LayerError> {
        let mut layers = Self::default();
        let table = parse(text, &Origin::Default)?;
        flatten("", table, &mut |key, value| {
            layers.values.insert(key, (value, Origin::Default));
        });
        Ok(layers)
    }

    /// Adds a TOML file; returns the lists of tables in it.
    pub fn file(&mut self, path: &str, text: &str) -> Result<Tables, LayerError> {
        let origin = Origin::File(path.to_owned());
        let mut table = parse(text, &origin)?;
        let mut take = |key, wanted| match table.remove(key) {
            None => Ok(Vec::new()),
            Some(Value::Array(tables)) => Ok(tables),
            Some(other) => Err(kind(key, &other, wanted, &origin)),
        };
        let tables = Tables {
            captures: take("capture", "[[capture]] tables")?,
            clients: take("client", "[[client]] tables")?,
        };
        let mut values = Vec::new();
        flatten("", table, &mut |key, value| values.push((key, value)));
        for (key, value) in values {
            self.set(&key, value, origin.clone())?;
        }
        Ok(tables)
    }

    /// Adds variables: `CAPTURED_METRICS_LISTEN` for `metrics.listen`. Lists are separated by
    /// commas.
    pub fn environment(
        &mut self,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<(), LayerError> {
        let names: BTreeMap<String, String> = self
            .values
            .keys()
            .map(|key| (variable(key), key.clone()))
            .collect();
        for (name, text) in variables {
            if !name.starts_with(PREFIX) || OTHERS.contains(&name.as_str()) {
                continue;
            }
            let origin = Origin::Environment(name.clone());
            let Some(key) = names.get(&name) else {
                let near = nearest(&name, names.keys());
                return Err(LayerError::Unknown {
                    key: name,
                    near,
                    origin,
                });
            };
            self.set_text(key, &text, origin)?;
        }
        Ok(())
    }

    /// Sets a value from text, which is parsed as the type of the key.
    pub fn set_text(&mut self, key: &str, text: &str, origin: Origin) -> Result<(), LayerError> {
        let value = match self.values.get(key).map(|(value, _)| value) {
            Some(Value::Integer(_)) => match text.trim().parse() {
                Ok(number) => Value::Integer(number),
                Err(_) => Value::String(text.to_owned()),
            },
            Some(Value::Boolean(_)) => match text.trim().parse() {
                Ok(flag) => Value::Boolean(flag),
                Err(_) => Value::String(text.to_owned()),
            },
            Some(Value::Array(_)) => {
                let items = text
                    .split(',')
                    .map(str::trim)
                    .filter(|item| !item.is_empty());
                Value::Array(items.map(|item| Value::String(item.to_owned())).collect())
            }
            _ => Value::String(text.to_owned()),
        };
        self.set(key, value, origin)
    }

    fn set(&mut self, key: &str, value: Value, origin: Origin) -> Result<(), LayerError> {
        let Some((known, _)) = self.values.get(key) else {
            let near = nearest(key, self.values.keys());
            return Err(LayerError::Unknown {
                key: key.to_owned(),
                near,
                origin,
            });
        };
        let wanted = match (known, &value) {
            (Value::Integer(_), Value::Integer(number)) if *number >= 0 => None,
            (Value::Integer(_), _) => Some("a number"),
            (Value::Boolean(_), Value::Boolean(_)) => None,
            (Value::Boolean(_), _) => Some("true or false"),
            (Value::Array(_), Value::Array(_)) => None,
            (Value::Array(_), _) => Some("a list"),
            (Value::String(_), Value::String(_)) => None,
            (Value::String(_), _) => Some("a text in quotes"),
            _ => None,
        };
        if let Some(wanted) = wanted {
            return Err(kind(key, &value, wanted, &origin));
        }
        self.values.insert(key.to_owned(), (value, origin));
        Ok(())
    }

    /// A value as text.
    #[must_use]
    pub fn text(&self, key: &str) -> &str {
        self.values
            .get(key)
            .and_then(|(value, _)| value.as_str())
            .unwrap_or_default()
    }

    /// A value as a number.
    #[must_use]
    pub fn number(&self, key: &str) -> u64 {
        let value = self
            .values
            .get(key)
            .and_then(|(value, _)| value.as_integer());
        value
            .and_then(|number| u64::try_from(number).ok())
            .unwrap_or_default()
    }

    /// A value as a boolean.
    #[must_use]
    pub fn flag(&self, key: &str) -> bool {
        let value = self.values.get(key);
        value
            .and_then(|(value, _)| value.as_bool())
            .unwrap_or_default()
    }

    /// A list, each item as text.
    #[must_use]
    pub fn list(&self, key: &str) -> Vec<String> {
        let items = self.values.get(key).and_then(|(value, _)| value.as_array());
        let text = |item: &Value| match item {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        items
            .map(|items| items.iter().map(text).collect())
            .unwrap_or_default()
    }

    /// The origin of a value.
    #[must_use]
    pub fn origin(&self, key: &str) -> Origin {
        self.values
            .get(key)
            .map_or(Origin::Default, |(_, origin)| origin.clone())
    }

    /// Every key, its value as TOML and its origin.
    pub fn all(&self) -> impl Iterator<Item = (&str, String, &Origin)> {
        self.values
            .iter()
            .map(|(key, (value, origin))| (key.as_str(), value.to_string(), origin))
    }
}

/// The variable of a key.
pub(super) fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "_").to_uppercase())
}

fn parse(text: &str, origin: &Origin) -> Result<Table, LayerError> {
    text.parse()
        .map_err(|error: toml::de::Error| LayerError::Syntax {
            origin: origin.clone(),
            reason: error.to_string(),
        })
}

fn kind(key: &str, value: &Value, wanted: &'static str, origin: &Origin) -> LayerError {
    LayerError::Kind {
        key: key.to_owned(),
        value: value.to_string(),
        wanted,
        origin: origin.clone(),
    }
}

fn flatten(prefix: &str, table: Table, take: &mut impl FnMut(String, Value)) {
    for (key, value) in table {
        let key = if prefix.is_empty() {
            key
        } else {
            format!("{prefix}.{key}")
        };
        match value {
            Value::Table(table) => flatten(&key, table, take),
            value => take(key, value),
        }
    }
}

pub(super) fn nearest<'a>(
    word: &str,
    words: impl IntoIterator<Item = &'a String>,
) -> Option<String> {
    let distance = |known: &String| strsim::damerau_levenshtein(word, known);
    let near = words.into_iter().min_by_key(|known| distance(known))?;
    (distance(near) <= 3).then(|| near.clone())
}

#[cfg(test)]
mod tests {
    use super::{LayerError, Layers, Origin};

    const DEFAULTS: &str = "a = \"1\"\nlist = []\n[limits]\nmost = 3\n";

    fn variables(pairs: &[(&str, &str)]) -> std::vec::IntoIter<(String, String)> {
        let owned = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        owned.collect::<Vec<_>>().into_iter()
    }

    #[test]
    fn a_higher_layer_wins_and_each_value_knows_where_it_came_from() {
        let mut layers = Layers::defaults(DEFAULTS).expect("defaults");
        layers
            .file("f.toml", "a = \"2\"\nlist = [1, \"x\"]\n[limits]\nmost = 4")
            .expect("file");
        layers
            .environment(variables(&[
                ("CAPTURED_LIMITS_MOST", "5"),
                ("PATH", "/bin"),
            ]))
            .expect("environment");
        layers
            .set_text("a", "3", Origin::Flag("--a".to_owned()))
            .expect("flag");
        assert_eq!((layers.text("a"), layers.number("limits.most")), ("3", 5));
        assert_eq!(layers.list("list"), ["1", "x"]);
        assert_eq!(layers.origin("a"), Origin::Flag("--a".to_owned()));
        assert_eq!(layers.origin("list"), Origin::File("f.toml".to_owned()));
        let variable = Origin::Environment("CAPTURED_LIMITS_MOST".to_owned());
        assert_eq!(layers.origin("limits.most"), variable);
    }

    #[test]
    fn what_is_not_known_or_of_another_kind_is_refused() {
        let layers = || Layers::defaults(DEFAULTS).expect("defaults");
        let error = layers()
            .file("f", "[limits]\nmots = 4")
            .expect_err("unknown");
        assert!(
            error.to_string().contains("did you mean \"limits.most\"?"),
            "{error}"
        );
        assert!(
            layers()
                .environment(variables(&[("CAPTURED_B", "5")]))
                .is_err()
        );
        for wrong in [
            "a = 1",
            "list = \"x\"",
            "[limits]\nmost = \"x\"",
            "[limits]\nmost = -1",
        ] {
            let error = layers().file("f", wrong).expect_err(wrong);
            assert!(matches!(error, LayerError::Kind { .. }), "{wrong}: {error}");
        }
        assert!(layers().file("f", "a = ").is_err());
        assert!(
            layers()
                .environment(variables(&[("CAPTURED_LIMITS_MOST", "x")]))
                .is_err()
        );
    }
}
