package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// token is the administrator's. The server listens on 127.0.0.1 alone and lives
// as long as the measurement.
const token = "footprint"

// apiServer is a real kube-apiserver with a real etcd below it, and nothing
// else of a cluster: no controllers that would remove Pods of nodes that do not
// exist, and no kubelets.
type apiServer struct {
	dir        string
	etcd       string // URL
	address    string
	processes  []*exec.Cmd
	kubernetes kubernetes.Interface
}

// startAPIServer runs the two programs out of a directory.
func startAPIServer(ctx context.Context, programs, dir string) (*apiServer, error) {
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	s := &apiServer{dir: dir, etcd: "http://127.0.0.1:" + ports[0], address: "127.0.0.1:" + ports[2]}
	if err := s.writeFiles(); err != nil {
		return nil, err
	}
	peer := "http://127.0.0.1:" + ports[1]
	if err := s.start(filepath.Join(programs, "etcd"),
		"--data-dir="+filepath.Join(dir, "etcd"), "--unsafe-no-fsync", "--log-level=error",
		"--listen-client-urls="+s.etcd, "--advertise-client-urls="+s.etcd,
		"--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer, "--initial-cluster=default="+peer,
		"--quota-backend-bytes=8589934592",
	); err != nil {
		return nil, err
	}
	key := filepath.Join(dir, "accounts.key")
	if err := s.start(filepath.Join(programs, "kube-apiserver"),
		"--etcd-servers="+s.etcd, "--bind-address=127.0.0.1", "--secure-port="+ports[2], "--cert-dir="+filepath.Join(dir, "certificates"),
		"--token-auth-file="+filepath.Join(dir, "tokens"), "--authorization-mode=RBAC", "--disable-admission-plugins=ServiceAccount",
		"--service-account-issuer=https://footprint", "--service-account-key-file="+key, "--service-account-signing-key-file="+key,
		"--service-cluster-ip-range=10.96.0.0/16", "--endpoint-reconciler-type=none", "--profiling=false",
	); err != nil {
		s.stop()
		return nil, err
	}
	if err := s.wait(ctx); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

func (s *apiServer) writeFiles() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(s.dir, "accounts.key"), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600),
		os.WriteFile(filepath.Join(s.dir, "tokens"), []byte(token+",admin,admin,system:masters\n"), 0o600),
	)
}

func (s *apiServer) start(program string, args ...string) error {
	log, err := os.Create(filepath.Join(s.dir, filepath.Base(program)+".log"))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.processes = append(s.processes, cmd)
	return nil
}

func (s *apiServer) stop() {
	for _, p := range s.processes {
		_ = p.Process.Kill()
		_ = p.Wait()
	}
}

func (s *apiServer) config() *rest.Config {
	return &rest.Config{
		Host: "https://" + s.address, BearerToken: token, TLSClientConfig: rest.TLSClientConfig{Insecure: true},
		QPS: 1000, Burst: 1000,
	}
}

func (s *apiServer) wait(ctx context.Context) error {
	client, err := kubernetes.NewForConfig(s.config())
	if err != nil {
		return err
	}
	s.kubernetes = client
	for deadline := time.Now().Add(90 * time.Second); ; {
		_, err = client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return fmt.Errorf("the API server does not become ready, see %s: %w", s.dir, err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func freePorts(n int) ([]string, error) {
	var out []string
	var open []net.Listener
	// Closed only when all are chosen, so that they differ.
	defer func() {
		for _, l := range open {
			_ = l.Close()
		}
	}()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		open = append(open, l)
		_, port, err := net.SplitHostPort(l.Addr().String())
		if err != nil {
			return nil, err
		}
		out = append(out, port)
	}
	return out, nil
}
