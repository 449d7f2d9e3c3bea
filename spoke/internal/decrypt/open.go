package decrypt

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/sealed"
)

var (
	// ErrMAC reports that a file was changed after SOPS wrote it.
	ErrMAC = errors.New("MAC mismatch: the file was changed without sops; edit it with sops, which renews the MAC")
	// ErrFormat reports that this spoke cannot read the file's format.
	ErrFormat = errors.New("sealed file format not supported by this spoke")
)

// Plaintext holds the decrypted leaves of one file, in memory only. It has no text form and no marshal method.
type Plaintext struct {
	leaves map[string]any
}

// String hides the values from fmt.
func (p *Plaintext) String() string { return "[plaintext]" }

// GoString hides the values from fmt.
func (p *Plaintext) GoString() string { return p.String() }

// MarshalJSON returns an error, because plaintext must not be stored or sent.
func (p *Plaintext) MarshalJSON() ([]byte, error) {
	return nil, errors.New("plaintext is not marshalled")
}

// Value returns the value of an encrypted leaf, and false if the file has no such leaf. The leaf is named by the index
// of its document in the file and by its path: map keys, and list indexes in decimal, comments not counted.
func (p *Plaintext) Value(document int, path []string) (sealed.Value, bool) {
	switch v := p.leaves[leafKey(document, path)].(type) {
	case string:
		return sealed.Text(v), true
	case int:
		return sealed.Integer(int64(v)), true
	case float64:
		return sealed.Float(v), true
	case bool:
		return sealed.Boolean(v), true
	case []byte:
		return sealed.Bytes(v), true
	case time.Time:
		return sealed.Text(v.Format(time.RFC3339Nano)), true
	}
	return sealed.Value{}, false
}

// Redactor returns a Redactor of all values of the file.
func (p *Plaintext) Redactor() *Redactor {
	r := &Redactor{}
	for _, v := range p.leaves {
		switch v := v.(type) {
		case bool: // "true" tells nothing, and hiding it would garble every message
		case time.Time:
			r.add(v.Format(time.RFC3339Nano))
		default:
			if text, err := sops.ToBytes(v); err == nil {
				r.add(string(text))
			}
		}
	}
	r.sort()
	return r
}

// Open decrypts a SOPS file and checks its MAC. It returns ErrFormat, ErrMalformed, ErrNotEncrypted, ErrNoKey, ErrMAC,
// or an error that names the path of a leaf that does not decrypt. Beside an error there is no plaintext.
func Open(ctx context.Context, file []byte, format bundle.Format, keys *Keys) (*Plaintext, error) {
	if format != bundle.YAML {
		return nil, fmt.Errorf("%w: %q", ErrFormat, format)
	}
	docs, err := parseYAML(file)
	if err != nil {
		return nil, err
	}
	m, err := readMetadata(docs)
	if err != nil {
		return nil, err
	}
	rules, err := m.rules()
	if err != nil {
		return nil, err
	}
	key, err := keys.dataKey(m)
	if err != nil {
		return nil, err
	}
	places := scalars(docs)
	c := &guarded{ctx: ctx, cipher: aes.NewCipher()}
	mac, err := walk(docs, rules, key, c)
	if err != nil {
		return nil, explain(ctx, file, rules, c)
	}
	if err := checkMAC(m, key, c, mac); err != nil {
		return nil, err
	}
	return &Plaintext{leaves: opened(places)}, nil
}

// walk lets the library decrypt the leaves of the documents in place and returns the MAC over them. The library's
// errors quote values, so walk returns errLeaf in place of any error or panic.
func walk(docs []document, rules sops.Metadata, key []byte, c sops.Cipher) (mac string, err error) {
	defer func() {
		if recover() != nil {
			mac, err = "", errLeaf
		}
	}()
	tree := sops.Tree{Metadata: rules}
	for _, doc := range docs {
		tree.Branches = append(tree.Branches, doc.tree)
	}
	mac, err = tree.Decrypt(key, c)
	if err != nil {
		return "", errLeaf
	}
	return mac, nil
}

// checkMAC compares a MAC with the one in the file, which SOPS encrypts together with the time of the file. The error
// is ErrMAC.
func checkMAC(m *metadata, key []byte, c sops.Cipher, got string) error {
	if m.MAC == "" {
		return fmt.Errorf("%w (the file has none)", ErrMAC)
	}
	want, err := c.Decrypt(m.MAC, key, m.LastModified)
	if err != nil {
		return fmt.Errorf("%w (the MAC does not decrypt)", ErrMAC)
	}
	if text, ok := want.(string); !ok || subtle.ConstantTimeCompare([]byte(text), []byte(got)) != 1 {
		return ErrMAC
	}
	return nil
}

// opened returns the leaves that the walk decrypted. The empty string is its own encryption.
func opened(places []leaf) map[string]any {
	leaves := map[string]any{}
	for _, l := range places {
		if _, isComment := (*l.value).(sops.Comment); !isComment && l.sealed() {
			leaves[leafKey(l.document, l.path)] = *l.value
		}
	}
	return leaves
}

// leafKey returns a map key for the place of a leaf. A path may hold any character, so each element has its length.
func leafKey(document int, path []string) string {
	var b strings.Builder
	b.WriteString(strconv.Itoa(document))
	for _, key := range path {
		fmt.Fprintf(&b, "/%d:%s", len(key), key)
	}
	return b.String()
}
