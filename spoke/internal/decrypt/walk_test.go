package decrypt

import (
	"errors"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"
)

// walkRules are the rules that a file may have, as the library and as a walk has them.
var walkRules = []struct {
	name string
	sops sops.Metadata
	rule rule
}{
	{"unencrypted_suffix", sops.Metadata{UnencryptedSuffix: "_plain"}, rule{suffix: "_plain", inverted: true}},
	{"encrypted_suffix", sops.Metadata{EncryptedSuffix: "Data"}, rule{suffix: "Data"}},
	{"unencrypted_regex", sops.Metadata{UnencryptedRegex: "^(k|metadata)"},
		rule{pattern: regexp.MustCompile("^(k|metadata)"), inverted: true}},
	{"encrypted_regex", sops.Metadata{EncryptedRegex: "^(d|stringData|list)"},
		rule{pattern: regexp.MustCompile("^(d|stringData|list)")}},
	{"unencrypted_comment_regex", sops.Metadata{UnencryptedCommentRegex: "above"},
		rule{pattern: regexp.MustCompile("above"), inverted: true, ofComments: true}},
	{"encrypted_comment_regex", sops.Metadata{EncryptedCommentRegex: "above"},
		rule{pattern: regexp.MustCompile("above"), ofComments: true}},
}

// commented has comments in each place.
const commented = `# above all
a: 1
# above b
b:
    # inside
    c: x # above d, inline
    d: 2.5
    list:
        # above one
        - one # beside
        - {e: true, f_plain: "", gData: 2026-01-01T00:00:00Z}
        - [null, [y, # above z
           z]]
        # after
kind: Secret
stringData:
    d: above
    # above the end
`

// FuzzWalk compares a walk with the library's: the decrypted trees, the MAC, and whether there is an error. A text that
// begins with = is what the library encrypts first; all others are read as they are.
func FuzzWalk(f *testing.F) {
	for i := range walkRules {
		for _, macOnly := range []bool{false, true} {
			f.Add(uint8(i), macOnly, "="+everything)
			f.Add(uint8(i), macOnly, "="+commented)
			f.Add(uint8(i), macOnly, commented)
			f.Add(uint8(i), macOnly, encrypted(f, i, macOnly, commented))
			f.Add(uint8(i), macOnly, strings.ReplaceAll(encrypted(f, i, macOnly, commented), "type:str", "type:int"))
			f.Add(uint8(i), macOnly, strings.Replace(encrypted(f, i, macOnly, commented), "type:str", "type:comment", 1))
		}
	}
	f.Fuzz(func(t *testing.T, number uint8, macOnly bool, text string) {
		number %= uint8(len(walkRules))
		if plain, is := strings.CutPrefix(text, "="); is {
			text = encrypted(t, int(number), macOnly, plain)
		}
		if strings.Contains(text, "type:bytes") {
			t.Skip("the library panics")
		}
		ours, err := parseYAML([]byte(text))
		if err != nil {
			t.Skip("not a file that is walked")
		}
		theirs, err := parseYAML([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		r := walkRules[number].rule
		r.macOnlyEncrypted = macOnly
		mac, err := walk(t.Context(), ours, r, dataKey)
		tree := sops.Tree{Metadata: walkRules[number].sops}
		tree.Metadata.MACOnlyEncrypted = macOnly
		for _, doc := range theirs {
			tree.Branches = append(tree.Branches, ofLibrary(doc.tree).(sops.TreeBranch))
		}
		want, wantErr := tree.Decrypt(dataKey, aes.NewCipher())
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%q: error %v, the library's %v", text, err, wantErr)
		}
		if err != nil {
			return
		}
		if mac != want {
			t.Errorf("%q: MAC %s, want %s", text, mac, want)
		}
		for i, doc := range ours {
			if got := ofLibrary(doc.tree); !reflect.DeepEqual(got, tree.Branches[i]) {
				t.Errorf("%q, document %d: %v, want %v", text, i, got, tree.Branches[i])
			}
		}
	})
}

// encrypted returns a file as the library encrypts it; empty if the library refuses the text.
func encrypted(t testing.TB, number int, macOnly bool, plain string) string {
	t.Helper()
	docs, err := parseYAML([]byte(plain))
	if err != nil || len(docs) == 0 {
		return ""
	}
	tree := sops.Tree{Metadata: walkRules[number].sops}
	tree.Metadata.MACOnlyEncrypted = macOnly
	for _, doc := range docs {
		tree.Branches = append(tree.Branches, ofLibrary(doc.tree).(sops.TreeBranch))
	}
	if _, err := tree.Encrypt(dataKey, aes.NewCipher()); err != nil {
		return ""
	}
	tree.Metadata.LastModified = time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	file, err := stores()["yaml"].EmitEncryptedFile(tree)
	if err != nil {
		return ""
	}
	return string(file)
}

// ofLibrary returns a node of a tree as the library has it.
func ofLibrary(v any) any {
	switch v := v.(type) {
	case treeComment:
		return sops.Comment{Value: v.Value, Inline: v.Inline}
	case treeBranch:
		branch := sops.TreeBranch{}
		for _, i := range v {
			branch = append(branch, sops.TreeItem{Key: ofLibrary(i.Key), Value: ofLibrary(i.Value)})
		}
		return branch
	case []any:
		list := []any{}
		for _, i := range v {
			list = append(list, ofLibrary(i))
		}
		return list
	}
	return v
}

func TestWalk_names_the_leaf(t *testing.T) {
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
