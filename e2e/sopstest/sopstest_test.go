package sopstest

import (
	"bytes"
	"errors"
	"testing"

	"filippo.io/age"
	"github.com/ProtonMail/go-crypto/openpgp"
)

func TestEncrypt(t *testing.T) {
	for name, create := range map[string]func() (*Key, error){"age": NewAge, "OpenPGP": NewPGP} {
		key, err := create()
		if err != nil {
			t.Fatal(name, err)
		}
		file, err := key.Encrypt([]byte("kind: Secret\nstringData:\n    a: secret-value\n---\nkind: Secret\ndata:\n    b: " +
			"secret-value\n"))
		if err != nil {
			t.Fatal(name, err)
		}
		if bytes.Contains(file, []byte("secret-value")) || bytes.Count(file, []byte("ENC[")) < 2 ||
			!bytes.Contains(file, []byte(key.Recipient())) {
			t.Errorf("%s: %s", name, file)
		}
	}
}

func TestPrivateKeys(t *testing.T) {
	a, errA := NewAge()
	p, errP := NewPGP()
	if err := errors.Join(errA, errP); err != nil {
		t.Fatal(err)
	}
	if _, err := age.ParseIdentities(bytes.NewReader(a.Private())); err != nil {
		t.Error(err)
	}
	if ring, err := openpgp.ReadArmoredKeyRing(bytes.NewReader(p.Private())); err != nil || len(ring) != 1 ||
		ring[0].PrivateKey == nil {
		t.Errorf("%v, %v", ring, err)
	}
}
