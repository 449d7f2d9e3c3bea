package decrypt

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"strings"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/sealed"
)

var (
	// ErrMAC says that a file was changed after SOPS wrote it.
	ErrMAC = errors.New("MAC mismatch: the file was changed without sops; edit it with sops, which renews the MAC")
	// ErrFormat says that this spoke cannot read the file's format yet.
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

// MarshalJSON refuses: plaintext is not to be stored or sent.
func (p *Plaintext) MarshalJSON() ([]byte, error) {
	return nil, errors.New("plaintext is not marshalled")
}

// Value returns the value of an encrypted leaf: its document's index in the file, and its map keys and list indexes
// (in decimal, comments not counted). False when the file has no such encrypted leaf.
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

// HideIn makes a Redactor hide all values of the file.
func (p *Plaintext) HideIn(r *Redactor) {
	for _, v := range p.leaves {
		switch v := v.(type) {
		case bool: // "true" tells nothing, and hiding it would garble every message
		case time.Time:
			r.add(v.Format(time.RFC3339Nano))
		default:
			if text, err := macBytes(v); err == nil {
				r.add(string(text))
			}
		}
	}
}

// Open decrypts a SOPS file and checks its MAC. Errors: ErrFormat, ErrMalformed, ErrNotEncrypted, ErrNoKey, ErrMAC,
// or that a leaf (named by its path) does not decrypt. There is no plaintext with an error.
func Open(ctx context.Context, file []byte, format bundle.Format, keys *Keys) (*Plaintext, error) {
	if format != bundle.YAML {
		return nil, fmt.Errorf("%w: %q", ErrFormat, format)
	}
	docs, err := parseYAML(file)
	if err != nil {
		return nil, err
	}
	m, r, err := readMetadata(docs)
	if err != nil {
		return nil, err
	}
	key, err := keys.dataKey(m)
	if err != nil {
		return nil, err
	}
	w := &walker{ctx: ctx, key: key, rules: r, onlyEncrypted: m.MACOnlyEncrypted, hash: sha512.New(), leaves: map[string]any{}}
	if m.MACOnlyEncrypted {
		// So that a MAC of this kind never equals one of the other kind. SOPS chose SHA-256("sops").
		seed := sha256.Sum256([]byte("sops"))
		w.hash.Write(seed[:])
	}
	for i, doc := range docs {
		w.document = i
		if err := w.branch(doc.tree, place{}, nil); err != nil {
			return nil, err
		}
	}
	if err := w.checkMAC(m); err != nil {
		return nil, err
	}
	return &Plaintext{leaves: w.leaves}, nil
}

// walker decrypts the leaves of the documents in their order.
type walker struct {
	ctx           context.Context
	key           []byte
	rules         *rules
	onlyEncrypted bool
	hash          hash.Hash
	document      int
	leaves        map[string]any
}

// place is where a leaf is: by its keys, as the rules and the cipher see it (a list's elements share the list's
// place), and with list indexes.
type place struct{ keys, full []string }

func (p place) key(name string) place {
	return place{append(p.keys[:len(p.keys):len(p.keys)], name), append(p.full[:len(p.full):len(p.full)], name)}
}

func (p place) index(i int) place {
	return place{p.keys, append(p.full[:len(p.full):len(p.full)], strconv.Itoa(i))}
}

func (w *walker) branch(b branch, at place, above [][]comment) error {
	var active []comment
	for _, e := range b {
		if e.comment {
			c, _ := e.value.(comment)
			active = append(active, c)
			if err := w.comment(c, at, push(above, active)); err != nil {
				return err
			}
			continue
		}
		if err := w.value(e.value, at.key(e.key), push(above, active)); err != nil {
			return err
		}
		active = nil
	}
	return nil
}

func (w *walker) list(items []any, at place, above [][]comment) error {
	var active []comment
	n := 0
	for _, item := range items {
		if c, ok := item.(comment); ok {
			active = append(active, c)
			if err := w.comment(c, at, push(above, active)); err != nil {
				return err
			}
			continue
		}
		if err := w.value(item, at.index(n), push(above, active)); err != nil {
			return err
		}
		if !isSealedComment(item) {
			n++
		}
		active = nil
	}
	return nil
}

// isSealedComment recognises a comment of a list: SOPS writes it as one more element, of type comment.
func isSealedComment(v any) bool {
	text, _ := v.(string)
	m := leafPattern.FindStringSubmatch(text)
	return m != nil && m[4] == "comment"
}

func push(stack [][]comment, level []comment) [][]comment {
	return append(stack[:len(stack):len(stack)], level)
}

func (w *walker) value(v any, at place, stack [][]comment) error {
	switch v := v.(type) {
	case branch:
		return w.branch(v, at, stack)
	case []any:
		return w.list(v, at, stack)
	case nil:
		return nil
	default:
		if err := w.leaf(v, at, stack); err != nil {
			return fmt.Errorf("document %d, %s: %w", w.document, strings.Join(at.full, "."), err)
		}
		return nil
	}
}

func (w *walker) leaf(v any, at place, stack [][]comment) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if !w.rules.encrypted(at.keys, stack, false) {
		if w.onlyEncrypted {
			return nil
		}
		return w.sum(v)
	}
	text, ok := v.(string)
	if !ok {
		return errLeaf
	}
	plain, err := openLeaf(text, w.key, additional(at))
	if err != nil {
		return err
	}
	if _, ok := plain.(comment); !ok {
		w.leaves[leafKey(w.document, at.full)] = plain
	}
	return w.sum(plain)
}

// comment feeds the MAC with a comment that an old SOPS encrypted as a string; others are not in the MAC.
func (w *walker) comment(c comment, at place, stack [][]comment) error {
	if !w.rules.encrypted(at.keys, stack, true) {
		return nil
	}
	plain, err := openLeaf(string(c), w.key, additional(at))
	if err != nil {
		return nil // it was never encrypted
	}
	return w.sum(plain)
}

func (w *walker) sum(v any) error {
	if _, ok := v.(comment); ok {
		return nil
	}
	b, err := macBytes(v)
	if err != nil {
		return err
	}
	w.hash.Write(b)
	return nil
}

// additional is the data SOPS binds a leaf to: its keys, each with a colon.
func additional(at place) string { return strings.Join(at.keys, ":") + ":" }

func (w *walker) checkMAC(m *metadata) error {
	if m.MAC == "" {
		return fmt.Errorf("%w (the file has none)", ErrMAC)
	}
	want, err := openLeaf(m.MAC, w.key, m.LastModified)
	if err != nil {
		return fmt.Errorf("%w (the MAC does not decrypt)", ErrMAC)
	}
	got := strings.ToUpper(hex.EncodeToString(w.hash.Sum(nil)))
	if text, ok := want.(string); !ok || subtle.ConstantTimeCompare([]byte(text), []byte(got)) != 1 {
		return ErrMAC
	}
	return nil
}

// leafKey makes a map key of a place. Keys may hold any character, so each carries its length.
func leafKey(document int, path []string) string {
	var b strings.Builder
	b.WriteString(strconv.Itoa(document))
	for _, key := range path {
		fmt.Fprintf(&b, "/%d:%s", len(key), key)
	}
	return b.String()
}
