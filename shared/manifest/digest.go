package manifest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// Digest is the SHA-256 of bytes. The zero Digest means "none".
type Digest [sha256.Size]byte

const digestPrefix = "sha256:"

// DigestOf returns the SHA-256 of b.
func DigestOf(b []byte) Digest { return sha256.Sum256(b) }

// ParseDigest returns the digest of a text from String: "sha256:" and 64 lower-case hexadecimal digits. Any other text
// is an error.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	digits, ok := strings.CutPrefix(s, digestPrefix)
	if !ok || len(digits) != 2*len(d) || strings.ToLower(digits) != digits {
		return Digest{}, fmt.Errorf("digest %q: want sha256: and 64 hexadecimal digits", s)
	}
	if _, err := hex.Decode(d[:], []byte(digits)); err != nil {
		return Digest{}, fmt.Errorf("digest %q: %w", s, err)
	}
	return d, nil
}

// DigestFromBytes returns the digest of 32 bytes from the wire. Any other number of bytes is an error.
func DigestFromBytes(b []byte) (Digest, error) {
	var d Digest
	if len(b) != len(d) {
		return Digest{}, fmt.Errorf("digest of %d bytes: want %d", len(b), len(d))
	}
	copy(d[:], b)
	return d, nil
}

// String returns "sha256:" and 64 hexadecimal digits, the format of OCI.
func (d Digest) String() string { return digestPrefix + hex.EncodeToString(d[:]) }

// Compare orders digests by their bytes.
func (d Digest) Compare(other Digest) int { return bytes.Compare(d[:], other[:]) }

// IsZero reports whether d is the zero Digest.
func (d Digest) IsZero() bool { return d == Digest{} }

// MarshalText returns String, or nothing for the zero Digest.
func (d Digest) MarshalText() ([]byte, error) {
	if d.IsZero() {
		return nil, nil
	}
	return []byte(d.String()), nil
}

// UnmarshalText sets d from a text from MarshalText. Errors: those of ParseDigest.
func (d *Digest) UnmarshalText(text []byte) (err error) {
	*d = Digest{}
	if len(text) > 0 {
		*d, err = ParseDigest(string(text))
	}
	return err
}
