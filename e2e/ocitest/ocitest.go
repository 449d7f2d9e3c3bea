// Package ocitest serves a real OCI registry on loopback: Debian's docker-registry, behind a front of its own that does
// TLS, tokens, counting and faults. Tests use it; it needs docker-registry (Debian: apt-get install docker-registry).
//
//	server, err := ocitest.Start(ocitest.Options{})
//	digest, err := server.Commit("fleet:v1", map[string]string{"app.yaml": "…"}, "main@sha1:…")
//	fetch(server.URL("fleet"))
package ocitest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// ErrNoRegistry says that this machine has no docker-registry.
var ErrNoRegistry = errors.New("ocitest: docker-registry is not installed (Debian: apt-get install docker-registry)")

// Media types of Flux's artifacts.
const (
	ConfigType  types.MediaType = "application/vnd.cncf.flux.config.v1+json"
	ContentType types.MediaType = "application/vnd.cncf.flux.content.v1.tar+gzip"
)

// Options say how a Server serves. The zero value serves anonymous plain HTTP.
type Options struct {
	// Username and Password, when not both empty, are demanded: by the registry itself (Basic), or for a token.
	Username, Password string
	// Token demands a token of TokenPath, which is given for Username and Password, or to everybody.
	Token bool
	// TLS serves HTTPS, see CA. ClientCertificates demands any certificate from clients.
	TLS, ClientCertificates bool
	// Wrap puts a handler of the caller's in front of the registry, for faults.
	Wrap func(http.Handler) http.Handler
}

// TokenPath is where a Server with Options.Token gives tokens.
const TokenPath = "/token"

const token = "token-of-ocitest"

// Server is a registry. Its methods may be called from several goroutines.
type Server struct {
	options  Options
	dir      string
	cmd      *exec.Cmd
	ended    chan error
	front    *httptest.Server
	requests atomic.Int64
	broken   atomic.Bool
	password atomic.Pointer[string]
}

// Start starts a registry. ErrNoRegistry: there is none on this machine.
func Start(o Options) (*Server, error) {
	program, err := exec.LookPath("docker-registry")
	if err != nil {
		return nil, ErrNoRegistry
	}
	dir, err := os.MkdirTemp("", "ocitest-")
	if err != nil {
		return nil, err
	}
	s := &Server{options: o, dir: dir, ended: make(chan error, 1)}
	s.password.Store(&o.Password)
	if err := s.start(program); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return s, nil
}

// start starts the program, which listens at a socket, and the front.
func (s *Server) start(program string) error {
	config, err := s.configure()
	if err != nil {
		return err
	}
	var said bytes.Buffer
	s.cmd = exec.Command(program, "serve", config)
	s.cmd.Env, s.cmd.Stdout, s.cmd.Stderr = []string{"HOME=" + s.dir, "OTEL_TRACES_EXPORTER=none"}, &said, &said
	if err := s.cmd.Start(); err != nil {
		return err
	}
	go func() { s.ended <- s.cmd.Wait() }()
	for deadline := time.After(20 * time.Second); ; {
		if c, err := net.Dial("unix", s.socket()); err == nil {
			s.serve()
			return c.Close()
		}
		select {
		case err := <-s.ended:
			return fmt.Errorf("docker-registry ended: %w: %s", err, said.String())
		case <-deadline:
			_ = s.cmd.Process.Kill()
			return errors.New("docker-registry does not listen")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (s *Server) socket() string { return filepath.Join(s.dir, "socket") }

// configure writes the configuration of the program.
func (s *Server) configure() (string, error) {
	config := fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"+
		"storage: {filesystem: {rootdirectory: %s}, delete: {enabled: true}}\n"+
		"http: {net: unix, addr: %s, relativeurls: true}\n", filepath.Join(s.dir, "data"), s.socket())
	if s.options.Username != "" && !s.options.Token {
		if err := s.writePassword(); err != nil {
			return "", err
		}
		config += "auth: {htpasswd: {realm: ocitest, path: " + s.passwords() + "}}\n"
	}
	path := filepath.Join(s.dir, "config.yml")
	return path, os.WriteFile(path, []byte(config), 0o600)
}

func (s *Server) passwords() string { return filepath.Join(s.dir, "htpasswd") }

// writePassword writes the file that the program reads again when it changes.
func (s *Server) writePassword() error {
	hash, err := bcrypt.GenerateFromPassword([]byte(*s.password.Load()), bcrypt.MinCost)
	if err != nil {
		return err
	}
	return os.WriteFile(s.passwords(), fmt.Appendf(nil, "%s:%s\n", s.options.Username, hash), 0o600)
}

// serve starts the front. It is, from outside in: count, Break, the caller's own, tokens, the registry.
func (s *Server) serve() {
	var h http.Handler = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: "registry"})
			r.Out.Host = r.In.Host
		},
		ErrorLog: log.New(io.Discard, "", 0),
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", s.socket())
		}},
	}
	if s.options.Token {
		h = s.authenticate(h)
	}
	if s.options.Wrap != nil {
		h = s.options.Wrap(h)
	}
	s.front = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		if s.broken.Load() {
			panic(http.ErrAbortHandler)
		}
		h.ServeHTTP(w, r)
	}))
	s.front.Config.ErrorLog = log.New(io.Discard, "", 0)
	if !s.options.TLS {
		s.front.Start()
		return
	}
	s.front.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	if s.options.ClientCertificates {
		s.front.TLS.ClientAuth = tls.RequireAnyClientCert
	}
	s.front.StartTLS()
}

