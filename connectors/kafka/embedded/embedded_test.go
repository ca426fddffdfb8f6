package embedded

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/wattline/wattline/connectors/kafka"
	"github.com/wattline/wattline/engine"
)

// childDir, in the environment, makes this test binary a broker that waits to be killed.
const childDir = "WATTLINE_TEST_EMBEDDED_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		b, err := Start(Config{Dir: dir, Port: freePort()})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(b.Addr())
		select {}
	}
	goleak.VerifyTestMain(m)
}

func freePort() int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func client(t *testing.T, addr string) (*kafka.Client, context.Context) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	c, err := kafka.New(kafka.Config{Brokers: []string{addr}, Group: kafka.GroupConfig{ID: "g", InstanceID: "i", Topics: []string{"readings"}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c, ctx
}

// TestSurvivesKill holds E2: a broker killed with -9 after acknowledgements has records, topics and commits again.
func TestSurvivesKill(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	c, ctx := client(t, strings.TrimSpace(line))
	specs := []kafka.TopicSpec{kafka.ReadingsTopic("readings", 1), kafka.StateTopic("wattline.state", 2)}
	if _, err := c.EnsureTopics(ctx, specs); err != nil {
		t.Fatal(err)
	}
	big := engine.Message{Key: []byte("k"), Value: make([]byte, 900_000), TimestampMs: 1}
	for i := range int64(5) {
		if first, err := c.Producer().Produce(ctx, "readings", 0, []engine.Message{big}); err != nil || first != i {
			t.Fatal(first, err)
		}
	}
	g, err := c.Join(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Next(ctx); err != nil {
		t.Fatal(err)
	}
	p := engine.Partition{Topic: "readings"}
	if err := g.Commit(ctx, p, engine.Commit{Offset: 3, Metadata: "plan"}); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(Config{Dir: dir, Port: freePort()}); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a second broker in the folder: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	_ = g.Close()

	b, err := Start(Config{Dir: dir, Port: freePort()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}()
	c, ctx = client(t, b.Addr())
	if _, err := c.CheckTopics(ctx, specs); err != nil {
		t.Error(err)
	}
	n := 0
	end, err := c.ReadLog(ctx, "readings", 0, 0, func(r engine.Record) error { n += len(r.Value); return nil })
	if err != nil || end != 5 || n != 5*900_000 {
		t.Error(end, n, err)
	}
	if g, err = c.Join(ctx); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = g.Close() }()
	if _, err := g.Next(ctx); err != nil {
		t.Fatal(err)
	}
	if got, err := g.Committed(ctx, p); err != nil || got != (engine.Commit{Offset: 3, Metadata: "plan"}) {
		t.Error(got, err)
	}
}

func TestPortTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	b, err := Start(Config{Dir: t.TempDir(), Port: port})
	if err != nil {
		t.Fatal(err)
	}
	if !b.Moved() || b.Addr() == l.Addr().String() {
		t.Errorf("port %d is taken, the broker is at %s", port, b.Addr())
	}
	c, ctx := client(t, b.Addr()) // the address that the broker tells of itself is right too
	if _, err := c.EnsureTopics(ctx, []kafka.TopicSpec{kafka.ReadingsTopic("readings", 1)}); err != nil {
		t.Error(err)
	}
	if _, err := c.Producer().Produce(ctx, "readings", 0, []engine.Message{{Value: []byte("v")}}); err != nil {
		t.Error(err)
	}
	if _, err := c.CheckTopics(ctx, []kafka.TopicSpec{{Name: "other"}}); err == nil {
		t.Error("a topic came to be by being asked for")
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

func TestValidate(t *testing.T) {
	_, err := Start(Config{Port: -1})
	for _, want := range []string{"embedded.Dir", "embedded.Port"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is missing in %v", want, err)
		}
	}
}
