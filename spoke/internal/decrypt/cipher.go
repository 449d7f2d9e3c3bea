package decrypt

import (
	"context"
	"errors"
	"io"
	"regexp"

	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/logging"
	"github.com/sirupsen/logrus"
)

const keySize = 32 // AES-256

// errLeaf is all that is ever said about a leaf that does not decrypt.
var errLeaf = errors.New("not a value that this file's data key opens")

// leafPattern is what SOPS writes for an encrypted leaf; the group is its type.
var leafPattern = regexp.MustCompile(`^ENC\[AES256_GCM,data:.+,iv:.+,tag:.+,type:(.+)\]`)

// The library logs what it finds odd, comments with their text among it.
func init() {
	logging.SetLevel(logrus.PanicLevel)
	for _, logger := range logging.Loggers {
		logger.SetOutput(io.Discard)
	}
}

// guarded is the library's cipher, kept from its panics and from quoting values. It counts its calls, so that
// explain can tell where the walk ended.
type guarded struct {
	ctx    context.Context
	cipher sops.Cipher
	calls  int
	failed bool // the last call
}

// Encrypt is what this spoke never does.
func (g *guarded) Encrypt(any, []byte, string) (string, error) { return "", errors.ErrUnsupported }

// Decrypt opens one leaf. The library's cipher cannot keep a value of type bytes, so it gets those as text.
func (g *guarded) Decrypt(text string, key []byte, additional string) (v any, err error) {
	g.calls++
	defer func() {
		if recover() != nil {
			err = errLeaf
		}
		if g.failed = err != nil; g.failed {
			v = nil
		}
	}()
	if g.ctx.Err() != nil {
		return nil, g.ctx.Err()
	}
	isBytes := false
	if m := leafPattern.FindStringSubmatchIndex(text); m != nil && text[m[2]:m[3]] == "bytes" {
		isBytes, text = true, text[:m[2]]+"str]"
	}
	if v, err = g.cipher.Decrypt(text, key, additional); err != nil {
		return nil, errLeaf
	}
	if plain, ok := v.(string); ok && isBytes {
		return []byte(plain), nil
	}
	return v, nil
}
