package parts

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// In a file of settings the last one wins: those of one node alone must not come after those of the cluster. That such
// a cluster works is shown by make chaos, which runs one.
func TestClusterProperties(t *testing.T) {
	f := func(cfg KafkaConfig, wants map[string]string) {
		t.Helper()
		last := map[string]string{}
		for line := range strings.Lines(brokerProperties(cfg, 2, 5, map[string]int{"OTHERS": 7, "MORE": 9})) {
			if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
				last[k] = v
			}
		}
		for k, want := range wants {
			if last[k] != want {
				t.Errorf("%s=%s, want %s", k, last[k], want)
			}
		}
	}
	cluster := &KafkaCluster{ID: "x", Ports: []int{1, 2, 3}, ControllerPorts: []int{4, 5, 6}}
	f(KafkaConfig{Dir: "/d"}, map[string]string{
		"node.id": "1", "controller.quorum.voters": "1@127.0.0.1:5", "offsets.topic.replication.factor": "1",
		"listeners": "PLAINTEXT://127.0.0.1:2,CONTROLLER://127.0.0.1:5",
	})
	f(KafkaConfig{Dir: "/d", Cluster: cluster, Node: 2}, map[string]string{
		"node.id": "2", "controller.quorum.voters": "1@127.0.0.1:4,2@127.0.0.1:5,3@127.0.0.1:6",
		"offsets.topic.replication.factor": "3", "min.insync.replicas": "2", "default.replication.factor": "3",
		"listeners": "PLAINTEXT://127.0.0.1:2,CONTROLLER://127.0.0.1:5", "advertised.listeners": "PLAINTEXT://127.0.0.1:2",
	})
	f(KafkaConfig{Dir: "/d", Listeners: []Listener{{Name: "OTHERS", Protocol: "PLAINTEXT", Port: 7, AdvertisedPort: 8}, {Name: "MORE", Protocol: "SSL", Port: 9}}}, map[string]string{
		"listeners":                      "PLAINTEXT://127.0.0.1:2,OTHERS://127.0.0.1:7,MORE://127.0.0.1:9,CONTROLLER://127.0.0.1:5",
		"advertised.listeners":           "PLAINTEXT://127.0.0.1:2,OTHERS://127.0.0.1:8,MORE://127.0.0.1:9",
		"listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,OTHERS:PLAINTEXT,MORE:SSL",
		"inter.broker.listener.name":     "PLAINTEXT", "log.dirs": "/d/data",
	})
}

// A broker comes back on the port of its own clients, whatever other ways in it has.
func TestOldPortsWithMoreListeners(t *testing.T) {
	dir := t.TempDir()
	text := brokerProperties(KafkaConfig{Dir: dir, Listeners: []Listener{{Name: "OTHERS", Protocol: "PLAINTEXT"}}}, 2, 5, map[string]int{"OTHERS": 7})
	if err := os.WriteFile(filepath.Join(dir, "server.properties"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	client, controller, err := oldPorts(dir)
	if err != nil || client != 2 || controller != 5 {
		t.Errorf("ports %d and %d, %v, want 2 and 5", client, controller, err)
	}
}
