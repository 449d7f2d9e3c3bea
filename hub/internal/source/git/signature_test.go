package git

import (
	"bytes"
	"errors"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
)

const (
	plainHeaders = "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nauthor a <a> 1 +0\ncommitter c <c> 5 +0\n"
	someKey      = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHUQmXPSmB4pqZAT6LqzJ9iRDJcCYgvVWQxqVgVBZm2X jo"
)

func TestSplitCommit(t *testing.T) {
	for name, c := range map[string]struct{ content, payload, signature string }{
		"unsigned": {plainHeaders + "\ngpgsig x\n", plainHeaders + "\ngpgsig x\n", ""},
		"signed":   {plainHeaders + "gpgsig a\n b\n \n c\n\nhi\n", plainHeaders + "\nhi\n", "a\nb\n\nc\n"},
		"both":     {plainHeaders + "gpgsig-sha256 x\n y\ngpgsig a\n b\n\nhi", plainHeaders + "\nhi", "a\nb\n"},
		"in_a_merged_tag": {plainHeaders + "mergetag object x\n gpgsig z\n \n hi\n\nhi",
			plainHeaders + "mergetag object x\n gpgsig z\n \n hi\n\nhi", ""},
		"cut_off": {plainHeaders + "gpgsig a\n b", plainHeaders, "a\nb"},
	} {
		t.Run(name, func(t *testing.T) {
			o, err := splitCommit([]byte(c.content))
			if err != nil || string(o.payload) != c.payload || string(o.signature) != c.signature {
				t.Errorf("got %q and %q, %v", o.payload, o.signature, err)
			}
		})
	}
	if _, err := splitCommit(
		[]byte(plainHeaders + "gpgsig a\n b\ngpgsig c\n\nhi"),
	); !errors.Is(
		err,
		ErrCommitSignature,
	) {
		t.Errorf("two signatures: %v", err)
	}
}

// TestSignature_hostile has signatures that were made to cost something.
func TestSignature_hostile(t *testing.T) {
	keys := publicKeys{}
	if err := keys.readSSH([]byte(someKey)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ signature, want string }{
		"huge":           {sshSignature + "\n" + strings.Repeat("AAAA\n", 1<<20), "more than 64 KiB"},
		"armor_bomb":     {strings.Repeat(pgpSignature+"\n\n", 2000), "cannot be read"},
		"empty_armor":    {pgpSignature + "\n\n-----END PGP SIGNATURE-----\n", "cannot be read"},
		"empty_SSH":      {sshSignature + "\n-----END SSH SIGNATURE-----\n", "cannot be read"},
		"compressed":     {pgpSignature + "\n\nowGbwMvMwMEY\n-----END PGP SIGNATURE-----\n", "cannot be read"},
		"s/mime":         {smime + "\nAAAA\n", "X.509"},
		"something_else": {"hello", "neither OpenPGP nor SSH"},
		"none":           {"", "is not signed"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := keys.check(signedObject{[]byte("x"), []byte(c.signature)})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// FuzzSignature has commits and tags of a hostile repository. Nothing that is not signed with the key is accepted.
func FuzzSignature(f *testing.F) {
	keys := publicKeys{}
	if err := keys.readSSH([]byte(someKey)); err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(plainHeaders + "gpgsig " + pgpSignature + "\n \n iHUEABYKAB0=\n -----END PGP SIGNATURE-----\n\nhi"))
	f.Add([]byte("object x\ntype commit\ntag v1\n\nhi\n" + sshSignature + "\nU1NIU0lH\n-----END SSH SIGNATURE-----\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		commit, err := splitCommit(content)
		if err == nil && bytes.HasPrefix(content, []byte("gpgsig")) == false && len(commit.signature) == 0 &&
			!bytes.Contains(content, []byte("\ngpgsig")) && !bytes.Equal(commit.payload, content) {
			t.Errorf("%q without a signature became %q", content, commit.payload)
		}
		_ = tagName(content)
		for _, o := range []signedObject{commit, splitTag(content)} {
			if signer, err := keys.check(o); err == nil {
				t.Errorf("%q is signed by %s?", content, signer)
			}
		}
	})
}

// FuzzPublicKeys has the Secret of a tenant.
func FuzzPublicKeys(f *testing.F) {
	f.Add([]byte("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDME\n-----END PGP PUBLIC KEY BLOCK-----\n"), []byte(someKey))
	f.Fuzz(func(t *testing.T, pgp, line []byte) {
		keys, err := readPublicKeys(source.Secret{"a.asc": pgp, "b.sshpub": line})
		if err != nil && !errors.Is(err, source.ErrVerification) {
			t.Errorf("got %v", err)
		}
		if err == nil && len(keys.ssh) > 0 && ssh.FingerprintSHA256(keys.ssh[0]) == "" {
			t.Error("a key without a fingerprint")
		}
	})
}

// FuzzModules has the .gitmodules of a hostile repository. An address that is accepted is one that may be dialled.
func FuzzModules(f *testing.F) {
	f.Add([]byte("[submodule \"a\"]\n\tpath = a\n\turl = ../b.git\n"))
	f.Add([]byte("[submodule \"a\"]\n\tpath = ../a\n\turl = file:///etc\n\tupdate = !sh\n"))
	f.Add([]byte("[submodule \"a\"]\npath=a\nurl=git@host:x/y.git\n[submodule \"b\"]\npath=b\nurl=./../../c\n"))
	parent, err := url.Parse("https://git.example/org/fleet.git")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		addresses, err := parseModules(text)
		if err != nil && !errors.Is(err, artifact.ErrTree) {
			t.Errorf("got %v", err)
		}
		for _, raw := range addresses {
			u, err := submoduleURL(parent, raw)
			if err != nil {
				continue
			}
			if _, err := parseURL(u.String()); err != nil || u.Scheme != "ssh" && u.User != nil {
				t.Errorf("%q became %q: %v", raw, u, err)
			}
		}
	})
}
