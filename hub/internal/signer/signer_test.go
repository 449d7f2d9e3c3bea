package signer

import (
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/signing"
)

const domain = "nave-test"

func open(t *testing.T, dir string, s *store.Store) *Keys {
	t.Helper()
	k, err := Open(t.Context(), Config{Store: s, Dir: dir, TrustDomain: domain, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// follow returns the trust of a spoke that joined with a key and got the whole chain.
func follow(t *testing.T, s *store.Store, from ed25519.PublicKey) signing.Trust {
	t.Helper()
	var chain [][]byte
	err := s.View(t.Context(), func(tx *store.Tx) (err error) {
		chain, err = store.KeyChain(tx, 0)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	trust, err := signing.Trust{Keys: []ed25519.PublicKey{from}}.Follow(domain, chain)
	if err != nil {
		t.Fatal(err)
	}
	return trust
}

// isTrusted reports whether a spoke accepts what the hub signs now.
func isTrusted(t *testing.T, k *Keys, trust signing.Trust) bool {
	t.Helper()
	ring, err := trust.Keyring()
	if err != nil {
		t.Fatal(err)
	}
	_, err = ring.Verify(k.Sign("type", []byte("payload")), "type")
	return err == nil
}

// TestRotate rotates twice over restarts; a spoke of the first key follows.
func TestRotate(t *testing.T) {
	dir, s := t.TempDir(), store.OpenMemory(store.Twice)
	k := open(t, dir, s)
	first := k.Public()
	if err := k.Retire(t.Context(), nil); !errors.Is(err, ErrState) {
		t.Errorf("retired the only key: %v", err)
	}
	for range 2 {
		before := k.Public()
		if err := k.Rotate(t.Context(), 0, nil); err != nil {
			t.Fatal(err)
		}
		if k.Public().Equal(before) {
			t.Error("the key did not change")
		}
		if err := k.Rotate(t.Context(), 0, nil); !errors.Is(err, ErrState) {
			t.Errorf("rotated within an overlap: %v", err)
		}
		if trust := follow(t, s, first); len(trust.Keys) != 2 || !isTrusted(t, k, trust) {
			t.Errorf("in the overlap: %+v", trust)
		}
		again := open(t, dir, s)
		if !again.Public().Equal(k.Public()) {
			t.Error("another key after a restart")
		}
		k = again
		if err := k.Retire(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if trust := follow(t, s, first); len(trust.Keys) != 1 || !isTrusted(t, k, trust) {
			t.Errorf("after the overlap: %+v", trust)
		}
	}
}

// TestCrash opens what a crash left at each step of a rotation.
func TestCrash(t *testing.T) {
	for name, c := range map[string]struct {
		crash   func(t *testing.T, dir string, was []byte, s *store.Store)
		rotated bool
		err     string
	}{
		"before_statement": {func(t *testing.T, dir string, _ []byte, s *store.Store) {
			rename(t, dir, keyFile, nextFile)
			write(t, dir, keyFile, nil)
			forget(t, s)
		}, false, ""},
		"before_rename": {func(t *testing.T, dir string, _ []byte, _ *store.Store) {
			rename(t, dir, keyFile, nextFile)
			write(t, dir, keyFile, nil)
		}, true, ""},
		"old_file_restored": {func(t *testing.T, dir string, was []byte, _ *store.Store) {
			write(t, dir, keyFile, was)
		}, false, "signs since statement 1"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, s := t.TempDir(), store.OpenMemory(store.Twice)
			k := open(t, dir, s)
			before := k.Public()
			was, err := os.ReadFile(filepath.Join(dir, keyFile))
			if err != nil {
				t.Fatal(err)
			}
			if err := k.Rotate(t.Context(), 0, nil); err != nil {
				t.Fatal(err)
			}
			c.crash(t, dir, was, s)
			if info, err := os.Stat(filepath.Join(dir, keyFile)); err == nil && info.Size() == 0 {
				write(t, dir, keyFile, was)
			}
			again, err := Open(t.Context(), Config{Store: s, Dir: dir, TrustDomain: domain, Log: slog.New(slog.DiscardHandler)})
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("error %v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if again.Public().Equal(before) == c.rotated || !isTrusted(t, again, follow(t, s, before)) {
				t.Errorf("rotated: %t, want %t", !again.Public().Equal(before), c.rotated)
			}
			if _, err := os.Stat(filepath.Join(dir, nextFile)); err == nil {
				t.Error("the next key is still there")
			}
		})
	}
}

// TestAnew makes a new key in place of a lost one: the chain, which nobody can continue, goes.
func TestAnew(t *testing.T) {
	dir, s := t.TempDir(), store.OpenMemory(store.Twice)
	if err := open(t, dir, s).Rotate(t.Context(), 0, nil); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, keyFile)); err != nil {
		t.Fatal(err)
	}
	k, err := Open(t.Context(), Config{Store: s, Dir: dir, TrustDomain: domain, Anew: true})
	if err != nil {
		t.Fatal(err)
	}
	if trust := follow(t, s, k.Public()); trust.Number != 0 {
		t.Errorf("a chain is left: %+v", trust)
	}
	if err := k.Rotate(t.Context(), 0, nil); err != nil {
		t.Error(err)
	}
}

// TestRun retires the key before at the end of its overlap, and not earlier.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := store.OpenMemory(store.Twice)
		k := open(t, dir, s)
		first := k.Public()
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- k.Run(ctx) }()
		if err := k.Rotate(ctx, 48*time.Hour, nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(47 * time.Hour)
		synctest.Wait()
		if trust := follow(t, s, first); len(trust.Keys) != 2 {
			t.Errorf("retired too early: %+v", trust)
		}
		time.Sleep(time.Hour + time.Second)
		synctest.Wait()
		if trust := follow(t, s, first); len(trust.Keys) != 1 || !isTrusted(t, k, trust) {
			t.Errorf("not retired: %+v", trust)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func rename(t *testing.T, dir, from, to string) {
	t.Helper()
	if err := os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, dir, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// forget deletes the statements.
func forget(t *testing.T, s *store.Store) {
	t.Helper()
	err := s.Update(t.Context(), func(tx *store.Tx) error {
		return store.SigningKeys.Scan(tx, "", func(key string, _ store.KeyStatement) error {
			return store.SigningKeys.Delete(tx, key)
		})
	})
	if err != nil {
		t.Fatal(err)
	}
}
