package fetch_test

import (
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/hub/internal/store"
)

// busyUntil returns the error of a server that asks to wait from now.
func busyUntil(server string, wait time.Duration) error {
	return &source.BusyError{Server: server, Until: time.Now().Add(wait), Text: "asks to wait"}
}

// TestBusy sends no request to a server that asked to wait, whatever asks for it, and goes on with other servers.
func TestBusy(t *testing.T) {
	play(t, func(h *hub) {
		const one, two, other = "https://ghcr.io/org/one", "https://ghcr.io/org/two", "https://quay.io/org/app"
		image := func(name string, options ...option) { h.put(key("", name), options...) }
		of := func(name string) store.Condition { return h.condition(key("", name)) }
		for _, url := range []string{one, two, other, "https://ghcr.io/org/new"} {
			h.remote.set(url, "1", nil)
		}
		image("one", from(one))
		image("two", from(two))
		image("other", from(other))
		h.wantFetches(3, "at once")
		h.remote.set(one, "1", busyUntil("ghcr.io:443", 10*time.Minute))
		image("one", from(one), requested("now"))
		h.wantFetches(1, "when requested")
		if o := of("one"); o.Reason != "RateLimited" || !strings.Contains(o.Message, "asks to wait") {
			t.Errorf("condition %+v", o)
		}
		h.remote.set(one, "1", nil)
		h.pass(9 * time.Minute)
		if n := h.remote.count(); n < 8 || n > 10 { // of the other server, once a minute
			t.Errorf("%d fetches while the server waits", n)
		}
		if o := of("two"); o.Ready != "True" {
			t.Errorf("a source that nobody asked for is not ready: %+v", o)
		}
		image("two", from(two), requested("now"))
		image("new", from("https://ghcr.io/org/new"))
		h.wantFetches(0, "of the server that waits")
		for _, name := range []string{"two", "new"} {
			if o := of(name); o.Reason != "RateLimited" || !strings.Contains(o.Message, "asked to wait until 00:10:0") {
				t.Errorf("%s: condition %+v", name, o)
			}
		}
		if o := of("two"); o.HandledRequest != "now" || o.Revision != "1" {
			t.Errorf("condition %+v", o)
		}
		h.pass(3 * time.Minute)
		for _, name := range []string{"one", "two", "new"} {
			if o := of(name); o.Ready != "True" {
				t.Errorf("%s after the wait: %+v", name, o)
			}
		}
	})
}

// TestBusy_account holds back only the sources that ask the server with the same Secret, or all without one.
func TestBusy_account(t *testing.T) {
	play(t, func(h *hub) {
		address := func(name string) string { return "https://ghcr.io/org/" + name }
		for _, name := range []string{"mine", "shared"} {
			data := map[string][]byte{"username": []byte(name), "password": []byte("p")}
			h.putSecret(store.CredentialPath("flux-system", name), data)
		}
		busy := func(name string, options ...option) {
			h.remote.set(address(name), "1", busyUntil("ghcr.io:443", time.Hour))
			h.put(key("", name), append(options, from(address(name)))...)
		}
		wantReason := func(name, want string, options ...option) {
			t.Helper()
			h.remote.set(address(name), "1", nil)
			h.put(key("", name), append(options, from(address(name)))...)
			if o := h.condition(key("", name)); o.Reason != want {
				t.Errorf("%s: condition %+v, want the reason %s", name, o, want)
			}
		}
		busy("anonymous")
		wantReason("other-anonymous", "RateLimited")
		wantReason("with-account", "GitOperationSucceeded", secret("mine"))
		busy("with-shared", secret("shared"))
		wantReason("other-shared", "RateLimited", secret("shared"))
		wantReason("with-account-too", "GitOperationSucceeded", secret("mine"))
	})
}

// TestBusy_elsewhere lets no server stop the fetches from another one.
func TestBusy_elsewhere(t *testing.T) {
	play(t, func(h *hub) {
		h.remote.set(url, "one", busyUntil("ghcr.io:443", time.Hour))
		h.put(key("", "fleet"))
		h.remote.set("https://ghcr.io/org/app", "1", nil)
		k := key("", "app")
		h.put(k, from("https://ghcr.io/org/app"))
		if o := h.condition(k); o.Ready != "True" {
			t.Errorf("condition %+v", o)
		}
	})
}
