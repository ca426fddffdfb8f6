package embedded

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/wattline/wattline/internal/certs"
)

// The files of our own certificate, in the data directory.
const (
	ownCA   = "ca"
	ownCert = "server"
)

// OwnCertificate names the files of the certificate that a store in dataDir makes for itself: the one that clients
// have to trust, the server's, and its key.
func OwnCertificate(dataDir string) (caFile, certFile, keyFile string) {
	return filepath.Join(dataDir, ownCA+".pem"), filepath.Join(dataDir, ownCert+".pem"), filepath.Join(dataDir, ownCert+".key")
}

// renewBefore is how long before its end our own certificate is replaced, at a start.
const renewBefore = 30 * 24 * time.Hour

// prepareTLS reads the certificate, or makes one.
func (s *Server) prepareTLS(dir string) (err error) {
	if !s.cfg.TLS {
		return nil
	}
	certFile, keyFile := s.cfg.CertFile, s.cfg.KeyFile
	if certFile == "" {
		names := s.ownNames()
		if _, certFile, keyFile = OwnCertificate(dir); !covers(certFile, names) {
			if err := makeCertificate(dir, names); err != nil {
				return err
			}
			s.cfg.Logger.Warn("store made a certificate of its own: clients have to trust it", slog.String("file", filepath.Join(dir, ownCA+".pem")))
		}
	}
	if s.tls, err = certs.Server(certFile, keyFile); err != nil {
		return fmt.Errorf("embedded: %w", err)
	}
	// HTTP/1 alone, as a ClickHouse server: a long query must not share a connection.
	s.tls.NextProtos = []string{"http/1.1"}
	return nil
}

// ownNames are the names under which this machine may be reached.
func (s *Server) ownNames() []string {
	names := []string{"localhost", "127.0.0.1", "::1"}
	if host, err := os.Hostname(); err == nil && host != "localhost" {
		names = append(names, host)
	}
	host, _, _ := net.SplitHostPort(s.cfg.Addr)
	if ip := net.ParseIP(host); host != "" && host != "localhost" && (ip == nil || !ip.IsUnspecified() && !ip.IsLoopback()) {
		names = append(names, host)
	}
	return names
}

// covers says whether the certificate in the file serves under all names for long enough.
func covers(certFile string, names []string) bool {
	b, err := os.ReadFile(certFile)
	if err != nil {
		return false
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return false
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil || time.Until(c.NotAfter) < renewBefore {
		return false
	}
	for _, n := range names {
		if c.VerifyHostname(n) != nil {
			return false
		}
	}
	return true
}

// makeCertificate makes an authority, whose key is forgotten at once, and the one certificate that it signs.
func makeCertificate(dir string, names []string) error {
	a, err := certs.NewAuthority("wattline store")
	if err != nil {
		return fmt.Errorf("embedded: %w", err)
	}
	if _, err := a.WriteCA(dir, ownCA); err != nil {
		return fmt.Errorf("embedded: %w", err)
	}
	if _, _, err := a.Write(dir, ownCert, certs.Template{Names: names}); err != nil {
		return fmt.Errorf("embedded: %w", err)
	}
	return nil
}
