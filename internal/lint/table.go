package lint

import "maps"

// rule is what a package may do.
type rule struct {
	// imports are the packages of ours that it may import beside everyones, relative to the module; a name
	// that ends in "/*" stands for the packages right below a folder, "*" for all but cmd.
	imports []string
	// why says what the package is for, so that this table reads as a map.
	why string
	// exact: L3 holds.
	exact bool
	// pure: L4 holds, and packages not of ours are bound to pureStd and also.
	pure bool
	// also are packages not of ours that L3 or L4 would forbid but this one needs; say why.
	also []string
}

// everyones may be imported by any package: they know nothing of the others.
func everyones() []string { return []string{"rating/money", "internal/invariant"} }

// table is the import table. An arrow that is missing here is missing on purpose: the ones that matter most
// are engine -> connectors, rating -> anything that runs, billing -> engine, anything but billing/payment ->
// billing/vault. A package that needs a new arrow may be in the wrong place; move it before adding one.
func table() map[string]rule {
	rules := map[string]rule{
		"rating/money": {
			exact: true, pure: true, why: "amounts, currencies, the one rounding",
			also: []string{"math/big"}, // reads and writes decimals of any length, for settlement and the oracle
		},
		"rating": {
			exact: true, pure: true, why: "the vocabulary and the pricer",
			also: []string{"math/big"}, // settlement of taxed limits, once a session: products beyond 128 bits
		},
		"rating/ocpi": {
			exact: true, pure: true, imports: []string{"rating"}, why: "OCPI JSON in and out",
			// Decimals are exact before they are refused; tariffs and vectors come as YAML too, bytes in, values out.
			also: []string{"math/big", "gopkg.in/yaml.v3"},
		},
		"rating/oracle": {
			exact: true, pure: true, imports: []string{"rating"}, why: "the slow pricer, for tests and proofs",
			also: []string{"math/big"}, // its rationals are what makes it obvious
		},

		"connectors/wire":                {exact: true, imports: []string{"rating"}, why: "readings in Protobuf"},
		"connectors/jsontext":            {exact: true, why: "walks JSON without allocation, for the decoders; knows no format"},
		"connectors/jsonreading":         {exact: true, imports: []string{"rating", "connectors/jsontext"}, why: "readings in JSON"},
		"connectors/ocpp":                {exact: true, imports: []string{"rating", "connectors/jsontext"}, why: "readings out of OCPP frames"},
		"connectors/arrowipc":            {exact: true, imports: []string{"rating"}, why: "readings in Arrow"},
		"connectors/kafka":               {exact: true, imports: []string{"engine", "engine/ends", "rating", "internal/certs", "internal/secret"}, why: "membership, fetch, produce; decoders are handed in by cmd"},
		"connectors/file":                {exact: true, imports: []string{"engine", "rating"}, why: "readings from files; decoders are handed in by cmd"},
		"connectors/clickhouse":          {exact: true, imports: []string{"engine", "engine/ends", "rating", "internal/certs", "internal/secret"}, why: "schema and sink"},
		"connectors/clickhouse/embedded": {imports: []string{"internal/certs", "internal/secret"}, why: "libchdb behind ClickHouse's HTTP interface; knows no table of ours"},
		"connectors/kafka/embedded":      {why: "kfake with its data on disk: knows no topic of ours"},
		"connectors/conntest":            {imports: []string{"engine", "rating"}, why: "the suite that every source and sink passes"},

		"api":             {imports: []string{"engine", "engine/ends", "rating", "rating/ocpi", "analytics", "internal/certs", "internal/redact"}, why: "HTTP"},
		"analytics":       {imports: []string{"rating"}, why: "questions and their SQL"},
		"billing/vault":   {why: "payment secrets; only billing/payment may ask"},
		"billing/invoice": {exact: true, imports: []string{"rating", "rating/ocpi"}, why: "invoices from final sessions"},
		"billing/payment": {exact: true, imports: []string{"billing/invoice", "billing/vault"}, why: "payments"},

		"bench": {
			imports: []string{"engine", "engine/verify", "connectors/*", "connectors/clickhouse/embedded", "loadgen", "rating", "rating/ocpi", "rating/oracle", "internal/parts", "internal/secret", "internal/reference"},
			why:     "measures the whole pipe",
		},

		"deploy":               {why: "versions, sums and settings of the real parts, readable without Go"},
		"internal/parts":       {imports: []string{"deploy"}, why: "gets, starts and stops the real parts; for cmd, bench and tests"},
		"internal/parts/fetch": {imports: []string{"internal/parts"}, why: "the same from the Makefile, before anything of ours is built"},
		"internal/checkup":     {exact: true, imports: []string{"connectors/kafka", "connectors/clickhouse"}, why: "what is wrong with a Kafka and a store, and what to do; for cmd"},
		"internal/rejects":     {exact: true, imports: []string{"engine", "engine/reject"}, why: "keys of rejects, sealing on their way to Kafka, and what operators do with them; for cmd"},
		"internal/livebill":    {exact: true, imports: []string{"connectors/clickhouse", "engine", "internal/liveview", "rating"}, why: "the explained bill of a running session, from an engine and a store; for cmd"},
		"internal/liveview":    {why: "figures of a running engine as lines for people; knows no engine, only what it is given"},
		"internal/config":      {imports: []string{"internal/certs", "internal/secret"}, why: "the YAML file and its overrides; only cmd turns it into the packages' Configs"},
		"internal/murmur2":     {exact: true, why: "the partition that Kafka's own producer gives a key"},
		"internal/invariant":   {why: "bugs and assertions"},
		"internal/secret":      {why: "a text that is never shown"},
		"internal/machine":     {why: "how much memory the process may use, whose clock differs; for cmd, which is large"},
		"internal/redact":      {exact: true, why: "no card number in what is shown or kept; for engine, api and cmd"},
		"internal/certs":       {why: "TLS certificates: made, read, and what is wrong with them; for whoever connects or serves"},
		"internal/lint":        {why: "these rules"},
		"internal/chaos": {
			imports: []string{"engine", "engine/reject", "connectors/kafka", "connectors/clickhouse", "loadgen", "rating", "internal/parts", "internal/rejects", "internal/secret"},
			why:     "breaks everything around real engines and holds the ledger to the truth; for make chaos and tests",
		},
		"internal/chaos/run": {imports: []string{"internal/chaos", "internal/parts"}, why: "the program of make chaos"},
		"internal/e2e":       {why: "the whole program against real parts; tests only"},

		"cmd/wattline": {imports: []string{"*"}, why: "the program: flags to Config to wiring; nothing imports it"},
	}
	maps.Copy(rules, engineRules())
	maps.Copy(rules, loadRules())
	maps.Copy(rules, referenceRules())
	return rules
}

