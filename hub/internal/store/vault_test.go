package store_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/navefleet/nave/hub/internal/store"
)

func vault(t *testing.T, file string) *store.Vault {
	t.Helper()
	v, err := store.NewVault(file)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestVault(t *testing.T) {
	file := filepath.Join(t.TempDir(), "vault.key")
	sealed, err := vault(t, file).Seal("flux-system/git",
		map[string][]byte{"password": []byte("canary"), "bytes": {0, 255}})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "plaintext inside", bytes.Contains(sealed, []byte("canary")), false)
	data, err := vault(t, file).Open("flux-system/git", sealed)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "data", data, map[string][]byte{"password": []byte("canary"), "bytes": {0, 255}})
}

func TestVault_nonce(t *testing.T) {
	v := vault(t, filepath.Join(t.TempDir(), "vault.key"))
	one, err1 := v.Seal("a/b", map[string][]byte{"k": []byte("v")})
	two, err2 := v.Seal("a/b", map[string][]byte{"k": []byte("v")})
	expect(t, "errors", errors.Join(err1, err2), nil)
	expect(t, "equal", bytes.Equal(one, two), false)
}

func TestVault_foreign(t *testing.T) {
	dir := t.TempDir()
	v := vault(t, filepath.Join(dir, "vault.key"))
	sealed, err := v.Seal("flux-system/git", map[string][]byte{"k": []byte("v")})
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Clone(sealed)
	changed[len(changed)-1] ^= 1
	for _, c := range []struct {
		name   string
		vault  *store.Vault
		row    string
		sealed []byte
	}{
		{"another_key", vault(t, filepath.Join(dir, "other.key")), "flux-system/git", sealed},
		{"another_name", v, "flux-system/other", sealed},
		{"changed_bit", v, "flux-system/git", changed},
		{"too_short", v, "flux-system/git", sealed[:5]},
		{"nothing", v, "flux-system/git", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := c.vault.Open(c.row, c.sealed)
			expect(t, "refused", errors.Is(err, store.ErrVaultKey), true)
		})
	}
}

func TestVault_key_mode(t *testing.T) {
	file := filepath.Join(t.TempDir(), "vault.key")
	vault(t, file)
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "mode", info.Mode(), os.FileMode(0o600))
	for _, mode := range []os.FileMode{0o604, 0o666} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := store.NewVault(file); err == nil {
			t.Errorf("a key file with mode %o was taken", mode)
		}
	}
	if err := os.Chmod(file, 0o660); err != nil {
		t.Fatal(err)
	}
	vault(t, file) // what an fsGroup makes of it
}

func TestVault_short_key(t *testing.T) {
	file := filepath.Join(t.TempDir(), "vault.key")
	if err := os.WriteFile(file, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.NewVault(file); err == nil {
		t.Error("a key of 5 bytes was taken")
	}
	left, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "file", string(left), "short")
}
