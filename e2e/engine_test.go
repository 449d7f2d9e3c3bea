package e2e_test

import (
	"encoding/base64"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// The search for secrets must not find nothing because it cannot find anything.
func TestCanary(t *testing.T) {
	const text = "canary-of-the-engine"
	writer, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"plain":          []byte("x" + text + "y"),
		"base64":         []byte(base64.StdEncoding.EncodeToString([]byte(text))),
		"base64 within":  []byte(base64.StdEncoding.EncodeToString([]byte("ab" + text + "c"))),
		"base64, URL":    []byte(base64.URLEncoding.EncodeToString([]byte("a" + text))),
		"percent, all":   []byte("%63%61%6e%61%72%79%2d%6f%66%2d%74%68%65%2d%65%6e%67%69%6e%65"),
		"compressed":     append([]byte("page "), writer.EncodeAll([]byte(`{"a":"`+text+`"}`), nil)...),
		"two frames":     append(writer.EncodeAll([]byte("nothing"), nil), writer.EncodeAll([]byte("b "+text), nil)...),
		"cut off behind": append(writer.EncodeAll([]byte(text), nil), "other bytes of the page"...),
	} {
		if !holds(b, text) && !holdsCompressed(b, text) {
			t.Errorf("%s: not found", name)
		}
	}
	if b := []byte("canary-of-another"); holds(b, text) || holdsCompressed(b, text) {
		t.Error("found where it is not")
	}
}
