package tags_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/dial"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/hub/internal/source/tags"
)

// pages is a registry that answers requests for tags as its function says. It counts them.
type pages struct {
	*httptest.Server
	asked []string // the queries
}

func newPages(t *testing.T, answer func(w http.ResponseWriter, r *http.Request)) *pages {
	p := &pages{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/tags/list") {
			p.asked = append(p.asked, r.URL.RawQuery)
			answer(w, r)
		}
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *pages) host() string { return p.Listener.Addr().String() }

// write answers with tags and the address of the next page; empty: there is none.
func write(w http.ResponseWriter, next string, tags ...string) {
	if next != "" {
		w.Header().Set("Link", fmt.Sprintf(`<%s>; rel="next"`, next))
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"name": "org/app", "tags": tags})
}

// paged answers as registries do: n tags from the one after last on, and at most a number of them. A larger n is an
// error of a code.
func paged(all []string, most int, code string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		size := most
		if n := r.URL.Query().Get("n"); n != "" {
			size, _ = strconv.Atoi(n)
		}
		if size > most {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, `{"errors": [{"code": %q, "message": "too many"}]}`, code)
			return
		}
		from, found := slices.BinarySearch(all, r.URL.Query().Get("last"))
		if found {
			from++
		}
		to, next := min(from+size, len(all)), ""
		if to < len(all) {
			next = r.URL.Path + "?" + url.Values{"last": {all[to-1]}, "n": {strconv.Itoa(size)}}.Encode()
		}
		write(w, next, all[from:to]...)
	}
}

// numbered returns n tags, sorted.
func numbered(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf("v0.%06d.0", i))
	}
	return all
}

// TestFetch_pages reads all pages, and smaller ones where a registry refuses the size.
func TestFetch_pages(t *testing.T) {
	all := numbered(250)
	for name, c := range map[string]struct {
		answer   func(http.ResponseWriter, *http.Request)
		requests int
	}{
		"large_pages": {paged(all, 1000, ""), 1},
		"of_100":      {paged(all, 100, "TOO_MANY_TAGS_REQUESTED"), 1 + 3},
		"of_its_own":  {paged(all, 50, "PAGINATION_NUMBER_INVALID"), 2 + 5},
		"unlimited": {func(w http.ResponseWriter, r *http.Request) {
			if r.URL.RawQuery != "" {
				http.Error(w, "no such parameter", http.StatusUnprocessableEntity)
				return
			}
			write(w, "", all...)
		}, 3},
		"absolute": {func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("last") == "" {
				write(w, "http://"+r.Host+r.URL.Path+"?last=x", all[:100]...)
				return
			}
			write(w, "", all[100:]...)
		}, 2},
		"of_another_scheme": {func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("last") == "" {
				write(w, "https://"+r.Host+r.URL.Path+"?last=x", all[:100]...)
				return
			}
			write(w, "", all[100:]...)
		}, 2},
		"two_links": {func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("last") == "" {
				w.Header().Add("Link", `<https://docs.example.com>; rel="help"`)
				w.Header().Add("Link", "<"+r.URL.Path+`?last=x>; rel=next`)
				write(w, "", all[:100]...)
				return
			}
			write(w, "", all[100:]...)
		}, 2},
		"empty_page": {func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("last") == "" {
				write(w, r.URL.Path+"?last=x")
				return
			}
			write(w, "", all...)
		}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			w, p := newWorld(t), newPages(t, c.answer)
			w.expect(w.must(p.host(), nil, nil, nil), all...)
			if len(p.asked) != c.requests {
				t.Errorf("%d requests, want %d: %q", len(p.asked), c.requests, p.asked)
			}
		})
	}
}