// authenticate gives and demands tokens.
func (s *Server) authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		switch {
		case r.URL.Path == TokenPath && user == s.options.Username && password == *s.password.Load():
			fmt.Fprintf(w, `{"token": %q}`, token)
		case r.URL.Path == TokenPath:
			http.Error(w, `{"errors":[{"code":"UNAUTHORIZED"}]}`, http.StatusUnauthorized)
		case r.Header.Get("Authorization") == "Bearer "+token:
			r.Header.Del("Authorization")
			next.ServeHTTP(w, r)
		default:
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s%s",service="ocitest"`, s.front.URL, TokenPath))
			http.Error(w, `{"errors":[{"code":"UNAUTHORIZED"}]}`, http.StatusUnauthorized)
		}
	})
}

// Host returns the host and port.
func (s *Server) Host() string { return s.front.Listener.Addr().String() }

// URL returns the URL of a repository, as an OCIRepository names it.
func (s *Server) URL(repository string) string { return "oci://" + s.Host() + "/" + repository }

// Requests returns how many requests arrived.
func (s *Server) Requests() int64 { return s.requests.Load() }

// CA returns the certificate of a server with Options.TLS, in PEM form.
func (s *Server) CA() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.front.Certificate().Raw})
}

// ClientCertificate returns a certificate and its key, in PEM form, for a server with Options.ClientCertificates.
func (s *Server) ClientCertificate() (certificate, key []byte, err error) {
	pair := s.front.TLS.Certificates[0]
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
}

// DockerConfig returns a Docker configuration with the credentials.
func (s *Server) DockerConfig() string {
	return fmt.Sprintf(`{"auths":{%q:{"username":%q,"password":%q}}}`, s.Host(), s.options.Username, *s.password.Load())
}

// Break closes every connection without an answer, until Heal.
func (s *Server) Break() { s.broken.Store(true) }

// Heal ends what Break began.
func (s *Server) Heal() { s.broken.Store(false) }

// SetPassword changes the password that is demanded of Options.Username.
func (s *Server) SetPassword(password string) error {
	s.password.Store(&password)
	if s.options.Token {
		return nil
	}
	return s.writePassword()
}

// Close ends the registry and removes what it stored.
func (s *Server) Close() error {
	s.front.CloseClientConnections()
	s.front.Close()
	err := s.cmd.Process.Kill()
	<-s.ended
	return errors.Join(err, os.RemoveAll(s.dir))
}

// Options for package remote to talk to the registry.
func (s *Server) Options() []remote.Option {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true} // its own server
	options := []remote.Option{remote.WithTransport(transport)}
	if s.options.ClientCertificates {
		transport.TLSClientConfig.Certificates = s.front.TLS.Certificates
	}
	if s.options.Username != "" {
		auth := &authn.Basic{Username: s.options.Username, Password: *s.password.Load()}
		options = append(options, remote.WithAuth(auth))
	}
	return options
}

// Reference returns repository:tag or repository@digest for package remote.
func (s *Server) Reference(ref string) (name.Reference, error) {
	return name.ParseReference(s.Host()+"/"+ref, name.Insecure)
}

// Push pushes an image to repository:tag and returns its digest, sha256:….
func (s *Server) Push(ref string, image v1.Image) (string, error) {
	to, err := s.Reference(ref)
	if err != nil {
		return "", err
	}
	if err := remote.Write(to, image, s.Options()...); err != nil {
		return "", err
	}
	digest, err := image.Digest()
	return digest.String(), err
}

// Image returns an artifact of some layers, as Flux makes them.
func Image(annotations map[string]string, layers ...v1.Layer) (v1.Image, error) {
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), ConfigType)
	image = mutate.Annotations(image, annotations).(v1.Image)
	for _, layer := range layers {
		var err error
		if image, err = mutate.Append(image, mutate.Addendum{Layer: layer}); err != nil {
			return nil, err
		}
	}
	return image, nil
}

// Layer returns a layer of a type with a content.
func Layer(content []byte, mediaType types.MediaType) v1.Layer {
	return static.NewLayer(content, mediaType)
}

