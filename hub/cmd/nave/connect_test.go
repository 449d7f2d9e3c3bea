package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/hub"
	"github.com/navefleet/nave/hub/operatorconfig"
)

// configOf returns the file of an operator's configuration after a change.
func configOf(t *testing.T, file string, change func(*operatorconfig.Context)) string {
	t.Helper()
	c, err := operatorconfig.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	change(&c.Contexts[0])
	changed := filepath.Join(t.TempDir(), "config")
	if err := c.Save(changed); err != nil {
		t.Fatal(err)
	}
	return changed
}

// TestConnect_advice calls hubs that do not answer. Each message names the hub and says what to do.
func TestConnect_advice(t *testing.T) {
	listen := func() net.Listener {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { listener.Close() })
		return listener
	}
	gone, silent := listen(), listen() // which takes connections and never answers
	gone.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	right, other := serve(t, silentHub{}), serve(t, silentHub{})
	var otherHub operatorconfig.Context
	configOf(t, other, func(x *operatorconfig.Context) { otherHub = *x })
	at := func(address string) func(*operatorconfig.Context) {
		return func(x *operatorconfig.Context) { x.Hub = address }
	}
	for name, c := range map[string]struct {
		change func(*operatorconfig.Context)
		want   string
	}{
		"down":         {at(gone.Addr().String()), "cannot be reached: see whether it runs"},
		"silent":       {at(silent.Addr().String()), "see whether it runs"},
		"no_such_host": {at("nave.invalid:7443"), "hub nave.invalid:7443 of context"},
		"plain_http":   {at(plain.Listener.Addr().String()), "does not speak TLS, so it is not a hub"},
		"another_hub":  {at(otherHub.Hub), "is not the hub of the context: see whether the address is right"},
		"not_its_operator": {func(x *operatorconfig.Context) {
			x.CertificateAuthorityData, x.Hub = otherHub.CertificateAuthorityData, otherHub.Hub
		}, "make another"},
	} {
		t.Run(name, func(t *testing.T) {
			config := configOf(t, right, c.change)
			for _, args := range []string{"reconcile ks a --no-wait", "get ks -w"} {
				began := time.Now()
				out, code := exitOf(t.Context(), config, append(strings.Fields(args), "--timeout=2s")...)
				if code != 1 || !strings.Contains(out, c.want) || !strings.Contains(out, " context ") {
					t.Errorf("nave %s: exit code %d, want %q:\n%s", args, code, c.want, out)
				}
				if took := time.Since(began); took > 15*time.Second {
					t.Errorf("nave %s took %s, with a timeout of 2s", args, took)
				}
			}
		})
	}
}

// TestConnect_expired names the command that makes another certificate for the operator.
func TestConnect_expired(t *testing.T) {
	right := serve(t, silentHub{})
	c, err := operatorconfig.Load(right)
	if err != nil {
		t.Fatal(err)
	}
	expired, err := hub.IssueOperator(filepath.Dir(right), "late", c.Contexts[0].Hub, time.Nanosecond)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "config")
	if err := expired.Save(file); err != nil {
		t.Fatal(err)
	}
	out, code := exitOf(t.Context(), file, "get", "ks", "--timeout=5s")
	if code != 1 || !strings.Contains(out, "own certificate: ") || !strings.Contains(out, "`nave-hub operator-config`") {
		t.Errorf("exit code %d: %s", code, out)
	}
}

// TestConnect_configuration says which contexts there are, and refuses a wrong time.
func TestConnect_configuration(t *testing.T) {
	right := serve(t, silentHub{})
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		config, args string
		code         int
		want         string
	}{
		{right, "get ks --context=nope", 2, "name one with --context: "},
		{empty, "get ks", 1, "nave-hub operator-config prints one"},
		{filepath.Join(t.TempDir(), "none"), "get ks", 1, "nave-hub operator-config"},
		{right, "get ks --timeout=0s", 2, "--timeout=0s: want more than nothing"},
		{right, "get ks --timeout=-1s", 2, "--timeout=-1s: want more than nothing"},
	} {
		out, code := exitOf(t.Context(), c.config, strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(out, c.want) {
			t.Errorf("nave %s: exit code %d, want %d and %q:\n%s", c.args, code, c.code, c.want, out)
		}
	}
}
