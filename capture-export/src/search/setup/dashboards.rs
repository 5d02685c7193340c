//! Dashboards as saved objects of Kibana and OpenSearch Dashboards: an index pattern, charts, and one dashboard
//! that shows them. Both read charts of this kind, which are described by their aggregations.

use serde_json::{Value, json};

/// Whose saved objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// Kibana's.
    Kibana,
    /// Those of OpenSearch Dashboards.
    OpenSearch,
}

impl Flavour {
    /// The header that an import needs.
    pub(super) const fn header(self) -> &'static str {
        match self {
            Self::Kibana => "kbn-xsrf",
            Self::OpenSearch => "osd-xsrf",
        }
    }

    /// The version whose form the objects have; later ones convert them.
    const fn version(self) -> &'static str {
        match self {
            Self::Kibana => "7.17.0",
            Self::OpenSearch => "1.0.0",
        }
    }
}

/// How a chart looks.
#[derive(Clone, Copy)]
enum Look {
    /// Over time.
    Line,
    /// A table of the most frequent.
    Table,
    /// A number.
    Number,
}

struct Chart {
    id: &'static str,
    title: &'static str,
    /// In the query language that both know.
    query: &'static str,
    look: Look,
    /// Aggregations of numbers: the function, the field (none for a count), the label.
    numbers: &'static [(&'static str, &'static str, &'static str)],
    /// The field by whose values they are split, and how many of these.
    by: Option<(&'static str, u32)>,
    /// Columns, rows, width and height, of 48 columns.
    place: [u32; 4],
}

const TITLE: &str = "Captured traffic";
const PATTERN: &str = "capture-index-pattern";
const DASHBOARD: &str = "capture-dashboard";

#[rustfmt::skip]
const CHARTS: &[Chart] = &[
    Chart {
        id: "capture-flows-over-time", title: "Flows over time by transport", query: "event.dataset: capture.flow",
        look: Look::Line, numbers: &[("count", "", "Flow segments")], by: Some(("network.transport", 5)), place: [0, 0, 24, 12],
    },
    Chart {
        id: "capture-bytes-over-time", title: "Bytes over time by server port", query: "event.dataset: capture.flow",
        look: Look::Line, numbers: &[("sum", "network.bytes", "Bytes")], by: Some(("destination.port", 10)), place: [24, 0, 24, 12],
    },
    Chart {
        id: "capture-top-clients", title: "Clients with the most bytes", query: "event.dataset: capture.flow",
        look: Look::Table, numbers: &[("sum", "network.bytes", "Bytes"), ("count", "", "Flow segments")], by: Some(("source.ip", 20)), place: [0, 12, 16, 14],
    },
    Chart {
        id: "capture-top-servers", title: "Servers with the most bytes", query: "event.dataset: capture.flow",
        look: Look::Table, numbers: &[("sum", "network.bytes", "Bytes"), ("count", "", "Flow segments")], by: Some(("destination.ip", 20)), place: [16, 12, 16, 14],
    },
    Chart {
        id: "capture-top-pods", title: "Pods with the most bytes", query: "event.dataset: capture.flow",
        look: Look::Table, numbers: &[("sum", "network.bytes", "Bytes"), ("count", "", "Flow segments")], by: Some(("kubernetes.pod.name", 20)), place: [32, 12, 16, 14],
    },
    Chart {
        id: "capture-dns-failures", title: "DNS failures over time", query: "event.dataset: capture.dns and event.outcome: failure",
        look: Look::Line, numbers: &[("count", "", "Questions")], by: Some(("dns.response_code", 8)), place: [0, 26, 16, 12],
    },
    Chart {
        id: "capture-dns-names", title: "Names that failed", query: "event.dataset: capture.dns and event.outcome: failure",
        look: Look::Table, numbers: &[("count", "", "Questions"), ("max", "event.duration", "Longest answer, ns")], by: Some(("dns.question.name", 20)), place: [16, 26, 16, 12],
    },
    Chart {
        id: "capture-tls-failures", title: "TLS handshakes that failed", query: "event.dataset: capture.tls and tls.established: false",
        look: Look::Table, numbers: &[("count", "", "Handshakes")], by: Some(("tls.client.server_name", 20)), place: [32, 26, 16, 12],
    },
    Chart {
        id: "capture-tcp-health", title: "TCP: sent again, out of order, lost", query: "event.dataset: capture.flow and network.transport: tcp",
        look: Look::Line,
        numbers: &[
            ("sum", "capture.tcp.retransmissions", "Sent again"), ("sum", "capture.tcp.out_of_order", "Out of order"),
            ("sum", "capture.tcp.lost_segments", "Not in the capture"),
        ],
        by: None, place: [0, 38, 24, 12],
    },
    Chart {
        id: "capture-tcp-opened", title: "TCP connections by how they began", query: "event.dataset: capture.flow and network.transport: tcp",
        look: Look::Table, numbers: &[("count", "", "Flow segments"), ("avg", "capture.tcp.handshake", "Mean handshake, ns")], by: Some(("capture.tcp.opened", 6)), place: [24, 38, 12, 12],
    },
    Chart {
        id: "capture-http-errors", title: "HTTP responses by status", query: "event.dataset: capture.http",
        look: Look::Table, numbers: &[("count", "", "Responses"), ("avg", "event.duration", "Mean response, ns")], by: Some(("http.response.status_code", 12)), place: [36, 38, 12, 12],
    },
    Chart {
        id: "capture-findings", title: "Findings", query: "event.dataset: capture.finding",
        look: Look::Table, numbers: &[("count", "", "Findings"), ("max", "event.severity", "Worst severity")], by: Some(("rule.name", 20)), place: [0, 50, 36, 12],
    },
    Chart {
        id: "capture-segments", title: "Flow segments", query: "event.dataset: capture.flow",
        look: Look::Number, numbers: &[("count", "", "Flow segments")], by: None, place: [36, 50, 12, 12],
    },
];