// loadRules are those of what is made of loadgen, and of what only cmd is made of.
func loadRules() map[string]rule {
	return map[string]rule{
		"loadgen": {imports: []string{"rating", "rating/ocpi", "rating/oracle", "connectors/wire", "connectors/ocpp", "internal/murmur2"}, why: "networks with known truth; its producer is an interface"},
		"loadgen/sample": {
			imports: []string{"engine", "loadgen", "rating", "rating/ocpi", "rating/oracle", "connectors/wire", "internal/murmur2", "internal/reference"},
			why:     "the data set of docs/ANALYSTS.md, rated by the engine's own shard; its store is an interface",
		},
		"loadgen/replay": {
			imports: []string{"loadgen", "rating", "rating/ocpi", "rating/oracle", "connectors/wire", "internal/murmur2"},
			why:     "readings of sessions that really happened, with their truth",
		},
		"internal/produce": {imports: []string{"connectors/kafka", "loadgen"}, why: "simulated readings to Kafka, in large batches"},
		"internal/proof":   {imports: []string{"connectors/clickhouse", "connectors/kafka", "engine", "engine/verify"}, why: "what engine/verify asks of the real ends"},
		"internal/ask":     {imports: []string{"internal/secret"}, why: "questions to ClickHouse over HTTP, answered with text"},
	}
}

// referenceRules are those of what feeds the reference log.
func referenceRules() map[string]rule {
	return map[string]rule{
		"internal/reference": {imports: []string{"engine", "rating/ocpi", "internal/redact"}, why: "records of the reference log as the engine takes them; for cmd and bench"},
		"internal/pseudonym": {imports: []string{"internal/secret"}, why: "what may be kept of drivers' tokens: a keyed function of them; its keyset"},
		"internal/contracts": {imports: []string{"rating", "rating/ocpi"}, why: "files of drivers' contracts, and what the reference log lacks of them; for reflog"},
		"internal/reflog": {
			imports: []string{"engine", "rating", "rating/ocpi", "internal/contracts", "internal/pseudonym", "internal/redact", "internal/reference"},
			why:     "a folder of tariffs, locations and contracts, and what the reference log lacks of it; for cmd, which is large",
		},
	}
}

