package config

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/wattline/wattline/internal/secret"
)

// origin is where a value was set.
type origin struct {
	file     string
	line     int
	variable string
}

func (o origin) String() string {
	switch {
	case o.variable != "":
		return o.variable
	case o.line > 0:
		return fmt.Sprintf("%s line %d", o.file, o.line)
	}
	return o.file
}

// Fault is one thing that is wrong with a configuration.
type Fault struct {
	Path    string // kafka.session_timeout; "" is the file as a whole
	Problem string
	Where   string // file and line, or the variable; "" when it is about several values
}

func (f Fault) String() string {
	s := f.Problem
	if f.Path != "" {
		s = f.Path + ": " + s
	}
	if f.Where != "" {
		s += " (" + f.Where + ")"
	}
	return s
}

// Faults is the error of a faulty configuration: everything that is wrong with it, in order.
type Faults []Fault

func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i := range f {
		lines[i] = f[i].String()
	}
	return strings.Join(lines, "\n")
}

// loader collects values and faults.
type loader struct {
	c      *Config
	keys   map[string]*Key
	faults Faults
}

// Load reads the YAML file of that name ("" for none) and the environment, given as "NAME=value". Errors: Faults,
// with all of them, or what the file system says.
func Load(file string, environment []string) (*Config, error) {
	var src []byte
	if file != "" {
		var err error
		if src, err = os.ReadFile(file); err != nil {
			return nil, fmt.Errorf("read configuration: %w", err)
		}
	}
	return Parse(src, file, environment)
}

// Parse reads a configuration from src; file is what it is called in faults. Password files are not read: see
// ReadSecrets. Errors: Faults.
func Parse(src []byte, file string, environment []string) (*Config, error) {
	l := &loader{c: Default(), keys: map[string]*Key{}}
	for _, k := range keys() {
		l.keys[k.Path] = &k
	}
	l.file(src, file)
	l.environment(environment)
	l.twoPasswords()
	l.together()
	l.secured()
	if len(l.faults) > 0 {
		return nil, l.faults
	}
	return l.c, nil
}

func (l *loader) fault(path string, where origin, format string, args ...any) {
	l.faults = append(l.faults, Fault{path, fmt.Sprintf(format, args...), where.String()})
}

func (l *loader) file(src []byte, file string) {
	var doc yaml.Node
	if err := yaml.Unmarshal(src, &doc); err != nil {
		l.fault("", origin{file: file}, "not YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))
		return
	}
	if len(doc.Content) == 0 {
		return
	}
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode {
		if root.Tag != "!!null" {
			l.fault("", origin{file: file, line: root.Line}, "is not a mapping of sections")
		}
		return
	}
	l.mapping(root, "", file)
}

// mapping reads the keys of a section, or the sections of the file.
func (l *loader) mapping(n *yaml.Node, section, file string) {
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		at := origin{file: file, line: name.Line}
		path := name.Value
		if section != "" {
			path = section + "." + path
		}
		if seen[path] {
			l.fault(path, at, "is given twice")
			continue
		}
		seen[path] = true
		if value.Kind == yaml.AliasNode {
			value = value.Alias
		}
		switch {
		case section == "" && slices.Contains(l.sections(), path):
			switch {
			case value.Kind == yaml.MappingNode:
				l.mapping(value, path, file)
			case value.Tag != "!!null":
				l.fault(path, at, "is a section, not a value")
			}
		case l.keys[path] == nil:
			l.fault(path, at, "is unknown%s", l.nearest(path, section == ""))
		default:
			l.value(l.keys[path], value, at)
		}
	}
}

