// Package config is what an engine can be told: the fields with effect, unit and default, their defaults and their faults.
// It owns no behaviour; package engine does what the fields say, and has Config under its own name too.
package config
