package spoke_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/signing"
	"github.com/navefleet/nave/spoke"
	"github.com/navefleet/nave/spoke/internal/membership"
)

const patience = 20 * time.Second

// rig is a real spoke between scripted hubs and a scripted API server.
type rig struct {
	t      *testing.T
	api    *api
	config spoke.Config
	logs   *wire
	stop   func()

	files    map[string]string // of the settings
	versions int               // of them
}

func newRig(t *testing.T) *rig {
	t.Helper()
	dir := t.TempDir()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, api: newAPI(t), logs: &wire{}, stop: func() {}, files: map[string]string{}}
	r.config = spoke.Config{
		Sources:       membership.Sources{ConfigDir: filepath.Join(dir, "config")},
		JoinTokenFile: filepath.Join(dir, "token"), StateDir: filepath.Join(dir, "state"),
		Kubeconfig: r.api.kubeconfig, HTTPListen: listener.Addr().String(), Look: 5 * time.Millisecond,
		Log: slog.New(slog.NewTextHandler(r.logs, nil)),
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(r.logs.b.String())
		}
	})
	return r
}

// write replaces files of the settings as the kubelet does, all at once: the folder is a link.
func (r *rig) write(files map[string]string) {
	r.t.Helper()
	maps.Copy(r.files, files)
	r.versions++
	dir := fmt.Sprint(r.config.ConfigDir, r.versions)
	err := os.Mkdir(dir, 0o700)
	for name, text := range r.files {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	if err := errors.Join(err, os.Symlink(dir, dir+".link"), os.Rename(dir+".link", r.config.ConfigDir)); err != nil {
		r.t.Fatal(err)
	}
}

// join writes what a hub's join manifest for a cluster holds.
func (r *rig) join(h *hub, cluster, token, replaces string) {
	r.t.Helper()
	if err := os.WriteFile(r.config.JoinTokenFile, []byte(token), 0o600); err != nil {
		r.t.Fatal(err)
	}
	h.mu.Lock()
	h.tokens[token] = cmp.Or(h.tokens[token], cluster)
	h.mu.Unlock()
	r.write(map[string]string{
		"hub": h.address + "\n", "cluster": cluster, "trust-domain": h.authority.TrustDomain(), "ca-pin": h.authority.Pin(),
		"signing-keys.pem": signing.MarshalPublicKeys(h.signer.Public()), "replaces": replaces,
	})
}

// start runs the spoke as its command does, until the test ends or r.stop is called.
func (r *rig) start() {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- spoke.Run(ctx, r.config) }()
	r.stop = func() {
		r.stop = func() {}
		cancel()
		if err := <-done; err != nil {
			r.t.Errorf("Run: %v", err)
		}
	}
	r.t.Cleanup(func() { r.stop() })
}

// await waits until something holds.
func (r *rig) await(what string, holds func() bool) {
	r.t.Helper()
	for deadline := time.After(patience); !holds(); {
		select {
		case <-deadline:
			r.t.Fatalf("waited for: %s", what)
		case <-time.After(time.Millisecond):
		}
	}
}

// said counts how often a text is in the spoke's log.
func (r *rig) said(text string) int {
	r.logs.mu.Lock()
	defer r.logs.mu.Unlock()
	return strings.Count(r.logs.b.String(), text)
}

// ready returns what /readyz says.
func (r *rig) ready() string {
	answer, err := http.Get("http://" + r.config.HTTPListen + "/readyz")
	if err != nil {
		return err.Error()
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	return string(text)
}

// awaitReady waits until /readyz says something.
func (r *rig) awaitReady(want string) {
	r.t.Helper()
	got := ""
	r.await("/readyz: "+want, func() bool { got = r.ready(); return strings.Contains(got, want) })
}

// offer signs a bundle of one ConfigMap with a value for a cluster, offers it, and waits until it is live.
func (r *rig) offer(h *hub, cluster string, sequence uint64, value string) {
	r.t.Helper()
	h.offerConfigMap(r.t, cluster, sequence, value)
	r.await(fmt.Sprintf("bundle %d of %s is live", sequence, cluster),
		func() bool { return r.api.get("configmaps", "shop", "app", "k") == value })
}

func (h *hub) offerConfigMap(t *testing.T, cluster string, sequence uint64, value string) {
	t.Helper()
	h.signFor(t, cluster, sequence, h.configMaps(t, "apps", value, "app"))
}

// configMaps is an application of ConfigMaps with one value.
func (h *hub) configMaps(t *testing.T, app, value string, names ...string) *bundle.Application {
	t.Helper()
	a := &bundle.Application{
		Name: bundle.ApplicationName{Kind: "Kustomization", Namespace: "flux-system", Name: app}, Prune: true,
		Interval: time.Hour, RetryInterval: time.Second, Timeout: time.Minute, DeletionPolicy: bundle.MirrorPrune,
	}
	for _, name := range names {
		o := &manifest.Object{Object: map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": name,
				"namespace": "shop"}, "data": map[string]any{"k": value},
		}}
		data, err := manifest.Canonical(o)
		if err != nil {
			t.Fatal(err)
		}
		a.Objects = append(a.Objects, bundle.ObjectReference{
			Digest: h.put(data), ObjectIdentity: bundle.ObjectIdentity{Version: "v1", Kind: "ConfigMap", Namespace: "shop",
				Name: name},
		})
	}
	return a
}