/// The saved objects of all dashboards, one per line, for documents in `index`.
#[must_use]
pub fn saved_objects(flavour: Flavour, index: &str) -> String {
    let charts = CHARTS.iter().map(|chart| visualization(flavour, chart));
    let objects = std::iter::once(index_pattern(flavour, index))
        .chain(charts)
        .chain(std::iter::once(dashboard(flavour)));
    objects.map(|object| format!("{object}\n")).collect()
}

fn object(flavour: Flavour, kind: &str, id: &str, attributes: Value, references: Value) -> Value {
    let mut migrations = serde_json::Map::new();
    // OpenSearch Dashboards knows index patterns since 7.6 of its forerunner, and the others since 7.9.
    let version = match (flavour, kind) {
        (Flavour::Kibana, "index-pattern") => "7.11.0",
        (Flavour::Kibana, _) => flavour.version(),
        (Flavour::OpenSearch, "index-pattern") => "7.6.0",
        (Flavour::OpenSearch, "visualization") => "7.10.0",
        (Flavour::OpenSearch, _) => "7.9.3",
    };
    migrations.insert(kind.to_owned(), version.into());
    json!({
        "type": kind,
        "id": id,
        "attributes": attributes,
        "references": references,
        "migrationVersion": migrations,
    })
}

fn index_pattern(flavour: Flavour, index: &str) -> Value {
    let attributes = json!({"title": format!("{index}*"), "timeFieldName": "@timestamp"});
    object(flavour, "index-pattern", PATTERN, attributes, json!([]))
}

