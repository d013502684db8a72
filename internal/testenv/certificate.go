package testenv

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/testcontainers/testcontainers-go"
)

// certificate is one that vouches for itself, for servers on this machine, with its key.
type certificate struct {
	cert *x509.Certificate
	key  []byte // PKCS #8
}

// Where a server finds them, by the names that MinIO wants.
const (
	certDir  = "/tls"
	certFile = certDir + "/public.crt"
	keyFile  = certDir + "/private.key"
)

// newCertificate returns a certificate if secure, else nil.
func newCertificate(t testing.TB, secure bool) *certificate {
	t.Helper()
	if !secure {
		return nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatalf("making a key: %v", err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatalf("making a certificate: %v", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatalf("reading the certificate that was made: %v", err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatalf("writing the key of a certificate: %v", err)
	}
	return &certificate{cert, pkcs8}
}

// config returns how a client trusts this certificate and no other; nil without one.
func (c *certificate) config() *tls.Config {
	if c == nil {
		return nil
	}
	roots := x509.NewCertPool()
	roots.AddCert(c.cert)
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}

// files returns what a server needs of it.
func (c *certificate) files() []testcontainers.ContainerFile {
	if c == nil {
		return nil
	}
	file := func(path, kind string, content []byte) testcontainers.ContainerFile {
		return testcontainers.ContainerFile{
			Reader:            bytes.NewReader(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content})),
			ContainerFilePath: path,
			FileMode:          0o644, // some images' servers are not root
		}
	}
	return []testcontainers.ContainerFile{
		file(certFile, "CERTIFICATE", c.cert.Raw),
		file(keyFile, "PRIVATE KEY", c.key),
	}
}
