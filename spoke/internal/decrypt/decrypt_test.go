package decrypt

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"
	sopsage "github.com/getsops/sops/v3/age"
	"github.com/getsops/sops/v3/config"
	"github.com/getsops/sops/v3/pgp"
	"github.com/getsops/sops/v3/shamir"
	sopsyaml "github.com/getsops/sops/v3/stores/yaml"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/sealed"
)

func newAge(t testing.TB) (private string, public string) {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return id.String(), id.Recipient().String()
}

func newPGP(t testing.TB) *openpgp.Entity {
	t.Helper()
	e, err := openpgp.NewEntity("spoke", "", "spoke@example.com", nil)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func armored(t testing.TB, e *openpgp.Entity) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := armor.Encode(&b, openpgp.PrivateKeyType, nil)
	if err == nil {
		err = e.SerializePrivate(w, nil)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func pgpMaster(t testing.TB, e *openpgp.Entity, part []byte) *pgp.MasterKey {
	t.Helper()
	var b bytes.Buffer
	w, err := armor.Encode(&b, "PGP MESSAGE", nil)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := openpgp.Encrypt(w, []*openpgp.Entity{e}, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = plain.Write(part)
	if err := errors.Join(err, plain.Close(), w.Close()); err != nil {
		t.Fatal(err)
	}
	k := pgp.NewMasterKeyFromFingerprint(fmt.Sprintf("%X", e.PrimaryKey.Fingerprint))
	k.EncryptedKey = b.String()
	return k
}

func ageMaster(t testing.TB, recipient string, part []byte) *sopsage.MasterKey {
	t.Helper()
	k, err := sopsage.MasterKeyFromRecipient(recipient)
	if err == nil {
		err = k.Encrypt(part)
	}
	if err != nil {
		t.Fatal(err)
	}
	return k
}

var dataKey = []byte("0123456789abcdef0123456789abcdef")

// encrypt encrypts as `sops encrypt` does, with the real library.
func encrypt(t testing.TB, plain string, m sops.Metadata) []byte {
	t.Helper()
	store := sopsyaml.NewStore(&config.YAMLStoreConfig{})
	branches, err := store.LoadPlainFile([]byte(plain))
	if err != nil {
		t.Fatal(err)
	}
	m.LastModified = time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	m.Version = "3.13.3"
	if m.EncryptedSuffix+m.EncryptedRegex+m.UnencryptedRegex+m.EncryptedCommentRegex+
		m.UnencryptedCommentRegex+m.UnencryptedSuffix == "" {
		m.UnencryptedSuffix = sops.DefaultUnencryptedSuffix // as the command does
	}
	tree := sops.Tree{Branches: branches, Metadata: m}
	cipher := aes.NewCipher()
	mac, err := tree.Encrypt(dataKey, cipher)
	if err != nil {
		t.Fatal(err)
	}
	tree.Metadata.MessageAuthenticationCode, err = cipher.Encrypt(mac, dataKey, m.LastModified.Format(time.RFC3339))
	if err != nil {
		t.Fatal(err)
	}
	file, err := store.EmitEncryptedFile(tree)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func openString(t testing.TB, file []byte, secret map[string][]byte) (*Plaintext, error) {
	t.Helper()
	keys, err := ParseKeys(secret)
	if err != nil {
		t.Fatal(err)
	}
	return Open(context.Background(), file, bundle.YAML, keys)
}

const everything = `# a head comment
apiVersion: v1
kind: Secret
metadata: # beside
  name: app
  labels_unencrypted:
    tier: web
    weight: 3
# above stringData
stringData:
  # above password
  password: hunter2 # beside password
  "odd:key/with.dots": odd
  multi: |
    first line
    second line
  empty: ""
  nothing: null
  quoted: "true"
  port: 5432
  ratio: 0.1
  big: 1e21
  enabled: true
  off: false
  when: 2020-01-02T03:04:05Z
  # a foot
list:
  # above the first
  - one
  # above two
  - two # beside two
  - nested:
      - 1
      - 2.5
      - false
    other: x
  - [a, [b, c]]
  # last
---
second: document
# with a comment
`

func TestOpen_leaves(t *testing.T) {
	private, public := newAge(t)
	file := encrypt(t, everything, sops.Metadata{KeyGroups: []sops.KeyGroup{{ageMaster(t, public, dataKey)}}})
	p, err := openString(t, file, map[string][]byte{"id.agekey": []byte(private)})
	if err != nil {
		t.Fatalf("%v\n%s", err, file)
	}
	tests := []struct {
		document int
		path     string
		want     sealed.Value
	}{
		{0, "stringData password", sealed.Text("hunter2")},
		{0, "stringData odd:key/with.dots", sealed.Text("odd")},
		{0, "stringData multi", sealed.Text("first line\nsecond line\n")},
		{0, "stringData empty", sealed.Text("")},
		{0, "stringData quoted", sealed.Text("true")},
		{0, "stringData port", sealed.Integer(5432)},
		{0, "stringData ratio", sealed.Float(0.1)},
		{0, "stringData big", sealed.Float(1e21)},
		{0, "stringData enabled", sealed.Boolean(true)},
		{0, "stringData off", sealed.Boolean(false)},
		{0, "stringData when", sealed.Text("2020-01-02T03:04:05Z")},
		{0, "list 0", sealed.Text("one")},
		{0, "list 1", sealed.Text("two")},
		{0, "list 2 nested 0", sealed.Integer(1)},
		{0, "list 2 nested 1", sealed.Float(2.5)},
		{0, "list 2 nested 2", sealed.Boolean(false)},
		{0, "list 3 0", sealed.Text("a")},
		{0, "list 3 1 1", sealed.Text("c")},
		{1, "second", sealed.Text("document")},
	}
	for _, tt := range tests {
		got, ok := p.Value(tt.document, strings.Split(tt.path, " "))
		if !ok || got != tt.want {
			t.Errorf("document %d, %s: not what was encrypted (found: %v)", tt.document, tt.path, ok)
		}
	}
	for _, path := range []string{"metadata labels_unencrypted tier", "stringData", "stringData nothing", "list 9",
		"sops mac", ""} {
		if _, ok := p.Value(0, strings.Split(path, " ")); ok {
			t.Errorf("%q is a secret, but was not encrypted", path)
		}
	}
}

func TestOpen_rules(t *testing.T) {
	private, public := newAge(t)
	tests := map[string]sops.Metadata{
		"default_suffix":            {},
		"unencrypted_suffix":        {UnencryptedSuffix: "_plain"},
		"encrypted_suffix":          {EncryptedSuffix: "Data"},
		"unencrypted_regex":         {UnencryptedRegex: "^(kind|apiVersion|metadata)$"},
		"encrypted_regex":           {EncryptedRegex: "^(data|stringData|nested)$"},
		"unencrypted_comment_regex": {UnencryptedCommentRegex: "above"},
		"encrypted_comment_regex":   {EncryptedCommentRegex: "above (password|stringData)"},
		"mac_only_encrypted":        {MACOnlyEncrypted: true, EncryptedRegex: "^stringData$"},
	}
	for name, m := range tests {
		t.Run(name, func(t *testing.T) {
			m.KeyGroups = []sops.KeyGroup{{ageMaster(t, public, dataKey)}}
			file := encrypt(t, everything, m)
			p, err := openString(t, file, map[string][]byte{"id.agekey": []byte(private)})
			if err != nil {
				t.Fatalf("%v\n%s", err, file)
			}
			if v, ok := p.Value(0, []string{"stringData", "password"}); ok && v != sealed.Text("hunter2") {
				t.Error("the password is not what was encrypted")
			}
		})
	}
}

func TestOpen_one_key(t *testing.T) {
	agePrivate, agePublic := newAge(t)
	entity, other := newPGP(t), newPGP(t)
	m := sops.Metadata{KeyGroups: []sops.KeyGroup{{ageMaster(t, agePublic, dataKey), pgpMaster(t, entity, dataKey)}}}
	file := encrypt(t, everything, m)
	for name, secret := range map[string]map[string][]byte{
		"age":               {"a.agekey": []byte("# created: today\r\n" + agePrivate + "\r\n")},
		"pgp":               {"a.asc": armored(t, entity)},
		"pgp_among_others":  {"a.asc": append(armored(t, other), armored(t, entity)...), "README": []byte("x")},
		"pgp_and_wrong_age": {"a.asc": armored(t, entity), "b.agekey": []byte(first(newAge(t)))},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := openString(t, file, secret); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestOpen_post_quantum has a key of age's hybrid of X25519 and ML-KEM-768.
func TestOpen_post_quantum(t *testing.T) {
	id, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	public := id.Recipient().String()
	m := sops.Metadata{KeyGroups: []sops.KeyGroup{{ageMaster(t, public, dataKey)}}}
	secret := map[string][]byte{"a.agekey": []byte(id.String())}
	if _, err := openString(t, encrypt(t, everything, m), secret); err != nil {
		t.Error(err)
	}
	keys, err := ParseKeys(secret)
	if names := keys.Fingerprints(); err != nil || len(names) != 1 || !strings.Contains(names[0], "age1pq1") {
		t.Errorf("the key is %v, %v", names, err)
	}
	_, err = openString(t, encrypt(t, everything, m), map[string][]byte{"a.agekey": []byte(first(newAge(t)))})
	if !errors.Is(err, ErrNoKey) {
		t.Errorf("with another key: %v", err)
	}
}

func first(a, _ string) string { return a }

func TestOpen_quorum(t *testing.T) {
	var private []string
	var groups []sops.KeyGroup
	parts, err := shamir.Split(dataKey, 3, 2)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range parts {
		a, b := newAge(t)
		private = append(private, a)
		groups = append(groups, sops.KeyGroup{ageMaster(t, b, part)})
	}
	file := encrypt(t, everything, sops.Metadata{KeyGroups: groups, ShamirThreshold: 2})
	if _, err := openString(t, file, map[string][]byte{"k.agekey": []byte(private[2] + "\n" + private[0])}); err != nil {
		t.Errorf("two of three: %v", err)
	}
	if _, err := openString(t, file, map[string][]byte{"k.agekey": []byte(private[1])}); !errors.Is(err, ErrNoKey) {
		t.Errorf("one of three: got %v, want ErrNoKey", err)
	}
	none := bytes.Replace(file, []byte("shamir_threshold: 2"), []byte("shamir_threshold: -1"), 1)
	if _, err := openString(t, none, map[string][]byte{"k.agekey": []byte(private[1])}); !errors.Is(err, ErrNoKey) {
		t.Errorf("a threshold below two: got %v, want ErrNoKey", err)
	}
}

const canary = "c4n4ry-hunter2-c4n4ry"

func TestOpen_changed_by_hand(t *testing.T) {
	private, public := newAge(t)
	plain := "apiVersion: v1\nkind_unencrypted: Secret\ndata:\n    a: " + canary + "\n    b: other-" + canary +
		"\n    n: 12345\nlist:\n    - " + canary + "-1\n"
	file := string(encrypt(t, plain, sops.Metadata{KeyGroups: []sops.KeyGroup{{ageMaster(t, public, dataKey)}}}))
	for name, tt := range changedByHand(t, file) {
		t.Run(name, func(t *testing.T) {
			p, err := openString(t, []byte(tt.file), map[string][]byte{"id.agekey": []byte(private)})
			if !errors.Is(err, tt.want) {
				t.Errorf("got error %v, want %v", err, tt.want)
			}
			if p != nil {
				t.Error("there is plaintext beside the error")
			}
			if err != nil && (strings.Contains(err.Error(), canary) || strings.Contains(err.Error(), "ENC[")) {
				t.Errorf("the error tells a value: %v", err)
			}
		})
	}
}

// changedFile is a file that was changed without sops, and the error of Open.
type changedFile struct {
	file string
	want error
}

// changedByHand returns changes of a file that TestOpen_changed_by_hand encrypted.
func changedByHand(t *testing.T, file string) map[string]changedFile {
	t.Helper()
	lines := strings.Split(file, "\n")
	line := func(prefix string) string {
		for _, l := range lines {
			if strings.HasPrefix(strings.TrimSpace(l), prefix) {
				return l
			}
		}
		t.Fatalf("no line %q in\n%s", prefix, file)
		return ""
	}
	a, b := line("a:"), line("b:")
	return map[string]changedFile{
		"clear_value_changed": {strings.Replace(file, "Secret", "ConfigMap", 1), ErrMAC},
		"clear_value_added":   {"added_unencrypted: x\n" + file, ErrMAC},
		"text_in_clear":       {strings.Replace(file, a, "    a: "+canary, 1), errLeaf},
		"number_in_clear":     {strings.Replace(file, a, "    a: 42", 1), errLeaf},
		"value_removed":       {strings.Replace(file, a+"\n", "", 1), ErrMAC},
		"values_swapped": {strings.NewReplacer(a, strings.Replace(b, "b:", "a:", 1), b,
			strings.Replace(a, "a:", "b:", 1)).Replace(file), errLeaf},
		"key_renamed":     {strings.Replace(file, a, strings.Replace(a, "a:", "c:", 1), 1), errLeaf},
		"lines_reordered": {strings.Replace(strings.Replace(file, a+"\n", "", 1), b, b+"\n"+a, 1), ErrMAC},
		"unknown_type": {strings.Replace(file, a, strings.Replace(a, "type:str", "type:blob", 1), 1),
			errLeaf},
		"no_mac":     {strings.Replace(file, line("mac:"), "    mac: \"\"", 1), ErrMAC},
		"other_mac":  {strings.Replace(file, line("mac:"), "    mac: "+canary, 1), ErrMAC},
		"other_time": {strings.Replace(file, "2026-05-04", "2026-05-05", 1), ErrMAC},
		"no_time":    {strings.Replace(file, line("lastmodified:"), "    x: y", 1), ErrMalformed},
		"two_rules": {strings.Replace(file, line("mac:"), "    encrypted_regex: ^nothing$\n"+line("mac:"),
			1), ErrMalformed},
		"mac_only_encrypted": {strings.Replace(file, line("mac:"), "    mac_only_encrypted: true\n"+line("mac:"),
			1), ErrMAC},
		"no_metadata": {"a: " + canary, ErrNotEncrypted},
		"not_yaml":    {"a: [" + canary, ErrMalformed},
		"alias":       {"x: &x " + canary + "\ny: *x\n" + file, errLeaf},
		"key_twice":   {"data: {}\n" + file, ErrMalformed},
		"list":        {"- " + canary, ErrMalformed},
	}
}

func TestOpen_bytes(t *testing.T) {
	// sops itself panics on it, for it uses the value as a map key.
	private, public := newAge(t)
	file := encrypt(t, "data: abc\n", sops.Metadata{KeyGroups: []sops.KeyGroup{{ageMaster(t, public, dataKey)}}})
	p, err := openString(t, bytes.Replace(file, []byte("type:str"), []byte("type:bytes"), 1),
		map[string][]byte{"id.agekey": []byte(private)})
	if err != nil {
		t.Fatal(err)
	}
	if v, ok := p.Value(0, []string{"data"}); !ok || v != sealed.Bytes([]byte("abc")) {
		t.Error("not the bytes that were encrypted")
	}
}

func TestOpen_foreign_key(t *testing.T) {
	_, public := newAge(t)
	entity := newPGP(t)
	file := encrypt(t, "a: "+canary, sops.Metadata{KeyGroups: []sops.KeyGroup{{ageMaster(t, public, dataKey),
		pgpMaster(t, entity, dataKey)}}})
	private, mine := newAge(t)
	myPGP := newPGP(t)
	_, err := openString(t, file, map[string][]byte{"k.agekey": []byte(private), "k.asc": armored(t, myPGP)})
	if !errors.Is(err, ErrNoKey) {
		t.Fatalf("got %v, want ErrNoKey", err)
	}
	if strings.Contains(err.Error(), private) {
		t.Error("the error tells a private key")
	}
	recipients := []string{public, fmt.Sprintf("%X", entity.PrimaryKey.Fingerprint)}
	for _, want := range recipients {
		if got := Recipients(file, bundle.YAML); !strings.Contains(got, want) {
			t.Errorf("recipients are %s, want %s among them", got, want)
		}
	}
	for _, want := range append(recipients, mine, fmt.Sprintf("%X", myPGP.PrimaryKey.Fingerprint)) {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v: does not name %s", err, want)
		}
	}
}

func TestParseKeys_unusable(t *testing.T) {
	locked := newPGP(t)
	if err := locked.EncryptPrivateKeys([]byte("passphrase"), nil); err != nil {
		t.Fatal(err)
	}
	var lockedText bytes.Buffer
	w, _ := armor.Encode(&lockedText, openpgp.PrivateKeyType, nil)
	if err := errors.Join(locked.SerializePrivateWithoutSigning(w, nil), w.Close()); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		data map[string][]byte
		want string
	}{
		"none":       {map[string][]byte{"other": []byte("x")}, ".agekey or .asc"},
		"cut_off":    {map[string][]byte{"k.agekey": []byte("AGE-SECRET-KEY-1" + canary)}, "entry k.agekey"},
		"no_pgp":     {map[string][]byte{"k.asc": []byte(canary)}, "entry k.asc"},
		"passphrase": {map[string][]byte{"k.asc": lockedText.Bytes()}, "passphrase"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := ParseKeys(tt.data)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), canary) {
				t.Errorf("got %v, want one that says %q and no value", err, tt.want)
			}
		})
	}
}

func TestPlaintext_text(t *testing.T) {
	private, public := newAge(t)
	file := encrypt(t, "a: "+canary, sops.Metadata{KeyGroups: []sops.KeyGroup{{ageMaster(t, public, dataKey)}}})
	p, err := openString(t, file, map[string][]byte{"k.agekey": []byte(private)})
	if err != nil {
		t.Fatal(err)
	}
	keys, _ := ParseKeys(map[string][]byte{"k.agekey": []byte(private)})
	r := p.Redactor()
	for _, v := range []any{p, keys, &r} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
			if s := fmt.Sprintf(verb, v); strings.Contains(s, canary) || strings.Contains(s, private) {
				t.Errorf("%T with %s tells it", v, verb)
			}
		}
		if b, err := json.Marshal(v); err == nil && (bytes.Contains(b, []byte(canary)) ||
			bytes.Contains(b, []byte(private))) {
			t.Errorf("%T as JSON tells it", v)
		}
	}
}

