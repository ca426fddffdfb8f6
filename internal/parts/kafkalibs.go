package parts

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/wattline/wattline/deploy"
)

const kafkaPart = "kafka"

// KafkaLibs returns the folder of Apache Kafka's jars. The first call downloads 54 MB through Maven; later
// ones, of any clone of this user, find them in the cache. Every jar's checksum is read each time (0.1 s).
// Errors: ErrMissing (Java, Maven), ErrChecksum, and what Maven said.
func KafkaLibs(ctx context.Context, opt Options) (dir string, err error) {
	sums, err := parseSums(deploy.KafkaSums)
	if err != nil {
		return "", err
	}
	pins := sha256.Sum256([]byte(deploy.KafkaSums))
	return ensure(ctx, opt, entry{
		part:  kafkaPart,
		name:  "kafka-" + hex.EncodeToString(pins[:4]),
		check: func(dir string) error { return checkSums(dir, sums) },
		fill:  func(ctx context.Context, dir string) error { return fillKafka(ctx, opt, len(sums), dir) },
	})
}

func fillKafka(ctx context.Context, opt Options, jars int, dir string) (err error) {
	if err := Ensure(ctx, opt, Java, Maven); err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "wattline-kafka-") // the cache folder itself may hold jars only
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	if err := os.WriteFile(filepath.Join(work, "pom.xml"), []byte(deploy.KafkaPOM), 0o644); err != nil {
		return err
	}
	got := make(map[string]bool, jars)
	m := newMeter(opt, Event{Part: kafkaPart, Doing: "downloading", Total: int64(jars), Unit: "jars"})
	line := func(s string) {
		f := strings.Fields(s) // [INFO] Downloaded from central: https://... (15 kB at 1.1 MB/s)
		if len(f) < 5 || !strings.Contains(s, "Downloaded from ") {
			return
		}
		// Maven also downloads its own plugins; only the broker's jars count.
		if name := filepath.Base(f[4]); strings.Contains(deploy.KafkaSums, "  "+name+"\n") {
			got[name] = true
			m.set(int64(len(got)))
		}
	}
	if err := run(ctx, work, line, "mvn", "-B", "dependency:copy-dependencies", "-DoutputDirectory="+dir); err != nil {
		return err
	}
	m.set(int64(jars)) // what the user's Maven repository already had was copied without a word
	return nil
}
