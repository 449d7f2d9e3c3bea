package agent

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/health"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/decrypt"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/watch"
)

// say makes a controller write a condition of an object: its reason, and a message.
func (r *rig) say(kind, name, reason, message string) {
	id := bundle.ObjectIdentity{Version: "v1", Kind: kind, Namespace: "shop", Name: name}
	r.cluster.index.SetHealth(id.ID(), "", health.Failed, reason, message, time.Now())
	r.watch.see(watch.Observation{Application: appNamed("apps"), Object: id})
}

// TestConditionMessage makes controllers quote a sealed value in the message about the object that holds the value, and
// in that about another object of the application.
func TestConditionMessage(t *testing.T) {
	r := newRig(t)
	r.api.secrets["flux-system/sops-age"] = map[string][]byte{"identity.agekey": fixture(t, "secret.agekey")}
	stop := r.start(t)
	app := sealedApplication(t, r, fixture(t, "secret.sops.yaml"))
	app.Name = appNamed("apps")
	r.hub.send(r.hub.sign(t, 1, app))
	r.hub.expect(t, "1 received", "1 healthy")
	quoted, _ := json.Marshal("\t" + canary)
	for name, text := range map[string]string{
		"plain": canary, "base64": base64.StdEncoding.EncodeToString([]byte("user:" + canary)), "json": string(quoted),
		"piece": canary[3:17] + "…", "upper": strings.ToUpper(canary), "hex": hex.EncodeToString([]byte(canary)),
		"url": "https://u:" + canary + "@db",
	} {
		for _, kind := range []string{"Secret db", "ConfigMap a"} {
			r.out.forget()
			k, n, _ := strings.Cut(kind, " ")
			r.say(k, n, "LoginFailed", name+" says "+text)
			r.out.await(t, name+" says ")
			r.out.await(t, "[redacted]")
			if r.out.holds(text) {
				t.Errorf("%s of %s: it is told", name, kind)
			}
		}
	}

	// After a restart the values are unknown. Without the key the reason alone is reported.
	stop()
	keys := r.api.secrets
	r.api.secrets = map[string]map[string][]byte{}
	stop = r.start(t)
	r.hub.expect(t, "1 healthy")
	r.out.forget()
	r.say("Secret", "db", "LoginFailed", "message: "+canary)
	r.out.await(t, "LoginFailed "+leftOut)
	r.say("ConfigMap", "a", "Not "+canary, "message: "+canary)
	r.out.await(t, " "+leftOut)
	if r.out.holds(canary[:12]) || r.out.holds("message: ") {
		t.Error("after a restart, a message is told")
	}
	stop()

	// With the key they are learned, and the message is reported without them.
	r.api.secrets = keys
	r.start(t)
	r.hub.expect(t, "1 healthy")
	r.out.forget()
	r.say("Secret", "db", "LoginFailed", "message: "+canary+"!")
	r.out.await(t, "message: [redacted]!")
	if r.out.holds(canary[:12]) {
		t.Error("after the values were learned, one is told")
	}
}

// TestRotatedValue makes a controller quote a value that a newer bundle has replaced.
func TestRotatedValue(t *testing.T) {
	a := New(Config{})
	old, now := manifest.DigestOf([]byte("old")), manifest.DigestOf([]byte("now"))
	a.redactors.files[old] = redactorOf(t, canary)
	a.noteSealed(applications{appNamed("a"): {SealedFiles: []bundle.SealedFile{{Digest: old}}}})
	a.noteSealed(applications{appNamed("a"): {SealedFiles: []bundle.SealedFile{{Digest: now}}}})
	if d := a.discretion(appNamed("a")); d.all || d.text(canary) != "[redacted]" {
		t.Errorf("%t, %q", d.all, d.text(canary))
	}
	a.noteSealed(applications{appNamed("a"): {}})
	a.noteSealed(applications{appNamed("b"): {}})
	if d := a.discretion(appNamed("a")); !d.all || len(a.redactors.files) != 0 {
		t.Errorf("%t, %d files", d.all, len(a.redactors.files))
	}
}

// TestOtherApplication makes a controller quote a value that another application brought into the cluster.
func TestOtherApplication(t *testing.T) {
	a := New(Config{})
	file, large := manifest.DigestOf([]byte("file")), manifest.DigestOf([]byte("large"))
	a.redactors.files[file], a.redactors.files[large] = redactorOf(t, canary), decrypt.HideAll()
	a.noteSealed(applications{
		appNamed("a"): {SealedFiles: []bundle.SealedFile{{Digest: file}}}, appNamed("b"): {},
		appNamed("c"): {SealedFiles: []bundle.SealedFile{{Digest: large}}},
	})
	o := inventory.ObjectHealth{Status: health.Failed, Message: "no login with " + canary}
	if got := a.discretion(appNamed("b")).said(o); got != "no login with [redacted]" {
		t.Errorf("%q", got)
	}
	if got := a.discretion(appNamed("c")).said(o); strings.Contains(got, "login") {
		t.Errorf("%q", got)
	}
}

func redactorOf(t *testing.T, value string) *decrypt.Redactor {
	t.Helper()
	return decrypt.DataRedactor(&manifest.Object{Object: map[string]any{"apiVersion": "v1", "kind": "Secret",
		"stringData": map[string]any{"a": value}}})
}

func TestDiscretion(t *testing.T) {
	known := []*decrypt.Redactor{redactorOf(t, canary)}
	o := inventory.ObjectHealth{Status: health.Failed, Reason: "Failed", Message: "not " + canary}
	tests := []struct {
		name      string
		d         discretion
		said, any string
	}{
		{"all_known", discretion{known, true}, "not [redacted]", "delete [redacted]"},
		{"nothing_sealed", discretion{nil, true}, "not " + canary, "delete " + canary},
		{"some_known", discretion{known, false}, "Failed " + leftOut, leftOut},
		{"not_told", discretion{}, "Failed " + leftOut, leftOut},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.d.said(o); got != tt.said {
				t.Errorf("said %q, want %q", got, tt.said)
			}
			if got := tt.d.any("delete " + canary); got != tt.any {
				t.Errorf("any %q, want %q", got, tt.any)
			}
			if got := tt.d.said(inventory.ObjectHealth{Reason: "Failed"}); got != "" {
				t.Errorf("of no message: %q", got)
			}
		})
	}
}

// TestRefusal_unopened refuses an object without sealed values in an application that has some, before any file was
// opened.
func TestRefusal_unopened(t *testing.T) {
	b := blobs{}
	app := &bundle.Application{
		Decryption: bundle.SecretReference{Namespace: "flux-system", Name: "sops-age"},
		SealedFiles: []bundle.SealedFile{{Path: "db.yaml", Digest: b.put(fixture(t, "secret.sops.yaml")),
			Format: bundle.YAML}},
	}
	l := newTestLoader(b, newBudget(0), app)
	defer l.close()
	ref := b.object(t, []byte(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"b"}}`))
	loaded, err := l.load(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	loaded.Release()
	const words = "denied: the password is " + canary
	if got := loaded.Redact(words); strings.Contains(got, canary) || !strings.Contains(got, "left out") ||
		!strings.Contains(got, "keys: ") {
		t.Errorf("without a key: %q", got)
	}
	l.secret = (&farAPI{secrets: map[string]map[string][]byte{"flux-system/sops-age": {"a.agekey": fixture(t,
		"secret.agekey")}}}).Secret
	if got := loaded.Redact(words); got != "denied: the password is [redacted]" {
		t.Errorf("with the key: %q", got)
	}
}
