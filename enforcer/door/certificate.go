package door

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"os"
	"sync"
	"time"

	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
)

// Certificates has the certificate to show.
type Certificates interface {
	get(*tls.ClientHelloInfo) (*tls.Certificate, error)
}

// selfSignedFor is how long a certificate of our own is valid. It is replaced
// after half of that.
const selfSignedFor = 365 * 24 * time.Hour

// selfSigned is a certificate that nobody vouches for: it keeps out who only
// listens, and with a pinned certificate more.
type selfSigned struct {
	name  string
	clock clock.PassiveClock

	mu   sync.Mutex
	cert *tls.Certificate
	born time.Time
}

// SelfSigned makes a certificate for the name, now and whenever it gets old.
func SelfSigned(name string, c clock.PassiveClock) (Certificates, error) {
	s := &selfSigned{name: name, clock: c}
	_, err := s.get(nil)
	return s, err
}

func (s *selfSigned) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now()
	if s.cert != nil && now.Sub(s.born) < selfSignedFor/2 {
		return s.cert, nil
	}
	cert, err := makeCertificate(s.name, now)
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	s.cert, s.born = cert, now
	return cert, nil
}

func makeCertificate(name string, now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "sluice-agent"},
		// Clocks differ.
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(selfSignedFor),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	if name != "" {
		template.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// lookEvery is how old an answer about the files may be.
const lookEvery = 10 * time.Second

// files is a certificate that somebody renews.
type files struct {
	cert, key string
	clock     clock.PassiveClock

	mu     sync.Mutex
	loaded *tls.Certificate
	// stamp is what the files looked like when they were last read.
	stamp  [2]stamp
	looked time.Time
}

type stamp struct {
	changed time.Time
	size    int64
}

// Files reads certificate and key now, and again when they change.
func Files(cert, key string, c clock.PassiveClock) (Certificates, error) {
	f := &files{cert: cert, key: key, clock: c}
	_, err := f.get(nil)
	return f, err
}

// get goes on with what was read last while the files cannot be used: both are
// not always replaced at once.
func (f *files) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.clock.Now()
	if f.loaded != nil && now.Sub(f.looked) < lookEvery {
		return f.loaded, nil
	}
	f.looked = now
	err := f.load()
	if err == nil || f.loaded == nil {
		return f.loaded, err
	}
	klog.Background().Error(err, "Failed to read the renewed certificate; going on with the last")
	return f.loaded, nil
}

func (f *files) load() error {
	var seen [2]stamp
	for i, path := range []string{f.cert, f.key} {
		info, err := os.Stat(path)
		if err != nil {
			return fmt.Errorf("read certificate: %w", err)
		}
		seen[i] = stamp{info.ModTime(), info.Size()}
	}
	if f.loaded != nil && seen == f.stamp {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return fmt.Errorf("read certificate: %w", err)
	}
	f.loaded, f.stamp = &pair, seen
	return nil
}
