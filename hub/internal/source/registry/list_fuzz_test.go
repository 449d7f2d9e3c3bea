package registry

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"slices"
	"testing"
)

// answering is a registry that gives each request the same answer.
type answering struct{ body, link string }

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Link": {a.link}}, Request: r,
		Body: io.NopCloser(bytes.NewReader([]byte(a.body)))}, nil
}

// FuzzPage reads any answer of a registry: what it takes for a tag is one, the next page is on the same server, and a
// file of the tags is read as it was written.
func FuzzPage(f *testing.F) {
	f.Add(`{"tags": ["v1", "v2"]}`, `</v2/a/tags/list?last=v2&n=2>; rel="next"`)
	f.Add(`{"name": "a", "tags": null}`, "")
	f.Add(`{"tags": ["", "a\nb", "é", "`+"\x00"+`"]}`, `<https://user@other.example.com/>; rel=next`)
	f.Add(`{"tags": [1]}`, `<//other.example.com/x>`)
	f.Add(`{}`, `<:>; rel="prev", </x>; rel="next"`)
	f.Fuzz(func(t *testing.T, body, link string) {
		at := &url.URL{Scheme: "https", Host: "registry.example.com:5000", Path: "/v2/a/tags/list"}
		access := &Access{connection: connection{login: answering{body, link}}}
		l := listing{access: access, limit: 100, seen: map[string]bool{}}
		tags, next, err := l.page(t.Context(), at)
		if err != nil {
			return
		}
		if next != nil && (next.Scheme != at.Scheme || next.Host != at.Host || next.User != nil) {
			t.Errorf("the next page is at %s", next)
		}
		if err := l.add(tags); err != nil {
			return
		}
		slices.Sort(l.tags.Valid)
		if got := ParseTags(FormatTags(l.tags.Valid)); !slices.Equal(got, l.tags.Valid) {
			t.Errorf("got %q, want %q", got, l.tags.Valid)
		}
	})
}

// FuzzParseTags reads any file: each line is a tag.
func FuzzParseTags(f *testing.F) {
	f.Add([]byte("a\nb\n"))
	f.Add([]byte(""))
	f.Add([]byte("a"))
	f.Fuzz(func(t *testing.T, content []byte) {
		tags := ParseTags(content)
		if again := ParseTags(FormatTags(tags)); !slices.Equal(tags, again) {
			t.Errorf("got %q, then %q", tags, again)
		}
	})
}
