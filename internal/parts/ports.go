package parts

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Ports are taken below the ranges from which systems give ports to outgoing connections (32768 up on Linux,
// 49152 up elsewhere): else a connection of a client could sit on a broker's port while it restarts.
const (
	firstPort = 20000
	lastPort  = 29999
)

// choosePorts gives the port for clients and the one for the controller. Ports that the folder had before
// are kept when they are still free.
func choosePorts(cfg KafkaConfig) (client, controller int, err error) {
	if cfg.Cluster != nil {
		client, controller = cfg.Cluster.ports(node(cfg))
		return client, controller, nil
	}
	client, controller, err = oldPorts(cfg.Dir)
	if err != nil {
		return 0, 0, err
	}
	if cfg.Port != 0 {
		client = cfg.Port
	} else if client == 0 || !portFree(client) {
		if client, err = freePort(controller); err != nil {
			return 0, 0, err
		}
	}
	if controller == 0 || !portFree(controller) || controller == client {
		if controller, err = freePort(client); err != nil {
			return 0, 0, err
		}
	}
	return client, controller, nil
}

// oldPorts reads the ports of the last start out of server.properties; zeros if there was none.
func oldPorts(dir string) (client, controller int, err error) {
	f, err := os.Open(filepath.Join(dir, "server.properties"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	for sc.Scan() {
		list, ok := strings.CutPrefix(sc.Text(), "listeners=")
		if !ok {
			continue
		}
		for listener := range strings.SplitSeq(list, ",") {
			port, err := strconv.Atoi(listener[strings.LastIndexByte(listener, ':')+1:])
			if err != nil {
				return 0, 0, fmt.Errorf("read the old ports in %s: %w", f.Name(), err)
			}
			switch {
			case strings.HasPrefix(listener, "CONTROLLER:"):
				controller = port
			case strings.HasPrefix(listener, "PLAINTEXT:"):
				client = port
			}
		}
	}
	return client, controller, sc.Err()
}

// freePort returns a port of 127.0.0.1 that nobody listens on, other than not. Another process may take it
// before the broker does; StartKafka then tries again.
func freePort(not int) (int, error) {
	for range 200 {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		if port != not && portFree(port) {
			return port, nil
		}
	}
	return 0, fmt.Errorf("no free port found on 127.0.0.1 from %d to %d", firstPort, lastPort)
}

func portFree(port int) bool {
	l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		return false
	}
	return l.Close() == nil
}