// engineRules are those of the engine and what is made of its parts.
func engineRules() map[string]rule {
	return map[string]rule{
		"engine":          {exact: true, imports: []string{"internal/redact", "rating", "engine/book", "engine/commit", "engine/config", "engine/ends", "engine/identity", "engine/outbox", "engine/pace", "engine/reject", "engine/snapshot", "engine/slab", "engine/stats"}, why: "the stream machine and its protocol"},
		"engine/book":     {exact: true, imports: []string{"rating", "engine/snapshot"}, why: "the reference log in memory: it changes with what prices, not with the protocol, and engine is large"},
		"engine/commit":   {exact: true, why: "the text beside a committed offset: a format of its own, and engine is large"},
		"engine/identity": {exact: true, imports: []string{"engine/snapshot"}, why: "ids of sessions: a format of its own, and engine is large"},
		"engine/stats":    {exact: true, why: "the figures of a partition: engine is large"},
		"engine/outbox":   {exact: true, imports: []string{"rating", "rating/ocpi", "engine/identity", "engine/reject", "engine/snapshot", "engine/slab"}, why: "what an engine tells others of its sessions: CDRs and live prices; engine is large"},
		"engine/reject":   {exact: true, imports: []string{"internal/redact"}, why: "the record of what can not be used: a format of its own, and others read it"},
		"engine/slab":     {exact: true, imports: []string{"rating", "engine/snapshot"}, why: "a shard's memory: the table of sessions has nothing to do with the protocol, and engine is large"},
		"engine/config":   {exact: true, imports: []string{"internal/murmur2"}, why: "what an engine can be told, with defaults and faults; engine is large"},
		"engine/pace":     {exact: true, why: "how often blocks and snapshots are made: sums of its own, with no protocol in them"},
		"engine/ends":     {exact: true, why: "what ails the engine's ends, told once; the names are shared with connectors"},
		"engine/snapshot": {exact: true, imports: []string{"rating"}, why: "the state's bytes"},
		"engine/sim":      {exact: true, imports: append(engineTools(), "engine/outbox"), why: "the adversary: source, committer and sink with faults"},
		"engine/verify":   {exact: true, imports: engineTools(), why: "independent proof of what was written"},
	}
}

func engineTools() []string {
	return []string{"engine", "engine/snapshot", "rating", "rating/oracle"}
}

// pureStd is what a pure package may use of the standard library: values in, values out. Two of them (time, fmt)
// reach further than that and are fenced by forbiddenFunctions. What else one needs is its rule's also.
func pureStd() []string {
	return []string{
		"archive/zip", // the embedded time-zone database is one
		"bytes", "cmp", "embed", "errors", "fmt", "io", "iter", "slices", "sort", "strconv", "strings",
		"crypto/sha256", "encoding/base64", "encoding/binary", "encoding/hex", "encoding/json",
		"hash/crc32", "hash/fnv", "math/bits",
		"time",
		"unicode", "unicode/utf8", "unicode/utf16",
	}
}

// bigFloats are the names of math/big by which a float comes in; its integers and rationals are exact.
func bigFloats() []string { return []string{"Float", "NewFloat", "ParseFloat"} }

// forbiddenFunctions of a package, each with what to do instead, in pure packages.
func forbiddenFunctions() map[string]map[string]string {
	const clock = "take the instant as a parameter: rating asks no clock"
	const zone = "the machine's time zones differ: use the embedded ones with time.LoadLocationFromTZData"
	return map[string]map[string]string{
		"time": {
			"Now": clock, "Since": clock, "Until": clock, "Sleep": clock, "After": clock, "AfterFunc": clock,
			"Tick": clock, "NewTicker": clock, "NewTimer": clock,
			"LoadLocation": zone, "Local": zone,
		},
		"fmt": {
			"Print": "rating has no output", "Printf": "rating has no output", "Println": "rating has no output",
			"Scan": "rating has no input", "Scanf": "rating has no input", "Scanln": "rating has no input",
		},
	}
}
