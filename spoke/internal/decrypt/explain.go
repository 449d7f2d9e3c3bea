package decrypt

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/getsops/sops/v3"
)

// explain returns an error that names the leaf at which a walk failed. The library's own error names no place and
// quotes values. So explain walks the documents once more, as again returns them, with a mark in place of each scalar
// and a cipher that records which marks it is asked to decrypt.
func explain(ctx context.Context, again func() ([]document, error), rules sops.Metadata, c *guarded) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	docs, err := again()
	if err != nil {
		return err
	}
	places := scalars(docs)
	for i, l := range places {
		*l.value = mark + strconv.Itoa(i)
	}
	var asked marks
	if _, err := walk(docs, rules, nil, &asked); err != nil {
		return errLeaf
	}
	for call, text := range asked {
		number, isMark := strings.CutPrefix(text, mark)
		i, err := strconv.Atoi(number)
		if !isMark || err != nil {
			continue // a comment
		}
		_, isText := places[i].before.(string)
		if !isText || c.failed && call == c.calls-1 {
			return fmt.Errorf("document %d, %s: %w", places[i].document, strings.Join(places[i].path, "."), errLeaf)
		}
	}
	return errLeaf
}

// mark begins a text that no YAML file can hold.
const mark = "\x00"

// marks is a cipher that records texts without decrypting them.
type marks []string

// Encrypt returns errors.ErrUnsupported, because the spoke only decrypts.
func (m *marks) Encrypt(any, []byte, string) (string, error) { return "", errors.ErrUnsupported }

// Decrypt records the text and returns it.
func (m *marks) Decrypt(text string, _ []byte, _ string) (any, error) {
	*m = append(*m, text)
	return text, nil
}