fn visualization(flavour: Flavour, chart: &Chart) -> Value {
    let state = json!({
        "title": chart.title,
        "type": match chart.look {
            Look::Line => "line",
            Look::Table => "table",
            Look::Number => "metric",
        },
        "aggs": aggregations(chart),
        "params": parameters(chart),
    });
    let source = json!({
        "query": {"query": chart.query, "language": "kuery"},
        "filter": [],
        "indexRefName": "kibanaSavedObjectMeta.searchSourceJSON.index",
    });
    let attributes = json!({
        "title": format!("{TITLE}: {}", chart.title),
        "description": "",
        "version": 1,
        "uiStateJSON": "{}",
        "visState": state.to_string(),
        "kibanaSavedObjectMeta": {"searchSourceJSON": source.to_string()},
    });
    let references = json!([{
        "name": "kibanaSavedObjectMeta.searchSourceJSON.index",
        "type": "index-pattern",
        "id": PATTERN,
    }]);
    object(flavour, "visualization", chart.id, attributes, references)
}

fn aggregations(chart: &Chart) -> Vec<Value> {
    let mut aggregations = Vec::new();
    for (at, (function, field, label)) in chart.numbers.iter().enumerate() {
        let mut parameters = json!({"customLabel": label});
        if !field.is_empty() {
            parameters["field"] = (*field).into();
        }
        aggregations.push(json!({
            "id": (at + 1).to_string(),
            "enabled": true,
            "type": function,
            "schema": "metric",
            "params": parameters,
        }));
    }
    if matches!(chart.look, Look::Line) {
        aggregations.push(json!({
            "id": "20",
            "enabled": true,
            "type": "date_histogram",
            "schema": "segment",
            "params": {
                "field": "@timestamp",
                "interval": "auto",
                "min_doc_count": 0,
                "drop_partials": false,
                "extended_bounds": {},
            },
        }));
    }
    if let Some((field, size)) = chart.by {
        let schema = match chart.look {
            Look::Line => "group",
            Look::Table | Look::Number => "bucket",
        };
        aggregations.push(json!({
            "id": "30",
            "enabled": true,
            "type": "terms",
            "schema": schema,
            "params": {
                "field": field,
                "orderBy": "1",
                "order": "desc",
                "size": size,
                "otherBucket": false,
                "missingBucket": false,
            },
        }));
    }
    aggregations
}

fn parameters(chart: &Chart) -> Value {
    match chart.look {
        Look::Line => {
            let series = chart.numbers.iter().enumerate();
            let series = series.map(|(at, (_, _, label))| {
                json!({
                    "show": true,
                    "type": "line",
                    "mode": "normal",
                    "data": {"id": (at + 1).to_string(), "label": label},
                    "valueAxis": "ValueAxis-1",
                    "drawLinesBetweenPoints": true,
                    "showCircles": false,
                    "lineWidth": 2,
                })
            });
            json!({
                "type": "line",
                "addTooltip": true,
                "addLegend": true,
                "legendPosition": "right",
                "grid": {"categoryLines": false},
                "categoryAxes": [{
                    "id": "CategoryAxis-1", "type": "category", "position": "bottom", "show": true,
                    "scale": {"type": "linear"}, "labels": {"show": true, "filter": true}, "title": {},
                }],
                "valueAxes": [{
                    "id": "ValueAxis-1", "name": "LeftAxis-1", "type": "value", "position": "left", "show": true,
                    "scale": {"type": "linear", "mode": "normal"}, "labels": {"show": true}, "title": {},
                }],
                "seriesParams": series.collect::<Vec<_>>(),
                "times": [],
            })
        }
        Look::Table => json!({
            "perPage": 10,
            "showPartialRows": false,
            "showMetricsAtAllLevels": false,
            "showTotal": false,
            "totalFunc": "sum",
        }),
        Look::Number => json!({
            "addTooltip": true,
            "addLegend": false,
            "type": "metric",
            "metric": {"labels": {"show": true}, "style": {"fontSize": 48}},
        }),
    }
}

