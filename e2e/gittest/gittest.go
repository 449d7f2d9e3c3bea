// Package gittest serves real Git repositories on loopback: git's own http-backend over HTTP or HTTPS, and OpenSSH's
// sshd. Tests, the demo and the benchmarks use it; it needs the git command, and sshd for StartSSH.
//
//	server, err := gittest.Start(gittest.Options{})
//	repo, err := server.NewRepository("fleet")
//	hash, err := repo.Commit(map[string]string{"app.yaml": "…"}, "add the app")
//	fetch(repo.URL())
//
// Every commit is made in a work tree of the repository's own and pushed, so a hash that Commit returned can be
// fetched.
package gittest

import (
	"bytes"
	"context"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"
)

// Options say how a Server serves. The zero value serves anonymous plain HTTP.
type Options struct {
	// Address to listen on; empty: a free port of 127.0.0.1.
	Address string
	// Dir keeps the repositories; empty: a temporary directory that Close removes.
	Dir string
	// Username and Password, when not both empty, are demanded by HTTP basic authentication.
	Username, Password string
	// BearerToken, when not empty, is demanded.
	BearerToken string
	// TLS serves HTTPS with a certificate of the server's own authority, see CA.
	TLS bool
	// ClientCertificates demands a certificate of the same authority from clients, see ClientCertificate.
	ClientCertificates bool
	// Push lets clients push over HTTP.
	Push bool
	// Wrap puts a handler of the caller's in front of git's, for faults that Break does not have.
	Wrap func(http.Handler) http.Handler
}

// Fault is a way to be broken.
type Fault int32

// The faults of a server.
const (
	None  Fault = iota
	Error       // every request is answered with 500
	Drop        // every connection is closed without an answer
	Stall       // requests are never answered, until Heal, Close or the client's own end
)

// Server serves every repository it made. Its methods may be called from several goroutines.
type Server struct {
	options   Options
	dir       string
	temporary bool
	http      *http.Server
	base      string
	authority *authority
	fault     atomic.Int32
	password  atomic.Pointer[string]
	requests  atomic.Int64
	healed    atomic.Pointer[chan struct{}]
	done      chan struct{}
}

// Start starts a server. It needs the git command with its http-backend.
func Start(options Options) (*Server, error) {
	backend, err := findBackend()
	if err != nil {
		return nil, err
	}
	s := &Server{options: options, dir: options.Dir, done: make(chan struct{})}
	s.password.Store(&options.Password)
	s.reopen()
	if s.dir == "" {
		s.temporary = true
		if s.dir, err = os.MkdirTemp("", "gittest-"); err != nil {
			return nil, err
		}
	}
	if err := s.listen(backend); err != nil {
		return nil, errors.Join(err, s.removeDir())
	}
	return s, nil
}

// findBackend returns the path of git's CGI program.
func findBackend() (string, error) {
	out, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		return "", fmt.Errorf("find git's programs: %w (install git)", err)
	}
	path := filepath.Join(strings.TrimSpace(string(out)), "git-http-backend")
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("find git http-backend: %w (it comes with git's full package)", err)
	}
	return path, nil
}

func (s *Server) listen(backend string) error {
	address := s.options.Address
	if address == "" {
		address = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	s.base = "http://" + listener.Addr().String()
	if s.options.TLS || s.options.ClientCertificates {
		if listener, err = s.secure(listener); err != nil {
			return err
		}
		s.base = "https://" + listener.Addr().String()
	}
	s.http = &http.Server{Handler: s.handler(backend), ReadHeaderTimeout: 10 * time.Second,
		ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = s.http.Serve(listener) }()
	return nil
}

// secure puts TLS around a listener.
func (s *Server) secure(l net.Listener) (net.Listener, error) {
	var err error
	if s.authority, err = newAuthority(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	certificate, err := s.authority.issue(net.IPv4(127, 0, 0, 1))
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate}}
	if s.options.ClientCertificates {
		config.ClientAuth = tls.RequireAndVerifyClientCert
		config.ClientCAs = x509.NewCertPool()
		config.ClientCAs.AddCert(s.authority.certificate)
	}
	return tls.NewListener(l, config), nil
}

// handler is, from outside in: count, faults, the caller's own, authentication, git.
func (s *Server) handler(backend string) http.Handler {
	var h http.Handler = s.authenticate(buffered(&cgi.Handler{
		Path:   backend,
		Dir:    s.dir,
		Stderr: io.Discard,
		Env:    append(gitEnv(s.dir), "GIT_PROJECT_ROOT="+s.dir, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=gittest"),
	}))
	if s.options.Wrap != nil {
		h = s.options.Wrap(h)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		switch Fault(s.fault.Load()) {
		case Error:
			http.Error(w, "broken on purpose", http.StatusInternalServerError)
		case Drop:
			panic(http.ErrAbortHandler)
		case Stall:
			s.stall(r.Context())
			panic(http.ErrAbortHandler)
		default:
			h.ServeHTTP(w, r)
		}
	})
}

func (s *Server) stall(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-*s.healed.Load():
	case <-s.done:
	}
}

func (s *Server) authenticate(next http.Handler) http.Handler {
	o := s.options
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		wanted := *s.password.Load()
		if (o.Username != "" || wanted != "") && !(equal(user, o.Username) && equal(password, wanted)) {
			w.Header().Set("WWW-Authenticate", `Basic realm="gittest"`)
			http.Error(w, "wrong user name or password", http.StatusUnauthorized)
			return
		}
		if o.BearerToken != "" && !equal(r.Header.Get("Authorization"), "Bearer "+o.BearerToken) {
			http.Error(w, "wrong token", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// buffered gives a chunked body the length that CGI wants.
func buffered(next http.Handler) http.Handler {
	const most = 256 << 20
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength < 0 {
			body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
			if err != nil {
				http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
				return
			}
			r.Body, r.ContentLength, r.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
		}
		next.ServeHTTP(w, r)
	})
}

// URL returns the server's address, without a slash at its end.
func (s *Server) URL() string { return s.base }

// Dir returns the directory that holds the repositories.
func (s *Server) Dir() string { return s.dir }

// Requests returns how many HTTP requests have arrived so far.
func (s *Server) Requests() int64 { return s.requests.Load() }

// CA returns the certificate, PEM, that the server's own chains to; nil without TLS.
func (s *Server) CA() []byte {
	if s.authority == nil {
		return nil
	}
	return s.authority.pem()
}

// ClientCertificate issues a certificate for a client and returns it and its key as PEM.
func (s *Server) ClientCertificate() (certificate, key []byte, err error) {
	if s.authority == nil {
		return nil, nil, errors.New("gittest: the server has no TLS")
	}
	return s.authority.issuePEM()
}

// SetPassword changes the password that is demanded of Options.Username.
func (s *Server) SetPassword(password string) { s.password.Store(&password) }

// Break makes the server fail in the given way until Heal.
func (s *Server) Break(f Fault) { s.fault.Store(int32(f)) }

// Heal ends what Break began, also for requests that are stalled now.
func (s *Server) Heal() {
	s.fault.Store(int32(None))
	close(*s.reopen())
}

// reopen puts a new channel in place for stalled requests to wait on and returns the old one.
func (s *Server) reopen() *chan struct{} {
	c := make(chan struct{})
	return s.healed.Swap(&c)
}

// Close ends the server, its connections and, if it made it, its directory.
func (s *Server) Close() error {
	close(s.done)
	return errors.Join(s.http.Close(), s.removeDir())
}

func (s *Server) removeDir() error {
	if !s.temporary {
		return nil
	}
	return os.RemoveAll(s.dir)
}
