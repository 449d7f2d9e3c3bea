package git_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/navefleet/nave/e2e/gittest"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/hub/internal/source/git"
)

// signer signs commits and tags with the real tools.
type signer struct {
	options []string          // of git
	keys    map[string]string // its public key, as in a Secret
	name    string            // of the key, in messages
}

// newGPG returns a function that runs gpg with a home and a passphrase of its own.
func newGPG(t *testing.T, passphrase string) (home string, gpg func(args ...string) string) {
	t.Helper()
	home, err := os.MkdirTemp("", "gpg") // the path of the agent's socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = exec.Command("gpgconf", "--homedir", home, "--kill", "all").Run()
		_ = os.RemoveAll(home)
	})
	return home, func(args ...string) string {
		t.Helper()
		always := []string{"--homedir", home, "--batch", "--pinentry-mode", "loopback", "--passphrase", passphrase}
		out, err := exec.Command("gpg", append(always, args...)...).Output()
		if err != nil {
			t.Fatalf("gpg %v: %v", args, err)
		}
		return string(out)
	}
}

// newPGP makes an OpenPGP key with gpg.
func newPGP(t *testing.T, algorithm string) signer {
	t.Helper()
	home, gpg := newGPG(t, "")
	gpg("--quick-generate-key", "Jo <jo@example.com>", algorithm, "sign", "never")
	_, rest, _ := strings.Cut(gpg("--with-colons", "--list-keys"), "\npub:")
	id := strings.Split(rest, ":")[3]
	program := filepath.Join(home, "sign")
	script := "#!/bin/sh\nexec gpg --homedir " + home + " --batch \"$@\"\n"
	if err := os.WriteFile(program, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return signer{[]string{"-c", "gpg.program=" + program, "-c", "user.signingkey=" + id},
		map[string]string{"jo.asc": gpg("--armor", "--export")}, id}
}

// newSSH makes an SSH key with ssh-keygen.
func newSSH(t *testing.T, algorithm string) signer {
	t.Helper()
	key := filepath.Join(t.TempDir(), "key")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", algorithm, "-N", "", "-C", "jo", "-f", key).
		CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	public, err := os.ReadFile(key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("ssh-keygen", "-l", "-f", key).Output()
	if err != nil {
		t.Fatal(err)
	}
	return signer{[]string{"-c", "gpg.format=ssh", "-c", "user.signingkey=" + key + ".pub"},
		map[string]string{"jo.sshpub": "# Jo's\n" + string(public)}, strings.Fields(string(out))[1]}
}

// signed commits a file, and tags the commit, both signed, and pushes. It returns the commit.
func (w *world) signed(s signer, text, tag string) string {
	w.Helper()
	w.do(os.WriteFile(filepath.Join(w.repo.WorkTree(), "a"), []byte(text), 0o600))
	for _, args := range [][]string{
		{"add", "-A"}, append(s.options, "commit", "-q", "-S", "-m", text+"\n\nmore"),
		append(s.options, "tag", "-s", "-m", "release "+tag+"\n\nmore", tag),
		{"push", "-q", "origin", "HEAD", "refs/tags/" + tag},
	} {
		if _, err := w.repo.Git(args...); err != nil {
			w.Fatal(err)
		}
	}
	hash, err := w.repo.Git("rev-parse", "HEAD")
	w.do(err)
	return hash
}

func (w *world) verified(mode string, keys map[string]string, ref reference) request {
	return request{URL: w.repo.URL(), Ref: ref, Verify: map[string]any{"mode": mode}, Keys: keys}
}

func TestVerify(t *testing.T) {
	for name, make := range map[string]func(*testing.T) signer{
		"pgp_ed25519": func(t *testing.T) signer { return newPGP(t, "ed25519") },
		"pgp_rsa":     func(t *testing.T) signer { return newPGP(t, "rsa2048") },
		"ssh_ed25519": func(t *testing.T) signer { return newSSH(t, "ed25519") },
		"ssh_rsa":     func(t *testing.T) signer { return newSSH(t, "rsa") },
		"ssh_ecdsa":   func(t *testing.T) signer { return newSSH(t, "ecdsa") },
	} {
		t.Run(name, func(t *testing.T) {
			w, jo := newWorld(t, gittest.Options{}), make(t)
			hash := w.signed(jo, "1", "v1.0.0")
			head, tag := reference{Branch: "main"}, reference{SemVer: ">=1"}
			for mode, want := range map[string]struct {
				ref  reference
				text string
			}{
				"":           {head, "verified signature of commit '" + hash + "' with key '" + jo.name + "'"},
				"head":       {head, "commit '" + hash + "'"},
				"HEAD":       {reference{Commit: hash}, "commit '" + hash + "'"},
				"Tag":        {reference{Name: "refs/tags/v1.0.0"}, "of tag 'refs/tags/v1.0.0' with key '" + jo.name + "'"},
				"TagAndHEAD": {tag, "tag 'v1.0.0' with key '" + jo.name + "', commit '" + hash + "'"},
			} {
				a := w.fetch(w.verified(mode, jo.keys, want.ref), nil)
				if !strings.Contains(a.Verification.Message, want.text) {
					t.Errorf("mode %q: %q, want %q in it", mode, a.Verification.Message, want.text)
				}
			}
			other := newSSH(t, "ed25519")
			w.fails(w.verified("HEAD", other.keys, head), git.ErrCommitSignature, hash, jo.name, "spec.verify.secretRef")
			w.fails(w.verified("Tag", other.keys, tag), git.ErrTagSignature, `"v1.0.0"`, jo.name)
		})
	}
}

// TestVerify_refused has what is not signed, or not by whom it should be.
func TestVerify_refused(t *testing.T) {
	w, jo, eve := newWorld(t, gittest.Options{}), newSSH(t, "ed25519"), newSSH(t, "ed25519")
	w.signed(jo, "1", "v1.0.0")
	w.commit(map[string]string{"a": "unsigned"})
	w.do(w.repo.Tag("v0.1.0"))
	w.do(w.repo.AnnotatedTag("v0.2.0", "unsigned"))
	for _, args := range [][]string{ // Eve gives an old tag of Jo's a new name
		{"update-ref", "refs/tags/v9.0.0", "refs/tags/v1.0.0"}, {"push", "-q", "origin", "refs/tags/v9.0.0"},
	} {
		_, err := w.repo.Git(args...)
		w.do(err)
	}
	head := reference{Branch: "main"}
	for name, c := range map[string]struct {
		req  request
		want error
		text string
	}{
		"unsigned_commit": {w.verified("HEAD", jo.keys, head), git.ErrCommitSignature, "is not signed"},
		"lightweight_tag": {w.verified("Tag", jo.keys, reference{Tag: "v0.1.0"}), git.ErrTagSignature, "git tag -s"},
		"unsigned_tag":    {w.verified("Tag", jo.keys, reference{Tag: "v0.2.0"}), git.ErrTagSignature, "is not signed"},
		"signed_by_other": {w.verified("Tag", eve.keys, reference{Tag: "v1.0.0"}), git.ErrTagSignature, jo.name},
		"renamed_tag":     {w.verified("Tag", jo.keys, reference{SemVer: "*"}), git.ErrTagSignature, `signed as "v1.0.0"`},
		"tag_signed_only": {w.verified("TagAndHEAD", jo.keys, reference{Tag: "v0.2.0"}), git.ErrTagSignature, "v0.2.0"},
		"branch_as_a_tag": {w.verified("Tag", jo.keys, head), source.ErrVerification, "use the mode HEAD"},
		"no_keys":         {w.verified("HEAD", map[string]string{}, head), source.ErrVerification, "*.sshpub"},
		"other_names":     {w.verified("HEAD", map[string]string{"jo.pub": jo.keys["jo.sshpub"]}, head), source.ErrVerification, "*.asc"},
		"broken_key":      {w.verified("HEAD", map[string]string{"x.asc": "x"}, head), source.ErrVerification, `"x.asc"`},
		"broken_ssh_key":  {w.verified("HEAD", map[string]string{"x.sshpub": "x"}, head), source.ErrVerification, `"x.sshpub"`},
		"one_broken_of_two": {w.verified("HEAD", map[string]string{"x.sshpub": "x", "jo.sshpub": jo.keys["jo.sshpub"]}, head),
			source.ErrVerification, `"x.sshpub"`},
		"private_key": {w.verified("HEAD", map[string]string{"x.asc": strings.Repeat("x", 2<<20)}, head),
			source.ErrVerification, "1 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{T: t, repo: w.repo, fetcher: w.fetcher}
			w.fails(c.req, c.want, c.text)
		})
	}
}

// TestVerify_again changes keys while the revision stays: the commit is verified with the new keys.
func TestVerify_again(t *testing.T) {
	w, jo, eve := newWorld(t, gittest.Options{}), newSSH(t, "ed25519"), newSSH(t, "ed25519")
	w.signed(jo, "1", "v1.0.0")
	head := reference{Branch: "main"}
	first := w.fetch(w.verified("HEAD", jo.keys, head), nil)
	if again := w.fetch(w.verified("HEAD", jo.keys, head), &first); again != first {
		t.Errorf("nothing changed, and %+v became %+v", first, again)
	}
	if _, err := w.fetcher.Fetch(t.Context(), w.verified("HEAD", eve.keys, head), &first); !errors.Is(err,
		git.ErrCommitSignature) {
		t.Errorf("with another key: %v", err)
	}
	both := map[string]string{"jo.sshpub": jo.keys["jo.sshpub"], "eve.sshpub": eve.keys["jo.sshpub"]}
	again := w.fetch(w.verified("HEAD", both, head), &first)
	if again.Verification.Keys == first.Verification.Keys || again.Verification.Message != first.Verification.Message ||
		again.Dir != first.Dir {
		t.Errorf("with one more key %+v became %+v", first, again)
	}
	unverified := w.fetch(request{URL: w.repo.URL(), Ref: head}, nil)
	if unverified.Verification != (artifact.Verification{}) {
		t.Errorf("not verified, but %+v", unverified.Verification)
	}
}
