// Package analytics asks the questions: the named views over the tables of connectors/clickhouse, on which analysts,
// pages and reports rely.
//
// It owns the SQL of the views, their columns, types and comments: docs/ANALYSTS.md is written from them. It does NOT
// own the tables, nor a connection: cmd hands the views to the store, which creates them.
//
// Invariants:
//
//   - A1 exact: money and energy are Decimal, made from integers by exact division; no view rounds or uses a float.
//   - A2 once: no row of charges counts twice in a view, and of versions of sessions only the newest counts.
//   - A3 explained: every view and every column has a comment with its unit.
package analytics
