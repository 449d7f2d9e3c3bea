package decrypt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/keys"
	"github.com/getsops/sops/v3/pgp"

	"github.com/navefleet/nave/shared/bundle"
)

// wrongKeys returns an OpenPGP message with as many session keys for an entity, none of which opens it.
func wrongKeys(t *testing.T, e *openpgp.Entity, count int) string {
	t.Helper()
	var b, text bytes.Buffer
	b.Write([]byte{0xca, 3, 'P', 'G', 'P'}) // a marker, which readers ignore
	public := e.Subkeys[0].PublicKey
	for range count {
		config := &packet.Config{DefaultCipher: packet.CipherAES256}
		if err := packet.SerializeEncryptedKey(&b, public, packet.CipherAES256, make([]byte, 32), config); err != nil {
			t.Fatal(err)
		}
	}
	b.Write(append([]byte{0xd2, 40, 1}, make([]byte, 39)...)) // encrypted with another session key
	w, err := armor.Encode(&text, "PGP MESSAGE", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Write(b.Bytes())
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// TestOpen_effort refuses files that would make a spoke try its private keys very often.
func TestOpen_effort(t *testing.T) {
	entity := newPGP(t)
	private, public := newAge(t)
	secret := map[string][]byte{"a.asc": armored(t, entity), "b.agekey": []byte(private)}
	right := pgpMaster(t, entity, dataKey)
	wrong := func(enc string) keys.MasterKey {
		k := pgp.NewMasterKeyFromFingerprint(right.Fingerprint)
		k.EncryptedKey = enc
		return k
	}
	few, tooLong := wrongKeys(t, entity, 2), strings.Repeat("x", maxEnc+1)
	foreign := ageMaster(t, public, dataKey)
	foreign.EncryptedKey = strings.Repeat("x", maxEnc/2)
	for _, c := range []struct {
		name   string
		before keys.MasterKey
		count  int
		want   error
	}{
		{"no_other", nil, 0, nil},
		{"some_wrong_keys", wrong(few), 10, nil},
		{"many_wrong_keys", wrong(few), 300, errEffort},
		{"many_others", wrong("nobody's"), 500, nil},
		{"many_age_keys", foreign, 600, errEffort},
		{"long", wrong(tooLong), 1, errEffort},
	} {
		t.Run(c.name, func(t *testing.T) {
			var group sops.KeyGroup
			for range c.count {
				group = append(group, c.before)
			}
			file := encrypt(t, "a: b\n", sops.Metadata{KeyGroups: []sops.KeyGroup{append(group, right)}})
			started := time.Now()
			if _, err := openString(t, file, secret); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			if took := time.Since(started); took > 20*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
}

// TestOpen_rules_effort refuses rules whose regular expressions would take long to compare.
func TestOpen_rules_effort(t *testing.T) {
	private, public := newAge(t)
	group := []sops.KeyGroup{{ageMaster(t, public, dataKey)}}
	var many strings.Builder
	for i := range 30_000 {
		fmt.Fprintf(&many, "k%d: v, ", i)
	}
	deep := "x: " + strings.Repeat("{k: ", 150) + "{" + many.String() + "}" + strings.Repeat("}", 150) + "\n"
	comments := func(n int) string { return strings.Repeat("# c\n", n) + "x: y\n" }
	for _, c := range []struct {
		name, before string
		m            sops.Metadata
		want         error
		text         string
	}{
		{"usual", "", sops.Metadata{EncryptedRegex: "^(data|stringData)$"}, ErrMAC, ""},
		{"large_pattern", "", sops.Metadata{EncryptedRegex: "((a{9}){9}){9}"}, ErrMalformed, "sops.encrypted_regex: the regular"},
		{"deep", deep, sops.Metadata{UnencryptedRegex: "^x$"}, ErrMalformed, "too many values"},
		{"comments", comments(3000), sops.Metadata{UnencryptedCommentRegex: "^x$"}, ErrMalformed, "too many values"},
		{"some_comments", comments(100), sops.Metadata{UnencryptedCommentRegex: "^x$"}, errLeaf, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.m.KeyGroups = group
			file := append([]byte(c.before+"y: z\n"), encrypt(t, "a: b\n", c.m)...) // the MAC is of the rest alone
			_, err := openString(t, file, map[string][]byte{"a.agekey": []byte(private)})
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%v, want %v, %q", err, c.want, c.text)
			}
		})
	}
}

// TestOpen_stopped tries no key after the run was stopped.
func TestOpen_stopped(t *testing.T) {
	entity := newPGP(t)
	ring, err := ParseKeys(map[string][]byte{"a.asc": armored(t, entity)})
	if err != nil {
		t.Fatal(err)
	}
	file := encrypt(t, "a: b\n", sops.Metadata{KeyGroups: []sops.KeyGroup{{pgpMaster(t, entity, dataKey)}}})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, file, bundle.YAML, ring); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
