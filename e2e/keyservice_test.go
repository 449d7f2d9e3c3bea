package e2e_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"

	"github.com/navefleet/nave/e2e/sopstest"
)

// keyCommands are the words of stories about keys that a spoke cannot use itself.
var keyCommands = map[string]command{
	// keyservice new | start | stop: sops's own, with the story's age key and a Vault; new sets $key_service
	"keyservice": keyService,
}

// hasSOPS reports whether this machine has sops. Where CI=true it must.
func hasSOPS() bool {
	_, err := exec.LookPath("sops")
	return err == nil || os.Getenv("CI") == "true"
}

// keyServices is what a story knows of its key service.
type keyServices struct {
	service *sopstest.KeyService // nil before "keyservice new"
	vault   *sopstest.Vault      // nil before "keyservice new" and "sops -vault"
}

func keyService(ctx context.Context, s *story, args []string) (err error) {
	k := &s.keyServices
	switch {
	case slices.Equal(args, []string{"new"}) && k.service == nil:
		if k.service, err = sopstest.NewKeyService(); err != nil {
			return err
		}
		s.cleanups = append(s.cleanups, k.service.Close)
		s.ts.Setenv("key_service", k.service.Address())
		return nil
	case k.service == nil || len(args) != 1:
		return errors.New("keyservice new | start | stop; new comes first")
	case args[0] == "stop":
		return k.service.Stop()
	}
	key, _, err := s.keyOf(nil)
	if err != nil {
		return err
	}
	if _, err := s.vaultKey(); err != nil {
		return err
	}
	return k.service.Start(ctx, append(k.vault.Env(), "SOPS_AGE_KEY="+string(key.Private()))...)
}

// vaultKey returns the key of the story's Vault, which starts when it is first used.
func (s *story) vaultKey() (*sopstest.Key, error) {
	if k := &s.keyServices; k.vault == nil {
		var err error
		if k.vault, err = sopstest.StartVault(); err != nil {
			return nil, err
		}
		s.cleanups = append(s.cleanups, k.vault.Close)
	}
	return s.keyServices.vault.Key(), nil
}
