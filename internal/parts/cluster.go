package parts

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
)

// KafkaCluster is what the brokers of one cluster agree on. Each is broker and controller in one, so a majority of
// them has to run. All have to be started at the same time: none answers before a majority does.
type KafkaCluster struct {
	// ID is the cluster's id, 22 characters of base64.
	ID string
	// Ports and ControllerPorts are those of the nodes, on 127.0.0.1; that of node 1 is the first.
	Ports, ControllerPorts []int
}

// PlanKafkaCluster gives a new cluster of so many nodes its id and ports that are free now. Topics that are made without
// a replication factor get three replicas (as many as there are nodes, if those are fewer), of which two have to have a
// record before acks=all is answered. Errors: no port is free.
func PlanKafkaCluster(nodes int) (*KafkaCluster, error) {
	ports, err := FreePorts(2 * nodes)
	if err != nil {
		return nil, err
	}
	return &KafkaCluster{ID: newClusterID(), Ports: ports[:nodes], ControllerPorts: ports[nodes:]}, nil
}

// FreePorts returns n different ports of 127.0.0.1 that nobody listens on, from below those that systems give to
// outgoing connections: they stay free while a process that had one is started again. Errors: there are none.
func FreePorts(n int) ([]int, error) {
	var ports []int
	for len(ports) < n {
		port, err := freePort(0)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(ports, port) {
			ports = append(ports, port)
		}
	}
	return ports, nil
}

// newClusterID makes an id as kafka.tools.StorageTool random-uuid does.
func newClusterID() string {
	var id [16]byte
	rand.Read(id[:]) // never fails
	id[0] &= 0x7f    // an id in base64 must not start with "-": the tool would take it for an option
	return base64.RawURLEncoding.EncodeToString(id[:])
}

func node(cfg KafkaConfig) int { return max(1, cfg.Node) }

func (c *KafkaCluster) ports(node int) (client, controller int) {
	return c.Ports[node-1], c.ControllerPorts[node-1]
}

// write writes what makes a node one of the cluster: who votes, and copies enough to live without one node.
func (c *KafkaCluster) write(b *strings.Builder, node int) {
	voters := make([]string, len(c.ControllerPorts))
	for i, port := range c.ControllerPorts {
		voters[i] = fmt.Sprintf("%d@127.0.0.1:%d", i+1, port)
	}
	copies := min(3, len(voters))
	inSync := max(1, copies-1)
	fmt.Fprintf(b, "node.id=%d\n", node)
	fmt.Fprintf(b, "controller.quorum.voters=%s\n", strings.Join(voters, ","))
	fmt.Fprintf(b, "default.replication.factor=%d\nmin.insync.replicas=%d\n", copies, inSync)
	fmt.Fprintf(b, "offsets.topic.replication.factor=%d\n", copies)
	fmt.Fprintf(b, "transaction.state.log.replication.factor=%d\ntransaction.state.log.min.isr=%d\n", copies, inSync)
	fmt.Fprintf(b, "share.coordinator.state.topic.replication.factor=%d\nshare.coordinator.state.topic.min.isr=%d\n", copies, inSync)
}
