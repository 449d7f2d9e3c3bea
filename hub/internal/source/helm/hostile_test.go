package helm_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/navefleet/nave/e2e/ocitest"
	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/dial"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/hub/internal/source/helm"
)

// login is the Secret of the tests.
func login() source.Secret {
	return source.Secret{"username": []byte("me"), "password": []byte("hunter22")}
}

// elsewhere starts a server of another origin that serves the world's files, and notes the credentials that it gets.
func (w *world) elsewhere() (server *httptest.Server, seen *[]string) {
	seen = &[]string{}
	server = httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		*seen = append(*seen, r.Header.Get("Authorization"))
		http.FileServer(http.Dir(w.dir)).ServeHTTP(out, r)
	}))
	w.Cleanup(server.Close)
	return server, seen
}

// TestCredentials sends credentials to the origin of the repository only, unless passCredentials says otherwise and the
// Secret is bound to the other host.
func TestCredentials(t *testing.T) {
	for name, c := range map[string]struct {
		spec   spec
		hosts  func(other *url.URL) []string
		err    error
		passed bool
	}{
		"kept":      {nil, nil, nil, false},
		"passed":    {spec{"passCredentials": true}, nil, nil, true},
		"bound":     {spec{"passCredentials": true}, func(o *url.URL) []string { return []string{o.Host} }, nil, true},
		"bound_not": {spec{"passCredentials": true}, func(*url.URL) []string { return []string{"a.example.com"} }, source.ErrAccess, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			other, seen := w.elsewhere()
			at, err := url.Parse(other.URL)
			if err != nil {
				t.Fatal(err)
			}
			w.charts("podinfo 1.0.0")
			w.helm("repo", "index", w.dir, "--url", other.URL)
			own := ""
			w.wrap = func(_ http.ResponseWriter, r *http.Request) bool {
				own = r.Header.Get("Authorization")
				return false
			}
			fields := spec{"secretRef": spec{"name": "login"}}
			for field, value := range c.spec {
				fields[field] = value
			}
			if c.hosts != nil {
				w.bindings = map[string]api.Binding{"spec.secretRef": {Hosts: c.hosts(at)}}
			}
			_, err = w.fetch(w.repository(fields), spec{"chart": "podinfo"}, secrets{"spec.secretRef": login()}, nil)
			if !errors.Is(err, c.err) || c.err == nil && err != nil {
				t.Fatal(err)
			}
			if own == "" {
				t.Error("the repository got no credentials")
			}
			if got := strings.Join(*seen, ""); (got != "") != c.passed {
				t.Errorf("the other host got %q", got)
			}
			if c.err != nil && !strings.Contains(err.Error(), "fleet.nave.io/hosts") {
				t.Errorf("%v names no way out", err)
			}
		})
	}
}

// TestCredentials_redirect does not follow a redirect of the archive with credentials.
func TestCredentials_redirect(t *testing.T) {
	w := newWorld(t)
	other, seen := w.elsewhere()
	w.charts("podinfo 1.0.0")
	w.wrap = func(out http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, ".tgz") {
			http.Redirect(out, r, other.URL+r.URL.Path, http.StatusFound)
			return true
		}
		return false
	}
	for _, pass := range []bool{false, true} {
		repo := w.repository(spec{"secretRef": spec{"name": "login"}, "passCredentials": pass})
		if _, err := w.fetch(repo, spec{"chart": "podinfo"}, secrets{"spec.secretRef": login()}, nil); err != nil {
			t.Error(err)
		}
	}
	if got := strings.Join(*seen, ""); got != "" || len(*seen) != 2 {
		t.Errorf("the other host got %q in %d requests", got, len(*seen))
	}
}

// TestCredentials_wanted says why another host gives no chart.
func TestCredentials_wanted(t *testing.T) {
	w := newWorld(t)
	other := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
		http.Error(out, "no", http.StatusUnauthorized)
	}))
	t.Cleanup(other.Close)
	w.charts("podinfo 1.0.0")
	w.helm("repo", "index", w.dir, "--url", other.URL)
	repo := w.repository(spec{"secretRef": spec{"name": "login"}})
	_, err := w.fetch(repo, spec{"chart": "podinfo"}, secrets{"spec.secretRef": login()}, nil)
	if !errors.Is(err, source.ErrAuthentication) || !strings.Contains(err.Error(), "spec.passCredentials") {
		t.Error(err)
	}
}

// indexOf writes an index of one version of the chart evil with a URL.
func (w *world) indexOf(address string) {
	w.write(w.dir, map[string]string{"index.yaml": fmt.Sprintf(
		"apiVersion: v1\nentries:\n  evil:\n  - name: evil\n    version: 1.0.0\n    urls: [%q]\n", address)})
}