func (l *loader) sections() []string {
	var list []string
	for _, k := range keys() {
		s, _, _ := strings.Cut(k.Path, ".")
		if !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	return list
}

func (l *loader) value(k *Key, n *yaml.Node, at origin) {
	values, problem := texts(k, n)
	if problem != "" {
		l.fault(k.Path, at, "%s", problem)
		return
	}
	if values == nil && n.Tag == "!!null" {
		return // said nothing: the default
	}
	l.set(k, values, at)
}

// texts turns a YAML value into the texts that a key takes.
func texts(k *Key, n *yaml.Node) (values []string, problem string) {
	switch {
	case n.Kind == yaml.ScalarNode && n.Tag == "!!null":
		return nil, ""
	case n.Kind == yaml.ScalarNode:
		return k.split(n.Value), ""
	case n.Kind == yaml.SequenceNode && k.List:
		values = []string{}
		for i, item := range n.Content {
			if item.Kind == yaml.MappingNode && k.Path == "kafka.readings" {
				v, problem := readingsMapping(item)
				if problem != "" {
					return nil, fmt.Sprintf("value %d: %s", i+1, problem)
				}
				values = append(values, v)
				continue
			}
			if item.Kind != yaml.ScalarNode {
				return nil, fmt.Sprintf("value %d is not a text", i+1)
			}
			values = append(values, item.Value)
		}
		return values, ""
	case n.Kind == yaml.SequenceNode:
		return nil, "is a list, takes one value"
	}
	return nil, "is a mapping, takes a " + k.Kind
}

// readingsMapping gives the short form of {topic, format, partitions, partitioner}.
func readingsMapping(n *yaml.Node) (short, problem string) {
	parts := map[string]string{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name := n.Content[i].Value
		if !slices.Contains([]string{"topic", "format", "partitions", "partitioner"}, name) {
			return "", fmt.Sprintf("%s is unknown; there are topic, format, partitions and partitioner", name)
		}
		parts[name] = n.Content[i+1].Value
	}
	return parts["topic"] + ":" + parts["format"] + ":" + parts["partitions"] + ":" + parts["partitioner"], ""
}

func (l *loader) set(k *Key, values []string, at origin) {
	if err := k.set(l.c, values); err != nil {
		for _, e := range split(err) {
			l.fault(k.Path, at, "%v", e)
		}
		return
	}
	l.c.origin[k.Path] = at
}

func split(err error) []error {
	if many, ok := errors.AsType[interface {
		error
		Unwrap() []error
	}](err); ok {
		return many.Unwrap()
	}
	return []error{err}
}

// serviceLink matches the variables that Kubernetes makes for services in the same namespace; one called wattline
// would give us WATTLINE_SERVICE_HOST and WATTLINE_PORT_8080_TCP_ADDR.
var serviceLink = regexp.MustCompile(`_SERVICE_HOST$|_SERVICE_PORT(_[A-Z0-9_]+)?$|_PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$`)

// notKeys are variables of ours that are no configuration: the file itself, and the library that tests use.
func notKeys() []string { return []string{"WATTLINE_CONFIG", "WATTLINE_LIBCHDB"} }

func (l *loader) environment(environment []string) {
	byName := map[string]*Key{}
	for _, k := range l.keys {
		byName[k.Variable()] = k
	}
	for _, entry := range slices.Sorted(slices.Values(environment)) {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, prefix) || slices.Contains(notKeys(), name) || strings.HasPrefix(name, prefix+"TEST_") {
			continue
		}
		k := byName[name]
		if k == nil {
			if !serviceLink.MatchString(name) {
				path := strings.ToLower(strings.Replace(strings.TrimPrefix(name, prefix), "_", ".", 1))
				l.fault(path, origin{variable: name}, "is unknown%s", l.nearest(path, false))
			}
			continue
		}
		l.set(k, k.split(value), origin{variable: name})
	}
}

// passwordFile is a password that may stand in a file of its own.
type passwordFile struct {
	path  string // of the password; that of the file ends in _file
	file  string
	value *secret.Text
	used  bool // somebody is logged in to with it
}

func (c *Config) passwordFiles() []passwordFile {
	return []passwordFile{
		{"clickhouse.password", c.ClickHouse.PasswordFile, &c.ClickHouse.Password, len(c.ClickHouse.Addr) > 0},
		{"kafka.sasl_password", c.Kafka.SASLPasswordFile, &c.Kafka.SASLPassword, c.Kafka.SASL != "none"},
		{"pyroscope.password", c.Pyroscope.PasswordFile, &c.Pyroscope.Password, c.Pyroscope.Addr != ""},
	}
}

func (l *loader) twoPasswords() {
	for _, p := range l.c.passwordFiles() {
		if p.file != "" && !p.value.Empty() {
			l.fault(p.path+"_file", l.c.origin[p.path+"_file"], "is given, and %s too", p.path)
		}
	}
	if t := &l.c.Tokens; t.KeysetFile != "" && !t.Keyset.Empty() {
		l.fault("tokens.keyset_file", l.c.origin["tokens.keyset_file"], "is given, and tokens.keyset too")
	}
}

