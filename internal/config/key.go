package config

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wattline/wattline/internal/certs"
	"github.com/wattline/wattline/internal/secret"
)

// Key is one thing that can be configured.
type Key struct {
	Path    string // section.name
	Kind    string // what a value looks like, in words
	Unit    string // of the value; "" where it has none
	Default string // "" is empty
	Doc     string // what it does, what it costs
	Secret  bool   // never shown
	List    bool   // several values

	set func(c *Config, values []string) error
	get func(c *Config) []string
}

// Variable is the environment variable that overrides the key.
func (k *Key) Variable() string {
	return prefix + strings.ToUpper(strings.ReplaceAll(k.Path, ".", "_"))
}

// prefix begins the names of the variables that are ours.
const prefix = "WATTLINE_"

func (k *Key) defaults() []string {
	if k.Default == "" {
		return nil
	}
	return k.split(k.Default)
}

// split cuts the text of a variable into values.
func (k *Key) split(text string) []string {
	if !k.List {
		return []string{text}
	}
	var out []string
	for v := range strings.SplitSeq(text, ",") {
		if v = strings.TrimSpace(v); v != "" {
			out = append(out, v)
		}
	}
	return out
}

// single makes a key of one value out of its reader and writer. No value, or an empty one, means empty.
func single(path, kind, unit, def, doc string, set func(c *Config, text string) error, get func(c *Config) string) Key {
	return Key{
		Path: path, Kind: kind, Unit: unit, Default: def, Doc: doc,
		set: func(c *Config, values []string) error {
			switch len(values) {
			case 0:
				return set(c, "")
			case 1:
				return set(c, values[0])
			}
			return fmt.Errorf("has %d values, takes one", len(values))
		},
		get: func(c *Config) []string { return []string{get(c)} },
	}
}

func text(path, kind, def, doc string, field func(*Config) *string, checks ...func(string) error) Key {
	return single(path, kind, "", def, doc, func(c *Config, v string) error {
		for _, check := range checks {
			if err := check(v); err != nil {
				return err
			}
		}
		*field(c) = v
		return nil
	}, func(c *Config) string { return *field(c) })
}

func choice(path, def, doc string, field func(*Config) *string, of ...string) Key {
	return text(path, strings.Join(of, " | "), def, doc, field, func(v string) error {
		if slices.Contains(of, v) {
			return nil
		}
		return fmt.Errorf("%q is none of %s", v, strings.Join(of, ", "))
	})
}

func password(path, doc string, field func(*Config) *secret.Text) Key {
	k := single(path, "text", "", "", doc, func(c *Config, v string) error {
		*field(c) = secret.New(v)
		return nil
	}, func(c *Config) string { return field(c).String() })
	k.Secret = true
	return k
}

func duration(path, def, doc string, least, most time.Duration, field func(*Config) *time.Duration) Key {
	return single(path, "duration", "ms, s, m or h", def, doc, func(c *Config, v string) error {
		d, err := time.ParseDuration(v)
		if err != nil {
			return fmt.Errorf("%q is not a duration, such as 5s", v)
		}
		if d < least || d > most {
			return fmt.Errorf("%s is not between %s and %s", v, shortDuration(least), shortDuration(most))
		}
		if d%time.Millisecond != 0 {
			return fmt.Errorf("%s is not a whole number of milliseconds", v)
		}
		*field(c) = d
		return nil
	}, func(c *Config) string { return shortDuration(*field(c)) })
}

func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

func number(path, unit, def, doc string, least, most int64, field func(*Config) *int64) Key {
	return single(path, "number", unit, def, doc, func(c *Config, v string) error {
		n, err := strconv.ParseInt(strings.ReplaceAll(v, "_", ""), 10, 64)
		if err != nil {
			return fmt.Errorf("%q is not a whole number", v)
		}
		if n < least || n > most {
			return fmt.Errorf("%d is not between %d and %d", n, least, most)
		}
		*field(c) = n
		return nil
	}, func(c *Config) string { return strconv.FormatInt(*field(c), 10) })
}

