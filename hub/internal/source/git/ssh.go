package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/dial"
	"github.com/navefleet/nave/hub/internal/source"
)

// sshSession runs a service on the server over one ssh connection.
type sshSession struct {
	conn    net.Conn
	client  *ssh.Client
	command *ssh.Session
	stdin   io.WriteCloser
	stdout  io.Reader
	stderr  message
	ended   func() bool // stops watching the context
	limits  Limits
}

func openSSH(ctx context.Context, f *fetching, service string) (*sshSession, error) {
	auth, err := readSSHAuth(f.Secrets[secretField])
	if err != nil {
		return nil, err
	}
	hosts, err := readKnownHosts(auth.knownHosts, f.Workspace.Tmp)
	if err != nil {
		return nil, err
	}
	address := dial.AddressOf(f.url)
	conn, err := dialSSH(ctx, f, address)
	if err != nil {
		return nil, err
	}
	// The end of the context closes the connection, so that nothing waits for it any more.
	s := &sshSession{conn: conn, limits: f.limits, ended: context.AfterFunc(ctx, func() { _ = conn.Close() })}
	err = s.handshake(address, user(f.url), auth.signer, hosts)
	if err == nil {
		err = s.start(f.url, service)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// dialSSH connects to an address, by way of the proxy of spec.proxySecretRef if there is one.
func dialSSH(ctx context.Context, f *fetching, address string) (net.Conn, error) {
	proxy, err := f.Proxy()
	switch {
	case err != nil:
		return nil, err
	case proxy == nil:
		return dial.New(f.Network).DialContext(ctx, "tcp", address)
	case proxy.Scheme != "socks5":
		return nil, fmt.Errorf("%w: ssh needs a proxy that speaks SOCKS5: give a socks5:// address in the Secret of "+
			"spec.proxySecretRef, or use an https URL", source.ErrRequest)
	}
	return dial.New(f.Network).DialSOCKS(ctx, proxy, "tcp", address)
}

// user returns the user in a URL, or the usual one of Git servers.
func user(u *url.URL) string {
	if u.User == nil || u.User.Username() == "" {
		return "git"
	}
	return u.User.Username()
}

// readKnownHosts parses the lines of a known_hosts file. The parser reads only files, so the lines are written to one.
func readKnownHosts(text []byte, tmp string) (*knownhosts.HostKeyDB, error) {
	file, err := os.CreateTemp(tmp, "known-hosts-")
	if err != nil {
		return nil, artifact.StorageError(err)
	}
	defer os.Remove(file.Name())
	_, err = file.Write(text)
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, artifact.StorageError(err)
	}
	hosts, err := knownhosts.NewDB(file.Name())
	if err != nil {
		return nil, fmt.Errorf("%w: known_hosts: %w", source.ErrRequest, err)
	}
	return hosts, nil
}

// handshake checks the host key and logs in.
func (s *sshSession) handshake(address, user string, signer ssh.Signer, hosts *knownhosts.HostKeyDB) error {
	var asked bool // for our key: the host key was accepted before
	config := &ssh.ClientConfig{
		User:              user,
		HostKeyCallback:   hosts.HostKeyCallback(),
		HostKeyAlgorithms: hosts.HostKeyAlgorithms(address),
		ClientVersion:     "SSH-2.0-nave",
		Auth: []ssh.AuthMethod{ssh.PublicKeysCallback(func() ([]ssh.Signer, error) {
			asked = true
			return []ssh.Signer{signer}, nil
		})},
	}
	var revoked *xknownhosts.RevokedError
	conn, channels, requests, err := ssh.NewClientConn(s.conn, address, config)
	switch {
	case err == nil:
		s.client = ssh.NewClient(conn, channels, requests)
		return nil
	case knownhosts.IsHostKeyChanged(err):
		return fmt.Errorf("%w: its host key is not the one in known_hosts (an attack, or the key was changed: compare it "+
			"and update the Secret)", source.ErrUntrusted)
	case knownhosts.IsHostUnknown(err):
		return fmt.Errorf("%w: known_hosts has no key for %s (ssh-keyscan prints it)", source.ErrUntrusted, address)
	case errors.As(err, &revoked):
		return fmt.Errorf("%w: known_hosts says that its host key is revoked", source.ErrUntrusted)
	case asked:
		return fmt.Errorf("%w: the server does not accept the key %s for user %s",
			source.ErrAuthentication, ssh.FingerprintSHA256(signer.PublicKey()), user)
	default:
		return fmt.Errorf("%w: %w", source.ErrUnreachable, err)
	}
}

// start runs the service.
func (s *sshSession) start(u *url.URL, service string) error {
	command, err := s.client.NewSession()
	if err != nil {
		return fmt.Errorf("%w: %w", source.ErrUnreachable, err)
	}
	path := u.Path
	if strings.HasPrefix(path, "/~") {
		path = path[1:]
	}
	s.command, command.Stderr = command, &s.stderr
	var err2, err3 error
	s.stdin, err = command.StdinPipe()
	s.stdout, err2 = command.StdoutPipe()
	err3 = command.Start(service + " " + quote(path))
	if err := errors.Join(err, err2, err3); err != nil {
		return fmt.Errorf("%w: %w", source.ErrUnreachable, err)
	}
	return nil
}

// quote returns s as one word for a POSIX shell, as Git's sq_quote does.
func quote(s string) string {
	return "'" + strings.NewReplacer("'", `'\''`, "!", `'\!'`).Replace(s) + "'"
}

func (s *sshSession) advertise(context.Context) (*packp.AdvRefs, error) {
	refs, err := decodeAdvertisement(s.stdout, s.limits)
	if errors.Is(err, packp.ErrEmptyInput) {
		return nil, s.ending()
	}
	return refs, err
}

// ending returns why the server ended the session before it spoke Git's protocol.
func (s *sshSession) ending() error {
	_ = s.command.Wait() // until all of stderr was read, or the context ends
	if text := strings.TrimSpace(string(s.stderr)); text != "" {
		return remoteError(text)
	}
	return fmt.Errorf("%w: the server ended the session at once", source.ErrUnreachable)
}

func (s *sshSession) ask(_ context.Context, request request) (io.ReadCloser, error) {
	if err := request.write(s.stdin, true); err != nil {
		return nil, err
	}
	if err := s.stdin.Close(); err != nil {
		return nil, err
	}
	return io.NopCloser(s.stdout), nil
}

func (s *sshSession) close() {
	s.ended()
	if s.client != nil {
		_ = s.client.Close()
	}
	_ = s.conn.Close()
}

// message keeps the first maxMessage bytes that are written to it.
type message []byte

func (m *message) Write(p []byte) (int, error) {
	*m = append(*m, p[:min(maxMessage-len(*m), len(p))]...)
	return len(p), nil
}