func FuzzOpen(f *testing.F) {
	private, public := newAge(f)
	f.Add(encrypt(f, everything, sops.Metadata{KeyGroups: []sops.KeyGroup{{ageMaster(f, public, dataKey)}}}))
	f.Add([]byte("a: &a [*a]\nsops: {age: [{}], lastmodified: 2020-01-01T00:00:00Z}"))
	keys, err := ParseKeys(map[string][]byte{"k.agekey": []byte(private)})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Open(context.Background(), data, bundle.YAML, keys)
		if (p == nil) == (err == nil) {
			t.Fatalf("plaintext %v with error %v", p != nil, err)
		}
	})
}

// TestOpen_large opens files that are over a limit. They are not parsed, because they are not verified yet.
func TestOpen_large(t *testing.T) {
	const metadata = "sops:\n    mac: ENC[AES256_GCM,data:aa,iv:aa,tag:aa,type:str]\n    lastmodified: " +
		"\"2026-01-01T00:00:00Z\"\n"
	for name, text := range map[string]string{
		"values":   "l: [" + strings.Repeat("0,", 2_600_000) + "0]\n",
		"comments": strings.Repeat("#\n", 2_600_000),
		"bytes":    "a: " + strings.Repeat("a", bundle.MaxSealedFileBytes) + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			file := []byte(text + metadata)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := Open(t.Context(), file, bundle.YAML, &Keys{})
			runtime.ReadMemStats(&after)
			var large *bundle.TooLargeError
			if !errors.Is(err, ErrMalformed) || !errors.As(err, &large) {
				t.Errorf("error %v", err)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20 {
				t.Errorf("%d bytes of memory for it", used)
			}
		})
	}
}

