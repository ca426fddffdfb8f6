package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

// Files are what a client is told about TLS. All may be empty.
type Files struct {
	CA         string // PEM file of the certificates that are trusted; "": the machine's
	Cert, Key  string // PEM files of our own certificate and its key, both or none
	ServerName string // the name that the peer's certificate must have; "": the host that is dialled
}

// Client returns the TLS settings of a client. section names the keys in errors ("kafka" for kafka.tls_ca_file).
// A changed pair of our own is used from the next connection on (T2); a changed CA file needs a new Client.
func Client(section string, f Files) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: f.ServerName}
	if f.CA != "" {
		pem, err := os.ReadFile(f.CA)
		if err != nil {
			return nil, fmt.Errorf("%s.tls_ca_file: %w", section, err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s.tls_ca_file: %s holds no PEM certificate", section, f.CA)
		}
	}
	if f.Cert != "" {
		p, err := newPair(f.Cert, f.Key)
		if err != nil {
			return nil, fmt.Errorf("%s.tls_cert_file and %s.tls_key_file: %w", section, section, err)
		}
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return p.get(), nil }
	}
	return c, nil
}

// Server returns the TLS settings of a server with the certificate and key of these PEM files; a changed pair is used
// from the next connection on (T2).
func Server(certFile, keyFile string) (*tls.Config, error) {
	p, err := newPair(certFile, keyFile)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return p.get(), nil },
	}, nil
}

// errNotOurs says that a server has another certificate than the one in the file.
var errNotOurs = errors.New("the server's certificate is not the one in the file")

// Own returns the TLS settings of a client of our own server: who has the very certificate that is in the file now is
// it, whatever its name and whoever signed it.
func Own(certFile, keyFile string) (*tls.Config, error) {
	p, err := newPair(certFile, keyFile)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		// Instead of the chain and the name, which may be for clients elsewhere, the certificate itself is compared (T1).
		InsecureSkipVerify: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) == 0 || !bytes.Equal(s.PeerCertificates[0].Raw, p.get().Certificate[0]) {
				return errNotOurs
			}
			return nil
		},
	}, nil
}

// lookAgainAfter is how often at most the files are asked whether they changed.
const lookAgainAfter = time.Second

// pair is a certificate and its key, as good as the files were last.
type pair struct {
	certFile, keyFile string

	mu     sync.Mutex
	cert   *tls.Certificate
	seen   [2]stamp // of the files when they were last tried
	looked time.Time
}

// stamp tells one state of a file from another.
type stamp struct {
	at   time.Time
	size int64
}

func newPair(certFile, keyFile string) (*pair, error) {
	p := &pair{certFile: certFile, keyFile: keyFile}
	p.seen, p.looked = p.stamps(), time.Now()
	cert, err := load(certFile, keyFile)
	if err != nil {
		return nil, err
	}
	p.cert = cert
	return p, nil
}

func load(certFile, keyFile string) (*tls.Certificate, error) {
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("read the certificate %s with the key %s: %w", certFile, keyFile, err)
	}
	return &cert, nil
}

func (p *pair) stamps() (s [2]stamp) {
	for i, name := range []string{p.certFile, p.keyFile} {
		if st, err := os.Stat(name); err == nil {
			s[i] = stamp{st.ModTime(), st.Size()}
		}
	}
	return s
}

// get returns the pair, read again if its files changed. One that does not fit, as between the renames of its two
// files, is tried again when they change again.
func (p *pair) get() *tls.Certificate {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.looked) < lookAgainAfter {
		return p.cert
	}
	p.looked = time.Now()
	s := p.stamps()
	if s == p.seen {
		return p.cert
	}
	p.seen = s
	if cert, err := load(p.certFile, p.keyFile); err == nil {
		p.cert = cert
	}
	return p.cert
}

// Loopback says whether host, a name or an address, can only be this machine: 127.0.0.0/8, ::1 or localhost. Other
// names are not looked up, they may be anything tomorrow; "" is all addresses of the machine, so it is not.
func Loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// LoopbackAddr is Loopback for host:port.
func LoopbackAddr(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	return err == nil && Loopback(host)
}
