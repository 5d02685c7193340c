"""Reads documents back with the client that users have, and prints what a test compares."""

import json
import sys

from opensearchpy import OpenSearch

url, index = sys.argv[1:]
client = OpenSearch(hosts=[url])
client.indices.refresh(index=index)
answer = client.search(
    index=index,
    body={
        "size": 0,
        "query": {"term": {"event.dataset": "capture.flow"}},
        "aggs": {
            "servers": {"terms": {"field": "destination.ip"}, "aggs": {"bytes": {"sum": {"field": "network.bytes"}}}},
            "over_time": {"date_histogram": {"field": "@timestamp", "fixed_interval": "1s"}},
        },
    },
)
servers = answer["aggregations"]["servers"]["buckets"]
over_time = answer["aggregations"]["over_time"]["buckets"]
print(
    json.dumps(
        {
            "count": client.count(index=index)["count"],
            "servers": {one["key"]: one["bytes"]["value"] for one in servers},
            "over_time": sum(one["doc_count"] for one in over_time),
            "in_network": client.count(index=index, body={"query": {"term": {"source.ip": "10.0.0.0/24"}}})["count"],
        }
    )
)
