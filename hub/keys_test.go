package hub_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/hub"
)

// open makes a hub on a folder without running it.
func open(dir string, newKeys ...string) error {
	h, err := hub.New(context.Background(), hub.Config{
		DataDir: dir, Listen: "127.0.0.1:0", HTTPListen: "127.0.0.1:0", NewKeys: newKeys, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	return h.Run(ended())
}

func TestLostKeys(t *testing.T) {
	for name, c := range map[string]struct {
		lost []string // files
		key  string   // for --new-key
	}{
		"signing_key":           {[]string{"signing.key"}, "signing.key"},
		"vault_key":             {[]string{"vault.key"}, "vault.key"},
		"authority":             {[]string{"ca/ca.key", "ca/ca.crt"}, "ca"},
		"authority_key":         {[]string{"ca/ca.key"}, "ca"},
		"authority_certificate": {[]string{"ca/ca.crt"}, "ca"},
		"authority_folder":      {[]string{"ca"}, "ca"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			r := start(t, dir)
			r.apply(cluster)
			must(t, r.stop())
			must(t, os.Remove(r.OperatorConfig())) // only the store shows that a hub ran here
			for _, file := range c.lost {
				must(t, os.RemoveAll(filepath.Join(dir, file)))
			}
			err := open(dir)
			for _, want := range append(c.lost, "restore", "--new-key="+c.key) {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want an error with %q", err, want)
				}
			}
			for _, file := range c.lost {
				if _, err := os.Stat(filepath.Join(dir, file)); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%s was made", file)
				}
			}
			must(t, open(dir, c.key))
			must(t, open(dir))
			must(t, open(dir, c.key)) // if the flag stays, no further key is made
		})
	}
}

func TestLostKeys_operator(t *testing.T) {
	dir := t.TempDir()
	must(t, open(dir))
	must(t, os.RemoveAll(filepath.Join(dir, "ca")))
	if err := open(dir); err == nil { // the store is empty, but somebody has a certificate of this authority
		t.Fatal("a new authority was made beside the configuration of an operator")
	}
	before, err := os.ReadFile(filepath.Join(dir, "operator.yaml"))
	must(t, err)
	must(t, open(dir, "ca"))
	after, err := os.ReadFile(filepath.Join(dir, "operator.yaml"))
	must(t, err)
	if bytes.Equal(before, after) {
		t.Error("the operator has the certificate of the lost authority")
	}
}

func TestLostKeys_first_start(t *testing.T) {
	dir := t.TempDir()
	must(t, open(dir))
	for _, file := range []string{"ca", "signing.key", "vault.key", "operator.yaml"} { // killed before it made its keys
		must(t, os.RemoveAll(filepath.Join(dir, file)))
	}
	must(t, open(dir))
}

func TestLostKeys_unknown_name(t *testing.T) {
	if err := open(t.TempDir(), "tls.key"); err == nil || !strings.Contains(err.Error(), "signing.key, ca or vault.key") {
		t.Fatal(err)
	}
}

func TestOperatorConfig_authority(t *testing.T) {
	dir := t.TempDir()
	must(t, open(dir))
	must(t, os.Remove(filepath.Join(dir, "ca", "ca.crt")))
	_, err := hub.IssueOperator(dir, "alice", "hub:7443", time.Hour)
	if err == nil || !strings.Contains(err.Error(), "ca.crt is missing") {
		t.Fatalf("got %v", err)
	}
}

// ended returns a canceled context.
func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
