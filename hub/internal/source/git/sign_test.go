package git_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/navefleet/nave/e2e/gittest"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/hub/internal/source/git"
)

const signingField = "spec.git.commit.signingKey.secretRef"

// pgpSecret makes an OpenPGP key with gpg, and returns the options with which git accepts it.
func pgpSecret(t *testing.T, algorithm, passphrase string) (source.Secret, []string) {
	t.Helper()
	home, gpg := newGPG(t, passphrase)
	gpg("--quick-generate-key", "Robot <robot@example.com>", algorithm, "sign", "never")
	program := filepath.Join(home, "verify")
	if err := os.WriteFile(program, []byte("#!/bin/sh\nexec gpg --homedir "+home+" \"$@\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	secret := source.Secret{"git.asc": []byte(gpg("--armor", "--export-secret-keys"))}
	if passphrase != "" {
		secret["passphrase"] = []byte(passphrase)
	}
	return secret, []string{"-c", "gpg.program=" + program}
}

// sshSigning makes an SSH key with ssh-keygen, and returns the options with which git accepts it.
func sshSigning(t *testing.T, passphrase string, options ...string) (source.Secret, []string) {
	t.Helper()
	key := filepath.Join(t.TempDir(), "key")
	args := append([]string{"-q", "-N", passphrase, "-f", key}, options...)
	if out, err := exec.Command("ssh-keygen", args...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	private, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	public, err := os.ReadFile(key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(key+".allowed", append([]byte("robot@example.com "), public...), 0o600); err != nil {
		t.Fatal(err)
	}
	secret := source.Secret{"identity": private}
	if passphrase != "" {
		secret["password"] = []byte(passphrase)
	}
	return secret, []string{"-c", "gpg.format=ssh", "-c", "gpg.ssh.allowedSignersFile=" + key + ".allowed"}
}

// TestSign has commits that git itself verifies.
func TestSign(t *testing.T) {
	ssh := func(passphrase string, options ...string) func(*testing.T) (source.Secret, []string) {
		return func(t *testing.T) (source.Secret, []string) { return sshSigning(t, passphrase, options...) }
	}
	for name, c := range map[string]struct {
		make func(*testing.T) (source.Secret, []string)
		read func(string, source.Secret) (git.Signer, error)
	}{
		"pgp":            {func(t *testing.T) (source.Secret, []string) { return pgpSecret(t, "rsa2048", "") }, git.ReadPGPSigner},
		"pgp_passphrase": {func(t *testing.T) (source.Secret, []string) { return pgpSecret(t, "ed25519", "open sesame") }, git.ReadPGPSigner},
		"ssh_ed25519":    {ssh("", "-t", "ed25519"), git.ReadSSHSigner},
		"ssh_password":   {ssh("open sesame", "-t", "ed25519"), git.ReadSSHSigner},
		"ssh_ecdsa":      {ssh("", "-t", "ecdsa", "-b", "384"), git.ReadSSHSigner},
		"ssh_rsa":        {ssh("", "-t", "rsa", "-b", "2048"), git.ReadSSHSigner},
		"ssh_pem":        {ssh("", "-t", "rsa", "-b", "2048", "-m", "PEM"), git.ReadSSHSigner},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, gittest.Options{Push: true})
			w.commit(map[string]string{"a": "1"})
			secret, options := c.make(t)
			sign, err := c.read(signingField, secret)
			w.do(err)
			message := "update\n\n\u00fc body\n-----BEGIN PGP SIGNATURE-----\n"
			made := w.pushSigned(sign, message)
			w.served(append(options, "verify-commit", made)...)
			if got := w.served("log", "-1", "--format=%B", made); got != strings.TrimSpace(message) {
				t.Errorf("the message is %q", got)
			}
		})
	}
}

// pushSigned pushes a signed commit to main.
func (w *world) pushSigned(sign git.Signer, message string) string {
	w.Helper()
	var made git.Commit
	w.do(w.edit(w.main(), git.Checkout{}, func(ctx context.Context, e *git.Editor) (err error) {
		c := newCommit(message)
		c.Sign = sign
		if made, err = e.Commit(ctx, contents(map[string]string{"a": "2"}), c); err != nil {
			return err
		}
		return e.Push(ctx, git.Push{Commit: made, Targets: []git.Target{{Reference: "refs/heads/main", Old: e.Head.ID}}})
	}))
	return made.ID
}

func TestSign_refused(t *testing.T) {
	pgp, _ := pgpSecret(t, "ed25519", "open sesame")
	ssh, _ := sshSigning(t, "open sesame", "-t", "ed25519")
	short, _ := sshSigning(t, "", "-t", "rsa", "-b", "1024")
	jo := newPGP(t, "ed25519")
	for name, c := range map[string]struct {
		secret source.Secret
		read   func(string, source.Secret) (git.Signer, error)
		want   string
	}{
		"pgp_missing":        {nil, git.ReadPGPSigner, "git.asc is missing"},
		"pgp_text":           {source.Secret{"git.asc": []byte("x")}, git.ReadPGPSigner, "no armored OpenPGP key"},
		"pgp_public":         {source.Secret{"git.asc": []byte(jo.keys["jo.asc"])}, git.ReadPGPSigner, "no private key"},
		"pgp_no_passphrase":  {source.Secret{"git.asc": pgp["git.asc"]}, git.ReadPGPSigner, "passphrase is missing"},
		"pgp_bad_passphrase": {source.Secret{"git.asc": pgp["git.asc"], "passphrase": []byte("no")}, git.ReadPGPSigner, "does not open git.asc"},
		"ssh_missing":        {nil, git.ReadSSHSigner, "identity is missing"},
		"ssh_text":           {source.Secret{"identity": []byte("x")}, git.ReadSSHSigner, "no private key that can be read"},
		"ssh_no_password":    {source.Secret{"identity": ssh["identity"]}, git.ReadSSHSigner, "password is missing"},
		"ssh_bad_password":   {source.Secret{"identity": ssh["identity"], "password": []byte("no")}, git.ReadSSHSigner, "password does not open"},
		"ssh_short":          {short, git.ReadSSHSigner, "less than 2048 bits"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.read(signingField, c.secret)
			if !errors.Is(err, source.ErrAuthentication) || !strings.Contains(err.Error(), c.want) ||
				!strings.Contains(err.Error(), signingField) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestEdit_verified has a repository whose commits must be signed: nothing is built on a commit that is not, and no
// commit is pushed that the GitRepository would then refuse.
func TestEdit_verified(t *testing.T) {
	w, jo := newWorld(t, gittest.Options{Push: true}), newSSH(t, "ed25519")
	w.signed(jo, "1", "v1")
	req := w.verified("HEAD", jo.keys, reference{Branch: "main"})
	files := map[string]string{"a": "2"}
	before := w.served("rev-parse", "main")
	_, err := w.push(req, files, git.Push{})
	rejected(t, err, git.ErrCommitSignature, "is not signed", "refs/heads/main", "spec.verify.secretRef")
	if w.served("rev-parse", "main") != before {
		t.Error("an unsigned commit was pushed")
	}
	_, err = w.push(req, files, git.Push{Targets: []git.Target{{Reference: "refs/heads/auto"}}})
	w.do(err) // to be reviewed, and merged by a signed commit

	w.do(w.repo.Sync())
	w.commit(files) // by hand, and not signed
	_, err = w.push(req, map[string]string{"a": "3"}, git.Push{})
	rejected(t, err, git.ErrCommitSignature, "is not signed")
}

// TestEdit_signed has a repository whose commits must be signed: by a key that the GitRepository knows.
func TestEdit_signed(t *testing.T) {
	for name, known := range map[string]bool{"known": true, "unknown": false} {
		t.Run(name, func(t *testing.T) {
			w, jo := newWorld(t, gittest.Options{Push: true}), newSSH(t, "ed25519")
			w.signed(jo, "1", "v1")
			by := jo
			if !known {
				by = newSSH(t, "ed25519")
			}
			_, file, _ := strings.Cut(by.options[len(by.options)-1], "=")
			private, err := os.ReadFile(strings.TrimSuffix(file, ".pub"))
			w.do(err)
			sign, err := git.ReadSSHSigner(signingField, source.Secret{"identity": private})
			w.do(err)
			err = w.edit(w.verified("HEAD", jo.keys, reference{Branch: "main"}), git.Checkout{},
				func(ctx context.Context, e *git.Editor) error {
					c := newCommit("signed")
					c.Sign = sign
					made, err := e.Commit(ctx, contents(map[string]string{"a": "2"}), c)
					w.do(err)
					return e.Push(ctx, git.Push{Commit: made,
						Targets: []git.Target{{Reference: "refs/heads/main", Old: e.Head.ID}}})
				})
			if known {
				w.do(err)
			} else {
				rejected(t, err, git.ErrCommitSignature, "refs/heads/main")
			}
		})
	}
}

func TestIdentity(t *testing.T) {
	for in, want := range map[git.Identity]string{
		{Name: "Jo", Email: "jo@example.com"}:           "Jo <jo@example.com>",
		{Name: "J<o>\nparent x", Email: "<jo\x00@x>\n"}: "Joparent x <jo@x>",
		{Email: "jo@example.com"}:                       " <jo@example.com>",
	} {
		if got := in.String(); got != want {
			t.Errorf("%+v is %q, want %q", in, got, want)
		}
	}
}
