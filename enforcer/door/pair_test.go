package door

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"testing"
	"time"
)

// writePair writes a certificate and its key as of some time.
func writePair(t *testing.T, cert, key, name string, changed time.Time) {
	t.Helper()
	pair, err := makeCertificate(name, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{
		cert: {Type: "CERTIFICATE", Bytes: pair.Certificate[0]},
		key:  {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, changed, changed); err != nil {
			t.Fatal(err)
		}
	}
}
