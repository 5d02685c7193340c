//! The health score, term by term.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// 100, less the points of each term.
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
    /// Up to this value nothing is subtracted.
    pub good: f64,
    /// From this value on the whole weight is subtracted.
    pub bad: f64,
    /// Its weight: the most it can subtract.
    pub weight: f64,
    /// The points it subtracted.
    pub taken: f64,
    /// The number of samples, so that a share of few samples is recognisable.
    pub of: u64,
}
