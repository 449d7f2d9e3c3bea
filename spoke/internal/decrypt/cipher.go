package decrypt

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"errors"
	"regexp"
	"strconv"
	"time"
)

const keySize = 32 // AES-256

// errLeaf is all that is ever said about a leaf that does not decrypt.
var errLeaf = errors.New("not a value that this file's data key opens")

var leafPattern = regexp.MustCompile(`^ENC\[AES256_GCM,data:(.+),iv:(.+),tag:(.+),type:(.+)\]`)

// openLeaf decrypts one ENC[…] text that SOPS bound to additional data. The result is a string, int, float64, bool,
// []byte, time.Time or comment. The empty string is its own encryption.
func openLeaf(text string, key []byte, additional string) (any, error) {
	if text == "" {
		return "", nil
	}
	m := leafPattern.FindStringSubmatch(text)
	if m == nil {
		return nil, errLeaf
	}
	var parts [3][]byte
	for i := range parts {
		var err error
		if parts[i], err = base64.StdEncoding.DecodeString(m[i+1]); err != nil {
			return nil, errLeaf
		}
	}
	data, iv, tag := parts[0], parts[1], parts[2]
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, errLeaf
	}
	if len(iv) == 0 || len(tag) != block.BlockSize() {
		return nil, errLeaf
	}
	gcm, err := cipher.NewGCMWithNonceSize(block, len(iv))
	if err != nil {
		return nil, errLeaf
	}
	plain, err := gcm.Open(nil, iv, append(data, tag...), []byte(additional))
	if err != nil {
		return nil, errLeaf
	}
	return typed(plain, m[4])
}

// typed gives decrypted bytes the type SOPS recorded. SOPS does not authenticate the type, only the MAC does.
func typed(plain []byte, kind string) (v any, err error) {
	text := string(plain)
	switch kind {
	case "str":
		return text, nil
	case "comment":
		return comment(text), nil
	case "bytes":
		return plain, nil
	case "int":
		v, err = strconv.Atoi(text)
	case "float":
		v, err = strconv.ParseFloat(text, 64)
	case "bool":
		v, err = strconv.ParseBool(text)
	case "time":
		var t time.Time
		err = t.UnmarshalText(plain)
		v = t
	default:
		err = errLeaf
	}
	if err != nil {
		return nil, errLeaf
	}
	return v, nil
}

// macBytes returns what SOPS puts into the MAC for a leaf.
func macBytes(v any) ([]byte, error) {
	switch v := v.(type) {
	case string:
		return []byte(v), nil
	case []byte:
		return v, nil
	case int:
		return []byte(strconv.Itoa(v)), nil
	case float64:
		return []byte(strconv.FormatFloat(v, 'f', -1, 64)), nil
	case bool:
		if v {
			return []byte("True"), nil
		}
		return []byte("False"), nil
	case time.Time:
		return v.MarshalText()
	}
	return nil, errors.New("a scalar of a type that SOPS does not know")
}
