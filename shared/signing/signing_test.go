package signing

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	bundlev1 "github.com/navefleet/nave/proto/nave/bundle/v1"
)

const payloadType = "application/vnd.test"

func newSigner(t testing.TB) *Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return NewSigner(key)
}

func ring(t testing.TB, signers ...*Signer) *Keyring {
	t.Helper()
	var keys []ed25519.PublicKey
	for _, s := range signers {
		keys = append(keys, s.Public())
	}
	k, err := NewKeyring(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestPAEIsDSSEs(t *testing.T) {
	// The example of the DSSE specification.
	got := PAE("http://example.com/HelloWorld", []byte("hello world"))
	if want := "DSSEv1 29 http://example.com/HelloWorld 11 hello world"; string(got) != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := PAE("", nil); string(got) != "DSSEv1 0  0 " {
		t.Errorf("%q for nothing", got)
	}
}

func TestVerify(t *testing.T) {
	old, current := newSigner(t), newSigner(t)
	for name, k := range map[string]*Keyring{"one_key": ring(t, current), "ring_in_rotation": ring(t, old, current)} {
		payload, err := k.Verify(current.Sign(payloadType, []byte("state")), payloadType)
		if err != nil || string(payload) != "state" {
			t.Errorf("%s: %q, %v", name, payload, err)
		}
	}
}

func TestVerifyKeyID(t *testing.T) {
	s := newSigner(t)
	e := s.Sign(payloadType, []byte("state"))
	e.Signatures[0].KeyID = "something else"
	if _, err := ring(t, s).Verify(e, payloadType); err != nil {
		t.Error(err)
	}
}

func TestVerifySeveral(t *testing.T) {
	s, stranger := newSigner(t), newSigner(t)
	e := s.Sign(payloadType, []byte("state"))
	e.Signatures = append(stranger.Sign(payloadType, e.Payload).Signatures, e.Signatures...)
	if _, err := ring(t, s).Verify(e, payloadType); err != nil {
		t.Error(err)
	}
}

func TestVerifyRefuses(t *testing.T) {
	s, stranger := newSigner(t), newSigner(t)
	for name, c := range map[string]struct {
		spoil func(*Envelope)
		want  error
	}{
		"another_key": {func(e *Envelope) { *e = *stranger.Sign(e.PayloadType, e.Payload) }, ErrUntrusted},
		"another_key_that_claims_our_key_id": {func(e *Envelope) {
			*e = *stranger.Sign(e.PayloadType, e.Payload)
			e.Signatures[0].KeyID = KeyID(s.Public())
		}, ErrUntrusted},
		"no_signatures":     {func(e *Envelope) { e.Signatures = nil }, ErrUntrusted},
		"empty_signature":   {func(e *Envelope) { e.Signatures[0].Value = nil }, ErrUntrusted},
		"cut_off_signature": {func(e *Envelope) { e.Signatures[0].Value = e.Signatures[0].Value[:63] }, ErrUntrusted},
		"longer_signature": {func(e *Envelope) { e.Signatures[0].Value = append(e.Signatures[0].Value, 0) },
			ErrUntrusted},
		"changed_signature":    {func(e *Envelope) { e.Signatures[0].Value[0] ^= 1 }, ErrUntrusted},
		"changed_payload":      {func(e *Envelope) { e.Payload = []byte("stale") }, ErrUntrusted},
		"empty_payload":        {func(e *Envelope) { e.Payload = nil }, ErrUntrusted},
		"another_payload_type": {func(e *Envelope) { e.PayloadType = "application/vnd.other" }, ErrPayloadType},
		"no_payload_type":      {func(e *Envelope) { e.PayloadType = "" }, ErrPayloadType},
		"type_signed_as_another": {func(e *Envelope) { e.Signatures = s.Sign("other", e.Payload).Signatures },
			ErrUntrusted},
		"signature_over_bare_payload": {func(e *Envelope) {
			e.Signatures[0].Value = ed25519.Sign(s.key, e.Payload)
		}, ErrUntrusted},
		"bytes_moved_from_type_to_payload": {func(e *Envelope) {
			*e = *s.Sign(payloadType+" 5 s", []byte("tate"))
			e.PayloadType, e.Payload = payloadType, []byte("state")
		}, ErrUntrusted},
		"same_signature_twice": {func(e *Envelope) { e.Signatures = append(e.Signatures, e.Signatures[0]) },
			ErrUntrusted},
		"two_signatures_with_one_key_id": {func(e *Envelope) {
			other := stranger.Sign(e.PayloadType, e.Payload).Signatures[0]
			other.KeyID = e.Signatures[0].KeyID
			e.Signatures = append(e.Signatures, other)
		}, ErrUntrusted},
		"flood_of_signatures": {func(e *Envelope) {
			for i := range MaxSignatures {
				e.Signatures = append(e.Signatures, Signature{KeyID: string(rune('a' + i)), Value: make([]byte, 64)})
			}
		}, ErrUntrusted},
	} {
		t.Run(name, func(t *testing.T) {
			e := s.Sign(payloadType, []byte("state"))
			c.spoil(e)
			payload, err := ring(t, s).Verify(e, payloadType)
			if !errors.Is(err, c.want) || payload != nil {
				t.Errorf("%q, %v, want %v", payload, err, c.want)
			}
		})
	}
	if _, err := ring(t, s).Verify(nil, payloadType); !errors.Is(err, ErrUntrusted) {
		t.Errorf("no envelope: %v", err)
	}
}

func TestVerifyExactBytes(t *testing.T) {
	// The same message in other bytes: fields in another order. A reader that parsed and wrote it again would not notice.
	signed := []byte{0x08, 0x01, 0x10, 0x02}
	rewritten := []byte{0x10, 0x02, 0x08, 0x01}
	s := newSigner(t)
	e := s.Sign(payloadType, signed)
	e.Payload = rewritten
	if _, err := ring(t, s).Verify(e, payloadType); !errors.Is(err, ErrUntrusted) {
		t.Errorf("a re-serialised body: %v", err)
	}
}

func TestAKeyringNeedsKeys(t *testing.T) {
	if k, err := NewKeyring(); err == nil {
		t.Errorf("no keys: %v", k)
	}
	if k, err := NewKeyring(newSigner(t).Public(), ed25519.PublicKey("short")); err == nil {
		t.Errorf("a short key: %v", k)
	}
	if _, err := new(Keyring).Verify(newSigner(t).Sign(payloadType, nil), payloadType); !errors.Is(err, ErrUntrusted) {
		t.Errorf("the zero keyring: %v", err)
	}
}

func TestEnvelopeRoundTrip(t *testing.T) {
	e := newSigner(t).Sign(payloadType, []byte("state"))
	data, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeEnvelope(data)
	if err != nil || !reflect.DeepEqual(got, e) {
		t.Errorf("%+v, %v, want %+v", got, err, e)
	}
}

func TestDecodeEnvelope(t *testing.T) {
	unknown := protowire.AppendVarint(protowire.AppendTag(nil, 1000, protowire.VarintType), 1)
	signature := func() *bundlev1.Signature { return &bundlev1.Signature{KeyId: "a"} }
	spoiled := signature()
	spoiled.ProtoReflect().SetUnknown(unknown)
	whole := &bundlev1.Envelope{}
	whole.ProtoReflect().SetUnknown(unknown)
	for name, m := range map[string]*bundlev1.Envelope{
		"unknown_field":              whole,
		"unknown_field_of_signature": {Signatures: []*bundlev1.Signature{signature(), spoiled}},
		"flood_of_signatures":        {Signatures: slices.Repeat([]*bundlev1.Signature{signature()}, MaxSignatures+1)},
		"too_many_bytes":             {Payload: make([]byte, MaxEnvelopeBytes)},
	} {
		data, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if e, err := DecodeEnvelope(data); err == nil || e != nil {
			t.Errorf("%s: %+v, %v", name, e, err)
		}
	}
	if e, err := DecodeEnvelope([]byte("no protobuf")); err == nil {
		t.Errorf("no protobuf: %+v", e)
	}
}

func TestEncodeRefuses(t *testing.T) {
	e := newSigner(t).Sign(payloadType, make([]byte, MaxEnvelopeBytes))
	if _, err := e.Encode(); err == nil {
		t.Error("an envelope over the limit is encoded")
	}
}

func TestLoadOrCreate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys", "signing.key")
	first, err := LoadOrCreate(path)
	if err != nil {
		t.Fatal(err)
	}
	second, err := LoadOrCreate(path)
	if err != nil {
		t.Fatal(err)
	}
	if !first.Public().Equal(second.Public()) {
		t.Error("the second start has another key")
	}
	for name, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", name, got, want)
		}
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); err != nil || len(left) > 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
}

