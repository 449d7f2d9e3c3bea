package kube

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// maxListed is the most bytes of a page of a List, unless one object alone is larger.
const maxListed = 8 << 20

// pageSize is the number of objects that List asks for at a time if the scope has no Page.
const pageSize = 250

// watchFor is how long the API server may keep one watch open; after this time the watcher resumes where it was.
const watchFor = 10 * time.Minute

// Scope selects the objects of a kind to list or watch.
type Scope struct {
	Namespace string // empty: all
	Name      string // empty: all
	Selector  string // label selector; empty: all
	Whole     bool   // whole objects; else their metadata
	Page      int    // objects of a List in memory at a time; 0: 250
}

// request begins a request about the objects of a kind in the scope.
func (s Scope) request(op string, m Mapping) request {
	r := request{op: op, object: m.GroupVersionKind().GroupKind().String(), mapping: m, method: http.MethodGet,
		path: m.collection(s.Namespace), query: url.Values{}}
	if s.Selector != "" {
		r.query.Set("labelSelector", s.Selector)
	}
	if s.Name != "" {
		r.query.Set("fieldSelector", "metadata.name="+s.Name)
	}
	return r
}

// List calls see for every object in the scope, page by page, and returns the resourceVersion to watch from. If a page
// is larger than maxListed, List goes on with fewer objects at a time.
func (c *Client) List(ctx context.Context, m Mapping, s Scope, see func(Live) error) (resourceVersion string,
	err error) {
	r := s.request("list", m)
	r.accept = mediaMetadatas
	if s.Whole {
		r.accept = mediaJSON
	}
	for limit := cmp.Or(s.Page, pageSize); ; {
		r.query.Set("limit", strconv.Itoa(limit))
		if r.most = maxListed; limit == 1 {
			r.most = maxBody
		}
		body, _, err := c.do(ctx, r)
		if errors.Is(err, errLarge) && limit > 1 {
			limit = max(1, limit/8)
			continue
		}
		if err != nil {
			return "", err
		}
		rv, next, err := readPage(body, m, s.Whole, see)
		if err != nil {
			return "", wrong("list", r.object, err)
		}
		if next == "" {
			return rv, nil
		}
		r.query.Set("continue", next)
	}
}

func readPage(body []byte, m Mapping, whole bool, see func(Live) error) (resourceVersion, next string, err error) {
	var page struct {
		Metadata struct {
			ResourceVersion string `json:"resourceVersion"`
			Continue        string `json:"continue"`
		} `json:"metadata"`
		Items []json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal(body, &page); err != nil {
		return "", "", err
	}
	for _, item := range page.Items {
		live, err := readLive(item, m, FieldManager, whole)
		if err != nil {
			return "", "", err
		}
		if err := see(live); err != nil {
			return "", "", err
		}
	}
	return page.Metadata.ResourceVersion, page.Metadata.Continue, nil
}

// EventType is the kind of change of an object in the scope of a watch.
type EventType string

// The types of events. Deleted also means that the object left the selector.
const (
	Added    EventType = "ADDED"
	Modified EventType = "MODIFIED"
	Deleted  EventType = "DELETED"
	Bookmark EventType = "BOOKMARK" // only Live.ResourceVersion is set
)

// Event is one step of a watch.
type Event struct {
	Type EventType
	Live Live
}

// Stream is an open watch.
type Stream struct {
	mapping Mapping
	whole   bool
	body    io.ReadCloser
	room    *io.LimitedReader // bytes of the body that the current event may still take
	events  *json.Decoder
	ctx     context.Context
	cancel  context.CancelFunc
	object  string
}

// Watch opens a watch from a resourceVersion on. The watch ends by itself after some minutes; the caller then opens
// another from the last resourceVersion that it saw. The caller closes the stream.
func (c *Client) Watch(ctx context.Context, m Mapping, s Scope, resourceVersion string) (*Stream, error) {
	r := s.request("watch", m)
	r.accept = accept(s.Whole)
	r.query.Set("watch", "true")
	r.query.Set("allowWatchBookmarks", "true")
	r.query.Set("resourceVersion", resourceVersion)
	r.query.Set("timeoutSeconds", strconv.Itoa(int(watchFor/time.Second)))
	ctx, cancel := context.WithCancel(ctx)
	resp, err := c.send(ctx, r)
	if err != nil {
		cancel()
		return nil, err
	}
	if resp.StatusCode >= 300 {
		defer cancel()
		defer resp.Body.Close()
		body, _ := readAll(resp, maxBody) // an answer that breaks off still has its code
		return nil, c.refused(r, resp.StatusCode, body)
	}
	return newStream(ctx, cancel, m, s.Whole, resp.Body), nil
}

func newStream(ctx context.Context, cancel context.CancelFunc, m Mapping, whole bool, body io.ReadCloser) *Stream {
	room := &io.LimitedReader{R: body}
	return &Stream{
		mapping: m, whole: whole, body: body, room: room, events: json.NewDecoder(room),
		ctx: ctx, cancel: cancel, object: m.GroupVersionKind().GroupKind().String(),
	}
}

// Next waits for the next event. It returns io.EOF at the end of the watch, and an error with reason Expired if the
// watch cannot be resumed.
func (s *Stream) Next() (Event, error) {
	var e struct {
		Type   EventType       `json:"type"`
		Object json.RawMessage `json:"object"`
	}
	s.room.N = maxBody
	if err := s.events.Decode(&e); err != nil {
		return Event{}, s.ended(err)
	}
	switch e.Type {
	case Added, Modified, Deleted, Bookmark:
		live, err := readLive(e.Object, s.mapping, FieldManager, s.whole && e.Type != Bookmark && e.Type != Deleted)
		return Event{Type: e.Type, Live: live}, wrong("watch", s.object, err)
	}
	return Event{}, s.failure(e.Object)
}

// ended returns the error of a stream that yields no more events.
func (s *Stream) ended(err error) error {
	switch {
	case s.room.N <= 0:
		return wrong("watch", s.object, fmt.Errorf("event of more than %d MiB", maxBody>>20))
	case errors.Is(err, io.EOF):
		return io.EOF
	}
	return unanswered(s.ctx, "watch", s.object, err)
}

// failure returns the error of an ERROR event, whose object is a Status.
func (s *Stream) failure(object json.RawMessage) error {
	var status struct {
		Code int `json:"code"`
	}
	if json.Unmarshal(object, &status) != nil || status.Code == 0 {
		status.Code = http.StatusInternalServerError
	}
	return refusal("watch", s.object, status.Code, object)
}

// Close ends the watch.
func (s *Stream) Close() {
	s.cancel()
	_ = s.body.Close()
}
