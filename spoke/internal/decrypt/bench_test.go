package decrypt

import (
	"fmt"
	"strings"
	"testing"

	"github.com/getsops/sops/v3"

	"github.com/navefleet/nave/shared/bundle"
)

// BenchmarkOpen opens a file of one Secret with a thousand values, without and with the rule that Flux's guide advises.
func BenchmarkOpen(b *testing.B) {
	private, public := newAge(b)
	var plain strings.Builder
	plain.WriteString("apiVersion: v1\nkind: Secret\nmetadata: {name: app}\nstringData:\n")
	for i := range 1000 {
		fmt.Fprintf(&plain, "  key-%d: a value of some length, number %d\n", i, i)
	}
	keys, err := ParseKeys(map[string][]byte{"k.agekey": []byte(private)})
	if err != nil {
		b.Fatal(err)
	}
	for name, rule := range map[string]string{"suffix": "", "regex": "^(data|stringData)$"} {
		file := encrypt(b, plain.String(), sops.Metadata{EncryptedRegex: rule,
			KeyGroups: []sops.KeyGroup{{ageMaster(b, public, dataKey)}}})
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(file)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Open(b.Context(), file, bundle.YAML, keys); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
