package gittest

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// ErrNoSSHD says that this machine has no sshd (Debian: apt-get install openssh-server).
var ErrNoSSHD = errors.New("gittest: sshd is not installed (Debian: apt-get install openssh-server)")

var errEnded = errors.New("gittest: sshd ended")

// SSHServer is an OpenSSH sshd on loopback that serves the repositories of a Server, to one key, and nothing but Git.
type SSHServer struct {
	dir      string
	root     string
	address  string
	user     string
	guard    string
	identity ed25519.PrivateKey
	hostKey  ssh.PublicKey
	cmd      *exec.Cmd
	log      *lockedBuffer
	ended    chan struct{}
}

// StartSSH starts an sshd for the repositories of s. The caller closes it. ErrNoSSHD: there is none on this machine.
func (s *Server) StartSSH() (*SSHServer, error) { return s.startSSH("") }

// StartReadOnlySSH is StartSSH with a key that may not push, which the server says in the words of GitHub.
func (s *Server) StartReadOnlySSH() (*SSHServer, error) {
	return s.startSSH(`case "$SSH_ORIGINAL_COMMAND" in git-receive-pack*) ` +
		`echo "ERROR: The key you are authenticating with has been marked as read only." >&2; exit 1;; esac; `)
}

// startSSH starts an sshd. guard are shell commands that run before git.
func (s *Server) startSSH(guard string) (*SSHServer, error) {
	program, err := findSSHD()
	if err != nil {
		return nil, err
	}
	account, err := user.Current()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "gittest-ssh-")
	if err != nil {
		return nil, err
	}
	for range 3 { // the port that was free may be somebody else's by the time sshd listens
		d := &SSHServer{dir: dir, root: s.dir, user: account.Username, guard: guard, log: &lockedBuffer{},
			ended: make(chan struct{})}
		if err = d.start(program); err == nil {
			return d, nil
		}
		if !errors.Is(err, errEnded) {
			break
		}
	}
	return nil, errors.Join(err, os.RemoveAll(dir))
}

// findSSHD looks where PATH of an ordinary user does not.
func findSSHD() (string, error) {
	for _, name := range []string{"sshd", "/usr/sbin/sshd", "/usr/local/sbin/sshd", "/sbin/sshd"} {
		if path, err := exec.LookPath(name); err == nil {
			return filepath.Abs(path) // sshd insists on an absolute path
		}
	}
	return "", ErrNoSSHD
}

func (d *SSHServer) start(program string) error {
	if os.Geteuid() == 0 { // sshd drops its rights into this folder
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			return err
		}
	}
	if err := d.writeKeys(); err != nil {
		return err
	}
	var err error
	if d.address, err = freeAddress(); err != nil {
		return err
	}
	if err := os.WriteFile(d.path("config"), []byte(d.config()), 0o600); err != nil {
		return err
	}
	d.cmd = exec.Command(program, "-D", "-e", "-f", d.path("config"))
	d.cmd.Stderr = d.log
	if err := d.cmd.Start(); err != nil {
		return err
	}
	go func() {
		_ = d.cmd.Wait()
		close(d.ended)
	}()
	return d.waitUntilUp()
}

func (d *SSHServer) path(name string) string { return filepath.Join(d.dir, name) }

// freeAddress finds a port that nobody uses now.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// writeKeys makes the host's key and the client's.
func (d *SSHServer) writeKeys() error {
	_, host, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	if d.hostKey, err = ssh.NewPublicKey(host.Public()); err != nil {
		return err
	}
	block, err := ssh.MarshalPrivateKey(host, "gittest host")
	if err != nil {
		return err
	}
	if err := os.WriteFile(d.path("host_key"), pem.EncodeToMemory(block), 0o600); err != nil {
		return err
	}
	if _, d.identity, err = ed25519.GenerateKey(rand.Reader); err != nil {
		return err
	}
	client, err := ssh.NewPublicKey(d.identity.Public())
	if err != nil {
		return err
	}
	return os.WriteFile(d.path("authorized_keys"), ssh.MarshalAuthorizedKey(client), 0o600)
}

// config is sshd's: one key, no password, no forwarding, and git-shell as the only program.
func (d *SSHServer) config() string {
	host, port, _ := net.SplitHostPort(d.address)
	return strings.Join([]string{
		"ListenAddress " + host, "Port " + port, "HostKey " + d.path("host_key"), "PidFile none",
		"AuthorizedKeysFile " + d.path("authorized_keys"), "AuthenticationMethods publickey", "PermitRootLogin " +
			"prohibit-password",
		"StrictModes no", "UsePAM no", "DisableForwarding yes", "PermitTTY no", "LogLevel VERBOSE",
		"MaxStartups 1000", // by default sshd drops some connections from the tenth on
		`ForceCommand ` + d.guard + `git-shell -c "$SSH_ORIGINAL_COMMAND"`, "",
	}, "\n")
}

// waitUntilUp waits until sshd answers, or has ended.
func (d *SSHServer) waitUntilUp() error {
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-d.ended:
			return fmt.Errorf("%w: %s", errEnded, d.log)
		case <-deadline:
			return errors.Join(fmt.Errorf("gittest: sshd does not answer: %s", d.log), d.Close())
		case <-tick.C:
			if d.answers() {
				return nil
			}
		}
	}
}

// answers reports whether an SSH server listens at the address, and not another one that took the port.
func (d *SSHServer) answers() bool {
	conn, err := net.Dial("tcp", d.address)
	if err != nil {
		return false
	}
	defer conn.Close()
	mark := make([]byte, len("SSH-"))
	if conn.SetReadDeadline(time.Now().Add(time.Second)) != nil {
		return false
	}
	_, err = io.ReadFull(conn, mark)
	return err == nil && string(mark) == "SSH-"
}

// URL returns the address of a repository of the Server.
func (d *SSHServer) URL(r *Repository) string {
	return fmt.Sprintf("ssh://%s@%s%s", d.user, d.address, filepath.ToSlash(r.bare))
}

// KnownHosts returns the line for a known_hosts file.
func (d *SSHServer) KnownHosts() []byte {
	return []byte(knownhosts.Line([]string{knownhosts.Normalize(d.address)}, d.hostKey) + "\n")
}

// Address returns host:port.
func (d *SSHServer) Address() string { return d.address }

// Identity returns the private key that is let in, in OpenSSH's form, encrypted when a passphrase is given.
func (d *SSHServer) Identity(passphrase string) ([]byte, error) {
	var block *pem.Block
	var err error
	if passphrase == "" {
		block, err = ssh.MarshalPrivateKey(d.identity, "gittest")
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(d.identity, "gittest", []byte(passphrase))
	}
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(block), nil
}

// Log returns what sshd said.
func (d *SSHServer) Log() string { return d.log.String() }

// Close ends sshd and removes its files.
func (d *SSHServer) Close() error {
	err := d.cmd.Process.Kill()
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	<-d.ended
	return errors.Join(err, os.RemoveAll(d.dir))
}

// lockedBuffer is written by a process and read by us.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
