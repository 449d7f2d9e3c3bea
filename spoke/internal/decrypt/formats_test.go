package decrypt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"
	"github.com/getsops/sops/v3/config"
	"github.com/getsops/sops/v3/stores/dotenv"
	"github.com/getsops/sops/v3/stores/ini"
	sopsjson "github.com/getsops/sops/v3/stores/json"
	sopsyaml "github.com/getsops/sops/v3/stores/yaml"
	"go.yaml.in/yaml/v3"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/sealed"
)

// store is the interface that the stores of SOPS have in common.
type store interface {
	LoadPlainFile([]byte) (sops.TreeBranches, error)
	EmitPlainFile(sops.TreeBranches) ([]byte, error)
	EmitEncryptedFile(sops.Tree) ([]byte, error)
	LoadEncryptedFile([]byte) (sops.Tree, error)
}

// stores are the stores of SOPS as Flux configures them.
func stores() map[bundle.Format]store {
	c := config.NewStoresConfig()
	return map[bundle.Format]store{
		bundle.YAML: sopsyaml.NewStore(&c.YAML), bundle.JSON: sopsjson.NewStore(&c.JSON),
		bundle.Binary: sopsjson.NewBinaryStore(&c.JSONBinary), bundle.Dotenv: dotenv.NewStore(&c.Dotenv),
		bundle.INI: ini.NewStore(&c.INI),
	}
}

// encryptAs encrypts as `sops encrypt --input-type format --output-type format` does, with the real library.
func encryptAs(t testing.TB, format bundle.Format, plain string, m sops.Metadata) []byte {
	t.Helper()
	store := stores()[format]
	branches, err := store.LoadPlainFile([]byte(plain))
	if err != nil {
		t.Fatal(err)
	}
	if m.EncryptedRegex == "" {
		m.UnencryptedSuffix = sops.DefaultUnencryptedSuffix // as the command does
	}
	m.LastModified, m.Version = time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC), "3.13.3"
	tree := sops.Tree{Branches: branches, Metadata: m}
	cipher := aes.NewCipher()
	mac, err := tree.Encrypt(dataKey, cipher)
	if err != nil {
		t.Fatal(err)
	}
	tree.Metadata.MessageAuthenticationCode, err = cipher.Encrypt(mac, dataKey, m.LastModified.Format(time.RFC3339))
	if err != nil {
		t.Fatal(err)
	}
	file, err := store.EmitEncryptedFile(tree)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// plains are files of each format. With Flux, a Secret holds the bytes that SOPS writes for them.
var plains = map[bundle.Format]string{
	bundle.YAML: everything,
	bundle.JSON: `{"auth": {"password": "hunter2", "html": "<a&b>", "empty": ""}, "list": [1, 2.5, true, null, "x", {"k": []}],
		"big": 9007199254740993, "e": 1e21}`,
	bundle.Binary: "not text: \x00\x01 \n and lines\r\n",
	bundle.Dotenv: "# a comment\nUSER=admin\nPASSWORD=a=b \"quoted\"\nLINES=one\\ntwo\nEMPTY=\nSPACE= x \n",
	bundle.INI:    "top = 1\n\n; above\n[db]\n; of user\nuser = admin\npassword = \"a;b\"\nlong = x\n\n[db.inner]\nk=v\n",
}

func newKeys(t testing.TB) (*Keys, sops.Metadata) {
	t.Helper()
	private, public := newAge(t)
	keys, err := ParseKeys(map[string][]byte{"id.agekey": []byte(private)})
	if err != nil {
		t.Fatal(err)
	}
	return keys, sops.Metadata{KeyGroups: []sops.KeyGroup{{ageMaster(t, public, dataKey)}}}
}

// TestText checks that a whole file equals the output of SOPS byte by byte, in each format that can hold it.
func TestText(t *testing.T) {
	keys, m := newKeys(t)
	all := stores()
	for in, plain := range plains {
		for out, store := range all {
			t.Run(string(in)+"_"+string(out), func(t *testing.T) {
				file := encryptAs(t, in, plain, m)
				tree, err := all[in].LoadEncryptedFile(file)
				if err == nil {
					_, err = tree.Decrypt(dataKey, aes.NewCipher())
				}
				if err != nil {
					t.Fatal(err)
				}
				want, wantErr := emitWith(store, tree.Branches)
				p, err := Open(t.Context(), file, in, keys, out)
				if err != nil {
					t.Fatal(err)
				}
				got, err := p.Find(bundle.SealedValue{Text: out})
				if (err == nil) != (wantErr == nil) || err == nil && got != sealed.Bytes(want) {
					t.Errorf("got %q (%v), want %q (%v)", p.texts[out].bytes, err, want, wantErr)
				}
				if err != nil && strings.Contains(err.Error(), "hunter2") {
					t.Errorf("the error tells a value: %v", err)
				}
			})
		}
	}
}

