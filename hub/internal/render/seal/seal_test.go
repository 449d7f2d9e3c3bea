package seal

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
)

var salt = sealed.NewSalt([]byte("salt"))

const fixtures = "../kustomize/testdata/sops"

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(fixtures, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// sealFragments seals a file as Fragments.
func sealFragments(path string, data []byte, salt sealed.Salt) ([]byte, *bundle.SealedFile, error) {
	file, err := Seal(path, data, salt, Fragments)
	if file == nil {
		return data, nil, err
	}
	return file.Text, &file.SealedFile, err
}

// TestSealLeaves checks that seal names every leaf by document path and type.
func TestSealLeaves(t *testing.T) {
	data := fixture(t, "multi.yaml")
	out, file, err := sealFragments("multi.yaml", data, salt)
	if err != nil {
		t.Fatal(err)
	}
	if file.Digest != manifest.DigestOf(data) || file.Format != bundle.YAML || file.Path != "multi.yaml" {
		t.Errorf("file %+v", file)
	}
	want := []struct {
		document   int
		path, kind string
	}{
		{0, "stringData.a", "str"},
		{1, "data.count", "int"}, {1, "data.ratio", "float"}, {1, "data.enabled", "bool"},
		{1, "data.list.0", "str"}, {1, "data.list.1", "int"}, {1, "data.list.2.name", "str"}, {1, "data.list.2.value", "str"},
	}
	if len(file.Values) != len(want) {
		t.Fatalf("%d values: %v", len(file.Values), file.Values)
	}
	for i, w := range want {
		v := file.Values[i]
		if v.Document != w.document || strings.Join(v.Path, ".") != w.path || v.Type != w.kind ||
			!sealed.Placeholder(v.Placeholder).Valid() {
			t.Errorf("value %d is %+v, want %v", i, v, w)
		}
	}
	if bytes.Contains(out, []byte("ENC[")) || bytes.Contains(out, []byte("sops")) || bytes.Contains(out, []byte("mac:")) {
		t.Errorf("not sealed:\n%s", out)
	}
	if n := len(sealed.Find(string(out))); n != len(want) {
		t.Errorf("%d placeholders in the text", n)
	}
}

// TestSealedText checks that sealed text is the decrypted file with placeholders for values.
func TestSealedText(t *testing.T) {
	for name, plain := range map[string]string{"values.yaml": "values.plain.yaml", "multi.yaml": "multi.plain.yaml"} {
		out, _, err := sealFragments(name, fixture(t, name), salt)
		if err != nil {
			t.Fatal(err)
		}
		var got, want []string
		for line := range strings.Lines(string(out)) {
			key, _, _ := strings.Cut(line, ": ")
			got = append(got, strings.TrimRight(key, "\n"))
		}
		for line := range strings.Lines(string(fixture(t, plain))) {
			if key, _, _ := strings.Cut(line, ": "); !strings.Contains(line, "#") {
				want = append(want, strings.TrimRight(key, "\n"))
			}
		}
		if strip(got) != strip(want) {
			t.Errorf("%s:\n%s\nwant the shape of:\n%s", name, out, fixture(t, plain))
		}
	}
}

// strip leaves the keys and the indentation; a list's scalars are values.
func strip(lines []string) string {
	var out []string
	for _, l := range lines {
		if i := strings.Index(l, "- "); i >= 0 && !strings.HasSuffix(l, "name") {
			l = l[:i] + "-"
		}
		out = append(out, l)
	}
	return strings.Join(out, "\n")
}

// TestPlaceholdersOfLeaves checks that placeholders depend on the leaf and not on the recipients.
func TestPlaceholdersOfLeaves(t *testing.T) {
	first, a, err := sealFragments("a.yaml", fixture(t, "secret.yaml"), salt)
	if err != nil {
		t.Fatal(err)
	}
	second, b, err := sealFragments("b.yaml", fixture(t, "secret-updatekeys.yaml"), salt)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, second) {
		t.Error("another recipient makes another text")
	}
	if a.Digest == b.Digest {
		t.Error("the files are one blob")
	}
	rotated, _, err := sealFragments("a.yaml", fixture(t, "secret-rotated.yaml"), salt)
	if err != nil || bytes.Equal(first, rotated) {
		t.Errorf("another value makes the same text (%v)", err)
	}
}

