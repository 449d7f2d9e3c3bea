package decrypt

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/getsops/sops/v3"
)

func TestExplain_leaf(t *testing.T) {
	private, public := newAge(t)
	const plain = "clear_unencrypted: 1\nlist:\n    # a comment\n    - a\n    - n: 7\n      m: x\n---\nlast:\n    - - " +
		canary + "\n"
	file := string(encrypt(t, plain, sops.Metadata{KeyGroups: []sops.KeyGroup{{ageMaster(t, public, dataKey)}}}))
	line := func(holds string) string {
		for l := range strings.Lines(file) {
			if strings.Contains(l, holds) {
				return l
			}
		}
		t.Fatalf("no line with %s", holds)
		return ""
	}
	before := func(line string) string { return line[:strings.Index(line, "ENC")] }
	for name, tt := range map[string]struct{ from, to, want string }{
		"number_in_clear": {line("m: ENC"), before(line("m: ENC")) + "12345\n", "document 0, list.1.m: "},
		"text_in_clear":   {line("m: ENC"), before(line("m: ENC")) + canary + "\n", "document 0, list.1.m: "},
		"value_of_another_leaf": {line("- - ENC"), before(line("- - ENC")) +
			strings.TrimPrefix(line("m: ENC"), before(line("m: ENC"))), "document 1, last.0.0: "},
		"value_changed": {line("- - ENC"), strings.Replace(line("- - ENC"), "data:", "data:AAAA", 1),
			"document 1, last.0.0: "},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := openString(t, []byte(strings.Replace(file, tt.from, tt.to, 1)),
				map[string][]byte{"id.agekey": []byte(private)})
			if !errors.Is(err, errLeaf) || !strings.HasPrefix(err.Error(), tt.want) || strings.Contains(err.Error(), canary) ||
				strings.Contains(err.Error(), "ENC[") {
				t.Errorf("got %v, want one that begins with %q", err, tt.want)
			}
		})
	}
}

func TestExplain_prints_nothing(t *testing.T) {
	private, public := newAge(t)
	file := encrypt(t, "a: x\n", sops.Metadata{KeyGroups: []sops.KeyGroup{{ageMaster(t, public, dataKey)}}})
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func(was *os.File) { os.Stderr = was }(os.Stderr)
	os.Stderr = w
	_, err = openString(t, append([]byte("# "+canary+"\n"), file...), map[string][]byte{"id.agekey": []byte(private)})
	if err != nil {
		t.Error(err)
	}
	_ = w.Close()
	var b [1]byte
	if n, _ := r.Read(b[:]); n != 0 {
		t.Error("the library wrote to standard error")
	}
}