// ReadSecrets reads the password files of these sections, as far as somebody is logged in to with them. It is for
// commands that do: the store, which makes such a file, has to start without it. Errors: Faults.
func (c *Config) ReadSecrets(sections ...string) error {
	l := &loader{c: c}
	for _, p := range c.passwordFiles() {
		section, _, _ := strings.Cut(p.path, ".")
		if p.file == "" || !p.used || !slices.Contains(sections, section) {
			continue
		}
		b, err := os.ReadFile(p.file)
		if err != nil {
			l.fault(p.path+"_file", c.origin[p.path+"_file"], "%v", err)
			continue
		}
		first, _, _ := strings.Cut(string(b), "\n")
		*p.value = secret.New(strings.TrimRight(first, "\r"))
	}
	if len(l.faults) > 0 {
		return l.faults
	}
	return nil
}

// together checks what concerns several keys.
func (l *loader) together() {
	c := l.c
	bad := func(ok bool, path, format string, args ...any) {
		if !ok {
			l.fault(path, c.origin[path], format, args...)
		}
	}
	e, k, ch := &c.Engine, &c.Kafka, &c.ClickHouse
	bad(e.BlockAgeMax >= e.BlockAge, "engine.block_age_max", "%s is below engine.block_age %s", shortDuration(e.BlockAgeMax), shortDuration(e.BlockAge))
	bad(3*k.HeartbeatInterval <= k.SessionTimeout, "kafka.heartbeat_interval", "%s is more than a third of kafka.session_timeout %s", shortDuration(k.HeartbeatInterval), shortDuration(k.SessionTimeout))
	bad(k.FetchMaxWait < k.RequestTimeout, "kafka.fetch_max_wait", "%s is not below kafka.request_timeout %s", shortDuration(k.FetchMaxWait), shortDuration(k.RequestTimeout))
	bad(k.FetchPartition <= k.FetchBytes, "kafka.fetch_partition", "%s is above kafka.fetch_bytes %s", formatSize(k.FetchPartition), formatSize(k.FetchBytes))
	bad(k.SASL == "none" || k.SASLUser != "", "kafka.sasl_user", "is empty, but kafka.sasl is %s", k.SASL)
	bad(len(k.Brokers) > 0 || !k.TLS.On && k.SASL == "none", "kafka.brokers", "is empty: the embedded Kafka has neither kafka.tls nor kafka.sasl")
	bad(len(ch.Addr) < 2 || ch.Cluster != "", "clickhouse.addr", "has %d servers without clickhouse.cluster: rows written to one would be missing on the others", len(ch.Addr))
	bad(len(ch.Addr) > 0 || ch.Protocol == "http", "clickhouse.protocol", "is native, but the embedded engine speaks http")
	bad(len(ch.Addr) > 0 || ch.Cluster == "", "clickhouse.cluster", "is given, but the embedded engine is alone")
	bad(ch.EmbeddedMemory == 0 || ch.EmbeddedMemory >= 256<<20, "clickhouse.embedded_memory", "%s is below 256MiB, with which the engine cannot start", formatSize(ch.EmbeddedMemory))
	topics := map[string]string{}
	use := func(path, topic string) {
		if before, ok := topics[topic]; ok && topic != "" && before != path {
			bad(false, path, "topic %s is %s already", topic, before)
		}
		topics[topic] = path
	}
	for _, r := range k.Readings {
		use("kafka.readings", r.Topic)
	}
	use("kafka.reference_topic", k.ReferenceTopic)
	use("kafka.state_topic", k.StateTopic)
	use("kafka.rejects_topic", k.RejectsTopic)
	use("kafka.cdrs_topic", k.CDRsTopic)
	use("kafka.prices_topic", k.PricesTopic)
}

// nearest names the known key, or section, that is most like path.
func (l *loader) nearest(path string, section bool) string {
	names := l.sections()
	if !section {
		names = nil
		for _, k := range keys() {
			names = append(names, k.Path)
		}
	}
	best, least := "", len(path)/2+2
	for _, n := range names {
		if d := distance(path, n); d < least {
			best, least = n, d
		}
	}
	if best == "" {
		return "; `wattline config show` lists all keys"
	}
	return "; did you mean " + best + "?"
}

// distance is Levenshtein's: how many letters have to be put in, taken out or changed.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := corner
			if a[i] != b[j] {
				cost++
			}
			corner = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
