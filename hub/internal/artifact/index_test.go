package artifact

import (
	"fmt"
	"testing"
)

// BenchmarkIndex decodes and encodes the index of 4,000 files.
func BenchmarkIndex(b *testing.B) {
	var files []File
	for i := range 4000 {
		files = append(files, File{Path: fmt.Sprintf("apps/app-%03d/base/deployment-%d.yaml", i/30, i%30), Mode: Regular,
			Size: int64(1000 + i), Content: IdentifyContent(fmt.Append(nil, i))})
	}
	text := encodeIndex(files)
	b.Run("decode", func(b *testing.B) {
		for b.Loop() {
			if _, err := decodeIndex(text); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encode", func(b *testing.B) {
		for b.Loop() {
			encodeIndex(files)
		}
	})
}
