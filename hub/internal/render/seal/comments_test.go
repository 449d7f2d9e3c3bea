package seal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/shared/sealed"
)

// commented are files of testdata, encrypted by SOPS itself, with comments in lists and maps. The .paths file beside
// each lists its values: document, type, path. spoke/internal/decrypt holds copies of all of them, and opens the same
// paths.
var commented = []string{"comments", "marked"}

func commentedFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestEncryptedComments checks that encrypted comments do not count as elements.
func TestEncryptedComments(t *testing.T) {
	for _, name := range commented {
		t.Run(name, func(t *testing.T) {
			out, file, err := sealFragments(name, commentedFile(t, name+".yaml"), salt)
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			for _, v := range file.Values {
				fmt.Fprintf(&got, "%d %s %s\n", v.Document, v.Type, strings.Join(v.Path, " "))
			}
			if want := string(commentedFile(t, name+".paths")); got.String() != want {
				t.Errorf("values:\n%s\nwant:\n%s", got.String(), want)
			}
			if bytes.Contains(out, leafMark) {
				t.Errorf("an encrypted comment stayed:\n%s", out)
			}
			sameShape(t, documents(t, out), documents(t, commentedFile(t, name+".plain.yaml")))
		})
	}
}

func documents(t *testing.T, data []byte) []any {
	t.Helper()
	var all []any
	for d := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var doc any
		if err := d.Decode(&doc); err != nil {
			return all
		}
		all = append(all, doc)
	}
}

// sameShape checks that a sealed tree is the plain one, but for placeholders in place of scalars.
func sameShape(t *testing.T, got, want any) {
	t.Helper()
	switch want := want.(type) {
	case map[string]any:
		got, _ := got.(map[string]any)
		if len(got) != len(want) {
			t.Fatalf("%v is not of the shape of %v", got, want)
		}
		for key, v := range want {
			sameShape(t, got[key], v)
		}
	case []any:
		got, _ := got.([]any)
		if len(got) != len(want) {
			t.Fatalf("%v is not of the shape of %v", got, want)
		}
		for i, v := range want {
			sameShape(t, got[i], v)
		}
	default:
		if text, _ := got.(string); got != want && !sealed.Placeholder(text).Valid() {
			t.Errorf("%v is neither %v nor a placeholder", got, want)
		}
	}
}

// TestClearComment checks that a clear comment beside a dropped element stays.
func TestClearComment(t *testing.T) {
	const comment = "ENC[AES256_GCM,data:96ZSKcw=,iv:fFGXz1t+cCT7u962Y5LYMvcrkbtKvZx70fDUSdO6Yyk=,tag:fwfohkAAs7UWeRTyW1+GYw==,type:comment]"
	const file = "list:\n  # one\n  - " + comment + " # two\n  # three\n  - x\n  # four\n  - " + comment +
		"\n  # five\nsops:\n  mac: " + comment + "\n"
	out, _, err := sealFragments("a", []byte(file), salt)
	if err != nil {
		t.Fatal(err)
	}
	want := "list:\n    # one\n    # two\n    # three\n    - x\n    # four\n    # five\n"
	if string(out) != want {
		t.Errorf("got:\n%s\nwant:\n%s", out, want)
	}
}

// TestOnlyEncryptedComments checks that a list of only encrypted comments is empty.
func TestOnlyEncryptedComments(t *testing.T) {
	const comment = "ENC[AES256_GCM,data:96ZSKcw=,iv:fFGXz1t+cCT7u962Y5LYMvcrkbtKvZx70fDUSdO6Yyk=,tag:fwfohkAAs7UWeRTyW1+GYw==,type:comment]"
	metadata := "sops:\n  mac: " + strings.Replace(comment, "type:comment", "type:str", 1) + "\n"
	out, file, err := sealFragments(
		"a",
		[]byte("list:\n  # clear\n  - "+comment+"\n  - "+comment+" # beside\n"+metadata),
		salt,
	)
	if err != nil {
		t.Fatal(err)
	}
	got := documents(t, out)[0].(map[string]any)["list"]
	if list, ok := got.([]any); !ok || len(list) != 0 || len(file.Values) != 0 {
		t.Errorf("%v, values %v", got, file.Values)
	}
	for name, text := range map[string]string{
		"a comment at the root": comment + "\n---\n",
	} {
		if _, _, err := sealFragments("a", []byte(text+metadata), salt); !errors.Is(err, render.ErrSealedMalformed) {
			t.Errorf("%s: %v, want render.ErrSealedMalformed", name, err)
		}
	}
}
