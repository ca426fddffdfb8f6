// Package deploy holds what is needed to get and start the real parts, Apache Kafka and the ClickHouse
// engine, without containers: which versions, which checksums, which broker settings.
//
// It owns these files and nothing else; fetching and starting is internal/parts. The files lie here, not
// there, because an operator reads them without reading Go (see README.md in this folder).
package deploy

import _ "embed" // for the files below

// KafkaPOM is the Maven project whose dependencies are Apache Kafka.
//
//go:embed kafka/pom.xml
var KafkaPOM string

// KafkaSums names every jar of Apache Kafka with its SHA-256, in the format of sha256sum.
//
//go:embed kafka/SHA256SUMS
var KafkaSums string

// KafkaProperties are the broker settings that are the same at every start.
//
//go:embed kafka/server.properties
var KafkaProperties string

// LibchdbPackages names the npm packages of libchdb, a line for each platform: GOOS, GOARCH, package,
// version, the archive's size in bytes and SHA-512 (npm's integrity), the library's size in bytes and SHA-256.
//
//go:embed libchdb/packages.txt
var LibchdbPackages string
