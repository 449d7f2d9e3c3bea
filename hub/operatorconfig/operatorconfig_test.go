package operatorconfig

import (
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/shared/identity"
)

func TestSave(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nave", "config")
	c := &Config{CurrentContext: "one", Contexts: []Context{
		{Name: "one", Hub: "one:7443", CertificateAuthorityData: []byte("ca"), ClientCertificateData: []byte("cert"),
			ClientKeyData: []byte("key")},
		{Name: "two", Hub: "two:7443"},
	}}
	if err := c.Save(path); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info.Mode(), err)
	}
	got, err := Load(path)
	if err != nil || got.CurrentContext != "one" || !reflect.DeepEqual(got.Contexts[0], c.Contexts[0]) {
		t.Fatalf("got %+v, %v", got, err)
	}
	if x, err := got.Context("two"); err != nil || x.Hub != "two:7443" {
		t.Fatalf("got %+v, %v", x, err)
	}
	if _, err := got.Context("three"); err == nil {
		t.Fatal("a context that does not exist is given")
	}
}

func TestLoad_invalid(t *testing.T) {
	for name, text := range map[string]string{
		"misspelt_field": "current-contxt: x",
		"no_hub":         "contexts: [{name: a}]",
		"twice":          "contexts: [{name: a, hub: b}, {name: a, hub: c}]",
		"not_base64":     "contexts: [{name: a, hub: b, client-key-data: '%'}]",
		"not_YAML":       "contexts: [",
	} {
		if _, err := parse([]byte(text)); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestContextTLS(t *testing.T) {
	authority, err := identity.LoadOrCreateAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	key, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	id := identity.ID{TrustDomain: authority.TrustDomain(), Role: identity.Operator, Name: "admin"}
	chain, err := authority.Issue(key.Public(), id, time.Hour, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	keyPEM, err := identity.MarshalKey(key)
	if err != nil {
		t.Fatal(err)
	}
	x := Context{
		Name: "a", Hub: "b", CertificateAuthorityData: identity.MarshalCertificates(authority.Certificate().Raw),
		ClientCertificateData: identity.MarshalCertificates(chain...), ClientKeyData: keyPEM,
	}
	config, err := x.TLS()
	if err != nil || config.MinVersion != tls.VersionTLS13 {
		t.Fatalf("got %v, %v", config, err)
	}
	for name, spoil := range map[string]func(x *Context){
		"authority":   func(x *Context) { x.CertificateAuthorityData = []byte("x") },
		"certificate": func(x *Context) { x.ClientCertificateData = nil },
		"key":         func(x *Context) { x.ClientKeyData = []byte("x") },
	} {
		spoilt := x
		spoil(&spoilt)
		if _, err := spoilt.TLS(); err == nil {
			t.Errorf("a wrong %s is accepted", name)
		}
	}
}

func TestPath(t *testing.T) {
	t.Setenv(envPath, "/somewhere/else")
	if path, err := DefaultPath(); err != nil || path != "/somewhere/else" {
		t.Fatalf("got %s, %v", path, err)
	}
	t.Setenv(envPath, "")
	t.Setenv("XDG_CONFIG_HOME", "/home/x/.config")
	if path, err := DefaultPath(); err != nil || path != "/home/x/.config/nave/config" {
		t.Fatalf("got %s, %v", path, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("current-context: a\ncontexts:\n- {name: a, hub: 'h:1', client-key-data: a2V5}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parse(data)
		if err == nil && len(c.Contexts) > 0 && c.Contexts[0].Name == "" {
			t.Fatal("a context without a name")
		}
	})
}

// TestLoad_manifest names the command that prints a configuration, if the file has an object of Kubernetes.
func TestLoad_manifest(t *testing.T) {
	_, err := parse([]byte("apiVersion: v1\nkind: ConfigMap\n"))
	if err == nil || !strings.Contains(err.Error(), "not an operator configuration") ||
		!strings.Contains(err.Error(), "`nave-hub operator-config` prints one") {
		t.Error(err)
	}
}

func TestLoad_missing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	_, err := Load(path)
	for _, want := range []string{path, "nave-hub operator-config", "operator.yaml", "--config"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %s: %v", want, err)
		}
	}
}
