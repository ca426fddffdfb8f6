// Package config is Wattline's configuration: one YAML file, overridden by environment variables.
//
// It owns the list of keys with their units, defaults and words (keys.go: the one table that reading, `wattline
// config show` and docs/CONFIG.md are made of), and every message about a faulty one. It does NOT own what a value
// does: cmd turns a Config into the Configs of the packages, which know no file and no environment.
//
// Invariants:
//
//   - G1 one table: a key that is not in keys() does not exist, and one that is there can be set in the file and by
//     its variable (WATTLINE_ and the path in capitals, points as underscores), and is documented.
//   - G2 no silence: an unknown key or WATTLINE_ variable is a fault with the nearest one that exists. All faults
//     are told at once, each with its path and place.
//   - G3 secrets come from the file, a file of their own, or the environment, and are never shown.
package config
