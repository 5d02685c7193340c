//! Clients of the configuration file.

use serde::Deserialize;

use crate::tls::Name;
use capture_types::Role;

/// A `[[client]]` as written in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    cn: Option<String>,
    san: Option<String>,
    role: RawRole,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawRole {
    Viewer,
    Operator,
}

/// Parses a client: the name in its certificate, and its role.
pub(super) fn entry(value: &toml::Value) -> Result<(Name, Role), String> {
    let raw: Raw = value
        .clone()
        .try_into()
        .map_err(|error: toml::de::Error| error.to_string().trim_end().to_owned())?;
    let name = match (raw.cn, raw.san) {
        (Some(cn), None) if cn.is_empty() => return Err("cn: it is empty".to_owned()),
        (Some(cn), None) => Name::Common(cn),
        (None, Some(san)) => Name::alternative(&san).map_err(|error| format!("san: {error}"))?,
        _ => {
            return Err(
                "give either cn, as in cn = \"alice\", or san, as in san = \"URI:spiffe://lab/alice\""
                    .to_owned(),
            );
        }
    };
    let role = match raw.role {
        RawRole::Viewer => Role::Viewer,
        RawRole::Operator => Role::Operator,
    };
    Ok((name, role))
}