// TestAddresses refuses addresses in an index that the policy or the protocol does not allow.
func TestAddresses(t *testing.T) {
	w := newWorld(t)
	for address, want := range map[string]error{
		"http://169.254.169.254/latest": dial.ErrDenied, "http://[::1]:1/x": dial.ErrDenied, "file:///etc/passwd": source.ErrProtocol,
		"ftp://a/b": source.ErrProtocol, "http://a b": source.ErrProtocol, "": artifact.ErrTree,
		"oci://169.254.169.254/x/y": dial.ErrDenied, "missing.tgz": source.ErrFileNotFound, "%zz": source.ErrProtocol,
	} {
		w.indexOf(address)
		if _, err := w.fetch(w.repository(nil), spec{"chart": "evil"}, nil, nil); !errors.Is(err, want) {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// TestIndex_hostile ends each bad answer in an error that names it.
func TestIndex_hostile(t *testing.T) {
	w := newWorld(t)
	var bomb bytes.Buffer // packed before the time limit of a fetch begins
	z := gzip.NewWriter(&bomb)
	_, _ = z.Write(make([]byte, 64<<20))
	_ = z.Close()
	for name, c := range map[string]struct {
		answer func(out http.ResponseWriter)
		want   error
	}{
		"large": {func(out http.ResponseWriter) { _, _ = out.Write(make([]byte, 60<<20)) }, artifact.ErrLimit},
		"bomb": {func(out http.ResponseWriter) {
			out.Header().Set("Content-Encoding", "gzip")
			_, _ = out.Write(bomb.Bytes())
		}, artifact.ErrLimit},
		"html":      {func(out http.ResponseWriter) { fmt.Fprint(out, "<html>sign in</html>") }, source.ErrProtocol},
		"empty":     {func(http.ResponseWriter) {}, source.ErrProtocol},
		"forbidden": {func(out http.ResponseWriter) { out.WriteHeader(http.StatusForbidden) }, source.ErrAuthentication},
		"busy":      {func(out http.ResponseWriter) { out.WriteHeader(http.StatusTooManyRequests) }, source.ErrUnreachable},
		"unasked":   {func(out http.ResponseWriter) { out.WriteHeader(http.StatusNotModified) }, source.ErrProtocol},
		"aliases": {func(out http.ResponseWriter) {
			fmt.Fprint(out, "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"+
				"c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"+
				"d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n"+
				"entries:\n  a:\n  - version: 1.0.0\n    urls: *f\n")
		}, source.ErrProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			w.wrap = func(out http.ResponseWriter, _ *http.Request) bool {
				c.answer(out)
				return true
			}
			if _, err := w.index(w.repository(nil), nil, nil); !errors.Is(err, c.want) {
				t.Error(err)
			}
		})
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

// archive returns a compressed archive.
func archive(t *testing.T, entries ...ocitest.Entry) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	out := tar.NewWriter(z)
	for _, e := range entries {
		h := e.Header
		if err := out.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Write([]byte(e.Content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(out.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const evil = "name: evil\nversion: 1.0.0\n"

// TestArchive_hostile ends each bad archive in an error, and writes nothing outside of the artifact.
func TestArchive_hostile(t *testing.T) {
	w := newWorld(t)
	w.limits = helm.DefaultLimits
	w.limits.Archive, w.limits.File, w.limits.Unpacked, w.limits.Entries = 1<<20, 1<<16, 1<<20, 100
	chart := file("evil/Chart.yaml", evil)
	many := []ocitest.Entry{chart}
	for i := range 101 {
		many = append(many, file(fmt.Sprint("evil/", i), ""))
	}
	large := []ocitest.Entry{chart}
	for i := range 20 {
		large = append(large, file(fmt.Sprint("evil/", i), strings.Repeat("x", 1<<16)))
	}
	noise := make([]byte, 2<<20)
	for name, c := range map[string]struct {
		archive []byte
		want    error
	}{
		"parent":          {archive(t, chart, file("evil/../../x", "")), artifact.ErrTree},
		"absolute":        {archive(t, chart, file("/etc/x", "")), artifact.ErrTree},
		"symlink":         {archive(t, chart, other("evil/x", tar.TypeSymlink, "/etc/passwd")), artifact.ErrTree},
		"hard_link":       {archive(t, chart, other("evil/x", tar.TypeLink, "evil/Chart.yaml")), artifact.ErrTree},
		"device":          {archive(t, chart, other("evil/x", tar.TypeChar, "")), artifact.ErrTree},
		"lock_link":       {archive(t, chart, other("evil/Chart.lock", tar.TypeSymlink, "../../x")), artifact.ErrTree},
		"beside":          {archive(t, chart, file("x", "")), artifact.ErrTree},
		"twice":           {archive(t, chart, file("other/Chart.yaml", evil)), artifact.ErrTree},
		"git":             {archive(t, chart, file("evil/.git/config", "")), nil}, // left out
		"no_chart":        {archive(t, file("evil/values.yaml", "")), artifact.ErrTree},
		"named_parent":    {archive(t, file("evil/Chart.yaml", "name: ..\nversion: 1.0.0\n")), artifact.ErrTree},
		"named_path":      {archive(t, file("evil/Chart.yaml", "name: ../../x\nversion: 1.0.0\n")), artifact.ErrTree},
		"named_git":       {archive(t, file("evil/Chart.yaml", "name: .git\nversion: 1.0.0\n")), artifact.ErrTree},
		"named_control":   {archive(t, file("evil/Chart.yaml", "name: \"a\\nb\"\nversion: 1.0.0\n")), artifact.ErrTree},
		"no_name":         {archive(t, file("evil/Chart.yaml", "version: 1.0.0\n")), artifact.ErrTree},
		"no_version":      {archive(t, file("evil/Chart.yaml", "name: evil\n")), artifact.ErrTree},
		"no_yaml":         {archive(t, file("evil/Chart.yaml", "a: [")), artifact.ErrTree},
		"large_file":      {archive(t, chart, file("evil/x", strings.Repeat("x", 1<<16+1))), artifact.ErrLimit},
		"large_together":  {archive(t, large...), artifact.ErrLimit},
		"many":            {archive(t, many...), artifact.ErrLimit},
		"large_archive":   {noise, artifact.ErrLimit},
		"no_archive":      {[]byte("<html>"), artifact.ErrTree},
		"cut":             {archive(t, chart)[:60], artifact.ErrTree},
		"gzip_of_nothing": {archive(t), artifact.ErrTree},
	} {
		t.Run(name, func(t *testing.T) {
			w.indexOf("evil.tgz")
			if err := os.WriteFile(filepath.Join(w.dir, "evil.tgz"), c.archive, 0o600); err != nil {
				t.Fatal(err)
			}
			a, err := w.fetch(w.repository(nil), spec{"chart": "evil"}, nil, nil)
			if !errors.Is(err, c.want) || c.want == nil && (err != nil || len(w.files(a)) != 1) {
				t.Error(a, err)
			}
		})
	}
}

// TestArchive_bomb reads a gigabyte of zeros only up to the limit.
func TestArchive_bomb(t *testing.T) {
	w := newWorld(t)
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	out := tar.NewWriter(z)
	_ = out.WriteHeader(&tar.Header{Name: "evil/zeros", Mode: 0o644, Size: 1 << 30})
	zeros := make([]byte, 1<<20)
	for range 1 << 10 {
		_, _ = out.Write(zeros)
	}
	_, _ = out.Close(), z.Close()
	w.indexOf("evil.tgz")
	if err := os.WriteFile(filepath.Join(w.dir, "evil.tgz"), b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := w.fetch(w.repository(nil), spec{"chart": "evil"}, nil, nil)
	if !errors.Is(err, artifact.ErrLimit) || !strings.Contains(err.Error(), "5 MiB") {
		t.Error(err)
	}
}

// TestTLS trusts the authority of the Secret, shows a client certificate, and shows it to no other host.
func TestTLS(t *testing.T) {
	w := newWorld(t)
	w.charts("podinfo 1.0.0")
	shown := 0
	serve := http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		shown += len(r.TLS.PeerCertificates)
		http.FileServer(http.Dir(w.dir)).ServeHTTP(out, r)
	})
	server, elsewhere := startTLS(t, serve), startTLS(t, serve)
	named := secrets{"spec.certSecretRef": {
		"ca.crt": certificate(server), "tls.crt": certificate(server), "tls.key": key(t, server),
	}}
	fields := spec{"url": server.URL, "certSecretRef": spec{"name": "tls"}}
	a, err := w.fetch(w.repository(fields), spec{"chart": "podinfo"}, named, nil)
	if err != nil || a.Revision != "1.0.0" || shown != 2 {
		t.Fatal(a, err, shown)
	}
	_, err = w.fetch(w.repository(spec{"url": server.URL}), spec{"chart": "podinfo"}, nil, nil)
	if !errors.Is(err, source.ErrUntrusted) {
		t.Error("without the authority:", err)
	}
	w.helm("repo", "index", w.dir, "--url", elsewhere.URL)
	shown = 0
	if _, err := w.fetch(w.repository(fields), spec{"chart": "podinfo"}, named, nil); err != nil || shown != 1 {
		t.Error("elsewhere:", err, shown)
	}
}
