package decrypt

import (
	"context"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// treeBranch is a map of a file, in its order. Its values are treeBranch, []any and scalars.
type treeBranch []treeItem

// treeItem is an entry of a map, or a comment between entries: its key is then a treeComment.
type treeItem struct{ Key, Value any }

// treeComment is a comment without its mark, between the entries of a map or the elements of a list.
type treeComment struct {
	Value  string
	Inline bool // it stands behind a value
}

// rule selects the encrypted leaves of a file: those with a key on their path that the rule matches, or those below a
// comment that it matches.
type rule struct {
	suffix           string
	pattern          *regexp.Regexp // nil: the suffix counts
	size             int            // of the pattern, in instructions
	ofComments       bool
	inverted         bool // the others are encrypted
	macOnlyEncrypted bool
}

// walker decrypts documents in place, as the root package of sops does, and computes the MAC over their values.
type walker struct {
	rule

	ctx context.Context
	key []byte
	mac hash.Hash
	// comments are those that a leaf is below, by the depth of what they are in: those before it in its own branch, up to
	// the last value there, and those before what it is in.
	comments [][]string
}

// macOnlyEncryptedSeed is hashed first if the MAC is over encrypted values only: SHA-256 of "sops".
var macOnlyEncryptedSeed = []byte("\x8a\x3f\xd2\xad\x54\xce\x66\x52\x7b\x10\x34\xf3\xd1\x47\xbe\x0b" +
	"\x0b\x97\x5b\x3b\xf4\x4f\x72\xc6\xfd\xad\xec\x81\x76\xf2\x7d\x69")

// walk decrypts the leaves of documents in place and returns the MAC over them. The error names the leaf that does not
// decrypt, and wraps errLeaf; or it is that of the context.
func walk(ctx context.Context, docs []document, r rule, key []byte) (mac string, err error) {
	w := &walker{rule: r, ctx: ctx, key: key, mac: sha512.New()}
	if r.macOnlyEncrypted {
		w.mac.Write(macOnlyEncryptedSeed)
	}
	for _, doc := range docs {
		var at place
		err := w.branch(doc.tree, nil, &at)
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if err != nil {
			slices.Reverse(at)
			return "", fmt.Errorf("document %d, %s: %w", doc.index, strings.Join(at, "."), err)
		}
	}
	return fmt.Sprintf("%X", w.mac.Sum(nil)), nil
}

// place is the path of the leaf at which a walk failed, the last element first.
type place []string

func (w *walker) branch(in treeBranch, path []string, failed *place) error {
	w.comments = append(w.comments, nil)
	defer func() { w.comments = w.comments[:len(w.comments)-1] }()
	for i, item := range in {
		if c, isComment := item.Key.(treeComment); isComment {
			w.below(c)
			v, err := w.leaf(c, path)
			if err != nil {
				return err
			}
			if in[i].Key, isComment = v.(treeComment); !isComment {
				text, isText := v.(string)
				if !isText {
					return errLeaf
				}
				in[i].Key = treeComment{Value: text, Inline: c.Inline}
			}
			continue
		}
		key, isText := item.Key.(string)
		if !isText {
			return errors.New("a key is not a string")
		}
		v, err := w.value(item.Value, append(path, key), failed)
		if err != nil {
			*failed = append(*failed, key)
			return err
		}
		in[i].Value = v
		w.comments[len(w.comments)-1] = nil
	}
	return nil
}

// list walks a list. Its elements have the path of the list.
func (w *walker) list(in []any, path []string, failed *place) error {
	w.comments = append(w.comments, nil)
	defer func() { w.comments = w.comments[:len(w.comments)-1] }()
	for i, element := range in {
		c, plain := element.(treeComment)
		if plain {
			w.below(c)
		}
		v, err := w.value(element, path, failed)
		if err != nil {
			*failed = append(*failed, strconv.Itoa(withoutComments(in[:i])))
			return err
		}
		in[i] = v
		if !plain {
			w.comments[len(w.comments)-1] = nil
		}
	}
	return nil
}

// withoutComments returns how many elements of a list are values.
func withoutComments(list []any) (n int) {
	for _, element := range list {
		if !isComment(element) {
			n++
		}
	}
	return n
}

// below notes a comment that stands before what comes next.
func (w *walker) below(c treeComment) {
	last := len(w.comments) - 1
	w.comments[last] = append(w.comments[last], c.Value)
}

func (w *walker) value(in any, path []string, failed *place) (any, error) {
	switch v := in.(type) {
	case nil:
		return nil, nil
	case treeBranch:
		return v, w.branch(v, path, failed)
	case []any:
		return v, w.list(v, path, failed)
	}
	return w.leaf(in, path)
}

// leaf returns the value of a leaf, and adds it to the MAC. A comment that does not decrypt was not encrypted: older
// versions of SOPS left comments as they are.
func (w *walker) leaf(in any, path []string) (v any, err error) {
	if err := w.ctx.Err(); err != nil {
		return nil, err
	}
	comment, isComment := in.(treeComment)
	encrypted := w.selects(path, isComment)
	v = in
	if encrypted {
		text, isText := in.(string)
		if isComment {
			text, isText = comment.Value, true
		}
		if !isText {
			return nil, errLeaf
		}
		v, err = decryptLeaf(text, w.key, strings.Join(path, ":")+":")
		switch {
		case err != nil && isComment:
			v = in
		case err != nil:
			return nil, err
		}
	}
	if _, isComment := v.(treeComment); isComment || w.macOnlyEncrypted && !encrypted {
		return v, nil
	}
	b, err := toBytes(v)
	if err != nil {
		return nil, errLeaf
	}
	w.mac.Write(b)
	return v, nil
}

// selects reports whether a leaf at a path, or a comment there, is encrypted.
func (w *walker) selects(path []string, isComment bool) bool {
	switch {
	case w.ofComments:
		return w.matchesComment(isComment) != w.inverted
	case w.pattern != nil:
		return slices.ContainsFunc(path, w.pattern.MatchString) != w.inverted
	}
	return slices.ContainsFunc(path, func(key string) bool { return strings.HasSuffix(key, w.suffix) }) != w.inverted
}

// matchesComment reports whether the rule matches a comment that the current leaf is below. A comment that is encrypted
// because of a comment is not so because of itself.
func (w *walker) matchesComment(isComment bool) bool {
	for depth, texts := range w.comments {
		if last := len(texts) - 1; isComment && !w.inverted && depth == len(w.comments)-1 && last >= 0 {
			texts = texts[:last]
		}
		if slices.ContainsFunc(texts, w.pattern.MatchString) {
			return true
		}
	}
	return false
}
