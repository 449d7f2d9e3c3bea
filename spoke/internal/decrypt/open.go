package decrypt

import (
	"cmp"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/sealed"
)

var (
	// ErrMAC means that a file was changed after SOPS wrote it.
	ErrMAC = errors.New("MAC mismatch: the file was changed without sops; edit it with sops, which renews the MAC")
	// ErrFormat means that this spoke cannot read the file's format.
	ErrFormat = errors.New("sealed file format not supported by this spoke")
)

// Plaintext holds the decrypted leaves of one file, in memory only. It has no text form and no marshal method.
type Plaintext struct {
	leaves map[string]any
	failed map[int]error // why documents did not open
	texts  map[bundle.Format]text
	// reveals are the annotations that list values which the hub may see, by document.
	reveals map[int]string
}

// text is a whole file, or the reason why it cannot be written.
type text struct {
	bytes []byte
	err   error
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

// Find returns the value of a placeholder. The error names document and path.
func (p *Plaintext) Find(v bundle.SealedValue) (sealed.Value, error) {
	if v.Text != "" && len(v.Path) == 0 {
		whole := p.texts[v.Text]
		return sealed.Bytes(whole.bytes), whole.err
	}
	value, ok := p.Value(v.Document, v.Path)
	if !ok {
		if err := p.failed[v.Document]; err != nil {
			return value, fmt.Errorf("document %d: %w", v.Document, err)
		}
		return value, fmt.Errorf("document %d has no encrypted value at %q", v.Document, v.Path)
	}
	if v.Text == bundle.Dotenv {
		return sealed.Text(dotenvText(p.leaves[leafKey(v.Document, v.Path)])), nil
	}
	return value, nil
}

// emit writes the whole file in a format, unless a document of it did not open.
func (p *Plaintext) emit(docs []document, format bundle.Format, failed error) {
	if failed != nil {
		p.texts[format] = text{err: failed}
		return
	}
	whole, err := emit(docs, format)
	p.texts[format] = text{whole, err}
}

// Redactor returns a Redactor of all values of the file.
func (p *Plaintext) Redactor() *Redactor {
	r := &Redactor{}
	for _, v := range p.leaves {
		switch v := v.(type) {
		case bool: // "true" is no secret, and hiding it would garble every message
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

// Open decrypts a SOPS file and checks its MAC. It returns ErrFormat, ErrMalformed, ErrNotEncrypted, ErrNoKey,
// ErrService, ErrMAC, or an error that names the path of a leaf that does not decrypt. Beside an error there is no
// plaintext. If documents of the file were encrypted each for itself, Open returns an error only if none of them opens,
// and the Plaintext has the others. texts are the formats of whole files that Find is asked for.
func Open(ctx context.Context, file []byte, format bundle.Format, keys *Keys, texts ...bundle.Format) (*Plaintext,
	error) {
	docs, err := parse(file, format)
	if err != nil {
		return nil, err
	}
	groups := groupsOf(docs)
	if len(groups) == 0 {
		return nil, ErrNotEncrypted
	}
	keys.left = maxEffort
	p := &Plaintext{leaves: map[string]any{}, failed: map[int]error{}, texts: map[bundle.Format]text{},
		reveals: map[int]string{}}
	var failed error
	opened, explained := 0, 0
	for i, g := range groups {
		again := func() ([]document, error) {
			if explained++; explained > maxExplained {
				return nil, errLeaf
			}
			docs, err := parse(file, format)
			if err != nil {
				return nil, err
			}
			return groupsOf(docs)[i], nil
		}
		if err := p.open(ctx, g, keys, again); err != nil {
			failed = cmp.Or(failed, err)
			continue
		}
		opened++
	}
	if opened == 0 {
		return nil, failed
	}
	for _, format := range texts {
		p.emit(docs, format, failed)
	}
	return p, nil
}

// group is the documents that SOPS encrypted together: they have one data key and one MAC.
type group []document

// groupsOf returns the groups of a file. A document without metadata belongs to the group before it if it holds an
// encrypted value; otherwise it is plain, and belongs to none.
func groupsOf(docs []document) (groups []group) {
	byMAC := map[string]int{}
	for _, doc := range docs {
		if doc.metadata == nil {
			if last := len(groups) - 1; last >= 0 && doc.holdsLeaf() {
				groups[last] = append(groups[last], doc)
			}
			continue
		}
		mac := macOf(doc.metadata)
		i, known := byMAC[mac]
		if !known || mac == "" {
			i = len(groups)
			byMAC[mac] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], doc)
	}
	return groups
}

// open decrypts the documents of one group. If it fails, each of them has the error.
func (p *Plaintext) open(ctx context.Context, g group, keys *Keys, again func() ([]document, error)) error {
	leaves, reveals, err := g.decrypt(ctx, keys, again)
	for _, doc := range g {
		if err != nil {
			p.failed[doc.index] = err
		}
	}
	maps.Copy(p.leaves, leaves)
	maps.Copy(p.reveals, reveals)
	return err
}

// decrypt decrypts the documents in place and returns their leaves, and their annotations about what may be revealed.
// again reads the same documents once more.
func (g group) decrypt(ctx context.Context, keys *Keys, again func() ([]document, error)) (leaves map[string]any,
	reveals map[int]string, err error) {
	m, err := readMetadata(g[0].metadata)
	if err != nil {
		return nil, nil, err
	}
	rules, err := m.rules()
	if err == nil {
		err = g.fitsRules(rules)
	}
	if err != nil {
		return nil, nil, err
	}
	key, err := keys.dataKey(ctx, m)
	if err != nil {
		return nil, nil, err
	}
	places := scalars(g)
	c := &guarded{ctx: ctx, cipher: aes.NewCipher()}
	mac, err := walk(g, rules, key, c)
	if err != nil {
		return nil, nil, explain(ctx, again, rules, c)
	}
	if err := checkMAC(m, key, c, mac); err != nil {
		return nil, nil, err
	}
	return opened(places), g.revealsIn(rules), nil
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