func TestLoadOrCreateKeeps(t *testing.T) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	wrong, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block := func(key any) []byte {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	}
	for name, content := range map[string][]byte{
		"empty": nil, "garbage": []byte("hello"), "another_type_of_key": block(wrong), "two_keys": append(block(key),
			block(key)...),
		"broken": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}),
	} {
		path := filepath.Join(t.TempDir(), "signing.key")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := LoadOrCreate(path)
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want an error that names %s", name, err, path)
		}
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, content) {
			t.Errorf("%s: the file is now %q, %v", name, after, err)
		}
	}
	if _, err := LoadOrCreate(t.TempDir()); err == nil {
		t.Error("a folder is taken for a key")
	}
}

func TestPublicKeysRoundTrip(t *testing.T) {
	a, b := newSigner(t).Public(), newSigner(t).Public()
	got, err := ParsePublicKeys(MarshalPublicKeys(a, b) + "\n")
	if err != nil || !reflect.DeepEqual(got, []ed25519.PublicKey{a, b}) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestParsePublicKeys(t *testing.T) {
	key := MarshalPublicKeys(newSigner(t).Public())
	wrong, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(wrong.Public())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"nothing": " \n", "garbage": "hello", "garbage_after_key": key + "hello",
		"another_type_of_key": string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
		"certificate":         strings.ReplaceAll(key, "PUBLIC KEY", "CERTIFICATE"),
		"broken_key":          string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("x")})),
	} {
		if keys, err := ParsePublicKeys(text); err == nil {
			t.Errorf("%s: %v", name, keys)
		}
	}
}

func FuzzDecodeEnvelope(f *testing.F) {
	s := newSigner(f)
	e := s.Sign(payloadType, []byte("state"))
	data, err := e.Encode()
	if err != nil {
		f.Fatal(err)
	}
	k := ring(f, s)
	f.Add(data)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := DecodeEnvelope(data)
		if err != nil {
			return
		}
		if payload, err := k.Verify(got, payloadType); err == nil && string(payload) != "state" {
			t.Fatalf("%q verifies", payload)
		}
		again, err := got.Encode()
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		if back, err := DecodeEnvelope(again); err != nil || !reflect.DeepEqual(back, got) {
			t.Fatalf("%+v became %+v, %v", got, back, err)
		}
	})
}
