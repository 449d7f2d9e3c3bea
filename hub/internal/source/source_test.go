package source

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/dial"
)

func TestTimeLimit(t *testing.T) {
	for name, c := range map[string]struct{ asked, want time.Duration }{
		"default":  {0, time.Minute},
		"less":     {time.Second, time.Second},
		"more":     {10 * time.Minute, 10 * time.Minute},
		"too_much": {24 * time.Hour, 10 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			if got := (Request{Timeout: c.asked}).TimeLimit(); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// TestCacheID keeps sources apart that differ in the address, the kind or any credential.
func TestCacheID(t *testing.T) {
	id := func(kind, address string, secrets map[string]Secret) string {
		return Request{Object: api.StoredObject(api.Key{Kind: kind}, nil), Secrets: secrets}.CacheID(address)
	}
	one := map[string]Secret{"spec.secretRef": {"password": []byte("a"), "ca.crt": []byte("b")}}
	other := map[string]Secret{"spec.secretRef": {"password": []byte("b"), "ca.crt": []byte("b")}}
	ids := []string{
		id("GitRepository", "https://h/x", nil), id("GitRepository", "https://h/y", nil), id("Bucket", "https://h/x", nil),
		id("GitRepository", "https://h/x", one), id("GitRepository", "https://h/x", other),
	}
	if again := id("GitRepository", "https://h/x", one); again != ids[3] {
		t.Errorf("got %s, then %s", ids[3], again)
	}
	slices.Sort(ids)
	if len(slices.Compact(ids)) != 5 {
		t.Errorf("equal ids: %v", ids)
	}
}

// TestExplain has errors that quote a hostile server, with every form of every credential of the source.
func TestExplain(t *testing.T) {
	secrets := map[string]Secret{
		"spec.secretRef":       {"username": []byte("someone"), "password": []byte("s3cr3t canary")},
		"spec.verify.anything": {"any-key": []byte("canary\"of-any-key\n")},
	}
	basic := base64.StdEncoding.EncodeToString([]byte("someone:s3cr3t canary"))
	text := "someone, s3cr3t canary, s3cr3t+canary, canary\\\"of-any-key, " + basic + " url-canary" +
		"\x1b[2J\u202e\r\n\u0085" + strings.Repeat("and so on ", 1000)
	err := Explain(fmt.Errorf("%w: %s", ErrUnreachable, text), "https://u:url-canary@h/x?token=canary", secrets)
	got := err.Error()
	if !errors.Is(err, ErrUnreachable) || len(got) > maxMessage ||
		!strings.HasPrefix(got, "fetch https://h/x: "+ErrUnreachable.Error()+": someone, (credentials), ") ||
		strings.Contains(got, "canary") || strings.Contains(got, basic) || strings.ContainsFunc(got, unicode.IsControl) ||
		strings.ContainsRune(got, '\u202e') {
		t.Errorf("got %q", got)
	}
	if shown := fmt.Sprintf("%v %+v %#v", Request{Secrets: secrets}, secrets, secrets); strings.Contains(shown, "canary") {
		t.Errorf("printed %s", shown)
	}
}

// TestConcealText hides credentials in every form in which a server may have got them, also where a quotation of the
// server ends in the middle of one.
func TestConcealText(t *testing.T) {
	const token = "canary-0123456789"
	secrets := map[string]Secret{"spec.secretRef": {"username": []byte("someone"), "token": []byte(token + "\n")}}
	basic := func(name string) string { return base64.StdEncoding.EncodeToString([]byte(name + ":" + token)) }
	for n := range maxQuoted + 20 {
		for _, form := range []string{token, basic("someone"), basic("")} {
			text := Quote(strings.Repeat("-", n) + form + strings.Repeat("-", maxQuoted))
			if got := ConcealText(text, secrets); strings.Contains(got, form[:minSecret]) {
				t.Fatalf("%s behind %d bytes: got %s", form, n, got)
			}
		}
	}
	if got := ConcealText("can… canary… can", secrets); got != "can… (credentials)… can" {
		t.Errorf("got %q", got)
	}
}

func TestClassify(t *testing.T) {
	own := errors.New("of the protocol")
	protocol := func(err error) error {
		if errors.Is(err, own) {
			return fmt.Errorf("%w: %w", ErrReferenceNotFound, err)
		}
		return nil
	}
	for name, c := range map[string]struct{ err, want error }{
		"known":        {fmt.Errorf("%w: x", ErrTimeout), ErrTimeout},
		"protocol":     {own, ErrReferenceNotFound},
		"full_disk":    {&os.PathError{Op: "write", Path: "/x", Err: syscall.ENOSPC}, artifact.ErrStorage},
		"refused":      {&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, ErrUnreachable},
		"cut_off":      {io.ErrUnexpectedEOF, ErrUnreachable},
		"deadline":     {context.DeadlineExceeded, ErrTimeout},
		"over_http":    {&url.Error{Op: "Get", URL: "https://canary@h", Err: errors.New("x")}, ErrUnreachable},
		"anything":     {errors.New("x"), ErrProtocol},
		"canceled":     {context.Canceled, context.Canceled},
		"denied_by_us": {&url.Error{Err: dial.ErrDenied}, dial.ErrDenied},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Classify(c.err, protocol); !errors.Is(got, c.want) || strings.Contains(got.Error(), "canary") {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestNewest(t *testing.T) {
	tags := []string{"1.0.0+a", "1.0.0+z", "latest", "v0.9.0", "v1", "v2.0.0-rc.1", "vv1.0.0"}
	for name, c := range map[string]struct {
		versions string
		want     []string
		err      error
	}{
		"highest":           {">=0.1", []string{"1.0.0+a", "1.0.0+z"}, nil},
		"below":             {"<1.0.0", []string{"v0.9.0"}, nil},
		"pre_release":       {">=1.0.0-0", []string{"v2.0.0-rc.1"}, nil},
		"none":              {">=3", nil, ErrReferenceNotFound},
		"not_a_range":       {"what", nil, ErrRequest},
		"strict_versions":   {"1.0.0", []string{"1.0.0+a", "1.0.0+z"}, nil},
		"wildcard_of_major": {"1.x", []string{"1.0.0+a", "1.0.0+z"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Newest(tags, c.versions)
			if !slices.Equal(got, c.want) || !errors.Is(err, c.err) {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

func TestNotFound(t *testing.T) {
	for want, has := range map[string][]string{
		`tag "v1.1" not found; the repository has: v1.0, latest`: {"latest", "v1.0"},
		`tag "v1.1" not found; the repository has: no tag`:       nil,
	} {
		err := NotFound("tag", "v1.1", has)
		if !errors.Is(err, ErrReferenceNotFound) || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestServerOf(t *testing.T) {
	for url, want := range map[string]string{
		"oci://ghcr.io/org/app": "ghcr.io:443", "https://ghcr.io": "ghcr.io:443", "http://registry:5000/a": "registry:5000",
		"oci://docker.io/library/nginx": "docker.io:443", "https://index.docker.io": "docker.io:443", "": "", ":": "",
	} {
		if got := ServerOf(url); got != want {
			t.Errorf("%s: got %s, want %s", url, got, want)
		}
	}
}
