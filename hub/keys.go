package hub

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/internal/signer"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/telemetry"
)

// The names of the keys in the data folder and in Config.NewKeys.
const (
	signingKey   = "signing.key"
	authorityDir = "ca" // a folder: ca.crt and ca.key
	vaultKey     = "vault.key"
)

// lostKeys has, for each key, the consequences of a new key in a used data folder, as the end of a message.
var lostKeys = map[string]string{
	signingKey: "every spoke rejects new bundles, until its ConfigMap has the new key (`nave cluster add NAME` " +
		"prints it)",
	authorityDir: "a new authority knows no spoke and no operator: every spoke must join again " +
		"(`nave cluster add NAME`), and operators need new configurations (`nave-hub operator-config`)",
	vaultKey: "the credentials in the store cannot be decrypted any more: every Secret must be applied again",
}

// loadKeys loads the keys of the data folder. In a new folder loadKeys makes all of them, in a used folder only the
// missing ones that Config.NewKeys names.
func (h *Hub) loadKeys(ctx context.Context) error {
	used, err := h.used(ctx)
	if err != nil {
		return err
	}
	for _, name := range h.config.NewKeys {
		if lostKeys[name] == "" {
			return fmt.Errorf("new key %q: want %s, %s or %s", name, signingKey, authorityDir, vaultKey)
		}
	}
	for _, name := range []string{signingKey, authorityDir, vaultKey} {
		if err := h.requireKey(name, used); err != nil {
			return err
		}
	}
	if h.authority, err = identity.LoadOrCreateAuthority(h.path(authorityDir)); err != nil {
		return err
	}
	h.authority.Now = h.config.Now
	lost, err := missingFiles(h.path(signingKey))
	if err != nil {
		return err
	}
	if h.signer, err = signer.Open(ctx, signer.Config{Store: h.store, Dir: h.config.DataDir,
		TrustDomain: h.authority.TrustDomain(), Anew: len(lost) > 0, Log: h.config.Log, Now: h.config.Now}); err != nil {
		return err
	}
	h.vault, err = store.NewVault(h.path(vaultKey))
	return err
}

// used reports whether a hub has run on the data folder: the store is not empty, or there is the configuration of the
// first operator, which is written after the keys.
func (h *Hub) used(ctx context.Context) (bool, error) {
	if empty, err := h.store.Empty(ctx); err != nil || !empty {
		return true, err
	}
	_, err := os.Stat(h.OperatorConfig())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return true, err
}

// requireKey returns an error if a key of a used folder is missing and Config.NewKeys does not name it.
func (h *Hub) requireKey(name string, used bool) error {
	missing, err := missingFiles(h.path(name))
	if err != nil || !used {
		return err
	}
	switch asked := slices.Contains(h.config.NewKeys, name); {
	case asked && len(missing) == 0:
		h.config.Log.Warn("the key exists, no new one is made: remove the flag --new-key", telemetry.Path(name))
	case asked:
		h.config.Log.Warn("a new key is made in place of the lost one", telemetry.Path(name))
		if name == authorityDir {
			return h.discardAuthority()
		}
	case len(missing) > 0:
		return fmt.Errorf("%s is missing, but the store beside it has been used: restore it from the backup of the store. "+
			"Without it %s. To start over with a new one, start the hub once with --new-key=%s",
			strings.Join(missing, " and "), lostKeys[name], name)
	}
	return nil
}

// missingFiles returns the files of a key that do not exist.
func missingFiles(path string) ([]string, error) {
	files := []string{path}
	if filepath.Base(path) == authorityDir {
		files = []string{filepath.Join(path, "ca.crt"), filepath.Join(path, "ca.key")}
	}
	var missing []string
	for _, file := range files {
		_, err := os.Stat(file)
		if errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, file)
		} else if err != nil {
			return nil, err
		}
	}
	return missing, nil
}

// discardAuthority renames the folder of an authority, and removes the configuration of the first operator, because a
// new authority does not admit that operator. Both are made anew.
func (h *Hub) discardAuthority() error {
	dir := h.path(authorityDir)
	err := os.Rename(dir, fmt.Sprintf("%s.lost-%d", dir, h.config.Now().Unix()))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err = os.Remove(h.OperatorConfig())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
