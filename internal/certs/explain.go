package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
)

// Explain says what is wrong when a client's TLS handshake failed in a way that time does not mend, and which key of
// section to look at; "" for all other errors, as those of the network.
func Explain(section string, err error) string {
	var (
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
		header  tls.RecordHeaderError
		remote  *net.OpError
	)
	switch {
	case errors.As(err, &unknown):
		return fmt.Sprintf("the server's certificate is signed by nobody who is trusted: %s.tls_ca_file must hold the certificate of who signed it", section)
	case errors.As(err, &name):
		return fmt.Sprintf("the server's certificate is for %s, not for %s: connect by a name that it has, or give one as %s.tls_server_name", owners(name.Certificate), name.Host, section)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Sprintf("the server's certificate is valid from %s until %s, which is not now: it needs a new one, or a clock is wrong",
			invalid.Cert.NotBefore.UTC().Format("2006-01-02 15:04"), invalid.Cert.NotAfter.UTC().Format("2006-01-02 15:04 MST"))
	case errors.As(err, &invalid):
		return fmt.Sprintf("the server's certificate is not valid (%v): it needs another one", invalid)
	case errors.As(err, &header):
		return fmt.Sprintf("no TLS is spoken at that port: correct the address, or set %s.tls to false", section)
	case errors.As(err, &remote) && remote.Op == "remote error":
		return explainAlert(section, remote.Err.Error())
	}
	return ""
}

// explainAlert explains what the server said about our certificate. The texts are crypto/tls's for the numbers of RFC
// 8446, section 6; it does not export the numbers of alerts that it received.
func explainAlert(section, alert string) string {
	says := func(list ...string) bool {
		for _, s := range list {
			if strings.HasSuffix(alert, s) {
				return true
			}
		}
		return false
	}
	switch {
	case says("certificate required"):
		return fmt.Sprintf("the server wants a certificate of ours: give one as %s.tls_cert_file and %s.tls_key_file", section, section)
	case says("bad certificate", "unsupported certificate", "unknown certificate", "unknown certificate authority", "expired certificate", "revoked certificate", "access denied"):
		return fmt.Sprintf("the server does not take our certificate, or has none (%s): look at %s.tls_cert_file and %s.tls_key_file", alert, section, section)
	case says("handshake failure", "protocol version not supported", "insufficient security level"):
		return fmt.Sprintf("the server and we have no TLS version or cipher in common (%s), or it wants a certificate (%s.tls_cert_file)", alert, section)
	}
	return ""
}

// CutOff says that the peer ended the connection instead of answering, as one does that expects TLS and gets none.
func CutOff(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// Speaks says whether TLS is spoken at the other end of conn, which it does not close. A certificate that nobody trusts,
// and one that is wanted of us, are TLS all the same. host is what was dialled.
func Speaks(ctx context.Context, conn net.Conn, host string) bool {
	err := tls.Client(conn, &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host}).HandshakeContext(ctx)
	var verify *tls.CertificateVerificationError
	var remote *net.OpError
	return err == nil || errors.As(err, &verify) || errors.As(err, &remote) && remote.Op == "remote error"
}

func owners(c *x509.Certificate) string {
	names := append([]string{}, c.DNSNames...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return "no host (" + c.Subject.String() + ")"
	}
	return strings.Join(names, ", ")
}
