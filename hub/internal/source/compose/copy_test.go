package compose

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/navefleet/nave/hub/internal/artifact"
)

// external returns an ExternalArtifact that copies from the sources @a and @b.
func external(copies, more string) string {
	return "apiVersion: source.toolkit.fluxcd.io/v1\nkind: ExternalArtifact\n" +
		"metadata: {name: x}\nspec:\n  composition:\n" +
		"    sources: [{alias: a, kind: GitRepository, name: a}, {alias: b, kind: GitRepository, name: b}]\n" + more +
		"    copy: " + copies + "\n"
}

// files are @a and @b of all cases.
const files = `
-- a/top.yaml --
1
-- a/deploy/one.yaml --
2
-- a/deploy/sub/two.yaml --
3
-- a/deploy/sub/deep/three.yaml --
4
-- a/deploy/sub/notes.md --
5
-- a/deploy/link.yaml -> ../top.yaml --
-- a/.sourceignore --
/ignored
-- b/deploy/one.yaml --
6
-- b/values.yaml --
a: {b: 1, c: 2}
list: [1]
-- b/over.yaml --
a: {c: 3}
---
list: [2]
-- b/text.txt --
no map
`

// TestCopy has the copies of one artifact and what comes of them.
func TestCopy(t *testing.T) {
	for name, c := range map[string]struct {
		copies string
		want   string // "path: content" by lines, or after ! words of the error
	}{
		"folder_content": {`[{from: "@a/deploy/**", to: "@artifact/"}]`,
			"link.yaml: 1\none.yaml: 2\nsub/deep/three.yaml: 4\nsub/notes.md: 5\nsub/two.yaml: 3\n"},
		"folder_itself": {`[{from: "@a/deploy/sub", to: "@artifact/x/"}]`,
			"x/sub/deep/three.yaml: 4\nx/sub/notes.md: 5\nx/sub/two.yaml: 3\n"},
		"file_into": {`[{from: "@a/deploy/one.yaml", to: "@artifact/x/"}]`, "x/one.yaml: 2\n"},
		"file_as":   {`[{from: "@a/deploy/one.yaml", to: "@artifact/x"}]`, "x: 2\n"},
		"file_into_folder": {`[{from: "@a/deploy/sub/deep", to: "@artifact/x/"}, {from: "@a/top.yaml", to: "@artifact/x/deep"}]`,
			"x/deep/three.yaml: 4\nx/deep/top.yaml: 1\n"},
		"file_to_root": {`[{from: "@a/deploy/one.yaml", to: "@artifact/"}]`, "one.yaml: 2\n"},
		"star":         {`[{from: "@a/deploy/*.yaml", to: "@artifact/x/"}]`, "x/deploy/link.yaml: 1\nx/deploy/one.yaml: 2\n"},
		"two_stars":    {`[{from: "@a/deploy/**/*.yaml", to: "@artifact/"}]`, "deploy/sub/two.yaml: 3\n"},
		"overwrite": {`[{from: "@a/deploy/one.yaml", to: "@artifact/"}, {from: "@b/deploy/**", to: "@artifact/"}]`,
			"one.yaml: 6\n"},
		"exclude_name": {`[{from: "@a/deploy/**", to: "@artifact/", exclude: ["*.md", "link*"]}]`,
			"one.yaml: 2\nsub/deep/three.yaml: 4\nsub/two.yaml: 3\n"},
		"exclude_folder": {`[{from: "@a/deploy/**", to: "@artifact/", exclude: ["sub/deep", deploy/link.yaml, "**/*.md"]}]`,
			"one.yaml: 2\nsub/two.yaml: 3\n"},
		"exclude_all": {`[{from: "@a/deploy/*.yaml", to: "@artifact/", exclude: ["*"]}]`, "!copy[0] leaves every"},
		"merge": {`[{from: "@b/values.yaml", to: "@artifact/"}, {from: "@b/over.yaml", to: "@artifact/values.yaml", strategy: Merge}]`,
			"values.yaml: a:\n  b: 1\n  c: 3\nlist:\n- 2\n"},
		"merge_nothing": {`[{from: "@b/over.yaml", to: "@artifact/v.yaml", strategy: Merge}]`, "v.yaml: a: {c: 3}\n---\nlist: [2]\n"},
		"merge_text": {`[{from: "@b/text.txt", to: "@artifact/t"}, {from: "@b/over.yaml", to: "@artifact/t", strategy: Merge}]`,
			"!copy[1] merge t YAML map"},
		"missing":          {`[{from: "@a/gone", to: "@artifact/"}]`, "!copy[0] no gone GitRepository flux-system/a main@1"},
		"missing_glob":     {`[{from: "@a/gone/*", to: "@artifact/"}]`, "!copy[0] gone/* matches"},
		"missing_optional": {`[{from: "@a/gone", to: "@artifact/", optional: true}, {from: "@a/x*", to: "@artifact/", optional: true}]`, ""},
		"bad_glob":         {`[{from: "@a/[x", to: "@artifact/"}]`, "!copy[0] valid pattern"},
		"bad_exclude":      {`[{from: "@a/**", to: "@artifact/", exclude: ["[x"]}]`, "!copy[0] exclude valid pattern"},
		"folder_over_file": {`[{from: "@a/top.yaml", to: "@artifact/x"}, {from: "@a/deploy", to: "@artifact/x/"}]`,
			"!copy[1] x is a file"},
		"file_over_folder": {`[{from: "@a/deploy/sub/**", to: "@artifact/x/"}, {from: "@a/top*", to: "@artifact/"}, ` +
			`{from: "@a/top.yaml", to: "@artifact/x/deep/three.yaml/y"}]`, "!copy[2] three.yaml is a file"},
		"ignore_files": {`[{from: "@a/.sourceignore", to: "@artifact/"}, {from: "@a/top.yaml", to: "@artifact/ignored/"}]`,
			".sourceignore: /ignored\nignored/top.yaml: 1\n"},
		"git":            {`[{from: "@a/top.yaml", to: "@artifact/git~1/config"}]`, "!git~1"},
		"extract_text":   {`[{from: "@b/text.txt", to: "@artifact/", strategy: Extract}]`, "!copy[0] text.txt .tgz"},
		"extract_folder": {`[{from: "@a/deploy", to: "@artifact/", strategy: Extract}]`, "!copy[0] deploy folder"},
	} {
		t.Run(name, func(t *testing.T) {
			s := artifact.New(t.TempDir())
			parts := map[string][]txtar.File{}
			for _, f := range txtar.Parse([]byte(files)).Files {
				part, below, _ := strings.Cut(f.Name, "/")
				parts[part] = append(parts[part], txtar.File{Name: below, Data: f.Data})
			}
			a, err := compose(t, s, external(c.copies, ""), nil, nil,
				store(t, s, "main@1", parts["a"]), store(t, s, "main@2", parts["b"]))
			if words, fails := strings.CutPrefix(c.want, "!"); fails {
				if err == nil {
					t.Fatalf("no error, but:\n%s", tree(t, s, a))
				}
				for word := range strings.FieldsSeq(words) {
					if !strings.Contains(err.Error(), word) {
						t.Errorf("the error lacks %q: %v", word, err)
					}
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := tree(t, s, a); got != c.want || a.Revision != "latest@"+digestOf(t, s, a) {
				t.Errorf("revision %s, got:\n%swant:\n%s", a.Revision, got, c.want)
			}
			if err := artifact.Verify(t.Context(), s.Path(a), a.Digest); err != nil {
				t.Error(err)
			}
		})
	}
}

// digestOf returns the digest that names the content of an artifact.
func digestOf(t *testing.T, s *artifact.Store, a artifact.Artifact) string {
	t.Helper()
	reader, err := artifact.Open(s.Path(a))
	if err != nil {
		t.Fatal(err)
	}
	files, err := reader.Files(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return artifact.DigestOf(files).String()
}

// TestRevision: an artifact is named by its content, which another file of an input does not change, or as an input is.
func TestRevision(t *testing.T) {
	s := artifact.New(t.TempDir())
	one, other := txtar.File{Name: "one", Data: []byte("1")}, txtar.File{Name: "other", Data: []byte("2")}
	copies := `[{from: "@a/one", to: "@artifact/"}]`
	before := store(t, s, "main@1", []txtar.File{one})
	after := store(t, s, "main@2", []txtar.File{one, other})
	first, err := compose(t, s, external(copies, ""), nil, nil, before, before)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := compose(t, s, external(copies, ""), nil, &first, after, after); err != nil || again != first {
		t.Errorf("got %+v, %v; want %+v", again, err, first)
	}
	named, err := compose(t, s, external(copies, "    revision: \"@a\"\n"), nil, &first, after, before)
	if err != nil || named.Revision != "main@2" || named.Digest != first.Digest {
		t.Errorf("named: %+v, %v", named, err)
	}
	before.Origin.Revision = "v1@sha1:abc"
	for alias, want := range map[string]string{"a": "main@2", "b": "v1@sha1:abc"} {
		made, err := compose(t, s, external(copies, "    originRevision: \"@"+alias+"\"\n"), nil, nil, after, before)
		if err != nil || made.Origin.Revision != want || made.Digest != first.Digest {
			t.Errorf("origin @%s: %+v, %v", alias, made, err)
		}
	}
}

// entry is an entry of an archive.
type entry struct {
	name, text string
	kind       byte
	mode       int64
}

func pack(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	zipped := gzip.NewWriter(&b)
	archive := tar.NewWriter(zipped)
	for _, e := range entries {
		header := &tar.Header{Name: e.name, Size: int64(len(e.text)), Mode: e.mode, Typeflag: e.kind}
		if e.kind == tar.TypeSymlink || e.kind == tar.TypeLink {
			header.Linkname, header.Size, e.text = e.text, 0, ""
		}
		if err := archive.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write([]byte(e.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(archive.Close(), zipped.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// unpacked composes an artifact of an archive.
func unpacked(t testing.TB, archive []byte) (*artifact.Store, artifact.Artifact, error) {
	t.Helper()
	s := artifact.New(t.TempDir())
	// a source with its own ignore rules may have archives
	in := storeAs(
		t,
		s,
		"main@1",
		[]txtar.File{{Name: "x/chart.tgz", Data: archive}, {Name: "x/readme", Data: nil}},
		new(string),
	)
	a, err := compose(
		t,
		s,
		external(`[{from: "@a/**/*.tgz", to: "@artifact/charts/", strategy: Extract}]`, ""),
		nil,
		nil,
		in,
		in,
	)
	return s, a, err
}

func TestExtract(t *testing.T) {
	s, a, err := unpacked(
		t,
		pack(t, entry{"web/", "", tar.TypeDir, 0o755}, entry{"web/Chart.yaml", "name: web", tar.TypeReg, 0o644},
			entry{"./web/run.sh", "#!", tar.TypeReg, 0o755}),
	)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := tree(t, s, a), "charts/web/Chart.yaml: name: web\ncharts/web/run.sh: #!\n"; got != want {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
	for name, e := range map[string]entry{
		"above": {"../x", "1", tar.TypeReg, 0}, "absolute": {"/x", "1", tar.TypeReg, 0},
		"inside_out": {"a/../../x", "1", tar.TypeReg, 0}, "symlink": {"x", "y", tar.TypeSymlink, 0},
		"hardlink": {"x", "y", tar.TypeLink, 0}, "pipe": {"x", "", tar.TypeFifo, 0}, "git": {"git~1/config", "1", tar.TypeReg, 0},
	} {
		if _, a, err := unpacked(t, pack(t, e)); err == nil {
			t.Errorf("%s: no error: %+v", name, a)
		}
	}
	if _, _, err := unpacked(
		t,
		pack(t, entry{"big", strings.Repeat("0", 65<<20), tar.TypeReg, 0}),
	); !errors.Is(
		err,
		artifact.ErrLimit,
	) {
		t.Errorf("a large file: %v", err)
	}
}

// FuzzExtract unpacks any bytes. Nothing is written but the artifact.
func FuzzExtract(f *testing.F) {
	f.Add(pack(f, entry{"web/Chart.yaml", "name: web", tar.TypeReg, 0o644}, entry{"../x", "1", tar.TypeReg, 0}))
	f.Add([]byte("\x1f\x8b"))
	f.Fuzz(func(t *testing.T, archive []byte) {
		s, a, err := unpacked(t, archive)
		if err != nil {
			return
		}
		if err := artifact.Verify(t.Context(), s.Path(a), a.Digest); err != nil {
			t.Error(err)
		}
	})
}

// FuzzCopy copies by any pattern to any place. What comes of it stays in the artifact.
func FuzzCopy(f *testing.F) {
	f.Add("a/**", "x/", "*.md")
	f.Add("../a", "../x", "{a,b}/**")
	f.Add("[", "/", "[")
	s := artifact.New(f.TempDir())
	in := store(f, s, "main@1", []txtar.File{{Name: "a/b/c.yaml"}, {Name: "d.md"}})
	f.Fuzz(func(t *testing.T, from, to, exclude string) {
		o, err := admitted(external("["+quoted(map[string]any{"from": "@a/" + from, "to": "@artifact/" + to,
			"exclude": []string{exclude}})+"]", ""))
		if err != nil {
			return
		}
		a, err := composeObject(t, s, o, nil, nil, in, in)
		if err != nil {
			return
		}
		if err := s.Export(t.Context(), a, t.TempDir()); err != nil {
			t.Error(err)
		}
		if err := artifact.Verify(t.Context(), s.Path(a), a.Digest); err != nil {
			t.Error(err)
		}
	})
}
