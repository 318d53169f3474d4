package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"github.com/image2ipfs/image2ipfs/internal/metric"
	"github.com/image2ipfs/image2ipfs/ipfs/names"
	"github.com/image2ipfs/image2ipfs/ipfs/network"
	"github.com/image2ipfs/image2ipfs/server"
)

// writeMetricsPage writes the page of what /metrics tells.
func writeMetricsPage(file string) error {
	var page bytes.Buffer
	page.WriteString("<!-- Made by \"make docs\" from the metrics that the packages declare. -->\n\n# Metrics\n\n" +
		"What `image2ipfs serve` tells at `/metrics`, or with `--metrics` on an address of its own, in Prometheus' text format. " +
		"Beside these there are the `go_…` and `process_…` of Prometheus' Go library. No label has a value that a client chooses. " +
		"[Alert rules and a dashboard](../monitoring.md) are made of them.\n")
	for _, part := range []struct {
		title string
		all   []*metric.Metric
	}{
		{"Of every server", server.Metrics()},
		{"With names that move", names.Metrics()},
		{"With peers", network.Metrics()},
	} {
		fmt.Fprintf(&page, "\n## %s\n\n| name | type | labels | unit | |\n|---|---|---|---|---|\n", part.title)
		for _, m := range part.all {
			labels := ""
			if len(m.Labels) > 0 {
				labels = "`" + strings.Join(m.Labels, "`, `") + "`"
			}
			fmt.Fprintf(&page, "| `%s` | %s | %s | %s | %s |\n", m.Name, m.Type, labels, m.Unit(), m.Help)
		}
	}
	return os.WriteFile(file, page.Bytes(), 0o644)
}
