package git_test

import (
	"errors"
	"maps"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/navefleet/nave/e2e/gittest"
	"github.com/navefleet/nave/hub/internal/dial"
	"github.com/navefleet/nave/hub/internal/source"
)

// startSSH starts sshd. Without one the test is skipped, but not where everything must be tested.
func startSSH(t *testing.T, w *world) *gittest.SSHServer {
	t.Helper()
	d, err := w.server.StartSSH()
	if errors.Is(err, gittest.ErrNoSSHD) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = d.Close()
		if t.Failed() {
			t.Log(d.Log())
		}
	})
	return d
}

func sshSecret(t *testing.T, d *gittest.SSHServer, data map[string]string) map[string]string {
	t.Helper()
	identity, err := d.Identity(data["password"])
	if err != nil {
		t.Fatal(err)
	}
	secret := map[string]string{"identity": string(identity), "known_hosts": string(d.KnownHosts())}
	maps.Copy(secret, data)
	return secret
}

func TestSSH(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	d := startSSH(t, w)
	for _, passphrase := range []string{"", "open sesame"} {
		hash := w.commit(map[string]string{"a": "1" + passphrase})
		req := request{URL: d.URL(w.repo), Ref: reference{Branch: "main"},
			Secret: sshSecret(t, d, map[string]string{"password": passphrase})}
		first := w.fetch(req, nil)
		if first.Revision != "main@sha1:"+hash {
			t.Errorf("revision %s", first.Revision)
		}
		if again := w.fetch(req, &first); again != first {
			t.Errorf("fetched again %+v", again)
		}
		w.commit(map[string]string{"a": "2"})
		w.fetcher.holds(t, w.fetch(req, &first), map[string]string{"a": "2"})
		w.fails(request{URL: req.URL + "x", Secret: req.Secret}, source.ErrRepositoryNotFound)
		w.fails(request{URL: req.URL, Secret: req.Secret, Ref: reference{Branch: "mian"}},
			source.ErrReferenceNotFound, "main")
	}
}

func TestSSH_untrusted(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	w.commit(map[string]string{"a": "1"})
	d, other := startSSH(t, w), startSSH(t, w)
	req := request{URL: d.URL(w.repo), Ref: reference{Branch: "main"}}
	req.Secret = sshSecret(t, d, map[string]string{"known_hosts": string(other.KnownHosts())})
	w.fails(req, source.ErrUntrusted, "known_hosts has no key", d.Address())
	_, key, _ := strings.Cut(string(other.KnownHosts()), " ")
	req.Secret = sshSecret(t, d, map[string]string{"known_hosts": knownhosts.Normalize(d.Address()) + " " + key})
	w.fails(req, source.ErrUntrusted, "not the one in known_hosts")
	req.Secret = sshSecret(t, d, nil)
	delete(req.Secret, "known_hosts")
	w.fails(req, source.ErrAuthentication, "known_hosts")
	_, mine, _ := strings.Cut(string(d.KnownHosts()), " ")
	req.Secret = sshSecret(t, d, map[string]string{"known_hosts": "@revoked * " + mine})
	w.fails(req, source.ErrUntrusted)
}

func TestSSH_foreign_key(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	w.commit(map[string]string{"a": "1"})
	d, other := startSSH(t, w), startSSH(t, w)
	identity, err := other.Identity("")
	w.do(err)
	req := request{URL: d.URL(w.repo), Secret: sshSecret(t, d, map[string]string{"identity": string(identity)})}
	w.fails(req, source.ErrAuthentication, "SHA256:")
	req.Secret = nil
	w.fails(req, source.ErrRequest, "spec.secretRef")
}

// TestDeniedServers has servers on loopback, which is not open here.
func TestDeniedServers(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	w.commit(map[string]string{"a": "1"})
	d := startSSH(t, w)
	w.fetcher.network = dial.Policy{}
	before := w.server.Requests()
	w.fails(w.main(), dial.ErrDenied, "a loopback address", "--allow-source-address")
	w.fails(request{URL: d.URL(w.repo), Secret: sshSecret(t, d, nil)}, dial.ErrDenied, "a loopback address")
	if n := w.server.Requests() - before; n != 0 {
		t.Errorf("%d requests", n)
	}
}

// A server that accepts connections and says nothing must not hold a worker for longer than the limit.
func TestSSH_silent(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	d := startSSH(t, w)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	w.do(err)
	defer silent.Close()
	req := request{URL: "ssh://git@" + silent.Addr().String() + "/x", Secret: sshSecret(t, d, nil),
		Timeout: 50 * time.Millisecond}
	w.fails(req, source.ErrTimeout)
}
