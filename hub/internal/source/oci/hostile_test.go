package oci_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/navefleet/nave/e2e/ocitest"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/dial"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/hub/internal/source/oci"
)

// push pushes a layer as fleet:latest.
func (w *world) push(content []byte, mediaType types.MediaType) {
	w.Helper()
	image, err := ocitest.Image(nil, ocitest.Layer(content, mediaType))
	if err != nil {
		w.Fatal(err)
	}
	if _, err := w.Push("fleet:latest", image); err != nil {
		w.Fatal(err)
	}
}

// file is an entry of an archive.
func file(name, content string) ocitest.Entry {
	return ocitest.Entry{Header: tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}, Content: content}
}

// other is an entry that is no file.
func other(name string, kind byte, target string) ocitest.Entry {
	return ocitest.Entry{Header: tar.Header{Name: name, Typeflag: kind, Linkname: target, Mode: 0o777}}
}

// bomb returns megabytes of zeros in an archive, compressed to a thousandth.
func bomb(megabytes int) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	archive := tar.NewWriter(z)
	_ = archive.WriteHeader(&tar.Header{Name: "zeros.png", Mode: 0o644, Size: int64(megabytes) << 20})
	for range megabytes {
		_, _ = archive.Write(make([]byte, 1<<20))
	}
	_, _ = archive.Close(), z.Close()
	return b.Bytes()
}

// namedNUL returns an archive with a file whose name has a NUL in its PAX record.
func namedNUL() []byte {
	const record = "12 path=a\x00b\n"
	var b bytes.Buffer
	archive := tar.NewWriter(&b)
	_ = archive.WriteHeader(&tar.Header{Name: "pax", Size: int64(len(record)), Mode: 0o644, Format: tar.FormatUSTAR})
	_, _ = archive.Write([]byte(record))
	_ = archive.WriteHeader(&tar.Header{Name: "a", Size: 1, Mode: 0o644, Format: tar.FormatUSTAR})
	_, _ = archive.Write([]byte("a"))
	_ = archive.Close()
	data := b.Bytes()
	retype(data[:512], tar.TypeXHeader)
	return data
}

// retype changes the type of an entry in its header of 512 bytes.
func retype(header []byte, kind byte) {
	header[156] = kind
	sum := 8 * int(' ')
	for i, c := range header {
		if i < 148 || i >= 156 {
			sum += int(c)
		}
	}
	copy(header[148:156], fmt.Sprintf("%06o\x00 ", sum))
}

