package artifact

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/navefleet/nave/shared/manifest"
)

// FuzzRecord parses the record of a folder that somebody else wrote.
func FuzzRecord(f *testing.F) {
	folder := strings.Repeat("0a", 32)
	f.Add([]byte("100644 1 4b825dc642cb6eb9a060e54bf8d69288fbee4904\ta\n"))
	f.Add([]byte("40000 5 3 1 " + folder + "\ta\n120000 0 " + string(IdentifyContent(nil)) + "\tb\n"))
	f.Add([]byte("100755 0 " + IdentifyContent(nil) + "\t\"Icon\\r\"\n"))
	f.Add([]byte("40000 5 3 1 " + folder + "\t..\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		parsed, err := parseRecord(text)
		if err != nil {
			return
		}
		if again := parsed.encode(); !bytes.Equal(again, text) {
			t.Errorf("%q was read and written as %q", text, again)
		}
		if !parsed.total.valid() {
			t.Errorf("%q has the totals %+v", text, parsed.total)
		}
		for _, e := range parsed.Entries {
			if !isLocal(e.Name) || strings.Contains(e.Name, "/") {
				t.Errorf("%q was read from %q", e.Name, text)
			}
			if found, ok := parsed.Entry(e.Name); !ok || found != e {
				t.Errorf("%q is not found in %q", e.Name, text)
			}
		}
	})
}

// TestRecord has records that Put never writes.
func TestRecord(t *testing.T) {
	content, folder := string(IdentifyContent(nil)), strings.Repeat("0a", 32)
	for name, record := range map[string]string{
		"parent":             "40000 1 1 0 " + folder + "\t..\n",
		"itself":             "40000 1 1 0 " + folder + "\t.\n",
		"path":               "100644 1 " + content + "\ta/b\n",
		"git":                "40000 1 1 0 " + folder + "\t.git\n",
		"no_name":            "100644 1 " + content + "\t\n",
		"twice":              strings.Repeat("100644 1 "+content+"\ta\n", 2),
		"out_of_order":       "100644 1 " + content + "\tb\n100644 1 " + content + "\ta\n",
		"file_and_folder":    "100644 1 " + content + "\ta\n40000 1 1 0 " + folder + "\ta\n",
		"unknown_mode":       "100600 1 " + content + "\ta\n",
		"submodule":          "160000 1 " + content + "\ta\n",
		"negative":           "100644 -1 " + content + "\ta\n",
		"zeros":              "100644 01 " + content + "\ta\n",
		"no_content":         "100644 1 \ta\n",
		"path_as_content":    "100644 1 ../../../etc/passwd\ta\n",
		"short_content":      "100644 1 0a\ta\n",
		"folder_of_sha1":     "40000 1 1 0 4b825dc642cb6eb9a060e54bf8d69288fbee4904\ta\n",
		"empty_folder":       "40000 0 0 0 " + folder + "\ta\n",
		"more_links":         "40000 1 1 2 " + folder + "\ta\n",
		"too_many_files":     fmt.Sprintf("40000 1 %d 0 %s\ta\n", maxFiles+1, folder),
		"together_too_many":  fmt.Sprintf("40000 1 %d 0 %s\ta\n40000 1 1 0 %s\tb\n", maxFiles, folder, folder),
		"too_large":          fmt.Sprintf("100644 %d %s\ta\n", int64(maxBytes)+1, content),
		"overflow":           "100644 9223372036854775808 " + content + "\ta\n",
		"no_end":             "100644 1 " + content + "\ta",
		"more_facts":         "100644 1 1 " + content + "\ta\n",
		"quoted_for_nothing": "100644 1 " + content + "\t\"a\"\n",
	} {
		t.Run(name, func(t *testing.T) {
			if f, err := parseRecord([]byte(record)); !errors.Is(err, ErrStorage) {
				t.Errorf("got %+v, %v", f, err)
			}
		})
	}
}

// TestReader_hostile has artifacts that somebody wrote who can write below the folder of the Store.
func TestReader_hostile(t *testing.T) {
	leaf := &Folder{Entries: []Entry{{Name: "f", Mode: Regular, Content: IdentifyContent(nil), Totals: Totals{Files: 1}}}}
	above := func(name string, f *Folder, totals Totals) *Folder {
		id := ContentID(hexOf(manifest.DigestOf(f.encode())))
		return &Folder{Entries: []Entry{{Name: name, Mode: Directory, Content: id, Totals: totals}}}
	}
	chain := func(name string, n int) []*Folder {
		all := []*Folder{leaf}
		for range n {
			all = append(all, above(name, all[len(all)-1], Totals{Files: 1}))
		}
		return all
	}
	wide := []*Folder{leaf} // 2^100 files, of which each folder says that there is one
	for range 100 {
		f := above("a", wide[len(wide)-1], Totals{Files: 1})
		other := f.Entries[0]
		other.Name = "b"
		wide = append(wide, &Folder{Entries: append(f.Entries, other)})
	}
	for name, all := range map[string][]*Folder{
		"deep":          chain("d", MaxDepth+1),
		"long":          chain(strings.Repeat("d", 200), 21),
		"false_totals":  {leaf, above("d", leaf, Totals{Files: 2, Bytes: 1})},
		"exponential":   wide,
		"false_content": {{Entries: []Entry{{Name: "f", Mode: Regular, Content: IdentifyContent([]byte("x")), Totals: Totals{Files: 1}}}}},
		"false_size": {{Entries: []Entry{{Name: "f", Mode: Regular, Content: IdentifyContent(nil),
			Totals: Totals{Files: 1, Bytes: 1}}}}},
	} {
		t.Run(name, func(t *testing.T) {
			s := New(t.TempDir())
			a := forge(t, s, all)
			if err := Verify(t.Context(), s.Path(a), a.Digest); !errors.Is(err, ErrStorage) {
				t.Errorf("got %v", err)
			}
			if s.Usable(t.Context(), a) {
				t.Error("the artifact is usable")
			}
		})
	}
	s := New(t.TempDir())
	if a := forge(t, s, chain("d", MaxDepth)); !s.Usable(t.Context(), a) {
		t.Error("the deepest artifact is not usable")
	}
}

// TestDigestOf has the digest that revisions of composed artifacts have had since they exist.
func TestDigestOf(t *testing.T) {
	files := []File{
		{Path: "b/Icon\r", Mode: Executable, Size: 12, Content: IdentifyContent(nil)},
		{Path: "a-b", Mode: Symlink, Size: 1, Content: "4b825dc642cb6eb9a060e54bf8d69288fbee4904"},
		{Path: "a/c", Mode: Regular, Size: 0, Content: "4b825dc642cb6eb9a060e54bf8d69288fbee4904"},
	}
	want := manifest.DigestOf([]byte("120000 1 4b825dc642cb6eb9a060e54bf8d69288fbee4904\ta-b\n" +
		"100644 0 4b825dc642cb6eb9a060e54bf8d69288fbee4904\ta/c\n" +
		"100755 12 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\t\"b/Icon\\r\"\n"))
	if got := DigestOf(files); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