fn dashboard(flavour: Flavour) -> Value {
    let (mut panels, mut references) = (Vec::new(), Vec::new());
    for (at, chart) in CHARTS.iter().enumerate() {
        let number = (at + 1).to_string();
        let name = format!("panel_{at}");
        let [x, y, w, h] = chart.place;
        panels.push(json!({
            "panelIndex": number,
            "gridData": {"x": x, "y": y, "w": w, "h": h, "i": number},
            "version": flavour.version(),
            "embeddableConfig": {},
            "panelRefName": name,
        }));
        references.push(json!({"name": name, "type": "visualization", "id": chart.id}));
    }
    let source = json!({"query": {"query": "", "language": "kuery"}, "filter": []});
    let attributes = json!({
        "title": TITLE,
        "description": "Flows over time, top talkers, DNS and TLS failures, TCP health, findings",
        "version": 1,
        "hits": 0,
        "timeRestore": false,
        "optionsJSON": json!({"useMargins": true, "hidePanelTitles": false}).to_string(),
        "panelsJSON": Value::from(panels).to_string(),
        "kibanaSavedObjectMeta": {"searchSourceJSON": source.to_string()},
    });
    object(
        flavour,
        "dashboard",
        DASHBOARD,
        attributes,
        references.into(),
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::{CHARTS, Flavour, saved_objects};
    use crate::documents::{FIELDS, Type};

    #[test]
    fn charts_ask_for_fields_that_documents_have_and_that_can_be_counted() {
        for chart in CHARTS {
            let split = chart.by.iter().map(|(field, _)| *field);
            let numbers = chart.numbers.iter().map(|(_, field, _)| *field);
            let asked = chart.query.split(" and ");
            let asked = asked.map(|part| part.split(':').next().unwrap());
            for path in split
                .chain(numbers)
                .chain(asked)
                .filter(|path| !path.is_empty())
            {
                let field = FIELDS.iter().find(|field| field.path == path);
                let field = field.unwrap_or_else(|| panic!("{}: {path}", chart.id));
                assert_ne!(field.kind, Type::Text, "{path} cannot be aggregated");
            }
        }
    }

    #[test]
    fn panels_neither_overlap_nor_leave_the_grid() {
        let mut taken = BTreeSet::new();
        for chart in CHARTS {
            let [x, y, w, h] = chart.place;
            assert!(x + w <= 48, "{}", chart.id);
            for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                assert!(taken.insert(cell), "{}", chart.id);
            }
        }
    }

    #[test]
    fn references_lead_to_objects_of_the_same_file_and_texts_in_them_are_json() {
        for flavour in [Flavour::Kibana, Flavour::OpenSearch] {
            let text = saved_objects(flavour, "capture");
            let objects: Vec<Value> = text
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect();
            assert_eq!(objects.len(), CHARTS.len() + 2);
            let known: BTreeSet<_> = objects
                .iter()
                .map(|object| {
                    (
                        object["type"].as_str().unwrap(),
                        object["id"].as_str().unwrap(),
                    )
                })
                .collect();
            assert_eq!(known.len(), objects.len());
            for object in &objects {
                for reference in object["references"].as_array().unwrap() {
                    let kind = reference["type"].as_str().unwrap();
                    assert!(known.contains(&(kind, reference["id"].as_str().unwrap())));
                }
                for name in ["visState", "panelsJSON", "optionsJSON"] {
                    if let Some(text) = object["attributes"][name].as_str() {
                        serde_json::from_str::<Value>(text).unwrap();
                    }
                }
            }
        }
    }

    #[test]
    fn the_files_in_deploy_are_these_objects() {
        for (flavour, name) in [
            (Flavour::Kibana, "kibana"),
            (Flavour::OpenSearch, "opensearch"),
        ] {
            let path = format!(
                "{}/../deploy/dashboards/{name}.ndjson",
                env!("CARGO_MANIFEST_DIR")
            );
            let objects = saved_objects(flavour, "capture");
            if std::env::var_os("CAPTURE_DOCS").is_some_and(|what| what == "write") {
                std::fs::write(&path, &objects).unwrap();
            }
            let file = std::fs::read_to_string(&path).unwrap();
            assert!(
                file == objects,
                "{path} is not up to date: run CAPTURE_DOCS=write cargo test -p capture-export dashboards"
            );
        }
    }
}