func TestUnpack_hostile(t *testing.T) {
	w := newWorld(t, ocitest.Options{})
	limits := oci.DefaultLimits
	limits.Unpacked, limits.Entries, limits.File, limits.Layer = 8<<20, 1000, 1<<20, 4<<20
	w.fetcher.Limits = limits
	var many []ocitest.Entry
	for i := range 1001 {
		many = append(many, other(fmt.Sprintf("d%d/", i), tar.TypeDir, ""))
	}
	deep := strings.Repeat("d/", artifact.MaxDepth+1) + "f"
	var headers []ocitest.Entry
	for range 1001 {
		headers = append(headers, ocitest.Entry{Header: tar.Header{Typeflag: tar.TypeXGlobalHeader,
			PAXRecords: map[string]string{"comment": "x"}}})
	}
	var twice bytes.Buffer
	outer := gzip.NewWriter(&twice)
	_, _ = outer.Write(bomb(9))
	_ = outer.Close()
	for name, c := range map[string]struct {
		layer []byte
		kind  error
		word  string
	}{
		"parent":        {ocitest.Pack(file("../a", "a")), artifact.ErrTree, "../a"},
		"parent_inside": {ocitest.Pack(file("a/../b", "a")), artifact.ErrTree, "a/../b"},
		"absolute":      {ocitest.Pack(file("/etc/passwd", "a")), artifact.ErrTree, "/etc/passwd"},
		"git":           {ocitest.Pack(file(".GIT/config", "a")), artifact.ErrTree, ".GIT"},
		"twice":         {ocitest.Pack(file("a", "a"), file("a", "b")), artifact.ErrTree, "twice"},
		"link_between": {ocitest.Pack(file("a", "a"), other("a", tar.TypeSymlink, "/etc/passwd"), file("a", "b")),
			artifact.ErrTree, "twice"},
		"through_link": {ocitest.Pack(other("d", tar.TypeSymlink, "/tmp"), file("d", "a"), file("d/f", "b")),
			artifact.ErrTree, "a file and a folder"},
		"file_and_folder": {ocitest.Pack(file("a", "a"), file("a/b", "b")), artifact.ErrTree, "a file and a folder"},
		"hard_link":       {ocitest.Pack(file("a", "a"), other("b", tar.TypeLink, "a")), artifact.ErrTree, `"b"`},
		"device":          {ocitest.Pack(other("b", tar.TypeBlock, "")), artifact.ErrTree, `"b"`},
		"character":       {ocitest.Pack(other("b", tar.TypeChar, "")), artifact.ErrTree, `"b"`},
		"fifo":            {ocitest.Pack(other("b", tar.TypeFifo, "")), artifact.ErrTree, `"b"`},
		"deep":            {ocitest.Pack(file(deep, "a")), artifact.ErrLimit, "folders"},
		"very_deep":       {ocitest.Pack(file(strings.Repeat("d/", 4096)+"f", "a")), artifact.ErrLimit, "folders"},
		"entries":         {ocitest.Pack(many...), artifact.ErrLimit, "1000 entries"},
		"headers":         {ocitest.Pack(headers...), artifact.ErrLimit, "1000 entries"},
		"NUL":             {namedNUL(), artifact.ErrTree, "no tar archive"},
		"bomb_in_gzip":    {twice.Bytes(), artifact.ErrTree, "no tar archive"},
		"bomb":            {bomb(9), artifact.ErrLimit, "the layer, unpacked, has more than 8 MiB"},
		"large_file":      {ocitest.Pack(file("a", strings.Repeat("a", 1<<20+1))), artifact.ErrLimit, "the limit is 1 MiB"},
		"large_layer":     {make([]byte, 4<<20+1), artifact.ErrLimit, "the limit is 4 MiB"},
		"no_archive":      {[]byte("hello"), artifact.ErrTree, "no tar archive"},
		"cut_off":         {ocitest.Pack(file("a", "a"))[:30], artifact.ErrTree, "no tar archive"},
	} {
		t.Run(name, func(t *testing.T) {
			w := w.in(t)
			w.push(c.layer, ocitest.ContentType)
			w.refused(spec{}, nil, c.kind, c.word)
		})
	}
}

// TestUnpack_links leaves symlinks out, as Flux does, wherever they lead, and writes nothing through one.
func TestUnpack_links(t *testing.T) {
	w := newWorld(t, ocitest.Options{})
	comment := ocitest.Entry{Header: tar.Header{Typeflag: tar.TypeXGlobalHeader,
		PAXRecords: map[string]string{"comment": "of git archive"}}}
	w.push(ocitest.Pack(comment, other("dir", tar.TypeSymlink, "/tmp"), file("a.yaml", "a"),
		other("b.yaml", tar.TypeSymlink, "a.yaml")), ocitest.ContentType)
	w.expect(w.must(spec{}, nil, nil), "a.yaml=a")
}

// TestUnpack_nested leaves an archive in an archive as it is, so that a bomb in it does not grow.
func TestUnpack_nested(t *testing.T) {
	w := newWorld(t, ocitest.Options{})
	inner := string(bomb(9))
	w.push(ocitest.Pack(file("inner.yaml", inner)), ocitest.ContentType)
	w.expect(w.must(spec{}, nil, nil), "inner.yaml="+inner)
}

// TestUnpack_plain takes an archive that is not compressed.
func TestUnpack_plain(t *testing.T) {
	w := newWorld(t, ocitest.Options{})
	z, err := gzip.NewReader(bytes.NewReader(ocitest.Archive(map[string]string{"./a.yaml": "a"})))
	if err != nil {
		t.Fatal(err)
	}
	var plain bytes.Buffer
	if _, err := plain.ReadFrom(z); err != nil {
		t.Fatal(err)
	}
	w.push(plain.Bytes(), "application/vnd.oci.image.layer.v1.tar")
	w.expect(w.must(spec{}, nil, nil), "a.yaml=a")
}

