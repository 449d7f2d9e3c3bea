// Package s3test runs a real S3-compatible server, Versity's gateway, for tests.
package s3test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// ErrNoServer: this machine has no versitygw. CI installs it by
// go install github.com/versity/versitygw/cmd/versitygw@v1.8.0.
var ErrNoServer = errors.New("there is no versitygw on this machine")

// The credentials of the server.
const (
	AccessKey = "nave-access"
	SecretKey = "nave-secret-key"
)

// Server is a running server, behind a proxy that counts requests.
type Server struct {
	Client *minio.Client

	dir      string
	command  *exec.Cmd
	front    *http.Server
	endpoint string
	requests atomic.Int64
	gets     atomic.Int64
}

// Start starts a server on a free port of the loopback interface.
func Start(ctx context.Context) (*Server, error) {
	program, err := exec.LookPath("versitygw")
	if err != nil {
		return nil, ErrNoServer
	}
	s := &Server{}
	if s.dir, err = os.MkdirTemp("", "s3test-"); err != nil {
		return nil, err
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := free.Addr().String()
	_ = free.Close()
	data := filepath.Join(s.dir, "data")
	if err := os.Mkdir(data, 0o755); err != nil {
		return nil, err
	}
	s.command = exec.Command(program, "--access", AccessKey, "--secret", SecretKey, "--port", address, "--quiet",
		"posix", data)
	var output bytes.Buffer
	s.command.Stdout, s.command.Stderr = &output, &output
	if err := s.command.Start(); err != nil {
		return nil, err
	}
	if err := await(ctx, address); err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("%w: %s", err, output.String())
	}
	return s, s.forward(address)
}

// await waits until a server listens.
func await(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}

// forward connects the client, and opens the port that counts.
func (s *Server) forward(address string) (err error) {
	s.Client, err = minio.New(address, &minio.Options{Creds: credentials.NewStaticV4(AccessKey, SecretKey, "")})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.endpoint = listener.Addr().String()
	s.front = &http.Server{Handler: s.counting(address), ReadHeaderTimeout: time.Minute}
	go func() { _ = s.front.Serve(listener) }()
	return nil
}

// counting forwards requests as they are: their signatures name the host that was asked.
func (s *Server) counting(address string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		if strings.Count(strings.Trim(r.URL.Path, "/"), "/") > 0 {
			s.gets.Add(1)
		}
		out := r.Clone(r.Context())
		out.RequestURI, out.URL.Scheme, out.URL.Host = "", "http", address
		answer, err := http.DefaultTransport.RoundTrip(out)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer answer.Body.Close()
		for name, values := range answer.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(answer.StatusCode)
		var b bytes.Buffer
		_, _ = b.ReadFrom(answer.Body)
		_, _ = w.Write(b.Bytes())
	})
}

// Endpoint returns the address of the server, host:port.
func (s *Server) Endpoint() string { return s.endpoint }

// Requests returns how many requests came since the last call, and how many of them were for an object.
func (s *Server) Requests() (all, objects int64) { return s.requests.Swap(0), s.gets.Swap(0) }

// Put puts an object.
func (s *Server) Put(ctx context.Context, bucket, key, text string) error {
	_, err := s.Client.PutObject(ctx, bucket, key, strings.NewReader(text), int64(len(text)), minio.PutObjectOptions{})
	return err
}

// Close ends the server and removes its data.
func (s *Server) Close() error {
	if s.front != nil {
		_ = s.front.Close()
	}
	if s.command.Process != nil {
		_ = s.command.Process.Kill()
		_ = s.command.Wait()
	}
	return os.RemoveAll(s.dir)
}