// TestFetch_no_tags has a repository whose tags were all deleted.
func TestFetch_no_tags(t *testing.T) {
	w, p := newWorld(t), newPages(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"tags": null}`) })
	a := w.must(p.host(), nil, nil, nil)
	w.expect(a)
	if a.Summary != "successful scan: found 0 tags" {
		t.Errorf("got the message %q", a.Summary)
	}
}

// TestFetch_hostile has registries that answer with what nobody asked for.
func TestFetch_hostile(t *testing.T) {
	says := func(text string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) }
	}
	page := 0
	for name, c := range map[string]struct {
		answer func(http.ResponseWriter, *http.Request)
		kind   error
		word   string
	}{
		"other_host": {func(w http.ResponseWriter, _ *http.Request) { write(w, "http://169.254.169.254/latest", "a") },
			source.ErrProtocol, "another host"},
		"other_port": {func(w http.ResponseWriter, _ *http.Request) { write(w, "http://127.0.0.1:9/v2/", "a") },
			source.ErrProtocol, "another host"},
		"user": {func(w http.ResponseWriter, r *http.Request) { write(w, "http://me:pw@"+r.Host+"/v2/", "a") },
			source.ErrProtocol, "another host"},
		"same_page": {func(w http.ResponseWriter, r *http.Request) { write(w, r.URL.String(), "a", "b") }, source.ErrProtocol,
			"page 2 of the list of tags has the tags of pages before it"},
		"endless": {func(w http.ResponseWriter, r *http.Request) {
			page++
			write(w, r.URL.Path+"?last="+strconv.Itoa(page), strconv.Itoa(page))
		}, artifact.ErrLimit, "more than 500 tags"},
		"large_page": {says(`{"tags": ["` + strings.Repeat("a", 9<<20) + `"]}`), artifact.ErrLimit, "8 MiB"},
		"no_json":    {says("<html>"), source.ErrProtocol, "malformed"},
		"no_strings": {says(`{"tags": [1]}`), source.ErrProtocol, "malformed"},
		"no_list":    {says(`{"tags": {}}`), source.ErrProtocol, "malformed"},
		"no_tags":    {says(`{"message": "log in"}`), source.ErrProtocol, "the answer has no tags"},
		"null":       {says(`null`), source.ErrProtocol, "the answer has no tags"},
		"teapot": {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "\x1b[2Jgone", http.StatusTeapot) },
			source.ErrUnreachable, "gone"},
	} {
		t.Run(name, func(t *testing.T) {
			w, p := newWorld(t), newPages(t, c.answer)
			w.fetcher.Limits = tags.Limits{Read: 500, Kept: 100}
			w.refused(p.host(), nil, nil, c.kind, c.word)
		})
	}
}

// TestFetch_left_out tells of tags that are too many, and of what is no tag.
func TestFetch_left_out(t *testing.T) {
	all := numbered(120)
	w, p := newWorld(t), newPages(t, paged(all, 1000, ""))
	w.fetcher.Limits = tags.Limits{Read: 500, Kept: 100}
	a := w.must(p.host(), nil, nil, nil)
	w.expect(a, all[20:]...)
	if want := `without 20 more, all that come before "v0.000020.0" in the order of bytes`; !strings.HasPrefix(a.Notice, want) {
		t.Errorf("got the notice %q", a.Notice)
	}
	a = w.must(p.host(), spec{"exclusionList": []string{`^v0\.0000[01]`}}, nil, nil)
	w.expect(a, all[20:]...)
	if a.Notice != "" {
		t.Errorf("got the notice %q, though exclusions leave no more than the limit", a.Notice)
	}
	p = newPages(t, func(w http.ResponseWriter, _ *http.Request) {
		write(w, "", "ok", "../x", "a b", "", "line\nline", strings.Repeat("a", 129))
	})
	a = w.must(p.host(), nil, nil, nil)
	w.expect(a, "ok")
	if want := `without what can be no tag: "../x", "a b", "", and 2 more`; a.Notice != want {
		t.Errorf("got the notice %q, want %q", a.Notice, want)
	}
}

// TestFetch_busy says until when a registry asks to wait.
func TestFetch_busy(t *testing.T) {
	for name, c := range map[string]struct {
		status     int
		retryAfter string
		wait       time.Duration // 0: it is an ordinary failure
	}{
		"seconds":        {http.StatusTooManyRequests, "120", 2 * time.Minute},
		"date":           {http.StatusServiceUnavailable, time.Now().Add(5 * time.Minute).UTC().Format(http.TimeFormat), 5 * time.Minute},
		"untold":         {http.StatusTooManyRequests, "", time.Minute},
		"days":           {http.StatusTooManyRequests, "864000", time.Hour},
		"past":           {http.StatusTooManyRequests, "Mon, 02 Jan 2006 15:04:05 GMT", time.Second},
		"nonsense":       {http.StatusTooManyRequests, "-1", time.Minute},
		"only_503":       {http.StatusServiceUnavailable, "", 0},
		"of_other_error": {http.StatusInternalServerError, "120", 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			p := newPages(t, func(w http.ResponseWriter, _ *http.Request) {
				if c.retryAfter != "" {
					w.Header().Set("Retry-After", c.retryAfter)
				}
				w.WriteHeader(c.status)
			})
			_, err := w.fetch(p.host(), nil, nil, nil)
			busy, ok := errors.AsType[*source.BusyError](err)
			if ok != (c.wait > 0) || !errors.Is(err, source.ErrUnreachable) {
				t.Fatalf("got %v", err)
			}
			if !ok {
				return
			}
			if off := time.Until(busy.Until) - c.wait; off.Abs() > 10*time.Second || busy.Server != p.host() {
				t.Errorf("got %+v, want to wait %s", busy, c.wait)
			}
			if len(p.asked) != 1 || !strings.Contains(err.Error(), busy.Until.Format(time.TimeOnly)) {
				t.Errorf("%d requests, %v", len(p.asked), err)
			}
		})
	}
}

// TestFetch_first_answer has registries, which speak plain HTTP and may, that answer the first question otherwise than
// with a login: the error is what they say, and not that they do not speak HTTPS.
func TestFetch_first_answer(t *testing.T) {
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   error
		words  string
	}{
		"failure": {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "broken", http.StatusInternalServerError) },
			source.ErrUnreachable, "broken"},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://169.254.169.254/latest", http.StatusFound)
		}, dial.ErrDenied, "169.254.169.254"},
		"busy": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) },
			source.ErrUnreachable, "takes no more requests for now"},
	} {
		t.Run(name, func(t *testing.T) {
			h := httptest.NewServer(c.answer)
			defer h.Close()
			_, err := newWorld(t).fetch(strings.TrimPrefix(h.URL, "http://"), nil, nil, nil)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.words) ||
				strings.Contains(err.Error(), "spec.insecure") {
				t.Errorf("got %v", err)
			}
			if _, busy := errors.AsType[*source.BusyError](err); busy != (name == "busy") {
				t.Errorf("busy: %v, %v", busy, err)
			}
		})
	}
}

// TestFetch_10000 reads ten pages of a thousand tags in well under a second.
func TestFetch_10000(t *testing.T) {
	all := numbered(10_000)
	w, p := newWorld(t), newPages(t, paged(all, 1000, ""))
	start := time.Now()
	a := w.must(p.host(), spec{"exclusionList": []string{`^.*\.sig$`, `-debug$`, `^sha-[0-9a-f]+$`}}, nil, nil)
	if took := time.Since(start); took > 5*time.Second { // on a busy machine; alone it takes some 50 ms
		t.Errorf("it took %s", took)
	}
	w.expect(a, all...)
	if len(p.asked) != 10 {
		t.Errorf("%d requests", len(p.asked))
	}
}