// heard waits until the hub heard a word of the spoke.
func (h *hub) heard(t *testing.T, want string) {
	t.Helper()
	for {
		select {
		case got := <-h.acks:
			if strings.HasPrefix(strings.TrimSpace(got), want) {
				return
			}
		case <-time.After(patience):
			t.Fatalf("the hub does not hear %q", want)
		}
	}
}

func (h *hub) event(reason string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.events {
		if e.GetReason() == reason {
			return true
		}
	}
	return false
}

// TestSettings changes the files of a spoke while it runs.
func TestSettings(t *testing.T) {
	h, r := newHub(t), newRig(t)
	r.join(h, "prod", "token", "")
	r.start()
	r.offer(h, "prod", 1, "one")
	r.awaitReady("ok")

	old, key := h.signer, ed25519.NewKeyFromSeed(bytes.Repeat([]byte{4}, 32))
	keys := signing.MarshalPublicKeys(old.Public(), key.Public().(ed25519.PublicKey))

	// A broken file changes nothing, and is told.
	r.write(map[string]string{"signing-keys.pem": keys + "garbage"})
	r.awaitReady("new settings cannot be used, the spoke keeps those that it has: signing keys")
	r.await("the hub hears of it", func() bool { return h.event("SettingsRefused") })
	r.offer(h, "prod", 2, "two")

	// A bundle by a key that is not known is refused, and accepted as soon as the key is.
	h.signer = signing.NewSigner(key)
	h.offerConfigMap(t, "prod", 3, "three")
	h.heard(t, "3 rejected")
	r.write(map[string]string{"signing-keys.pem": keys})
	r.await("the bundle by the new key is live", func() bool {
		return r.api.get("configmaps", "shop", "app",
			"k") == "three"
	})
	r.awaitReady("ok")

	// A key that was taken away is not believed any more.
	r.write(map[string]string{"signing-keys.pem": signing.MarshalPublicKeys(key.Public().(ed25519.PublicKey))})
	r.await("the spoke has them", func() bool { return r.said("restarting with them") == 2 })
	h.signer = old
	h.offerConfigMap(t, "prod", 4, "four")
	h.heard(t, "4 rejected")
	if got := r.api.get("configmaps", "shop", "app", "k"); got != "three" {
		t.Errorf("live is %q", got)
	}
}

// TestSettings_policy changes the policy of a spoke while it runs.
func TestSettings_policy(t *testing.T) {
	h, r := newHub(t), newRig(t)
	r.config.PolicyFile = filepath.Join(r.config.ConfigDir, "policy.yaml")
	r.write(map[string]string{"policy.yaml": "namespaces: [other]\n"})
	r.join(h, "prod", "token", "")
	r.start()
	h.offerConfigMap(t, "prod", 1, "one")
	h.heard(t, "1 received")
	r.write(map[string]string{"policy.yaml": "namespaces: [shop]\n"})
	r.await("what the new policy allows is live",
		func() bool { return r.api.get("configmaps", "shop", "app", "k") == "one" })
	r.write(map[string]string{"policy.yaml": "nonsense: [shop]\n"})
	r.awaitReady("policy: ")
	r.write(map[string]string{"policy.yaml": "\n"}) // cut off by whoever writes it
	r.awaitReady("is empty, which would allow everything")
	r.offer(h, "prod", 2, "two")
}

// TestWrongCluster applies the manifest of another cluster to a spoke.
func TestWrongCluster(t *testing.T) {
	for name, restart := range map[string]bool{"running": false, "restarted": true} {
		t.Run(name, func(t *testing.T) {
			h, other, r := newHub(t), newHub(t), newRig(t)
			r.join(h, "prod", "token", "")
			r.start()
			r.offer(h, "prod", 1, "one")
			h.heard(t, "1 applied")
			r.await("its settings are kept", func() bool {
				return r.api.get("secrets", "nave-system", membership.SecretName, "settings.json") != ""
			})
			identityBefore := r.api.get("secrets", "nave-system", membership.SecretName, "tls.crt")

			if restart {
				r.stop()
			}
			r.join(other, "dev", "token-of-dev", "")
			if restart {
				r.start()
			}
			r.awaitReady("`nave cluster add dev --replace prod`")
			if text := r.ready(); !strings.Contains(text, h.id(identity.Cluster, "prod").String()) ||
				!strings.Contains(text, other.id(identity.Cluster, "dev").String()) {
				t.Errorf("it does not name both: %s", text)
			}
			r.await("its own hub hears of it", func() bool { return h.event("WrongCluster") })
			r.offer(h, "prod", 2, "two") // it goes on as it was
			if got := r.api.get("secrets", "nave-system", membership.SecretName, "tls.crt"); got != identityBefore {
				t.Error("its identity changed")
			}
			if len(other.spent) > 0 {
				t.Errorf("the other hub was shown %v", other.spent)
			}

			// Told so explicitly, it becomes the other cluster.
			r.join(other, "dev", "token-of-dev", "prod")
			r.offer(other, "dev", 1, "dev")
			r.awaitReady("ok")
			// And the explicit word for one cluster is none for another.
			r.join(h, "third", "token-of-third", "prod")
			r.awaitReady("`nave cluster add third --replace dev`")
		})
	}
}

