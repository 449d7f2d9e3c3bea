package agent

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
	"github.com/navefleet/nave/spoke/internal/kube"
)

// lookupApplication reads a Secret and, if there is one, a ConfigMap of the cluster.
func lookupApplication(t *testing.T, r *rig) *bundle.Application {
	t.Helper()
	token := func(text string) string { return string(sealed.NewSalt([]byte("salt")).Placeholder(text, nil)) }
	const url, port = "postgres://${user}:${password}@${host:-db}", "${port}"
	app := application("apps", r.hub.object(t, "ConfigMap", "a", nil), r.hub.object(t, "Secret", "db", map[string]any{
		"stringData": map[string]any{"url": token(url), "port": token(port)}}))
	app.ServiceAccount = "team"
	app.Substitution = &bundle.Substitution{
		Strict: true, Inline: map[string]string{"user": "inline"},
		Sources: []bundle.VariableSource{
			{Kind: "Secret", Namespace: "flux-system", Name: "made", Live: true},
			{Kind: "ConfigMap", Namespace: "flux-system", Name: "vars", Values: map[string]string{"port": "5432"}},
			{Kind: "ConfigMap", Namespace: "flux-system", Name: "more", Live: true, Optional: true},
		},
		Expressions: []bundle.Expression{{Placeholder: token(url), Text: url}, {Placeholder: token(port), Text: port}},
	}
	return app
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(patience)
	for !holds() {
		select {
		case <-deadline:
			t.Fatal(what)
		case <-time.After(time.Millisecond):
		}
	}
}

func TestLookup(t *testing.T) {
	r := newRig(t)
	stop := r.start(t)
	r.hub.send(r.hub.sign(t, 1, lookupApplication(t, r)))
	r.hub.expect(t, "1 received")
	eventually(t, "the missing Secret is not named", func() bool { return r.out.holds("Secret flux-system/made, which") })
	if !r.out.holds("InputNotReady") || r.cluster.has("a") != nil {
		t.Error("applied without the Secret")
	}
	has := func(field string, want any) func() bool {
		return func() bool {
			o := r.cluster.has("db")
			return o != nil && o.Object["stringData"].(map[string]any)[field] == want
		}
	}
	r.inputs.put("Secret", "made", "1", map[string]string{"user": "robot", "password": canary + "\n"})
	eventually(t, "not applied when the Secret appeared", has("url", "postgres://inline:"+canary+"@db"))
	if !has("port", int64(5432))() || r.inputs.account != "team" {
		t.Errorf("%v, read by %q", r.cluster.has("db").Object["stringData"], r.inputs.account)
	}
	r.inputs.put("ConfigMap", "more", "1", map[string]string{"host": "other", "port": "1"})
	eventually(t, "not applied when the ConfigMap appeared", has("url", "postgres://inline:"+canary+"@other"))
	r.inputs.put("Secret", "made", "2", map[string]string{"password": canary + "-2"})
	eventually(t, "not applied when the Secret changed", has("url", "postgres://inline:"+canary+"-2@other"))
	r.hub.expect(t, "1 healthy")
	stop()
	disk, err := os.ReadFile(filepath.Join(r.dir, "spoke.db"))
	if err != nil || bytes.Contains(disk, []byte(canary)) {
		t.Errorf("the secret is on the disk, %v", err)
	}
	if r.out.holds(canary) || r.out.holds(canary[:12]) {
		t.Error("the secret is in a report or a log")
	}
}

// TestLookup_unset has no value for a variable, because the optional Secret that gives it is not in the cluster. The
// message names the Secret, and the object that uses the variable once.
func TestLookup_unset(t *testing.T) {
	r := newRig(t)
	r.start(t)
	app := lookupApplication(t, r)
	app.Substitution.Sources[0].Optional = true
	r.hub.send(r.hub.sign(t, 1, app))
	eventually(t, "the missing Secret is not named", func() bool {
		return r.out.holds(`field stringData.url: no value and no default for variable "password" (optional sources of ` +
			`spec.postBuild.substituteFrom that are not in the cluster: Secret flux-system/made, ConfigMap flux-system/more)`)
	})
	if !r.out.holds("InputNotReady") {
		t.Error("the reason is another one")
	}
	r.inputs.put("Secret", "made", "1", map[string]string{"password": canary})
	eventually(t, "not applied when the Secret appeared", func() bool { return r.cluster.has("db") != nil })
}

// An API server that quotes a value of a Secret that variables come from.
func TestLookup_refused(t *testing.T) {
	r := newRig(t)
	r.cluster.refuse = func(o *manifest.Object) string {
		if o.GetName() != "a" {
			return ""
		}
		return "the login of " + canary + " is not allowed"
	}
	r.inputs.objects["Secret/made"] = dataOf(map[string]string{"password": canary})
	r.start(t)
	r.hub.send(r.hub.sign(t, 1, lookupApplication(t, r)))
	eventually(t, "the refusal is not told", func() bool { return r.out.holds("the login of [redacted]") })
	if r.out.holds(canary) {
		t.Error("the secret is in a report or a log")
	}
}

// A Secret whose entries cannot be variables is named, as Flux does.
func TestLookup_names(t *testing.T) {
	r := newRig(t)
	r.inputs.objects["Secret/made"] = dataOf(map[string]string{"tls.key": canary})
	r.start(t)
	r.hub.send(r.hub.sign(t, 1, lookupApplication(t, r)))
	eventually(t, "the entry is not named", func() bool {
		return r.out.holds(`Secret flux-system/made: entry`) && r.out.holds("tls.key")
	})
	if r.out.holds(canary) {
		t.Error("the secret is in a report or a log")
	}
}

func dataOf(values map[string]string) kube.Data {
	return kube.Data{UID: "1", ResourceVersion: "1", Values: values}
}
