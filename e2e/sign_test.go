package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
)

// sign makes an SSH key NAME, whose public half is in the file NAME.pub, and has every further commit to a repository
// signed with it.
func sign(_ context.Context, s *story, args []string) error {
	if len(args) != 2 || s.repositories[args[0]] == nil {
		return errors.New("sign REPOSITORY NAME")
	}
	key := s.path(args[1])
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput(); err != nil {
		return fmt.Errorf("ssh-keygen: %w: %s", err, out)
	}
	for _, setting := range [][2]string{
		{"gpg.format", "ssh"}, {"user.signingkey", key}, {"commit.gpgsign", "true"},
	} {
		if _, err := s.repositories[args[0]].Git("config", setting[0], setting[1]); err != nil {
			return err
		}
	}
	return nil
}