// Archive returns a compressed tar archive of files by their paths.
func Archive(files map[string]string) []byte {
	var headers []Entry
	for _, path := range slices.Sorted(maps.Keys(files)) {
		headers = append(headers, Entry{tar.Header{Name: path, Mode: 0o644, Size: int64(len(files[path]))}, files[path]})
	}
	return Pack(headers...)
}

// Entry is one entry of an archive.
type Entry struct {
	tar.Header
	Content string
}

// Pack returns a compressed tar archive.
func Pack(entries ...Entry) []byte {
	var b bytes.Buffer
	compressed := gzip.NewWriter(&b)
	archive := tar.NewWriter(compressed)
	for _, e := range entries {
		if err := archive.WriteHeader(&e.Header); err != nil {
			panic(err) // the caller's header is wrong
		}
		_, _ = io.WriteString(archive, e.Content)
	}
	_ = archive.Close()
	_ = compressed.Close()
	return b.Bytes()
}

// Commit pushes files as an artifact to repository:tag and returns its digest. It names revision as where it is from.
func (s *Server) Commit(ref string, files map[string]string, revision string) (string, error) {
	annotations := map[string]string{
		"org.opencontainers.image.revision": revision, "org.opencontainers.image.source": "https://git.example.com/fleet",
	}
	if revision == "" {
		annotations = nil
	}
	image, err := Image(annotations, Layer(Archive(files), ContentType))
	if err != nil {
		return "", err
	}
	return s.Push(ref, image)
}

// Tag lets repository:tag mean what another tag of the repository means.
func (s *Server) Tag(repository, tag, from string) error {
	known, err := s.Reference(repository + ":" + from)
	if err != nil {
		return err
	}
	d, err := remote.Get(known, s.Options()...)
	if err != nil {
		return err
	}
	return remote.Tag(known.Context().Tag(tag), d, s.Options()...)
}

// Delete deletes a tag of a repository, and with it all other tags of its image.
func (s *Server) Delete(repository, tag string) error {
	known, err := s.Reference(repository + ":" + tag)
	if err != nil {
		return err
	}
	d, err := remote.Head(known, s.Options()...)
	if err != nil {
		return err
	}
	return remote.Delete(known.Context().Digest(d.Digest.String()), s.Options()...)
}

// Sign signs a digest of a repository as cosign sign --key does, and stores the signature beside the artifact at.
func (s *Server) Sign(repository, at, digest string, key crypto.Signer) error {
	return s.SignPayload(repository, at, payloadOf(digest), key)
}

// SignPayload signs any text and stores the signature beside the artifact at, which is a digest.
func (s *Server) SignPayload(repository, at, payload string, key crypto.Signer) error {
	signature, err := sign(key, []byte(payload))
	if err != nil {
		return err
	}
	return s.StoreSignature(repository, at, payload, map[string]string{
		"dev.cosignproject.cosign/signature": base64.StdEncoding.EncodeToString(signature),
	})
}

// sign signs a message as cosign does.
func sign(key crypto.Signer, message []byte) ([]byte, error) {
	options := crypto.SignerOpts(crypto.Hash(0))
	if _, whole := key.(ed25519.PrivateKey); !whole {
		sum := sha256.Sum256(message)
		message, options = sum[:], crypto.SHA256
	}
	return key.Sign(rand.Reader, message, options)
}

// SignBundle stores a Sigstore bundle, as cosign 3 does, with a signed statement of a type about a digest. The bundle
// refers to the artifact at, which is a digest.
func (s *Server) SignBundle(repository, at, digest, predicate string, key crypto.Signer) error {
	const statementType = "application/vnd.in-toto+json"
	statement := fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":%q}}],`+
		`"predicateType":%q,"predicate":{}}`, strings.TrimPrefix(digest, "sha256:"), predicate)
	signature, err := sign(key, fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(statementType), statementType, len(statement),
		statement))
	if err != nil {
		return err
	}
	const bundleType = "application/vnd.dev.sigstore.bundle.v0.3+json"
	encoded := base64.StdEncoding.EncodeToString
	bundle := fmt.Sprintf(`{"mediaType":%q,"verificationMaterial":{"publicKey":{"hint":"x"}},"dsseEnvelope":`+
		`{"payload":%q,"payloadType":%q,"signatures":[{"sig":%q}]}}`, bundleType, encoded(statement), statementType,
		encoded(signature))
	about, err := s.Reference(repository + "@" + at)
	if err != nil {
		return err
	}
	subject, err := remote.Head(about, s.Options()...)
	if err != nil {
		return err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), bundleType)
	if image, err = mutate.AppendLayers(image, Layer([]byte(bundle), bundleType)); err != nil {
		return err
	}
	to, err := s.Reference(repository + ":bundle")
	if err != nil {
		return err
	}
	return remote.Write(to, mutate.Subject(image, *subject).(v1.Image), s.Options()...)
}
