package parts

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Listener is a port of a broker beside the plain one that StartKafka asks whether it is up.
type Listener struct {
	// Name in capitals, as SASL_SSL; not PLAINTEXT or CONTROLLER.
	Name string
	// Port on 127.0.0.1. Default 0: a free one.
	Port int
	// AdvertisedPort is the one that clients of this listener are sent to: a proxy's, say. Default 0: its own.
	AdvertisedPort int
	// Protocol is Kafka's: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL.
	Protocol string
	// Properties of this listener alone, without the prefix listener.name.NAME.
	Properties map[string]string
}

// User is one who may log in with SASL, by any mechanism of SecureListeners.
type User struct{ Name, Password string }

// ServerFiles are a broker's PEM files: its certificate, its key (PKCS #8), and the certificates of who may have signed
// those of clients.
type ServerFiles struct{ Cert, Key, ClientCA string }

// SecureListeners are the four kinds of secured ports: SSL, MTLS (which wants a certificate of the client),
// SASL_PLAINTEXT and SASL_SSL, with PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512 for these users. The users have to be
// given to KafkaConfig.ScramUsers too. dir gets a file with certificate and key in one, as Kafka takes them.
func SecureListeners(dir string, f ServerFiles, users ...User) ([]Listener, error) {
	ssl, err := SSLProperties(dir, f)
	if err != nil {
		return nil, err
	}
	mutual := maps.Clone(ssl)
	mutual["ssl.client.auth"] = "required"
	var plain strings.Builder
	plain.WriteString("org.apache.kafka.common.security.plain.PlainLoginModule required")
	for _, u := range users {
		fmt.Fprintf(&plain, " user_%s=%q", u.Name, u.Password)
	}
	scram := "org.apache.kafka.common.security.scram.ScramLoginModule required;"
	login := map[string]string{
		"sasl.enabled.mechanisms":        "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
		"plain.sasl.jaas.config":         plain.String() + ";",
		"scram-sha-256.sasl.jaas.config": scram,
		"scram-sha-512.sasl.jaas.config": scram,
	}
	both := maps.Clone(login)
	maps.Copy(both, ssl)
	return []Listener{
		{Name: "SSL", Protocol: "SSL", Properties: ssl},
		{Name: "MTLS", Protocol: "SSL", Properties: mutual},
		{Name: "SASL_PLAINTEXT", Protocol: "SASL_PLAINTEXT", Properties: login},
		{Name: "SASL_SSL", Protocol: "SASL_SSL", Properties: both},
	}, nil
}

// SSLProperties are those of a listener that has this certificate. dir gets the file that Kafka wants.
func SSLProperties(dir string, f ServerFiles) (map[string]string, error) {
	cert, err := os.ReadFile(f.Cert)
	if err != nil {
		return nil, fmt.Errorf("certificate of the broker: %w", err)
	}
	key, err := os.ReadFile(f.Key)
	if err != nil {
		return nil, fmt.Errorf("key of the broker: %w", err)
	}
	store := filepath.Join(dir, strings.TrimSuffix(filepath.Base(f.Cert), ".pem")+".keystore.pem")
	if err := os.WriteFile(store, append(key, cert...), 0o600); err != nil {
		return nil, fmt.Errorf("certificate of the broker: %w", err)
	}
	return map[string]string{
		"ssl.keystore.type": "PEM", "ssl.keystore.location": store, "ssl.truststore.type": "PEM", "ssl.truststore.location": f.ClientCA,
	}, nil
}

// choosePortsOf gives each listener that names none a port of its own, other than those of clients and controller.
func choosePortsOf(list []Listener, taken ...int) (map[string]int, error) {
	ports := map[string]int{}
	for _, l := range list {
		if l.Port != 0 {
			ports[l.Name] = l.Port
			continue
		}
		for {
			port, err := freePort(0)
			if err != nil {
				return nil, err
			}
			if !slices.Contains(taken, port) {
				taken = append(taken, port)
				ports[l.Name] = port
				break
			}
		}
	}
	return ports, nil
}

// listenerProperties are the lines of server.properties about all listeners.
func listenerProperties(cfg KafkaConfig, client, controller int, ports map[string]int) string {
	var b strings.Builder
	at := func(name string, port int) string { return name + "://127.0.0.1:" + strconv.Itoa(port) }
	listen, advertise := []string{at("PLAINTEXT", client)}, []string{at("PLAINTEXT", client)}
	protocols := []string{"PLAINTEXT:PLAINTEXT", "CONTROLLER:PLAINTEXT"}
	for _, l := range cfg.Listeners {
		listen, advertise = append(listen, at(l.Name, ports[l.Name])), append(advertise, at(l.Name, cmp.Or(l.AdvertisedPort, ports[l.Name])))
		protocols = append(protocols, l.Name+":"+l.Protocol)
	}
	// oldPorts reads this line again: the port of PLAINTEXT comes first, that of the controller last.
	fmt.Fprintf(&b, "listeners=%s\n", strings.Join(append(listen, at("CONTROLLER", controller)), ","))
	fmt.Fprintf(&b, "advertised.listeners=%s\n", strings.Join(advertise, ","))
	fmt.Fprintf(&b, "listener.security.protocol.map=%s\ninter.broker.listener.name=PLAINTEXT\n", strings.Join(protocols, ","))
	for _, l := range cfg.Listeners {
		for _, key := range slices.Sorted(maps.Keys(l.Properties)) {
			fmt.Fprintf(&b, "listener.name.%s.%s=%s\n", strings.ToLower(l.Name), key, l.Properties[key])
		}
	}
	return b.String()
}

// scramArguments are those of the tool that formats a new data folder.
func scramArguments(users []User) []string {
	var args []string
	for _, u := range users {
		for _, mechanism := range []string{"SCRAM-SHA-256", "SCRAM-SHA-512"} {
			args = append(args, "--add-scram", fmt.Sprintf("%s=[name=%s,password=%s]", mechanism, u.Name, u.Password))
		}
	}
	return args
}