// wrapped returns a world whose registry answers blobs by a handler; the others go through.
func wrapped(t *testing.T, o ocitest.Options, path string, answer http.HandlerFunc) *world {
	o.Wrap = func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && strings.Contains(r.URL.Path, path) {
				answer(w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
	return newWorld(t, o)
}

// TestFetch_hostile has registries that answer with what nobody asked for.
func TestFetch_hostile(t *testing.T) {
	redirect := func(to string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusTemporaryRedirect) }
	}
	endless := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", string(types.OCIManifestSchema1))
		for r.Context().Err() == nil {
			if _, err := w.Write(bytes.Repeat([]byte("a"), 1<<20)); err != nil {
				return
			}
		}
	}
	for name, c := range map[string]struct {
		path   string
		answer http.HandlerFunc
		kind   error
		word   string
	}{
		"other_blob": {"/blobs/", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("evil")) },
			source.ErrProtocol, "does not match its digest"},
		"endless_blob":     {"/blobs/", endless, artifact.ErrLimit, "layer sha256:"},
		"endless_manifest": {"/manifests/", endless, artifact.ErrLimit, "an answer of the registry"},
		"other_manifest": {"/manifests/", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", string(types.OCIManifestSchema1))
			_, _ = w.Write([]byte(`{"schemaVersion":2}`))
		}, source.ErrProtocol, "does not match"},
		"metadata_address": {"/blobs/", redirect("http://169.254.169.254/latest/meta-data"), dial.ErrDenied, "169.254"},
		"denied_address":   {"/blobs/", redirect("http://127.0.0.2:9/x"), dial.ErrDenied, "127.0.0.2"},
		"file":             {"/blobs/", redirect("file:///etc/passwd"), source.ErrUnreachable, "neither http nor https"},
		"index_of_itself": {"/manifests/", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", string(types.OCIImageIndex))
			fmt.Fprintf(w, `{"schemaVersion":2,"mediaType":%q,"manifests":[{"mediaType":%q,"size":300,"digest":"sha256:%064d",`+
				`"platform":{"architecture":"amd64","os":"linux"}}]}`, types.OCIImageIndex, types.OCIImageIndex, 1)
		}, source.ErrProtocol, "manifest digest"},
		"cut_blob": {"/blobs/", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte("begin"))
		}, source.ErrUnreachable, "unexpected EOF"},
		"circle": {"/blobs/", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
		}, source.ErrUnreachable, "one time too often"},
		"control_characters": {"/manifests/", func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "\x1b[2Jgone", http.StatusTeapot)
		}, source.ErrUnreachable, "gone"},
	} {
		t.Run(name, func(t *testing.T) {
			w := wrapped(t, ocitest.Options{}, c.path, c.answer)
			w.commit("fleet:latest", map[string]string{"a": "1"})
			w.refused(spec{}, nil, c.kind, c.word)
			if _, err := w.fetch(spec{}, nil, nil); strings.ContainsRune(err.Error(), 0x1b) {
				t.Errorf("control characters in %q", err)
			}
		})
	}
}

// TestFetch_dialled has a registry that redirects to a name whose address is denied.
func TestFetch_dialled(t *testing.T) {
	w := wrapped(t, ocitest.Options{}, "/blobs/", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://localhost.localdomain.invalid:9/x", http.StatusTemporaryRedirect)
	})
	w.commit("fleet:latest", map[string]string{"a": "1"})
	w.refused(spec{}, nil, source.ErrUnreachable)
	w.allow = nil
	w.refused(spec{}, nil, dial.ErrDenied, "--allow-source-address")
}

// TestFetch_realm has a registry that wants its credentials sent to another host.
func TestFetch_realm(t *testing.T) {
	seen := 0
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen++
		fmt.Fprint(w, `{"token":"t"}`)
	}))
	t.Cleanup(elsewhere.Close)
	at := strings.Replace(elsewhere.URL, "127.0.0.1", "localhost", 1)
	w := wrapped(t, ocitest.Options{}, "/v2/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s/token",service="s"`, at))
		w.WriteHeader(http.StatusUnauthorized)
	})
	config := func(more string) secrets {
		text := fmt.Sprintf(`{"auths":{%q:{"username":"robot","password":"secret-of-robot"}%s}}`, w.Host(), more)
		return secrets{"spec.secretRef": {source.DockerConfigKey: []byte(text)}}
	}
	w.refused(spec{}, config(""), source.ErrAuthentication, "on another domain", "localhost")
	if seen > 0 {
		t.Errorf("the other host saw %d requests", seen)
	}
}
