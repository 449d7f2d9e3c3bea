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

// errLeaf is the only error about a leaf that does not decrypt.
var errLeaf = errors.New("the value cannot be decrypted with the data key of the file")

// leafPattern matches an encrypted leaf as SOPS writes it; the group is the type of the leaf.
var leafPattern = regexp.MustCompile(`^ENC\[AES256_GCM,data:.+,iv:.+,tag:.+,type:(.+)\]`)

// The library's logs are discarded, because they quote comments.
func init() {
	logging.SetLevel(logrus.PanicLevel)
	for _, logger := range logging.Loggers {
		logger.SetOutput(io.Discard)
	}
}

// guarded is the library's cipher without panics and without values in errors. It counts its calls, so that explain can
// find the leaf where the walk ended.
type guarded struct {
	ctx    context.Context
	cipher sops.Cipher
	calls  int
	failed bool // the last call failed
}

// Encrypt returns errors.ErrUnsupported, because the spoke only decrypts.
func (g *guarded) Encrypt(any, []byte, string) (string, error) { return "", errors.ErrUnsupported }

// Decrypt returns the value of one leaf. The library's cipher panics on type bytes, so it gets such a leaf as text. The
// error is errLeaf, or that of the context.
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