func size(path, def, doc string, least, most int64, field func(*Config) *int64) Key {
	return single(path, "size", "B, KiB, MiB or GiB", def, doc, func(c *Config, v string) error {
		n, err := parseSize(v)
		if err != nil {
			return err
		}
		if n < least || n > most {
			return fmt.Errorf("%s is not between %s and %s", v, formatSize(least), formatSize(most))
		}
		*field(c) = n
		return nil
	}, func(c *Config) string { return formatSize(*field(c)) })
}

func parseSize(v string) (int64, error) {
	digits := strings.TrimRight(v, "BKMGib ")
	unit := strings.TrimSpace(v[len(digits):])
	shift, ok := map[string]uint{"": 0, "B": 0, "KiB": 10, "MiB": 20, "GiB": 30}[unit]
	n, err := strconv.ParseInt(strings.ReplaceAll(digits, "_", ""), 10, 64)
	if err != nil || !ok || n < 0 || n > 1<<62>>shift {
		return 0, fmt.Errorf("%q is not a size: a whole number and B, KiB, MiB or GiB", v)
	}
	return n << shift, nil
}

func formatSize(n int64) string {
	for shift, unit := uint(30), 0; shift > 0; shift, unit = shift-10, unit+1 {
		if n != 0 && n%(1<<shift) == 0 {
			return strconv.FormatInt(n>>shift, 10) + [...]string{"GiB", "MiB", "KiB"}[unit]
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}

func yes(path, def, doc string, field func(*Config) *bool) Key {
	return single(path, "true | false", "", def, doc, func(c *Config, v string) error {
		switch v {
		case "true", "yes", "on", "1":
			*field(c) = true
		case "false", "no", "off", "0":
			*field(c) = false
		default:
			return fmt.Errorf("%q is neither true nor false", v)
		}
		return nil
	}, func(c *Config) string { return strconv.FormatBool(*field(c)) })
}

func list(path, kind, def, doc string, field func(*Config) *[]string, check func(string) error) Key {
	return Key{
		Path: path, Kind: kind, Default: def, Doc: doc, List: true,
		set: func(c *Config, values []string) error {
			var errs []error
			for i, v := range values {
				if err := check(v); err != nil {
					errs = append(errs, fmt.Errorf("value %d: %w", i+1, err))
				}
			}
			*field(c) = slices.Clone(values)
			return errors.Join(errs...)
		},
		get: func(c *Config) []string { return slices.Clone(*field(c)) },
	}
}

func hostPort(v string) error {
	host, port, err := net.SplitHostPort(v)
	if err != nil || host == "" {
		return fmt.Errorf("%q is not host:port", v)
	}
	return portNumber(v, port)
}

// listenAddress takes an empty host, which is all of the machine's addresses, and "" for nothing.
func listenAddress(v string) error {
	if v == "" {
		return nil
	}
	_, port, err := net.SplitHostPort(v)
	if err != nil {
		return fmt.Errorf("%q is not host:port", v)
	}
	return portNumber(v, port)
}

func portNumber(v, port string) error {
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("%q has no port between 0 and 65535", v)
	}
	return nil
}

// loopback: the embedded Kafka has no TLS.
func loopback(v string) error {
	if err := hostPort(v); err != nil {
		return err
	}
	if !certs.LoopbackAddr(v) {
		return fmt.Errorf("%q is not an address of this machine alone; the embedded Kafka has no TLS", v)
	}
	return nil
}

func notEmpty(v string) error {
	if v == "" {
		return errors.New("is empty")
	}
	return nil
}

// topicName is Kafka's rule for the names of topics.
func topicName(v string) error {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
	if v == "" || v == "." || v == ".." || len(v) > 249 || strings.Trim(v, letters) != "" {
		return fmt.Errorf("%q is not a name for a topic: at most 249 letters, digits, points, lines and underscores", v)
	}
	return nil
}
