//! A search cluster as a sink: Elasticsearch, OpenSearch, or what speaks their bulk API.

mod answer;
mod batch;
mod bulk;
mod client;
mod counts;
mod dead_letters;
mod endpoints;
mod flows;
mod probe;
mod refusals;
mod settings;
mod setup;
mod sink;

pub use client::ClientError;
pub use counts::{DocumentTotals, SearchMetrics};
pub use settings::SearchSettings;
pub use setup::{Done, Flavour, SetupError, SetupOptions, saved_objects, setup};
pub use sink::{SearchError, SearchSink};
