// Package monitoring holds the dashboard (deploy/grafana) and the alert rules (deploy/prometheus) to what an engine really
// gives. It has tests only.
//
// It is a module of its own because it evaluates queries with Prometheus's own engine (promql), which nothing that ships
// needs. It starts the real program (`wattline demo`), scrapes it, and lets every query and rule run on those samples; what
// a healthy engine never shows is in testdata/scenarios.yaml.
//
// Invariants:
//
//   - M1 every query and rule parses, and names only metrics and labels that a running engine gives.
//   - M2 every panel shows something on a healthy engine; no rule fires on one.
//   - M3 every rule fires in a scenario, with the labels that its texts use, and stops when that is over; each leads to a
//     page of the runbook that exists.
//   - M4 every metric of ours is on the dashboard or in a rule.
package monitoring
