package decrypt

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const keySize = 32 // AES-256

// errLeaf is the only error about a leaf that does not decrypt.
var errLeaf = errors.New("the value cannot be decrypted with the data key of the file")

// leafPattern matches an encrypted leaf as SOPS writes it; its groups are data, nonce, tag and the type of the leaf.
// SOPS ignores what comes after it.
var leafPattern = regexp.MustCompile(`^ENC\[AES256_GCM,data:(.+),iv:(.+),tag:(.+),type:(.+)\]`)

// leafType returns the type of an encrypted leaf; empty if the text is none.
func leafType(text string) string {
	if m := leafPattern.FindStringSubmatch(text); m != nil {
		return m[4]
	}
	return ""
}

// decryptLeaf returns the value of an encrypted leaf. The empty text is its own encryption. The error is errLeaf.
func decryptLeaf(text string, key []byte, additional string) (any, error) {
	if text == "" {
		return "", nil
	}
	m := leafPattern.FindStringSubmatch(text)
	if m == nil {
		return nil, errLeaf
	}
	var parts [3][]byte // data, nonce, tag
	for i := range parts {
		var err error
		if parts[i], err = base64.StdEncoding.DecodeString(m[1+i]); err != nil {
			return nil, errLeaf
		}
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, errLeaf
	}
	gcm, err := cipher.NewGCMWithNonceSize(block, len(parts[1]))
	if err != nil {
		return nil, errLeaf
	}
	plain, err := gcm.Open(nil, parts[1], append(parts[0], parts[2]...), []byte(additional))
	if err != nil {
		return nil, errLeaf
	}
	return typed(plain, m[4])
}

// typed returns a plaintext as a value of a leaf's type.
func typed(plain []byte, kind string) (v any, err error) {
	switch kind {
	case "str":
		return string(plain), nil
	case "bytes":
		return plain, nil
	case "comment":
		return treeComment{Value: string(plain)}, nil
	case "int":
		v, err = strconv.Atoi(string(plain))
	case "float":
		v, err = strconv.ParseFloat(string(plain), 64)
	case "bool":
		v, err = strconv.ParseBool(string(plain))
	case "time":
		var t time.Time
		err = t.UnmarshalText(plain)
		v = t
	default:
		err = errLeaf
	}
	if err != nil {
		return nil, errLeaf // the other errors quote the value
	}
	return v, nil
}

// toBytes returns a value as it counts for the MAC.
func toBytes(v any) ([]byte, error) {
	switch v := v.(type) {
	case string:
		return []byte(v), nil
	case []byte:
		return v, nil
	case int:
		return []byte(strconv.Itoa(v)), nil
	case float64:
		return strconv.AppendFloat(nil, v, 'f', -1, 64), nil
	case bool:
		text := strconv.FormatBool(v)
		return []byte(strings.ToUpper(text[:1]) + text[1:]), nil // as Python, in which SOPS was written first
	case time.Time:
		return v.MarshalText()
	}
	return nil, fmt.Errorf("a value of type %T", v)
}
