"""What is answered to Prometheus."""

from collections.abc import Mapping

from holdfast.doors.http.described import Described, Text

DESCRIBED: Mapping[str, Described] = {
    "GET /metrics": Described("metrics", {200: Text("text/plain", "Samples in Prometheus's text format.")}),
}
