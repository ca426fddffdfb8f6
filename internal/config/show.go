package config

import (
	"fmt"
	"strings"
)

// Show writes c as a YAML file with a comment at each key: unit, default, variable, and where the value came from.
// Secrets are not shown (G3).
func (c *Config) Show() string {
	var b strings.Builder
	section := ""
	for _, k := range keys() {
		s, name, _ := strings.Cut(k.Path, ".")
		if s != section {
			if section != "" {
				b.WriteByte('\n')
			}
			section = s
			fmt.Fprintf(&b, "%s:\n", s)
		}
		for line := range strings.SplitSeq(wrap(k.Doc, 100), "\n") {
			fmt.Fprintf(&b, "  # %s\n", line)
		}
		from := "default"
		if o, ok := c.origin[k.Path]; ok {
			from = o.String()
		}
		if k.Secret && k.get(c)[0] != "" {
			name = "# " + name // the output is a configuration, and this is not its value
		}
		fmt.Fprintf(&b, "  %s: %s # %s; default %s; %s; from %s\n", name, k.yaml(c), k.kind(), quoted(k.Default), k.Variable(), from)
	}
	return b.String()
}

// kind is Kind with its unit.
func (k *Key) kind() string {
	if k.Unit == "" {
		return k.Kind
	}
	return k.Kind + ", " + k.Unit
}

func quoted(v string) string {
	if v == "" {
		return "empty"
	}
	return v
}

// yaml is the value as YAML.
func (k *Key) yaml(c *Config) string {
	values := k.get(c)
	if k.Secret {
		if values[0] == "" {
			return `""`
		}
		return "(set, not shown)"
	}
	if !k.List {
		return scalar(values[0])
	}
	for i := range values {
		values[i] = scalar(values[i])
	}
	return "[" + strings.Join(values, ", ") + "]"
}

// scalar quotes what YAML might take for something else than text.
func scalar(v string) string {
	if v == "" || strings.ContainsAny(v, ":#,[]{}&*!|>'\"%@`\\ \t\n") || v[0] == '-' || v[0] == '?' {
		return fmt.Sprintf("%q", v)
	}
	return v
}

// Markdown is docs/CONFIG.md.
func Markdown() string {
	var b strings.Builder
	b.WriteString(`# Configuration

Wattline reads one YAML file (` + "`--config FILE`, or the file that `WATTLINE_CONFIG` names" + `) and then the environment, which wins. Nothing has
to be given: without addresses Kafka and ClickHouse run inside the process.

- ` + "`wattline config check [--config FILE]`" + ` names every fault with its path and place. An unknown key is one. Then it asks the
  broker and the store (not with ` + "`--offline`" + `): topics, retention, timestamps, replicas, sizes of messages, how long offsets and
  the tokens of inserts are kept, fsync, rights, versions and clocks; a line each, with what to do. ` + "`--json`" + ` for programs.
- ` + "`wattline config show [--config FILE]`" + ` prints the values that hold, and where each came from. It is a configuration
  file itself.
- Secrets come from the file, from a file of their own (` + "`..._file`" + `), or from the environment, never from flags.
- A variable takes a list with commas: ` + "`WATTLINE_KAFKA_BROKERS=a:9092,b:9092`" + `.

This page is made from the table in ` + "`internal/config/keys.go`" + ` by ` + "`go test ./internal/config -update`" + `.
`)
	section := ""
	for _, k := range keys() {
		s, _, _ := strings.Cut(k.Path, ".")
		if s != section {
			section = s
			fmt.Fprintf(&b, "\n## %s\n\n| key | value | default | what it does |\n|---|---|---|---|\n", s)
		}
		fmt.Fprintf(&b, "| `%s`<br>`%s` | %s | %s | %s |\n", k.Path, k.Variable(),
			strings.ReplaceAll(k.kind(), "|", `\|`), cell(k.Default), strings.ReplaceAll(k.Doc, "|", `\|`))
	}
	return b.String()
}

func cell(v string) string {
	if v == "" {
		return "empty"
	}
	return "`" + v + "`"
}

// wrap breaks text into lines of at most width.
func wrap(text string, width int) string {
	var b strings.Builder
	n := 0
	for word := range strings.FieldsSeq(text) {
		switch {
		case n == 0:
		case n+1+len(word) > width:
			b.WriteByte('\n')
			n = 0
		default:
			b.WriteByte(' ')
			n++
		}
		b.WriteString(word)
		n += len(word)
	}
	return b.String()
}
