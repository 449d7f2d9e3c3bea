package decrypt

import (
	"bytes"
	"testing"

	"github.com/getsops/sops/v3/keyservice"
	"google.golang.org/protobuf/proto"
)

// FuzzPlaintext reads answers of a key service as protobuf's own decoder does.
func FuzzPlaintext(f *testing.F) {
	answer, err := proto.Marshal(&keyservice.DecryptResponse{Plaintext: dataKey})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(answer)
	f.Add(append(answer, answer...))
	f.Add(append([]byte("\x10\x01"), answer...))
	f.Add(answer[:len(answer)-1])
	f.Add([]byte("\x0b\x0a\x01a\x0c"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		var want keyservice.DecryptResponse
		wantErr := proto.Unmarshal(answer, &want)
		got, err := plaintextOf(answer)
		if (err == nil) != (wantErr == nil) || err == nil && !bytes.Equal(got, want.Plaintext) {
			t.Errorf("%q: got %q (%v), want %q (%v)", answer, got, err, want.Plaintext, wantErr)
		}
	})
}
