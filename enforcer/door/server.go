package door

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/klog/v2"
)

// Limits on what one who is nobody yet may make us hold.
const (
	// maxHeader is room for a token with many claims.
	maxHeader = 16 << 10
	// headerTimeout bounds the handshake and the request's header.
	headerTimeout = 5 * time.Second
	readTimeout   = 10 * time.Second
	// writeTimeout covers the reviews and the collection of a large answer.
	writeTimeout = 30 * time.Second
	idleTimeout  = 60 * time.Second
)

// Server answers on one address.
type Server struct {
	listener net.Listener
	server   *http.Server
}

// Listen opens the address at once, so that a wrong one fails the start. With
// certificates nil it speaks plain HTTP.
func Listen(address string, h http.Handler, certificates Certificates) (*Server, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %q: %w", address, err)
	}
	return serverOn(newCrowd(l), h, certificates), nil
}

// ListenSocket serves plain HTTP on a socket of the file system, which only its owner may
// open. One that an earlier server left behind is replaced; another file is not.
func ListenSocket(path string, h http.Handler) (*Server, error) {
	if info, err := os.Lstat(path); err == nil {
		if info.Mode().Type() != fs.ModeSocket {
			return nil, fmt.Errorf("listen on %q: there is a file of that name, which is no socket: remove it, or name another", path)
		}
		if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
			_ = conn.Close()
			return nil, fmt.Errorf("listen on %q: another process answers there", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("listen on %q: %w", path, err)
		}
	}
	// It is made where nobody else can come by, and moved when it is nobody else's.
	dir, err := os.MkdirTemp(filepath.Dir(path), ".sluice")
	if err != nil {
		return nil, fmt.Errorf("listen on %q: %w", path, err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	made := filepath.Join(dir, "s")
	l, err := net.Listen("unix", made)
	if err != nil {
		return nil, fmt.Errorf("listen on %q: %w", path, err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if err = os.Chmod(made, 0o600); err == nil {
		err = os.Rename(made, path)
	}
	if err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("listen on %q: %w", path, err)
	}
	return serverOn(newCrowd(l), h, nil), nil
}

func serverOn(l net.Listener, h http.Handler, certificates Certificates) *Server {
	if certificates != nil {
		l = tls.NewListener(l, &tls.Config{
			MinVersion: tls.VersionTLS12, GetCertificate: certificates.get, NextProtos: []string{"http/1.1"},
		})
	}
	return &Server{l, &http.Server{
		Handler:           readOnly(h),
		ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeader,
		// Anybody can cause what comes here.
		ErrorLog: log.New(quietLog{}, "", 0),
		// HTTP/2 lets one connection carry hundreds of requests: connections
		// are what is counted here.
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
	}}
}

// quietLog has what the HTTP server says in the log of those who look for it.
type quietLog struct{}

func (quietLog) Write(line []byte) (int, error) {
	klog.Background().V(4).Info("HTTP server", "says", strings.TrimSpace(string(line)))
	return len(line), nil
}

// Addr is where it listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Close gives up the address of a server that is not to be served.
func (s *Server) Close() error { return s.listener.Close() }

// Serve answers until the context ends.
func (s *Server) Serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = s.server.Close() })
	defer stop()
	if err := s.server.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// readOnly refuses whatever asks for a change, or brings a body along.
func readOnly(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "only GET and HEAD are served", http.StatusMethodNotAllowed)
			return
		}
		if r.ContentLength != 0 {
			http.Error(w, "a body is of no use here", http.StatusRequestEntityTooLarge)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// Loopback reports whether an address to listen on is one that only the node
// itself can reach. A name other than localhost is not: nobody knows what it
// will be resolved to.
func Loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}
