//! The health score, term by term.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// 100 less what each term takes off.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// From 0 to 100; absent where nothing could be measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// The terms; those that could not be measured are absent.
    pub terms: Vec<Term>,
}

/// A term of the health score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Term {
    /// Its name.
    pub name: String,
    /// What was measured.
    pub measured: f64,
    /// In what unit.
    pub unit: String,
    /// Up to here it takes nothing off.
    pub good: f64,
    /// From here on it takes off all its weight.
    pub bad: f64,
    /// What it can take off.
    pub weight: f64,
    /// What it took off.
    pub taken: f64,
    /// Of how many it was measured, so that a share of little is seen as one.
    pub of: u64,
}