func emitWith(s store, branches sops.TreeBranches) (out []byte, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("panic")
		}
	}()
	return s.EmitPlainFile(branches)
}

// TestFormats checks the values of single leaves.
func TestFormats(t *testing.T) {
	keys, m := newKeys(t)
	for name, tt := range map[string]struct {
		format bundle.Format
		path   string
		want   sealed.Value
	}{
		"json":         {bundle.JSON, "auth password", sealed.Text("hunter2")},
		"json_number":  {bundle.JSON, "list 1", sealed.Float(2.5)},
		"json_exact":   {bundle.JSON, "big", sealed.Integer(9007199254740993)},
		"dotenv":       {bundle.Dotenv, "PASSWORD", sealed.Text(`a=b "quoted"`)},
		"dotenv_lines": {bundle.Dotenv, "LINES", sealed.Text("one\ntwo")},
		"ini":          {bundle.INI, "db user", sealed.Text("admin")},
		"ini_default":  {bundle.INI, "DEFAULT top", sealed.Text("1")},
		"binary":       {bundle.Binary, "data", sealed.Text(plains[bundle.Binary])},
	} {
		p, err := Open(t.Context(), encryptAs(t, tt.format, plains[tt.format], m), tt.format, keys)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, err := p.Find(bundle.SealedValue{Path: strings.Fields(tt.path)}); got != tt.want || err != nil {
			t.Errorf("%s: not what was encrypted (%v)", name, err)
		}
	}
}

// TestDotenvText checks that an entry of a dotenv file keeps its line.
func TestDotenvText(t *testing.T) {
	keys, m := newKeys(t)
	p, err := Open(t.Context(), encryptAs(t, bundle.Dotenv, plains[bundle.Dotenv], m), bundle.Dotenv, keys)
	if err != nil {
		t.Fatal(err)
	}
	got, err := p.Find(bundle.SealedValue{Path: []string{"LINES"}, Text: bundle.Dotenv})
	if got != sealed.Text(`one\ntwo`) || err != nil {
		t.Errorf("not one line (%v)", err)
	}
}

// TestDocuments opens files whose documents were encrypted each for itself, with plain ones between them.
func TestDocuments(t *testing.T) {
	mine, m := newKeys(t)
	_, foreign := newKeys(t)
	one := string(encrypt(t, "stringData:\n    a: first\n", m))
	two := string(encrypt(t, "stringData:\n    a: "+canary+"\n", foreign))
	three := string(encrypt(t, "stringData:\n    a: third\n", m))
	const plain = "kind: ConfigMap\ndata:\n    a: b\n"
	p, err := Open(t.Context(), []byte(one+"---\n"+plain+"---\n"+two+"---\n"+three), bundle.YAML, mine, bundle.YAML)
	if err != nil {
		t.Fatal(err)
	}
	at := func(document int) bundle.SealedValue {
		return bundle.SealedValue{Document: document, Path: []string{"stringData", "a"}}
	}
	for document, want := range map[int]string{0: "first", 3: "third"} {
		if got, err := p.Find(at(document)); got != sealed.Text(want) || err != nil {
			t.Errorf("document %d: not what was encrypted (%v)", document, err)
		}
	}
	if _, err := p.Find(at(2)); !errors.Is(err, ErrNoKey) || !strings.Contains(err.Error(), "document 2") {
		t.Errorf("the foreign document: %v", err)
	}
	if _, err := p.Find(at(1)); err == nil {
		t.Error("the plain document has a value")
	}
	if _, err := p.Find(bundle.SealedValue{Text: bundle.YAML}); !errors.Is(err, ErrNoKey) {
		t.Errorf("the whole file: %v", err)
	}
	broken := strings.Replace(three, "type:str", "type:int", 1)
	p, err = Open(t.Context(), []byte(one+"---\n"+broken), bundle.YAML, mine)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Find(at(1)); !errors.Is(err, errLeaf) || !strings.Contains(err.Error(), "stringData.a") {
		t.Errorf("the broken document: %v", err)
	}
	if _, err := Open(t.Context(), []byte(two+"---\n"+two), bundle.YAML, mine); !errors.Is(err, ErrNoKey) {
		t.Errorf("no document opens: %v", err)
	}
}

