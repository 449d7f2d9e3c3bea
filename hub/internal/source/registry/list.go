package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/image"
	"github.com/navefleet/nave/hub/internal/source"
)

// pageSizes are how many tags a page may have, in the order in which they are asked for. Some registries refuse more
// than 100, and some refuse any number: 0 is none.
var pageSizes = []int{1000, 100, 0}

// maxPages bounds a list whose pages are empty.
const maxPages = 20_000

// Tags are the tags of a repository.
type Tags struct {
	Valid   []string // in any order, each once
	Invalid []string // what the registry lists and no tag can be
}

// Tags returns all tags of the repository. If there are more than a limit, the error is artifact.ErrLimit.
func (a *Access) Tags(ctx context.Context, limit int) (found Tags, err error) {
	for _, size := range pageSizes {
		l := listing{access: a, limit: limit, seen: map[string]bool{}}
		if err = l.read(ctx, size); err == nil || l.pages > 0 || !refusesSize(err) {
			return l.tags, err
		}
	}
	return found, err
}

// refusesSize reports whether a registry refuses to give pages of a size.
func refusesSize(err error) bool {
	var answer *transport.Error
	return errors.As(err, &answer) && (slices.Contains([]int{http.StatusBadRequest, http.StatusRequestEntityTooLarge,
		http.StatusRequestedRangeNotSatisfiable, http.StatusUnprocessableEntity}, answer.StatusCode) ||
		strings.Contains(answer.Error(), "TOO_MANY_TAGS_REQUESTED"))
}

// listing is a list of tags that is read page by page.
type listing struct {
	access *Access
	limit  int
	pages  int // read
	tags   Tags
	seen   map[string]bool
}

// read reads all pages.
func (l *listing) read(ctx context.Context, size int) error {
	next := l.access.Origin().JoinPath("v2", l.access.Repository.RepositoryStr(), "tags", "list")
	if size > 0 {
		next.RawQuery = "n=" + strconv.Itoa(size)
	}
	for ; next != nil; l.pages++ {
		if l.pages == maxPages {
			return fmt.Errorf("%w: the list of tags has more than %d pages", artifact.ErrLimit, maxPages)
		}
		tags, link, err := l.page(ctx, next)
		if err != nil {
			return err
		}
		before := len(l.seen)
		if err := l.add(tags); err != nil {
			return err
		}
		if next = link; next != nil && len(tags) > 0 && len(l.seen) == before {
			return fmt.Errorf("%w: page %d of the list of tags has the tags of pages before it", source.ErrProtocol, l.pages+1)
		}
	}
	return nil
}

// page returns the tags of one page, and the address of the next one; nil: there is none.
func (l *listing) page(ctx context.Context, at *url.URL) (tags []string, next *url.URL, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), http.NoBody)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", source.ErrProtocol, err)
	}
	answer, err := l.access.Client().Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = answer.Body.Close() }() // all that is wanted of it was read
	if err := transport.CheckError(answer, http.StatusOK); err != nil {
		return nil, nil, err
	}
	if tags, err = tagsOf(json.NewDecoder(answer.Body)); err != nil {
		return nil, nil, err
	}
	next, err = nextPage(answer.Header, at)
	return tags, next, err
}

// tagsOf returns the tags in an answer. An answer with neither tags nor the name of the repository is none of a
// registry, but perhaps of a proxy that wants a login: it does not say that there are no tags.
func tagsOf(answer *json.Decoder) (tags []string, err error) {
	var page struct {
		Name string          `json:"name"`
		Tags json.RawMessage `json:"tags"`
	}
	err = answer.Decode(&page)
	switch {
	case errors.Is(err, artifact.ErrLimit):
		return nil, err
	case err == nil && page.Tags == nil && page.Name == "":
		err = errors.New("the answer has no tags")
	case err == nil && page.Tags != nil:
		err = json.Unmarshal(page.Tags, &tags)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: the list of tags is malformed: %w", source.ErrProtocol, err)
	}
	return tags, nil
}

// add adds the tags of a page.
func (l *listing) add(tags []string) error {
	for _, tag := range tags {
		if l.seen[tag] {
			continue
		}
		if len(l.seen) == l.limit {
			return fmt.Errorf("%w: the repository has more than %d tags", artifact.ErrLimit, l.limit)
		}
		l.seen[tag] = true
		if image.IsTag(tag) {
			l.tags.Valid = append(l.tags.Valid, tag)
		} else {
			l.tags.Invalid = append(l.tags.Invalid, tag)
		}
	}
	return nil
}

// nextPage returns the address of the page after another one, as the header Link says; nil: there is none. A registry
// may send requests to its own host only. Registries behind a proxy for TLS write http for https.
func nextPage(h http.Header, at *url.URL) (*url.URL, error) {
	for _, link := range h.Values("Link") {
		target, rel, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(link), "<"), ">")
		if !ok || strings.Contains(rel, "rel=") && !strings.Contains(strings.ReplaceAll(rel, `"`, ""), "rel=next") {
			continue
		}
		next, err := at.Parse(target)
		if err != nil {
			return nil, fmt.Errorf("%w: the address of the next page of tags cannot be read", source.ErrProtocol)
		}
		if !strings.EqualFold(next.Host, at.Host) || next.User != nil {
			return nil, fmt.Errorf("%w: the next page of the list of tags is on another host, %s", source.ErrProtocol,
				source.Quote(source.Redact(next.String())))
		}
		next.Scheme, next.Host = at.Scheme, at.Host
		return next, nil
	}
	return nil, nil
}