// TestMovedHub moves a cluster to another hub and back.
func TestMovedHub(t *testing.T) {
	first, second, r := newHub(t), newHub(t), newRig(t)
	r.join(first, "prod", "token-1", "")
	r.start()
	r.offer(first, "prod", 5, "first 5")
	first.heard(t, "5 applied")
	r.join(second, "prod", "token-2", "")
	r.offer(second, "prod", 1, "second 1") // its own numbers, from the beginning
	second.heard(t, "1 applied")
	r.join(first, "prod", "token-3", "")
	first.offerConfigMap(t, "prod", 4, "first 4") // what this hub signed before cannot come back
	first.heard(t, "4 rejected")
	if got := first.hello.GetVerified().GetSequence(); got != 5 {
		t.Errorf("the hub hears that bundle %d was seen, want 5", got)
	}
	r.offer(first, "prod", 6, "first 6")
	r.awaitReady("ok")
}

// TestMovedHub_refused moves a cluster to a hub that does not take it: it stays with its own until the other one does.
func TestMovedHub_refused(t *testing.T) {
	first, second, r := newHub(t), newHub(t), newRig(t)
	r.join(first, "prod", "token-1", "")
	r.start()
	r.offer(first, "prod", 1, "one")
	r.await("its settings are kept", func() bool {
		return r.api.get("secrets", "nave-system", membership.SecretName, "settings.json") != ""
	})
	second.tokens["token-2"] = refused
	r.join(second, "prod", "token-2", "")
	r.awaitReady("is to become " + second.id(identity.Cluster, "prod").String())
	r.awaitReady("the join token is not valid")
	r.offer(first, "prod", 2, "two")
	if len(first.spent) != 1 {
		t.Errorf("its own hub was shown %v", first.spent)
	}
	r.join(second, "prod", "token-3", "")
	r.offer(second, "prod", 1, "of the second")
	r.awaitReady("ok")
}

// TestLostDisk starts a spoke again without its disk.
func TestLostDisk(t *testing.T) {
	h, r := newHub(t), newRig(t)
	r.join(h, "prod", "token", "")
	r.start()
	r.offer(h, "prod", 7, "seven")
	h.heard(t, "7 received") // from here on the mark holds
	r.stop()
	if err := os.RemoveAll(r.config.StateDir); err != nil {
		t.Fatal(err)
	}
	h.offerConfigMap(t, "prod", 6, "six")
	r.start()
	h.heard(t, "6 rejected bundle 1.6: older than the last verified bundle")
	h.mu.Lock()
	hello := h.hello
	h.mu.Unlock()
	if hello.GetVerified().GetSequence() != 7 || hello.GetStage() != 0 {
		t.Errorf("the hub hears %v", hello)
	}
	r.offer(h, "prod", 8, "eight")
}

// TestLostDisk_damaged starts a spoke on a file that is not its state any more.
func TestLostDisk_damaged(t *testing.T) {
	h, r := newHub(t), newRig(t)
	r.join(h, "prod", "token", "")
	r.start()
	r.offer(h, "prod", 7, "seven")
	h.heard(t, "7 received")
	r.stop()
	file := filepath.Join(r.config.StateDir, "spoke.db")
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, whole[:len(whole)/3], 0o600); err != nil {
		t.Fatal(err)
	}
	r.start()
	r.offer(h, "prod", 8, "eight")
	if _, err := os.Stat(file + ".damaged"); err != nil || r.said("the state on disk is damaged") != 1 {
		t.Errorf("nobody can see what happened: %v", err)
	}
}

// TestLostDisk_api starts a spoke while the API server is away.
func TestLostDisk_api(t *testing.T) {
	h, r := newHub(t), newRig(t)
	r.api.refuse = func(*http.Request) int { return http.StatusServiceUnavailable }
	r.join(h, "prod", "token", "")
	r.start()
	r.awaitReady(
		"the spoke's Secret and inventories in the cluster are not read yet: get Secret nave-system/nave-spoke-identity",
	)
	r.api.mu.Lock()
	r.api.refuse = nil
	r.api.mu.Unlock()
	r.offer(h, "prod", 1, "one")
}
