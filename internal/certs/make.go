package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Authority signs certificates. It lives in memory only.
type Authority struct {
	cert *x509.Certificate
	pem  []byte
	key  *ecdsa.PrivateKey
}

// Template says what a certificate is for.
type Template struct {
	// Names are host names and IP addresses of a server, or the name of a client. At least one.
	Names []string
	// From and Until bound its life. Default: from a day ago, for ten years (the clocks of two machines may differ).
	From, Until time.Time
}

const tenYears = 10 * 365 * 24 * time.Hour

// NewAuthority makes an authority with a new key.
func NewAuthority(name string) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make certificate authority: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(tenYears),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("make certificate authority: %w", err)
	}
	if t, err = x509.ParseCertificate(der); err != nil {
		return nil, fmt.Errorf("make certificate authority: %w", err)
	}
	return &Authority{cert: t, pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), key: key}, nil
}

// PEM is the authority's certificate, for those who shall trust it. Not to be changed.
func (a *Authority) PEM() []byte { return a.pem }

// Issue makes a key and a certificate for servers and clients, both PEM, the key as PKCS #8.
func (a *Authority) Issue(t Template) (cert, key []byte, err error) {
	if len(t.Names) == 0 {
		return nil, nil, errors.New("make certificate: no name given")
	}
	if t.From.IsZero() {
		t.From = time.Now().Add(-24 * time.Hour)
	}
	if t.Until.IsZero() {
		t.Until = t.From.Add(tenYears)
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make certificate for %v: %w", t.Names, err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, nil, err
	}
	c := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: t.Names[0]}, NotBefore: t.From, NotAfter: t.Until,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, n := range t.Names {
		if ip := net.ParseIP(n); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		} else {
			c.DNSNames = append(c.DNSNames, n)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, &private.PublicKey, a.key)
	if err != nil {
		return nil, nil, fmt.Errorf("make certificate for %v: %w", t.Names, err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, fmt.Errorf("make certificate for %v: %w", t.Names, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), nil
}

// newSerial is 120 bits by chance: unique without a register.
func newSerial() (*big.Int, error) {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("make serial number: %w", err)
	}
	return n, nil
}

// Write makes a certificate by t and writes DIR/NAME.pem, and DIR/NAME.key for its owner alone, each by rename.
func (a *Authority) Write(dir, name string, t Template) (certFile, keyFile string, err error) {
	cert, key, err := a.Issue(t)
	if err != nil {
		return "", "", err
	}
	certFile, keyFile = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")
	if err := writeFile(keyFile, key, 0o600); err != nil {
		return "", "", err
	}
	return certFile, keyFile, writeFile(certFile, cert, 0o644)
}

// WriteCA writes the authority's certificate to DIR/NAME.pem and returns the file.
func (a *Authority) WriteCA(dir, name string) (file string, err error) {
	file = filepath.Join(dir, name+".pem")
	return file, writeFile(file, a.pem, 0o644)
}

func writeFile(path string, b []byte, mode os.FileMode) error {
	tmp := path + ".new"
	if err := os.WriteFile(tmp, b, mode); err != nil {
		return fmt.Errorf("write certificate: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("write certificate: %w", err)
	}
	return nil
}