// TestPlainFiles checks that files without SOPS pass unchanged.
func TestPlainFiles(t *testing.T) {
	for _, text := range []string{
		"", "a: b\n", "sops: is a word\n", "sops: {mac: not encrypted}\n", "data:\n  sops: {mac: 'ENC[AES256_GCM,'}\n",
		"doc: 'write ENC[AES256_GCM,data:…] for sops'\n", "not: [yaml ENC[AES256_GCM, sops\n", `{"sops": "ENC[AES256_GCM,"`,
	} {
		out, file, err := sealFragments("a.yaml", []byte(text), salt)
		if err != nil || file != nil || string(out) != text {
			t.Errorf("%q: %q, %v, %v", text, out, file, err)
		}
	}
}

// TestSealRefused checks that Seal returns an error for files that cannot be sealed.
func TestSealRefused(t *testing.T) {
	leaf := "ENC[AES256_GCM,data:96ZSKcw=,iv:fFGXz1t+cCT7u962Y5LYMvcrkbtKvZx70fDUSdO6Yyk=,tag:fwfohkAAs7UWeRTyW1+GYw==,type:str]"
	metadata := "sops:\n  mac: " + leaf + "\n"
	for name, c := range map[string]struct {
		data []byte
		want error
	}{
		"ini":    {fixture(t, "app.ini"), render.ErrSealedFormat},
		"binary": {fixture(t, "blob.bin"), render.ErrSealedFormat},
		"too_large": {append(fixture(t, "secret.yaml"),
			"# "+strings.Repeat("x", bundle.MaxSealedFileBytes)...), render.ErrSealedLarge},
		"too_many_values": {[]byte("a: [" + strings.Repeat("0,", bundle.MaxSealedFileValues) + "0]\n" + metadata),
			render.ErrSealedLarge},
		"alias_in_map":              {[]byte("a: &x {k: " + leaf + "}\nb: {<<: *x}\n" + metadata), render.ErrSealedMalformed},
		"alias":                     {[]byte("a: &x " + leaf + "\nb: *x\n" + metadata), render.ErrSealedMalformed},
		"broken_document":           {[]byte("a: [\nsops:\n  mac: " + leaf + "\n"), render.ErrSealedMalformed},
		"second_sops":               {[]byte("a: b\n" + metadata + metadata), render.ErrSealedMalformed},
		"sops_that_is_not_metadata": {[]byte("sops: b\n" + metadata), render.ErrSealedMalformed},
		"key_twice":                 {[]byte("a: " + leaf + "\na: b\n" + metadata), render.ErrSealedMalformed},
		"key_twice_below":           {[]byte("data:\n  a: b\n  a: b\n" + metadata), render.ErrSealedMalformed},
		"key_of_number":             {[]byte("data:\n  1: b\n" + metadata), render.ErrSealedMalformed},
		"list_document":             {[]byte("[a]\n---\n" + metadata), render.ErrSealedMalformed},
		"list_as_key":               {[]byte("[a]: b\n" + metadata), render.ErrSealedMalformed},
		"too_deep": {[]byte("a: " + strings.Repeat("[", 500) + strings.Repeat("]", 500) + "\n" + metadata),
			render.ErrSealedMalformed},
	} {
		_, file, err := sealFragments("a", c.data, salt)
		if !errors.Is(err, c.want) || file != nil {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func FuzzSeal(f *testing.F) {
	for _, name := range []string{"secret.yaml", "multi.yaml", "values.yaml", "app.env", "app.ini", "settings.json",
		"blob.bin"} {
		f.Add(fixture(f, name))
	}
	for _, name := range commented {
		f.Add(commentedFile(f, name+".yaml"))
	}
	f.Add([]byte("a: &a [*a]\nsops: {mac: ENC[AES256_GCM,}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		whole, err := Seal("a", data, salt, Whole(FormatOf("a.yaml")))
		if err == nil && whole != nil && (len(whole.Values) != 1 || string(whole.Text) != whole.Values[0].Placeholder) {
			t.Errorf("a whole file has values %v and the text %s", whole.Values, whole.Text)
		}
		if kept, err := Seal("a", data, salt, Objects); err == nil && kept != nil && len(kept.Leaves) != len(kept.Values) {
			t.Errorf("%d leaves for %d values", len(kept.Leaves), len(kept.Values))
		}
		out, file, err := sealFragments("a", data, salt)
		if err != nil || file == nil {
			return
		}
		for _, v := range file.Values {
			if !bytes.Contains(out, []byte(v.Placeholder)) {
				t.Errorf("placeholder of %v is not in the text", v.Path)
			}
		}
		d := yaml.NewDecoder(bytes.NewReader(out))
		for {
			var doc yaml.Node
			if d.Decode(&doc) != nil {
				return
			}
			if metadataIndex(root(&doc)) >= 0 {
				t.Fatalf("metadata stayed:\n%s", out)
			}
		}
	})
}

// TestWhole checks that the placeholder of a whole file depends on the file without its metadata.
func TestWhole(t *testing.T) {
	for name, tt := range map[string]struct {
		file     []byte
		old, new string
		same     bool
	}{
		"yaml_recipient":   {fixture(t, "values.yaml"), "recipient: age1", "recipient: age2", true},
		"yaml_value":       {fixture(t, "values.yaml"), "data:+A==", "data:+B==", false},
		"yaml_key":         {fixture(t, "values.yaml"), "replicas:", "copies:", false},
		"yaml_comment":     {commentedFile(t, "comments.yaml"), "type:comment", "type:comments", false},
		"json_recipient":   {fixture(t, "settings.json"), "age1", "age2", true},
		"json_value":       {fixture(t, "settings.json"), "data:bz", "data:cz", false},
		"dotenv_recipient": {fixture(t, "app.env"), "age1", "age2", true},
		"dotenv_value":     {fixture(t, "app.env"), "data:xT", "data:yT", false},
		"ini_recipient":    {fixture(t, "app.ini"), "age1", "age2", true},
		"ini_value":        {fixture(t, "app.ini"), "data:3p", "data:4p", false},
		"binary_recipient": {fixture(t, "blob.bin"), "age1", "age2", true},
		"binary_value":     {fixture(t, "blob.bin"), "data:6O", "data:7O", false},
	} {
		changed := bytes.Replace(tt.file, []byte(tt.old), []byte(tt.new), 1)
		if bytes.Equal(changed, tt.file) {
			t.Errorf("%s: %q is not in the file", name, tt.old)
		}
		before, err1 := Seal("a", tt.file, salt, Whole(bundle.YAML))
		after, err2 := Seal("a", changed, salt, Whole(bundle.YAML))
		if err := errors.Join(err1, err2); err != nil {
			t.Errorf("%s: %v", name, err)
		} else if bytes.Equal(before.Text, after.Text) != tt.same {
			t.Errorf("%s: equal placeholders: %t, want %t", name, !tt.same, tt.same)
		}
	}
}

func TestFormatOf(t *testing.T) {
	for name, want := range map[string]bundle.Format{
		"a.yaml": bundle.YAML, "dir/a.sops.yml": bundle.YAML, "a.json": bundle.JSON, ".dockerconfigjson": bundle.JSON,
		".env": bundle.Dotenv, "a.env": bundle.Dotenv, "a.ini": bundle.INI, "a.toml": bundle.Binary, "yaml": bundle.Binary,
	} {
		if got := FormatOf(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// TestParts checks that Parts is set for a file whose documents were encrypted one by one.
func TestParts(t *testing.T) {
	one, two := fixture(t, "secret.yaml"), fixture(t, "secret-rotated.yaml")
	join := func(files ...[]byte) []byte { return bytes.Join(files, []byte("---\n")) }
	for name, tt := range map[string]struct {
		file []byte
		want bool
	}{
		"one": {one, false}, "together": {fixture(t, "multi.yaml"), false}, "each": {join(one, two), true},
		"plain_between": {join(one, []byte("a: b\n"), two), true}, "plain_after": {join(one, []byte("a: b\n")), false},
	} {
		if _, file, err := sealFragments("a", tt.file, salt); err != nil || file.Parts != tt.want {
			t.Errorf("%s: %v, %v", name, file, err)
		}
	}
}

// TestSeal_short checks which values may be booleans or small numbers.
func TestSeal_short(t *testing.T) {
	for data, want := range map[string]bool{"": true, "ZmFsc2U=": true, "NjU1MzU=": true, "c2l4Ynl0": false, "?": true} {
		text := "stringData:\n  a: ENC[AES256_GCM,data:" + data + ",iv:aXY=,tag:dGFn,type:str]\n" +
			"sops:\n  mac: ENC[AES256_GCM,data:bWFj,iv:aXY=,tag:dGFn,type:str]\n"
		_, file, err := sealFragments("a.yaml", []byte(text), salt)
		if err != nil {
			t.Fatal(err)
		}
		if got := file.Values[0].Short; got != want {
			t.Errorf("%q: %v", data, got)
		}
	}
}