// TestAliases opens a file with aliases in its clear part, whose MAC is over the expanded values.
func TestAliases(t *testing.T) {
	keys, m := newKeys(t)
	m.EncryptedRegex = "^stringData$"
	plain := "metadata:\n    labels: {a: b}\n    annotations: {a: b}\nstringData:\n    a: x\n"
	file := string(encrypt(t, plain, m))
	const labels, annotations = "labels:\n        a: b\n", "annotations:\n        a: b\n"
	for name, text := range map[string]string{
		"alias": strings.NewReplacer(labels, "labels: &l\n        a: b\n", annotations, "annotations: *l\n").Replace(file),
	} {
		p, err := Open(t.Context(), []byte(text), bundle.YAML, keys)
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, text)
			continue
		}
		if v, ok := p.Value(0, []string{"stringData", "a"}); !ok || v != sealed.Text("x") {
			t.Errorf("%s: not what was encrypted", name)
		}
	}
	bomb := "x0: &x0 [l, l, l, l, l, l, l, l, l, l]\n"
	for i := range 8 {
		at, next := string(rune('0'+i)), string(rune('1'+i))
		bomb += "x" + next + ": &x" + next + " [" + strings.Repeat("*x"+at+", ", 9) + "*x" + at + "]\n"
	}
	for name, text := range map[string]string{"bomb": bomb + file, "cycle": "a: &a [*a]\n" + file} {
		if _, err := Open(t.Context(), []byte(text), bundle.YAML, keys); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestMalformed opens files that are not of their format. No error quotes their content.
func TestMalformed(t *testing.T) {
	keys, _ := newKeys(t)
	for name, tt := range map[string]struct {
		format bundle.Format
		file   string
		want   error
	}{
		"json_list":      {bundle.JSON, `["` + canary + `"]`, ErrMalformed},
		"json_two":       {bundle.JSON, `{"a": "` + canary + `"} {}`, ErrMalformed},
		"json_cut_off":   {bundle.JSON, `{"a": "` + canary, ErrMalformed},
		"json_key_twice": {bundle.JSON, `{"a": "` + canary + `", "a": 1}`, ErrMalformed},
		"json_deep":      {bundle.JSON, `{"a": ` + strings.Repeat("[", 300) + strings.Repeat("]", 300) + "}", ErrMalformed},
		"json_plain":     {bundle.JSON, `{"a": "` + canary + `"}`, ErrNotEncrypted},
		"dotenv_line":    {bundle.Dotenv, canary, ErrMalformed},
		"dotenv_plain":   {bundle.Dotenv, "A=" + canary, ErrNotEncrypted},
		"ini_line":       {bundle.INI, "[a]\n" + canary, ErrMalformed},
		"ini_plain":      {bundle.INI, "[a]\nb=" + canary, ErrNotEncrypted},
		"binary_plain":   {bundle.Binary, `{"data": "` + canary + `"}`, ErrNotEncrypted},
		"many_lines":     {bundle.Dotenv, strings.Repeat("A=\n", bundle.MaxSealedFileValues+1), ErrMalformed},
		"unknown":        {"toml", canary, ErrFormat},
	} {
		_, err := Open(t.Context(), []byte(tt.file), tt.format, keys)
		if !errors.Is(err, tt.want) || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

// FuzzFormats opens files of each format and writes them in each.
func FuzzFormats(f *testing.F) {
	keys, m := newKeys(f)
	formats := []bundle.Format{bundle.YAML, bundle.JSON, bundle.Binary, bundle.Dotenv, bundle.INI}
	for i, format := range formats {
		f.Add(uint8(i), encryptAs(f, format, plains[format], m))
	}
	f.Add(uint8(3), []byte("sops_age__list_0__map_enc=x\nsops_age__list_0=y\nsops_a__map_b=1\nsops_a=2\n"))
	f.Add(uint8(4), []byte("[sops]\nage__list_9__map_recipient=x\nlastmodified=2020-01-01T00:00:00Z\n"))
	f.Fuzz(func(t *testing.T, format uint8, data []byte) {
		p, err := Open(context.Background(), data, formats[int(format)%len(formats)], keys, formats...)
		if (p == nil) == (err == nil) {
			t.Fatalf("plaintext %v with error %v", p != nil, err)
		}
		docs, err := parse(bytes.Clone(data), formats[int(format)%len(formats)])
		if err != nil {
			return
		}
		for _, out := range formats {
			_, _ = emit(docs, out)
		}
	})
}

// FuzzTextNode compares the quotes of texts with those of the encoder.
func FuzzTextNode(f *testing.F) {
	for _, text := range []string{"", "a", "off", "y", "1:30", "0x1f", "1e3", "~", "null", "2020-01-01", " a", "a ",
		"a: b",
		"#a", "'", "\"", "a\nb", "a\n", "\n", " \n", "a\tb", "\x00", "\u2028", "é", "- a", "? a", "{a}", "*a", "&a", "!a",
		"%a",
		"@a",
		"`a", "a\r\nb", "<<", "=", "\xff", "true", ".inf", "0b1", "1_000", "a #b", "---", "..."} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		want := &yaml.Node{}
		if want.Encode(text) != nil {
			return
		}
		written := func(value *yaml.Node) string {
			out, err := yaml.Marshal(&yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{textNode("k"), value}})
			return fmt.Sprint(string(out), err)
		}
		if got, want := written(yamlNode(text)), written(want); got != want {
			t.Errorf("%q is written %q, want %q", text, got, want)
		}
	})
}