// FuzzParseKeys reads entries of a decryption Secret. No error quotes their content.
func FuzzParseKeys(f *testing.F) {
	private, _ := newAge(f)
	f.Add("a.agekey", []byte(private))
	f.Add("a.agekey", []byte(private+"\r\n# comment\n"+strings.ToLower(private)))
	f.Add("a.agekey", []byte("AGE-SECRET-KEY-1"+strings.Repeat("Q", 58)))
	f.Add("a.agekey", []byte("AGE-PLUGIN-YUBIKEY-1QQQ"))
	f.Add("a.asc", []byte("-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nxVgEZ\n=AAAA\n-----END PGP PRIVATE KEY BLOCK-----\n"))
	f.Add("a.asc", []byte("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n"+base64.StdEncoding.EncodeToString([]byte{0x99, 0, 1,
		4})+"\n-----END PGP PUBLIC KEY BLOCK-----\n"))
	f.Add("a.txt", []byte("anything"))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		keys, err := ParseKeys(map[string][]byte{name: data})
		if empty := keys == nil || len(keys.Fingerprints()) == 0; empty == (err == nil) {
			t.Fatalf("keys %v with error %v", keys != nil, err)
		}
		if err == nil {
			return
		}
		const piece = 12
		said := strings.ReplaceAll(err.Error(), name, "")
		for i := 0; i+piece <= len(data); i++ {
			if strings.Contains(said, string(data[i:i+piece])) && !strings.Contains(allMessages, string(data[i:i+piece])) {
				t.Fatalf("the error %q quotes %q", err, data[i:i+piece])
			}
		}
	})
}

// allMessages are all messages of ParseKeys, for any Secret.
const allMessages = "no key opens it: the Secret has no entry that ends in .agekey or .asc; entry : not a list of " +
	"age identities " +
	"(lines of AGE-SECRET-KEY-1… or AGE-SECRET-KEY-PQ-1…); not an armored OpenPGP key; OpenPGP key has a passphrase; " +
	"export it without one; " +
	"holds no OpenPGP private key; give what sops.vault-token sops.aws-kms sops.azure-kv sops.gcp-kms holds to a key " +
	"service (docs/secrets.md)"
